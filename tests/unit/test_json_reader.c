#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/utf8.h"
#include "json_recode.h"

#define BYTES(literal) literal, sizeof(literal) - 1

/* A reader of a copy of text that ends where the heap block ends, for ASan. */
struct document {
    struct json_reader json;
    char *data;
};

static void document_close(struct document *document)
{
    json_reader_free(&document->json);
    free(document->data);
}
#define auto_document __attribute__((cleanup(document_close)))

static struct document *document_open(struct document *document, const char *text, size_t size,
                                      unsigned flags)
{
    document->data = malloc(size);
    assert_true(size == 0 || document->data != NULL);
    if (size > 0)
        memcpy(document->data, text, size);
    json_reader_init(&document->json, document->data, size, flags);
    return document;
}

static struct json_reader *open_text(struct document *document, const char *text, unsigned flags)
{
    return &document_open(document, text, strlen(text), flags)->json;
}

static void assert_failure(const struct json_reader *json, enum json_failure failure,
                           const char *message)
{
    struct cj_error err = {0};
    assert_int_equal(json_reader_check(json, &err), -1);
    assert_string_equal(err.message, message);
    assert_int_equal(json->failure, failure);
    assert_int_equal(err.domain, ERROR_REQUEST);
    const char *at = strstr(message, " at byte ");
    if (at != NULL)
        assert_int_equal(json->offset, atoi(at + strlen(" at byte ")));
}

static void assert_read(const struct json_reader *json)
{
    struct cj_error err = {0};
    if (json_reader_check(json, &err) < 0)
        fail_msg("%s", err.message);
}

static void assert_bytes(struct json_text text, const char *expected, size_t size)
{
    if (text.size != size || memcmp(text.data, expected, size) != 0)
        fail_msg("got '%.*s', expected '%.*s'", (int)text.size, text.data, (int)size, expected);
    assert_int_equal(text.data[text.size], '\0');
}

/* ---- grammar ---- */

