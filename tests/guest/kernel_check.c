/* Asks a kernel with cgroup v2 for what the sandbox builds on, and prints one fact a line.
 *
 *     file memory.peak yes           the file exists in a new cgroup (with all controllers)
 *     memory.peak 33943552           after a child, started inside, has touched 32 MiB
 *     cgroup.kill killed             a sleeping child was ended by writing to cgroup.kill
 *
 * Runs as root, or as the user of a delegated cgroup. Needs to be the only process in its cgroup
 * when that is not the root. Exits with 1 and says why when a step fails. */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define MIB (1024L * 1024)

static int base_fd;            /* our own cgroup */
static const char *in = "run"; /* the cgroup of the children, below it */

static int try_write(const char *group, const char *file, const char *text)
{
    char path[300];
    snprintf(path, sizeof path, "%s/%s", group, file);
    int fd = openat(base_fd, path, O_WRONLY | O_CLOEXEC);
    int result = fd < 0 || write(fd, text, strlen(text)) < 0 ? -1 : 0;
    if (fd >= 0)
        close(fd);
    return result;
}

static void must_write(const char *group, const char *file, const char *text)
{
    if (try_write(group, file, text) < 0)
        err(1, "write '%s' to %s/%s", text, group, file);
}

static const char *must_read(const char *group, const char *file)
{
    static char text[4096];
    char path[300];
    snprintf(path, sizeof path, "%s/%s", group, file);
    int fd = openat(base_fd, path, O_RDONLY | O_CLOEXEC);
    ssize_t length = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (length < 0)
        err(1, "read %s", path);
    close(fd);
    text[length] = '\0';
    return text;
}

/* The number behind `key` in a flat-keyed file; in a file of one number, the key is "". */
static long must_read_number(const char *file, const char *key)
{
    const char *text = must_read(in, file);
    const char *at = *key ? strstr(text, key) : text;
    if (!at)
        errx(1, "%s has no %s", file, key);
    return atol(at + strlen(key));
}

enum action { TOUCH_32_MIB, TOUCH_64_MIB, START_TWO, SLEEP, BURN };

static _Noreturn void child(enum action action)
{
    if (action == TOUCH_32_MIB || action == TOUCH_64_MIB) {
        size_t size = (size_t)(action == TOUCH_32_MIB ? 32 : 64) * MIB;
        char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        for (size_t at = 0; at < size; at += 4096)
            ((volatile char *)memory)[at] = 1;
    } else if (action == START_TWO) {
        for (int i = 0; i < 2; i++)
            if (fork() == 0)
                _exit(usleep(100000));
        while (wait(NULL) > 0)
            continue;
    } else if (action == SLEEP) {
        sleep(60);
    } else {
        for (volatile long i = 0; i < 100 * 1000 * 1000; i++)
            continue;
    }
    _exit(0);
}

