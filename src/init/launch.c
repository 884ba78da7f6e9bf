/* The launcher: starts each run's process, waits for it, kills and reaps what it left.
 *
 * The process is made by a vfork-like clone (CLONE_VM | CLONE_VFORK): it borrows our memory until its
 * execve(2), and we sleep meanwhile. So everything between the clone and execve is a short list of
 * system calls, takes no lock, allocates nothing, and reports a failure by writing to our memory. */
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "init.h"

enum { CHILD_STACK_SIZE = 64 * 1024, PATH_LIST_MAX = 64 * 1024 };

/* Linux 5.7 added cgroup; the C library's headers of Debian 12 have it, older ones do not. */
struct clone3_args {
    uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid,
        set_tid_size, cgroup;
};

struct run {
    struct init_exec request;
    int passed[INIT_DESCRIPTORS_MAX];
    char **args;
    char **environment;
    const char *path; /* value of PATH, or NULL */
    const char *made[INIT_MADE_MAX];
    /* written by the child before its execve */
    volatile enum init_step step;
    volatile int error;
    volatile unsigned detail;
    volatile bool score_restored;
};

static struct run run;
static bool batch;                    /* we are a batch thread, sched(7) */
static int exec_fd = -1, end_fd = -1; /* pipes: EXEC comes, init_end goes */
static char *child_stack;
static struct clone3_args *clone3_args; /* at the address that the filter lets through; or NULL */

/* Our own oom_score_adj, and what it says when no run is being started. */
static struct {
    int fd;
    char usual[8];
} oom_score;

/* ---- in the child, on our memory ---- */

__attribute__((noreturn)) static void child_fail(enum init_step step, unsigned detail)
{
    run.error = errno;
    run.detail = detail;
    run.step = step;
    _exit(127);
}

/* A limit above the one we have ourselves is cut to it: less is never less safe. */
static int child_limit_as_we_may(int resource, struct rlimit *limit)
{
    struct rlimit own;
    if (syscall(SYS_prlimit64, 0, resource, NULL, &own) < 0)
        return -1;
    if (limit->rlim_max > own.rlim_max)
        limit->rlim_max = own.rlim_max;
    if (limit->rlim_cur > limit->rlim_max)
        limit->rlim_cur = limit->rlim_max;
    return (int)syscall(SYS_prlimit64, 0, resource, limit, NULL);
}

static void child_limit(unsigned mask)
{
    static const int resources[INIT_RLIMIT_COUNT] = {
        [INIT_RLIMIT_CPU] = RLIMIT_CPU,     [INIT_RLIMIT_FSIZE] = RLIMIT_FSIZE,
        [INIT_RLIMIT_DATA] = RLIMIT_DATA,   [INIT_RLIMIT_STACK] = RLIMIT_STACK,
        [INIT_RLIMIT_AS] = RLIMIT_AS,       [INIT_RLIMIT_NOFILE] = RLIMIT_NOFILE,
        [INIT_RLIMIT_NPROC] = RLIMIT_NPROC,
    };
    for (unsigned i = 0; i < INIT_RLIMIT_COUNT; i++) {
        if ((run.request.rlimit_mask & mask & 1U << i) == 0)
            continue;
        struct rlimit limit = {.rlim_cur = run.request.rlimits[i].soft,
                               .rlim_max = run.request.rlimits[i].hard};
        if (syscall(SYS_prlimit64, 0, resources[i], &limit, NULL) < 0 &&
            (errno != EPERM || child_limit_as_we_may(resources[i], &limit) < 0))
            child_fail(STEP_RLIMIT, i);
    }
}

static int child_open_kept(unsigned number)
{
    const char name[] = {(char)('0' + number), '\0'};
    return openat(self.kept_dir, name, number == INIT_KEPT_EMPTY ? O_RDONLY : O_WRONLY);
}

/* The descriptor of an earlier one with the same file, or a new one. */
static int child_open_made(const int *sources, int i)
{
    const struct init_descriptor *from = run.request.descriptors;
    for (int k = 0; k < i; k++)
        if (from[k].source == INIT_SOURCE_MADE && from[k].index == from[i].index)
            return sources[k];
    return made_open_again(from[i].index);
}

/* The descriptor that the program's number i will be; -1 with errno 0 for one that is closed. */
static int take_descriptor(const int *sources, int i)
{
    struct init_descriptor from = run.request.descriptors[i];
    switch (from.source) {
    case INIT_SOURCE_PASSED:
        return run.passed[from.index];
    case INIT_SOURCE_KEPT:
        return child_open_kept(from.index);
    case INIT_SOURCE_MADE:
        return child_open_made(sources, i);
    default:
        errno = 0;
        return -1;
    }
}