static void what_the_grammar_has_is_read(void **state)
{
    (void)state;
    static const struct {
        const char *text, *expected;
    } cases[] = {
        {"null", "null"},
        {"true", "true"},
        {"false", "false"},
        {" \t\r\n1 \t\r\n", "1"},
        {"0", "0"},
        {"-0", "-0"},
        {"-12.50e+07", "-12.50e+07"},
        {"1E-2", "1E-2"},
        {"0e1", "0e1"},
        {"123456789012345678901234567890", "123456789012345678901234567890"},
        {"\"\"", "\"\""},
        {"\"\x7f\"", "\"\x7f\""},
        {"[]", "[]"},
        {"[ ]", "[]"},
        {"{}", "{}"},
        {"{\n}", "{}"},
        {"[[]   ]", "[[]]"},
        {"[null, 1, \"1\", {}]", "[null,1,\"1\",{}]"},
        {" [1 , 2\n,\t3 ] ", "[1,2,3]"},
        {"{\"a\" : 1 , \"b\":{\"c\":[true,false]}}", "{\"a\":1,\"b\":{\"c\":[true,false]}}"},
        {"{\"a\":1,\"a\":2}", "{\"a\":1,\"a\":2}"},
        {"{\"\":0}", "{\"\":0}"},
        {"{\"a\\u0000b\":0}", "{\"a\\u0000b\":0}"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        auto_document struct document document;
        auto_buf struct buf buf = {0};
        struct json_writer writer = json_writer_to(&buf, JSON_COMPACT);
        struct json_reader *json = open_text(&document, cases[i].text, 0);
        json_recode(json, &writer);
        assert_true(json_read_end(json));
        assert_read(json);
        assert_int_equal(json->offset, strlen(cases[i].text));
        assert_int_equal(buf.size, strlen(cases[i].expected));
        assert_memory_equal(buf.data, cases[i].expected, buf.size);
    }
}

/* Documents and Go 1.26's messages for them, with the offsets of its errors. */
static const struct {
    const char *text;
    size_t size;
    const char *message;
} refused[] = {
    {BYTES(""), "EOF"},
    {BYTES(" \t\r\n"), "EOF"},
    {BYTES("-"), "unexpected EOF"},
    {BYTES(" nul"), "unexpected EOF"},
    {BYTES("\"abc"), "unexpected EOF"},
    {BYTES("{\"a\""), "unexpected EOF"},
    {BYTES("[1"), "unexpected EOF"},
    {BYTES("[1,"), "unexpected EOF"},
    {BYTES("\0"), "invalid character '\\x00' looking for beginning of value at byte 0"},
    {BYTES("\xef\xbb\xbf{}"), "invalid character 'ï' looking for beginning of value at byte 0"},
    {BYTES("\xff\xfe"), "invalid character 'ÿ' looking for beginning of value at byte 0"},
    {BYTES("\x80"), "invalid character '\\u0080' looking for beginning of value at byte 0"},
    {BYTES("\xad"), "invalid character '\\u00ad' looking for beginning of value at byte 0"},
    {BYTES("'a'"), "invalid character '\\'' looking for beginning of value at byte 0"},
    {BYTES("\\"), "invalid character '\\\\' looking for beginning of value at byte 0"},
    {BYTES("\v"), "invalid character '\\v' looking for beginning of value at byte 0"},
    {BYTES("\x7f"), "invalid character '\\x7f' looking for beginning of value at byte 0"},
    {BYTES("]"), "invalid character ']' looking for beginning of value at byte 0"},
    {BYTES("NaN"), "invalid character 'N' looking for beginning of value at byte 0"},
    {BYTES("Infinity"), "invalid character 'I' looking for beginning of value at byte 0"},
    {BYTES("-Infinity"), "invalid character 'I' in numeric literal at byte 1"},
    {BYTES("+1"), "invalid character '+' looking for beginning of value at byte 0"},
    {BYTES(".5"), "invalid character '.' looking for beginning of value at byte 0"},
    {BYTES("[01]"), "invalid character '1' after array element at byte 2"},
    {BYTES("[-01]"), "invalid character '1' after array element at byte 3"},
    {BYTES("[0x1]"), "invalid character 'x' after array element at byte 2"},
    {BYTES("[1.]"), "invalid character ']' after decimal point in numeric literal at byte 3"},
    {BYTES("[1.e1]"), "invalid character 'e' after decimal point in numeric literal at byte 3"},
    {BYTES("[1e]"), "invalid character ']' in exponent of numeric literal at byte 3"},
    {BYTES("[1e+]"), "invalid character ']' in exponent of numeric literal at byte 4"},
    {BYTES("[1ee1]"), "invalid character 'e' in exponent of numeric literal at byte 3"},
    {BYTES("--1"), "invalid character '-' in numeric literal at byte 1"},
    {BYTES("[1 000]"), "invalid character '0' after array element at byte 3"},
    {BYTES("TRUE"), "invalid character 'T' looking for beginning of value at byte 0"},
    {BYTES("trve"), "invalid character 'v' in literal true (expecting 'u') at byte 2"},
    {BYTES("falsE"), "invalid character 'E' in literal false (expecting 'e') at byte 4"},
    {BYTES("nul\n"), "invalid character '\\n' in literal null (expecting 'l') at byte 3"},
    {BYTES("[,]"), "invalid character ',' looking for beginning of value at byte 1"},
    {BYTES("[1,]"), "invalid character ']' looking for beginning of value at byte 3"},
    {BYTES("[1,,2]"), "invalid character ',' looking for beginning of value at byte 3"},
    {BYTES("[1 2]"), "invalid character '2' after array element at byte 3"},
    {BYTES("[1}"), "invalid character '}' after array element at byte 2"},
    {BYTES("[1;2]"), "invalid character ';' after array element at byte 2"},
    {BYTES("[\"a\":1]"), "invalid character ':' after array element at byte 4"},
    {BYTES("{,}"), "invalid character ',' looking for beginning of object key string at byte 1"},
    {BYTES("{\"a\":1,}"),
     "invalid character '}' looking for beginning of object key string at byte 7"},
    {BYTES("{a:1}"), "invalid character 'a' looking for beginning of object key string at byte 1"},
    {BYTES("{1:1}"), "invalid character '1' looking for beginning of object key string at byte 1"},
    {BYTES("{\"a\"}"), "invalid character '}' after object key at byte 4"},
    {BYTES("{\"a\" 1}"), "invalid character '1' after object key at byte 5"},
    {BYTES("{\"a\"::1}"), "invalid character ':' looking for beginning of value at byte 5"},
    {BYTES("{\"a\":}"), "invalid character '}' looking for beginning of value at byte 5"},
    {BYTES("{\"a\":1]"), "invalid character ']' after object key:value pair at byte 6"},
    {BYTES("{\"a\":1 \"b\":2}"), "invalid character '\"' after object key:value pair at byte 7"},
    {BYTES("{\"a\":/**/1}"), "invalid character '/' looking for beginning of value at byte 5"},
    {BYTES("\"\x1f\""), "invalid character '\\x1f' in string literal at byte 1"},
    {BYTES("\"a\0b\""), "invalid character '\\x00' in string literal at byte 2"},
    {BYTES("\"12345678\n\""), "invalid character '\\n' in string literal at byte 9"},
    {BYTES("{\"\t\":0}"), "invalid character '\\t' in string literal at byte 2"},
    {BYTES("\"\\x41\""), "invalid character 'x' in string escape code at byte 2"},
    {BYTES("\"\\'\""), "invalid character '\\'' in string escape code at byte 2"},
    {BYTES("\"\\\xc3\xa9\""), "invalid character 'Ã' in string escape code at byte 2"},
    {BYTES("\"\\U0041\""), "invalid character 'U' in string escape code at byte 2"},
    {BYTES("\"\\u00g0\""), "invalid character 'g' in \\u hexadecimal character escape at byte 5"},
    {BYTES("\"\\ud83d\\u12x4\""),
     "invalid character 'x' in \\u hexadecimal character escape at byte 11"},
    {BYTES("\"\\u12\""), "invalid character '\"' in \\u hexadecimal character escape at byte 5"},
};

static enum json_failure failure_of(const char *message)
{
    if (strcmp(message, "EOF") == 0)
        return JSON_EMPTY;
    return strcmp(message, "unexpected EOF") == 0 ? JSON_TRUNCATED : JSON_BAD_GRAMMAR;
}

static void what_it_has_not_is_refused_in_gos_words(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(refused); i++) {
        auto_document struct document document, skipped;
        auto_buf struct buf buf = {0};
        struct json_writer writer = json_writer_to(&buf, JSON_COMPACT);
        document_open(&document, refused[i].text, refused[i].size, 0);
        document_open(&skipped, refused[i].text, refused[i].size, 0);
        json_recode(&document.json, &writer);
        assert_failure(&document.json, failure_of(refused[i].message), refused[i].message);
        assert_false(json_skip(&skipped.json));
        assert_failure(&skipped.json, failure_of(refused[i].message), refused[i].message);
        assert_false(json_read_end(&skipped.json));
    }
}

static const char sample[] =
    "{\"cmd\": [{\"args\": [\"/bin/cat\", \"-\\u00e9\\n\\ud83d\\ude00\"], \"cpuLimit\": 1e9, "
    "\"tty\": false, \"files\": [null, {\"content\": \"caf\xc3\xa9 \xe4\xb8\xad\"}], "
    "\"max\": -10.25e-1}], \"x\": true }";

