/* Limits -> values of files. */
#include "cgroup_plan.h"

#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"

#define NO_LIMIT UINT64_MAX

enum {
    DEFAULT_PERIOD_US = 100000,
    PERIOD_MIN_US = 1000,    /* kernel/sched/core.c: min_cfs_quota_period, */
    PERIOD_MAX_US = 1000000, /* max_cfs_quota_period */
    QUOTA_MIN_US = 1000,
    PIDS_LIMIT_MAX = 4194304, /* PID_MAX_LIMIT: pids.max takes no more */
};

static const struct {
    const char *v1;
    const char *v2;
    enum cgroup_controller controller;
} files[CGROUP_FILE_COUNT] = {
    [CGROUP_MEMORY_LIMIT] = {"memory.limit_in_bytes", "memory.max", CGROUP_MEMORY},
    [CGROUP_MEMORY_SWAP_LIMIT] = {"memory.memsw.limit_in_bytes", "memory.swap.max", CGROUP_MEMORY},
    [CGROUP_MEMORY_USAGE] = {"memory.usage_in_bytes", "memory.current", CGROUP_MEMORY},
    [CGROUP_MEMORY_PEAK] = {"memory.max_usage_in_bytes", "memory.peak", CGROUP_MEMORY},
    [CGROUP_MEMORY_KERNEL] = {"memory.kmem.usage_in_bytes", NULL, CGROUP_MEMORY},
    [CGROUP_MEMORY_STAT] = {"memory.stat", "memory.stat", CGROUP_MEMORY},
    [CGROUP_MEMORY_OOM] = {"memory.oom_control", "memory.events.local", CGROUP_MEMORY},
    [CGROUP_MEMORY_RECLAIM] = {"memory.force_empty", "memory.reclaim", CGROUP_MEMORY},
    [CGROUP_PIDS_MAX] = {"pids.max", "pids.max", CGROUP_PIDS},
    [CGROUP_PIDS_CURRENT] = {"pids.current", "pids.current", CGROUP_PIDS},
    [CGROUP_PIDS_PEAK] = {"pids.peak", "pids.peak", CGROUP_PIDS},
    [CGROUP_CPU_USAGE] = {"cpuacct.usage", "cpu.stat", CGROUP_CPUACCT},
    [CGROUP_CPU_QUOTA] = {"cpu.cfs_quota_us", "cpu.max", CGROUP_CPU},
    [CGROUP_CPU_PERIOD] = {"cpu.cfs_period_us", NULL, CGROUP_CPU},
    [CGROUP_CPUSET_CPUS] = {"cpuset.cpus", "cpuset.cpus", CGROUP_CPUSET},
};

const char *cgroup_file_name(enum cgroup_kind kind, enum cgroup_file file)
{
    return kind == CGROUP_V2 ? files[file].v2 : files[file].v1;
}

enum cgroup_controller cgroup_file_controller(enum cgroup_file file)
{
    return files[file].controller;
}

bool cgroup_cpu_set_valid(const char *text)
{
    bool digit = false, range = false;
    if (text[0] == '\0')
        return true;
    for (; *text != '\0'; text++) {
        if (*text >= '0' && *text <= '9') {
            digit = true;
        } else if (digit && (*text == ',' || (*text == '-' && !range))) {
            range = *text == '-';
            digit = false;
        } else {
            return false;
        }
    }
    return digit;
}

/* ---- the plan ---- */

struct plan {
    struct cgroup_setting *out;
    size_t count;
};

PRINTF(3, 4)
static void set(struct plan *plan, enum cgroup_file file, const char *format, ...)
{
    struct cgroup_setting *setting = &plan->out[plan->count++];
    setting->file = file;
    va_list args;
    va_start(args, format);
    vsnprintf(setting->value, sizeof(setting->value), format, args);
    va_end(args);
}

static void set_or_none(struct plan *plan, enum cgroup_file file, uint64_t value, const char *none)
{
    if (value == NO_LIMIT)
        set(plan, file, "%s", none);
    else
        set(plan, file, "%" PRIu64, value);
}

static uint64_t memory_limit(uint64_t bytes, uint64_t share)
{
    const uint64_t unit = CGROUP_SHARE_ROUNDING;
    if (bytes == 0 || bytes > INT64_MAX)
        return NO_LIMIT;
    uint64_t sum = bytes + (share + unit - 1) / unit * unit;
    return sum > INT64_MAX ? NO_LIMIT : sum;
}

