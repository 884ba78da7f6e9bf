/* Ways to use CPU time so that a judge does not notice, or cannot stop it. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "sandboxed.h"

static sigjmp_buf again;

static void spin(void)
{
    for (volatile unsigned long i = 0;; i++)
        ;
}

static void burn_ms(long ms)
{
    struct timespec now;
    do
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    while (now.tv_sec * 1000000000 + now.tv_nsec < ms * 1000000);
}

static void system_ms(long ms)
{
    static char block[1 << 16];
    struct timespec now;
    int zero = open("/dev/zero", O_RDONLY);
    do {
        for (int i = 0; i < 8; i++)
            if (read(zero, block, sizeof block) < 0)
                exit(3);
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    } while (now.tv_sec * 1000000000 + now.tv_nsec < ms * 1000000);
}

static void *spin_thread(void *arg)
{
    spin();
    return arg;
}

/* How many CPUs four threads that are always busy have been seen on, within 300 ms of CPU time. */
static void *watch_cpu(void *arg)
{
    cpu_set_t *seen = arg;
    struct timespec now;
    do {
        CPU_SET((size_t)sched_getcpu(), seen);
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    } while (now.tv_sec * 1000000000 + now.tv_nsec < 300 * 1000000);
    return NULL;
}

static int cpus_seen(void)
{
    cpu_set_t seen[4], all;
    pthread_t thread[4];
    CPU_ZERO(&all);
    for (int i = 0; i < 4; i++) {
        CPU_ZERO(&seen[i]);
        if (pthread_create(&thread[i], NULL, watch_cpu, &seen[i]) != 0)
            return 0;
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(thread[i], NULL);
        CPU_OR(&all, &all, &seen[i]);
    }
    return CPU_COUNT(&all);
}

static void threads(int count)
{
    pthread_t thread;
    for (int i = 1; i < count; i++)
        if (pthread_create(&thread, NULL, spin_thread, NULL) != 0)
            break;
    spin();
}

static void on_xcpu(int sig)
{
    (void)sig;
    siglongjmp(again, 1);
}

/* Waits for the end of a child without wait(2): the end of a pipe that it holds. */
static void start_and_lose(void (*work)(long), long ms, int twice)
{
    int ends[2];
    char byte;
    if (pipe(ends) != 0)
        exit(3);
    if (fork() == 0) {
        close(ends[0]);
        if (twice && fork() > 0)
            _exit(0);
        work(ms);
        _exit(0);
    }
    close(ends[1]);
    if (read(ends[0], &byte, 1) != 0)
        exit(4);
    close(ends[0]);
}

int main(int argc, char **argv)
{
    const char *how = argc > 1 ? argv[1] : "";
    long number = argc > 2 ? atol(argv[2]) : 0;
    if (strcmp(how, "for_ms") == 0) {
        burn_ms(number);
        return 0;
    }
    if (strcmp(how, "system_for_ms") == 0) {
        system_ms(number);
        return 0;
    }
    if (strcmp(how, "on_cpus") == 0) {
        printf("cpus %d\n", cpus_seen());
        return 0;
    }
    if (strcmp(how, "ignoring_signals") == 0) {
        sigset_t all;
        sigfillset(&all);
        for (int sig = 1; sig < 65; sig++)
            signal(sig, SIG_IGN);
        sigprocmask(SIG_BLOCK, &all, NULL);
    } else if (strcmp(how, "in_threads") == 0) {
        threads(4);
    } else if (strcmp(how, "in_sixteen_threads") == 0) {
        threads(16);
    } else if (strcmp(how, "in_system_calls") == 0) {
        system_ms(1000000);
    } else if (strcmp(how, "raising_limits") == 0) {
        struct rlimit limit = {RLIM_INFINITY, RLIM_INFINITY};
        if (setrlimit(RLIMIT_CPU, &limit) == 0)
            puts("raised");
        limit = (struct rlimit){0, 0};
        getrlimit(RLIMIT_CPU, &limit);
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_CPU, &limit);
    } else if (strcmp(how, "at_low_priority") == 0) {
        struct sched_param param = {0};
        sched_setscheduler(0, SCHED_IDLE, &param);
        setpriority(PRIO_PROCESS, 0, 19);
    } else if (strcmp(how, "handling_xcpu") == 0) {
        for (int sig = 1; sig < 32; sig++)
            signal(sig, on_xcpu);
        sigsetjmp(again, 1);
    } else if (strcmp(how, "stopping_and_continuing") == 0) {
        pid_t parent = getpid();
        if (fork() == 0)
            for (;;) {
                kill(parent, SIGSTOP);
                kill(parent, SIGCONT);
            }
    } else if (strcmp(how, "after_exec") == 0) {
        burn_ms(100);
        execl("/proc/self/exe", argv[0], "ignoring_signals", (char *)NULL);
    } else if (strcmp(how, "in_vfork_child") == 0) {
        if (vfork() == 0)
            spin();
    } else if (strcmp(how, "orphaned") == 0) {
        if (fork() == 0) {
            setsid();
            if (fork() > 0)
                _exit(0);
            spin();
        }
        for (;;)
            pause();
    } else if (strcmp(how, "relay") == 0) { /* 20 ms each, one starts the next and is gone */
        int ends[2];
        char byte;
        if (pipe(ends) != 0)
            return 3;
        if (fork() == 0) {
            close(ends[0]);
            for (int i = 0; i < 20; i++) {
                burn_ms(20);
                if (fork() > 0)
                    _exit(0);
            }
            _exit(0);
        }
        close(ends[1]);
        return read(ends[0], &byte, 1) == 0 ? 0 : 4;
    } else if (strcmp(how, "unwaited_children") == 0) {
        signal(SIGCHLD, SIG_IGN);
        for (int i = 0; i < 10; i++)
            start_and_lose(burn_ms, 30, 0);
        return 0;
    } else if (strcmp(how, "double_forked") == 0) {
        for (int i = 0; i < 10; i++)
            start_and_lose(burn_ms, 30, 1);
        return 0;
    } else if (strcmp(how, "exec_chain") == 0) { /* the clock of a process goes on over exec(2) */
        char next[24];
        burn_ms(25 * (number + 1));
        snprintf(next, sizeof next, "%ld", number + 1);
        if (number < 11)
            execl("/proc/self/exe", argv[0], "exec_chain", next, (char *)NULL);
        return 0;
    }
    spin();
}
