#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"

static void appends_add_up(void **state)
{
    (void)state;
    auto_buf struct buf buf = {0};
    buf_append(&buf, "a\0b", 3);
    buf_append(&buf, NULL, 0);
    buf_append_char(&buf, '-');
    buf_append_text(&buf, "text");
    buf_printf(&buf, " %d %s", 7, "seven");
    assert_int_equal(buf.size, 16);
    assert_memory_equal(buf.data, "a\0b-text 7 seven", 16);
    assert_int_equal(buf_check(&buf, NULL), 0);
}

static void growing_keeps_the_bytes(void **state)
{
    (void)state;
    auto_buf struct buf buf = {0};
    for (int i = 0; i < 100000; i++)
        buf_append_char(&buf, (char)(i % 251));
    assert_int_equal(buf.size, 100000);
    for (int i = 0; i < 100000; i++)
        assert_int_equal(buf.data[i], (char)(i % 251));
    char long_text[3001];
    memset(long_text, 'x', 3000);
    long_text[3000] = '\0';
    buf_printf(&buf, "%s!", long_text);
    assert_int_equal(buf.size, 103001);
    assert_memory_equal(buf.data + 100000, long_text, 3000);
    assert_int_equal(buf.data[103000], '!');
}

static void failure_sticks_until_cut(void **state)
{
    (void)state;
    auto_buf struct buf buf = {.limit = 4};
    struct cj_error err;
    buf_append_text(&buf, "abc");
    buf_append_text(&buf, "de");
    buf_append_text(&buf, "f");
    assert_null(buf_extend(&buf, 0));
    assert_int_equal(buf.size, 3);
    assert_int_equal(buf_check(&buf, &err), -1);
    assert_int_equal(err.code, EFBIG);
    assert_string_equal(err.message, "more than 4 bytes");
    buf_cut(&buf, 2);
    buf_append_text(&buf, "yz");
    assert_int_equal(buf_check(&buf, &err), 0);
    assert_memory_equal(buf.data, "abyz", 4);
}

static void sizes_do_not_wrap(void **state)
{
    (void)state;
    auto_buf struct buf buf = {0};
    buf_append_text(&buf, "abc");
    assert_null(buf_extend(&buf, SIZE_MAX - 1));
    assert_int_equal(buf.size, 3);
    assert_int_equal(buf_check(&buf, NULL), -1);
}

static void what_is_taken_ends_with_nul(void **state)
{
    (void)state;
    struct buf buf = {.limit = 3};
    char *data;
    size_t size;
    buf_append_text(&buf, "abc");
    assert_int_equal(buf_take(&buf, &data, &size, NULL), 0);
    assert_int_equal(size, 3);
    assert_string_equal(data, "abc");
    free(data);
    assert_null(buf.data);
    assert_int_equal(buf.limit, 3);
    assert_int_equal(buf_take(&buf, &data, NULL, NULL), 0);
    assert_string_equal(data, "");
    free(data);
    buf_append_text(&buf, "abcd");
    assert_int_equal(buf_take(&buf, &data, NULL, NULL), -1);
    buf_free(&buf);
}

static void base64_as_in_rfc_4648(void **state)
{
    (void)state;
    static const struct {
        const char *data, *text;
    } cases[] = {
        {"", ""},
        {"f", "Zg=="},
        {"fo", "Zm8="},
        {"foo", "Zm9v"},
        {"foob", "Zm9vYg=="},
        {"fooba", "Zm9vYmE="},
        {"foobar", "Zm9vYmFy"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        auto_buf struct buf buf = {0};
        buf_append_base64(&buf, cases[i].data, strlen(cases[i].data));
        assert_int_equal(buf.size, strlen(cases[i].text));
        assert_memory_equal(buf.data, cases[i].text, buf.size);
    }
    auto_buf struct buf buf = {0};
    buf_append_base64(&buf, "\xfb\xff\xbf\x00", 4);
    assert_int_equal(buf.size, 8);
    assert_memory_equal(buf.data, "+/+/AA==", 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(appends_add_up),
        cmocka_unit_test(growing_keeps_the_bytes),
        cmocka_unit_test(failure_sticks_until_cut),
        cmocka_unit_test(sizes_do_not_wrap),
        cmocka_unit_test(what_is_taken_ends_with_nul),
        cmocka_unit_test(base64_as_in_rfc_4648),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