/* Every source is first brought above all targets, so that no dup2 below hits one still needed. */
static void child_take_descriptors(int *sources)
{
    int count = (int)run.request.descriptor_count;
    for (int i = 0; i < count; i++) {
        sources[i] = take_descriptor(sources, i);
        if (sources[i] < 0 && errno == 0)
            continue;
        if (sources[i] >= 0 && sources[i] < count)
            sources[i] = fcntl(sources[i], F_DUPFD_CLOEXEC, count);
        if (sources[i] < 0)
            child_fail(STEP_DESCRIPTOR, (unsigned)i);
    }
}

static void child_place_descriptors(const int *sources)
{
    int count = (int)run.request.descriptor_count; /* all of them were taken */
    for (int i = 0; i < count; i++) {
        if (sources[i] < 0)
            close(i);
        else if (dup2(sources[i], i) < 0)
            child_fail(STEP_DESCRIPTOR, (unsigned)i);
    }
    if (syscall(SYS_close_range, count, ~0U, 0) < 0)
        child_fail(STEP_DESCRIPTOR, (unsigned)count);
}

static void child_drop_privileges(void)
{
    /* Raw calls: the C library's wrappers would change every thread of init, nptl(7). */
    bool single = (self.setup->flags & SETUP_SINGLE_ID) != 0;
    uid_t uid = single ? 0 : self.setup->uid;
    gid_t gid = single ? 0 : self.setup->gid;
    if (syscall(SYS_setresgid, gid, gid, gid) < 0 || syscall(SYS_setresuid, uid, uid, uid) < 0)
        child_fail(STEP_CREDENTIALS, 0);
    if (!single) /* setresuid(2) away from 0 has cleared them, capabilities(7), and a new user namespace
                  * begins without inheritable ones, user_namespaces(7) */
        return;
    static const struct {
        uint32_t version;
        int pid;
    } header = {0x20080522 /* _LINUX_CAPABILITY_VERSION_3 */, 0};
    static const uint32_t none[6] = {0};
    if (syscall(SYS_capset, &header, none) < 0)
        child_fail(STEP_CREDENTIALS, 1);
}

/* A filter of the operator's own may allow keys and forbid what init needs: both are seen to here. */
static void child_install_own_filter(void)
{
    if (self.filter.len == 0 || (self.setup->flags & SETUP_FILTER_INHERITED) != 0)
        return;
    if (syscall(SYS_keyctl, 1 /* KEYCTL_JOIN_SESSION_KEYRING */, NULL) < 0 && errno != ENOSYS &&
        errno != EPERM)
        child_fail(STEP_KEYRING, 0);
    if (syscall(SYS_keyctl, 7 /* KEYCTL_CLEAR */, -4 /* user keyring */) < 0 && errno == EACCES)
        child_fail(STEP_KEYRING, 1);
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &self.filter) < 0)
        child_fail(STEP_FILTER, 0);
}

/* A bare name: the work directory first, then PATH; an empty element means the work directory.
 * The name that is found becomes argv[0]. */
static void child_exec(void)
{
    static char candidate[INIT_PATH_MAX];
    char *name = run.args[0];
    if (strchr(name, '/') != NULL) {
        execve(name, run.args, run.environment);
        child_fail(STEP_EXEC, 0);
    }
    struct stat info;
    if (faccessat(AT_FDCWD, name, X_OK, 0) == 0 && stat(name, &info) == 0 &&
        S_ISREG(info.st_mode)) {
        execve(name, run.args, run.environment);
        child_fail(STEP_EXEC, 0);
    }
    if (run.path == NULL)
        child_fail(STEP_LOOKUP_NO_PATH, 0);
    size_t name_length = strlen(name);
    for (const char *element = run.path;; element++) {
        size_t length = strcspn(element, ":");
        if (length > 0 && length + name_length + 2 <= sizeof(candidate)) {
            memcpy(candidate, element, length);
            candidate[length] = '/';
            memcpy(candidate + length + 1, name, name_length + 1);
            if (faccessat(AT_FDCWD, candidate, X_OK, 0) == 0 && stat(candidate, &info) == 0 &&
                S_ISREG(info.st_mode)) {
                run.args[0] = candidate;
                execve(candidate, run.args, run.environment);
                child_fail(STEP_EXEC, 0);
            }
        }
        element += length;
        if (*element == '\0')
            break;
    }
    child_fail(STEP_LOOKUP, 0);
}

