/* The end of a run: of its process, and of everything that it has started. */
#include <errno.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "launch.h"

static int64_t timeval_ns(struct timeval time)
{
    return time.tv_sec * INT64_C(1000000000) + time.tv_usec * INT64_C(1000);
}

static void account(struct init_end *end, const struct rusage *usage)
{
    uint64_t rss = (uint64_t)usage->ru_maxrss * 1024;
    if (rss > end->max_rss_bytes)
        end->max_rss_bytes = rss;
    end->faults += (uint64_t)usage->ru_minflt + (uint64_t)usage->ru_majflt;
    end->all_cpu_ns += timeval_ns(usage->ru_utime) + timeval_ns(usage->ru_stime);
}

/* __WALL: children that were cloned with another exit signal are ours to reap, too. Returns 0 when
 * flags hold WNOHANG and no child has ended, -1 when there is no child. */
static pid_t reap(int flags, int *status, struct rusage *usage)
{
    pid_t pid;
    do
        pid = wait4(-1, status, __WALL | flags, usage);
    while (pid < 0 && errno == EINTR);
    if (pid > 0)
        warm_ended(pid);
    return pid;
}

/* The end of the main process ends the run, whatever else it started. Who loses its parent becomes our
 * child before the parent can be reaped, pid_namespaces(7): without children we are alone, and need
 * not have the kernel look at every process of the host for one to kill. kill(-1) reaches every process
 * of the namespace but ourselves, also one that is just being forked: the kernel holds back forks of
 * a process with a signal pending, fork(2). */
void reap_run(pid_t main_pid, struct init_end *end)
{
    struct rusage usage;
    int status;
    pid_t pid;
    while ((pid = reap(0, &status, &usage)) != main_pid) {
        if (pid < 0)
            give_up("wait for a run");
        account(end, &usage);
        end->reaped++;
    }
    end->end_ns = clock_now_ns(CLOCK_MONOTONIC);
    end->wait_status = status;
    end->user_ns = timeval_ns(usage.ru_utime);
    end->system_ns = timeval_ns(usage.ru_stime);
    account(end, &usage);
    int flags = __WNOTHREAD | WNOHANG; /* interpreters are the keeper's children: warm.c */
    if (end->start == START_WARM)
        files_kill_run(); /* what it may have left there would not be seen */
    while ((pid = reap(flags, &status, &usage)) >= 0) {
        if (pid == 0) {
            files_kill_run();
            flags = __WNOTHREAD;
            continue;
        }
        account(end, &usage);
        end->reaped++;
    }
}
