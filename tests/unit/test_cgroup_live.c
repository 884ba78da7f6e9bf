/* Control groups for real: needs root and usable cgroups (skipped otherwise). A forked stand-in plays
 * the container's init: it starts one victim at a time, in its own group (v1) or cloned into the
 * run's (v2), with the container's uid. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/io.h"
#include "sandbox/cgroup.h"

#define MIB    (UINT64_C(1) << 20)
#define PREFIX "cjudge-test"

enum {
    OWNER = 54321,
    ARGS_MAX = 12,
    OTHERS = 40, /* groups that come and go elsewhere meanwhile, and the service leaf of v2 */
};

static int victim_fd = -1;
static struct cgroup_host *host;
static struct cgroup *group;

/* ---- the stand-in for init ---- */

struct order {
    int clone_fd; /* -1: inherit the group */
    char args[ARGS_MAX][64];
};

static struct {
    pid_t pid;
    int orders[2], answers[2];
} init;

/* As the real init does: memory shared until the exec, so that no page tables are copied (under
 * AddressSanitizer they are megabytes). The child uses the stack below this frame, and the parent waits
 * (CLONE_VFORK); only a system call without a function around it may be returned from twice. */
__attribute__((noinline, no_sanitize("address", "undefined"))) static pid_t
clone_and_exec(struct clone_args *args, char **argv)
{
    static char *const environment[] = {NULL};
    long result = SYS_clone3;
#ifdef __x86_64__
    __asm__ volatile("syscall"
                     : "+a"(result)
                     : "D"(args), "S"(sizeof(*args))
                     : "rcx", "r11", "memory");
#else
    (void)args;
    return -ENOSYS;
#endif
    if (result == 0) {
        syscall(SYS_execveat, victim_fd, "", argv, environment, AT_EMPTY_PATH);
        syscall(SYS_exit_group, 127);
    }
    return (pid_t)result;
}

static pid_t start_victim(const struct order *order)
{
    struct clone_args args = {.exit_signal = SIGCHLD, .flags = CLONE_VM | CLONE_VFORK};
    if (order->clone_fd >= 0) {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = (uint64_t)order->clone_fd;
    }
    char *argv[ARGS_MAX + 2] = {(char[]){"victim"}};
    for (int i = 0; i < ARGS_MAX && order->args[i][0] != '\0'; i++)
        argv[i + 1] = (char *)order->args[i];
    return clone_and_exec(&args, argv);
}

static void init_loop(void)
{
    struct order order;
    while (read_full(init.orders[0], &order, sizeof(order)) == (ssize_t)sizeof(order)) {
        int status = -1;
        pid_t pid = start_victim(&order);
        if (pid < 0)
            status = pid;
        else if (waitpid(pid, &status, 0) < 0)
            status = -1;
        if (write_full(init.answers[1], &status, sizeof(status)) < 0)
            break;
    }
    _exit(0);
}

/* Shares our descriptors, so that groups made later can be cloned into. */
static void start_init(void)
{
    assert_int_equal(pipe2(init.orders, O_CLOEXEC), 0);
    assert_int_equal(pipe2(init.answers, O_CLOEXEC), 0);
    init.pid = (pid_t)syscall(SYS_clone, CLONE_FILES | SIGCHLD, 0, 0, 0, 0);
    assert_true(init.pid >= 0);
    if (init.pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        cpu_set_t one; /* as a slot's container is; programs inherit it */
        CPU_ZERO(&one);
        CPU_SET(sched_getcpu(), &one);
        if (sched_setaffinity(0, sizeof(one), &one) < 0)
            _exit(1);
        if (syscall(SYS_setresuid, OWNER, OWNER, OWNER) < 0)
            _exit(1);
        init_loop();
    }
}

static void stop_init(void)
{
    kill(init.pid, SIGKILL);
    waitpid(init.pid, NULL, 0);
    for (int i = 0; i < 2; i++) {
        fd_close(&init.orders[i]);
        fd_close(&init.answers[i]);
    }
}

/* ---- helpers ---- */

