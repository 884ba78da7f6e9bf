/* The processes: this one ─vfork-like clone─► the command, in its own session and group ─► whatever it
 * starts. We wait for the command alone; what it leaves behind is killed by its group, and goes to the
 * host's init. Without control groups only its session can be killed. */
#include "sandbox/outside.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "cgroup_group.h"
#include "sandbox_private.h"

#define KILL_TIMEOUT (10 * NS_PER_S)
enum { STACK_SIZE = 64 * 1024 };

struct outside {
    struct cgroup *cgroup; /* NULL: none */
    pid_t pid;
    int pid_fd;
    int64_t start_ns;
};

/* What the child gets, and says when it fails: it shares our memory until its execve(2). */
struct birth {
    const struct outside_run *run;
    int groups[CGROUP_HIERARCHIES_MAX]; /* cgroup.procs of each */
    size_t group_count;
    const char *step; /* NULL: none failed */
    int error;
};

/* ---- the child: async-signal-safe, and nothing of ours is changed but the birth ---- */

static int fail(struct birth *birth, const char *step)
{
    birth->error = errno;
    birth->step = step;
    return 127;
}

/* "0" is the one that writes, cgroups(7). */
static int join_groups(const struct birth *birth)
{
    for (size_t i = 0; i < birth->group_count; i++)
        if (write(birth->groups[i], "0", 1) != 1)
            return -1;
    return 0;
}

/* Copies above the standard ones first: a source may be one of them. */
static int place_descriptors(const struct outside_run *run)
{
    int copies[COUNT_OF(run->descriptors)];
    for (int i = 0; i < (int)COUNT_OF(copies); i++)
        if ((copies[i] = fcntl(run->descriptors[i], F_DUPFD_CLOEXEC, 3)) < 0)
            return -1;
    for (int i = 0; i < (int)COUNT_OF(copies); i++)
        if (dup2(copies[i], i) < 0)
            return -1;
    return 0;
}

static int set_limits(const struct outside_run *run)
{
    static const int resources[CONTAINER_RLIMIT_COUNT] = {
        [CONTAINER_RLIMIT_CPU] = RLIMIT_CPU,     [CONTAINER_RLIMIT_FSIZE] = RLIMIT_FSIZE,
        [CONTAINER_RLIMIT_DATA] = RLIMIT_DATA,   [CONTAINER_RLIMIT_STACK] = RLIMIT_STACK,
        [CONTAINER_RLIMIT_AS] = RLIMIT_AS,       [CONTAINER_RLIMIT_NOFILE] = RLIMIT_NOFILE,
        [CONTAINER_RLIMIT_NPROC] = RLIMIT_NPROC,
    };
    const struct rlimit none = {0, 0};
    if (setrlimit(RLIMIT_CORE, &none) < 0)
        return -1;
    for (unsigned i = 0; i < CONTAINER_RLIMIT_COUNT; i++) {
        const struct rlimit limit = {run->rlimits[i], run->rlimits[i]};
        if ((run->rlimit_mask & 1U << i) != 0 && setrlimit(resources[i], &limit) < 0)
            return -1;
    }
    return 0;
}

