/* One host, one group: what v1 and v2 share. Private to this layer. */
#ifndef CJ_SANDBOX_CGROUP_GROUP_H
#define CJ_SANDBOX_CGROUP_GROUP_H

#include "cgroup_detect.h"
#include "cgroup_plan.h"
#include "cgroup_tree.h"
#include "sandbox/cgroup.h"

enum {
    GROUP_PARKED_MAX = 4,
    GROUP_EMPTY_WAIT_MS = 2000, /* stragglers on their way out, before a directory can go */
};

struct host_tree {
    unsigned controllers;
    char base[CGROUP_PATH_SIZE];
    int base_fd, prefix_fd;
    int instance_fd; /* flock held */
};

struct cgroup_host {
    struct cgroup_facts facts;
    char prefix[TREE_NAME_SIZE];
    char instance[TREE_NAME_SIZE];
    struct host_tree trees[CGROUP_HIERARCHIES_MAX];
    size_t count;
    char cpu_set[CGROUP_CPU_SET_SIZE]; /* v1: of the instance; v2: "" */
    uint64_t page_bytes;
    uint64_t cpu_count;
};

/* Where the counters stood at the end of the last run. */
struct cgroup_seen {
    bool valid;       /* nobody was moved since, nothing reclaimed, and no run begun */
    bool undisturbed; /* nor has init done anything */
    int64_t time_ns, cpu_ns;
    uint64_t usage_bytes, kernel_bytes;
    uint64_t tasks_peak, oom_kills, oom_events;
};

struct cgroup {
    struct cgroup_host *host;
    unsigned index;
    uid_t owner;
    unsigned init_tasks;
    unsigned generation;

    /* v2: the container's own directory, with the leaf of its init and the run's group in it, so that
     * the common ancestor of both belongs to one container's uid only. */
    int box_fd;
    char box_name[TREE_NAME_SIZE];
    int init_fd;                 /* v2 */
    bool is_beside;              /* cgroup_new_beside(): the box is another one's */
    char run_kind[16];           /* v2: what the names of its directories begin with */
    bool lacks_first;            /* cgroup_lacks_first() */
    uint64_t before_first_bytes; /* what the group held when its first process was not there yet */
    int run_fd[CGROUP_HIERARCHIES_MAX];
    char run_name[CGROUP_HIERARCHIES_MAX][TREE_NAME_SIZE];
    int files[CGROUP_FILE_COUNT];

    /* v2: groups that were replaced while page cache that others use was charged to them. */
    char parked[GROUP_PARKED_MAX][TREE_NAME_SIZE];
    unsigned parked_next;

    struct cgroup_written written;

    /* v1: init's memory in this group without the kernel's part, as measured when no stock and no
     * page cache stood beside it. */
    uint64_t share_bytes;
    /* What stands in the group beside a run when stock and garbage (cgroup_plan.h) are away. The kernel's part follows
     * what is seen before each run down at once, and up by a page a run, the other is read. */
    uint64_t user_floor, kernel_floor;
    unsigned user_runs; /* since user_floor was looked up */
    bool look_at_user;  /* it is to be, after the run */
    unsigned init_cpus; /* CPUs init may use, and programs with it unless they are set free */
    bool cpus_learned;  /* init_cpus is what holds now */
    bool first_waits;   /* cgroup_first_waits() */
    bool least_tasks;   /* the last run is over, and pids.peak is the least that a run leaves */

    /* when the run began */
    struct {
        int64_t time_ns, cpu_ns;
        struct cgroup_limits limits;
        uint64_t limit_bytes; /* of the counter; 0: none */
        uint64_t usage_bytes, kernel_bytes, peak_bytes;
        uint64_t tasks, tasks_peak;
        uint64_t oom_kills, oom_events;
        bool raised; /* v1: the limit is above what was asked and the share */
    } begin;
    /* Since when, and beside what, the run's memory is being measured (cgroup_garbage.c). */
    struct {
        int64_t time_ns;
        uint64_t usage_bytes, kernel_bytes;
        uint64_t beside_bytes;  /* garbage that the limit is raised by */
        uint64_t figure_bytes;  /* the run's peak before the mark */
        bool again;             /* it was set while the run lived */
        uint64_t seen_bytes;    /* the kernel's part at the last look */
        uint64_t own_bytes;     /* what it became more by, which is the run's own */
        uint64_t refused_bytes; /* what it was when the exact limit was refused; 0 */
        int64_t
            garbage_due_ns; /* since the begin: when garbage is to be looked after again; INT64_MAX: never */
        uint64_t
            cache_bytes; /* page cache of the run, and room for it, that the limit is raised by (cgroup_settle.c) */
        uint64_t cache_room_bytes; /* of that the room */
        uint64_t read_again_pages; /* at the last look; UINT64_MAX: there was none */
        int64_t cache_look_ns;     /* until page cache is looked at again */
    } mark;
    int64_t settle_again_ns;
    struct cgroup_seen seen;
    uint64_t residue_bytes; /* without the kernel's part, above init's share, after the last run */
    uint64_t residue_kernel_bytes;
};

