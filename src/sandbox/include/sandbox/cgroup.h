/* Control groups: limits and figures of runs, on cgroup v1, hybrid and v2.
 *
 * One `cgroup_host` for the process: it finds the hierarchies, owns the instance's directory (held by
 * a flock(2) on it, so that the next start knows a dead instance's leftovers from a living one's) and
 * makes one `cgroup` for each container. Nothing here joins a group while a run is starting:
 *
 *   v1, hybrid   init lives in the run's group for good, programs inherit it (init's own share is
 *                subtracted from every figure; it is protected from the OOM killer by its score)
 *   v2           init lives in a leaf beside the run's group; the program is cloned straight into the
 *                run's group (CLONE_INTO_CGROUP, Linux 5.7)
 *
 *     <root>/<prefix>/<instance>/          v2 and each v1 controller; flock held on it
 *         run-<index>[.<generation>]/      v1: the run's group of container <index>, init in it
 *         box-<index>/init/                v2: its init (leaf)
 *         box-<index>/run[.<generation>]/  v2: the run's group
 *         box-<index>/warm-<n>[.<generation>]/  v2: that of the run whose first process is there before it
 *
 * Sources: Documentation/admin-guide/cgroup-v1/, cgroup-v2.rst, clone(2), cgroups(7). */
#ifndef CJ_SANDBOX_CGROUP_H
#define CJ_SANDBOX_CGROUP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/attr.h"
#include "base/error.h"

enum cgroup_kind {
    CGROUP_NONE, /* nothing usable */
    CGROUP_V1,   /* v1 controllers, with or without a unified tree beside them (hybrid) */
    CGROUP_V2,
};

enum cgroup_controller {
    CGROUP_CPU = 1 << 0,     /* v1 cpu (rate); v2 cpu */
    CGROUP_CPUACCT = 1 << 1, /* v1 cpuacct; v2: always there (cpu.stat usage_usec) */
    CGROUP_CPUSET = 1 << 2,
    CGROUP_MEMORY = 1 << 3,
    CGROUP_PIDS = 1 << 4,
};

/* What was found, for logs, /config, --json and doctor. */
struct cgroup_facts {
    enum cgroup_kind kind;
    unsigned controllers; /* enum cgroup_controller bits that work */
    bool hybrid;     /* v1, and a writable unified tree beside it (cgroup.kill, cgroup.events) */
    bool nsdelegate; /* v2: mounted with nsdelegate */
    bool has_kill;   /* cgroup.kill is there (Linux 5.14) */
    bool has_memory_peak;       /* memory.peak (Linux 5.19); always on v1 (max_usage_in_bytes) */
    bool can_reset_memory_peak; /* v1: yes; v2: by a write to an open descriptor, Linux 6.12 */
    bool has_pids_peak;         /* pids.peak (v2 Linux 6.1, v1 Linux 6.11) */
    bool limits_swap;           /* memory.swap.max / memory.memsw.*, or the host has no swap */
    bool limits_kernel_memory;  /* false only when booted with cgroup.memory=nokmem */
    char path[512];   /* the instance's directory, for people (v1: of the memory controller) */
    char reason[512]; /* why kind is NONE or a controller is missing, and what to do; or "" */
};

struct cgroup_options {
    const char *prefix; /* directory (v1) or subtree (v2) name; NULL = "cjudge" */
    const char
        *mount_root; /* where hierarchies are mounted; NULL = "/sys/fs/cgroup" (tests: a fixture) */
    const char *
        delegated; /* v2: a subtree the operator gave us, absolute or below mount_root; NULL = own */
};

struct cgroup_host;

/* Finds what can be used, removes what dead instances left below the prefix (processes killed first),
 * makes and locks this instance's directory, and on v2 moves this process into a leaf where the "no
 * internal process" rule asks for it. A host without usable cgroups is no error: facts->kind is
 * CGROUP_NONE and facts->reason says why and what would mend it. Call before threads exist. */
WARN_UNUSED int cgroup_host_open(const struct cgroup_options *options, struct cgroup_host **out,
                                 struct cj_error *err);
const struct cgroup_facts *cgroup_host_facts(const struct cgroup_host *host);
/* For a child that was forked after cgroup_host_open() and goes on without exec: drops its copies of
 * the instance's lock, which would otherwise outlive the instance in it. The child makes no groups. */
void cgroup_host_close_inherited(struct cgroup_host *host);
/* Removes the instance's directory (every cgroup of it must be freed before). NULL is fine. */
void cgroup_host_close(struct cgroup_host *host);

