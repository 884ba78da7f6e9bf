/* Makes processes and threads without end, in the way argv[1]; or counts how many it gets. */
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sandboxed.h"

static void *stay(void *arg)
{
    for (;;)
        pause();
    return arg;
}

static void *multiply(void *arg)
{
    pthread_t thread;
    for (;;)
        pthread_create(&thread, NULL, multiply, NULL);
    return arg;
}

int main(int argc, char **argv)
{
    const char *how = argc > 1 ? argv[1] : "";
    pthread_t thread;
    int made = 0;
    if (strcmp(how, "fork") == 0)
        for (;;)
            fork();
    if (strcmp(how, "threads") == 0)
        multiply(NULL);
    if (strcmp(how, "vfork") == 0)
        for (;;)
            if (vfork() == 0)
                _exit(0);
    if (strcmp(how, "chain") == 0)
        for (;;)
            if (fork() > 0)
                usleep(100000);
    if (strcmp(how, "exec") == 0)
        for (;;)
            if (fork() == 0)
                execl("/proc/self/exe", argv[0], "exec", (char *)NULL);
    if (strcmp(how, "count") == 0 || strcmp(how, "count_mixed") == 0) {
        int mixed = strcmp(how, "count_mixed") == 0;
        pthread_attr_t attr;
        pthread_attr_init(&attr);
        pthread_attr_setstacksize(&attr, 65536);
        for (; made < 500; made++) {
            if (mixed && made % 2 == 1) {
                if (pthread_create(&thread, &attr, stay, NULL) != 0)
                    break;
                continue;
            }
            pid_t pid = fork();
            if (pid < 0)
                break;
            if (pid == 0)
                stay(NULL);
        }
        printf("%d\n", made);
    }
    return 0;
}
