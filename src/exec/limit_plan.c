/* From what a request asks to what the container enforces. */
#include "limit_plan.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"

enum { MIB = 1024 * 1024 };

/* Values above are cut to it, so that no sum below can overflow: 292 years, 8 EiB. */
#define TIME_MAX (INT64_MAX / 4)
#define SIZE_CAP (UINT64_C(1) << 62)

void exec_settings_default(struct exec_settings *settings)
{
    *settings = (struct exec_settings){
        .defaults =
            {
                .cpu_ns = 10 * NS_PER_S,
                .memory_bytes = 256ULL * MIB,
                .processes = 64,
                .file_size_bytes = 256ULL * MIB,
                .open_files = 256,
            },
        .copy_out_max_bytes = 256ULL * MIB,
        .cpu_period_ns = 100 * NS_PER_MS,
    };
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    settings->cpus = online > 0 ? (unsigned)online : 1;
}

static uint64_t size_or(uint64_t asked, uint64_t otherwise)
{
    uint64_t size = asked != 0 ? asked : otherwise;
    return size < SIZE_CAP ? size : SIZE_CAP;
}

static int64_t time_or(int64_t asked, int64_t otherwise)
{
    int64_t time = asked > 0 ? asked : otherwise;
    return time < TIME_MAX ? time : TIME_MAX;
}

struct exec_limits exec_limits_with_defaults(struct exec_limits asked,
                                             const struct exec_settings *settings)
{
    const struct exec_limits *defaults = &settings->defaults;
    struct exec_limits limits = asked;
    limits.cpu_ns = time_or(asked.cpu_ns, defaults->cpu_ns);
    limits.wall_ns = time_or(asked.wall_ns, defaults->wall_ns > 0 && asked.cpu_ns <= 0
                                                ? defaults->wall_ns
                                                : 2 * limits.cpu_ns + NS_PER_S);
    limits.memory_bytes = size_or(asked.memory_bytes, defaults->memory_bytes);
    limits.processes = size_or(asked.processes, defaults->processes);
    limits.stack_bytes =
        asked.stack_bytes != 0 ? size_or(asked.stack_bytes, 0) : defaults->stack_bytes;
    limits.file_size_bytes = size_or(asked.file_size_bytes, defaults->file_size_bytes);
    limits.open_files = size_or(asked.open_files, defaults->open_files);
    return limits;
}

static void set_rlimit(struct container_run *run, enum container_rlimit which, uint64_t value)
{
    run->rlimit_mask |= 1U << which;
    run->rlimits[which] = value;
}

/* What the stacks of all threads may reserve, within reason. */
static uint64_t stack_room(const struct exec_limits *limits)
{
    uint64_t stack = limits->stack_bytes != 0 ? limits->stack_bytes : 8ULL * MIB;
    uint64_t threads = limits->processes < 64 ? limits->processes : 64;
    return stack < SIZE_CAP / 64 ? stack * threads : SIZE_CAP;
}

bool exec_limits_apply(const struct exec_limits *limits, const struct exec_settings *settings,
                       bool without_cgroup, struct container_run *run)
{
    uint64_t memory = limits->memory_bytes + size_or(settings->extra_memory_bytes, 0);
    /* A backstop that needs no one awake, far above the limit that is enforced exactly: the kernel counts
     * whole ticks for it, and on a busy machine those were a tenth more than what was used. */
    set_rlimit(run, CONTAINER_RLIMIT_CPU,
               (uint64_t)((limits->cpu_ns + NS_PER_S - 1) / NS_PER_S) * 2 + 1);
    set_rlimit(run, CONTAINER_RLIMIT_FSIZE, limits->file_size_bytes);
    set_rlimit(run, CONTAINER_RLIMIT_NOFILE, limits->open_files);
    if (limits->stack_bytes != 0)
        set_rlimit(run, CONTAINER_RLIMIT_STACK,
                   limits->stack_bytes < memory ? limits->stack_bytes : memory);
    if (limits->data_segment)
        set_rlimit(run, CONTAINER_RLIMIT_DATA, memory);
    else if (without_cgroup) /* a backstop: the stacks of threads count although hardly touched */
        set_rlimit(run, CONTAINER_RLIMIT_DATA, memory + stack_room(limits));
    if (limits->address_space)
        set_rlimit(run, CONTAINER_RLIMIT_AS, memory);
    if (without_cgroup)
        set_rlimit(run, CONTAINER_RLIMIT_NPROC, limits->processes);
    run->limits = (struct cgroup_limits){
        .memory_bytes = memory,
        .processes = limits->processes,
        .cpu_rate = limits->cpu_rate,
        .cpu_period_ns = settings->cpu_period_ns,
    };
    if (limits->cpu_set != NULL)
        snprintf(run->limits.cpu_set, sizeof(run->limits.cpu_set), "%s", limits->cpu_set);
    return limits->data_segment || limits->address_space || without_cgroup;
}
