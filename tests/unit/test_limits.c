/* Limits: what stands in for absent ones, and what the container is told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/attr.h"
#include "base/clock.h"
#include "limit_plan.h"

#define MIB      (UINT64_C(1024) * 1024)
#define TIME_MAX (INT64_MAX / 4)
#define SIZE_CAP (UINT64_C(1) << 62)

static struct exec_settings settings_of_the_house(void)
{
    struct exec_settings settings;
    memset(&settings, 0xee, sizeof(settings));
    exec_settings_default(&settings);
    return settings;
}

static void defaults_are_those_of_the_decisions(void **state)
{
    (void)state;
    const struct exec_settings settings = settings_of_the_house();
    const struct exec_limits limits = exec_limits_with_defaults((struct exec_limits){0}, &settings);
    assert_int_equal(limits.cpu_ns, 10 * NS_PER_S);
    assert_int_equal(limits.wall_ns, 21 * NS_PER_S);
    assert_int_equal(limits.memory_bytes, 256 * MIB);
    assert_int_equal(limits.processes, 64);
    assert_int_equal(limits.stack_bytes, 0);
    assert_int_equal(limits.file_size_bytes, 256 * MIB);
    assert_int_equal(limits.open_files, 256);
    assert_false(limits.data_segment || limits.address_space);
    assert_int_equal(limits.cpu_rate, 0);
    assert_null(limits.cpu_set);
    assert_int_equal(settings.extra_memory_bytes, 0);
    assert_true(settings.cpus >= 1);
    assert_true(settings.cpu_period_ns > 0 && settings.copy_out_max_bytes > 0);
}

static void what_is_asked_stays(void **state)
{
    (void)state;
    const struct exec_settings settings = settings_of_the_house();
    const struct exec_limits asked = {
        .cpu_ns = 1,
        .wall_ns = 2,
        .memory_bytes = 3,
        .processes = 4,
        .stack_bytes = 5,
        .file_size_bytes = 6,
        .open_files = 7,
        .data_segment = true,
        .address_space = true,
        .cpu_rate = 8,
        .cpu_set = "0-1",
    };
    const struct exec_limits got = exec_limits_with_defaults(asked, &settings);
    assert_int_equal(got.cpu_ns, 1);
    assert_int_equal(got.wall_ns, 2);
    assert_int_equal(got.memory_bytes, 3);
    assert_int_equal(got.processes, 4);
    assert_int_equal(got.stack_bytes, 5);
    assert_int_equal(got.file_size_bytes, 6);
    assert_int_equal(got.open_files, 7);
    assert_true(got.data_segment && got.address_space);
    assert_int_equal(got.cpu_rate, 8);
    assert_string_equal(got.cpu_set, "0-1");
}

static void times_follow_from_each_other(void **state)
{
    (void)state;
    static const struct {
        int64_t cpu_ns, wall_ns, default_wall_ns, want_cpu_ns, want_wall_ns;
    } cases[] = {
        {0, 0, 0, 10 * NS_PER_S, 21 * NS_PER_S},
        {NS_PER_S, 0, 0, NS_PER_S, 3 * NS_PER_S},
        {0, NS_PER_S, 0, 10 * NS_PER_S, NS_PER_S}, /* wall below CPU is the caller's wish */
        {0, 0, 5 * NS_PER_S, 10 * NS_PER_S, 5 * NS_PER_S},
        {NS_PER_S, 0, 5 * NS_PER_S, NS_PER_S, 3 * NS_PER_S}, /* a default of other CPU times */
        {-1, -1, 0, 10 * NS_PER_S, 21 * NS_PER_S},
        {INT64_MIN, INT64_MIN, INT64_MIN, 10 * NS_PER_S, 21 * NS_PER_S},
        {INT64_MAX, 0, 0, TIME_MAX, TIME_MAX},
        {INT64_MAX, INT64_MAX, 0, TIME_MAX, TIME_MAX},
        {TIME_MAX, TIME_MAX, 0, TIME_MAX, TIME_MAX},
        {TIME_MAX - 1, TIME_MAX - 1, 0, TIME_MAX - 1, TIME_MAX - 1},
        {1, INT64_MAX, 0, 1, TIME_MAX},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct exec_settings settings = settings_of_the_house();
        settings.defaults.wall_ns = cases[i].default_wall_ns;
        const struct exec_limits asked = {.cpu_ns = cases[i].cpu_ns, .wall_ns = cases[i].wall_ns};
        const struct exec_limits got = exec_limits_with_defaults(asked, &settings);
        assert_int_equal(got.cpu_ns, cases[i].want_cpu_ns);
        assert_int_equal(got.wall_ns, cases[i].want_wall_ns);
    }
}

