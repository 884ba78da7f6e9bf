/* The reference program: prints all that a program can see of the state of its box, so that two runs
 * which should be alike print the same bytes, then burns a fixed amount of CPU. Leaves nothing behind.
 * What may differ (pids, times, inode numbers, addresses) is not printed, nor /proc/self/cgroup and
 * /proc/locks, which have tests of their own. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/utsname.h>
#include <sys/xattr.h>
#include <unistd.h>

extern char **environ;

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void show_file(const char *path, const char *const *wanted)
{
    char line[4096];
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        printf("%s: %s\n", path, strerror(errno));
        return;
    }
    while (fgets(line, sizeof line, file) != NULL) {
        int keep = wanted == NULL;
        for (int i = 0; !keep && wanted[i] != NULL; i++)
            keep = strncmp(line, wanted[i], strlen(wanted[i])) == 0;
        if (keep)
            printf("%s: %s", path, line);
    }
    fclose(file);
}

static void count_lines(const char *path)
{
    char line[4096];
    int lines = 0;
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        printf("%s: %s\n", path, strerror(errno));
        return;
    }
    while (fgets(line, sizeof line, file) != NULL)
        lines++;
    fclose(file);
    printf("%s: %d lines\n", path, lines);
}

static void show_directory(const char *path)
{
    struct stat info;
    char names[1024] = "";
    if (lstat(path, &info) < 0) {
        printf("dir %s: %s\n", path, strerror(errno));
        return;
    }
    ssize_t size = listxattr(path, names, sizeof names);
    printf("dir %s mode %o uid %u gid %u links %lu xattr %zd", path, info.st_mode, info.st_uid,
           info.st_gid, (unsigned long)info.st_nlink, size);
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int flags = 0;
    if (fd >= 0)
        printf(" flags %d:%x locked %d", ioctl(fd, FS_IOC_GETFLAGS, &flags), (unsigned)flags,
               flock(fd, LOCK_EX | LOCK_NB));
    printf("\n");
    if (fd < 0)
        return;
    DIR *dir = fdopendir(fd);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
            strcmp(entry->d_name, "state_report") != 0)
            printf("  entry %s/%s\n", path, entry->d_name);
    closedir(dir);
}

static void show_space(const char *path)
{
    struct statvfs space;
    if (statvfs(path, &space) == 0)
        printf("space %s size %lu used %lu inodes %lu used %lu flags %lx\n", path,
               (unsigned long)space.f_blocks, (unsigned long)(space.f_blocks - space.f_bfree),
               (unsigned long)space.f_files, (unsigned long)(space.f_files - space.f_ffree),
               space.f_flag);
}

static void show_descriptors(void)
{
    for (int fd = 0; fd < 1024; fd++) {
        struct stat info;
        int waiting = -1, file_flags = fcntl(fd, F_GETFL);
        if (file_flags < 0 || fstat(fd, &info) < 0)
            continue;
        if (S_ISFIFO(info.st_mode))
            ioctl(fd, FIONREAD, &waiting);
        struct flock lock = {.l_type = F_WRLCK};
        int ofd = fcntl(fd, F_OFD_GETLK, &lock) == 0 ? lock.l_type : -1;
        printf("fd %d type %o mode %o flags %o fdflags %d pipe %d waiting %d owner %d signal %d "
               "seals %d lease %d "
               "offset %ld size %ld locked %d ofd %d\n",
               fd, info.st_mode & S_IFMT, info.st_mode & 07777, file_flags, fcntl(fd, F_GETFD),
               fcntl(fd, F_GETPIPE_SZ), waiting, fcntl(fd, F_GETOWN), fcntl(fd, F_GETSIG),
               fcntl(fd, F_GET_SEALS), fcntl(fd, F_GETLEASE), (long)lseek(fd, 0, SEEK_CUR),
               S_ISREG(info.st_mode) ? (long)info.st_size : -1L, flock(fd, LOCK_EX | LOCK_NB), ofd);
        flock(fd, LOCK_UN);
    }
}

static void show_processes(void)
{
    char *lines[4096];
    int count = 0;
    DIR *dir = opendir("/proc");
    if (dir == NULL) {
        printf("no /proc\n");
        return;
    }
    for (struct dirent *entry; (entry = readdir(dir)) != NULL && count < 4096;) {
        char path[300], line[256] = "?";
        int pid = atoi(entry->d_name);
        if (pid <= 0 || pid == getpid())
            continue;
        snprintf(path, sizeof path, "/proc/%d/stat", pid);
        FILE *file = fopen(path, "re");
        if (file != NULL) {
            if (fgets(line, sizeof line, file) == NULL)
                strcpy(line, "?");
            fclose(file);
        }
        char *end = strrchr(line, ')');
        if (end != NULL)
            end[3] = '\0'; /* name and state */
        lines[count++] = strdup(pid == 1                    ? "init"
                                : strchr(line, ' ') != NULL ? strchr(line, ' ')
                                                            : line);
    }
    closedir(dir);
    qsort(lines, (size_t)count, sizeof *lines, by_text);
    for (int i = 0; i < count; i++)
        printf("process %s\n", lines[i]);
}

