/* What scheduler.c, slot.c and slot_containers.c share. */
#ifndef CJ_SCHED_SCHEDULER_H
#define CJ_SCHED_SCHEDULER_H

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "queue.h"
#include "sched/sched.h"

/* The containers of a slot; used by its thread only. */
struct slot_set {
    struct container *list[SCHED_GROUP_MAX]; /* NULL: not made */
    size_t used;                             /* the first of them, by the job that runs */
    size_t made;                             /* no container at this place and behind it */
    int64_t crowd_ns;                        /* when one beyond the spare ones was last used */
    int64_t retry_ns;                        /* no try to make one before this */
    unsigned failures;                       /* in a row */
    struct cj_error failure;                 /* the last of them */
};

struct slot {
    struct sched *sched;
    unsigned index;
    pthread_t thread;
    bool has_thread;

    /* Where it runs; set before its thread begins. */
    bool bound;
    cpu_set_t cpus; /* when bound */
    int cpu;        /* of its containers; -1: not pinned */
    const char *cpu_set;

    struct slot_set containers;

    /* Under the scheduler's lock. */
    pthread_cond_t wake;
    struct slot *next_idle;
    bool idle;             /* in the list of idle slots */
    struct sched_job *job; /* whose run() goes on; NULL */
    atomic_bool cancelled; /* its job; written under the lock */
    int cancel_fd;         /* eventfd: readable while cancelled */
    bool parks;            /* the slot's own: its job is to be set aside */
    int64_t at_ns;         /* the slot's own: when the last stage ended */
    bool started;
};

struct sched {
    struct sandbox *sandbox;
    unsigned slot_count;
    struct slot *slots;
    char **cpu_sets; /* copies */
    size_t cpu_set_count;
    size_t queue_max, source_max;
    unsigned spare;
    int64_t spare_idle_ns;

    pthread_mutex_t lock;
    struct queue queue;
    struct slot *idle;    /* the one that went idle last comes first: its caches are warm */
    pthread_cond_t ended; /* nothing is left; also: a slot has started */
    unsigned running;
    unsigned dropping; /* dropped() goes on */
    unsigned starting;
    struct cj_error start_error;
    bool start_failed;
    bool closed; /* takes no jobs but those that follow */
    bool ending; /* takes none at all */
    bool stop;   /* threads end */
    uint64_t done, dropped, refused;

    pthread_t clock; /* watches deadlines */
    bool has_clock;
    pthread_cond_t clock_wake;

    atomic_uint containers, broken_slots;
};

/* ---- slot.c ---- */

/* The thread of a slot, which arg is: start, jobs, end. */
void *slot_main(void *arg);

/* ---- scheduler.c, for slots; with the lock held ---- */

/* Calls dropped() without the lock. The job must have left the queue. */
void sched_drop_job(struct sched *sched, struct sched_job *job, enum sched_drop reason);
/* Wakes who waits for the end when it is there. */
void sched_check_end(struct sched *sched);
/* Puts a job that ran into the queue again, or aside until sched_wake(). */
void sched_park_job(struct sched *sched, struct sched_job *job, bool cancelled);

/* What a job's own.state says. */
enum { JOB_ELSEWHERE, JOB_WAITING, JOB_RUNNING, JOB_PARKED };

/* ---- slot_containers.c, all on the slot's thread ---- */

/* The first container. */
WARN_UNUSED int slot_set_open(struct slot *slot, struct cj_error *err);
void slot_set_close(struct slot *slot);

/* After a job: makes fresh what it used. */
void slot_set_tidy(struct slot *slot);

/* What can be done while there is no job: retries, fewer spare containers. */
void slot_set_chores(struct slot *slot);
/* When there will be something to do (monotonic_ns()); INT64_MAX: never. */
int64_t slot_set_next_chore(const struct slot *slot);

#endif
