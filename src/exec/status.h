/* Which status a run gets: one pure function over what was measured. */
#ifndef CJ_EXEC_STATUS_H
#define CJ_EXEC_STATUS_H

#include <stdbool.h>
#include <stdint.h>

#include "exec/exec.h"

enum exec_kill_cause {
    KILL_NONE,
    KILL_CPU,  /* our watch saw the CPU limit passed */
    KILL_WALL, /* our watch saw the wall limit passed */
    KILL_MEMORY, /* our watch saw the memory limit passed, where no group enforces it or it saw too late */
    KILL_OUTPUT, /* far more was written than a collector takes: it floods */
    KILL_CANCEL, /* the caller lost interest */
};

struct exec_outcome {
    bool started; /* false: execve or a step before it failed */
    int wait_status;
    enum exec_kill_cause killed;
    int64_t cpu_ns, cpu_limit_ns;
    int64_t wall_ns, wall_limit_ns;
    uint64_t memory_bytes, memory_limit_bytes;
    uint64_t oom_kills;
    bool allocation_limited; /* RLIMIT_DATA or RLIMIT_AS stood at the memory limit */
    bool stack_limited;      /* RLIMIT_STACK stood at it */
    bool output_over;        /* a collector got more than its max */
    bool file_problem;       /* a copy-out failed */
};

struct exec_verdict {
    enum exec_status status;
    int exit_status;
};

/* Precedence, strongest first (docs/run.md has the table):
 *   Internal Error        it could not be started
 *   Memory Limit Exceeded the kernel killed a process of the run for memory; or an allocation limit
 *                         stood, the program failed by itself, and its peak was at the limit; or
 *                         the stack limit stood there, and SIGSEGV came with the peak at it
 *   Time Limit Exceeded   final CPU figure above the limit, or wall time above the limit
 *   Output Limit Exceeded it was stopped because it flooded a collector
 *   by how the main process ended: Dangerous Syscall (SIGSYS), Output Limit Exceeded (SIGXFSZ),
 *                         Signalled, Nonzero Exit Status
 *   Output Limit Exceeded it exited 0, but more was written than a collector takes
 *   File Error            it exited 0, but a file could not be copied out
 *   Accepted */
struct exec_verdict exec_decide(const struct exec_outcome *outcome);

/* The peak to report. What was killed for memory had used its limit and what is enforced beyond it (extra_bytes), or the
 * kernel would have found room: a figure that is less by a little is off (go-judge's clients compare it with their limit). One
 * that is less by much stands: the machine had no more. */
uint64_t exec_memory_figure(const struct exec_outcome *outcome, uint64_t extra_bytes);

#endif