static void each_prefix_ends_unexpectedly(void **state)
{
    (void)state;
    for (size_t size = 0; size < strlen(sample); size++) {
        auto_document struct document document, skipped;
        auto_buf struct buf buf = {0};
        struct json_writer writer = json_writer_to(&buf, JSON_COMPACT);
        document_open(&document, sample, size, 0);
        document_open(&skipped, sample, size,
                      JSON_REJECT_INVALID_UTF8 | JSON_REJECT_LONE_SURROGATES);
        json_recode(&document.json, &writer);
        json_skip(&skipped.json);
        enum json_failure failure = size == 0 ? JSON_EMPTY : JSON_TRUNCATED;
        const char *message = size == 0 ? "EOF" : "unexpected EOF";
        assert_failure(&document.json, failure, message);
        assert_failure(&skipped.json, failure, message);
        assert_int_equal(skipped.json.offset, size);
    }
}

static void what_follows_the_first_value_counts_when_asked_for(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"{} \n", NULL},
        {"{}x", "invalid character 'x' after top-level value at byte 2"},
        {"{} {}", "invalid character '{' after top-level value at byte 3"},
        {"01", "invalid character '1' after top-level value at byte 1"},
        {"truex", "invalid character 'x' after top-level value at byte 4"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        auto_document struct document document;
        struct json_reader *json = open_text(&document, cases[i].text, 0);
        assert_true(json_skip(json));
        assert_read(json);
        assert_int_equal(json_read_end(json), cases[i].message == NULL);
        if (cases[i].message != NULL)
            assert_failure(json, JSON_BAD_GRAMMAR, cases[i].message);
    }
}

/* depth brackets, of which the reader enters some and skips the others. */
static void read_nested(struct json_reader *json, size_t entered)
{
    for (size_t i = 0; i < entered; i++)
        if (json_read_array(json))
            json_next_item(json);
    if (entered == 0)
        json_skip(json);
    while (json->failure == JSON_OK && json->depth > 0)
        json_next_item(json);
}

static void depth_is_limited(void **state)
{
    (void)state;
    char text[2 * JSON_READER_DEPTH_MAX + 2];
    for (size_t over = 0; over < 2; over++) {
        size_t depth = JSON_READER_DEPTH_MAX + over;
        memset(text, '[', depth);
        memset(text + depth, ']', depth);
        for (size_t entered = 0; entered <= depth; entered += 57) {
            auto_document struct document document;
            document_open(&document, text, 2 * depth, 0);
            read_nested(&document.json, entered);
            if (over == 0)
                assert_read(&document.json);
            else
                assert_failure(&document.json, JSON_TOO_DEEP, "exceeded max depth at byte 512");
        }
    }
}

static void depth_costs_no_stack(void **state)
{
    (void)state;
    size_t size = 10 << 20;
    char *text = malloc(size);
    assert_non_null(text);
    memset(text, '[', size);
    struct json_reader json;
    json_reader_init(&json, text, size, 0);
    assert_false(json_skip(&json));
    assert_failure(&json, JSON_TOO_DEEP, "exceeded max depth at byte 512");
    free(text);
}

/* ---- numbers ---- */

static void unsigned_integers_are_exact(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t value;
        const char *message;
    } cases[] = {
        {"0", 0, NULL},
        {"9007199254740993", UINT64_C(9007199254740993), NULL},
        {"18446744073709551615", UINT64_MAX, NULL},
        {"18446744073709551616", 0, "number 18446744073709551616"},
        {"18446744073709551620", 0, "number 18446744073709551620"},
        {"99999999999999999999", 0, "number 99999999999999999999"},
        {"-1", 0, "number -1"},
        {"-0", 0, "number -0"},
        {"1.0", 0, "number 1.0"},
        {"1e9", 0, "number 1e9"},
        {"\"5\"", 0, "string"},
        {"true", 0, "bool"},
        {"null", 0, "null"},
        {"[]", 0, "array"},
        {"{\"a\":[]}", 0, "object"},
        {"1234567890123456789012345678901234567890123", 0,
         "number 1234567890123456789012345678901234567890..."},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        auto_document struct document document;
        struct json_reader *json = open_text(&document, cases[i].text, 0);
        uint64_t value = 77;
        assert_int_equal(json_read_uint64(json, &value), cases[i].message == NULL);
        assert_true(value == (cases[i].message == NULL ? cases[i].value : 77));
        char message[200];
        snprintf(message, sizeof(message),
                 "json: cannot unmarshal %s into value of type uint64 at byte 0",
                 cases[i].message == NULL ? "" : cases[i].message);
        if (cases[i].message != NULL)
            assert_failure(json, JSON_BAD_VALUE, message);
    }
}

static void signed_integers_are_exact(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t value;
        const char *message;
    } cases[] = {
        {"-0", 0, NULL},
        {"-1", -1, NULL},
        {"9223372036854775807", INT64_MAX, NULL},
        {"-9223372036854775808", INT64_MIN, NULL},
        {"9223372036854775808", 0, "number 9223372036854775808"},
        {"-9223372036854775809", 0, "number -9223372036854775809"},
        {"-18446744073709551617", 0, "number -18446744073709551617"},
        {"-1.0", 0, "number -1.0"},
        {"1e2", 0, "number 1e2"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        auto_document struct document document;
        struct json_reader *json = open_text(&document, cases[i].text, 0);
        int64_t value = 77;
        assert_int_equal(json_read_int64(json, &value), cases[i].message == NULL);
        assert_true(value == (cases[i].message == NULL ? cases[i].value : 77));
        char message[200];
        snprintf(message, sizeof(message),
                 "json: cannot unmarshal %s into value of type int64 at byte 0",
                 cases[i].message == NULL ? "" : cases[i].message);
        if (cases[i].message != NULL)
            assert_failure(json, JSON_BAD_VALUE, message);
    }
}

