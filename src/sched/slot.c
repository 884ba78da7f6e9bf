/* A slot: its thread, which takes one job after another, and what a job may ask of it. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/priority.h"
#include "base/stages.h"
#include "scheduler.h"

/* ---- for jobs ---- */

int slot_cancel_fd(const struct slot *slot)
{
    return slot->cancel_fd;
}

bool slot_cancelled(const struct slot *slot)
{
    return atomic_load_explicit(&slot->cancelled, memory_order_relaxed);
}

void slot_park(struct slot *slot)
{
    slot->parks = true;
}

unsigned slot_index(const struct slot *slot)
{
    return slot->index;
}

bool slot_is_alone(const struct slot *slot)
{
    struct sched *sched = slot->sched;
    pthread_mutex_lock(&sched->lock);
    bool alone = sched->running == 1;
    pthread_mutex_unlock(&sched->lock);
    return alone;
}

const char *slot_cpu_set(const struct slot *slot)
{
    return slot->cpu_set;
}

/* ---- one job; with the lock held ---- */

/* From here on a cancellation of the job that ended has no effect, and one that came before is taken
 * back: it must not reach the next. */
static void end_job(struct slot *slot)
{
    slot->job = NULL;
    if (!slot->cancelled)
        return;
    uint64_t count;
    while (read(slot->cancel_fd, &count, sizeof(count)) < 0 && errno == EINTR)
        continue;
    slot->cancelled = false;
}

static void run_job(struct slot *slot, struct sched_job *job)
{
    struct sched *sched = slot->sched;
    uint64_t source = job->source;
    job->own.state = JOB_RUNNING;
    job->own.woken = false;
    slot->parks = false;
    job->own.place = slot;
    slot->job = job;
    sched->running++;
    int64_t waited_since_ns = job->own.since_ns;
    pthread_mutex_unlock(&sched->lock);
    slot->at_ns = stage_since(STAGE_QUEUE, waited_since_ns);
    job->run(slot, job->arg); /* the job may be gone after this, unless it parks */
    slot->at_ns = stage_since(STAGE_JOB, slot->at_ns);
    pthread_mutex_lock(&sched->lock);
    bool cancelled = slot->cancelled;
    end_job(slot);
    queue_served(&sched->queue, source);
    sched->running--;
    if (slot->parks)
        sched_park_job(sched, job, cancelled);
    else
        sched->done++;
    sched_check_end(sched);
}

static void take_job(struct slot *slot, struct sched_job *job)
{
    struct sched *sched = slot->sched;
    if (job->deadline_ns != 0 && monotonic_ns() >= job->deadline_ns) {
        sched_drop_job(sched, job, SCHED_TOO_LATE);
        return;
    }
    run_job(slot, job);
    pthread_mutex_unlock(&sched->lock);
    slot_set_tidy(slot);
    stage_since(STAGE_RESET, slot->at_ns);
    pthread_mutex_lock(&sched->lock);
}

/* ---- being idle; with the lock held ---- */

static void leave_idle(struct slot *slot)
{
    struct slot **link = &slot->sched->idle;
    if (!slot->idle)
        return; /* who woke it has taken it out */
    while (*link != slot)
        link = &(*link)->next_idle;
    *link = slot->next_idle;
    slot->idle = false;
}

/* Until it is woken or there is a chore. A submitter that finds a slot in the list takes it out and wakes
 * it, so that the next one wakes another. */
static void wait_idle(struct slot *slot)
{
    struct sched *sched = slot->sched;
    int64_t until_ns = slot_set_next_chore(slot);
    slot->idle = true;
    slot->next_idle = sched->idle;
    sched->idle = slot;
    int waited = 0;
    while (slot->idle && !sched->stop && waited == 0) {
        if (until_ns == INT64_MAX) {
            pthread_cond_wait(&slot->wake, &sched->lock);
        } else {
            const struct timespec until = timespec_from_ns(until_ns);
            waited = pthread_cond_timedwait(&slot->wake, &sched->lock, &until);
        }
    }
    leave_idle(slot);
}

static void do_chores(struct slot *slot)
{
    pthread_mutex_unlock(&slot->sched->lock);
    slot_set_chores(slot);
    pthread_mutex_lock(&slot->sched->lock);
}

/* ---- the thread ---- */

/* A CPU may have gone away since the settings were read: then it runs wherever it can. */
static void settle(const struct slot *slot)
{
    char name[16];
    snprintf(name, sizeof(name), "cj-slot-%u", slot->index % 10000000);
    (void)pthread_setname_np(pthread_self(), name);
    /* This thread watches limits: it is to wake by the microsecond, not by 50 of them, and not behind the
     * program that it watches (root only). */
    prctl(PR_SET_TIMERSLACK, 1UL);
    priority_raise(0, -10);
    int error =
        slot->bound ? pthread_setaffinity_np(pthread_self(), sizeof(slot->cpus), &slot->cpus) : 0;
    if (error != 0)
        log_warn("a slot cannot be bound to its CPU", log_int("slot", slot->index),
                 log_int("cpu", slot->cpu), log_text("error", strerror(error)));
}

static bool start(struct slot *slot)
{
    struct sched *sched = slot->sched;
    struct cj_error err;
    settle(slot);
    int result = slot_set_open(slot, &err);
    pthread_mutex_lock(&sched->lock);
    if (result < 0 && !sched->start_failed) {
        sched->start_failed = true;
        sched->start_error = err;
    }
    sched->starting--;
    pthread_cond_broadcast(&sched->ended);
    pthread_mutex_unlock(&sched->lock);
    return result == 0;
}

void *slot_main(void *arg)
{
    struct slot *slot = arg;
    struct sched *sched = slot->sched;
    if (!start(slot))
        return NULL;
    pthread_mutex_lock(&sched->lock);
    while (!sched->stop) {
        struct sched_job *job = queue_pop(&sched->queue);
        if (job != NULL)
            take_job(slot, job);
        else if (monotonic_ns() >= slot_set_next_chore(slot))
            do_chores(slot);
        else
            wait_idle(slot);
    }
    pthread_mutex_unlock(&sched->lock);
    slot_set_close(slot);
    return NULL;
}
