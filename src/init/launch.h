/* Private to the launcher, the thread of init that runs programs: one run at a time, and who does what with it.
 *
 *     launch.c    the loop: a request comes, files are made, a process runs, its end goes
 *     request.c   a run's request, checked
 *     child.c     the process between its clone and its execve(2)
 *     reap.c      the end of everything that a run has started
 *
 * All of it is on the launcher's thread; children are on its memory until their execve(2). */
#ifndef CJ_INIT_LAUNCH_H
#define CJ_INIT_LAUNCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "init.h"

struct run {
    struct init_exec request;
    int passed[INIT_DESCRIPTORS_MAX];
    char **args;
    char **environment;
    const char *path; /* value of PATH, or NULL */
    const char *made[INIT_MADE_MAX];
    /* written by the child before its execve */
    volatile enum init_step step;
    volatile int error;
    volatile unsigned detail;
    volatile bool score_restored;
};

/* The one that goes on. */
extern struct run run;

/* ---- request.c ---- */

/* Waits for the next one, and takes the descriptors that come along: returns their number. Ends init when the
 * service is gone. exec_fd: the pipe of requests. */
int request_receive(int exec_fd);
/* Whether a message of that size has neither less nor more than the descriptors it speaks of. */
bool request_whole(size_t size);
/* Checks it, and fills in what of run points into the arena. */
bool request_valid(int passed_count);

/* ---- child.c ---- */

/* Before the first child. batch: we are a batch thread, sched(7), and children are to be ordinary. */
void child_prepare(bool batch);
/* The descriptor that the program's number i will be; -1 with errno 0 for one that is closed. sources: of those
 * before it. */
int child_take_descriptor(const int *sources, int i);
/* The program's process: returns when it has called execve(2), or ended before with run.step saying where. -1 with
 * errno when there is none. */
pid_t child_start(void);

/* ---- reap.c ---- */

/* Until nothing of the run is left but what interpreters have started that are kept warm; fills in how it ended
 * and what it used. */
void reap_run(pid_t main_pid, struct init_end *end);

/* ---- */

static inline int64_t clock_now_ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

#endif
