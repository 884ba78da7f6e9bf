/* The scheduler: admission, cancelling, deadlines, the end.
 *
 * One lock guards the queue, who is idle and who runs what; it is held for moments only, and never while
 * something of the caller's, of a container or of the kernel's slow sides is called. A slot goes idle only
 * when it has seen, with the lock held, that the queue is empty; who adds a job wakes one that is idle: so
 * no job waits while a slot sleeps. */
#include "sched/sched.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/cpus.h"
#include "base/fd.h"
#include "scheduler.h"

/* Sanitizers need room on the stack. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif

enum {
#ifdef SANITIZED
    STACK_BYTES = 4096 * 1024,
#else
    STACK_BYTES = 256 * 1024,
#endif
};

#define SPARE_IDLE_DEFAULT_NS (10 * NS_PER_S)

/* ---- dropping and ending; with the lock held ---- */

static bool has_ended(const struct sched *sched)
{
    return sched->queue.count == 0 && sched->queue.parked_count == 0 && sched->running == 0 &&
           sched->dropping == 0;
}

void sched_check_end(struct sched *sched)
{
    if (sched->closed && has_ended(sched))
        pthread_cond_broadcast(&sched->ended);
}

void sched_drop_job(struct sched *sched, struct sched_job *job, enum sched_drop reason)
{
    job->own.state = JOB_ELSEWHERE;
    sched->dropping++;
    sched->dropped++;
    pthread_mutex_unlock(&sched->lock);
    job->dropped(job->arg, reason); /* the job may be gone after this */
    pthread_mutex_lock(&sched->lock);
    sched->dropping--;
    sched_check_end(sched);
}

/* Of one that waits or is set aside. */
static void take_out(struct sched *sched, struct sched_job *job)
{
    if (job->own.state == JOB_PARKED)
        queue_unpark(&sched->queue, job);
    else
        queue_remove(&sched->queue, job);
}

static void drop_waiting(struct sched *sched)
{
    for (struct sched_job *job; (job = queue_pop(&sched->queue)) != NULL;)
        sched_drop_job(sched, job, SCHED_CLOSED);
    for (struct sched_job *job; (job = sched->queue.first_parked) != NULL;) {
        queue_unpark(&sched->queue, job);
        sched_drop_job(sched, job, SCHED_CLOSED);
    }
}

static void cancel_slot(struct slot *slot)
{
    const uint64_t one = 1;
    if (slot->job == NULL || slot->cancelled)
        return;
    slot->cancelled = true;
    while (write(slot->cancel_fd, &one, sizeof(one)) < 0 && errno == EINTR)
        continue;
}

static void cancel_running(struct sched *sched)
{
    for (unsigned i = 0; i < sched->slot_count; i++)
        cancel_slot(&sched->slots[i]);
}

/* ---- deadlines ---- */

static void *clock_main(void *arg)
{
    struct sched *sched = arg;
    (void)pthread_setname_np(pthread_self(), "cj-deadlines");
    pthread_mutex_lock(&sched->lock);
    while (!sched->stop) {
        struct sched_job *job = queue_earliest(&sched->queue);
        if (job == NULL) {
            pthread_cond_wait(&sched->clock_wake, &sched->lock);
        } else if (monotonic_ns() >= job->deadline_ns) {
            take_out(sched, job);
            sched_drop_job(sched, job, SCHED_TOO_LATE);
        } else {
            const struct timespec until = timespec_from_ns(job->deadline_ns);
            pthread_cond_timedwait(&sched->clock_wake, &sched->lock, &until);
        }
    }
    pthread_mutex_unlock(&sched->lock);
    return NULL;
}

/* ---- jobs ---- */

/* Slots that run nothing take one each from the queue at once: those do not count as waiting. */
static int admit(struct sched *sched, const struct sched_job *job, struct cj_error *err)
{
    size_t free_slots = sched->slot_count - sched->running;
    size_t waiting = sched->queue.count + sched->queue.parked_count;
    if (job->follows && !sched->ending)
        return queue_has_room(&sched->queue) ? 0 : queue_grow(&sched->queue, err);
    if (sched->closed)
        return error_set(err, ERROR_SYSTEM, ESHUTDOWN, "the service is shutting down");
    if (waiting >= sched->queue_max + free_slots || !queue_has_room(&sched->queue))
        return error_set(err, ERROR_SYSTEM, EAGAIN, "the queue is full: %zu jobs wait", waiting);
    if (sched->source_max < sched->queue_max &&
        queue_count_of(&sched->queue, job->source) >= sched->source_max + free_slots)
        return error_set(err, ERROR_SYSTEM, EAGAIN, "the queue is full for this client");
    return 0;
}