/* When memory runs out in our group, or on the host, programs go first and init never. A child begins
 * with our score: we raise it before the clone, and the child puts ours back as the first thing it does,
 * for when its program runs we may wait for the CPU as long as it likes. To raise a score, and to lower it
 * back to where it was, takes no privilege. The child could reach a file of its own only through
 * /proc/self, whose entries would be made for each run and thrown away with it (40 us for all that was
 * there). A vfork child's score is its own although memory is shared: fs/proc/base.c, __set_oom_adj(). */
static bool set_own_oom_score(const char *score)
{
    return pwrite(oom_score.fd, score, strlen(score), 0) > 0;
}

/* The order matters: what needs /proc or a capability comes before credentials are dropped; limits before
 * anything of the program's, that on descriptors once they are in place (dup2(2) takes no number beyond
 * it); the filter last. */
static int child_main(void *nothing)
{
    (void)nothing;
    int sources[INIT_DESCRIPTORS_MAX] = {0};
    if (!set_own_oom_score(oom_score.usual))
        child_fail(STEP_OOM_SCORE, 0);
    run.score_restored = true;
    if (setsid() < 0)
        child_fail(STEP_SESSION, 0);
    struct sched_param ordinary = {0};
    if (batch && syscall(SYS_sched_setscheduler, 0, SCHED_OTHER, &ordinary) < 0)
        child_fail(STEP_SCHEDULER, 0);
    if ((self.setup->flags & SETUP_RUN_CGROUP_NS) != 0 && unshare(CLONE_NEWCGROUP) < 0)
        child_fail(STEP_CGROUP_NS, 0);
    if ((run.request.flags & RUN_CPU_SET) != 0 &&
        syscall(SYS_sched_setaffinity, 0, sizeof(run.request.cpu_mask), run.request.cpu_mask) < 0)
        child_fail(STEP_AFFINITY, 0);
    child_take_descriptors(sources);
    const unsigned open_files = 1U << INIT_RLIMIT_NOFILE;
    child_limit(~open_files);
    child_drop_privileges();
    child_place_descriptors(sources);
    child_limit(open_files);
    if ((run.request.flags & RUN_TTY) != 0 && ioctl(0, TIOCSCTTY, 0) < 0)
        child_fail(STEP_TTY, 0);
    child_install_own_filter();
    child_exec();
    return 127;
}

/* ---- the clone ---- */

/* clone3 with a stack of the child's own. The raw call returns twice on two stacks, so it cannot be a
 * C function call: the child goes straight to child_main. */
static long clone3_child(struct clone3_args *args)
{
    long result;
#if defined(__x86_64__)
    __asm__ volatile("syscall\n\t"
                     "test %%rax, %%rax\n\t"
                     "jnz 1f\n\t"
                     "xor %%ebp, %%ebp\n\t"
                     "xor %%edi, %%edi\n\t"
                     "call *%[entry]\n\t"
                     "mov %%eax, %%edi\n\t"
                     "mov %[exit], %%eax\n\t"
                     "syscall\n\t"
                     "1:"
                     : "=a"(result)
                     : "0"((long)SYS_clone3), "D"(args),
                       "S"(sizeof(*args)), [entry] "r"(child_main), [exit] "i"(SYS_exit)
                     : "rcx", "r11", "memory", "cc");
#elif defined(__aarch64__)
    register long x8 __asm__("x8") = SYS_clone3;
    register long x0 __asm__("x0") = (long)args;
    register long x1 __asm__("x1") = sizeof(*args);
    __asm__ volatile("svc #0\n\t"
                     "cbnz x0, 1f\n\t"
                     "mov x29, xzr\n\t"
                     "mov x0, xzr\n\t"
                     "blr %[entry]\n\t"
                     "mov x8, %[exit]\n\t"
                     "svc #0\n\t"
                     "1:"
                     : "+r"(x0)
                     : "r"(x8), "r"(x1), [entry] "r"(child_main), [exit] "i"(SYS_exit)
                     : "memory", "cc", "x30");
    result = x0;
#else
#error "clone3_child: write it for this architecture"
#endif
    if (result < 0) {
        errno = (int)-result;
        return -1;
    }
    return result;
}

static pid_t clone_child(void)
{
    if ((run.request.flags & RUN_INTO_CGROUP) == 0)
        return clone(child_main, child_stack + CHILD_STACK_SIZE, CLONE_VM | CLONE_VFORK | SIGCHLD,
                     NULL);
    if (clone3_args == NULL || self.cgroup_fd < 0) {
        errno = EBADF;
        return -1;
    }
    *clone3_args = (struct clone3_args){
        .flags = CLONE_VM | CLONE_VFORK | CLONE_INTO_CGROUP,
        .exit_signal = SIGCHLD,
        .stack = (uint64_t)(uintptr_t)child_stack,
        .stack_size = CHILD_STACK_SIZE,
        .cgroup = (uint64_t)self.cgroup_fd,
    };
    return (pid_t)clone3_child(clone3_args);
}