#define ok(call)                                                                                   \
    do {                                                                                           \
        struct cj_error err;                                                                       \
        error_clear(&err);                                                                         \
        int result = (call);                                                                       \
        if (result != 0)                                                                           \
            fail_msg("%s: %s", #call, err.message);                                                \
    } while (0)

static const struct cgroup_limits ordinary = {.memory_bytes = 64 * MIB, .processes = 16};

static void order_victim_list(const char *first, va_list args)
{
    struct order order = {.clone_fd = cgroup_clone_fd(group)};
    int i = 0;
    for (const char *arg = first; arg != NULL && i < ARGS_MAX; arg = va_arg(args, const char *))
        snprintf(order.args[i++], sizeof(order.args[0]), "%s", arg);
    assert_int_equal(write_full(init.orders[1], &order, sizeof(order)), 0);
}

static void order_victim(const char *first, ...)
{
    va_list args;
    va_start(args, first);
    order_victim_list(first, args);
    va_end(args);
}

static int victim_status(void)
{
    int status;
    assert_int_equal(read_full(init.answers[0], &status, sizeof(status)), sizeof(status));
    return status;
}

static struct cgroup_usage run(const struct cgroup_limits *limits, int *status, const char *what,
                               const char *number)
{
    struct cgroup_usage usage;
    ok(cgroup_begin(group, limits, &err));
    order_victim(what, number, NULL);
    *status = victim_status();
    ok(cgroup_finish(group, &(struct cgroup_ended){.unkilled = *status != SIGKILL}, &usage, &err));
    return usage;
}

/* What the stand-in for init has started. */
static void kill_victim(void)
{
    char path[64], text[64];
    snprintf(path, sizeof(path), "/proc/%d/task/%d/children", init.pid, init.pid);
    assert_true(read_file_at(AT_FDCWD, path, text, sizeof(text)) >= 0);
    pid_t pid = (pid_t)strtol(text, NULL, 10);
    if (pid > 1)
        kill(pid, SIGKILL);
}

/* The same, with the limit kept exact meanwhile. over: whether that saw the run beyond it, which the kernel then did not
 * kill. */
static struct cgroup_usage run_settled(const struct cgroup_limits *limits, int *status, bool *over,
                                       const char *first, ...)
{
    struct cgroup_usage usage;
    bool worn;
    *over = false;
    ok(cgroup_make_room(group, limits->memory_bytes, &worn, &err));
    ok(cgroup_begin(group, limits, &err));
    int64_t next_ns = cgroup_settle_ns(group);
    va_list args;
    va_start(args, first);
    order_victim_list(first, args);
    va_end(args);
    struct pollfd end = {.fd = init.answers[0], .events = POLLIN};
    while (next_ns != INT64_MAX) {
        struct timespec wait = timespec_from_ns(next_ns);
        if (ppoll(&end, 1, &wait, NULL) > 0)
            break;
        struct cgroup_settled settled;
        ok(cgroup_settle(group, &settled, &err));
        next_ns = settled.next_ns;
        if (settled.over)
            kill_victim();
        *over |= settled.over;
    }
    *status = victim_status();
    ok(cgroup_finish(group, &(struct cgroup_ended){.unkilled = *status != SIGKILL}, &usage, &err));
    return usage;
}

static void recycle(void)
{
    ok(cgroup_recycle(group, init.pid, &err));
}

static const struct cgroup_facts *facts(void)
{
    return cgroup_host_facts(host);
}

static long count_cgroups(void)
{
    char text[8192];
    assert_true(read_file_at(AT_FDCWD, "/proc/cgroups", text, sizeof(text)) > 0);
    long sum = 0;
    for (char *line = strchr(text, '\n'); line != NULL; line = strchr(line + 1, '\n')) {
        long number;
        if (sscanf(line, " %*s %*d %ld", &number) == 1)
            sum += number;
    }
    return sum;
}

/* Removed groups are counted until the kernel has freed them, milliseconds later. */
static long settled_cgroups(long wanted)
{
    long count = count_cgroups();
    for (int i = 0; i < 200 && count > wanted; i++) {
        usleep(10 * 1000);
        count = count_cgroups();
    }
    return count;
}

static int count_fds(void)
{
    int count = 0;
    DIR *directory = opendir("/proc/self/fd");
    while (readdir(directory) != NULL)
        count++;
    closedir(directory);
    return count;
}

/* ---- figures ---- */

static void trivial_program_is_small(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++) {
        int status;
        struct cgroup_usage usage = run(&ordinary, &status, "spin", "0");
        assert_int_equal(status, 0);
        assert_int_equal(usage.oom_kills, 0);
        assert_in_range(usage.cpu_ns, 1, 100 * NS_PER_MS);
        if (facts()->has_pids_peak) {
            assert_true(usage.has_process_peak);
            assert_int_equal(usage.process_peak, 1);
        }
        if (facts()->has_memory_peak) {
            assert_true(usage.has_memory);
            assert_in_range(usage.memory_bytes, 4096, 4 * MIB - 1);
        }
        recycle();
    }
}

/* A process without any of it takes about 128 KiB: stack, page tables, kernel stack and objects. */
static void memory_peak_is_what_was_touched(void **state)
{
    (void)state;
    static const uint64_t sizes[] = {0, 1, 5, 20, 40};
    const int64_t bare = 128 * 1024;
    int64_t least = INT64_MAX, most = INT64_MIN;
    int status;
    if (!facts()->has_memory_peak)
        skip();
    for (int round = 0; round < 20; round++) {
        for (size_t i = 0; i < COUNT_OF(sizes); i++) {
            char number[32];
            snprintf(number, sizeof(number), "%" PRIu64, sizes[i] * MIB);
            usleep(20 * 1000); /* no kernel memory of the run before */
            int64_t peak = (int64_t)run(&ordinary, &status, "touch", number).memory_bytes;
            int64_t off = peak - bare - (int64_t)(sizes[i] * MIB);
            /* 256 KiB alone; on a busy machine the run before may still be going */
            int64_t slack = (int64_t)(320 * 1024 + sizes[i] * MIB / 50);
            least = off < least ? off : least;
            most = off > most ? off : most;
            if (off < -slack || off > slack)
                fail_msg("touched %" PRIu64 " MiB, peak off by %" PRId64 " KiB", sizes[i],
                         off / 1024);
            recycle();
        }
    }
    print_message("peak off by %" PRId64 "..%" PRId64 " KiB\n", least / 1024, most / 1024);
}