/* Returns the slot that is to be woken, behind the lock: within, it would run into it and have to be woken once
 * more. */
static struct slot *push(struct sched *sched, struct sched_job *job)
{
    job->own.state = JOB_WAITING;
    job->own.since_ns = monotonic_ns();
    queue_push(&sched->queue, job);
    struct slot *slot = sched->idle;
    if (slot != NULL) {
        sched->idle = slot->next_idle;
        slot->idle = false;
    }
    return slot;
}

int sched_submit(struct sched *sched, struct sched_job *job, struct cj_error *err)
{
    pthread_mutex_lock(&sched->lock);
    if (admit(sched, job, err) < 0) {
        sched->refused++;
        pthread_mutex_unlock(&sched->lock);
        return -1;
    }
    struct slot *slot = push(sched, job);
    bool is_earliest = queue_earliest(&sched->queue) == job;
    pthread_mutex_unlock(&sched->lock);
    if (slot != NULL)
        pthread_cond_signal(&slot->wake);
    if (is_earliest)
        pthread_cond_signal(&sched->clock_wake);
    return 0;
}

void sched_cancel(struct sched *sched, struct sched_job *job)
{
    pthread_mutex_lock(&sched->lock);
    if (job->own.state == JOB_WAITING || job->own.state == JOB_PARKED) {
        take_out(sched, job);
        sched_drop_job(sched, job, SCHED_CANCELLED);
    } else if (job->own.state == JOB_RUNNING) {
        struct slot *slot = job->own.place;
        if (slot->job == job)
            cancel_slot(slot);
    }
    pthread_mutex_unlock(&sched->lock);
}

/* Called by the slot that ran it, which looks into the queue next: nobody has to be woken for a job there. */
void sched_park_job(struct sched *sched, struct sched_job *job, bool cancelled)
{
    struct cj_error err;
    if (cancelled || sched->ending) {
        sched_drop_job(sched, job, cancelled ? SCHED_CANCELLED : SCHED_CLOSED);
    } else if (!queue_has_room(&sched->queue) && queue_grow(&sched->queue, &err) < 0) {
        sched_drop_job(sched, job, SCHED_CLOSED); /* memory is gone */
    } else if (job->own.woken) {
        job->own.state = JOB_WAITING;
        job->own.since_ns = monotonic_ns();
        queue_push(&sched->queue, job);
    } else {
        job->own.state = JOB_PARKED;
        queue_park(&sched->queue, job);
        if (queue_earliest(&sched->queue) == job)
            pthread_cond_signal(&sched->clock_wake);
    }
}

void sched_wake(struct sched *sched, struct sched_job *job)
{
    struct slot *slot = NULL;
    pthread_mutex_lock(&sched->lock);
    if (job->own.state == JOB_PARKED) {
        queue_unpark(&sched->queue, job);
        slot = push(sched, job);
    } else if (job->own.state == JOB_RUNNING) {
        job->own.woken = true;
    }
    pthread_mutex_unlock(&sched->lock);
    if (slot != NULL)
        pthread_cond_signal(&slot->wake);
}

void sched_stats(struct sched *sched, struct sched_stats *out)
{
    pthread_mutex_lock(&sched->lock);
    *out = (struct sched_stats){
        .slots = sched->slot_count,
        .running = sched->running,
        .waiting = sched->queue.count + sched->queue.parked_count,
        .done = sched->done,
        .dropped = sched->dropped,
        .refused = sched->refused,
        .containers = atomic_load(&sched->containers),
        .broken_slots = atomic_load(&sched->broken_slots),
    };
    pthread_mutex_unlock(&sched->lock);
}

/* ---- the end ---- */

void sched_close(struct sched *sched)
{
    pthread_mutex_lock(&sched->lock);
    sched->closed = true;
    pthread_mutex_unlock(&sched->lock);
}