static void doubles_are_rounded_correctly(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        double value;
    } cases[] = {
        {"0", 0},
        {"1.5", 1.5},
        {"-2.5e3", -2500},
        {"0.1", 0.1},
        {"1e-400", 0},
        {"5e-324", 5e-324},
        {"1.7976931348623157e308", DBL_MAX},
        {"9007199254740993", 9007199254740992.0},
        /* just above halfway between two doubles, told by the last digit of many */
        {"9007199254740993.000000000000000000000000000000000000000000000000000000000000000000001",
         9007199254740994.0},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        auto_document struct document document;
        struct json_reader *json = open_text(&document, cases[i].text, 0);
        double value = 77;
        assert_true(json_read_double(json, &value));
        assert_true(value == cases[i].value);
        assert_true(json_read_end(json));
    }
    auto_document struct document document;
    struct json_reader *json = open_text(&document, "[-1e400]", 0);
    double value = 77;
    json_read_array(json);
    json_next_item(json);
    assert_false(json_read_double(json, &value));
    assert_true(value == 77);
    assert_failure(json, JSON_BAD_VALUE,
                   "json: cannot unmarshal number -1e400 into field [0] of type float64 at byte 1");
}

/* ---- strings ---- */

static void strings_are_unescaped(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t text_size;
        const char *expected;
        size_t size;
        bool replaced;
    } cases[] = {
        {BYTES("\"\""), BYTES(""), false},
        {BYTES("\"plain text, somewhat longer than a word\""),
         BYTES("plain text, somewhat longer than a word"), false},
        {BYTES("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\""), BYTES("\"\\/\b\f\n\r\t"), false},
        {BYTES("\"\\u0000a\\u0000\""), BYTES("\0a\0"), false},
        {BYTES("\"\\u007f\\u0080\\u07ff\\u0800\\uFFFF\""),
         BYTES("\x7f\xc2\x80\xdf\xbf\xe0\xa0\x80\xef\xbf\xbf"), false},
        {BYTES("\"\\uD83D\\ude00\\uDBFF\\uDFFF\\uD800\\uDC00\""),
         BYTES("\xf0\x9f\x98\x80\xf4\x8f\xbf\xbf\xf0\x90\x80\x80"), false},
        {BYTES("\"caf\xc3\xa9 \xe4\xb8\xad\xe6\x96\x87 \xf0\x9f\x98\x80\""),
         BYTES("caf\xc3\xa9 \xe4\xb8\xad\xe6\x96\x87 \xf0\x9f\x98\x80"), false},
        {BYTES("\"\xef\xbf\xbd\\ufffd\""), BYTES("\xef\xbf\xbd\xef\xbf\xbd"), false},
        {BYTES("\"\xe2\x80\xa8\x7f\""), BYTES("\xe2\x80\xa8\x7f"), false},
        /* lone surrogates: what follows is read on its own */
        {BYTES("\"\\ud800\""), BYTES("\xef\xbf\xbd"), true},
        {BYTES("\"\\ude00x\""), BYTES("\xef\xbf\xbdx"), true},
        {BYTES("\"\\ud83d\\u0041\""), BYTES("\xef\xbf\xbd\x41"), true},
        {BYTES("\"\\ud83d\\n\""), BYTES("\xef\xbf\xbd\n"), true},
        {BYTES("\"\\ud83d\\ud83d\\ude00\""), BYTES("\xef\xbf\xbd\xf0\x9f\x98\x80"), true},
        {BYTES("\"\\ude00\\ud83d\""), BYTES("\xef\xbf\xbd\xef\xbf\xbd"), true},
        /* invalid UTF-8: each byte */
        {BYTES("\"\xff\""), BYTES("\xef\xbf\xbd"), true},
        {BYTES("\"a\x80z\""), BYTES("a\xef\xbf\xbdz"), true},
        {BYTES("\"\xe4\xb8\""), BYTES("\xef\xbf\xbd\xef\xbf\xbd"), true},
        {BYTES("\"\xc0\x80\""), BYTES("\xef\xbf\xbd\xef\xbf\xbd"), true},
        {BYTES("\"\xed\xa0\x80\""), BYTES("\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"), true},
        {BYTES("\"\xf4\x90\x80\x80\""), BYTES("\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"),
         true},
        /* room that escapes have left is used first */
        {BYTES("\"\\u0041\xff\xff\xff\\u0042\""),
         BYTES("A\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"
               "B"),
         true},
        {BYTES("\"\\n\xff\\n\xc3\xa9\""), BYTES("\n\xef\xbf\xbd\n\xc3\xa9"), true},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        auto_document struct document document;
        document_open(&document, cases[i].text, cases[i].text_size, 0);
        struct json_text text;
        assert_true(json_read_string(&document.json, &text));
        assert_bytes(text, cases[i].expected, cases[i].size);
        assert_int_equal(text.replaced, cases[i].replaced);
        assert_false(text.invalid);
        assert_true(json_read_end(&document.json));
    }
}

