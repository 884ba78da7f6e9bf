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

static int ordinary(pid_t thread_id, int nice)
{
    struct scheduling wanted = {
        .size = sizeof(wanted),
        .policy = SCHED_OTHER,
        .flags = FLAG_RESET_ON_FORK,
        .nice = nice,
        .runtime = SLICE_NS,
    };
    return (int)syscall(SYS_sched_setattr, thread_id, &wanted, 0);
}

void priority_raise(pid_t thread_id, int nice)
{
    if (sched_getscheduler(thread_id) != SCHED_OTHER) /* the operator has chosen another */
        return;
    if (ordinary(thread_id, nice) < 0) /* -1 on error of getpriority(), and then this fails, too */
        (void)ordinary(thread_id, getpriority(PRIO_PROCESS, (id_t)thread_id));
}

bool priority_urge(pid_t thread_id, int *nice)
{
    struct scheduling wanted = {
        .size = sizeof(wanted),
        .policy = SCHED_FIFO,
        .flags = FLAG_RESET_ON_FORK,
        .priority = 1,
    };
    if ((sched_getscheduler(thread_id) & ~SCHED_RESET_ON_FORK) != SCHED_OTHER)
        return false;
    *nice = getpriority(PRIO_PROCESS, (id_t)thread_id);
    return syscall(SYS_sched_setattr, thread_id, &wanted, 0) == 0;
}

void priority_calm(pid_t thread_id, int nice)
{
    (void)ordinary(thread_id, nice);
}
