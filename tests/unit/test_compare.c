/* judge/compare.h: tables of outputs and answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/attr.h"
#include "base/utf8.h"
#include "judge/compare.h"

static bool compare(const struct compare_options *options, const char *output, const char *answer)
{
    char message[COMPARE_MESSAGE_SIZE];
    bool same = compare_outputs(options, output, strlen(output), answer, strlen(answer), message);
    assert_int_equal(same, message[0] == '\0');
    return same;
}

/* Ana's table: W is "blanks at the end of a line do not count", E "empty lines at the end do not". */
static void lines_as_ana(void **state)
{
    (void)state;
    static const struct {
        const char *output, *answer;
        bool w1e1, w1e0, w0e1, w0e0;
    } rows[] = {
        {"a", "a", true, true, true, true},
        {"a\n", "a", true, true, false, false},
        {"a\n\n", "a", true, false, false, false},
        {"a\n\n", "a\n", true, false, false, false},
        {"a ", "a", true, true, false, false},
        {"a\r\n", "a\n", true, true, false, false},
        {"a\n \t\n", "a\n", true, false, false, false},
        {"a\n\n", "a\n \n", true, true, false, false},
        {"a\f", "a", true, true, false, false},
        {"a\v", "a", false, false, false, false},
        {"", "", true, true, true, true},
        {"", "\n", true, false, false, false},
        {" ", "", true, false, false, false},
        {" a", "a", false, false, false, false},
        {"\na", "a", false, false, false, false},
        {"a  b", "a b", false, false, false, false},
        {"a\n\nb", "a\nb", false, false, false, false},
        {"A", "a", false, false, false, false},
        {"1.0", "1", false, false, false, false},
        {"a\n", "a\nb\n", false, false, false, false},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct compare_options options = {.mode = COMPARE_LINES};
        assert_int_equal(compare(&options, rows[i].output, rows[i].answer), rows[i].w1e1);
        assert_int_equal(compare(&options, rows[i].answer, rows[i].output), rows[i].w1e1);
        options.empty_lines_at_end_count = true;
        assert_int_equal(compare(&options, rows[i].output, rows[i].answer), rows[i].w1e0);
        options.line_end_blanks_count = true;
        assert_int_equal(compare(&options, rows[i].output, rows[i].answer), rows[i].w0e0);
        options.empty_lines_at_end_count = false;
        assert_int_equal(compare(&options, rows[i].output, rows[i].answer), rows[i].w0e1);
    }
}

struct row {
    const char *output, *answer;
    bool same;
};

static void check(const struct compare_options *options, const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (compare(options, rows[i].output, rows[i].answer) != rows[i].same)
            fail_msg("row %zu: '%s' against '%s'", i, rows[i].output, rows[i].answer);
}

static void strip_as_python(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"a\n", "a", true},
        {" \t\r\n\v\fa \n", "a", true},
        {"\xc2\xa0"
         "a\xe3\x80\x80",
         "a", true}, /* U+00A0, U+3000 */
        {"\x1c\x1d\x1e\x1f"
         "a\xc2\x85",
         "a", true},                   /* U+0085 */
        {"a\xe2\x80\x8b", "a", false}, /* U+200B is no white space */
        {"a \nb", "a\nb", false},
        {"a\r\nb", "a\nb", false},
        {"", " \n ", true},
        {"\xff", "\xff", true},
        {"\xff \n", "\xff", true},
        {"a\x80", "a", false},
        {"a\n\x80\n", "a", false},
        {"A", "a", false},
    };
    struct compare_options options = {.mode = COMPARE_STRIP};
    check(&options, rows, COUNT_OF(rows));
}

static void exact_bytes(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"a", "a", true}, {"a\n", "a", false}, {"", "", true},
        {"", "a", false}, {"ab", "aB", false},
    };
    struct compare_options options = {.mode = COMPARE_EXACT};
    check(&options, rows, COUNT_OF(rows));
    char message[COMPARE_MESSAGE_SIZE];
    assert_false(compare_outputs(&options, "a\0b", 3, "a\0c", 3, message));
    assert_string_equal(message, "byte 3: expected 'c', found 'b'");
    assert_true(compare_outputs(&options, NULL, 0, NULL, 0, message));
}

static void tokens(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"1 2\n3", "1\t2 3\r\n", true},
        {"1 2", "1 2 3", false},
        {"1 2 3", "1 2", false},
        {"", " \n", true},
        {"12", "1 2", false},
        {"Yes", "yes", false},
        {"1.0", "1", false},
        {"a\vb", "a b", false},
    };
    struct compare_options options = {.mode = COMPARE_TOKENS};
    check(&options, rows, COUNT_OF(rows));
    options.ignore_case = true;
    assert_true(compare(&options, "YES no", "yes No"));
    assert_false(compare(&options, "YES", "yeS!"));
}

