/* Limits -> values of files. Pure; private to this layer. */
#ifndef CJ_SANDBOX_CGROUP_PLAN_H
#define CJ_SANDBOX_CGROUP_PLAN_H

#include <stddef.h>

#include "sandbox/cgroup.h"

/* The files of a run's group, by meaning. Names: cgroup_file_name(). */
enum cgroup_file {
    CGROUP_MEMORY_LIMIT,
    CGROUP_MEMORY_SWAP_LIMIT, /* v1: memory and swap together; v2: swap alone, always 0 */
    CGROUP_MEMORY_USAGE,
    CGROUP_MEMORY_PEAK,
    CGROUP_MEMORY_KERNEL, /* v1 only: the part of the usage that is the kernel's, without stock */
    CGROUP_MEMORY_STAT,   /* what the rest is, without stock */
    CGROUP_MEMORY_OOM,
    CGROUP_MEMORY_RECLAIM,
    CGROUP_PIDS_MAX,
    CGROUP_PIDS_CURRENT,
    CGROUP_PIDS_PEAK,
    CGROUP_CPU_USAGE,
    CGROUP_CPU_QUOTA,
    CGROUP_CPU_PERIOD, /* v1 only */
    CGROUP_CPUSET_CPUS,
    CGROUP_FILE_COUNT,
};

/* NULL when that version has no such file. */
const char *cgroup_file_name(enum cgroup_kind kind, enum cgroup_file file);
enum cgroup_controller cgroup_file_controller(enum cgroup_file file);

/* What the group's files say now, as far as we wrote them. {0}: nothing is known. */
struct cgroup_written {
    bool memory_known, tasks_known, cpu_known, cpu_set_known;
    uint64_t memory_bytes; /* UINT64_MAX: no limit */
    uint64_t tasks;        /* UINT64_MAX: no limit */
    int64_t quota_us;      /* -1: no limit */
    int64_t period_us;
    char cpu_set[CGROUP_CPU_SET_SIZE];
};

/* What stands in the group beside the run. */
struct cgroup_share {
    uint64_t memory_bytes;
    uint64_t tasks;
    const char *cpu_set; /* the parent's, written when the run asks for none (v1; v2: "") */
};

struct cgroup_setting {
    enum cgroup_file file;
    char value[CGROUP_CPU_SET_SIZE];
};

enum {
    CGROUP_SETTINGS_MAX = 9,
    CGROUP_SHARE_ROUNDING = 64 * 1024, /* bytes: an init that grew by a page costs no write */
};

/* Which files get which values, in the order in which they must be written: written -> limits. next is
 * what the files say afterwards. share->memory_bytes is rounded up to CGROUP_SHARE_ROUNDING. */
size_t cgroup_plan(enum cgroup_kind kind, const struct cgroup_limits *limits,
                   const struct cgroup_share *share, const struct cgroup_written *written,
                   struct cgroup_written *next, struct cgroup_setting out[CGROUP_SETTINGS_MAX]);

/* Only digits, ',' and '-', in the order of a list: "0", "0-3,8". "" is valid. */
bool cgroup_cpu_set_valid(const char *text);

/* Never below 0: counters of the kernel are read one after the other. */
static inline uint64_t minus(uint64_t left, uint64_t right)
{
    return left > right ? left - right : 0;
}

/* Readings of the memory counter, in bytes. Three things stand between it and what a run used:
 *
 *   stock    the kernel takes memory from the counter in batches (MEMCG_CHARGE_BATCH, 64 pages) and
 *            keeps what is left over as a stock of the CPU: the counter, and with it its peak, stands
 *            up to 63 pages for each CPU above what is in use. Which, at the peak, cannot be known
 *            later (what a process frees goes into the stock too): five eighths of the most are taken off. A
 *            half is the mean; the rest is the least that a process takes of the kernel's, which it cannot see
 *   garbage  kernel objects of the run before (page tables, stacks, files) are freed an RCU grace
 *            period later, some 10 ms: about 100 KiB for each run that ended just before
 *   residue  clean page cache of files that earlier runs read first */
struct cgroup_memory_readings {
    uint64_t peak;                        /* highest counter during the run */
    uint64_t usage_before, usage_after;   /* counter when it began and when it was over */
    uint64_t kernel_before, kernel_after; /* the kernel's part, without stock; 0: not known */
    uint64_t share;   /* what stands beside the run for good: init's, residue; no kernel part */
    bool share_known; /* it was read, not concluded */
    uint64_t kernel_floor; /* the kernel's part when there is no garbage */
    uint64_t stock_max;    /* 63 pages for each CPU the run could use */
    uint64_t limit;        /* of the counter; 0: none */
    int64_t elapsed_ns;    /* from the run's begin to its end */
    uint64_t
        faulted; /* pages that its processes have faulted in, in bytes: those of files, too; 0: not known */
};

enum {
    CGROUP_STOCK_PAGES = 63,
    CGROUP_PROCESS_LEAST_BYTES = 160 * 1024, /* stack, page tables, kernel stack, task: measured */
};

/* Kernel objects of the dead are freed an RCU grace period later: some 10 ms, at most this on an ordinary day. */
#define CGROUP_GARBAGE_NS (50 * NS_PER_MS)

/* The run's own peak. Garbage that went while the run was there leaves a choice of what stood beside it at its peak. What
 * it has faulted in chooses, as programs mostly take memory and give it back at their end. Where that is not
 * known, the more of the garbage is taken to have gone before the longer the run was. Never less than what is left when it is over. */
uint64_t cgroup_memory_peak(const struct cgroup_memory_readings *readings);

#endif