static void cpu_time_is_counted(void **state)
{
    (void)state;
    int status;
    int64_t live;
    struct cgroup_usage usage;
    ok(cgroup_begin(group, &ordinary, &err));
    order_victim("spin", "200", NULL);
    usleep(100 * 1000);
    ok(cgroup_cpu_ns(group, &live, &err));
    assert_in_range(live, 20 * NS_PER_MS, 150 * NS_PER_MS);
    uint64_t tasks;
    ok(cgroup_tasks(group, &tasks, &err));
    assert_int_equal(tasks, 1);
    status = victim_status();
    ok(cgroup_finish(group, NULL, &usage, &err));
    assert_int_equal(status, 0);
    assert_in_range(usage.cpu_ns, 198 * NS_PER_MS, 250 * NS_PER_MS);
    recycle();
    usage = run(&ordinary, &status, "spin", "0");
    assert_in_range(usage.cpu_ns, 1, 100 * NS_PER_MS);
    recycle();
}

static void processes_are_counted_and_limited(void **state)
{
    (void)state;
    int status;
    struct cgroup_limits limits = ordinary;
    for (int i = 0; i < 3; i++) {
        struct cgroup_usage usage = run(&limits, &status, "fork", "5");
        assert_int_equal(WEXITSTATUS(status), 5);
        if (facts()->has_pids_peak)
            assert_int_equal(usage.process_peak, 6);
        recycle();
        usage = run(&limits, &status, "spin", "0");
        assert_int_equal(status, 0);
        if (facts()->has_pids_peak)
            assert_int_equal(usage.process_peak, 1);
        recycle();
        limits.processes = 4;
        usage = run(&limits, &status, "fork", "10");
        assert_int_equal(WEXITSTATUS(status), 3);
        if (facts()->has_pids_peak)
            assert_int_equal(usage.process_peak, 4);
        recycle();
        limits.processes = 16;
    }
}

/* Twenty runs just before leave kernel memory behind that is being freed. */
static void garbage(void)
{
    int status;
    for (int i = 0; i < 20; i++) {
        run(&ordinary, &status, "spin", "0");
        recycle();
    }
}

/* Runs in close succession: what is being freed of the one before blurs the figure, by no more than
 * it is. */
static void peaks_in_a_row_stay_plausible(void **state)
{
    (void)state;
    uint64_t most = 0, sum = 0, touched_least = UINT64_MAX, touched_most = 0;
    int status;
    if (!facts()->has_memory_peak)
        skip();
    for (int i = 0; i < 1000; i++) {
        uint64_t peak = run(&ordinary, &status, "spin", "0").memory_bytes;
        assert_in_range(peak, 4096, 4 * MIB - 1);
        most = peak > most ? peak : most;
        sum += peak;
        recycle();
    }
    for (int i = 0; i < 300; i++) {
        uint64_t peak = run(&ordinary, &status, "touch", "20971520").memory_bytes;
        touched_least = peak < touched_least ? peak : touched_least;
        touched_most = peak > touched_most ? peak : touched_most;
        recycle();
    }
    print_message("in a row: mean %" PRIu64 " most %" PRIu64 " KiB; 20 MiB: %" PRIu64 "..%" PRIu64
                  " KiB\n",
                  sum / 1000 / 1024, most / 1024, touched_least / 1024, touched_most / 1024);
    assert_in_range(touched_least, 19 * MIB, touched_most);
    assert_in_range(touched_most, 20 * MIB, 23 * MIB);
}

static void memory_limit_is_exact(void **state)
{
    (void)state;
    static const uint64_t sizes[] = {64, 16, 40, 8};
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        struct cgroup_limits limits = {.memory_bytes = sizes[i] * MIB, .processes = 16};
        char number[32];
        int status;
        garbage();
        snprintf(number, sizeof(number), "%" PRIu64, sizes[i] * MIB - MIB);
        struct cgroup_usage usage = run(&limits, &status, "touch", number);
        assert_int_equal(status, 0);
        assert_int_equal(usage.oom_kills, 0);
        recycle();
        garbage();
        snprintf(number, sizeof(number), "%" PRIu64, sizes[i] * MIB + MIB / 4);
        bool over;
        usage = run_settled(&limits, &status, &over, "sleep", "100", "touch", number, NULL);
        assert_false(over);
        assert_int_equal(status, SIGKILL);
        assert_in_range(usage.oom_kills, 1, facts()->kind == CGROUP_V2 ? 2 : 1);
        if (facts()->has_memory_peak)
            assert_in_range(usage.memory_bytes, limits.memory_bytes - 128 * 1024,
                            limits.memory_bytes);
        recycle();
        usage = run(&limits, &status, "spin", "0");
        assert_int_equal(status, 0);
        assert_int_equal(usage.oom_kills, 0);
        if (facts()->has_memory_peak)
            assert_in_range(usage.memory_bytes, 4096, 4 * MIB);
        recycle();
    }
}

/* Hundreds of processes that ended just before leave tens of MiB of kernel memory, which is freed when the kernel gets
 * round to it. */
