/* Which values are written, in which order, and what the readings mean. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "cgroup_plan.h"

#define KIB (UINT64_C(1) << 10)
#define MIB (UINT64_C(1) << 20)
#define MS  INT64_C(1000000)

static struct cgroup_written now;
static char text[1024];

/* The plan as one line: "file=value file=value". What it says is taken as written. */
static const char *plan(enum cgroup_kind kind, const struct cgroup_limits *limits,
                        const struct cgroup_share *share)
{
    struct cgroup_setting settings[CGROUP_SETTINGS_MAX];
    struct cgroup_written next;
    size_t count = cgroup_plan(kind, limits, share, &now, &next, settings);
    assert_true(count <= CGROUP_SETTINGS_MAX);
    text[0] = '\0';
    for (size_t i = 0; i < count; i++) {
        size_t used = strlen(text);
        snprintf(text + used, sizeof(text) - used, "%s%s=%s", i > 0 ? " " : "",
                 cgroup_file_name(kind, settings[i].file), settings[i].value);
    }
    now = next;
    return text;
}

static int forget(void **state)
{
    (void)state;
    memset(&now, 0, sizeof(now));
    return 0;
}

static const struct cgroup_share init_share = {
    .memory_bytes = 100 * KIB, .tasks = 2, .cpu_set = "0-1"};
static const struct cgroup_share no_share = {.cpu_set = ""};

static void v1_writes_everything_once(void **state)
{
    (void)state;
    struct cgroup_limits limits = {.memory_bytes = 64 * MIB, .processes = 16};
    assert_string_equal(plan(CGROUP_V1, &limits, &init_share),
                        "memory.memsw.limit_in_bytes=-1 memory.limit_in_bytes=67239936 "
                        "memory.memsw.limit_in_bytes=67239936 pids.max=18 cpu.cfs_quota_us=-1 "
                        "cpu.cfs_period_us=100000 cpuset.cpus=0-1");
    assert_string_equal(plan(CGROUP_V1, &limits, &init_share), "");
    struct cgroup_share grown = init_share;
    grown.memory_bytes += 20 * KIB; /* within the rounding */
    assert_string_equal(plan(CGROUP_V1, &limits, &grown), "");
}

static void v1_keeps_memory_below_memory_and_swap(void **state)
{
    (void)state;
    struct cgroup_share share = {.cpu_set = ""};
    struct cgroup_limits limits = {.memory_bytes = 64 * MIB};
    plan(CGROUP_V1, &limits, &share);
    limits.memory_bytes = 128 * MIB;
    assert_string_equal(plan(CGROUP_V1, &limits, &share),
                        "memory.memsw.limit_in_bytes=134217728 memory.limit_in_bytes=134217728");
    limits.memory_bytes = 32 * MIB;
    assert_string_equal(plan(CGROUP_V1, &limits, &share),
                        "memory.limit_in_bytes=33554432 memory.memsw.limit_in_bytes=33554432");
    limits.memory_bytes = 0;
    assert_string_equal(plan(CGROUP_V1, &limits, &share),
                        "memory.memsw.limit_in_bytes=-1 memory.limit_in_bytes=-1");
    limits.memory_bytes = UINT64_MAX;
    assert_string_equal(plan(CGROUP_V1, &limits, &share), "");
    limits.memory_bytes = 1;
    assert_string_equal(plan(CGROUP_V1, &limits, &share),
                        "memory.limit_in_bytes=1 memory.memsw.limit_in_bytes=1");
}

static void v2_writes_everything_once(void **state)
{
    (void)state;
    struct cgroup_limits limits = {
        .memory_bytes = 64 * MIB, .processes = 16, .cpu_rate = 1500, .cpu_set = "1"};
    assert_string_equal(plan(CGROUP_V2, &limits, &no_share),
                        "memory.max=67108864 pids.max=16 cpu.max=150000 100000 cpuset.cpus=1");
    assert_string_equal(plan(CGROUP_V2, &limits, &no_share), "");
    limits = (struct cgroup_limits){0};
    assert_string_equal(plan(CGROUP_V2, &limits, &no_share),
                        "memory.max=max pids.max=max cpu.max=max 100000 cpuset.cpus=");
}

