/* Calls that ordinary run-times make. Prints "NAME failed ERRNO" for each that does not work. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/timerfd.h>
#include <sys/utsname.h>
#include <unistd.h>

#define WORKS(name, call)                                                                          \
    do {                                                                                           \
        errno = 0;                                                                                 \
        if ((long)(call) < 0)                                                                      \
            printf("%s failed %s\n", name, strerrorname_np(errno));                                \
    } while (0)

int main(void)
{
    char room[4096];
    int pair[2];
    struct statx info;
    struct sysinfo system;
    struct utsname names;
    cpu_set_t cpus;
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    WORKS("getrandom", getrandom(room, 16, 0));
    WORKS("memfd_create", memfd_create("x", MFD_CLOEXEC));
    WORKS("eventfd", eventfd(0, 0));
    WORKS("timerfd", timerfd_create(CLOCK_MONOTONIC, 0));
    WORKS("signalfd", signalfd(-1, &set, 0));
    WORKS("epoll", epoll_create1(0));
    WORKS("pipe2", pipe2(pair, O_CLOEXEC));
    WORKS("socketpair", socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    WORKS("socketpair dgram", socketpair(AF_UNIX, SOCK_DGRAM, 0, pair));
    WORKS("socket inet", socket(AF_INET, SOCK_STREAM, 0));
    WORKS("socket inet6", socket(AF_INET6, SOCK_STREAM, 0));
    WORKS("statx", statx(AT_FDCWD, "/tmp", 0, STATX_BASIC_STATS, &info));
    WORKS("sched_getaffinity", sched_getaffinity(0, sizeof cpus, &cpus));
    WORKS("sched_setaffinity", sched_setaffinity(0, sizeof cpus, &cpus));
    WORKS("sysinfo", sysinfo(&system));
    WORKS("uname", uname(&names));
    WORKS("prctl name", prctl(PR_SET_NAME, "x"));
    WORKS("setpriority up", setpriority(PRIO_PROCESS, 0, getpriority(PRIO_PROCESS, 0) + 1));
    WORKS("mlock", mlock(room, 4096));
    WORKS("madvise",
          madvise(mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
                  1 << 20, MADV_DONTNEED));
    WORKS("mmap exec", mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
                            MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED
                           ? -1
                           : 0);
    WORKS("shmget", shmget(IPC_PRIVATE, 4096, 0600));
    WORKS("semget", semget(IPC_PRIVATE, 1, 0600));
    WORKS("msgget", msgget(IPC_PRIVATE, 0600));
    WORKS("shm_open", shm_open("/x", O_CREAT | O_RDWR, 0600));
    WORKS("flock", flock(open("/tmp/lock", O_CREAT | O_RDWR, 0600), LOCK_EX));
    WORKS("membarrier", syscall(SYS_membarrier, 0, 0, 0));
    WORKS("getcpu", syscall(SYS_getcpu, &(unsigned){0}, NULL, NULL));
    WORKS("copy_file_range",
          copy_file_range(open("/etc/passwd", O_RDONLY), NULL,
                          open("/tmp/c", O_CREAT | O_WRONLY, 0600), NULL, 10, 0) < 0 &&
                  errno != EXDEV
              ? -1
              : 0);
    WORKS("rt_sigqueueinfo self", ({
              signal(SIGUSR1, SIG_IGN);
              sigqueue(getpid(), SIGUSR1, (union sigval){0});
          }));
    WORKS("timer_create", ({
              timer_t timer;
              timer_create(CLOCK_MONOTONIC, &(struct sigevent){.sigev_notify = SIGEV_NONE}, &timer);
          }));
    WORKS("ptrace traceme in child", 0);
    WORKS("prlimit own", syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, NULL, &(struct rlimit){0, 0}));
    WORKS("faccessat2", syscall(439, AT_FDCWD, "/tmp", R_OK, 0));
    WORKS("close_range", syscall(436, 1000, 2000, 0));
    WORKS("openat2 or ENOSYS",
          syscall(437, AT_FDCWD, "/tmp", (unsigned long long[3]){0, 0, 0}, 24) < 0 &&
                  errno != ENOSYS
              ? -1
              : 0);
    WORKS("pidfd_open", syscall(434, getpid(), 0));
    return 0;
}