static void nobody_hides_behind_a_bomb(void **state)
{
    (void)state;
    const struct cgroup_limits many = {.memory_bytes = 512 * MIB, .processes = 600};
    const struct cgroup_limits limits = {.memory_bytes = 16 * MIB, .processes = 16};
    for (int i = 0; i < 20; i++) {
        int status;
        bool over;
        run(&many, &status, "fork", "500");
        assert_true(WIFEXITED(status));
        recycle();
        struct cgroup_usage usage = run_settled(&limits, &status, &over, "touch", "31457280", NULL);
        if (!over && (status != SIGKILL || usage.oom_kills == 0))
            fail_msg("round %d: 30 MiB under 16 MiB: status %d, %" PRIu64 " bytes", i, status,
                     usage.memory_bytes);
        recycle();
    }
}

/* What somebody else holds on to: pipes full of what a run wrote. */
static void nobody_hides_behind_what_stays(void **state)
{
    (void)state;
    enum { PIPES = 12 };
    const struct cgroup_limits limits = {.memory_bytes = 16 * MIB, .processes = 16};
    int pipes[PIPES][2], status;
    bool over, worn;
    for (int i = 0; i < PIPES; i++) {
        assert_int_equal(pipe2(pipes[i], O_NONBLOCK), 0);
        assert_int_equal(fcntl(pipes[i][1], F_SETPIPE_SZ, MIB), MIB);
    }
    run(&ordinary, &status, "fill", "0");
    assert_int_equal(WEXITSTATUS(status), PIPES);
    recycle();
    unsigned generation = cgroup_generation(group);
    ok(cgroup_make_room(group, limits.memory_bytes, &worn, &err));
    assert_true(facts()->kind == CGROUP_V2 || (worn && cgroup_generation(group) != generation));
    struct cgroup_usage usage = run_settled(&limits, &status, &over, "touch", "18874368", NULL);
    assert_true(over || (status == SIGKILL && usage.oom_kills > 0));
    recycle();
    usage = run_settled(&limits, &status, &over, "touch", "15728640", NULL);
    assert_int_equal(status, 0);
    assert_false(over);
    if (facts()->has_memory_peak)
        assert_in_range(usage.memory_bytes, 15 * MIB, 16 * MIB);
    for (int i = 0; i < PIPES; i++)
        for (int k = 0; k < 2; k++)
            close(pipes[i][k]);
    recycle();
}

/* Pipes that it fills itself are a run's own memory. */
static void kernel_memory_counts(void **state)
{
    (void)state;
    const struct cgroup_limits limits = {.memory_bytes = 16 * MIB, .processes = 16};
    int status;
    bool over;
    for (int i = 0; i < 3; i++) {
        garbage();
        garbage();
        struct cgroup_usage usage = run_settled(&limits, &status, &over, "pipe", "9", "touch",
                                                "9437184", "sleep", "300", NULL);
        assert_true(over || (status == SIGKILL && usage.oom_kills > 0));
        recycle();
    }
}

/* A file of that many MiB, on its way to the disk. path as for mkstemp(3). */
static int make_file(char *path, int mib)
{
    static char block[1 << 20];
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    memset(block, 'x', sizeof(block));
    for (int i = 0; i < mib; i++)
        assert_int_equal(write_full(fd, block, sizeof(block)), 0);
    assert_int_equal(fchmod(fd, 0644), 0);
    fsync(fd);
    return fd;
}

/* Files of an earlier run that stay in the page cache are neither punished nor inherited. */
static void page_cache_is_not_inherited(void **state)
{
    (void)state;
    char path[] = "/var/tmp/cgroup-live-XXXXXX"; /* on a disk */
    auto_fd int fd = make_file(path, 48);
    for (int round = 0; round < 3; round++) {
        int status;
        posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
        struct cgroup_limits limits = {.memory_bytes = (round == 2 ? 24 : 128) * MIB,
                                       .processes = 4};
        struct cgroup_usage usage = run(&limits, &status, "read", path);
        assert_int_equal(status, 0);
        assert_int_equal(usage.oom_kills, 0);
        recycle();
        usage = run(&ordinary, &status, "spin", "0");
        if (facts()->has_memory_peak)
            assert_in_range(usage.memory_bytes, 4096, 4 * MIB);
        recycle();
        usage = run(&ordinary, &status, "touch", "62914560");
        assert_int_equal(status, 0);
        if (facts()->has_memory_peak)
            assert_in_range(usage.memory_bytes, 60 * MIB - MIB / 4, 62 * MIB);
        recycle();
    }
    unlink(path);
}

/* Whoever reads a file first is charged for it. At the limit that goes before anything else, and what a program needs of it
 * at once has to be read again and again: neither is a program that fits killed for it or slowed down, nor does one
 * that does not fit spend its time on it. */
