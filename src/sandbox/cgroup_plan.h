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

/* Readings of the memory counter. The kernel takes memory from it in batches (MEMCG_CHARGE_BATCH, 64
 * pages) and keeps what is left over as a stock of the CPU, so that the counter, and with it its peak,
 * stands up to 63 pages for each CPU above what is in use. All in bytes. */
struct cgroup_memory_readings {
    uint64_t share;        /* init's, in use before the run, without stock and page cache */
    uint64_t usage_before; /* counter when the run began */
    uint64_t usage_after;  /* counter when the run was over */
    uint64_t peak;         /* highest counter between */
    uint64_t kernel_before, kernel_after; /* the kernel's part, which has no stock; 0: not known */
    uint64_t stock_max;    /* 63 pages for each CPU the run could use */
    uint64_t limit;        /* of the counter; 0: none */
};

enum { CGROUP_STOCK_PAGES = 63 };

/* The run's own peak: the highest counter without init's share, without what earlier runs left in the
 * page cache, and without the stock. A program that reached its peak shortly before its end had the
 * stock then that is still there afterwards, when nothing of it is alive; where that cannot be seen,
 * because the run left page cache of its own, half a stock is assumed. */
uint64_t cgroup_memory_peak(const struct cgroup_memory_readings *readings);

#endif
