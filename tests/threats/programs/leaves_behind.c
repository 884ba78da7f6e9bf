/* The main process ends, or gets into a state, while others live on: argv[1] says how. */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sandboxed.h"

static char stack[65536] __attribute__((aligned(16)));

static void stay(void)
{
    for (;;)
        pause();
}

static void ignore_all(void)
{
    sigset_t all;
    sigfillset(&all);
    for (int sig = 1; sig < 65; sig++)
        signal(sig, SIG_IGN);
    sigprocmask(SIG_BLOCK, &all, NULL);
}

static void *stay_thread(void *arg)
{
    stay();
    return arg;
}

static void *exec_thread(void *arg)
{
    execl("/bin/echo", "echo", "main", (char *)NULL);
    return arg;
}

static int stay_clone(void *arg)
{
    (void)arg;
    setsid();
    stay();
    return 0;
}

/* A sibling: its parent is ours, that is whoever started us. */
static long clone_sibling(void)
{
    return syscall(SYS_clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0);
}

int main(int argc, char **argv)
{
    const char *how = argc > 1 ? argv[1] : "";
    pthread_t thread;
    if (strcmp(how, "sleeping_children") == 0) {
        for (int i = 0; i < 15; i++)
            if (fork() == 0)
                stay();
    } else if (strcmp(how, "daemon") == 0) {
        if (fork() == 0) {
            setsid();
            if (fork() == 0) {
                ignore_all();
                for (int fd = 0; fd < 64; fd++)
                    close(fd);
                stay();
            }
            _exit(0);
        }
        wait(NULL);
    } else if (strcmp(how, "stopped_child") == 0) {
        pid_t pid = fork();
        if (pid == 0) {
            kill(getpid(), SIGSTOP);
            stay();
        }
        waitpid(pid, NULL, WUNTRACED);
    } else if (strcmp(how, "ignoring_children") == 0) {
        for (int i = 0; i < 10; i++)
            if (fork() == 0) {
                ignore_all();
                setsid();
                for (volatile int spin = 0;; spin++)
                    ;
            }
    } else if (strcmp(how, "traced_child") == 0) {
        pid_t pid = fork();
        if (pid == 0) {
            ptrace(PTRACE_TRACEME, 0, 0, 0);
            kill(getpid(), SIGSTOP);
            stay();
        }
        waitpid(pid, NULL, WUNTRACED);
        ptrace(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACEEXIT | PTRACE_O_TRACECLONE);
    } else if (strcmp(how, "held_pipes") == 0) {
        if (fork() == 0) {
            for (int i = 0; i < 20; i++)
                dup(1 + i % 2);
            ignore_all();
            stay();
        }
    } else if (strcmp(how, "zombies") == 0) {
        for (int i = 0; i < 15; i++)
            if (fork() == 0)
                _exit(i);
    } else if (strcmp(how, "phoenix") == 0) { /* always a new pid: a sweep of kill(2) may miss it */
        for (int i = 0; i < 6; i++)
            if (fork() == 0) {
                ignore_all();
                for (;;)
                    if (fork() > 0)
                        _exit(0);
            }
        usleep(50000);
    } else if (strcmp(how, "vfork_daemon") == 0) {
        if (fork() == 0) {
            setsid();
            if (vfork() == 0)
                stay();
            stay();
        }
    } else if (strcmp(how, "shared_memory_daemon") == 0) {
        clone(stay_clone, stack + sizeof stack, CLONE_VM | CLONE_FILES | CLONE_FS | SIGCHLD, NULL);
    } else if (strcmp(how, "subreaper") == 0) {
        prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
        for (int i = 0; i < 5; i++)
            if (fork() == 0) {
                if (fork() == 0)
                    stay();
                _exit(0);
            }
    } else if (strcmp(how, "odd_exit_signals") ==
               0) { /* their parent gets it when they die: soon that is init */
        for (int sig = 1; sig < 32; sig++) {
            long pid = syscall(SYS_clone, sig, 0, 0, 0, 0);
            if (pid == 0) {
                usleep(20000);
                _exit(0);
            }
        }
    } else if (strcmp(how, "pdeathsig") == 0) {
        for (int i = 0; i < 5; i++)
            if (fork() == 0) {
                prctl(PR_SET_PDEATHSIG, SIGCONT);
                ignore_all();
                stay();
            }
    } else if (strcmp(how, "short_lived") == 0) {
        static int made; /* static: vfork may clobber a local */
        for (; made < 3000; made++) {
            if (vfork() == 0)
                _exit(0);
            wait(NULL);
        }
    } else if (strcmp(how, "stops") == 0) {
        kill(getpid(), SIGSTOP);
    } else if (strcmp(how, "stopped_by_child") == 0) {
        pid_t parent = getpid();
        if (fork() == 0) {
            setsid();
            for (;;)
                kill(parent, SIGSTOP), usleep(1000);
        }
        stay();
    } else if (strcmp(how, "leader_gone") == 0) {
        pthread_create(&thread, NULL, stay_thread, NULL);
        pthread_exit(NULL);
    } else if (strcmp(how, "vfork") == 0) {
        if (vfork() == 0)
            stay();
    } else if (strcmp(how, "traced_stop") == 0) {
        ptrace(PTRACE_TRACEME, 0, 0, 0);
        raise(SIGTRAP);
        raise(SIGSTOP);
    } else if (strcmp(how, "traced_by_child") ==
               0) { /* stopped under a tracer that never lets go */
        pid_t parent = getpid();
        int ends[2];
        char byte;
        if (pipe(ends) != 0)
            return 3;
        if (fork() == 0) {
            close(ends[0]);
            ptrace(PTRACE_ATTACH, parent, 0, 0);
            stay();
        }
        close(ends[1]);
        prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0);
        return (int)read(ends[0], &byte, 1);
    } else if (strcmp(how, "sibling_exits_42") == 0) {
        if (clone_sibling() == 0)
            _exit(42);
        usleep(100000);
        puts("main");
    } else if (strcmp(how, "sibling_is_killed") == 0) {
        long pid = clone_sibling();
        if (pid == 0)
            stay();
        kill((pid_t)pid, SIGKILL);
        usleep(100000);
        puts("main");
    } else if (strcmp(how, "child_exits_42") == 0) {
        if (fork() == 0)
            _exit(42);
        usleep(100000);
        puts("main");
    } else if (strcmp(how, "orphan_exits_42") == 0) {
        for (int i = 0; i < 5; i++)
            if (fork() == 0) {
                if (fork() == 0)
                    _exit(42);
                _exit(43);
            }
        usleep(100000);
        puts("main");
    } else if (strcmp(how, "thread_group_exec") ==
               0) { /* another thread calls exec: the pid stays */
        pthread_create(&thread, NULL, exec_thread, NULL);
        stay();
    }
    fflush(stdout);
    return 0;
}
