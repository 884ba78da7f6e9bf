/* errno texts: strerror's words, first letter small, as Go writes them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>

#include "base/attr.h"
#include "errno_text.h"

static void texts_begin_small(void **state)
{
    (void)state;
    static const struct {
        int code;
        const char *want;
    } cases[] = {
        {ENOENT, "no such file or directory"},
        {EACCES, "permission denied"},
        {EISDIR, "is a directory"},
        {ENOSPC, "no space left on device"},
        {EEXIST, "file exists"},
        {ENAMETOOLONG, "file name too long"},
        {E2BIG, "argument list too long"},
        {ENOEXEC, "exec format error"},
        {0, "success"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        assert_string_equal(errno_text(cases[i].code), cases[i].want);
}

static void an_abbreviation_keeps_its_capitals(void **state)
{
    (void)state;
    assert_string_equal(errno_text(ENOTSUP), "operation not supported");
    assert_string_equal(errno_text(EXDEV), "invalid cross-device link");
    int abbreviations = 0;
    for (int code = 1; code < 134; code++) {
        char c_text[128];
        snprintf(c_text, sizeof(c_text), "%s", strerror(code));
        const char *text = errno_text(code);
        assert_string_equal(text + 1, c_text + 1);
        bool abbreviation = isupper((unsigned char)c_text[0]) && isupper((unsigned char)c_text[1]);
        abbreviations += abbreviation;
        assert_int_equal(text[0], abbreviation ? c_text[0] : tolower((unsigned char)c_text[0]));
    }
    assert_true(abbreviations > 0); /* RFS specific error */
}

static void unknown_codes_have_a_text(void **state)
{
    (void)state;
    static const int codes[] = {-1, 99999, 2147483647, -2147483647 - 1};
    for (size_t i = 0; i < COUNT_OF(codes); i++)
        assert_non_null(strstr(errno_text(codes[i]), "nknown error"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_begin_small),
        cmocka_unit_test(an_abbreviation_keeps_its_capitals),
        cmocka_unit_test(unknown_codes_have_a_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
