/* Which status a run gets. */
#include "status.h"

#include <signal.h>
#include <sys/wait.h>

#include "base/attr.h"

const char *exec_status_name(enum exec_status status)
{
    static const char *const names[] = {
        [EXEC_INVALID] = "Invalid",
        [EXEC_ACCEPTED] = "Accepted",
        [EXEC_WRONG_ANSWER] = "Wrong Answer",
        [EXEC_PARTIALLY_CORRECT] = "Partially Correct",
        [EXEC_MEMORY_LIMIT] = "Memory Limit Exceeded",
        [EXEC_TIME_LIMIT] = "Time Limit Exceeded",
        [EXEC_OUTPUT_LIMIT] = "Output Limit Exceeded",
        [EXEC_FILE_ERROR] = "File Error",
        [EXEC_NONZERO_EXIT] = "Nonzero Exit Status",
        [EXEC_SIGNALLED] = "Signalled",
        [EXEC_DANGEROUS_SYSCALL] = "Dangerous Syscall",
        [EXEC_JUDGEMENT_FAILED] = "Judgement Failed",
        [EXEC_INVALID_INTERACTION] = "Invalid Interaction",
        [EXEC_INTERNAL_ERROR] = "Internal Error",
    };
    return (unsigned)status < COUNT_OF(names) ? names[status] : names[EXEC_INVALID];
}

const char *exec_file_error_name(enum exec_file_error_kind kind)
{
    static const char *const names[] = {
        [EXEC_COPY_IN_OPEN_FILE] = "CopyInOpenFile",
        [EXEC_COPY_IN_CREATE_FILE] = "CopyInCreateFile",
        [EXEC_COPY_IN_COPY_CONTENT] = "CopyInCopyContent",
        [EXEC_COPY_OUT_OPEN] = "CopyOutOpen",
        [EXEC_COPY_OUT_NOT_REGULAR_FILE] = "CopyOutNotRegularFile",
        [EXEC_COPY_OUT_SIZE_EXCEEDED] = "CopyOutSizeExceeded",
        [EXEC_COPY_OUT_CREATE_FILE] = "CopyOutCreateFile",
        [EXEC_COPY_OUT_COPY_CONTENT] = "CopyOutCopyContent",
        [EXEC_COLLECT_SIZE_EXCEEDED] = "CollectSizeExceeded",
        [EXEC_SYMLINK] = "Symlink",
    };
    return (unsigned)kind < COUNT_OF(names) ? names[kind] : "";
}

/* How the main process ended, before any limit is looked at. A SIGKILL or SIGXCPU that was not ours is
 * the program's own doing. */
static struct exec_verdict raw_verdict(int wait_status)
{
    if (!WIFSIGNALED(wait_status)) {
        int code = WEXITSTATUS(wait_status);
        return (struct exec_verdict){code == 0 ? EXEC_ACCEPTED : EXEC_NONZERO_EXIT, code};
    }
    int number = WTERMSIG(wait_status);
    switch (number) {
    case SIGXFSZ:
        return (struct exec_verdict){EXEC_OUTPUT_LIMIT, number};
    case SIGSYS:
        return (struct exec_verdict){EXEC_DANGEROUS_SYSCALL, number};
    default:
        return (struct exec_verdict){EXEC_SIGNALLED, number};
    }
}

/* Within 1/16 of the limit, at most 4 MiB: an allocator asks for memory in pieces, and the one that
 * failed was never touched. */
static bool at_memory_limit(const struct exec_outcome *outcome)
{
    uint64_t margin = outcome->memory_limit_bytes / 16;
    if (margin > 4 * 1024 * 1024)
        margin = 4 * 1024 * 1024;
    return outcome->memory_bytes + margin >= outcome->memory_limit_bytes;
}

/* A stack that may be as large as the memory meets both limits at once. Mostly the memory's comes first, but
 * not while the group's stands higher for garbage of earlier runs (cgroup_begin()): the run would be
 * Signalled for what ends it for memory a moment later. A figure is right within 1/64 or 256 KiB. */
static bool stack_took_all(const struct exec_outcome *outcome)
{
    const uint64_t least = 256 * 1024, part = outcome->memory_limit_bytes / 64;
    const uint64_t margin = part > least ? part : least;
    return outcome->stack_limited && outcome->killed == KILL_NONE &&
           WIFSIGNALED(outcome->wait_status) && WTERMSIG(outcome->wait_status) == SIGSEGV &&
           outcome->memory_bytes + margin >= outcome->memory_limit_bytes;
}

uint64_t exec_memory_figure(const struct exec_outcome *outcome, uint64_t extra_bytes)
{
    bool killed = outcome->oom_kills > 0 || outcome->killed == KILL_MEMORY;
    if (!killed || outcome->memory_bytes > outcome->memory_limit_bytes || !at_memory_limit(outcome))
        return outcome->memory_bytes;
    return outcome->memory_limit_bytes + extra_bytes;
}

struct exec_verdict exec_decide(const struct exec_outcome *outcome)
{
    if (!outcome->started)
        return (struct exec_verdict){EXEC_INTERNAL_ERROR, 0};
    struct exec_verdict verdict = raw_verdict(outcome->wait_status);
    /* by itself: a kill of ours says nothing about an allocation */
    bool failed = verdict.status != EXEC_ACCEPTED && outcome->killed == KILL_NONE;
    if (outcome->oom_kills > 0 || outcome->killed == KILL_MEMORY || stack_took_all(outcome) ||
        (outcome->allocation_limited && failed && at_memory_limit(outcome))) {
        verdict.status = EXEC_MEMORY_LIMIT;
        return verdict;
    }
    if (outcome->killed == KILL_CPU || outcome->killed == KILL_WALL ||
        outcome->cpu_ns > outcome->cpu_limit_ns || outcome->wall_ns > outcome->wall_limit_ns) {
        verdict.status = EXEC_TIME_LIMIT;
        return verdict;
    }
    if (outcome->killed == KILL_OUTPUT || (verdict.status == EXEC_ACCEPTED && outcome->output_over))
        verdict.status = EXEC_OUTPUT_LIMIT;
    else if (verdict.status == EXEC_ACCEPTED && outcome->file_problem)
        verdict.status = EXEC_FILE_ERROR;
    return verdict;
}