/* Opens the files of the tree's controllers in run_fd[tree]; one that is missing stays -1. */
void group_open_files(struct cgroup *cg, size_t tree);
void group_close_files(struct cgroup *cg, size_t tree);

/* A number from a kept descriptor; missing files read as 0. "max" is UINT64_MAX. */
WARN_UNUSED int group_read(const struct cgroup *cg, enum cgroup_file file, uint64_t *value,
                           struct cj_error *err);
WARN_UNUSED int group_read_cpu_ns(const struct cgroup *cg, int64_t *cpu_ns, struct cj_error *err);
static inline bool group_has(const struct cgroup *cg, enum cgroup_file file)
{
    return cg->files[file] >= 0;
}

/* Writes one value in one system call at offset 0. errno is kept. */
int group_write(const struct cgroup *cg, enum cgroup_file file, const char *value);

/* Opens what a process that is to live in the run's group, and has no init, writes itself into (cgroup.procs of each
 * hierarchy): fds, of which *count are the caller's, also on failure. */
WARN_UNUSED int group_open_procs(const struct cgroup *cg, int fds[static CGROUP_HIERARCHIES_MAX],
                                 size_t *count, struct cj_error *err);

/* Gives clean page cache, reclaimable kernel objects and stocks back. Takes milliseconds. */
void group_reclaim(struct cgroup *cg, uint64_t bytes);

/* Learns on how many CPUs programs run, unless that is known. */
void group_learn_cpus(struct cgroup *cg, pid_t init_pid);

struct group_stat {
    uint64_t
        cache_bytes; /* files, not those in memory (tmpfs); v2: and kernel objects that can be reclaimed */
    uint64_t own_bytes; /* of all else what cannot be reclaimed, at least */
    uint64_t
        read_again_pages; /* of files, that had been reclaimed before; where that is not told (before Linux
                                * 5.9), that a process had to wait for */
};

/* What is charged to the group. */
WARN_UNUSED int group_read_stat(const struct cgroup *cg, struct group_stat *stat,
                                struct cj_error *err);

/* v1: what stands in the group but for the kernel's part and stocks. known: that can be read. On v2 nobody needs it. */
bool group_tells_user(const struct cgroup *cg);
WARN_UNUSED int group_read_user(const struct cgroup *cg, uint64_t *bytes, bool *known,
                                struct cj_error *err);

/* v1, after a run whose files are gone: looks that up where it may have changed unseen. */
WARN_UNUSED int group_look_at_user(struct cgroup *cg, struct cj_error *err);

/* CPUs' stocks (cgroup_plan.h) that a run of so many tasks may leave. */
uint64_t group_stock_bytes(const struct cgroup *cg, uint64_t tasks);

/* Reads what stands in the group before a run. */
WARN_UNUSED int group_read_memory_before(struct cgroup *cg, struct cj_error *err);

/* Writes the run's limits, memory raised by memory_share. */
WARN_UNUSED int group_write_plan(struct cgroup *cg, uint64_t memory_share, struct cj_error *err);

/* The same while it lives, raised by beside, by init's share and by the run's page cache. */
WARN_UNUSED int group_write_beside(struct cgroup *cg, uint64_t beside, struct cj_error *err);

/* Where the first process is about to come, before the run is known: the limits of the last run, as the next one's are
 * mostly the same and then need not be written. Without its rate, which would be in the way of who comes. */
WARN_UNUSED int group_write_ahead(struct cgroup *cg, struct cj_error *err);

