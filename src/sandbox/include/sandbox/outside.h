/* A program on the host's side, beside the sandbox: for commands that start a sandbox of their own (bwrap,
 * firejail, docker), most of which cannot be started inside of ours.
 *
 * What it may do is between the host and the command: it runs as this process's user, in a folder of the
 * caller's. What is kept of ours: a control group of its own (memory, processes, CPU time, and whom to kill),
 * rlimits, its own session, descriptors 0 to 2 and nothing else, death with this process.
 *
 *     outside_start ─► poll outside_fd(), outside_cpu_ns() ─► outside_finish
 *
 * One thread uses one at a time; several threads may each have theirs. The thread that starts it must live
 * until it has ended (PR_SET_PDEATHSIG, prctl(2)). */
#ifndef CJ_SANDBOX_OUTSIDE_H
#define CJ_SANDBOX_OUTSIDE_H

#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/error.h"
#include "sandbox/container.h"
#include "sandbox/sandbox.h"

struct outside;

struct outside_run {
    const char *path;        /* of the program */
    const char *const *args; /* NULL-terminated */
    const char *const *env;  /* NULL-terminated */
    const char *folder;      /* where it starts */
    int descriptors[3];      /* 0, 1, 2; stay the caller's */
    unsigned rlimit_mask;    /* 1 << enum container_rlimit */
    uint64_t rlimits[CONTAINER_RLIMIT_COUNT];
    struct cgroup_limits limits;
};

/* index: distinct among the groups of the sandbox, those of containers included. */
WARN_UNUSED int outside_start(struct sandbox *sandbox, unsigned index,
                              const struct outside_run *run, struct outside **out,
                              struct cj_error *err);

/* Readable when its main process has ended. */
int outside_fd(const struct outside *outside);

/* CPU time of all of it, until now; 0 where no group tells. */
int64_t outside_cpu_ns(const struct outside *outside);

/* Since its start. */
int64_t outside_wall_ns(const struct outside *outside, int64_t now_ns);

/* Kills whatever is left, waits for its end and tells the figures. Frees outside, also when it fails. end->made is not
 * used. */
WARN_UNUSED int outside_finish(struct outside *outside, struct container_end *end,
                               struct cj_error *err);

#endif