static void floats(void **state)
{
    (void)state;
    static const struct row absolute[] = {
        {"1.0000005", "1", true}, {"1.000002", "1", false}, {"1e0", "1", true},
        {"-0", "0", true},        {".5", "0.5", true},      {"5.", "5", true},
        {"nan", "nan", true},     {"nan", "1", false},      {"inf", "1e999", false},
        {"1e999", "2e999", true}, {"0x10", "16", false},    {"1000001", "1000000", false},
        {"x 1.0", "x 1", true},   {"1e", "1", false},       {"1e+", "1", false},
        {"+1", "1", true},        {"--1", "-1", false},     {"1e999", "1", false},
        {"", "0", false},         {"1,5", "1.5", false},    {"1_000", "1000", false},
    };
    struct compare_options options = {.mode = COMPARE_FLOATS, .absolute_tolerance = 1e-6};
    check(&options, absolute, COUNT_OF(absolute));
    static const struct row relative[] = {
        {"1000001", "1000000", true},
        {"1000002", "1000000", false},
        {"0.0000001", "0", false},
        {"0", "0.0", true},
    };
    options = (struct compare_options){.mode = COMPARE_FLOATS, .relative_tolerance = 1e-6};
    check(&options, relative, COUNT_OF(relative));
}

static void messages_say_where(void **state)
{
    (void)state;
    char message[COMPARE_MESSAGE_SIZE];
    struct compare_options options = {.mode = COMPARE_LINES};
    compare_outputs(&options, "1\n8\n", 4, "1\n7\n", 4, message);
    assert_string_equal(message, "line 2: expected '7', found '8'");
    compare_outputs(&options, "1\n", 2, "1\n7\n", 4, message);
    assert_string_equal(message, "line 2: expected '7', found the end");
    options.mode = COMPARE_TOKENS;
    compare_outputs(&options, "1 \x1b[31m", 7, "1", 1, message);
    assert_string_equal(message, "token 2: expected the end, found '?[31m'");
    char longer[1000];
    memset(longer, 'x', sizeof(longer));
    compare_outputs(&options, longer, sizeof(longer), longer, 999, message);
    assert_true(strlen(message) < 150);
    assert_non_null(strstr(message, "'..."));
}

static void check_message(const struct compare_options *options, const char *output,
                          const char *answer, const char *expected)
{
    char message[COMPARE_MESSAGE_SIZE];
    compare_outputs(options, output, strlen(output), answer, strlen(answer), message);
    assert_string_equal(message, expected);
    assert_int_equal(utf8_span((const uint8_t *)message, strlen(message)), strlen(message));
}

static void messages_are_readable_in_every_script(void **state)
{
    (void)state;
    struct compare_options options = {.mode = COMPARE_LINES};
    check_message(&options, "\u0434\u0430", "\u043d\u0435\u0442 \U0001f600 \u4e2d",
                  "line 1: expected '\u043d\u0435\u0442 \U0001f600 \u4e2d', found '\u0434\u0430'");
    /* what is none: a byte that begins nothing, a character that is cut, an overlong one, a surrogate */
    check_message(&options, "\xff\xc3(\xe4\xb8", "\xc0\xaf\xed\xa0\x80",
                  "line 1: expected '\?\?\?\?\?', found '\?\?(\?\?'");
    check_message(&options,
                  "a\xc2\x85"
                  "b\x7f",
                  "a\tb", "line 1: expected 'a?b', found 'a?b?'");
    /* the same first byte: the character is shown from its beginning, and the place counts bytes */
    options.mode = COMPARE_EXACT;
    check_message(&options, "x\u00e8", "x\u00e9", "byte 3: expected '\u00e9', found '\u00e8'");
    check_message(&options, "\U0001f600", "\U0001f601",
                  "byte 4: expected '\U0001f601', found '\U0001f600'");
    check_message(&options, "\u00e9b", "\u00e9a", "byte 3: expected 'a', found 'b'");
    check_message(&options, "\xa9\xa9\xa9\xa9z", "\xa9\xa9\xa9\xa9y",
                  "byte 5: expected 'y', found 'z'");
}

/* At each place where the excerpt may end within a character. */
static void long_messages_end_with_a_character(void **state)
{
    (void)state;
    static const char *const characters[] = {"\u00e9", "\u4e2d", "\U0001f600"};
    const struct compare_options options = {.mode = COMPARE_LINES};
    for (size_t before = 0; before < 5; before++) {
        for (size_t i = 0; i < COUNT_OF(characters); i++) {
            char text[1000] = "", message[COMPARE_MESSAGE_SIZE];
            for (size_t k = 0; k < before; k++)
                strcat(text, "x");
            for (size_t k = 0; k < 100; k++)
                strcat(text, characters[i]);
            compare_outputs(&options, text, strlen(text), text + 1, strlen(text + 1), message);
            size_t size = strlen(message);
            assert_int_equal(utf8_span((const uint8_t *)message, size), size);
            assert_string_equal(message + size - 4, "'...");
            assert_true(strstr(message, characters[i]) != NULL);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_as_ana),
        cmocka_unit_test(strip_as_python),
        cmocka_unit_test(exact_bytes),
        cmocka_unit_test(tokens),
        cmocka_unit_test(floats),
        cmocka_unit_test(messages_say_where),
        cmocka_unit_test(messages_are_readable_in_every_script),
        cmocka_unit_test(long_messages_end_with_a_character),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