/* ---- the group of one container ---- */

enum { CGROUP_CPU_SET_SIZE = 128 };

struct cgroup_limits {
    uint64_t memory_bytes; /* 0: no limit (not for runs) */
    uint64_t processes;    /* processes and threads of the run, without init's; 0: no limit */
    uint64_t cpu_rate;     /* 1/1000 CPU, 1000 = one CPU; 0: no rate */
    int64_t cpu_period_ns; /* of the rate; 0: 100 ms */
    char cpu_set[CGROUP_CPU_SET_SIZE]; /* cpuset list syntax; "": all of the parent's */
    bool first_is_there; /* the first process of the run stands in the group already, and waits */
    uint64_t
        forked_bytes; /* what the run uses beyond what is charged to it: it shares that with who it was
                            * forked from. Taken off the limit, added to the figure */
};

struct cgroup_usage {
    int64_t cpu_ns;        /* user + system of all tasks since cgroup_begin(), dead and alive */
    uint64_t memory_bytes; /* peak since cgroup_begin() without init's share; 0 if not known */
    uint64_t process_peak; /* tasks at once, without init's; 0 if not known */
    uint64_t oom_kills; /* kills for memory in this group: 0 or more; v2 ends the whole run at the
                             * first (memory.oom.group) and may count a process twice */
    bool refused;       /* v2: memory was refused where nobody could be killed for it */
    bool has_memory;
    bool has_process_peak;
    bool
        somebody_left; /* after a run whose first process was there before: more tasks than it began beside */
};

/* Owned by one container; not thread-safe. Different groups may be used by different threads. */
struct cgroup;

/* Makes the group, keeps its files open, gives what clone(2) into it needs to owner (host uid/gid of
 * the container's init). init_tasks: threads of init that v1 counts. */
WARN_UNUSED int cgroup_new(struct cgroup_host *host, unsigned index, uid_t owner,
                           unsigned init_tasks, struct cgroup **out, struct cj_error *err);

/* v2: one more group beside cg's own, for runs whose first process is there before they begin (limits.first_is_there):
 * so that nothing that others do in between is counted with it, or ends it. It is begun, finished and freed like any
 * other, before cg. number tells it from others beside cg. */
WARN_UNUSED int cgroup_new_beside(const struct cgroup *cg, unsigned number, struct cgroup **out,
                                  struct cj_error *err);

/* v2: to be called before that process is made, when nobody is in the group: makes it fit for the next run as
 * cgroup_recycle() does. What it holds more from here on is that run's. */
WARN_UNUSED int cgroup_await_first(struct cgroup *cg, pid_t init_pid, struct cj_error *err);

/* Puts a container's init where it lives (see above). Slow (an RCU grace period): only at creation. Init
 * is to be pinned to its core after this: joining a cpuset forgets the affinity before Linux 6.2. */
WARN_UNUSED int cgroup_adopt_init(struct cgroup *cg, pid_t init_pid, struct cj_error *err);

/* To be called when init has set itself up: what it holds now is its own, what the group holds more later
 * is taken for the run's. Takes some 0.2 ms. */
WARN_UNUSED int cgroup_learn_init(struct cgroup *cg, struct cj_error *err);

/* v1: a thread of init, which stands in the run's groups, competes for the CPU where this process does: who
 * is to kill must not wait for the turn of a group that the run has used up. Slow, like the above; where it is
 * not possible nothing happens. v2: init stands beside the run's group. */
void cgroup_free_thread(struct cgroup *cg, pid_t thread_id);

/* Sets the limits (only values that changed are written) and starts counting from zero. The group
 * holds init only (v1) or nobody (v2). An unusable value (cpu_set) is an ERROR_REQUEST error. v1 takes no memory limit
 * below what the group holds for good: it is then set as low as possible, and cgroup_finish() counts it as
 * a kill when the run's peak was above what was asked. */
WARN_UNUSED int cgroup_begin(struct cgroup *cg, const struct cgroup_limits *limits,
                             struct cj_error *err);

/* After cgroup_begin(), on v2: whether nobody stands in the group although limits.first_is_there said so. Such a run must not
 * go on in it: its first process, wherever it is, has no limits. */
bool cgroup_lacks_first(const struct cgroup *cg);

/* To be called when init has been asked to do something between two runs: on v1 its CPU time and memory
 * then are the group's, and cgroup_begin() looks anew where the counters stand. */
void cgroup_disturbed(struct cgroup *cg);