static pid_t start_child(void)
{
    run.score_restored = false;
    if (!set_own_oom_score("1000"))
        give_up("raise the oom score");
    __atomic_store_n(&self.starting, 1, __ATOMIC_SEQ_CST);
    pid_t pid = clone_child();
    int clone_error = errno;
    __atomic_store_n(&self.starting, 0, __ATOMIC_SEQ_CST);
    if (!run.score_restored && !set_own_oom_score(oom_score.usual))
        give_up("put the oom score back");
    errno = clone_error;
    return pid;
}

/* ---- the request ---- */

/* Offsets become pointers in place: the arena is ours while the request lasts. Strings begin behind the
 * tables, or they would change meanwhile. */
char **launch_pointers(uint64_t *offsets, uint32_t count, uint64_t begin, uint32_t used)
{
    for (uint32_t i = 0; i < count; i++) {
        if (offsets[i] < begin || offsets[i] >= used)
            return NULL;
        offsets[i] = (uint64_t)(uintptr_t)(self.arena + offsets[i]);
    }
    if (offsets[count] != 0)
        return NULL;
    return (char **)offsets;
}

/* Neither less nor more than the descriptors it speaks of. */
static bool request_whole(size_t size)
{
    const size_t least = offsetof(struct init_exec, descriptors);
    return size >= least && run.request.descriptor_count <= INIT_DESCRIPTORS_MAX &&
           size == least + run.request.descriptor_count * sizeof(run.request.descriptors[0]);
}

static bool made_valid(uint64_t table)
{
    const struct init_exec *request = &run.request;
    if (request->made_count > INIT_MADE_MAX)
        return false;
    for (uint32_t i = 0; i < request->made_count; i++) {
        uint32_t offset = request->made_offsets[i];
        if (offset < table || offset >= request->arena_used ||
            !made_name_valid(self.arena + offset, request->arena_used - offset))
            return false;
        run.made[i] = self.arena + offset;
    }
    return true;
}

static bool request_valid(int passed_count)
{
    struct init_exec *request = &run.request;
    uint64_t table = ((uint64_t)request->arg_count + request->env_count + 2) * sizeof(uint64_t);
    if (request->magic != INIT_MAGIC || request->arg_count == 0 ||
        request->arena_used > INIT_MADE_OFFSET || table >= request->arena_used ||
        self.arena[request->arena_used - 1] != '\0' ||
        request->descriptor_count > INIT_DESCRIPTORS_MAX ||
        request->passed_count != (uint32_t)passed_count ||
        (request->path_offset != 0 && request->path_offset < table) ||
        request->path_offset >= request->arena_used || request->flags >= RUN_FLAGS_END ||
        request->warm >= INIT_WARM_MAX || request->rlimit_mask >= 1U << INIT_RLIMIT_COUNT ||
        !made_valid(table))
        return false;
    for (uint32_t i = 0; i < request->descriptor_count; i++) {
        struct init_descriptor from = request->descriptors[i];
        if (from.source > INIT_SOURCE_MADE ||
            (from.source == INIT_SOURCE_MADE && from.index >= request->made_count) ||
            (from.source == INIT_SOURCE_PASSED && from.index >= request->passed_count) ||
            (from.source == INIT_SOURCE_KEPT &&
             (from.index >= INIT_KEPT_COUNT || self.kept[from.index] < 0)))
            return false;
    }
    uint64_t *offsets = (uint64_t *)(void *)self.arena;
    run.args = launch_pointers(offsets, request->arg_count, table, request->arena_used);
    run.environment = launch_pointers(offsets + request->arg_count + 1, request->env_count, table,
                                      request->arena_used);
    run.path = request->path_offset != 0 ? self.arena + request->path_offset : NULL;
    return run.args != NULL && run.environment != NULL;
}

static int64_t now_ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

static int64_t timeval_ns(struct timeval time)
{
    return time.tv_sec * INT64_C(1000000000) + time.tv_usec * INT64_C(1000);
}

