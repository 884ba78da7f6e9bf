/* Children that clone(2) makes otherwise than fork(2), and what follows from them; argv[1] says how. Each leaves the
 * main process's own end as it should be. */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sandboxed.h"

static char stack[1 << 16];

static int spins(void *unused)
{
    (void)unused;
    for (;;)
        ;
}

static int leaves_with_42(void *unused)
{
    (void)unused;
    _exit(42);
}

static void *sleeps(void *unused)
{
    pause();
    return unused;
}

static void *becomes_a_shell(void *unused)
{
    usleep(10000);
    execl("/bin/sh", "sh", "-c", "exit 33", NULL);
    return unused;
}

static void spinning_child(int flags)
{
    if (clone(spins, stack + sizeof(stack), flags, NULL) < 0)
        _exit(90);
}

int main(int argc, char **argv)
{
    const char *how = argc > 1 ? argv[1] : "";
    if (strcmp(how, "shares_everything") == 0) {
        spinning_child(CLONE_VM | CLONE_FILES | CLONE_FS | CLONE_SIGHAND);
        return 8;
    }
    if (strcmp(how, "memory_outlives_exec") == 0) {
        spinning_child(CLONE_VM);
        execl("/bin/sh", "sh", "-c", "exit 9", NULL);
    }
    if (strcmp(how, "untraced") == 0) {
        spinning_child(CLONE_UNTRACED | CLONE_IO | CLONE_SYSVSEM | SIGUSR1);
        return 10;
    }
    if (strcmp(how, "sibling") == 0) { /* a child of init's, were it allowed */
        if (clone(leaves_with_42, stack + sizeof(stack), CLONE_PARENT | SIGCHLD, NULL) > 0)
            return 91;
        usleep(50000);
        return 11;
    }
    if (strcmp(how, "thread_becomes_the_program") == 0) {
        pthread_t thread;
        for (int i = 0; i < 5; i++)
            pthread_create(&thread, NULL, sleeps, NULL);
        pthread_create(&thread, NULL, becomes_a_shell, NULL);
        pthread_exit(NULL);
    }
    if (strcmp(how, "crashes_among_threads") == 0) {
        pthread_t thread;
        for (int i = 0; i < 5; i++)
            pthread_create(&thread, NULL, sleeps, NULL);
        usleep(2000);
        abort();
    }
    return 99;
}