/* The same, and processes have come into the group or left it: they are nobody's run. */
void cgroup_populated(struct cgroup *cg);

/* v2: the directory to clone into, owned by cg, may change at every cgroup_recycle(). v1: -1. */
int cgroup_clone_fd(const struct cgroup *cg);

/* Changes whenever init has been moved, or the directory of cgroup_clone_fd() is another. */
unsigned cgroup_generation(const struct cgroup *cg);

/* CPU time since cgroup_begin(), also while tasks run (then behind by up to a scheduler tick). About
 * 1 us. Returns 0, or -1 with err. */
WARN_UNUSED int cgroup_cpu_ns(const struct cgroup *cg, int64_t *cpu_ns, struct cj_error *err);

/* Tasks of the run at this moment (without init's); an upper bound of what can run in parallel. */
WARN_UNUSED int cgroup_tasks(const struct cgroup *cg, uint64_t *tasks, struct cj_error *err);

/* Before cgroup_begin() of a run with that memory limit, while no command of the same request runs: waits, mostly not at all
 * and 100 ms at most, while more kernel memory of earlier runs stands in the group than a limit may be raised by. What
 * does not go is left behind in another group: cgroup_generation() changes, and *worn says that init should be
 * replaced after the run, as its own memory stays there. */
WARN_UNUSED int cgroup_make_room(struct cgroup *cg, uint64_t memory_bytes, bool *worn,
                                 struct cj_error *err);

/* What cgroup_settle() found. */
struct cgroup_settled {
    int64_t next_ns; /* until it is due again; INT64_MAX: there is nothing to look after */
    bool over;       /* the run has more than it may; the kernel did not see it in time */
};

/* A run's limit begins with room for kernel memory of earlier runs, which stands in the same group (about 100 KiB
 * each) until it is freed, some 10 ms after their end. cgroup_settle() takes back what has been freed. And it raises the limit of
 * a run that reads its files again and again by its page cache, which the kernel would reclaim for ever. It is due, as long
 * as the run lives, cgroup_settle_ns() after cgroup_begin(), and as it says itself then. Two or three system calls, some more
 * where there is something to take back. */
int64_t cgroup_settle_ns(const struct cgroup *cg);
WARN_UNUSED int cgroup_settle(struct cgroup *cg, struct cgroup_settled *settled,
                              struct cj_error *err);

/* Takes the CPU rate away, before the run's processes are killed: on v1 init stands in the same group
 * and would wait with them for the next period. Does nothing where no rate is set. */
WARN_UNUSED int cgroup_lift_rate(struct cgroup *cg, struct cj_error *err);

/* Takes the memory limit of the last run away until the next begins: on v1 init's own work in between, such
 * as making files for the next one, is counted in the same group, and would end with init's death. */
WARN_UNUSED int cgroup_lift_memory(struct cgroup *cg, struct cj_error *err);

/* Takes the limit on processes of the last run away until the next begins: for processes that are made between
 * runs. */
WARN_UNUSED int cgroup_lift_tasks(struct cgroup *cg, struct cj_error *err);

/* What else is known of how a run has ended. */
struct cgroup_ended {
    bool
        unkilled; /* its first process began as it was to, and has ended otherwise than by SIGKILL */
    uint64_t faults; /* of pages; 0: not known */
};

/* The figures of the run, once every process of it is dead and reaped. ended: NULL when nothing is known. */
WARN_UNUSED int cgroup_finish(struct cgroup *cg, const struct cgroup_ended *ended,
                              struct cgroup_usage *usage, struct cj_error *err);

/* Says, before cgroup_recycle(), whether the first process of a run that may be the next stands in the group already
 * (limits.first_is_there). */
void cgroup_first_waits(struct cgroup *cg, bool waits);

/* Makes the group fit for the next run, off the critical path: gives back clean page cache, replaces
 * the group where a peak cannot be reset and was touched (v1 pids.peak, v2 before 6.12: memory.peak).
 * Does next to nothing after an ordinary run. init_pid as in cgroup_adopt_init(). */
WARN_UNUSED int cgroup_recycle(struct cgroup *cg, pid_t init_pid, struct cj_error *err);

/* Kills everything inside, init too, and waits until it is empty (for containers that are given up).
 * timeout_ns counts from the call. err->code is ETIMEDOUT if a process stays. */
WARN_UNUSED int cgroup_kill_all(struct cgroup *cg, int64_t timeout_ns, struct cj_error *err);

/* Removes the group (nobody may be inside) and forgets it. NULL is fine. */
void cgroup_free(struct cgroup *cg);

#endif