static void account(struct init_end *end, const struct rusage *usage)
{
    uint64_t rss = (uint64_t)usage->ru_maxrss * 1024;
    if (rss > end->max_rss_bytes)
        end->max_rss_bytes = rss;
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
static void await_end(pid_t main_pid, struct init_end *end)
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
    end->end_ns = now_ns(CLOCK_MONOTONIC);
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

/* What the launcher has used since it asked last: the figures of a run begin where those of the run before
 * it ended, when they follow each other closely (cgroup_begin()). */
static int64_t own_cpu_since_last(void)
{
    static int64_t last_ns;
    int64_t total_ns = now_ns(CLOCK_THREAD_CPUTIME_ID);
    int64_t since_ns = total_ns - last_ns;
    last_ns = total_ns;
    return since_ns;
}

/* Returns the number of descriptors that came along. */
static int receive_request(void)
{
    struct init_passed passed;
    ssize_t got;
    do
        got = read(exec_fd, &run.request, sizeof(run.request));
    while (got < 0 && errno == EINTR);
    if (got == 0)
        _exit(0); /* the service is gone */
    if (got < 0 || !request_whole((size_t)got))
        give_up("a request of the wrong size");
    if (run.request.passed_count == 0)
        return 0;
    int count =
        message_receive(INIT_FD_RUN, &passed, sizeof(passed), run.passed, INIT_DESCRIPTORS_MAX);
    if (count < 0)
        _exit(0);
    if (passed.magic != INIT_MAGIC || passed.sequence != run.request.sequence)
        give_up("descriptors of another request");
    return count;
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
        sources[taken] = take_descriptor(sources, taken);
        complete = sources[taken] >= 0 || errno == 0;
    }
    struct init_live *live = (struct init_live *)(void *)(self.arena + INIT_LIVE_OFFSET);
    end->start_ns = now_ns(CLOCK_MONOTONIC);
    __atomic_store_n(&live->start_ns, end->start_ns, __ATOMIC_RELEASE);
    pid_t pid = complete ? warm_hand_over(run.request.warm, &run.request, sources, &socket) : 0;
    close_sources(sources, taken);
    end->start = pid > 0 ? START_WARM : START_FELL_BACK;
    if (pid <= 0)
        return false;
    await_end(pid, end);
    if (warm_has_begun(socket))
        return true;
    end->start = START_FELL_BACK;
    warm_give_up(run.request.warm);
    end->user_ns = end->system_ns = end->all_cpu_ns = 0;
    end->max_rss_bytes = 0;
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
    end->start_ns = now_ns(CLOCK_MONOTONIC);
    struct init_live *live = (struct init_live *)(void *)(self.arena + INIT_LIVE_OFFSET);
    __atomic_store_n(&live->start_ns, end->start_ns, __ATOMIC_RELEASE);
    pid_t pid = start_child();
    int clone_error = errno;
    for (int i = 0; i < *passed_count; i++)
        close(run.passed[i]);
    *passed_count = 0;
    if (pid < 0) {
        end->step = STEP_CLONE;
        end->error = clone_error;
        return;
    }
    await_end(pid, end);
    end->step = run.step;
    end->error = run.error;
    end->detail = run.detail;
}

static void serve_one(void)
{
    int passed_count = receive_request();
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

static void open_oom_score(void)
{
    oom_score.fd = openat(self.proc_fd, "self/oom_score_adj", O_RDWR | O_CLOEXEC);
    if (oom_score.fd < 0 || read(oom_score.fd, oom_score.usual, sizeof(oom_score.usual) - 1) <= 0)
        give_up("open our own oom score");
}

/* We are woken by a slot that is about to sleep, and by a program that has just begun: neither should
 * be interrupted for us. Since Linux 6.6 nobody is before his slice is used up (RUN_TO_PARITY in
 * kernel/sched/features.h); before that a batch thread waits for the CPU, sched(7). Its children are batch
 * processes until they say otherwise, for 3 us. */
static void be_patient(void)
{
    struct sched_param parameters = {0};
    struct utsname kernel;
    unsigned major, minor;
    if (uname(&kernel) == 0 && sscanf(kernel.release, "%u.%u", &major, &minor) == 2 &&
        (major > 6 || (major == 6 && minor >= 6)))
        return;
    if (sched_setscheduler(0, SCHED_BATCH, &parameters) < 0)
        give_up("become a batch thread");
    batch = true;
}

/* Where the filter lets clone3 through: a page at an address that only service and init know. */
static void place_clone3_args(void)
{
    uint64_t address = self.setup->clone3_args_address;
    if (address == 0)
        return;
    void *page = mmap((void *)(uintptr_t)(address & ~UINT64_C(4095)), 4096, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    if (page == MAP_FAILED)
        give_up("map the clone3 arguments");
    clone3_args = (struct clone3_args *)(uintptr_t)address;
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
    child_stack = mmap(NULL, CHILD_STACK_SIZE, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    if (child_stack == MAP_FAILED)
        give_up("map the child's stack");
    open_oom_score();
    be_patient();
    place_clone3_args();
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