/* clone3(2) with CLONE_INTO_CGROUP, Linux 5.7: born in the cgroup, never moved. */
static pid_t spawn(enum action action, int *pidfd)
{
    int group = openat(base_fd, in, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (group < 0)
        err(1, "open %s", in);
    struct clone_args arguments = {
        .flags = CLONE_INTO_CGROUP | CLONE_PIDFD,
        .pidfd = (uintptr_t)pidfd,
        .exit_signal = SIGCHLD,
        .cgroup = (uint64_t)group,
    };
    pid_t pid = (pid_t)syscall(SYS_clone3, &arguments, sizeof arguments);
    if (pid == 0)
        child(action);
    if (pid < 0)
        err(1, "clone3 with CLONE_INTO_CGROUP");
    close(group);
    return pid;
}

static int finish(int pidfd, struct rusage *usage)
{
    siginfo_t info = {0};
    if (syscall(SYS_waitid, P_PIDFD, pidfd, &info, WEXITED, usage) < 0)
        err(1, "waitid");
    close(pidfd);
    return info.si_code == CLD_EXITED ? info.si_status : -info.si_status;
}

static int run(enum action action)
{
    int pidfd;
    struct rusage usage;
    spawn(action, &pidfd);
    return finish(pidfd, &usage);
}

/* A fresh cgroup for each question: memory.peak cannot be set back before Linux 6.12. */
static void renew(void)
{
    for (int look = 0; unlinkat(base_fd, in, AT_REMOVEDIR) < 0 && errno != ENOENT; look++) {
        if (look == 1000)
            err(1, "rmdir %s", in);
        usleep(1000);
    }
    if (mkdirat(base_fd, in, 0755) < 0)
        err(1, "mkdir %s", in);
}

static void open_base(void)
{
    char line[256] = "", path[512];
    FILE *file = fopen("/proc/self/cgroup", "r");
    if (!file || !fgets(line, sizeof line, file) || strncmp(line, "0::/", 4) != 0)
        errx(1, "/proc/self/cgroup does not name a v2 cgroup");
    fclose(file);
    line[strcspn(line, "\n")] = '\0';
    snprintf(path, sizeof path, "/sys/fs/cgroup%s", line + 3);
    base_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (base_fd < 0)
        err(1, "open %s", path);

    /* "No internal processes": step aside into a leaf, except in the root. */
    if (strcmp(line, "0::/") != 0) {
        if (mkdirat(base_fd, "self", 0755) < 0 && errno != EEXIST)
            err(1, "mkdir self");
        must_write("self", "cgroup.procs", "0");
    }
    must_write(".", "cgroup.subtree_control", "+memory +pids +cpu +cpuset");
}

static void print_files(void)
{
    static const char *const files[] = {
        "cgroup.kill",     "cgroup.freeze",     "cgroup.events",    "cgroup.pressure",
        "memory.current",  "memory.peak",       "memory.reclaim",   "memory.oom.group",
        "memory.swap.max", "memory.swap.peak",  "memory.zswap.max", "pids.current",
        "pids.peak",       "pids.events.local", "cpu.stat",         "cpu.stat.local",
        "cpu.max",         "cpuset.cpus",
    };
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        char path[300];
        snprintf(path, sizeof path, "%s/%s", in, files[i]);
        printf("file %s %s\n", files[i], faccessat(base_fd, path, F_OK, 0) == 0 ? "yes" : "no");
    }
}

int main(void)
{
    open_base();
    renew();
    print_files();

    printf("touch exit %d\n", run(TOUCH_32_MIB));
    printf("memory.peak %ld\n", must_read_number("memory.peak", ""));
    printf("memory.peak resettable %s\n", try_write(in, "memory.peak", "0") == 0 ? "yes" : "no");

    renew();
    printf("start-two exit %d\n", run(START_TWO));
    printf("pids.peak %ld\n", must_read_number("pids.peak", ""));

    renew();
    must_write(in, "memory.max", "16777216");
    must_write(in, "memory.swap.max", "0");
    must_write(in, "memory.oom.group", "1");
    printf("over-memory exit %d\n", run(TOUCH_64_MIB));
    printf("memory.events oom_kill %ld\n", must_read_number("memory.events", "oom_kill "));
    printf("memory.peak at limit %ld\n", must_read_number("memory.peak", ""));

    renew();
    must_write(in, "pids.max", "2");
    printf("over-pids exit %d\n", run(START_TWO));
    printf("pids.events max %ld\n", must_read_number("pids.events", "max "));

    renew();
    int pidfd;
    struct rusage usage;
    spawn(BURN, &pidfd);
    int burned = finish(pidfd, &usage);
    long group_us = must_read_number("cpu.stat", "usage_usec ");
    long child_us = (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000L +
                    usage.ru_utime.tv_usec + usage.ru_stime.tv_usec;
    printf("burn exit %d\ncpu.stat usage_usec %ld\nrusage usec %ld\n", burned, group_us, child_us);

    renew();
    spawn(SLEEP, &pidfd);
    must_write(in, "cgroup.kill", "1");
    int ended = finish(pidfd, &usage);
    printf("cgroup.kill exit %d\n", ended);
    renew();
    if (unlinkat(base_fd, in, AT_REMOVEDIR) < 0)
        err(1, "rmdir %s", in);
    return 0;
}