static uint64_t tasks_limit(uint64_t processes, uint64_t share)
{
    if (processes == 0 || processes > PIDS_LIMIT_MAX || processes + share > PIDS_LIMIT_MAX)
        return NO_LIMIT;
    return processes + share;
}

/* v1 keeps memory <= memory + swap at every moment: a higher limit needs the sum raised first, a
 * lower one itself lowered first. Nothing known: the sum is opened wide before. */
static void plan_memory(struct plan *plan, enum cgroup_kind kind,
                        const struct cgroup_written *written, uint64_t limit)
{
    const char *none = kind == CGROUP_V2 ? "max" : "-1";
    if (written->memory_known && written->memory_bytes == limit)
        return;
    if (kind == CGROUP_V2) {
        set_or_none(plan, CGROUP_MEMORY_LIMIT, limit, none);
        return;
    }
    bool raise = written->memory_known && limit > written->memory_bytes;
    if (!written->memory_known)
        set(plan, CGROUP_MEMORY_SWAP_LIMIT, "-1");
    if (raise)
        set_or_none(plan, CGROUP_MEMORY_SWAP_LIMIT, limit, none);
    set_or_none(plan, CGROUP_MEMORY_LIMIT, limit, none);
    if (!raise)
        set_or_none(plan, CGROUP_MEMORY_SWAP_LIMIT, limit, none);
}

static int64_t clamp(int64_t value, int64_t least, int64_t most)
{
    return value < least ? least : value > most ? most : value;
}

/* A rate too small for the period gets a longer period: 0.001 CPU is 1 ms in 1 s. */
static void cpu_bandwidth(const struct cgroup_limits *limits, int64_t *quota_us, int64_t *period_us)
{
    const int64_t rate_max = 1000 * 1000; /* a thousand CPUs: no overflow below */
    int64_t period = limits->cpu_period_ns > 0 ? limits->cpu_period_ns / 1000 : DEFAULT_PERIOD_US;
    *period_us = DEFAULT_PERIOD_US;
    *quota_us = -1;
    if (limits->cpu_rate == 0)
        return;
    int64_t rate = limits->cpu_rate < (uint64_t)rate_max ? (int64_t)limits->cpu_rate : rate_max;
    *period_us = clamp(period, PERIOD_MIN_US, PERIOD_MAX_US);
    if (*period_us * rate < QUOTA_MIN_US * 1000)
        *period_us = clamp((QUOTA_MIN_US * 1000 + rate - 1) / rate, PERIOD_MIN_US, PERIOD_MAX_US);
    *quota_us = *period_us * rate / 1000;
    if (*quota_us < QUOTA_MIN_US)
        *quota_us = QUOTA_MIN_US;
}

static void plan_cpu(struct plan *plan, enum cgroup_kind kind, const struct cgroup_written *written,
                     int64_t quota_us, int64_t period_us)
{
    if (written->cpu_known && written->quota_us == quota_us &&
        (quota_us < 0 || written->period_us == period_us))
        return;
    if (kind == CGROUP_V2) {
        if (quota_us < 0)
            set(plan, CGROUP_CPU_QUOTA, "max %" PRId64, period_us);
        else
            set(plan, CGROUP_CPU_QUOTA, "%" PRId64 " %" PRId64, quota_us, period_us);
        return;
    }
    if (!written->cpu_known || written->period_us != period_us) {
        /* either value alone may break the parent's ratio for a moment: none in between */
        if (!written->cpu_known || written->quota_us >= 0)
            set(plan, CGROUP_CPU_QUOTA, "-1");
        set(plan, CGROUP_CPU_PERIOD, "%" PRId64, period_us);
        if (quota_us < 0)
            return;
    }
    set(plan, CGROUP_CPU_QUOTA, "%" PRId64, quota_us);
}

size_t cgroup_plan(enum cgroup_kind kind, const struct cgroup_limits *limits,
                   const struct cgroup_share *share, const struct cgroup_written *written,
                   struct cgroup_written *next, struct cgroup_setting out[CGROUP_SETTINGS_MAX])
{
    struct plan plan = {.out = out};
    struct cgroup_written after = {
        .memory_known = true, .tasks_known = true, .cpu_known = true, .cpu_set_known = true};

