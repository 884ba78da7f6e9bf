/* Nice values and slices. */
#include "base/priority.h"

#include <sched.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { SLICE_NS = 100 * 1000 /* the least there is */, FLAG_RESET_ON_FORK = 1 };

/* sched_setattr(2); the C library of Debian 12 has none of it. */
struct scheduling {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime, deadline, period;
};

void priority_raise(pid_t thread_id, int nice)
{
    struct scheduling wanted = {
        .size = sizeof(wanted),
        .policy = SCHED_OTHER,
        .flags = FLAG_RESET_ON_FORK,
        .nice = nice,
        .runtime = SLICE_NS,
    };
    if (sched_getscheduler(thread_id) != SCHED_OTHER) /* the operator has chosen another */
        return;
    if (syscall(SYS_sched_setattr, thread_id, &wanted, 0) == 0)
        return;
    wanted.nice =
        getpriority(PRIO_PROCESS, (id_t)thread_id); /* -1 on error, and then this fails, too */
    (void)syscall(SYS_sched_setattr, thread_id, &wanted, 0);
}
