/* base/histogram.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/attr.h"
#include "base/histogram.h"

static struct histogram_view view_of(const int64_t *values, size_t count)
{
    struct histogram histogram = {0};
    struct histogram_view view;
    for (size_t i = 0; i < count; i++)
        histogram_add(&histogram, values[i]);
    histogram_read(&histogram, &view);
    return view;
}

/* A value lies below the end of its bucket, and not below the end of the one before. */
static void buckets_hold_what_they_say(void **state)
{
    (void)state;
    for (uint64_t value = 0; value < UINT64_C(1) << 41; value = value * 5 / 4 + 1) {
        const int64_t one = (int64_t)value;
        struct histogram_view view = view_of(&one, 1);
        size_t bucket = 0;
        while (view.counts[bucket] == 0)
            bucket++;
        assert_int_equal(view.counts[bucket], 1);
        assert_true(value < histogram_bucket_end(bucket));
        assert_true(bucket == 0 || value >= histogram_bucket_end(bucket - 1));
        assert_true(value < 4 || histogram_bucket_end(bucket) <= value + value / 4 + 1);
    }
}

static void extremes_are_counted(void **state)
{
    (void)state;
    const int64_t values[] = {-5, 0, INT64_MAX};
    struct histogram_view view = view_of(values, COUNT_OF(values));
    assert_int_equal(view.count, 3);
    assert_int_equal(view.counts[0], 2);
    assert_int_equal(view.counts[HISTOGRAM_BUCKETS - 1], 1);
    assert_int_equal(view.max_ns, INT64_MAX);
    assert_int_equal(view.sum_ns, INT64_MAX);
}

static int compare_values(const void *one, const void *other)
{
    int64_t a = *(const int64_t *)one, b = *(const int64_t *)other;
    return (a > b) - (a < b);
}

/* Against the sorted values. */
static void quantiles_are_near(void **state)
{
    enum { COUNT = 1000 };
    int64_t values[COUNT];
    (void)state;
    srandom(6);
    for (int i = 0; i < COUNT; i++)
        values[i] = random() % (1 << (random() % 30 + 1));
    struct histogram_view view = view_of(values, COUNT);
    qsort(values, COUNT, sizeof(values[0]), compare_values);
    for (unsigned per_mille = 1; per_mille <= 1000; per_mille++) {
        uint64_t exact = (uint64_t)values[per_mille - 1];
        uint64_t told = histogram_quantile(&view, per_mille);
        assert_true(told >= exact && told <= exact + exact / 4 + 1);
    }
    assert_int_equal(histogram_quantile(&view, 1000), values[COUNT - 1]);
}

static void nothing_has_no_quantile(void **state)
{
    (void)state;
    struct histogram_view view = view_of(NULL, 0);
    assert_int_equal(histogram_quantile(&view, 500), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(buckets_hold_what_they_say),
        cmocka_unit_test(extremes_are_counted),
        cmocka_unit_test(quantiles_are_near),
        cmocka_unit_test(nothing_has_no_quantile),
    };
    return cmocka_run_group_tests_name("histogram", tests, NULL, NULL);
}