static void invalid_text_is_refused_when_asked_for(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        unsigned flags;
        const char *message;
    } cases[] = {
        {"[\"a\xff\"]", JSON_REJECT_LONE_SURROGATES, NULL},
        {"[\"a\xff\"]", JSON_REJECT_INVALID_UTF8, "invalid UTF-8 in string literal at byte 3"},
        {"[\"0123456789\xe4\xb8\"]", JSON_REJECT_INVALID_UTF8,
         "invalid UTF-8 in string literal at byte 12"},
        {"[{\"\xed\xa0\x80\":0}]", JSON_REJECT_INVALID_UTF8,
         "invalid UTF-8 in string literal at byte 3"},
        {"[\"\xc3\xa9 \xe4\xb8\xad \xf0\x9f\x98\x80\"]", JSON_REJECT_INVALID_UTF8, NULL},
        {"[\"\\ud83d\"]", JSON_REJECT_INVALID_UTF8, NULL},
        {"[\"a\\ud83d\"]", JSON_REJECT_LONE_SURROGATES,
         "lone surrogate in string literal at byte 3"},
        {"[\"a\\ud83dxyz123\"]", JSON_REJECT_LONE_SURROGATES,
         "lone surrogate in string literal at byte 3"},
        {"[{\"\\ude00\":0}]", JSON_REJECT_LONE_SURROGATES,
         "lone surrogate in string literal at byte 3"},
        {"[\"\\ud83d\\ude00\"]", JSON_REJECT_LONE_SURROGATES, NULL},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        auto_document struct document document, skipped;
        auto_buf struct buf buf = {0};
        struct json_writer writer = json_writer_to(&buf, JSON_COMPACT);
        json_recode(open_text(&document, cases[i].text, cases[i].flags), &writer);
        json_skip(open_text(&skipped, cases[i].text, cases[i].flags));
        if (cases[i].message != NULL) {
            assert_failure(&document.json, JSON_BAD_TEXT, cases[i].message);
            assert_failure(&skipped.json, JSON_BAD_TEXT, cases[i].message);
        } else {
            assert_read(&document.json);
            assert_read(&skipped.json);
        }
    }
}

static void bytes_stay_as_they_are_when_asked_for(void **state)
{
    (void)state;
    auto_document struct document document;
    struct json_reader *json =
        open_text(&document, "[\"\xff\\n\xe4\xb8z\xc3\xa9\",\"\\ud800\",\"\xff\",1]", 0);
    struct json_text text;
    json_read_array(json);
    assert_true(json_next_item(json) && json_read_bytes(json, &text));
    assert_bytes(text, BYTES("\xff\n\xe4\xb8z\xc3\xa9"));
    assert_true(text.invalid);
    assert_false(text.replaced);
    assert_true(json_next_item(json) && json_read_bytes(json, &text));
    assert_bytes(text, BYTES("\xef\xbf\xbd"));
    assert_false(text.invalid);
    assert_true(text.replaced);
    assert_null(json->copies);
    assert_true(json_next_item(json) && json_read_string(json, &text));
    assert_bytes(text, BYTES("\xef\xbf\xbd"));
    assert_non_null(json->copies);
    assert_true(json_next_item(json));
    assert_false(json_read_bytes(json, &text));
    assert_failure(json, JSON_BAD_VALUE,
                   "json: cannot unmarshal number into field [3] of type string at byte 25");
    auto_document struct document strict;
    assert_false(json_read_bytes(open_text(&strict, "\"\xff\"", JSON_REJECT_INVALID_UTF8), &text));
    assert_failure(&strict.json, JSON_BAD_TEXT, "invalid UTF-8 in string literal at byte 1");
}

/* Wherever in a word of the scanner it stands, what ends a span is seen, and only that. */
static void every_place_is_looked_at(void **state)
{
    (void)state;
    for (size_t place = 0; place < 40; place++)
        for (unsigned byte = 0; byte < 256; byte++) {
            char text[44];
            memset(text, place % 2 == 0 ? 'x' : 0x7f, sizeof(text));
            text[0] = text[42] = '"';
            text[43] = ' ';
            text[place + 1] = (char)byte;
            auto_document struct document read, skipped;
            document_open(&read, text, sizeof(text), 0);
            document_open(&skipped, text, sizeof(text), 0);
            struct json_text string;
            json_read_string(&read.json, &string);
            json_skip(&skipped.json);
            size_t end = byte == '"' ? place + 2 : byte < 0x20 || byte == '\\' ? place + 1 : 43;
            end += byte == '\\'; /* the letter behind it is what is wrong */
            assert_int_equal(read.json.failure != JSON_OK, byte < 0x20 || byte == '\\');
            assert_int_equal(read.json.offset, end);
            assert_int_equal(skipped.json.failure, read.json.failure);
            assert_int_equal(skipped.json.offset, end);
            if (read.json.failure == JSON_OK)
                assert_int_equal(string.size, byte == '"' ? place : byte < 0x80 ? 41 : 43);
        }
}

static void large_strings_grow(void **state)
{
    (void)state;
    enum { SIZE = 300000 };
    char *text = malloc(SIZE);
    assert_non_null(text);
    memset(text, 0xa5, SIZE);
    text[0] = text[SIZE - 1] = '"';
    struct json_reader json;
    json_reader_init(&json, text, SIZE, 0);
    struct json_text string;
    assert_true(json_read_string(&json, &string));
    assert_int_equal(string.size, 3 * (SIZE - 2));
    for (size_t i = 0; i < string.size; i += 3)
        assert_memory_equal(string.data + i, "\xef\xbf\xbd", 3);
    assert_int_equal(string.data[string.size], '\0');
    json_reader_free(&json);
    free(text);
}

/* ---- structures ---- */

struct command {
    char names[4][16];
    size_t name_count;
    uint64_t cpu_limit;
    int64_t max;
    double rate;
    bool tty;
};

enum { COMMAND_ARGS, COMMAND_CPU_LIMIT, COMMAND_MAX, COMMAND_RATE, COMMAND_TTY, COMMAND_FIELDS };
static const char *const command_fields[COMMAND_FIELDS] = {"args", "cpuLimit", "max", "rate",
                                                           "tty"};