static void show_mounts(void)
{
    char line[4096], *lines[1024];
    int count = 0;
    FILE *file = fopen("/proc/self/mountinfo", "re");
    while (file != NULL && count < 1024 && fgets(line, sizeof line, file) != NULL) {
        int ids = 0;
        sscanf(line, "%*d %*d %*d:%*d %n", &ids); /* without ids and device numbers, in no order */
        lines[count++] = strdup(line + ids);
    }
    if (file != NULL)
        fclose(file);
    qsort(lines, (size_t)count, sizeof *lines, by_text);
    for (int i = 0; i < count; i++)
        printf("mount %s", lines[i]);
}

static void show_process_settings(void)
{
    cpu_set_t cpus;
    struct itimerval timer;
    sigset_t set;
    stack_t stack;
    CPU_ZERO(&cpus);
    sched_getaffinity(0, sizeof cpus, &cpus);
    printf("session %d group %d uids %d %d gids %d %d umask %o\n", getsid(0) == getpid(),
           getpgrp() == getpid(), getuid(), geteuid(), getgid(), getegid(), umask(0));
    printf("nice %d policy %d cpus %d ioprio %ld personality %x alarm %u\n",
           getpriority(PRIO_PROCESS, 0), sched_getscheduler(0), CPU_COUNT(&cpus),
           syscall(SYS_ioprio_get, 1, 0), (unsigned)personality(0xffffffff), alarm(0));
    for (int which = 0; which < 3; which++)
        if (getitimer(which, &timer) == 0)
            printf("timer %d %ld %ld\n", which, (long)timer.it_value.tv_sec,
                   (long)timer.it_interval.tv_sec);
    sigpending(&set);
    printf("pending");
    for (int sig = 1; sig < 65; sig++)
        if (sigismember(&set, sig) == 1)
            printf(" %d", sig);
    sigaltstack(NULL, &stack);
    int death = -1, reaper = -1;
    prctl(PR_GET_PDEATHSIG, &death);
    prctl(PR_GET_CHILD_SUBREAPER, &reaper);
    printf("\naltstack %d death %d reaper %d dumpable %d keepcaps %d securebits %x slack %d thp %d "
           "tsc timing %d\n",
           stack.ss_flags, death, reaper, prctl(PR_GET_DUMPABLE), prctl(PR_GET_KEEPCAPS),
           prctl(PR_GET_SECUREBITS), prctl(PR_GET_TIMERSLACK),
           prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0), prctl(PR_GET_TIMING));
    printf("tty %d errno %d\n", open("/dev/tty", O_RDWR | O_CLOEXEC), errno);
    for (int sig = 1; sig < 65; sig++) {
        struct sigaction action;
        if (sigaction(sig, NULL, &action) == 0 && action.sa_handler != SIG_DFL)
            printf("disposition %d is not the default\n", sig);
    }
    printf("keyring session %ld user %ld\n", syscall(SYS_keyctl, 0, -3, 0) < 0 ? -1L : 1L,
           syscall(SYS_keyctl, 0, -4, 0) < 0 ? -1L : 1L);
}

int main(int argc, char **argv)
{
    static const char *const status[] = {
        "Uid:",  "Gid:",    "Groups:",     "NoNewPrivs:", "Seccomp",   "Cap",
        "SigQ",  "SigBlk",  "SigIgn",      "SigCgt",      "ShdPnd",    "SigPnd",
        "Umask", "Threads", "Speculation", "CoreDumping", "TracerPid", NULL};
    struct utsname names;
    char cwd[4096] = "?";
    uname(&names);
    show_descriptors();
    printf("argc %d argv0 %s cwd %s host %s domain %s\n", argc, argv[0], getcwd(cwd, sizeof cwd),
           names.nodename, names.domainname);
    for (char **entry = environ; *entry != NULL; entry++)
        printf("env %s\n", *entry);
    show_process_settings();
    for (const char *const *path =
             (const char *const[]){"/", "/w", "/tmp", "/dev", "/dev/shm", "/dev/mqueue", "/etc",
                                   "/run", "/run/lock", "/var/tmp", "/root", "/home", "/mnt",
                                   "/opt", "/proc/self/task", NULL};
         *path != NULL; path++)
        if (strcmp(*path, "/proc/self/task") != 0)
            show_directory(*path);
    for (const char *const *path = (const char *const[]){"/w", "/tmp", "/dev/shm", "/", NULL};
         *path != NULL; path++)
        show_space(*path);
    show_file("/proc/self/status", status);
    show_file("/proc/self/limits", NULL);
    show_file("/proc/self/oom_score_adj", NULL);
    show_file("/proc/self/coredump_filter", NULL);
    show_file("/proc/sysvipc/shm", NULL);
    show_file("/proc/sysvipc/sem", NULL);
    show_file("/proc/sysvipc/msg", NULL);
    show_file("/proc/keys", NULL);
    show_file("/proc/sys/kernel/hostname", NULL);
    show_file("/proc/sys/kernel/core_pattern", NULL);
    for (const char *const *path =
             (const char *const[]){"/proc/net/unix", "/proc/net/tcp", "/proc/net/tcp6",
                                   "/proc/net/udp", "/proc/net/dev", "/proc/net/packet", NULL};
         *path != NULL; path++)
        count_lines(*path);
    show_processes();
    show_mounts();
    fflush(stdout);
    for (volatile unsigned long i = 0; i < 40000000; i++)
        ;
    return 0;
}
