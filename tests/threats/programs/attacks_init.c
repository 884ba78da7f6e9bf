/* Everything that a process can do to another one, tried on pid 1 of the container. Prints "NAME refused"
 * or "NAME worked" for each. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "sandboxed.h"

static void report(const char *name, long result)
{
    printf("%s %s\n", name, result < 0 ? "refused" : "worked");
    fflush(stdout);
}

static void try_open(const char *path, int flags)
{
    char name[64], byte;
    snprintf(name, sizeof name, "open:%s:%o", path, flags);
    int fd = open(path, flags);
    if (fd >= 0 && (flags & O_ACCMODE) == O_RDONLY && !(flags & (O_DIRECTORY | O_PATH)) &&
        read(fd, &byte, 1) <= 0) {
        close(fd);
        fd = -1; /* opened, but there is nothing to be had */
    }
    report(name, fd);
}

static void try_link(const char *path)
{
    char target[4096], name[64];
    snprintf(name, sizeof name, "readlink:%s", path);
    report(name, readlink(path, target, sizeof target));
}

int main(void)
{
    char byte = 0;
    struct iovec here = {&byte, 1}, there = {(void *)0x400000, 1};
    struct rlimit limit = {0, 0};
    struct sched_param param = {0};
    cpu_set_t cpus;
    siginfo_t info = {.si_signo = SIGUSR1, .si_code = SI_QUEUE};
    int pidfd = (int)syscall(SYS_pidfd_open, 1, 0), ends[2];
    CPU_ZERO(&cpus);
    CPU_SET(0, &cpus);

    for (int sig = 1; sig < 65; sig++)
        if (sig != SIGCONT &&
            kill(1, sig) == 0) /* SIGCONT: free within a session, and nothing to pid 1 */
            report("kill", 0);
    report("tkill", syscall(SYS_tkill, 1, SIGKILL));
    report("tgkill", syscall(SYS_tgkill, 1, 1, SIGKILL));
    report("sigqueue", syscall(SYS_rt_sigqueueinfo, 1, SIGUSR1, &info));
    if (pidfd >= 0) {
        report("pidfd_send_signal", syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0));
        for (int fd = 0; fd < 16; fd++)
            if (syscall(SYS_pidfd_getfd, pidfd, fd, 0) >= 0)
                report("pidfd_getfd", 0);
        report("setns:pidfd", syscall(SYS_setns, pidfd, 0x10000000 /* CLONE_NEWUSER */));
        report("setns:pidfd:mnt", syscall(SYS_setns, pidfd, 0x20000 /* CLONE_NEWNS */));
        report("process_madvise", syscall(SYS_process_madvise, pidfd, &there, 1, 21, 0));
        report("process_mrelease", syscall(SYS_process_mrelease, pidfd, 0));
    }
    report("ptrace:attach", ptrace(PTRACE_ATTACH, 1, 0, 0));
    report("ptrace:seize", ptrace(PTRACE_SEIZE, 1, 0, 0));
    report("process_vm_readv", syscall(SYS_process_vm_readv, 1, &here, 1, &there, 1, 0));
    report("process_vm_writev", syscall(SYS_process_vm_writev, 1, &here, 1, &there, 1, 0));
    report("prlimit:set", syscall(SYS_prlimit64, 1, RLIMIT_NOFILE, &limit, NULL));
    report("prlimit:get", syscall(SYS_prlimit64, 1, RLIMIT_NOFILE, NULL, &limit));
    report("setpriority", setpriority(PRIO_PROCESS, 1, 19));
    report("sched_setaffinity", sched_setaffinity(1, sizeof cpus, &cpus));
    report("sched_setscheduler", sched_setscheduler(1, SCHED_IDLE, &param));
    report("ioprio_set", syscall(SYS_ioprio_set, 1, 1, 3 << 13));
    report("migrate_pages",
           syscall(SYS_migrate_pages, 1, 64, &(unsigned long){1}, &(unsigned long){1}));
    report("move_pages",
           syscall(SYS_move_pages, 1, 1UL, &(void *){(void *)0x400000}, &(int){0}, &(int){0}, 0));
    report("kcmp", syscall(SYS_kcmp, 1, getpid(), 0, 0, 0));
    report("get_robust_list", syscall(SYS_get_robust_list, 1, &(void *){NULL}, &(size_t){0}));
    report("setpgid", setpgid(1, getpgrp()));
    report("join its group", setpgid(0, 1));
    report("perf_event_open", syscall(SYS_perf_event_open, (char[128]){0}, 1, -1, -1, 0));
    if (pipe(ends) == 0 &&
        fcntl(ends[0], F_SETOWN, 1) == 0) { /* SIGIO and SIGKILL by proxy: checked when sent */
        fcntl(ends[0], F_SETSIG, SIGKILL);
        fcntl(ends[0], F_SETFL, O_ASYNC);
        if (write(ends[1], "x", 1) != 1)
            return 3;
    }
    for (const char *const *path = (const char *const[]){"/proc/1/mem",
                                                         "/proc/1/environ",
                                                         "/proc/1/maps",
                                                         "/proc/1/auxv",
                                                         "/proc/1/stack",
                                                         "/proc/1/syscall",
                                                         "/proc/1/io",
                                                         "/proc/1/pagemap",
                                                         "/proc/1/smaps",
                                                         "/proc/1/exe",
                                                         "/proc/1/root/etc/passwd",
                                                         "/proc/1/fd/0",
                                                         "/proc/1/fd/3",
                                                         "/proc/1/fd/4",
                                                         "/proc/1/personality",
                                                         "/proc/1/task/1/mem",
                                                         "/proc/1/timers",
                                                         "/proc/1/fdinfo/3",
                                                         "/proc/1/map_files",
                                                         NULL};
         *path != NULL; path++)
        try_open(*path, O_RDONLY);
    for (const char *const *path =
             (const char *const[]){"/proc/1/fd", "/proc/1/root", "/proc/1/cwd", "/proc/1/fdinfo",
                                   "/proc/1/map_files", NULL};
         *path != NULL; path++)
        try_open(*path, O_RDONLY | O_DIRECTORY);
    for (const char *const *path =
             (const char *const[]){
                 "/proc/1/mem", "/proc/1/oom_score_adj", "/proc/1/clear_refs", "/proc/1/comm",
                 "/proc/1/uid_map", "/proc/1/setgroups", "/proc/1/coredump_filter",
                 "/proc/1/autogroup", "/proc/1/timerslack_ns", "/proc/1/attr/current",
                 "/proc/1/task/1/comm", "/proc/1/sched", "/proc/self/uid_map", "/proc/self/gid_map",
                 "/proc/self/setgroups", "/proc/self/projid_map", NULL};
         *path != NULL; path++)
        try_open(*path, O_WRONLY);
    for (const char *const *path =
             (const char *const[]){"/proc/1/root", "/proc/1/cwd", "/proc/1/exe", "/proc/1/ns/mnt",
                                   "/proc/1/ns/user", "/proc/1/ns/pid", "/proc/1/fd/0", NULL};
         *path != NULL; path++)
        try_link(*path);
    report("chroot:/proc/1/root", chroot("/proc/1/root"));
    report("chdir:/proc/1/cwd", chdir("/proc/1/cwd"));
    return 0;
}