static void sizes_are_cut_so_that_no_sum_overflows(void **state)
{
    (void)state;
    const struct exec_settings settings = settings_of_the_house();
    static const uint64_t values[] = {SIZE_CAP - 1, SIZE_CAP, SIZE_CAP + 1, UINT64_MAX};
    for (size_t i = 0; i < COUNT_OF(values); i++) {
        uint64_t v = values[i], want = v < SIZE_CAP ? v : SIZE_CAP;
        const struct exec_limits got =
            exec_limits_with_defaults((struct exec_limits){.memory_bytes = v,
                                                           .processes = v,
                                                           .stack_bytes = v,
                                                           .file_size_bytes = v,
                                                           .open_files = v},
                                      &settings);
        assert_int_equal(got.memory_bytes, want);
        assert_int_equal(got.processes, want);
        assert_int_equal(got.stack_bytes, want);
        assert_int_equal(got.file_size_bytes, want);
        assert_int_equal(got.open_files, want);
    }
}

/* ---- what the container is told ---- */

static bool stands(const struct container_run *run, enum container_rlimit which)
{
    return (run->rlimit_mask >> which & 1) != 0;
}

static struct container_run apply(struct exec_limits asked, const struct exec_settings *settings,
                                  bool without_cgroup, bool *allocation_limited)
{
    struct container_run run = {0};
    const struct exec_limits limits = exec_limits_with_defaults(asked, settings);
    *allocation_limited = exec_limits_apply(&limits, settings, without_cgroup, &run);
    return run;
}

static void with_a_group_only_what_no_group_knows_is_an_rlimit(void **state)
{
    (void)state;
    const struct exec_settings settings = settings_of_the_house();
    bool allocation;
    const struct container_run run = apply((struct exec_limits){0}, &settings, false, &allocation);
    assert_false(allocation);
    assert_int_equal(run.rlimit_mask, 1U << CONTAINER_RLIMIT_CPU | 1U << CONTAINER_RLIMIT_FSIZE |
                                          1U << CONTAINER_RLIMIT_NOFILE);
    assert_int_equal(run.rlimits[CONTAINER_RLIMIT_CPU], 21);
    assert_int_equal(run.rlimits[CONTAINER_RLIMIT_FSIZE], 256 * MIB);
    assert_int_equal(run.rlimits[CONTAINER_RLIMIT_NOFILE], 256);
    assert_int_equal(run.limits.memory_bytes, 256 * MIB);
    assert_int_equal(run.limits.processes, 64);
    assert_int_equal(run.limits.cpu_rate, 0);
    assert_string_equal(run.limits.cpu_set, "");
}

static void without_a_group_rlimits_stand_in(void **state)
{
    (void)state;
    const struct exec_settings settings = settings_of_the_house();
    bool allocation;
    const struct container_run run =
        apply((struct exec_limits){.memory_bytes = 64 * MIB, .processes = 9}, &settings, true,
              &allocation);
    assert_true(allocation);
    assert_true(stands(&run, CONTAINER_RLIMIT_DATA));
    /* room for the stacks of nine threads, which count although they are hardly touched */
    assert_int_equal(run.rlimits[CONTAINER_RLIMIT_DATA], (64 + 9 * 8) * MIB);
    assert_true(stands(&run, CONTAINER_RLIMIT_NPROC));
    assert_int_equal(run.rlimits[CONTAINER_RLIMIT_NPROC], 9);
    assert_false(stands(&run, CONTAINER_RLIMIT_AS));
    assert_false(stands(&run, CONTAINER_RLIMIT_STACK));
}

static void allocation_limits_stand_when_asked_for(void **state)
{
    (void)state;
    for (unsigned bits = 0; bits < 8; bits++) {
        bool data = bits & 1, space = bits & 2, groupless = bits & 4;
        struct exec_settings settings = settings_of_the_house();
        settings.extra_memory_bytes = 16;
        bool allocation;
        const struct container_run run = apply((struct exec_limits){.memory_bytes = 64 * MIB,
                                                                    .data_segment = data,
                                                                    .address_space = space},
                                               &settings, groupless, &allocation);
        assert_int_equal(allocation, data || space || groupless);
        assert_int_equal(stands(&run, CONTAINER_RLIMIT_DATA), data || groupless);
        assert_int_equal(stands(&run, CONTAINER_RLIMIT_AS), space);
        assert_int_equal(stands(&run, CONTAINER_RLIMIT_NPROC), groupless);
        if (data)
            assert_int_equal(run.rlimits[CONTAINER_RLIMIT_DATA], 64 * MIB + 16);
        else if (groupless)
            assert_int_equal(run.rlimits[CONTAINER_RLIMIT_DATA], (64 + 64 * 8) * MIB + 16);
        if (space)
            assert_int_equal(run.rlimits[CONTAINER_RLIMIT_AS], 64 * MIB + 16);
        assert_int_equal(run.limits.memory_bytes, 64 * MIB + 16);
    }
}

