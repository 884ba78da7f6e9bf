#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/json_writer.h"

#define BYTES(literal) literal, sizeof(literal) - 1

static void assert_text(const struct buf *buf, const char *expected)
{
    assert_int_equal(buf_check(buf, NULL), 0);
    if (buf->size != strlen(expected) || memcmp(buf->data, expected, buf->size) != 0)
        fail_msg("got %.*s, expected %s", (int)buf->size, buf->data, expected);
}

static void strings_are_escaped_as_go_does(void **state)
{
    (void)state;
    static const struct {
        const char *data;
        size_t size;
        const char *text;
    } cases[] = {
        {BYTES(""), "\"\""},
        {BYTES("plain ~!#$%'()*+,-./:;=?@[]^_`{|}"), "\"plain ~!#$%'()*+,-./:;=?@[]^_`{|}\""},
        {BYTES("\"\\/"), "\"\\\"\\\\/\""},
        {BYTES("<>&"), "\"\\u003c\\u003e\\u0026\""},
        {BYTES("\b\f\n\r\t"), "\"\\b\\f\\n\\r\\t\""},
        {BYTES("\0\x01\x0b\x1b\x1f"), "\"\\u0000\\u0001\\u000b\\u001b\\u001f\""},
        {BYTES("\x7f"), "\"\x7f\""},
        {BYTES("\xc3\xa9 \xe4\xb8\xad \xf0\x9f\x98\x80"),
         "\"\xc3\xa9 \xe4\xb8\xad \xf0\x9f\x98\x80\""},
        {BYTES("\xe2\x80\xa7\xe2\x80\xa8\xe2\x80\xa9\xe2\x80\xaa"),
         "\"\xe2\x80\xa7\\u2028\\u2029\xe2\x80\xaa\""},
        {BYTES("\xef\xbf\xbd"), "\"\xef\xbf\xbd\""}, /* U+FFFD itself is valid */
        {BYTES("a\x80z"), "\"a\\ufffdz\""},          /* lone continuation */
        {BYTES("\xc3"), "\"\\ufffd\""},              /* cut short */
        {BYTES("\xe4\xb8"), "\"\\ufffd\\ufffd\""},   /* each byte */
        {BYTES("\xe4\xb8z"), "\"\\ufffd\\ufffdz\""},
        {BYTES("\xc0\x80"), "\"\\ufffd\\ufffd\""}, /* overlong */
        {BYTES("\xe0\x80\x80"), "\"\\ufffd\\ufffd\\ufffd\""},
        {BYTES("\xed\xa0\x80"), "\"\\ufffd\\ufffd\\ufffd\""}, /* a surrogate */
        {BYTES("\xed\x9f\xbf"), "\"\xed\x9f\xbf\""},          /* the last before them */
        {BYTES("\xf4\x8f\xbf\xbf"), "\"\xf4\x8f\xbf\xbf\""},  /* U+10FFFF */
        {BYTES("\xf4\x90\x80\x80"), "\"\\ufffd\\ufffd\\ufffd\\ufffd\""},
        {BYTES("\xff\xfe"), "\"\\ufffd\\ufffd\""},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        auto_buf struct buf buf = {0};
        struct json_writer json = json_writer_to(&buf, JSON_COMPACT);
        json_string_bytes(&json, cases[i].data, cases[i].size);
        assert_text(&buf, cases[i].text);
    }
}

/* Wherever in a word of the scanner it stands, a byte is escaped as it is alone. */
static void every_place_is_looked_at(void **state)
{
    (void)state;
    for (size_t place = 0; place < 24; place++)
        for (int byte = 0; byte < 256; byte++) {
            char text[24];
            char one = (char)byte;
            memset(text, place % 2 == 0 ? 'x' : 0x7f, sizeof(text));
            auto_buf struct buf buf = {0}, expected = {0};
            buf_append(&expected, text, place);
            json_escape(&expected, &one, 1);
            buf_append(&expected, text + place, sizeof(text) - 1 - place);
            buf_append_char(&expected, '\0');
            text[place] = one;
            json_escape(&buf, text, sizeof(text));
            assert_text(&buf, expected.data);
        }
}

