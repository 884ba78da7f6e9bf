/* The launcher: starts each run's process, waits for it, kills and reaps what it left. */
#include "launch.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

static int exec_fd = -1, end_fd = -1; /* pipes: EXEC comes, init_end goes */

/* What the launcher has used since it asked last: the figures of a run begin where those of the run before
 * it ended, when they follow each other closely (cgroup_begin()). */
static int64_t own_cpu_since_last(void)
{
    static int64_t last_ns;
    int64_t total_ns = clock_now_ns(CLOCK_THREAD_CPUTIME_ID);
    int64_t since_ns = total_ns - last_ns;
    last_ns = total_ns;
    return since_ns;
}

static void send_end(const struct init_end *end)
{
    ssize_t sent; /* less than PIPE_BUF: all or nothing, pipe(7) */
    do
        sent = write(end_fd, end, sizeof(*end));
    while (sent < 0 && errno == EINTR);
    if (sent < 0)
        _exit(0);
}

static bool make_files(struct init_end *end)
{
    for (uint32_t i = 0; i < run.request.made_count; i++) {
        if (made_open(run.made[i]) == 0)
            continue;
        end->step = STEP_MAKE;
        end->error = errno;
        end->detail = i;
        return false;
    }
    made_ready();
    return true;
}

static void close_sources(const int *sources, int count)
{
    for (int i = 0; i < count; i++) {
        bool shared = sources[i] < 0 || run.request.descriptors[i].source == INIT_SOURCE_PASSED;
        for (int k = 0; k < i; k++)
            shared = shared || sources[k] == sources[i];
        if (!shared)
            close(sources[i]);
    }
}

/* By an interpreter that waits for it. Returns false when that is not possible, or was not: then nothing of the
 * program has run. */
static bool run_warm(struct init_end *end)
{
    int sources[INIT_DESCRIPTORS_MAX], taken = 0, socket = -1;
    int count = (int)run.request.descriptor_count;
    bool complete = true;
    for (; complete && taken < count; taken++) {
        errno = 0;
        sources[taken] = child_take_descriptor(sources, taken);
        complete = sources[taken] >= 0 || errno == 0;
    }
    struct init_live *live = (struct init_live *)(void *)(self.arena + INIT_LIVE_OFFSET);
    end->start_ns = clock_now_ns(CLOCK_MONOTONIC);
    __atomic_store_n(&live->start_ns, end->start_ns, __ATOMIC_RELEASE);
    pid_t pid = complete ? warm_hand_over(run.request.warm, &run.request, sources, &socket) : 0;
    close_sources(sources, taken);
    end->start = pid > 0 ? START_WARM : START_FELL_BACK;
    if (pid <= 0)
        return false;
    reap_run(pid, end);
    if (warm_has_begun(socket))
        return true;
    end->start = START_FELL_BACK;
    warm_give_up(run.request.warm);
    end->user_ns = end->system_ns = end->all_cpu_ns = 0;
    end->max_rss_bytes = end->faults = 0;
    end->reaped = 0;
    return false;
}

/* Without a group, the peak of a process begins with that of the memory it was started on, ours, where the
 * arguments of any run before may have been: execve(2) hands it on (fs/exec.c, exec_mmap()), and "5" makes
 * it what is there now, proc_pid_clear_refs(5). */
static void forget_own_peak(void)
{
    static int fd = -2;
    if (fd == -2)
        fd = openat(self.proc_fd, "self/clear_refs", O_WRONLY | O_CLOEXEC);
    if (fd >= 0)
        (void)pwrite(fd, "5", 1, 0); /* a kernel without it reports more than there was */
}

/* Until the service has set other limits than those of a warm run. */
static void await_limits(const struct init_end *end)
{
    struct init_end question = {
        .magic = INIT_MAGIC, .sequence = end->sequence, .start = START_AGAIN};
    struct init_again again;
    ssize_t got;
    question.warm = warm_alive();
    question.waits = warm_waiting();
    send_end(&question);
    do
        got = read(exec_fd, &again, sizeof(again));
    while (got < 0 && errno == EINTR);
    if (got == 0)
        _exit(0); /* the service is gone */
    if (got != (ssize_t)sizeof(again) || again.magic != INIT_MAGIC ||
        again.sequence != end->sequence)
        give_up("limits of another run");
}

