#include "request_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

struct languages *languages;

int languages_set_up(void **state)
{
    struct cj_error err;
    (void)state;
    return languages_load(NULL, &languages, &err);
}

int languages_tear_down(void **state)
{
    (void)state;
    languages_free(languages);
    return 0;
}

void assert_text(struct body_text text, const char *expected)
{
    if (expected == NULL) {
        assert_null(text.data);
        return;
    }
    assert_int_equal(text.size, strlen(expected));
    assert_memory_equal(text.data, expected, text.size);
}