static void page_cache_is_beside_the_limit(void **state)
{
    (void)state;
    const struct cgroup_limits limits = {.memory_bytes = 64 * MIB, .processes = 4};
    enum { TIMES = 2 };
    char path[] = "/var/tmp/cgroup-live-XXXXXX"; /* on a disk */
    auto_fd int fd = make_file(path, 8);
    static const struct {
        const char *bytes;
        bool fits;
    } programs[] = {{"66060288", true}, {"83886080", false}}; /* 63 and 80 MiB */
    for (size_t i = 0; i < TIMES * COUNT_OF(programs); i++) {
        int status;
        bool over;
        posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
        struct cgroup_usage usage = run_settled(&limits, &status, &over, "map", path, "grow",
                                                programs[i / TIMES].bytes, NULL);
        if (programs[i / TIMES].fits) {
            assert_int_equal(status, 0);
            assert_int_equal(usage.oom_kills, 0);
            assert_false(over);
        } else {
            assert_true(over || (status == SIGKILL && usage.oom_kills > 0));
        }
        assert_in_range(usage.cpu_ns, 0, NS_PER_S);
        if (facts()->has_memory_peak)
            assert_in_range(usage.memory_bytes, 60 * MIB, 64 * MIB);
        recycle();
    }
    /* Nobody needs it again: to have read a file gives no room beyond the limit, however long one waits in front of that. */
    for (int i = 0; i < TIMES; i++) {
        int status;
        bool over;
        posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
        struct cgroup_usage usage =
            run_settled(&limits, &status, &over, "read", path, "touch", "66322432", "sleep", "150",
                        "touch", "1572864", NULL); /* 63.25 MiB, and 1.5 */
        assert_int_equal(status, SIGKILL);
        assert_true(over || usage.oom_kills > 0);
        recycle();
    }
    unlink(path);
}

/* Nor does what the limit was raised by for page cache become room for anything else, such as what stands in pipes. */
static void page_cache_is_no_room_for_others(void **state)
{
    (void)state;
    const struct cgroup_limits limits = {.memory_bytes = 16 * MIB, .processes = 4};
    char path[] = "/var/tmp/cgroup-live-XXXXXX";
    auto_fd int fd = make_file(path, 8);
    for (int i = 0; i < 3; i++) {
        int status;
        bool over;
        posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
        struct cgroup_usage usage = run_settled(&limits, &status, &over, "map", path, "grow",
                                                "11534336", "pipe", "9", "sleep", "300", NULL);
        assert_true(over || (status == SIGKILL && usage.oom_kills > 0));
        recycle();
    }
    unlink(path);
}

/* The first bytes of a file; "" when there is none. */
static void read_start(const char *path, char *text, size_t size)
{
    auto_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd >= 0 ? read(fd, text, size - 1) : 0;
    text[got > 0 ? got : 0] = '\0';
}

/* Of the run's group, in which init stands on v1: what cpu.cfs_quota_us says; 0 on v2. */
static long quota_us(void)
{
    char path[5000], text[4096];
    snprintf(path, sizeof(path), "/proc/%d/cgroup", init.pid);
    read_start(path, text, sizeof(text));
    const char *line =
        strstr(text, ":cpu:") != NULL ? strstr(text, ":cpu:") : strstr(text, ":cpu,");
    const char *group_path = line != NULL ? strchr(line + 1, ':') : NULL;
    if (facts()->kind == CGROUP_V2 || group_path == NULL)
        return 0;
    snprintf(path, sizeof(path), "/sys/fs/cgroup/cpu%.*s/cpu.cfs_quota_us",
             (int)strcspn(group_path + 1, "\n"), group_path + 1);
    read_start(path, text, sizeof(text));
    return strtol(text, NULL, 10);
}

static void cpu_rate_slows_down(void **state)
{
    (void)state;
    if (!(facts()->controllers & CGROUP_CPU))
        skip();
    struct cgroup_limits limits = ordinary;
    limits.cpu_rate = 250;
    limits.cpu_period_ns = 20 * NS_PER_MS;
    int status;
    int64_t start = monotonic_ns();
    run(&limits, &status, "spin", "100");
    assert_in_range(monotonic_ns() - start, 300 * NS_PER_MS, 20 * NS_PER_S);
    assert_true(quota_us() == 5000 || facts()->kind == CGROUP_V2);
    ok(cgroup_lift_rate(group, &err));
    assert_true(quota_us() == -1 || facts()->kind == CGROUP_V2);
    recycle();
    run(&limits, &status, "spin", "0"); /* it is set anew for each run */
    assert_true(quota_us() == 5000 || facts()->kind == CGROUP_V2);
    recycle();
    start = monotonic_ns();
    struct cgroup_usage usage = run(&ordinary, &status, "spin", "100");
    assert_in_range(usage.cpu_ns, 98 * NS_PER_MS, 280 * NS_PER_MS);
    assert_true(monotonic_ns() - start >= 98 * NS_PER_MS);
    assert_true(quota_us() == -1 || facts()->kind == CGROUP_V2);
    recycle();
}

static void cpu_sets_are_checked(void **state)
{
    (void)state;
    static const char *const bad[] = {"x", "0-", "4095", "1-0", "0 1"};
    struct cgroup_limits limits = ordinary;
    int status;
    if (!(facts()->controllers & CGROUP_CPUSET))
        skip();
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct cj_error err;
        snprintf(limits.cpu_set, sizeof(limits.cpu_set), "%s", bad[i]);
        assert_int_equal(cgroup_begin(group, &limits, &err), -1);
        assert_int_equal(err.domain, ERROR_REQUEST);
    }
    snprintf(limits.cpu_set, sizeof(limits.cpu_set), "0");
    run(&limits, &status, "spin", "0");
    assert_int_equal(status, 0);
    recycle();
    run(&ordinary, &status, "spin", "0");
    assert_int_equal(status, 0);
    recycle();
}

