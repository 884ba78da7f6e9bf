/* Slots, and the bounded, fair queue of jobs in front of them.
 *
 *     any thread ── sched_submit ─► queue ─► a slot's thread: job->run(slot, arg) ─► reset, next job
 *                                     └────► job->dropped(arg, reason)
 *
 * A slot is a thread with containers, pinned together to one CPU. A job is opaque: it is run by one slot,
 * or dropped, exactly one of the two, once (unless it asks for another turn, slot_park()). Nothing here waits for jobs on behalf of a job: one that
 * needs others submits them and returns, so that it never holds a slot while it waits.
 *
 * Jobs of one source run in their order; sources with waiting jobs take turns, so that one which floods
 * delays the others by at most one job a turn. Where one floods alone, whoever comes waits only for a job that
 * runs, not for another of the flood's.
 *
 * No lock is held while anything of the caller's is called; run() and dropped() may call everything here
 * but sched_drain() and sched_free(). */
#ifndef CJ_SCHED_SCHED_H
#define CJ_SCHED_SCHED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/error.h"
#include "sandbox/container.h"
#include "sandbox/sandbox.h"

struct sched;
struct slot;

/* ---- jobs ---- */

enum sched_drop {
    SCHED_CANCELLED, /* by sched_cancel(), before it ran */
    SCHED_TOO_LATE,  /* its deadline passed while it waited */
    SCHED_CLOSED,    /* the scheduler ended */
};

/* The caller's, zeroed but for the upper part. It must stay where it is from sched_submit() until run() or
 * dropped() is called; the scheduler does not touch it after that call, so it may be freed or submitted
 * again within it (then nobody may still pass it to sched_cancel()). */
struct sched_job {
    void (*run)(struct slot *slot, void *arg); /* on a slot's thread */

    /* CANCELLED: on the thread that called sched_cancel(), before that returns. TOO_LATE: on a thread of
     * the scheduler, which it must not block. CLOSED: on the one that called sched_drain() or
     * sched_free(). */
    void (*dropped)(void *arg, enum sched_drop reason);
    void *arg;
    uint64_t source;     /* who is to be treated fairly: a connection, a tenant */
    int64_t deadline_ns; /* monotonic_ns() by which it must have begun; 0: none */

    /* A later part of work that was admitted: it is taken also when the queue is full or closed. To be
     * submitted within run() or dropped() of the part before, so that sched_drain() waits for it. */
    bool follows;

    struct { /* the scheduler's */
        struct sched_job *next, *previous;
        void *place; /* its source in the queue, or its slot */
        size_t heap_index;
        int state;
        bool woken;       /* while it ran */
        int64_t since_ns; /* when it began to wait */
    } own;
};

/* ---- the scheduler ---- */

enum {
    SCHED_QUEUE_MAX_DEFAULT = 512,
    SCHED_SPARE_DEFAULT = 2,
    SCHED_GROUP_MAX = 128 /* containers of one slot */
};

struct sched_settings {
    unsigned slots;    /* 0: one for each of cpu_sets or, without those, for each allowed CPU */
    size_t queue_max;  /* jobs that wait, beside those that slots are free for; 0: the default */
    size_t source_max; /* of them from one source; 0: queue_max */
    bool no_pinning;   /* do not bind slots and containers to one CPU each */

    /* Cpuset lists ("2", "0-3"), one for each slot; slots beyond them begin anew. They are copied. A slot
     * is bound to its set; so are its containers when that is one CPU. Of a larger one requests get
     * slot_cpu_set(). */
    const char *const *cpu_sets;
    size_t cpu_set_count;

    unsigned spare_containers; /* kept by a slot beside its first; 0: the default */
    int64_t spare_idle_ns;     /* others go this long after they were last needed; 0: 10 s */
};

/* Makes the slots and the first container of each; -1 when one cannot be made. sandbox is borrowed until
 * sched_free(); NULL: slots without containers. */
WARN_UNUSED int sched_new(const struct sched_settings *settings, struct sandbox *sandbox,
                          struct sched **out, struct cj_error *err);

/* Takes the job, or fails at once without calling anything: err->code is EAGAIN when the queue is full (for
 * this source), ESHUTDOWN after sched_close(); of a job that follows ENOMEM, or ESHUTDOWN when sched_drain()
 * has passed its deadline. A deadline of the job that has passed already is no failure: it will be dropped. */
WARN_UNUSED int sched_submit(struct sched *sched, struct sched_job *job, struct cj_error *err);

/* Waiting: taken out, dropped() is called now. Running: its slot's cancel descriptor becomes readable.
 * Finished (run() has returned), or dropped: nothing. Never reaches another job than this. */
void sched_cancel(struct sched *sched, struct sched_job *job);

/* A job that was set aside (slot_park()) waits for a slot again, before its next run(). Of a job whose run()
 * has asked for that and not yet returned: once it has. Of any other: nothing; it must still be the
 * scheduler's. From any thread. */
void sched_wake(struct sched *sched, struct sched_job *job);

struct sched_stats {
    unsigned slots;
    unsigned running; /* jobs within run() */
    size_t waiting;   /* those that were set aside with them */
    uint64_t done;    /* run() has returned */
    uint64_t dropped;
    uint64_t refused;      /* by sched_submit() */
    unsigned containers;   /* living */
    unsigned broken_slots; /* that failed to make a container, and have not yet made one since */
};
void sched_stats(struct sched *sched, struct sched_stats *out);

/* No more jobs are taken; those that were go on. Does not wait. */
void sched_close(struct sched *sched);

/* sched_close(), and waits until every job has ended. At deadline_ns (monotonic_ns()) those that still wait
 * are dropped, those that run are cancelled, and it goes on waiting for their run() to return; then it
 * is -1 with ETIMEDOUT. */
WARN_UNUSED int sched_drain(struct sched *sched, int64_t deadline_ns, struct cj_error *err);

/* Closes, drops what waits, cancels what runs, waits for it and frees the containers. NULL is fine. */
void sched_free(struct sched *sched);

/* ---- within run(): the slot ---- */

/* Gives count (1 ... SCHED_GROUP_MAX) fresh containers of this slot, on its CPU. The first is always there,
 * others are made when they are first needed. *list and what is in it stay the slot's, valid until run()
 * returns. Those that were given are made fresh after run() has returned. An error is one of this run (a
 * container cannot be made now; the slot tries again, with growing pauses). */
WARN_UNUSED int slot_containers(struct slot *slot, size_t count, struct container ***list,
                                struct cj_error *err);

/* Makes those given so far fresh now, for a job that runs one program after another. */
WARN_UNUSED int slot_reset(struct slot *slot, struct cj_error *err);

/* When run() returns, the job is not over: it is set aside, holding no slot, until sched_wake(), and then
 * run() is called again, on any slot. Meanwhile its deadline, sched_cancel() and the end of the scheduler
 * drop it as they do one that waits. For a job that needs what another one is making. */
void slot_park(struct slot *slot);

/* Readable when the job has been cancelled (poll(2) it, do not read it). The slot's; the same in each job.
 * For exec_run(). */
int slot_cancel_fd(const struct slot *slot);
bool slot_cancelled(const struct slot *slot);

unsigned slot_index(const struct slot *slot);

/* Whether no other slot runs a job at the moment. */
bool slot_is_alone(const struct slot *slot);

/* The slot's entry of cpu_sets, which is the default of requests that name none; NULL. */
const char *slot_cpu_set(const struct slot *slot);

#endif
