/* How much protection a host allows (decisions.md 18): the levels, what each one promises, and the
 * pure decision from what works here to a level with its reasons.
 *
 *   full        namespaces, seccomp, cgroups
 *   no-cgroup   namespaces, seccomp; limits by rlimit, figures by rusage
 *   no-userns   a plain pod: Landlock, seccomp, rlimits; one run at a time for a uid
 *   none        nothing holds a program but rlimits and its uid
 *
 * Nothing here asks the kernel: sandbox/host_facts.h and sandbox/cgroup.h do. */
#ifndef CJ_SANDBOX_PROTECTION_H
#define CJ_SANDBOX_PROTECTION_H

#include <stdbool.h>
#include <stddef.h>

#include "base/attr.h"
#include "base/error.h"

/* Best first; compare with protection_meets(). */
enum protection_level {
    PROTECTION_FULL,
    PROTECTION_NO_CGROUP,
    PROTECTION_NO_USERNS,
    PROTECTION_NONE,
    PROTECTION_LEVELS, /* how many */
};

/* "full", "no-cgroup", "no-userns", "none". Never NULL ("unknown" for anything else). */
const char *protection_name(enum protection_level level) PURE;

/* One sentence that says what the level is. */
const char *protection_summary(enum protection_level level) PURE;

/* Reads a level's name, exactly as protection_name() writes it. An ERROR_CONFIG error lists the
 * names. */
WARN_UNUSED int protection_parse(const char *text, enum protection_level *level,
                                 struct cj_error *err);

/* True when level protects at least as much as required. */
bool protection_meets(enum protection_level level, enum protection_level required) PURE;

/* ---- what a level promises: for the manual, /config, doctor and the words of --require ---- */

struct protection_promise {
    const char *name; /* "memory": stable, for JSON */
    const char *text; /* what is promised, for people */
    bool kept[PROTECTION_LEVELS];
};

/* The whole list; *count gets its length. */
const struct protection_promise *protection_promises(size_t *count) NONNULL(1);

/* ---- the decision ---- */

/* What works on this host, each found by trying it. All false: nothing is known to work. */
struct protection_ability {
    bool user_namespace;   /* a user namespace with mapped ids can be made */
    bool namespaces;       /* mount, pid, net, ipc and uts namespaces in it, all of them */
    bool cgroup_namespace; /* by a run's process; optional */
    bool mounts;           /* tmpfs, bind mounts and pivot_root in the new mount namespace */
    bool proc;             /* a new proc in the new pid namespace; init needs one of its own */
    bool kernel_calls;     /* openat2, close_range, open_tree, mount_setattr (Linux 5.12) */
    bool own_uid;          /* each container gets a host uid of its own; optional */
    bool seccomp;          /* a filter can be installed */
    bool landlock;         /* file-system rules can be installed */
    bool cgroup_memory;    /* working, writable controllers */
    bool cgroup_pids;
    bool cgroup_cpu;    /* the CPU time of a group can be read */
    bool memory_peak;   /* the group's peak can be read: memory.peak, max_usage_in_bytes */
    bool process_peak;  /* pids.peak */
    bool swap_limited;  /* swap of the group is limited, or the host has none */
    bool kernel_memory; /* kernel memory is charged to the group */
};

enum protection_lack {
    LACK_SECCOMP,
    LACK_USER_NAMESPACE,
    LACK_NAMESPACES,
    LACK_KERNEL_CALLS,
    LACK_MOUNTS,
    LACK_PROC,
    LACK_LANDLOCK,
    LACK_CGROUP_MEMORY,
    LACK_CGROUP_PIDS,
    LACK_CGROUP_CPU,
    LACK_OWN_UID, /* from here on: the level stays, something smaller is lost */
    LACK_CGROUP_NAMESPACE,
    LACK_SWAP_LIMIT,
    LACK_KERNEL_MEMORY,
    LACK_MEMORY_PEAK,
    LACK_PROCESS_PEAK,
    PROTECTION_LACKS, /* how many */
};

/* Static text; never freed. */
struct protection_reason {
    enum protection_lack lack;
    enum protection_level best; /* the best level that this lack leaves */
    const char *name;           /* "user-namespace": stable, for JSON and logs */
    const char *what;           /* "user namespaces cannot be made" */
    const char *cost;           /* what is lost by it, at the level that follows */
};

enum figure_accuracy {
    FIGURE_EXACT,   /* as the kernel counted the whole group */
    FIGURE_CLOSE,   /* an estimate with a known bias, see the note */
    FIGURE_UNKNOWN, /* not measured */
};

/* "exact", "close", "unknown" */
const char *figure_accuracy_name(enum figure_accuracy accuracy) PURE;

struct figure {
    enum figure_accuracy accuracy;
    const char *note; /* static: how it is measured */
};

struct protection_decision {
    enum protection_level level;
    const struct protection_reason
        *reasons[PROTECTION_LACKS]; /* in the order of enum protection_lack */
    size_t reason_count;
    struct figure cpu, wall, memory_peak, process_peak, oom;
};

/* Pure: the level that follows, every lack that counts at that level or keeps a better one away,
 * and how exact the figures are. A lack of what the level does not use anyway is left out (Landlock
 * where containers work; a peak where there is no group). */
void protection_decide(const struct protection_ability *ability, struct protection_decision *out)
    NONNULL(1, 2);

#endif