/* ---- cost and leaks ---- */

static void cycles_leave_nothing(void **state)
{
    (void)state;
    enum { CYCLES = 1000 };
    int status;
    int64_t spent = 0;
    for (int i = 0; i < 20; i++) { /* page cache is parked by now, if it is */
        run(&ordinary, &status, "fork", "2");
        recycle();
    }
    long cgroups = count_cgroups();
    int fds = count_fds();
    for (int i = 0; i < CYCLES; i++) {
        struct cgroup_usage usage;
        int64_t start = monotonic_ns();
        ok(cgroup_begin(group, &ordinary, &err));
        spent += monotonic_ns() - start;
        order_victim("spin", "0", NULL);
        assert_int_equal(victim_status(), 0);
        start = monotonic_ns();
        ok(cgroup_finish(group, NULL, &usage, &err));
        recycle();
        spent += monotonic_ns() - start;
    }
    print_message("begin + finish + recycle: %.1f us\n", (double)spent / CYCLES / 1000);
    spent = -monotonic_ns();
    for (int i = 0; i < 100; i++) {
        run(&ordinary, &status, "fork", "2");
        recycle();
    }
    print_message("a run that forks, group replaced: %.1f us\n",
                  (double)(spent + monotonic_ns()) / 100 / 1000);
    spent = -monotonic_ns();
    for (int i = 0; i < CYCLES; i++) {
        struct cgroup_usage usage;
        struct cgroup_limits limits = {.memory_bytes = (64 + (unsigned)i % 2) * MIB,
                                       .processes = 16 + (unsigned)i % 2};
        ok(cgroup_begin(group, &limits, &err));
        ok(cgroup_finish(group, NULL, &usage, &err));
    }
    print_message("begin + finish, limits changing, empty: %.1f us\n",
                  (double)(spent + monotonic_ns()) / CYCLES / 1000);
    assert_int_equal(count_fds(), fds);
    assert_in_range(settled_cgroups(cgroups + OTHERS), 1, cgroups + OTHERS);
}

/* ---- instances ---- */

static pid_t sleeping_child(void)
{
    pid_t pid = fork();
    if (pid == 0) {
        for (;;)
            pause();
    }
    return pid;
}

/* An instance of its own that has a container with a process in it, and then is killed. */
static void dead_instance_is_cleaned(void **state)
{
    (void)state;
    int channel[2];
    assert_int_equal(pipe2(channel, O_CLOEXEC), 0);
    struct cgroup_options options = {.prefix = PREFIX};
    long cgroups = count_cgroups();
    pid_t instance = fork();
    if (instance == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        struct cgroup_host *other;
        struct cgroup *cg;
        struct cj_error err;
        pid_t sleeper = sleeping_child();
        if (cgroup_host_open(&options, &other, &err) < 0 ||
            cgroup_new(other, 0, OWNER, 1, &cg, &err) < 0 ||
            cgroup_adopt_init(cg, sleeper, &err) < 0)
            sleeper = -1;
        if (write_full(channel[1], &sleeper, sizeof(sleeper)) < 0)
            _exit(1);
        for (;;)
            pause();
    }
    pid_t sleeper;
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    assert_int_equal(read_full(channel[0], &sleeper, sizeof(sleeper)), sizeof(sleeper));
    assert_true(sleeper > 1);

    struct cgroup_host *next;
    ok(cgroup_host_open(&options, &next, &err)); /* alive: not touched */
    assert_int_equal(kill(sleeper, 0), 0);
    cgroup_host_close(next);

    kill(instance, SIGKILL);
    waitpid(instance, NULL, 0);
    int64_t start = monotonic_ns();
    ok(cgroup_host_open(&options, &next, &err));
    print_message("open with a leftover: %" PRId64 " us\n", (monotonic_ns() - start) / 1000);
    int status = 0;
    assert_int_equal(waitpid(sleeper, &status, 0), sleeper);
    assert_int_equal(status, SIGKILL);
    cgroup_host_close(next);
    assert_in_range(settled_cgroups(cgroups), 1, cgroups + OTHERS);

    start = monotonic_ns();
    ok(cgroup_host_open(&options, &next, &err));
    print_message("open with nothing to clean: %" PRId64 " us", (monotonic_ns() - start) / 1000);
    start = monotonic_ns();
    cgroup_host_close(next);
    print_message(", close: %" PRId64 " us\n", (monotonic_ns() - start) / 1000);
    close(channel[0]);
    close(channel[1]);
}

static int open_and_close_often(void)
{
    struct cgroup_options options = {.prefix = PREFIX};
    for (int i = 0; i < 20; i++) {
        struct cgroup_host *other;
        struct cgroup *cg;
        struct cj_error err;
        error_clear(&err);
        if (cgroup_host_open(&options, &other, &err) < 0 ||
            cgroup_host_facts(other)->controllers != facts()->controllers ||
            cgroup_new(other, 0, OWNER, 1, &cg, &err) < 0) {
            fprintf(stderr, "instance: %s (%s)\n", err.message, cgroup_host_facts(other)->reason);
            return 1;
        }
        if (i == 10)
            raise(SIGKILL); /* some die, for the others to clean */
        cgroup_free(cg);
        cgroup_host_close(other);
    }
    return 0;
}