int sched_drain(struct sched *sched, int64_t deadline_ns, struct cj_error *err)
{
    const struct timespec until = timespec_from_ns(deadline_ns);
    bool late = false;
    pthread_mutex_lock(&sched->lock);
    sched->closed = true;
    while (!has_ended(sched)) {
        if (late)
            pthread_cond_wait(&sched->ended, &sched->lock);
        else if (pthread_cond_timedwait(&sched->ended, &sched->lock, &until) == ETIMEDOUT &&
                 !has_ended(sched)) {
            late = sched->ending = true;
            drop_waiting(sched);
            cancel_running(sched);
        }
    }
    pthread_mutex_unlock(&sched->lock);
    if (late)
        return error_set(err, ERROR_SYSTEM, ETIMEDOUT,
                         "jobs were dropped or cancelled because they took too long to end");
    return 0;
}

static void end_jobs(struct sched *sched)
{
    pthread_mutex_lock(&sched->lock);
    sched->closed = sched->ending = true;
    drop_waiting(sched);
    cancel_running(sched);
    while (!has_ended(sched))
        pthread_cond_wait(&sched->ended, &sched->lock);
    pthread_mutex_unlock(&sched->lock);
}

static void end_threads(struct sched *sched)
{
    pthread_mutex_lock(&sched->lock);
    sched->stop = true;
    for (unsigned i = 0; i < sched->slot_count; i++)
        pthread_cond_signal(&sched->slots[i].wake);
    pthread_cond_signal(&sched->clock_wake);
    pthread_mutex_unlock(&sched->lock);
    for (unsigned i = 0; i < sched->slot_count; i++)
        if (sched->slots[i].has_thread)
            pthread_join(sched->slots[i].thread, NULL);
    if (sched->has_clock)
        pthread_join(sched->clock, NULL);
}

void sched_free(struct sched *sched)
{
    if (sched == NULL)
        return;
    end_jobs(sched);
    end_threads(sched);
    for (unsigned i = 0; i < sched->slot_count; i++) {
        fd_close(&sched->slots[i].cancel_fd);
        pthread_cond_destroy(&sched->slots[i].wake);
    }
    for (size_t i = 0; i < sched->cpu_set_count; i++)
        free(sched->cpu_sets[i]);
    free(sched->cpu_sets);
    free(sched->slots);
    queue_free(&sched->queue);
    pthread_cond_destroy(&sched->ended);
    pthread_cond_destroy(&sched->clock_wake);
    pthread_mutex_destroy(&sched->lock);
    free(sched);
}

/* ---- the start ---- */

static void init_condition(pthread_cond_t *condition)
{
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(condition, &attr);
    pthread_condattr_destroy(&attr);
}

static int copy_cpu_sets(struct sched *sched, const struct sched_settings *settings,
                         struct cj_error *err)
{
    sched->cpu_sets = calloc(settings->cpu_set_count + 1, sizeof(char *));
    for (size_t i = 0; sched->cpu_sets != NULL && i < settings->cpu_set_count; i++) {
        sched->cpu_sets[i] = strdup(settings->cpu_sets[i]);
        if (sched->cpu_sets[i] == NULL)
            break;
        sched->cpu_set_count++;
    }
    if (sched->cpu_set_count < settings->cpu_set_count || sched->cpu_sets == NULL)
        return error_set(err, ERROR_SYSTEM, ENOMEM, "out of memory");
    return 0;
}

/* A set of one CPU pins like a dealt CPU; a larger one binds the thread, and the caller gives it to runs
 * (slot_cpu_set()). */
static int place_slot(struct slot *slot, const cpu_set_t *allowed, bool no_pinning,
                      struct cj_error *err)
{
    const struct sched *sched = slot->sched;
    slot->cpu = -1;
    if (sched->cpu_set_count > 0) {
        cpu_set_t usable;
        slot->cpu_set = sched->cpu_sets[slot->index % sched->cpu_set_count];
        if (cpus_parse(slot->cpu_set, &slot->cpus, err) < 0)
            return -1;
        CPU_AND(&usable, &slot->cpus, allowed);
        if (CPU_COUNT(&usable) == 0)
            return error_set(err, ERROR_CONFIG, EINVAL, "CPU set '%.64s': none of it can be used",
                             slot->cpu_set);
        slot->bound = true;
        if (CPU_COUNT(&slot->cpus) == 1)
            slot->cpu = cpus_deal(&slot->cpus, 0);
    } else if (!no_pinning) {
        slot->cpu = cpus_deal(allowed, slot->index);
        slot->bound = true;
        CPU_ZERO(&slot->cpus);
        CPU_SET((size_t)slot->cpu, &slot->cpus);
    }
    return 0;
}

