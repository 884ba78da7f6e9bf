/* What it costs to hand a job to a slot.
 *
 * The baseline is what cannot be avoided: a thread that wakes another through a condition variable and is
 * woken back. Against it: an empty job, submitted and waited for, one at a time ("hop"); and as many empty jobs
 * as the queue takes ("stream"), through one slot and through two. No containers. */
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "sched/sched.h"
#include "support.h"

enum { HOPS = 20000, STREAM = 200000, IN_FLIGHT = 256 };

/* A place where one thread waits for another. */
struct bell {
    pthread_mutex_t lock;
    pthread_cond_t rung;
    bool is_rung;
};

static void bell_init(struct bell *bell)
{
    pthread_mutex_init(&bell->lock, NULL);
    pthread_cond_init(&bell->rung, NULL);
    bell->is_rung = false;
}

static void ring(struct bell *bell)
{
    pthread_mutex_lock(&bell->lock);
    bell->is_rung = true;
    pthread_cond_signal(&bell->rung);
    pthread_mutex_unlock(&bell->lock);
}

static void await(struct bell *bell)
{
    pthread_mutex_lock(&bell->lock);
    while (!bell->is_rung)
        pthread_cond_wait(&bell->rung, &bell->lock);
    bell->is_rung = false;
    pthread_mutex_unlock(&bell->lock);
}

struct hop {
    struct sched_job job;
    struct bell there, back;
    struct samples samples;
};

static void *echo(void *arg)
{
    struct hop *hop = arg;
    for (int i = 0; i < HOPS; i++) {
        await(&hop->there);
        ring(&hop->back);
    }
    return NULL;
}

static void bare_hops(struct hop *hop)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, echo, hop) != 0)
        abort();
    for (int i = 0; i < HOPS; i++) {
        int64_t begin_ns = monotonic_ns();
        ring(&hop->there);
        await(&hop->back);
        samples_add(&hop->samples, monotonic_ns() - begin_ns);
    }
    pthread_join(thread, NULL);
}

static void hop_run(struct slot *slot, void *arg)
{
    (void)slot;
    ring(&((struct hop *)arg)->back);
}

static struct sched *make(unsigned slots)
{
    const struct sched_settings settings = {.slots = slots, .no_pinning = true};
    struct sched *sched;
    struct cj_error err;
    if (sched_new(&settings, NULL, &sched, &err) < 0)
        bench_fail(&err);
    return sched;
}

static void submit(struct sched *sched, struct sched_job *job)
{
    struct cj_error err;
    if (sched_submit(sched, job, &err) < 0)
        bench_fail(&err);
}

static void slot_hops(struct hop *hop)
{
    struct sched *sched = make(1);
    for (int i = 0; i < HOPS; i++) {
        int64_t begin_ns = monotonic_ns();
        hop->job = (struct sched_job){.run = hop_run, .arg = hop};
        submit(sched, &hop->job);
        await(&hop->back);
        samples_add(&hop->samples, monotonic_ns() - begin_ns);
    }
    sched_free(sched);
}

static int64_t hop_p50(void (*hops)(struct hop *hop))
{
    struct hop hop = {0};
    bell_init(&hop.there);
    bell_init(&hop.back);
    hops(&hop);
    int64_t p50 = samples_quantile(&hop.samples, 0.5);
    samples_free(&hop.samples);
    return p50;
}

/* ---- as many as go through ---- */

struct stream_job {
    struct sched_job job;
    struct sched *sched;
    atomic_int *left;
};

/* Each job that ends submits itself again. */
static void stream_run(struct slot *slot, void *arg)
{
    struct stream_job *job = arg;
    (void)slot;
    if (atomic_fetch_sub(job->left, 1) > 0)
        submit(job->sched, &job->job);
}

static double stream(unsigned slots)
{
    static struct stream_job jobs[IN_FLIGHT];
    struct sched *sched = make(slots);
    struct cj_error err;
    atomic_int left = STREAM;
    int64_t begin_ns = monotonic_ns();
    for (uint64_t i = 0; i < IN_FLIGHT; i++) {
        jobs[i] = (struct stream_job){
            .job = {.run = stream_run, .arg = &jobs[i], .source = i % 16, .follows = true},
            .sched = sched,
            .left = &left};
        submit(sched, &jobs[i].job);
    }
    if (sched_drain(sched, begin_ns + 600 * NS_PER_S, &err) < 0)
        bench_fail(&err);
    double rate = (STREAM + IN_FLIGHT) / ((double)(monotonic_ns() - begin_ns) / NS_PER_S);
    sched_free(sched);
    return rate;
}

int main(void)
{
    int64_t bare_ns = hop_p50(bare_hops), slot_ns = hop_p50(slot_hops);
    printf("hop, p50: bare %.1f us, slot %.1f us: %+.1f us\n", (double)bare_ns / 1e3,
           (double)slot_ns / 1e3, (double)(slot_ns - bare_ns) / 1e3);
    for (unsigned slots = 1; slots <= 2; slots++)
        printf("stream, %u slot%s: %.0f jobs/s\n", slots, slots > 1 ? "s" : "", stream(slots));
    return 0;
}