static void read_args(struct json_reader *json, struct command *command)
{
    json_read_array(json);
    while (json_next_item(json)) {
        struct json_text text = {.data = ""};
        if (json_read_string(json, &text) && command->name_count < 4)
            snprintf(command->names[command->name_count++], 16, "%s", text.data);
    }
}

static void read_command(struct json_reader *json, struct command *command)
{
    struct json_text key;
    json_read_object(json);
    while (json_next_key(json, &key)) {
        switch (json_key_find(key, command_fields, COMMAND_FIELDS)) {
        case COMMAND_ARGS:
            read_args(json, command);
            break;
        case COMMAND_CPU_LIMIT:
            json_read_uint64(json, &command->cpu_limit);
            break;
        case COMMAND_MAX:
            json_read_int64(json, &command->max);
            break;
        case COMMAND_RATE:
            json_read_double(json, &command->rate);
            break;
        case COMMAND_TTY:
            json_read_bool(json, &command->tty);
            break;
        default:
            break;
        }
    }
}

/* {"cmd": [COMMAND, ...]}, of which the last one stays. */
static void read_request(struct json_reader *json, struct command *command)
{
    struct json_text key;
    json_read_object(json);
    while (json_next_key(json, &key)) {
        if (!json_key_is(key, "cmd"))
            continue;
        json_read_array(json);
        while (json_next_item(json))
            read_command(json, command);
    }
}

static void fields_are_read_and_others_skipped(void **state)
{
    (void)state;
    auto_document struct document document;
    struct json_reader *json = open_text(
        &document,
        "{\"a\":[1,{\"cmd\":[]},\"]}\"], \"cmd\":[{\"ARGS\":[\"x\",null,\"y\"],"
        "\"cpulimit\":5,\"cpuLimit\":6,\"CPULIMIT\":null,\"max\":-7,\"cpuLimit\\u0000\":9,"
        "\"rate\":0.5,\"tty\":true,\"tty\":null,\"z\":{\"cpuLimit\":1}},null]}",
        JSON_NULL_KEEPS);
    struct command command = {0};
    read_request(json, &command);
    assert_read(json);
    assert_true(json_read_end(json));
    assert_int_equal(command.name_count, 3);
    assert_string_equal(command.names[0], "x");
    assert_string_equal(command.names[1], "");
    assert_string_equal(command.names[2], "y");
    assert_int_equal(command.cpu_limit, 6);
    assert_int_equal(command.max, -7);
    assert_true(command.rate == 0.5);
    assert_true(command.tty);
}

static void null_is_an_empty_structure_where_it_may_be(void **state)
{
    (void)state;
    static const char *const texts[] = {"null", "{\"cmd\":null}", "{\"cmd\":[null,null]}",
                                        "{\"cmd\":[{\"args\":null,\"max\":null}]}", "{}"};
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        auto_document struct document document, strict;
        struct command command = {.max = 3};
        read_request(open_text(&document, texts[i], JSON_NULL_KEEPS), &command);
        assert_true(json_read_end(&document.json));
        assert_read(&document.json);
        assert_int_equal(document.json.offset, strlen(texts[i]));
        assert_int_equal(command.max, 3);
        read_request(open_text(&strict, texts[i], 0), &command);
        assert_int_equal(json_reader_check(&strict.json, NULL), strcmp(texts[i], "{}") ? -1 : 0);
    }
}

static void an_error_of_type_names_the_field(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"[]", "json: cannot unmarshal array into value of type object at byte 0"},
        {" \"x\"", "json: cannot unmarshal string into value of type object at byte 1"},
        {"{\"cmd\": {}}", "json: cannot unmarshal object into field cmd of type array at byte 8"},
        {"{\"cmd\":[{},7]}",
         "json: cannot unmarshal number into field cmd[1] of type object at byte 11"},
        {"{\"cmd\":[{\"cpuLimit\": -1}]}",
         "json: cannot unmarshal number -1 into field cmd[0].cpuLimit of type uint64 at byte 21"},
        {"{\"x\":[[1],2],\"cmd\":[{\"args\":[\"a\",\"b\",1]}]}",
         "json: cannot unmarshal number into field cmd[0].args[2] of type string at byte 37"},
        {"{\"cmd\":[{\"args\":[\"a\"],\"tty\":\"true\"}]}",
         "json: cannot unmarshal string into field cmd[0].tty of type bool at byte 28"},
        {"{\"CMD\":[{\"\\u006Dax\":1.5}]}",
         "json: cannot unmarshal number 1.5 into field CMD[0].max of type int64 at byte 20"},
        {"{\"cmd\":[{\"rate\":[]}]}",
         "json: cannot unmarshal array into field cmd[0].rate of type float64 at byte 16"},
        /* the first one counts */
        {"{\"cmd\":[{\"rate\":[]},1]}",
         "json: cannot unmarshal array into field cmd[0].rate of type float64 at byte 16"},
        /* but grammar comes before it */
        {"{\"cmd\":[{\"rate\":[]},1]", "unexpected EOF"},
        {"{\"cmd\":[{\"rate\":[x]},1]}",
         "invalid character 'x' looking for beginning of value at byte 17"},
        {"{\"cmd\":1, \"y\" 2}", "invalid character '2' after object key at byte 14"},
        {"{\"cmd\":[{\"max\":1e}]}",
         "invalid character '}' in exponent of numeric literal at byte 17"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        auto_document struct document document;
        struct command command = {0};
        read_request(open_text(&document, cases[i].text, 0), &command);
        enum json_failure failure = failure_of(cases[i].message);
        if (strncmp(cases[i].message, "json:", 5) == 0)
            failure = JSON_BAD_VALUE;
        assert_failure(&document.json, failure, cases[i].message);
        assert_false(json_fail(&document.json, "later"));
        assert_int_equal(json_peek(&document.json), JSON_NONE);
        assert_failure(&document.json, failure, cases[i].message);
    }
}

