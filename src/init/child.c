/* A program's process, from the clone to execve(2).
 *
 * It is made by a vfork-like clone (CLONE_VM | CLONE_VFORK): it borrows our memory until its execve(2), and we sleep
 * meanwhile. So everything between the clone and execve is a short list of system calls, takes no lock, allocates
 * nothing, and reports a failure by writing to our memory. */
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "launch.h"

enum { CHILD_STACK_SIZE = 64 * 1024 };

/* Linux 5.7 added cgroup; the C library's headers of Debian 12 have it, older ones do not. */
struct clone3_args {
    uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid,
        set_tid_size, cgroup;
};

static bool batch; /* we are a batch thread, sched(7) */
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

int child_take_descriptor(const int *sources, int i)
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
        sources[i] = child_take_descriptor(sources, i);
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

pid_t child_start(void)
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

/* ---- before the first ---- */

static void open_oom_score(void)
{
    oom_score.fd = openat(self.proc_fd, "self/oom_score_adj", O_RDWR | O_CLOEXEC);
    if (oom_score.fd < 0 || read(oom_score.fd, oom_score.usual, sizeof(oom_score.usual) - 1) <= 0)
        give_up("open our own oom score");
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

void child_prepare(bool as_batch)
{
    batch = as_batch;
    child_stack = mmap(NULL, CHILD_STACK_SIZE, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    if (child_stack == MAP_FAILED)
        give_up("map the child's stack");
    open_oom_score();
    place_clone3_args();
}