static int prepare_slots(struct sched *sched, const struct sched_settings *settings,
                         struct cj_error *err)
{
    cpu_set_t allowed;
    if (cpus_allowed(&allowed, err) < 0)
        return -1;
    unsigned count = settings->slots;
    if (count == 0)
        count = sched->cpu_set_count > 0 ? (unsigned)sched->cpu_set_count
                                         : (unsigned)CPU_COUNT(&allowed);
    sched->slots = calloc(count, sizeof(*sched->slots));
    if (sched->slots == NULL)
        return error_set(err, ERROR_SYSTEM, ENOMEM, "out of memory");
    for (unsigned i = 0; i < count; i++) {
        struct slot *slot = &sched->slots[i];
        slot->sched = sched;
        slot->index = i;
        slot->cancel_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        init_condition(&slot->wake);
        sched->slot_count++;
        if (slot->cancel_fd < 0)
            return error_errno(err, "eventfd");
        if (place_slot(slot, &allowed, settings->no_pinning, err) < 0)
            return -1;
    }
    return 0;
}

/* The service's signals are for other threads. */
static int start_thread(pthread_t *thread, void *(*main)(void *), void *arg, struct cj_error *err)
{
    sigset_t all, before;
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, STACK_BYTES);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    errno = pthread_create(thread, &attr, main, arg);
    int result = errno != 0 ? error_errno(err, "start a thread") : 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attr);
    return result;
}

static int start_threads(struct sched *sched, struct cj_error *err)
{
    int result = start_thread(&sched->clock, clock_main, sched, err);
    sched->has_clock = result == 0;
    for (unsigned i = 0; i < sched->slot_count && result == 0; i++) {
        struct slot *slot = &sched->slots[i];
        pthread_mutex_lock(&sched->lock);
        sched->starting++;
        pthread_mutex_unlock(&sched->lock);
        result = start_thread(&slot->thread, slot_main, slot, err);
        slot->has_thread = result == 0;
        if (result < 0) {
            pthread_mutex_lock(&sched->lock);
            sched->starting--;
            pthread_mutex_unlock(&sched->lock);
        }
    }
    pthread_mutex_lock(&sched->lock);
    while (sched->starting > 0)
        pthread_cond_wait(&sched->ended, &sched->lock);
    if (result == 0 && sched->start_failed) {
        *err = sched->start_error;
        result = -1;
    }
    pthread_mutex_unlock(&sched->lock);
    return result;
}

static void use_settings(struct sched *sched, const struct sched_settings *settings)
{
    sched->queue_max = settings->queue_max != 0 ? settings->queue_max : SCHED_QUEUE_MAX_DEFAULT;
    sched->source_max = settings->source_max != 0 ? settings->source_max : sched->queue_max;
    sched->spare =
        settings->spare_containers != 0 ? settings->spare_containers : SCHED_SPARE_DEFAULT;
    sched->spare_idle_ns =
        settings->spare_idle_ns != 0 ? settings->spare_idle_ns : SPARE_IDLE_DEFAULT_NS;
}

int sched_new(const struct sched_settings *settings, struct sandbox *sandbox, struct sched **out,
              struct cj_error *err)
{
    struct sched *sched = calloc(1, sizeof(*sched));
    if (sched == NULL)
        return error_set(err, ERROR_SYSTEM, ENOMEM, "make the slots: out of memory");
    sched->sandbox = sandbox;
    pthread_mutex_init(&sched->lock, NULL);
    init_condition(&sched->ended);
    init_condition(&sched->clock_wake);
    use_settings(sched, settings);
    if (copy_cpu_sets(sched, settings, err) < 0 || prepare_slots(sched, settings, err) < 0 ||
        queue_init(&sched->queue, sched->queue_max + sched->slot_count, err) < 0 ||
        start_threads(sched, err) < 0) {
        sched_free(sched);
        return error_wrap(err, "make the slots");
    }
    *out = sched;
    return 0;
}