static void instances_do_not_disturb_each_other(void **state)
{
    (void)state;
    enum { INSTANCES = 8 };
    pid_t pids[INSTANCES];
    for (int i = 0; i < INSTANCES; i++) {
        pids[i] = fork();
        if (pids[i] == 0)
            _exit(open_and_close_often());
    }
    for (int i = 0; i < INSTANCES; i++) {
        int status;
        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    }
    int status;
    run(&ordinary, &status, "spin", "0");
    assert_int_equal(status, 0);
    recycle();
    struct cgroup_options options = {.prefix = PREFIX};
    struct cgroup_host *next;
    ok(cgroup_host_open(&options, &next, &err));
    cgroup_host_close(next);
}

/* ---- a group whose first process is there before its run ---- */

static char state_of(pid_t pid)
{
    char path[64], text[512];
    snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    assert_true(read_file_at(AT_FDCWD, path, text, sizeof(text)) > 0);
    return strrchr(text, ')')[2];
}

/* Uses 300 ms, holds that much, and waits. */
static pid_t waiting(struct cgroup *beside, const char *bytes)
{
    char words[][16] = {"victim", "spin", "300", "touch", "", "sleep", "100000"};
    char *argv[] = {words[0], words[1], words[2], words[3], words[4], words[5], words[6], NULL};
    struct clone_args clone = {.exit_signal = SIGCHLD,
                               .flags = CLONE_VM | CLONE_VFORK | CLONE_INTO_CGROUP,
                               .cgroup = (uint64_t)cgroup_clone_fd(beside)};
    snprintf(words[4], sizeof(words[4]), "%s", bytes);
    pid_t pid = clone_and_exec(&clone, argv);
    assert_true(pid > 0);
    do
        usleep(50 * 1000);
    while (state_of(pid) != 'S');
    return pid;
}

static void end_waiting(pid_t pid)
{
    int status;
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
}

static void who_is_there_before_is_the_runs(void **state)
{
    (void)state;
    const struct cgroup_limits first = {
        .memory_bytes = 64 * MIB, .processes = 1, .first_is_there = true, .forked_bytes = 4 * MIB};
    struct cgroup *beside = NULL;
    struct cj_error refused;
    struct cgroup_usage usage;
    int status;
    if (facts()->kind != CGROUP_V2) {
        assert_int_equal(cgroup_new_beside(group, 1, &beside, &refused), -1);
        return;
    }
    ok(cgroup_new_beside(group, 1, &beside, &err));
    for (int round = 0; round < 3; round++) {
        ok(cgroup_await_first(beside, init.pid, &err));
        pid_t pid = waiting(beside, "8388608");
        /* another one's run meanwhile: it is counted with neither, and ends nobody but itself */
        usage = run(&ordinary, &status, "touch", "104857600");
        assert_true(WIFSIGNALED(status) && usage.oom_kills > 0);
        recycle();
        usage = run(&ordinary, &status, "touch", "4096");
        assert_int_equal(status, 0);
        assert_true(usage.memory_bytes < 2 * MIB);
        recycle();
        ok(cgroup_begin(beside, &first, &err));
        assert_false(cgroup_lacks_first(beside));
        uint64_t tasks;
        ok(cgroup_tasks(beside, &tasks, &err));
        assert_int_equal(tasks, 1);
        end_waiting(pid);
        ok(cgroup_finish(beside, NULL, &usage, &err));
        assert_false(usage.somebody_left);
        assert_int_equal(usage.oom_kills, 0);
        assert_in_range(usage.cpu_ns, 0, 150 * NS_PER_MS); /* before the run it had 300 ms */
        if (facts()->has_memory_peak) {
            assert_true(usage.has_memory);
            assert_in_range(usage.memory_bytes, 12 * MIB, 14 * MIB); /* and what is shared */
        }
        if (facts()->has_pids_peak)
            assert_int_equal(usage.process_peak, 1);
    }
    cgroup_free(beside);
}

/* Somebody else than the one who was there. */
static void who_is_left_there_is_seen(void **state)
{
    (void)state;
    const struct cgroup_limits first = {
        .memory_bytes = 64 * MIB, .processes = 4, .first_is_there = true};
    struct cgroup *beside;
    struct cgroup_usage usage;
    if (facts()->kind != CGROUP_V2)
        return; /* as above */
    ok(cgroup_new_beside(group, 2, &beside, &err));
    ok(cgroup_await_first(beside, init.pid, &err));
    pid_t pid = waiting(beside, "4096");
    ok(cgroup_begin(beside, &first, &err));
    pid_t other = waiting(beside, "4096");
    end_waiting(pid);
    ok(cgroup_finish(beside, NULL, &usage, &err));
    assert_true(usage.somebody_left);
    end_waiting(other);
    ok(cgroup_await_first(beside, init.pid, &err));
    ok(cgroup_begin(beside, &first, &err));
    assert_true(cgroup_lacks_first(beside));
    ok(cgroup_finish(beside, NULL, &usage, &err));
    ok(cgroup_begin(group, &ordinary, &err)); /* where none is said to be */
    assert_false(cgroup_lacks_first(group));
    ok(cgroup_finish(group, NULL, &usage, &err));
    cgroup_free(beside);
}

