#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"

static void errno_text_is_appended(void **state)
{
    (void)state;
    struct cj_error err;
    errno = ENOENT;
    assert_int_equal(error_errno(&err, "open %s", "x"), -1);
    assert_string_equal(err.message, "open x: No such file or directory");
    assert_int_equal(err.code, ENOENT);
    assert_int_equal(err.domain, ERROR_SYSTEM);
    assert_int_equal(errno, ENOENT);
}

static void outermost_words_come_first(void **state)
{
    (void)state;
    struct cj_error err;
    error_set(&err, ERROR_CONFIG, 0, "inner");
    error_wrap(&err, "start container %d", 7);
    assert_string_equal(err.message, "start container 7: inner");
    assert_int_equal(err.domain, ERROR_CONFIG);
}

static void long_messages_are_cut_not_overrun(void **state)
{
    (void)state;
    struct cj_error err;
    char text[4096];
    memset(text, 'a', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    error_set(&err, ERROR_INTERNAL, 0, "%s", text);
    assert_int_equal(strlen(err.message), ERROR_MESSAGE_SIZE - 1);
    error_wrap(&err, "%s", text);
    assert_int_equal(strlen(err.message), ERROR_MESSAGE_SIZE - 1);
    assert_int_equal(error_set(NULL, ERROR_INTERNAL, 0, "nobody asks"), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errno_text_is_appended),
        cmocka_unit_test(outermost_words_come_first),
        cmocka_unit_test(long_messages_are_cut_not_overrun),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