static void callers_object_with_the_path(void **state)
{
    (void)state;
    auto_document struct document document;
    struct json_reader *json = open_text(&document, "{\"a\": [0, {\"b\": \"text\"}], \"c\":1}", 0);
    struct json_text text;
    char path[40];
    json_read_object(json);
    assert_string_equal(json_reader_path(json, path, sizeof(path)), "");
    json_next_key(json, &text);
    json_read_array(json);
    assert_string_equal(json_reader_path(json, path, sizeof(path)), "a");
    json_next_item(json);
    assert_true(json_next_item(json));
    json_read_object(json);
    assert_true(json_next_key(json, &text) && json_read_string(json, &text));
    assert_string_equal(json_reader_path(json, path, sizeof(path)), "a[1].b");
    assert_string_equal(json_reader_path(json, path, 4), "a[1");
    assert_false(json_fail(json, "%s is no number", text.data));
    assert_failure(json, JSON_BAD_VALUE, "a[1].b: text is no number at byte 16");
}

static void a_hostile_key_stays_readable(void **state)
{
    (void)state;
    auto_document struct document document;
    char text[400];
    /* 99 letters, then a character of two bytes across the cut */
    snprintf(text, sizeof(text), "{\"\\u0000\\n%097d\xc3\xa9%050d\": 1}", 0, 0);
    struct json_reader *json = open_text(&document, text, 0);
    struct json_text key;
    char expected[400];
    json_read_object(json);
    assert_true(json_next_key(json, &key));
    assert_int_equal(key.size, 2 + 97 + 2 + 50);
    json_read_string(json, &key);
    snprintf(expected, sizeof(expected),
             "json: cannot unmarshal number into field ??%097d... of type string at byte 162", 0);
    assert_failure(json, JSON_BAD_VALUE, expected);
}

static void a_path_has_an_end(void **state)
{
    (void)state;
    char text[2 * JSON_READER_PATH_MAX + 20] = "";
    for (size_t i = 0; i < JSON_READER_PATH_MAX + 2; i++)
        strcat(text, "[");
    strcat(text, "1");
    auto_document struct document document;
    struct json_reader *json = open_text(&document, text, 0);
    for (size_t i = 0; i < JSON_READER_PATH_MAX + 2; i++) {
        assert_true(json_read_array(json));
        assert_true(json_next_item(json));
    }
    char path[200];
    json_reader_path(json, path, sizeof(path));
    assert_int_equal(strlen(path), 3 * JSON_READER_PATH_MAX + 3);
    assert_string_equal(path + 3 * JSON_READER_PATH_MAX - 3, "[0]...");
}

static void raw_values_can_be_read_later(void **state)
{
    (void)state;
    auto_document struct document document;
    struct json_reader *json =
        open_text(&document, "{\"v\": {\"s\" : \"\\u0041\", \"n\":[1, 2] } , \"t\":\"u\"}", 0);
    struct json_text key, text = {0};
    char *raw = NULL;
    size_t size = 0;
    json_read_object(json);
    assert_true(json_next_key(json, &key) && json_read_raw(json, &raw, &size));
    assert_true(json_next_key(json, &key) && json_read_string(json, &text));
    assert_bytes(text, BYTES("u"));
    assert_false(json_next_key(json, &key));
    assert_read(json);
    assert_int_equal(size, 29);
    assert_memory_equal(raw, "{\"s\" : \"\\u0041\", \"n\":[1, 2] }", 29);
    auto_json_reader struct json_reader inner;
    json_reader_init(&inner, raw, size, 0);
    json_read_object(&inner);
    assert_true(json_next_key(&inner, &key) && json_read_string(&inner, &text));
    assert_bytes(text, BYTES("A"));
}

static void keys_are_found_as_go_does(void **state)
{
    (void)state;
    static const char *const names[] = {"args", "cpuLimit", "CPULIMIT", "kisses"};
    static const struct {
        const char *key;
        size_t size;
        int index;
    } cases[] = {
        {BYTES("args"), 0},
        {BYTES("ARGS"), 0},
        {BYTES("arg"), -1},
        {BYTES("argss"), -1},
        {BYTES(""), -1},
        {BYTES("args\0"), -1},
        {BYTES("\0args"), -1},
        {BYTES("cpuLimit"), 1},
        {BYTES("CPULIMIT"), 2},
        {BYTES("cpulimit"), 1},
        {BYTES("arg\xc5\xbf"), 0}, /* long s */
        {BYTES("\xe2\x84\xaai\xc5\xbfS\xc5\xbf\x65s"), -1},
        {BYTES("\xe2\x84\xaaI\xc5\xbfse\xc5\xbf"), 3}, /* Kelvin */
        {BYTES("arg\xc3\x9f"), -1},
        {BYTES("arg\xff"), -1},
        {BYTES("arg["), -1},
        {BYTES("arg\x13"), -1}, /* 's' without its bit of case and one more */
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct json_text key = {.data = cases[i].key, .size = cases[i].size};
        assert_int_equal(json_key_find(key, names, COUNT_OF(names)), cases[i].index);
    }
    assert_true(json_text_equal((struct json_text){.data = "a\0b", .size = 1}, "a"));
    assert_false(json_text_equal((struct json_text){.data = "a\0b", .size = 3}, "a"));
}

/* ---- against the writer ---- */

