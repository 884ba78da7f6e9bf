/* What works on this host, found by trying it.
 *
 * Every try happens in a child process (of a process without threads), in namespaces of its own,
 * with a deadline; it leaves nothing behind. The service uses the outcome to choose its protection
 * level at start, `cjudge doctor` to explain it. */
#ifndef CJ_SANDBOX_HOST_TRY_H
#define CJ_SANDBOX_HOST_TRY_H

#include <stdint.h>

#include "base/attr.h"
#include "sandbox/cgroup.h"
#include "sandbox/host_facts.h"
#include "sandbox/protection.h"

/* One try. */
struct host_try {
    enum fact works; /* FACT_UNKNOWN: not tried, because an earlier step failed */
    int32_t error;   /* errno of a NO; ETIMEDOUT when its process did not end */
};

enum host_step {
    TRY_NAMESPACE, /* + enum host_namespace: each alone (those after "user": inside a user
                      namespace) */
    TRY_ID_MAP = TRY_NAMESPACE + HOST_NAMESPACES, /* a user namespace with an id in its map */
    TRY_OWN_UID,                                  /* ... that is a host uid other than ours */
    TRY_ALL_NAMESPACES,                           /* mount, pid, net, ipc, uts at once in it */
    TRY_KERNEL_CALLS, /* openat2, close_range, open_tree, mount_setattr are known */
    TRY_MOUNT_TMPFS,
    TRY_MOUNT_BIND, /* read-only bind mount of /usr */
    TRY_MOUNT_PROC, /* fails where a container has parts of /proc masked */
    TRY_PIVOT_ROOT,
    TRY_NO_NEW_PRIVS,
    TRY_SECCOMP, /* a filter */
    TRY_LANDLOCK,
    TRY_MEMFD_EXEC, /* run a program from a memfd */
    HOST_STEPS,
};

/* "user", ..., "id-map", "mount-proc": stable, for JSON. */
const char *host_step_name(unsigned step);

struct host_cgroup_try {
    struct host_try mkdir;   /* in the hierarchy (v1: of the memory controller) */
    char path[256];          /* the directory it worked in, or the first that was tried */
    unsigned usable;         /* enum cgroup_controller bits a run's group can have */
    int64_t other_processes; /* v2: processes in that group besides this one that forbid controllers
                                ("no internal processes"); 0 in the hierarchy's root */
    enum fact kill, memory_peak, pids_peak, swap_limit, kernel_memory; /* files of a group */
};

struct host_tries {
    struct host_try steps[HOST_STEPS];
    int64_t landlock_abi; /* 0: none */
    int64_t tick_ns;      /* 1/CONFIG_HZ, as clock_getres(CLOCK_MONOTONIC_COARSE) tells */
    int64_t tmp_free_bytes, shm_free_bytes, shm_size_bytes; /* statvfs(3); HOST_UNKNOWN */
    struct host_cgroup_try cgroup;
};

/* Tries everything (a few milliseconds). Call before threads exist. facts come from
 * host_facts_read() of the real root. Never fails: what could not be tried is unknown. */
void host_try_all(const struct host_facts *facts, struct host_tries *out) NONNULL(1, 2);

/* Only the control groups, below root_fd (tests: a fixture). Makes and removes a directory. */
void host_cgroup_try(int root_fd, const struct host_facts *facts, struct host_cgroup_try *out)
    NONNULL(2, 3);

/* Pure: what works, for protection_decide(). Unknown counts as not working. */
void host_ability(const struct host_facts *facts, const struct host_tries *tries,
                  struct protection_ability *out) NONNULL(1, 2, 3);

/* As host_ability(), but with the control groups as the service really holds them. */
void host_ability_with_cgroups(const struct host_facts *facts, const struct host_tries *tries,
                               const struct cgroup_facts *cgroups, struct protection_ability *out)
    NONNULL(1, 2, 3, 4);

#endif
