#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/units.h"

static void sizes_are_integers_with_a_letter(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t bytes;
    } cases[] = {
        {"0", 0},
        {"1", 1},
        {"4096", 4096},
        {"010", 10},
        {"10b", 10},
        {"10B", 10},
        {"16k", 16384},
        {"16K", 16384},
        {"64m", 67108864},
        {"64M", 67108864},
        {"5MB", 5242880},
        {"5mb", 5242880},
        {"1g", 1073741824},
        {"2Gb", 2147483648},
        {"18446744073709551615", UINT64_MAX},
        {"18014398509481983k", UINT64_C(18014398509481983) << 10},
        {"17179869183g", UINT64_C(17179869183) << 30},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        uint64_t bytes = 7;
        struct cj_error err = {0};
        assert_int_equal(size_parse(cases[i].text, &bytes, &err), 0);
        assert_true(bytes == cases[i].bytes);
    }
}

static void bad_sizes_are_named(void **state)
{
    (void)state;
    static const char *const bad[] = {"",    "b",   "k",   "kb",  "1.5m", "-1",  "+1",    " 1",
                                      "1 ",  "1 m", "1t",  "1kk", "1bb",  "1bk", "64MiB", "0x1",
                                      "1e3", "m1",  "1,2", "1\n", "64mx", "_1"};
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        uint64_t bytes = 7;
        struct cj_error err = {0};
        assert_int_equal(size_parse(bad[i], &bytes, &err), -1);
        assert_int_equal(err.domain, ERROR_CONFIG);
        assert_true(bytes == 7);
        char start[64];
        snprintf(start, sizeof(start), "'%s' is not a size: ", bad[i]);
        assert_memory_equal(err.message, start, strlen(start));
    }
    static const char *const large[] = {"18446744073709551616", "18014398509481984k",
                                        "17179869184g", "99999999999999999999999b"};
    for (size_t i = 0; i < COUNT_OF(large); i++) {
        uint64_t bytes;
        struct cj_error err = {0};
        char expected[64];
        snprintf(expected, sizeof(expected), "'%s' is too large a size", large[i]);
        assert_int_equal(size_parse(large[i], &bytes, &err), -1);
        assert_string_equal(err.message, expected);
    }
}

static void durations_are_read_as_go_reads_them(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t ns;
    } cases[] = {
        {"0", 0},
        {"-0", 0},
        {"+0", 0},
        {"0s", 0},
        {"5s", 5000000000},
        {"100ms", 100000000},
        {"300us", 300000},
        {"300\xc2\xb5s", 300000},
        {"300\xce\xbcs", 300000},
        {"7ns", 7},
        {"1m30s", 90000000000},
        {"1.5h", 5400000000000},
        {"-1.5h", -5400000000000},
        {"+5s", 5000000000},
        {".5s", 500000000},
        {"1.s", 1000000000},
        {"39h9m14.425s", 140954425000000},
        {"52763797000ns", 52763797000},
        {"0.3333333333333333333h", 1199999999999},
        {"0.100000000000000000000h", 360000000000},
        {"0.9ns", 0},
        {"1s1s", 2000000000},
        {"9223372036854775807ns", INT64_MAX},
        {"2562047h47m16.854775807s", INT64_MAX},
        {"-9223372036854775807ns", -INT64_MAX},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        int64_t ns = 7;
        struct cj_error err = {0};
        assert_int_equal(duration_parse(cases[i].text, &ns, &err), 0);
        assert_true(ns == cases[i].ns);
    }
}