static void kill_all_empties_the_group(void **state)
{
    (void)state;
    ok(cgroup_begin(group, &ordinary, &err));
    order_victim("hold", "0", "hold", "0", "sleep", "100000", NULL);
    usleep(50 * 1000);
    ok(cgroup_kill_all(group, 2 * NS_PER_S, &err));
    int status;
    assert_int_equal(waitpid(init.pid, &status, 0), init.pid);
    assert_int_equal(status, SIGKILL);
    stop_init();
    start_init();
    cgroup_free(group);
    ok(cgroup_new(host, 0, OWNER, 1, &group, &err));
    ok(cgroup_adopt_init(group, init.pid, &err));
    ok(cgroup_learn_init(group, &err));
    run(&ordinary, &status, "spin", "0");
    assert_int_equal(status, 0);
    recycle();
}

/* ---- set up ---- */

static int set_up(void **state)
{
    (void)state;
    start_init();
    ok(cgroup_new(host, 0, OWNER, 1, &group, &err));
    ok(cgroup_adopt_init(group, init.pid, &err));
    ok(cgroup_learn_init(group, &err));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    stop_init();
    cgroup_free(group);
    return 0;
}

static const char *kind_name(enum cgroup_kind kind)
{
    return kind == CGROUP_V2 ? "v2" : kind == CGROUP_V1 ? "v1" : "none";
}

/* And charged to us: a run that has to read its own code has that beside its limit. */
static void keep_in_memory(int fd)
{
    off_t size = lseek(fd, 0, SEEK_END);
    posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    void *code = mmap(NULL, (size_t)size, PROT_READ, MAP_SHARED | MAP_POPULATE, fd, 0);
    if (code != MAP_FAILED)
        mlock(code, (size_t)size);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(trivial_program_is_small),
        cmocka_unit_test(memory_peak_is_what_was_touched),
        cmocka_unit_test(peaks_in_a_row_stay_plausible),
        cmocka_unit_test(cpu_time_is_counted),
        cmocka_unit_test(processes_are_counted_and_limited),
        cmocka_unit_test(memory_limit_is_exact),
        cmocka_unit_test(nobody_hides_behind_a_bomb),
        cmocka_unit_test(nobody_hides_behind_what_stays),
        cmocka_unit_test(kernel_memory_counts),
        cmocka_unit_test(page_cache_is_not_inherited),
        cmocka_unit_test(page_cache_is_beside_the_limit),
        cmocka_unit_test(page_cache_is_no_room_for_others),
        cmocka_unit_test(cpu_rate_slows_down),
        cmocka_unit_test(cpu_sets_are_checked),
        cmocka_unit_test(who_is_there_before_is_the_runs),
        cmocka_unit_test(who_is_left_there_is_seen),
        cmocka_unit_test(kill_all_empties_the_group),
        cmocka_unit_test(cycles_leave_nothing),
        cmocka_unit_test(dead_instance_is_cleaned),
        cmocka_unit_test(instances_do_not_disturb_each_other),
    };
    struct cgroup_options options = {.prefix = PREFIX};
    struct cj_error err;
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (argc > 1)
        victim_fd = open(argv[1], O_RDONLY | O_CLOEXEC);
    if (argc > 2)
        cmocka_set_test_filter(argv[2]);
#ifndef __x86_64__
    fprintf(stderr, "skipped: the stand-in for init is written for x86-64\n");
    return 77;
#endif
    if (victim_fd < 0) {
        fprintf(stderr, "usage: test_cgroup_live VICTIM [PATTERN]\n");
        return 2;
    }
    if (geteuid() != 0) {
        fprintf(stderr, "skipped: needs root\n");
        return 77;
    }
    long cgroups = count_cgroups();
    int fds = count_fds();
    keep_in_memory(victim_fd);
    if (cgroup_host_open(&options, &host, &err) < 0) {
        fprintf(stderr, "open: %s\n", err.message);
        return 1;
    }
    fprintf(stderr,
            "%s controllers %#x hybrid %d nsdelegate %d kill %d peak %d reset %d pids %d\n%s\n%s\n",
            kind_name(facts()->kind), facts()->controllers, facts()->hybrid, facts()->nsdelegate,
            facts()->has_kill, facts()->has_memory_peak, facts()->can_reset_memory_peak,
            facts()->has_pids_peak, facts()->path, facts()->reason);
    if (facts()->kind == CGROUP_NONE || !(facts()->controllers & CGROUP_MEMORY)) {
        cgroup_host_close(host);
        return 77;
    }
    int failed = cmocka_run_group_tests(tests, set_up, tear_down);
    cgroup_host_close(host);
    if (count_fds() != fds || settled_cgroups(cgroups + OTHERS) > cgroups + OTHERS) {
        fprintf(stderr, "left over: %d descriptors, %ld groups\n", count_fds() - fds,
                settled_cgroups(cgroups) - cgroups);
        failed++;
    }
    return failed;
}