static void a_stack_is_never_larger_than_the_memory(void **state)
{
    (void)state;
    static const struct {
        uint64_t stack, memory, extra, want;
    } cases[] = {
        {MIB, 64 * MIB, 0, MIB},
        {64 * MIB, 64 * MIB, 0, 64 * MIB},
        {64 * MIB + 1, 64 * MIB, 0, 64 * MIB},
        {64 * MIB + 1, 64 * MIB, MIB, 64 * MIB + 1},
        {UINT64_MAX, 64 * MIB, MIB, 65 * MIB},
        {UINT64_MAX, UINT64_MAX, 0, SIZE_CAP},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct exec_settings settings = settings_of_the_house();
        settings.extra_memory_bytes = cases[i].extra;
        bool allocation;
        const struct container_run run = apply(
            (struct exec_limits){.stack_bytes = cases[i].stack, .memory_bytes = cases[i].memory},
            &settings, false, &allocation);
        assert_true(stands(&run, CONTAINER_RLIMIT_STACK));
        assert_int_equal(run.rlimits[CONTAINER_RLIMIT_STACK], cases[i].want);
        assert_false(allocation);
    }
}

static void a_default_stack_of_the_settings_counts(void **state)
{
    (void)state;
    struct exec_settings settings = settings_of_the_house();
    settings.defaults.stack_bytes = UINT64_MAX;
    bool allocation;
    const struct container_run run =
        apply((struct exec_limits){.memory_bytes = MIB}, &settings, false, &allocation);
    assert_int_equal(run.rlimits[CONTAINER_RLIMIT_STACK], MIB);
}

static void the_cpu_backstop_is_whole_seconds_far_above_the_limit(void **state)
{
    (void)state;
    static const struct {
        int64_t cpu_ns;
        uint64_t want;
    } cases[] = {
        {1, 3},
        {NS_PER_S - 1, 3},
        {NS_PER_S, 3},
        {NS_PER_S + 1, 5},
        {10 * NS_PER_S, 21},
        {INT64_MAX, (uint64_t)(TIME_MAX + NS_PER_S - 1) / NS_PER_S * 2 + 1},
    };
    const struct exec_settings settings = settings_of_the_house();
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        bool allocation;
        const struct container_run run =
            apply((struct exec_limits){.cpu_ns = cases[i].cpu_ns}, &settings, false, &allocation);
        assert_int_equal(run.rlimits[CONTAINER_RLIMIT_CPU], cases[i].want);
        assert_true(run.rlimits[CONTAINER_RLIMIT_CPU] * (uint64_t)NS_PER_S >
                    (uint64_t)(cases[i].cpu_ns < TIME_MAX ? cases[i].cpu_ns : TIME_MAX));
    }
}

static void extra_memory_never_wraps_around(void **state)
{
    (void)state;
    static const uint64_t extras[] = {SIZE_CAP, UINT64_MAX - SIZE_CAP, UINT64_MAX};
    for (size_t i = 0; i < COUNT_OF(extras); i++) {
        struct exec_settings settings = settings_of_the_house();
        settings.extra_memory_bytes = extras[i];
        bool allocation;
        const struct container_run run = apply((struct exec_limits){.memory_bytes = UINT64_MAX,
                                                                    .data_segment = true,
                                                                    .stack_bytes = 5},
                                               &settings, false, &allocation);
        assert_true(run.limits.memory_bytes >= SIZE_CAP);
        assert_true(run.rlimits[CONTAINER_RLIMIT_DATA] >= SIZE_CAP);
        assert_int_equal(run.rlimits[CONTAINER_RLIMIT_STACK], 5);
    }
}

static void a_cpu_set_and_a_rate_are_handed_on(void **state)
{
    (void)state;
    const struct exec_settings settings = settings_of_the_house();
    bool allocation;
    const struct container_run run = apply(
        (struct exec_limits){.cpu_set = "0,2-3", .cpu_rate = 500}, &settings, false, &allocation);
    assert_string_equal(run.limits.cpu_set, "0,2-3");
    assert_int_equal(run.limits.cpu_rate, 500);
    assert_int_equal(run.limits.cpu_period_ns, settings.cpu_period_ns);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_those_of_the_decisions),
        cmocka_unit_test(what_is_asked_stays),
        cmocka_unit_test(times_follow_from_each_other),
        cmocka_unit_test(sizes_are_cut_so_that_no_sum_overflows),
        cmocka_unit_test(with_a_group_only_what_no_group_knows_is_an_rlimit),
        cmocka_unit_test(without_a_group_rlimits_stand_in),
        cmocka_unit_test(allocation_limits_stand_when_asked_for),
        cmocka_unit_test(a_stack_is_never_larger_than_the_memory),
        cmocka_unit_test(a_default_stack_of_the_settings_counts),
        cmocka_unit_test(the_cpu_backstop_is_whole_seconds_far_above_the_limit),
        cmocka_unit_test(extra_memory_never_wraps_around),
        cmocka_unit_test(a_cpu_set_and_a_rate_are_handed_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
