/* System calls with random numbers and arguments, in children, for half a second. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "sandboxed.h"

static uint64_t state;

static uint64_t next(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    return state ^= state << 17;
}

static long argument(char *room)
{
    static const long odd[] = {0,    1,     -1,         2,          3,    4,        8,       64,
                               4096, 65536, 0x7fffffff, 0x80000000, -100, 1L << 40, 1L << 62};
    switch (next() % 4) {
    case 0:
        return odd[next() % (sizeof odd / sizeof *odd)];
    case 1:
        return (long)(room + next() % 8192);
    case 2:
        return (long)(next() % 1024);
    default:
        return (long)next();
    }
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
    char *room = mmap(NULL, 16384, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    double end = now() + 0.5;
    state = 88172645463325252ULL + (uint64_t)(argc > 1 ? atol(argv[1]) : 0) * 7919;
    while (now() < end) {
        pid_t pid = fork();
        next();
        if (pid == 0) {
            alarm(1);
            for (int i = 0; i < 200; i++) {
                long number = (long)(next() % 480);
                if (number == SYS_exit || number == SYS_exit_group || number == SYS_pause ||
                    number == SYS_rt_sigsuspend || number == SYS_rt_sigreturn ||
                    number == SYS_fork || number == SYS_vfork || number == SYS_clone ||
                    number == SYS_kill || number == SYS_alarm || number == SYS_execve)
                    continue;
                for (int j = 0; j < 64; j++)
                    room[next() % 16384] = (char)next();
                syscall(number, argument(room), argument(room), argument(room), argument(room),
                        argument(room), argument(room));
            }
            _exit(0);
        }
        if (pid < 0)
            usleep(1000);
        int status;
        for (int i = 0; i < 100 && waitpid(pid, &status, WNOHANG) == 0; i++)
            usleep(500);
        kill(pid, SIGKILL);
    }
    return 0;
}