/* Handlers are gone with execve(2), what is ignored stays so: SIGPIPE is, here. */
static int reset_signals(void)
{
    const struct sigaction usual = {.sa_handler = SIG_DFL};
    sigset_t none;
    for (int number = 1; number < SIGRTMAX; number++)
        if (number != SIGKILL && number != SIGSTOP)
            (void)sigaction(number, &usual, NULL); /* those of the C library are refused */
    sigemptyset(&none);
    return sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Limits come last but for signals: one on descriptors would be in the way of copies, and once signals may
 * come nothing else should be left to do. */
static int child_main(void *arg)
{
    struct birth *birth = arg;
    const struct outside_run *run = birth->run;
    if (setsid() < 0)
        return fail(birth, "setsid");
    if (prctl(PR_SET_PDEATHSIG, (unsigned long)SIGKILL) < 0 ||
        prctl(PR_SET_TIMERSLACK, 50000UL) < 0)
        return fail(birth, "prctl");
    if (join_groups(birth) < 0)
        return fail(birth, "join its control group");
    if (chdir(run->folder) < 0)
        return fail(birth, "chdir");
    if (place_descriptors(run) < 0)
        return fail(birth, "dup2");
    if (set_limits(run) < 0)
        return fail(birth, "setrlimit");
    if (reset_signals() < 0)
        return fail(birth, "sigprocmask");
    execve(run->path, (char *const *)run->args, (char *const *)run->env);
    return fail(birth, "execve");
}

/* ---- the start ---- */

/* No handler of ours may run in the child: everything is blocked until it has made its own state. */
static int clone_child(struct outside *outside, struct birth *birth, struct cj_error *err)
{
    char *stack = mmap(NULL, STACK_SIZE, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    sigset_t all, before;
    if (stack == MAP_FAILED)
        return error_errno(err, "start %s: stack", birth->run->path);
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    outside->start_ns = monotonic_ns();
    outside->pid = clone(child_main, stack + STACK_SIZE,
                         CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD, birth, &outside->pid_fd);
    int error = errno;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    munmap(stack, STACK_SIZE);
    if (outside->pid > 0)
        return 0;
    errno = error;
    return error_errno(err, "start %s: clone", birth->run->path);
}

static int make_group(struct sandbox *sandbox, unsigned index, const struct outside_run *run,
                      struct outside *outside, struct birth *birth, struct cj_error *err)
{
    if (sandbox->cgroups == NULL)
        return 0;
    if (cgroup_new(sandbox->cgroups, index, geteuid(), 0, &outside->cgroup, err) < 0 ||
        cgroup_begin(outside->cgroup, &run->limits, err) < 0)
        return -1;
    return group_open_procs(outside->cgroup, birth->groups, &birth->group_count, err);
}

static int reap(struct outside *outside, int64_t timeout_ns, int *wait_status, struct rusage *usage,
                struct cj_error *err)
{
    struct pollfd end = {.fd = outside->pid_fd, .events = POLLIN};
    int64_t until_ns = monotonic_ns() + timeout_ns;
    int ready;
    do {
        int64_t left_ns = until_ns - monotonic_ns();
        ready = poll(&end, 1, left_ns > 0 ? (int)(left_ns / NS_PER_MS) : 0);
    } while (ready < 0 && errno == EINTR);
    if (ready == 0)
        return error_set(err, ERROR_INTERNAL, ETIMEDOUT, "a killed process does not end");
    if (ready < 0 || wait4(outside->pid, wait_status, 0, usage) < 0)
        return error_errno(err, "wait for a process");
    outside->pid = -1;
    return 0;
}

static void outside_free(struct outside *outside)
{
    cgroup_free(outside->cgroup);
    fd_close(&outside->pid_fd);
    free(outside);
}

int outside_start(struct sandbox *sandbox, unsigned index, const struct outside_run *run,
                  struct outside **out, struct cj_error *err)
{
    struct outside *outside = calloc(1, sizeof(*outside));
    struct birth birth = {.run = run};
    if (outside == NULL)
        return error_set(err, ERROR_SYSTEM, ENOMEM, "start %s: out of memory", run->path);
    outside->pid = outside->pid_fd = -1;
    int done = make_group(sandbox, index, run, outside, &birth, err);
    if (done == 0)
        done = clone_child(outside, &birth, err);
    for (size_t i = 0; i < birth.group_count; i++)
        fd_close(&birth.groups[i]);
    if (done == 0 && birth.step != NULL) {
        int ignored;
        struct rusage usage;
        (void)!reap(outside, KILL_TIMEOUT, &ignored, &usage, NULL);
        errno = birth.error;
        done = error_errno(err, "start %s: %s", run->path, birth.step);
    }
    if (done < 0) {
        outside_free(outside);
        return -1;
    }
    *out = outside;
    return 0;
}

/* ---- while it goes on ---- */

int outside_fd(const struct outside *outside)
{
    return outside->pid_fd;
}

int64_t outside_cpu_ns(const struct outside *outside)
{
    int64_t cpu_ns;
    if (outside->cgroup == NULL || cgroup_cpu_ns(outside->cgroup, &cpu_ns, NULL) < 0)
        return 0;
    return cpu_ns;
}

int64_t outside_wall_ns(const struct outside *outside, int64_t now_ns)
{
    return now_ns - outside->start_ns;
}

/* ---- the end ---- */

static void fill_in_figures(const struct rusage *usage, struct container_end *end)
{
    end->cpu_ns = (usage->ru_utime.tv_sec + usage->ru_stime.tv_sec) * NS_PER_S +
                  (usage->ru_utime.tv_usec + usage->ru_stime.tv_usec) * NS_PER_US;
    end->memory_bytes = (uint64_t)usage->ru_maxrss * 1024;
}

static void fill_in_group_figures(const struct cgroup_usage *usage, struct container_end *end)
{
    end->cpu_ns = usage->cpu_ns;
    end->oom_kills = usage->oom_kills;
    if (usage->has_memory) {
        end->memory_bytes = usage->memory_bytes;
        end->memory_is_group = true;
    }
    if (usage->has_process_peak)
        end->process_peak = usage->process_peak;
}

static int finish(struct outside *outside, struct container_end *end, struct cj_error *err)
{
    struct rusage usage;
    struct cgroup_usage group;
    struct pollfd ended = {.fd = outside->pid_fd, .events = POLLIN};
    *end = (struct container_end){.failure = CONTAINER_STARTED, .step = ""};
    if (poll(&ended, 1, 0) > 0)
        end->wall_ns = outside_wall_ns(outside, monotonic_ns());
    kill(-outside->pid, SIGKILL); /* it is not waited for yet, so nobody else has its number */
    int killed = outside->cgroup != NULL ? cgroup_kill_all(outside->cgroup, KILL_TIMEOUT, err) : 0;
    if (reap(outside, KILL_TIMEOUT, &end->wait_status, &usage, killed == 0 ? err : NULL) < 0 ||
        killed < 0)
        return -1;
    if (end->wall_ns == 0)
        end->wall_ns = outside_wall_ns(outside, monotonic_ns());
    fill_in_figures(&usage, end);
    if (outside->cgroup == NULL)
        return 0;
    if (cgroup_finish(outside->cgroup, NULL, &group, err) < 0)
        return -1;
    fill_in_group_figures(&group, end);
    return 0;
}

int outside_finish(struct outside *outside, struct container_end *end, struct cj_error *err)
{
    int done = finish(outside, end, err);
    outside_free(outside);
    return done;
}