    after.memory_bytes = memory_limit(limits->memory_bytes, share->memory_bytes);
    plan_memory(&plan, kind, written, after.memory_bytes);

    after.tasks = tasks_limit(limits->processes, share->tasks);
    if (!written->tasks_known || written->tasks != after.tasks)
        set_or_none(&plan, CGROUP_PIDS_MAX, after.tasks, "max");

    cpu_bandwidth(limits, &after.quota_us, &after.period_us);
    plan_cpu(&plan, kind, written, after.quota_us, after.period_us);
    if (after.quota_us < 0 && written->cpu_known && written->quota_us < 0)
        after.period_us = written->period_us; /* was not written */

    const char *cpu_set = limits->cpu_set[0] != '\0' ? limits->cpu_set : share->cpu_set;
    snprintf(after.cpu_set, sizeof(after.cpu_set), "%s", cpu_set);
    if (!written->cpu_set_known || strcmp(written->cpu_set, after.cpu_set) != 0)
        set(&plan, CGROUP_CPUSET_CPUS, "%s", after.cpu_set);

    *next = after;
    return plan.count;
}

/* ---- the figures ---- */

static uint64_t smaller(uint64_t left, uint64_t right)
{
    return left < right ? left : right;
}

/* Grace periods are some 10 ms apart, and the peak of a program that only takes memory is its end: what goes while a run of a
 * millisecond is there goes mostly behind that. */
static uint64_t likely_kernel(const struct cgroup_memory_readings *readings, uint64_t least)
{
    const int64_t certain_ns = CGROUP_GARBAGE_NS / 2;
    if (readings->elapsed_ns >= certain_ns)
        return least;
    uint64_t gone = readings->kernel_before - least;
    return readings->kernel_before - gone * (uint64_t)readings->elapsed_ns / (uint64_t)certain_ns;
}

/* The kernel drains the stocks before it refuses. Where they are little of the whole, it is better to say too much by
 * them than to say less than was used. */
static uint64_t without_stock(const struct cgroup_memory_readings *readings, uint64_t peak)
{
    bool refused = readings->limit > 0 && readings->peak >= readings->limit;
    return refused ? peak : minus(peak, minus(readings->stock_max * 5 / 8, peak / 96));
}

/* user: the rest that stood beside the run. */
static uint64_t peak_beside(const struct cgroup_memory_readings *readings, uint64_t user)
{
    uint64_t least = smaller(readings->kernel_before, readings->kernel_after);
    if (readings->elapsed_ns >= CGROUP_GARBAGE_NS)
        return without_stock(readings,
                             minus(readings->peak, user + smaller(least, readings->kernel_floor)));
    if (readings->faulted == 0)
        return without_stock(readings,
                             minus(readings->peak, user + likely_kernel(readings, least)));
    uint64_t low = without_stock(readings, minus(readings->peak, user + readings->kernel_before));
    uint64_t high = without_stock(readings, minus(readings->peak, user + least));
    return readings->faulted < low ? low : smaller(readings->faulted, high);
}

uint64_t cgroup_memory_peak(const struct cgroup_memory_readings *readings)
{
    uint64_t stock = readings->stock_max * 5 / 8;
    uint64_t user_before = minus(readings->usage_before, readings->kernel_before);
    uint64_t user_after = minus(readings->usage_after, readings->kernel_after);
    uint64_t user = readings->share;
    if (!readings->share_known && user_before > user + readings->stock_max)
        user = user_before - stock;   /* more than a stock: a new residue */
    user = smaller(user, user_after); /* less: it was reclaimed meanwhile */

    uint64_t peak = peak_beside(readings, user);
    uint64_t left = minus(user_after, user + stock);
    if (peak < left)
        peak = left;
    if (peak >= CGROUP_PROCESS_LEAST_BYTES)
        return peak;
    /* it fitted into what was being freed beside it: the most it can have been, up to the least
     * that a process takes */
    uint64_t kernel = smaller(readings->kernel_before, readings->kernel_after);
    return smaller(minus(readings->peak, user + kernel), CGROUP_PROCESS_LEAST_BYTES);
}
