#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "net/http.h"

static void statuses_have_names(void **state)
{
    (void)state;
    assert_string_equal(http_status_text(200), "OK");
    assert_string_equal(http_status_text(413), "Content Too Large");
    assert_string_equal(http_status_text(299), "Unknown");
    assert_string_equal(http_status_text(-1), "Unknown");
}

static void dates_are_written_and_read(void **state)
{
    (void)state;
    static const struct {
        int64_t unix_s;
        const char *text;
    } table[] = {
        {784111777, "Sun, 06 Nov 1994 08:49:37 GMT"},
        {0, "Thu, 01 Jan 1970 00:00:00 GMT"},
        {951782400, "Tue, 29 Feb 2000 00:00:00 GMT"},
        {INT64_C(253402300799), "Fri, 31 Dec 9999 23:59:59 GMT"},
        {-1, "Wed, 31 Dec 1969 23:59:59 GMT"},
    };
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        char text[HTTP_DATE_SIZE];
        int64_t unix_s = 0;
        http_date_format(table[i].unix_s, text);
        assert_string_equal(text, table[i].text);
        assert_true(http_date_parse(text, &unix_s));
        assert_int_equal(unix_s, table[i].unix_s);
    }
}

static void what_is_no_date_is_not_read(void **state)
{
    (void)state;
    static const char *const table[] = {
        "",
        "now",
        "Mon, 06 Nov 1994 08:49:37 GMT", /* it was a Sunday */
        "Sun, 06 Nov 1994 08:49:37 UTC",
        "Sun, 06 nov 1994 08:49:37 GMT",
        "Sun, 6 Nov 1994 08:49:37 GMT ",
        "Sun, 06 Nov 1994 24:49:37 GMT",
        "Wed, 30 Feb 2000 00:00:00 GMT",
        "Sunday, 06-Nov-94 08:49:37 GM",
        "Sun, 06 Nov 1994 08:49:37 GMTx",
    };
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        int64_t unix_s = 7;
        assert_false(http_date_parse(table[i], &unix_s));
        assert_int_equal(unix_s, 7);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(statuses_have_names),
        cmocka_unit_test(dates_are_written_and_read),
        cmocka_unit_test(what_is_no_date_is_not_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
