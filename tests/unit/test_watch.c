/* When to look next: never after the first instant at which a limit can have been passed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/attr.h"
#include "base/clock.h"
#include "watch.h"

static void the_next_look_is_when_the_rest_can_be_burnt(void **state)
{
    (void)state;
    static const struct {
        int64_t now, used, limit;
        unsigned cpus;
        int64_t step, want;
    } cases[] = {
        {100, 0, 1000, 1, 10, 1100},         {100, 400, 1000, 1, 10, 700},
        {100, 400, 1000, 2, 10, 400},        {100, 400, 1000, 4, 10, 250},
        {100, 400, 1000, 7, 10, 185}, /* 600 / 7 cut: early, not late */
        {100, 400, 1000, 0, 10, 700}, /* unknown: one */
        {100, 991, 1000, 1, 10, 110}, /* nearer than the step */
        {100, 990, 1000, 1, 10, 110},        {100, 989, 1000, 1, 10, 111},
        {100, 1000, 1000, 1, 10, 110}, /* at the limit */
        {100, 5000, 1000, 1, 10, 110}, /* above */
        {100, 0, 1000, UINT32_MAX, 10, 110}, {0, 0, INT64_MAX / 4, 1, NS_PER_MS, INT64_MAX / 4},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        assert_int_equal(
            watch_cpu_at(cases[i].now, cases[i].used, cases[i].limit, cases[i].cpus, cases[i].step),
            cases[i].want);
}

/* A program that burns all CPUs all the time, looked at as told: how far over does it get? */
static void no_run_gets_further_over_than_one_step_on_all_cpus(void **state)
{
    (void)state;
    for (unsigned cpus = 1; cpus <= 16; cpus++) {
        int64_t now = 0, used = 0, limit = 10 * NS_PER_S + 7;
        int looks = 0;
        while (used <= limit) {
            int64_t next = watch_cpu_at(now, used, limit, cpus, NS_PER_MS);
            assert_true(next >= now + NS_PER_MS);
            used += (next - now) * cpus;
            now = next;
            looks++;
        }
        assert_true(used - limit <= NS_PER_MS * cpus);
        assert_true(looks <= 3);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_next_look_is_when_the_rest_can_be_burnt),
        cmocka_unit_test(no_run_gets_further_over_than_one_step_on_all_cpus),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