static void write_sample(struct json_writer *json)
{
    json_object_begin(json);
    json_key(json, "n");
    json_null(json);
    json_key_bytes(json, "a\0b", 3);
    json_array_begin(json);
    json_uint(json, UINT64_MAX);
    json_int(json, INT64_MIN);
    json_object_begin(json);
    json_object_end(json);
    json_array_begin(json);
    json_array_end(json);
    json_object_begin(json);
    json_key(json, "x");
    json_bool(json, true);
    json_key(json, "y");
    json_bool(json, false);
    json_object_end(json);
    json_array_end(json);
    json_key(json, "s");
    json_string(json, "text");
    json_key(json, "b");
    json_string_base64(json, "foob", 4);
    json_key(json, "r");
    json_raw(json, "[1]", 3);
    json_object_end(json);
}

static void commas_come_by_themselves(void **state)
{
    (void)state;
    auto_buf struct buf buf = {0};
    struct json_writer json = json_writer_to(&buf, JSON_COMPACT);
    write_sample(&json);
    assert_text(&buf, "{\"n\":null,\"a\\u0000b\":[18446744073709551615,-9223372036854775808,{},[],"
                      "{\"x\":true,\"y\":false}],\"s\":\"text\",\"b\":\"Zm9vYg==\",\"r\":[1]}");
    assert_int_equal(json.depth, 0);
}

static void pretty_is_indented_by_two(void **state)
{
    (void)state;
    auto_buf struct buf buf = {0};
    struct json_writer json = json_writer_to(&buf, JSON_PRETTY);
    write_sample(&json);
    assert_text(&buf, "{\n"
                      "  \"n\": null,\n"
                      "  \"a\\u0000b\": [\n"
                      "    18446744073709551615,\n"
                      "    -9223372036854775808,\n"
                      "    {},\n"
                      "    [],\n"
                      "    {\n"
                      "      \"x\": true,\n"
                      "      \"y\": false\n"
                      "    }\n"
                      "  ],\n"
                      "  \"s\": \"text\",\n"
                      "  \"b\": \"Zm9vYg==\",\n"
                      "  \"r\": [1]\n"
                      "}");
}

static void doubles_are_short_and_exact(void **state)
{
    (void)state;
    static const struct {
        double value;
        const char *text;
    } cases[] = {
        {0, "0"},
        {-0.0, "-0"},
        {1, "1"},
        {-1.5, "-1.5"},
        {0.1, "0.1"},
        {0.30000000000000004, "0.30000000000000004"},
        {100, "100"},
        {123456789, "123456789"},
        {1e20, "100000000000000000000"},
        {1e21, "1e+21"},
        {1e-6, "0.000001"},
        {1e-7, "1e-7"},
        {1.5e-9, "1.5e-9"},
        {1e100, "1e+100"},
        {DBL_MAX, "1.7976931348623157e+308"},
        {5e-324, "5e-324"},
        {INFINITY, "null"},
        {-INFINITY, "null"},
        {NAN, "null"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        auto_buf struct buf buf = {0};
        struct json_writer json = json_writer_to(&buf, JSON_COMPACT);
        json_double(&json, cases[i].value);
        assert_text(&buf, cases[i].text);
    }
}

static void a_full_buffer_is_told_at_the_end(void **state)
{
    (void)state;
    auto_buf struct buf buf = {.limit = 20};
    struct json_writer json = json_writer_to(&buf, JSON_COMPACT);
    write_sample(&json);
    assert_int_equal(buf_check(&buf, NULL), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(strings_are_escaped_as_go_does),
        cmocka_unit_test(every_place_is_looked_at),
        cmocka_unit_test(commas_come_by_themselves),
        cmocka_unit_test(pretty_is_indented_by_two),
        cmocka_unit_test(doubles_are_short_and_exact),
        cmocka_unit_test(a_full_buffer_is_told_at_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