static void cpu_rates_become_quota_and_period(void **state)
{
    (void)state;
    static const struct {
        uint64_t rate;
        int64_t period_ns;
        const char *v2;
    } cases[] = {
        {1000, 0, "cpu.max=100000 100000"},
        {500, 20 * MS, "cpu.max=10000 20000"},
        {4000, 10 * MS, "cpu.max=40000 10000"},
        {1, 0, "cpu.max=1000 1000000"}, /* longer period: 1 ms is the least quota */
        {5, 10 * MS, "cpu.max=1000 200000"},
        {3, 10 * MS, "cpu.max=1000 333334"},
        {1000, 1, "cpu.max=1000 1000"}, /* least period */
        {1000, 5000 * MS, "cpu.max=1000000 1000000"},
        {UINT64_MAX, 0, "cpu.max=100000000 100000"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct cgroup_limits none = {0};
        struct cgroup_limits limits = {.cpu_rate = cases[i].rate,
                                       .cpu_period_ns = cases[i].period_ns};
        plan(CGROUP_V2, &none, &no_share);
        assert_string_equal(plan(CGROUP_V2, &limits, &no_share), cases[i].v2);
    }
}

static void v1_changes_the_period_without_a_quota(void **state)
{
    (void)state;
    struct cgroup_limits limits = {.cpu_rate = 500};
    plan(CGROUP_V1, &limits, &no_share);
    limits.cpu_rate = 700;
    assert_string_equal(plan(CGROUP_V1, &limits, &no_share), "cpu.cfs_quota_us=70000");
    limits.cpu_period_ns = 50 * MS;
    assert_string_equal(plan(CGROUP_V1, &limits, &no_share),
                        "cpu.cfs_quota_us=-1 cpu.cfs_period_us=50000 cpu.cfs_quota_us=35000");
    limits.cpu_rate = 0;
    assert_string_equal(plan(CGROUP_V1, &limits, &no_share),
                        "cpu.cfs_quota_us=-1 cpu.cfs_period_us=100000");
    assert_string_equal(plan(CGROUP_V1, &limits, &no_share), "");
    limits = (struct cgroup_limits){.cpu_rate = 500, .cpu_period_ns = 100 * MS};
    assert_string_equal(plan(CGROUP_V1, &limits, &no_share), "cpu.cfs_quota_us=50000");
}

static void more_processes_than_there_are_pids_is_no_limit(void **state)
{
    (void)state;
    static const struct {
        uint64_t processes;
        const char *value;
    } cases[] = {
        {1, "pids.max=3"},
        {4194302, "pids.max=4194304"},
        {4194303, "pids.max=max"},
        {UINT64_MAX, "pids.max=max"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct cgroup_limits limits = {.processes = 5};
        struct cgroup_share share = {.tasks = 2, .cpu_set = ""};
        plan(CGROUP_V2, &limits, &share);
        limits.processes = cases[i].processes;
        assert_string_equal(plan(CGROUP_V2, &limits, &share), cases[i].value);
    }
}

static void cpu_sets_are_lists(void **state)
{
    (void)state;
    static const char *const good[] = {"", "0", "0-3", "0,2", "0-3,8,10-12"};
    static const char *const bad[] = {"a", "0-", "-1", "0,,1", ",", "0,", "0-1-2", " 0", "0\n"};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_true(cgroup_cpu_set_valid(good[i]));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(cgroup_cpu_set_valid(bad[i]));
}

/* ---- the peak ---- */

static const struct cgroup_memory_readings quiet = {
    .share = 40 * KIB,
    .usage_before = 140 * KIB, /* 40 init, 60 kernel, 40 stock */
    .usage_after = 200 * KIB,
    .kernel_before = 60 * KIB,
    .kernel_after = 60 * KIB,
    .kernel_floor = 60 * KIB,
    .stock_max = 252 * KIB,
    .elapsed_ns = 20 * MS,
    .peak = 20 * MIB + 100 * KIB,
};

static void peak_is_without_init_and_most_of_a_stock(void **state)
{
    (void)state;
    struct cgroup_memory_readings readings = quiet;
    readings.peak = 1 * MIB + 100 * KIB + 252 * KIB * 5 / 8;
    assert_in_range(cgroup_memory_peak(&readings), 1 * MIB, 1 * MIB + 20 * KIB);
}

/* Where a stock is little of the whole, the figure is never below what was used. */
static void a_large_peak_is_no_lower_than_what_was_used(void **state)
{
    (void)state;
    for (uint64_t used = 16 * MIB; used <= 256 * MIB; used *= 2) {
        struct cgroup_memory_readings readings = quiet;
        readings.peak = used + 100 * KIB;
        assert_in_range(cgroup_memory_peak(&readings), used, used + used / 64);
        readings.peak += readings.stock_max;
        assert_in_range(cgroup_memory_peak(&readings), used, used + used / 64);
    }
}

static void peak_at_the_limit_has_no_stock(void **state)
{
    (void)state;
    struct cgroup_memory_readings readings = quiet;
    readings.limit = readings.peak = 16 * MIB + 100 * KIB;
    assert_int_equal(cgroup_memory_peak(&readings), 16 * MIB);
}

static void garbage_counts_as_long_as_it_is_there(void **state)
{
    (void)state;
    struct cgroup_memory_readings readings = quiet;
    readings.kernel_before += 1 * MIB;
    readings.usage_before += 1 * MIB;
    readings.elapsed_ns = 25 * MS;
    assert_int_equal(cgroup_memory_peak(&readings),
                     20 * MIB); /* gone when it was over, and before */
    readings.elapsed_ns = 0;
    assert_int_equal(cgroup_memory_peak(&readings), 19 * MIB);
    uint64_t earlier = 19 * MIB;
    for (int64_t elapsed_ns = 1 * MS; elapsed_ns < 25 * MS; elapsed_ns += MS) {
        readings.elapsed_ns =
            elapsed_ns; /* the longer, the likelier it is that it was gone before */
        assert_in_range(cgroup_memory_peak(&readings), earlier + 1, 20 * MIB - 1);
        earlier = cgroup_memory_peak(&readings);
    }
    readings.elapsed_ns = 100 * MS;
    readings.kernel_after += 2 * MIB; /* its own garbage */
    readings.usage_after += 2 * MIB;
    assert_int_equal(cgroup_memory_peak(&readings), 20 * MIB);
}

static void page_cache_of_earlier_runs_is_subtracted(void **state)
{
    (void)state;
    struct cgroup_memory_readings readings = quiet;
    readings.usage_before += 10 * MIB;
    readings.usage_after += 10 * MIB;
    readings.peak += 10 * MIB;
    readings.share_known = true; /* then it is not theirs */
    assert_int_equal(cgroup_memory_peak(&readings), 30 * MIB);
    readings.share_known = false;
    uint64_t peak = cgroup_memory_peak(&readings);
    assert_in_range(peak, 20 * MIB - 126 * KIB, 20 * MIB + 126 * KIB);
    readings.usage_after = 110 * KIB; /* reclaimed while it ran */
    assert_in_range(cgroup_memory_peak(&readings), 30 * MIB - 126 * KIB, 30 * MIB + 126 * KIB);
}

/* Kernel memory of other runs that went early makes the peak look small: what is left in files tells that it was not. */
static void a_peak_is_no_lower_than_what_is_left(void **state)
{
    (void)state;
    struct cgroup_memory_readings readings = quiet;
    readings.elapsed_ns = 1 * MS;
    readings.kernel_before += 700 * KIB; /* gone before the peak */
    readings.usage_before += 700 * KIB;
    readings.peak = 100 * KIB + 1200 * KIB;
    assert_in_range(cgroup_memory_peak(&readings), 300 * KIB, 700 * KIB);
    readings.usage_after += 1100 * KIB;
    assert_in_range(cgroup_memory_peak(&readings), 900 * KIB, 1200 * KIB);
}

static void faults_choose_what_had_gone_before_the_peak(void **state)
{
    (void)state;
    struct cgroup_memory_readings readings = quiet;
    readings.kernel_before += 1 * MIB;
    readings.usage_before += 1 * MIB;
    for (int64_t elapsed_ns = 1 * MS; elapsed_ns < 50 * MS; elapsed_ns += 7 * MS) {
        readings.elapsed_ns = elapsed_ns;
        readings.faulted = 19 * MIB + 300 * KIB;
        assert_int_equal(cgroup_memory_peak(&readings), readings.faulted);
        readings.faulted = 1 * MIB; /* huge pages, or files that were written */
        assert_int_equal(cgroup_memory_peak(&readings), 19 * MIB);
        readings.faulted = 30 * MIB; /* it took and gave back */
        assert_int_equal(cgroup_memory_peak(&readings), 20 * MIB);
    }
    readings.elapsed_ns = 60 * MS; /* whatever was there is gone long since */
    readings.faulted = 1 * MIB;
    assert_int_equal(cgroup_memory_peak(&readings), 20 * MIB);
}

static void smallest_process_is_never_nothing(void **state)
{
    (void)state;
    struct cgroup_memory_readings readings = quiet;
    readings.elapsed_ns = 1 * MS;
    readings.kernel_before = 1 * MIB;
    readings.usage_before = readings.peak = 1 * MIB + 140 * KIB;
    assert_int_equal(cgroup_memory_peak(&readings), 160 * KIB);
    readings.peak = 0;
    assert_int_equal(cgroup_memory_peak(&readings), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(v1_writes_everything_once, forget),
        cmocka_unit_test_setup(v1_keeps_memory_below_memory_and_swap, forget),
        cmocka_unit_test_setup(v2_writes_everything_once, forget),
        cmocka_unit_test_setup(cpu_rates_become_quota_and_period, forget),
        cmocka_unit_test_setup(v1_changes_the_period_without_a_quota, forget),
        cmocka_unit_test_setup(more_processes_than_there_are_pids_is_no_limit, forget),
        cmocka_unit_test(cpu_sets_are_lists),
        cmocka_unit_test(peak_is_without_init_and_most_of_a_stock),
        cmocka_unit_test(a_large_peak_is_no_lower_than_what_was_used),
        cmocka_unit_test(peak_at_the_limit_has_no_stock),
        cmocka_unit_test(garbage_counts_as_long_as_it_is_there),
        cmocka_unit_test(page_cache_of_earlier_runs_is_subtracted),
        cmocka_unit_test(a_peak_is_no_lower_than_what_is_left),
        cmocka_unit_test(faults_choose_what_had_gone_before_the_peak),
        cmocka_unit_test(smallest_process_is_never_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
