/* How stored files are answered: type, name, dates, conditions, ranges. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "content.h"

static const char TEXT[] = "text/plain; charset=utf-8";
static const char BINARY[] = "application/octet-stream";

static void the_extension_names_the_type(void **state)
{
    (void)state;
    static const struct {
        const char *name, *head, *type;
    } cases[] = {
        {"page.html", "", "text/html; charset=utf-8"},
        {"PAGE.HTM", "", "text/html; charset=utf-8"},
        {"a.tar.gz", "", "application/gzip"},
        {"data.json", "\x01", "application/json"},
        {"picture.png", "", "image/png"},
        {"notes.txt", "\x01", TEXT},
        {"a.cc", "int main;", TEXT},
        {"a.cc",
         "\x7f"
         "ELF\x02",
         BINARY},
        {"noextension", "", TEXT},
        {"noextension", "words\r\n\t\f\x1b[0m", TEXT},
        {"noextension", "\xff\xfe\xfd", TEXT},
        {"", "x\x08", BINARY},
        {"dir.html/file", "plain", TEXT},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        assert_string_equal(content_type(cases[i].name, cases[i].head, strlen(cases[i].head)),
                            cases[i].type);
    assert_string_equal(content_type("x", "a\0b", 3), BINARY);
}

static void names_are_quoted(void **state)
{
    (void)state;
    static const struct {
        const char *name, *value;
    } cases[] = {
        {"a", "attachment; filename=\"a\""},
        {"", "attachment; filename=\"\""},
        {"a b\".txt", "attachment; filename=\"a b\\\".txt\""},
        {"back\\slash", "attachment; filename=\"back\\\\slash\""},
        {"\xc3\xa4 1.txt", "attachment; filename*=UTF-8''%C3%A4+1.txt"},
        {"x\r\nSet-Cookie: a", "attachment; filename*=UTF-8''x%0D%0ASet-Cookie%3A+a"},
        {"\x7f-_.~'", "attachment; filename*=UTF-8''%7F-_.~%27"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        auto_buf struct buf out = {0};
        content_disposition(cases[i].name, &out);
        buf_append_char(&out, '\0');
        assert_string_equal(out.data, cases[i].value);
    }
}

static void dates_go_there_and_back(void **state)
{
    (void)state;
    char text[CONTENT_DATE_SIZE];
    time_t time = 0;
    assert_string_equal(content_date(784111777, text), "Sun, 06 Nov 1994 08:49:37 GMT");
    static const char *const forms[] = {"Sun, 06 Nov 1994 08:49:37 GMT",
                                        "Sunday, 06-Nov-94 08:49:37 GMT",
                                        "Sun Nov  6 08:49:37 1994"};
    for (size_t i = 0; i < COUNT_OF(forms); i++) {
        assert_int_equal(content_date_parse(forms[i], &time), 0);
        assert_true(time == 784111777);
    }
    static const char *const wrong[] = {"", "yesterday", "784111777",
                                        "Sun, 06 Nov 1994 08:49:37 GMT and more",
                                        "Sun, 06 Nov 1994 08:49:37 CET"};
    for (size_t i = 0; i < COUNT_OF(wrong); i++)
        assert_int_equal(content_date_parse(wrong[i], &time), -1);
    assert_string_equal(content_date(-1, text), "Thu, 01 Jan 1970 00:00:00 GMT");
    assert_string_equal(content_date(INT64_MAX, text), "Thu, 01 Jan 1970 00:00:00 GMT");
}

enum { MODIFIED = 784111777 };
#define BEFORE "Sun, 06 Nov 1994 08:49:36 GMT"
#define SAME   "Sun, 06 Nov 1994 08:49:37 GMT"
#define AFTER  "Sun, 06 Nov 1994 08:49:38 GMT"

static void ranges_choose_a_part(void **state)
{
    (void)state;
    static const struct {
        const char *range;
        uint64_t size;
        int status;
        uint64_t first, length;
    } cases[] = {
        {NULL, 10, 200, 0, 10},
        {"bytes=0-3", 10, 206, 0, 4},
        {"bytes=2-2", 10, 206, 2, 1},
        {"bytes=2-", 10, 206, 2, 8},
        {"bytes=5-99", 10, 206, 5, 5},
        {"bytes=5-18446744073709551615", 10, 206, 5, 5},
        {"bytes=5-99999999999999999999999", 10, 206, 5, 5},
        {"bytes=-3", 10, 206, 7, 3},
        {"bytes=-99", 10, 206, 0, 10},
        {"bytes= 1 - 2 ", 10, 206, 1, 2},
        {"bytes=", 10, 200, 0, 10},
        {"bytes=,,1-2,", 10, 206, 1, 2},
        {"bytes=0-1,4-5", 10, 200, 0, 10},
        {"bytes=10-", 10, 416, 0, 0},
        {"bytes=99999999999999999999999-", 10, 416, 0, 0},
        {"bytes=-0", 10, 416, 0, 0},
        {"bytes=3-2", 10, 416, 0, 0},
        {"bytes=-", 10, 416, 0, 0},
        {"bytes=a-b", 10, 416, 0, 0},
        {"bytes=1-2-3", 10, 416, 0, 0},
        {"bytes=+1-2", 10, 416, 0, 0},
        {"bytes=1--2", 10, 416, 0, 0},
        {"lines=1-2", 10, 416, 0, 0},
        {"bytes=0-", 0, 200, 0, 0},
        {"bytes=-5", 0, 200, 0, 0},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct content_request request = {.range = cases[i].range};
        struct content_part part = content_choose(&request, cases[i].size, MODIFIED);
        if (part.status != cases[i].status || part.first != cases[i].first ||
            part.length != cases[i].length)
            fail_msg("%s of %lu: %d, %lu + %lu", cases[i].range, (unsigned long)cases[i].size,
                     part.status, (unsigned long)part.first, (unsigned long)part.length);
    }
}

static void conditions_come_first(void **state)
{
    (void)state;
    static const struct {
        struct content_request request;
        int status;
    } cases[] = {
        {{.if_modified_since = BEFORE}, 200},
        {{.if_modified_since = SAME}, 304},
        {{.if_modified_since = AFTER}, 304},
        {{.if_modified_since = "soon"}, 200},
        {{.if_modified_since = SAME, .range = "bytes=0-1"}, 304},
        {{.if_unmodified_since = BEFORE}, 412},
        {{.if_unmodified_since = SAME}, 200},
        {{.if_match = "*", .if_unmodified_since = BEFORE}, 200},
        {{.if_match = "\"tag\""}, 412},
        {{.if_none_match = "\"tag\"", .if_modified_since = AFTER}, 200},
        {{.if_none_match = "*"}, 304},
        {{.if_range = SAME, .range = "bytes=0-1"}, 206},
        {{.if_range = BEFORE, .range = "bytes=0-1"}, 200},
        {{.if_range = AFTER, .range = "bytes=0-1"}, 200},
        {{.if_range = "\"tag\"", .range = "bytes=0-1"}, 200},
        {{.if_range = BEFORE, .range = "bytes=99-"}, 200},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        if (content_choose(&cases[i].request, 10, MODIFIED).status != cases[i].status)
            fail_msg("case %zu", i);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_extension_names_the_type), cmocka_unit_test(names_are_quoted),
        cmocka_unit_test(dates_go_there_and_back),      cmocka_unit_test(ranges_choose_a_part),
        cmocka_unit_test(conditions_come_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