static uint64_t random_next(uint64_t *state)
{
    *state ^= *state << 13; /* xorshift64, Marsaglia 2003 */
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* Any bytes, of which most are ASCII or pieces of UTF-8. */
static size_t random_bytes(uint64_t *random, char data[static 64])
{
    static const char *const pieces[] = {"\xc3\xa9",     "\xe4\xb8\xad", "\xf0\x9f\x98\x80",
                                         "\xe2\x80\xa8", "\"\\",         "\n",
                                         "<>&",          "plain text"};
    size_t size = 0;
    for (size_t i = random_next(random) % 6; i > 0; i--) {
        uint64_t choice = random_next(random) % 12;
        if (choice < COUNT_OF(pieces)) {
            memcpy(data + size, pieces[choice], strlen(pieces[choice]));
            size += strlen(pieces[choice]);
        } else {
            data[size++] = (char)random_next(random);
        }
    }
    return size;
}

/* What the writer makes of the bytes when they come back. */
static void repair(const char *data, size_t size, struct buf *out)
{
    for (size_t i = 0; i < size;) {
        size_t length = utf8_decode((const uint8_t *)data + i, size - i, NULL);
        if (length == 0)
            buf_append_text(out, "\xef\xbf\xbd");
        else
            buf_append(out, data + i, length);
        i += length == 0 ? 1 : length;
    }
}

static void written_strings_come_back(void **state)
{
    (void)state;
    uint64_t random = 88172645463325252U;
    for (int round = 0; round < 20000; round++) {
        char data[64];
        size_t size = random_bytes(&random, data);
        auto_buf struct buf buf = {0}, expected = {0};
        struct json_writer writer =
            json_writer_to(&buf, round % 2 == 0 ? JSON_COMPACT : JSON_PRETTY);
        repair(data, size, &expected);
        json_object_begin(&writer);
        json_key_bytes(&writer, data, size);
        json_string_bytes(&writer, data, size);
        json_object_end(&writer);
        auto_document struct document document;
        document_open(&document, buf.data, buf.size, JSON_REJECT_INVALID_UTF8);
        struct json_text key, text;
        json_read_object(&document.json);
        assert_true(json_next_key(&document.json, &key));
        assert_true(json_read_string(&document.json, &text));
        assert_bytes(key, expected.data == NULL ? "" : expected.data, expected.size);
        assert_bytes(text, expected.data == NULL ? "" : expected.data, expected.size);
        assert_false(json_next_key(&document.json, &key));
        assert_true(json_read_end(&document.json));
    }
}

/* Text that the writer need not repair. */
static void random_text(uint64_t *random, struct buf *text)
{
    char data[64];
    size_t size = random_bytes(random, data);
    repair(data, size, text);
}

static void write_random(struct json_writer *writer, uint64_t *random, unsigned depth)
{
    auto_buf struct buf text = {0};
    uint64_t choice = random_next(random) % (depth < 6 ? 9 : 6);
    random_text(random, &text);
    if (choice < 2) {
        json_uint(writer, random_next(random));
    } else if (choice < 4) {
        json_string_bytes(writer, text.data, text.size);
    } else if (choice == 4) {
        json_double(writer, (double)random_next(random) / 1e9);
    } else if (choice == 5) {
        json_null(writer);
    } else if (choice == 6) {
        json_array_begin(writer);
        for (uint64_t i = random_next(random) % 4; i > 0; i--)
            write_random(writer, random, depth + 1);
        json_array_end(writer);
    } else {
        json_object_begin(writer);
        for (uint64_t i = random_next(random) % 4; i > 0; i--) {
            json_key_bytes(writer, text.data, text.size);
            write_random(writer, random, depth + 1);
        }
        json_object_end(writer);
    }
}

static void written_documents_come_back(void **state)
{
    (void)state;
    uint64_t random = 362436069;
    for (int round = 0; round < 2000; round++) {
        uint64_t same = random;
        auto_buf struct buf compact = {0}, pretty = {0}, again = {0};
        struct json_writer writer = json_writer_to(&compact, JSON_COMPACT);
        write_random(&writer, &random, 0);
        writer = json_writer_to(&pretty, JSON_PRETTY);
        write_random(&writer, &same, 0);
        auto_document struct document document;
        document_open(&document, pretty.data, pretty.size, 0);
        writer = json_writer_to(&again, JSON_COMPACT);
        json_recode(&document.json, &writer);
        assert_true(json_read_end(&document.json));
        assert_int_equal(again.size, compact.size);
        assert_memory_equal(again.data, compact.data, compact.size);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_the_grammar_has_is_read),
        cmocka_unit_test(what_it_has_not_is_refused_in_gos_words),
        cmocka_unit_test(each_prefix_ends_unexpectedly),
        cmocka_unit_test(what_follows_the_first_value_counts_when_asked_for),
        cmocka_unit_test(depth_is_limited),
        cmocka_unit_test(depth_costs_no_stack),
        cmocka_unit_test(unsigned_integers_are_exact),
        cmocka_unit_test(signed_integers_are_exact),
        cmocka_unit_test(doubles_are_rounded_correctly),
        cmocka_unit_test(strings_are_unescaped),
        cmocka_unit_test(invalid_text_is_refused_when_asked_for),
        cmocka_unit_test(bytes_stay_as_they_are_when_asked_for),
        cmocka_unit_test(every_place_is_looked_at),
        cmocka_unit_test(large_strings_grow),
        cmocka_unit_test(fields_are_read_and_others_skipped),
        cmocka_unit_test(null_is_an_empty_structure_where_it_may_be),
        cmocka_unit_test(an_error_of_type_names_the_field),
        cmocka_unit_test(callers_object_with_the_path),
        cmocka_unit_test(a_hostile_key_stays_readable),
        cmocka_unit_test(a_path_has_an_end),
        cmocka_unit_test(raw_values_can_be_read_later),
        cmocka_unit_test(keys_are_found_as_go_does),
        cmocka_unit_test(written_strings_come_back),
        cmocka_unit_test(written_documents_come_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