static void bad_durations_are_named(void **state)
{
    (void)state;
    static const char *const bad[] = {"",     "3",    "-",   "s",    ".",      "-.",   ".s",
                                      "+.s",  "1d",   "1 s", "1sec", "1s ",    "1S",   "--1s",
                                      "1e3s", "1m30", "00",  "0.0",  "1.2.3s", "1s-1s"};
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        int64_t ns = 7;
        struct cj_error err = {0};
        assert_int_equal(duration_parse(bad[i], &ns, &err), -1);
        assert_int_equal(err.domain, ERROR_CONFIG);
        assert_true(ns == 7);
        char start[64];
        snprintf(start, sizeof(start), "'%s' is not a duration: ", bad[i]);
        assert_memory_equal(err.message, start, strlen(start));
    }
    static const char *const large[] = {
        "9223372036854775808ns",      "9223372036854775.808us", "3000000h",
        "2562047h47m16.854775808s",   "18446744073709551616ns", "18446744073709551615h",
        "99999999999999999999999999h"};
    for (size_t i = 0; i < COUNT_OF(large); i++) {
        int64_t ns;
        struct cj_error err = {0};
        char expected[80];
        snprintf(expected, sizeof(expected), "'%s' is too large a duration", large[i]);
        assert_int_equal(duration_parse(large[i], &ns, &err), -1);
        assert_string_equal(err.message, expected);
    }
}

static void counts_are_digits(void **state)
{
    (void)state;
    uint64_t count = 7;
    struct cj_error err = {0};
    assert_int_equal(count_parse("18446744073709551615", &count, &err), 0);
    assert_true(count == UINT64_MAX);
    assert_int_equal(count_parse("0", &count, &err), 0);
    assert_true(count == 0);
    assert_int_equal(count_parse("18446744073709551616", &count, &err), -1);
    assert_string_equal(err.message, "'18446744073709551616' is too large a count");
    static const char *const bad[] = {"", "-1", "+1", "1k", "1.0", "four", " 1"};
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_int_equal(count_parse(bad[i], &count, &err), -1);
    assert_string_equal(err.message, "' 1' is not a count: write a whole number");
}

static void people_read_exact_sizes(void **state)
{
    (void)state;
    static const struct {
        uint64_t bytes;
        const char *text;
    } cases[] = {
        {0, "0 B"},
        {10, "10 B"},
        {1000, "1000 B"},
        {1023, "1023 B"},
        {1024, "1 KiB"},
        {1025, "1025 B"},
        {1088, "1088 B"},
        {1152, "1.125 KiB"},
        {1536, "1.5 KiB"},
        {10240, "10 KiB"},
        {67108864, "64 MiB"},
        {67109888, "65537 KiB"},
        {268435456, "256 MiB"},
        {1610612736, "1.5 GiB"},
        {UINT64_C(1) << 40, "1 TiB"},
        {UINT64_C(100) << 50, "100 PiB"},
        {UINT64_C(15) << 60, "15 EiB"},
        {UINT64_MAX, "18446744073709551615 B"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char text[UNITS_TEXT_SIZE];
        assert_string_equal(size_format(cases[i].bytes, text), cases[i].text);
    }
}

static void people_read_exact_durations(void **state)
{
    (void)state;
    static const struct {
        int64_t ns;
        const char *text;
    } cases[] = {
        {0, "0 s"},
        {1, "1 ns"},
        {999, "999 ns"},
        {1000, "1 us"},
        {1500, "1.5 us"},
        {250000, "250 us"},
        {1234567, "1.234567 ms"},
        {100000000, "100 ms"},
        {1234000000, "1.234 s"},
        {1000000001, "1.000000001 s"},
        {10000000000, "10 s"},
        {59999999999, "59.999999999 s"},
        {60000000000, "1 min"},
        {60000000007, "1 min 0.000000007 s"},
        {60500000000, "1 min 0.5 s"},
        {90000000000, "1 min 30 s"},
        {3600000000000, "1 h"},
        {9000000000000, "2 h 30 min"},
        {3601000000000, "1 h 1 s"},
        {360000000000000, "100 h"},
        {-1500000000, "-1.5 s"},
        {INT64_MAX, "2562047 h 47 min 16.854775807 s"},
        {INT64_MIN, "-2562047 h 47 min 16.854775808 s"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char text[UNITS_TEXT_SIZE];
        assert_string_equal(duration_format(cases[i].ns, text), cases[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_are_integers_with_a_letter),
        cmocka_unit_test(bad_sizes_are_named),
        cmocka_unit_test(durations_are_read_as_go_reads_them),
        cmocka_unit_test(bad_durations_are_named),
        cmocka_unit_test(counts_are_digits),
        cmocka_unit_test(people_read_exact_sizes),
        cmocka_unit_test(people_read_exact_durations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