/* ---- cgroup_garbage.c ---- */

/* Learns anew what stands in the group beside any run, after group_reclaim(): nobody but init is in it. */
WARN_UNUSED int group_measure_share(struct cgroup *cg, struct cj_error *err);

/* Before a run: waits while more garbage stands in the group than its limit may be raised by, up to 100 ms. */
WARN_UNUSED int group_await_garbage(struct cgroup *cg, uint64_t limit_bytes, bool *gone,
                                    struct cj_error *err);

/* What the limit of the run that begins is raised by for garbage, init's kernel memory with it. */
uint64_t group_garbage(const struct cgroup *cg);

/* After they are written: measures the run's memory from here. */
void group_mark(struct cgroup *cg);

/* What cgroup_memory_peak() wants to know, since the mark. tasks: the run's, at most; ended: it has. */
WARN_UNUSED int group_read_since_mark(const struct cgroup *cg, uint64_t tasks, bool ended,
                                      struct cgroup_memory_readings *readings,
                                      struct cj_error *err);

/* Until garbage is to be looked after. */
int64_t group_garbage_ns(const struct cgroup *cg);
/* Does so when it is due. */
WARN_UNUSED int group_settle_garbage(struct cgroup *cg, struct cgroup_settled *settled,
                                     struct cj_error *err);

/* ---- cgroup_settle.c ---- */

/* Part of group_mark(). */
void group_mark_cache(struct cgroup *cg);

/* After a run: whether it had more than it might since the last look. figure: its peak, page cache and all; left: what there still
 * is of that, and of kernel objects. */
bool group_was_over(const struct cgroup *cg, uint64_t figure, uint64_t left);

int64_t group_settle_ns(const struct cgroup *cg);
WARN_UNUSED int group_settle(struct cgroup *cg, struct cgroup_settled *settled,
                             struct cj_error *err);

/* ---- a run ---- */

WARN_UNUSED int group_begin(struct cgroup *cg, const struct cgroup_limits *limits,
                            struct cj_error *err);
/* Reads what is left of the last run, again. */
WARN_UNUSED int group_read_residue(struct cgroup *cg, struct cj_error *err);
WARN_UNUSED int group_finish(struct cgroup *cg, const struct cgroup_ended *ended,
                             struct cgroup_usage *usage, struct cj_error *err);

/* The halves of cgroup_host_open(), cgroup_new(), ... that differ. */
WARN_UNUSED int v1_prepare_host(struct cgroup_host *host, struct cj_error *err);
WARN_UNUSED int v1_new(struct cgroup *cg, struct cj_error *err);
WARN_UNUSED int v1_adopt_init(struct cgroup *cg, pid_t init_pid, struct cj_error *err);
void v1_free_thread(struct cgroup *cg, pid_t thread_id);
/* Gives the memory counter a new directory, with nothing of earlier runs in it, and moves everybody there. */
WARN_UNUSED int v1_replace_memory(struct cgroup *cg, struct cj_error *err);
WARN_UNUSED int v1_recycle(struct cgroup *cg, pid_t init_pid, struct cj_error *err);
WARN_UNUSED int v1_kill_all(struct cgroup *cg, int64_t deadline_ns, struct cj_error *err);
void v1_free(struct cgroup *cg);

WARN_UNUSED int v2_prepare_base(struct cgroup_host *host, bool processes_rule,
                                struct cj_error *err);
WARN_UNUSED int v2_prepare_host(struct cgroup_host *host, struct cj_error *err);
WARN_UNUSED int v2_new(struct cgroup *cg, struct cj_error *err);
WARN_UNUSED int v2_new_beside(const struct cgroup *of, struct cgroup *cg, unsigned number,
                              struct cj_error *err);
WARN_UNUSED int v2_await_first(struct cgroup *cg, pid_t init_pid, struct cj_error *err);
WARN_UNUSED int v2_adopt_init(struct cgroup *cg, pid_t init_pid, struct cj_error *err);
WARN_UNUSED int v2_recycle(struct cgroup *cg, pid_t init_pid, struct cj_error *err);
WARN_UNUSED int v2_kill_all(struct cgroup *cg, int64_t deadline_ns, struct cj_error *err);
void v2_free(struct cgroup *cg);

#endif