/* From the clone to the end of everything that it led to. */
static void run_program(int *passed_count, struct init_end *end)
{
    if ((run.request.flags & RUN_MOVED) != 0 && unshare(CLONE_NEWCGROUP) < 0)
        give_up("unshare the cgroup namespace");
    if ((run.request.flags & RUN_WARM) != 0) {
        if (run_warm(end))
            return;
        await_limits(end);
    }
    end->start_ns = clock_now_ns(CLOCK_MONOTONIC);
    struct init_live *live = (struct init_live *)(void *)(self.arena + INIT_LIVE_OFFSET);
    __atomic_store_n(&live->start_ns, end->start_ns, __ATOMIC_RELEASE);
    pid_t pid = child_start();
    int clone_error = errno;
    for (int i = 0; i < *passed_count; i++)
        close(run.passed[i]);
    *passed_count = 0;
    if (pid < 0) {
        end->step = STEP_CLONE;
        end->error = clone_error;
        return;
    }
    reap_run(pid, end);
    end->step = run.step;
    end->error = run.error;
    end->detail = run.detail;
}

static void serve_one(void)
{
    int passed_count = request_receive(exec_fd);
    bool without_cgroup = (self.setup->flags & (SETUP_CGROUP_NS | SETUP_RUN_CGROUP_NS)) == 0;
    struct init_end end = {.magic = INIT_MAGIC, .sequence = run.request.sequence};
    if (!request_valid(passed_count)) {
        end.step = STEP_PROTOCOL;
        end.error = EINVAL;
    } else {
        run.step = STEP_NONE;
        if (without_cgroup) {
            look_begin();
            forget_own_peak();
        }
        if (make_files(&end))
            run_program(&passed_count, &end);
        if (without_cgroup)
            end.file_bytes = look_files();
        made_end(run.request.sequence, end.made);
        end.dirt = files_dirt();
        end.waits = warm_waiting();
        end.warm = warm_alive();
        end.init_cpu_ns = own_cpu_since_last();
    }
    for (int i = 0; i < passed_count; i++)
        close(run.passed[i]);
    send_end(&end);
}

/* We are woken by a slot that is about to sleep, and by a program that has just begun: neither should
 * be interrupted for us. Since Linux 6.6 nobody is before his slice is used up (RUN_TO_PARITY in
 * kernel/sched/features.h); before that a batch thread waits for the CPU, sched(7). Its children are batch
 * processes until they say otherwise, for 3 us. Returns whether it is one. */
static bool be_patient(void)
{
    struct sched_param parameters = {0};
    struct utsname kernel;
    unsigned major, minor;
    if (uname(&kernel) == 0 && sscanf(kernel.release, "%u.%u", &major, &minor) == 2 &&
        (major > 6 || (major == 6 && minor >= 6)))
        return false;
    if (sched_setscheduler(0, SCHED_BATCH, &parameters) < 0)
        give_up("become a batch thread");
    return true;
}

static void take_pipes(void)
{
    struct init_pipes message;
    int fds[2];
    int count = message_receive(INIT_FD_RUN, &message, sizeof(message), fds, 2);
    if (count < 0)
        _exit(0); /* the service is gone */
    if (count != 2 || message.magic != INIT_MAGIC)
        give_up("no pipes");
    exec_fd = fds[0];
    end_fd = fds[1];
}

void launcher_main(void)
{
    child_prepare(be_patient());
    setup_lock_capabilities();
    struct sock_fprog second = {.len = NO_SIBLINGS_COUNT,
                                .filter = (struct sock_filter *)(uintptr_t)no_siblings};
    if (self.filter.len > 0 && (self.setup->flags & SETUP_FILTER_INHERITED) != 0 &&
        (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &self.filter) < 0 ||
         syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &second) < 0))
        give_up("install the system-call filter");
    own_remember();
    struct init_ready ready = {.magic = INIT_MAGIC};
    (void)own_cpu_since_last(); /* what setting up has cost is nobody's */
    message_send(INIT_FD_RUN, &ready, sizeof(ready), -1);
    take_pipes();
    for (;;)
        serve_one();
}
