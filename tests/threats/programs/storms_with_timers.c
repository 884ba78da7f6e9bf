/* Timers that expire as often as they can, of the kind argv[1]; with "handled" the program spins besides. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "sandboxed.h"

static void handle(int number)
{
    (void)number;
}

static int start_all(void)
{
    const struct itimerspec often = {{0, 1}, {0, 1}};
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN};
    int count = 0;
    for (timer_t timer; timer_create(CLOCK_MONOTONIC, &event, &timer) == 0; count++)
        timer_settime(timer, 0, &often, NULL);
    return count;
}

int main(int argc, char **argv)
{
    const char *how = argc > 1 ? argv[1] : "";
    if (strcmp(how, "intervals") == 0) {
        const struct itimerval often = {{0, 1}, {0, 1}};
        static const int signals[] = {SIGALRM, SIGPROF, SIGVTALRM};
        static const int kinds[] = {ITIMER_REAL, ITIMER_PROF, ITIMER_VIRTUAL};
        for (int i = 0; i < 3; i++) {
            signal(signals[i], handle);
            setitimer(kinds[i], &often, NULL);
        }
        for (;;)
            ;
    }
    if (strcmp(how, "handled") == 0) {
        signal(SIGRTMIN, handle);
        start_all();
        for (;;)
            ;
    }
    signal(SIGRTMIN, SIG_IGN);
    printf("%d\n", start_all());
    fflush(stdout);
    for (;;)
        pause();
}
