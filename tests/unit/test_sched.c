/* The scheduler without containers: who runs when, what is refused, what a cancellation reaches, what is left
 * at the end. Waiting is for conditions, with a bound far beyond what they take. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/cpus.h"
#include "sched/sched.h"

#define PATIENCE_NS (30 * NS_PER_S)

enum { MANY = 64 };

static struct sched *make(const struct sched_settings *settings)
{
    struct sched *sched;
    struct cj_error err;
    if (sched_new(settings, NULL, &sched, &err) < 0)
        fail_msg("%s", err.message);
    return sched;
}

/* A job that tells what became of it, and may be held within run(). */
struct task {
    struct sched_job job; /* first */
    struct sched *sched;
    sem_t *gate;        /* run() waits for it; NULL: does not */
    bool awaits_cancel; /* run() waits for its cancellation */
    int parks;          /* so many times run() asks to be called again */
    sem_t begun, ended;
    atomic_int runs, drops;
    int reason;
    int order; /* how many had begun before */
    bool cancelled;
    bool alone;
    pthread_t thread; /* where it was run or dropped */
    unsigned slot;
};

static atomic_int begun_count;

static void wait_for(sem_t *semaphore)
{
    struct timespec until = timespec_from_ns(clock_ns(CLOCK_REALTIME) + PATIENCE_NS);
    while (sem_timedwait(semaphore, &until) < 0)
        if (errno != EINTR)
            abort(); /* in whichever thread: the test has failed */
}

static bool readable(int fd, int timeout_ms)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
    return poll(&poll_fd, 1, timeout_ms) == 1;
}

static void task_run(struct slot *slot, void *arg)
{
    struct task *task = arg;
    task->order = atomic_fetch_add(&begun_count, 1);
    task->thread = pthread_self();
    task->slot = slot_index(slot);
    sem_post(&task->begun);
    if (task->gate != NULL)
        wait_for(task->gate);
    if (task->awaits_cancel && !readable(slot_cancel_fd(slot), (int)(PATIENCE_NS / NS_PER_MS)))
        abort();
    if (task->parks > 0) {
        task->parks--;
        slot_park(slot);
    }
    task->cancelled = slot_cancelled(slot);
    task->alone = slot_is_alone(slot);
    if (task->cancelled != readable(slot_cancel_fd(slot), 0))
        abort();
    atomic_fetch_add(&task->runs, 1);
    sem_post(&task->ended);
}

static void task_dropped(void *arg, enum sched_drop reason)
{
    struct task *task = arg;
    struct sched_stats stats;
    sched_stats(task->sched, &stats); /* no lock is held */
    task->reason = (int)reason;
    task->thread = pthread_self();
    atomic_fetch_add(&task->drops, 1);
    sem_post(&task->ended);
}

static void task_init(struct task *task, struct sched *sched, uint64_t source)
{
    memset(task, 0, sizeof(*task));
    task->job =
        (struct sched_job){.run = task_run, .dropped = task_dropped, .arg = task, .source = source};
    task->sched = sched;
    sem_init(&task->begun, 0, 0);
    sem_init(&task->ended, 0, 0);
}

static void submit(struct task *task)
{
    struct cj_error err;
    if (sched_submit(task->sched, &task->job, &err) < 0)
        fail_msg("%s", err.message);
}

static void expect_refused(struct task *task, int code)
{
    struct cj_error err;
    assert_int_equal(sched_submit(task->sched, &task->job, &err), -1);
    assert_int_equal(err.code, code);
    assert_int_equal(task->runs + task->drops, 0);
}

/* A slot that is held by a task until sem_post(gate). */
static void hold(struct task *task, struct sched *sched, sem_t *gate)
{
    sem_init(gate, 0, 0);
    task_init(task, sched, 999);
    task->gate = gate;
    submit(task);
    wait_for(&task->begun);
}

static void drain(struct sched *sched)
{
    struct cj_error err;
    if (sched_drain(sched, monotonic_ns() + PATIENCE_NS, &err) < 0)
        fail_msg("%s", err.message);
}

/* ---- running ---- */

static void test_runs(void **state)
{
    struct task tasks[MANY];
    struct sched *sched = make(&(struct sched_settings){.slots = 3});
    struct sched_stats stats;
    (void)state;
    for (int i = 0; i < MANY; i++) {
        task_init(&tasks[i], sched, (uint64_t)i % 5);
        submit(&tasks[i]);
    }
    drain(sched);
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(tasks[i].runs, 1);
        assert_int_equal(tasks[i].drops, 0);
        assert_false(tasks[i].cancelled);
        assert_true(tasks[i].slot < 3);
    }
    sched_stats(sched, &stats);
    assert_int_equal(stats.slots, 3);
    assert_int_equal(stats.done, MANY);
    assert_int_equal(stats.running + stats.waiting + stats.dropped + stats.refused, 0);
    sched_free(sched);
}

static void test_sources_take_turns(void **state)
{
    enum { FLOOD = 20 };
    struct task holder, flood[FLOOD], late[2];
    sem_t gate;
    struct sched *sched = make(&(struct sched_settings){.slots = 1});
    (void)state;
    hold(&holder, sched, &gate);
    for (int i = 0; i < FLOOD; i++) {
        task_init(&flood[i], sched, 1);
        submit(&flood[i]);
    }
    for (int i = 0; i < 2; i++) {
        task_init(&late[i], sched, 2);
        submit(&late[i]);
    }
    sem_post(&gate);
    drain(sched);
    assert_int_equal(late[0].order, flood[0].order + 1);
    assert_int_equal(late[1].order, flood[1].order + 1);
    for (int i = 1; i < FLOOD; i++)
        assert_true(flood[i].order > flood[i - 1].order);
    sched_free(sched);
}

/* Signals of the service go to its other threads. */
static void mask_run(struct slot *slot, void *arg)
{
    (void)slot;
    pthread_sigmask(SIG_SETMASK, NULL, arg);
}

static void test_signals_are_blocked(void **state)
{
    sigset_t mask;
    struct cj_error err;
    struct sched *sched = make(&(struct sched_settings){.slots = 1});
    struct sched_job job = {.run = mask_run, .arg = &mask};
    (void)state;
    sigemptyset(&mask);
    assert_int_equal(sched_submit(sched, &job, &err), 0);
    drain(sched);
    assert_true(sigismember(&mask, SIGTERM) && sigismember(&mask, SIGINT) &&
                sigismember(&mask, SIGCHLD));
    sched_free(sched);
}

/* ---- admission ---- */

static void test_queue_is_bounded(void **state)
{
    struct task holders[2], waiting[3], more;
    struct sched_stats stats;
    sem_t gates[2];
    struct sched *sched = make(&(struct sched_settings){.slots = 2, .queue_max = 3});
    (void)state;
    for (int i = 0; i < 2; i++)
        hold(&holders[i], sched, &gates[i]);
    for (int i = 0; i < 3; i++) {
        task_init(&waiting[i], sched, 1);
        submit(&waiting[i]);
    }
    task_init(&more, sched, 2);
    expect_refused(&more, EAGAIN);
    sched_stats(sched, &stats);
    assert_int_equal(stats.waiting, 3);
    assert_int_equal(stats.running, 2);
    assert_int_equal(stats.refused, 1);
    /* What belongs to admitted work is taken all the same. */
    struct task follows[20];
    for (int i = 0; i < 20; i++) {
        task_init(&follows[i], sched, (uint64_t)i);
        follows[i].job.follows = true;
        submit(&follows[i]);
    }
    expect_refused(&more, EAGAIN);
    for (int i = 0; i < 2; i++)
        sem_post(&gates[i]);
    drain(sched);
    for (int i = 0; i < 20; i++)
        assert_int_equal(follows[i].runs, 1);
    expect_refused(&more, ESHUTDOWN);
    sched_free(sched);
}

/* A burst that free slots will take is not refused because they have not woken yet. */
static void test_free_slots_count(void **state)
{
    (void)state;
    for (int round = 0; round < 200; round++) {
        struct task tasks[5];
        struct sched *sched = make(&(struct sched_settings){.slots = 4, .queue_max = 1});
        for (int i = 0; i < 5; i++) {
            task_init(&tasks[i], sched, 1);
            submit(&tasks[i]);
        }
        drain(sched);
        sched_free(sched);
    }
}

static void test_who_is_alone(void **state)
{
    (void)state;
    sem_t gate;
    struct task first, second, third;
    struct sched *sched = make(&(struct sched_settings){.slots = 2});
    hold(&first, sched, &gate);
    task_init(&second, sched, 1);
    submit(&second);
    wait_for(&second.ended);
    assert_false(second.alone);
    struct sched_stats stats;
    do /* its run() has returned a moment ago */
        sched_stats(sched, &stats);
    while (stats.running > 1);
    sem_post(&gate);
    wait_for(&first.ended);
    assert_true(first.alone);
    drain(sched);
    sched_free(sched);

    sched = make(&(struct sched_settings){.slots = 2});
    task_init(&third, sched, 1);
    submit(&third);
    drain(sched);
    assert_true(third.alone);
    sched_free(sched);
}

static void test_source_is_bounded(void **state)
{
    struct task holder, own[2], more, other;
    sem_t gate;
    struct sched *sched =
        make(&(struct sched_settings){.slots = 1, .queue_max = 8, .source_max = 2});
    (void)state;
    hold(&holder, sched, &gate);
    for (int i = 0; i < 2; i++) {
        task_init(&own[i], sched, 1);
        submit(&own[i]);
    }
    task_init(&more, sched, 1);
    expect_refused(&more, EAGAIN);
    task_init(&other, sched, 2);
    submit(&other);
    sem_post(&gate);
    drain(sched);
    assert_int_equal(other.runs, 1);
    sched_free(sched);
}

/* ---- cancelling ---- */

static void test_cancel_waiting(void **state)
{
    struct task holder, tasks[3];
    sem_t gate;
    struct sched *sched = make(&(struct sched_settings){.slots = 1});
    (void)state;
    hold(&holder, sched, &gate);
    for (int i = 0; i < 3; i++) {
        task_init(&tasks[i], sched, 1);
        submit(&tasks[i]);
    }
    sched_cancel(sched, &tasks[1].job);
    assert_int_equal(tasks[1].drops, 1); /* before it returned, on this thread */
    assert_true(pthread_equal(tasks[1].thread, pthread_self()));
    assert_int_equal(tasks[1].reason, SCHED_CANCELLED);
    sched_cancel(sched, &tasks[1].job); /* nothing */
    assert_int_equal(tasks[1].drops, 1);
    sem_post(&gate);
    drain(sched);
    assert_int_equal(tasks[0].runs, 1);
    assert_int_equal(tasks[1].runs, 0);
    assert_int_equal(tasks[2].runs, 1);
    sched_free(sched);
}

static void test_cancel_running(void **state)
{
    struct task task, next;
    struct sched *sched = make(&(struct sched_settings){.slots = 1});
    (void)state;
    for (int round = 0; round < 50; round++) {
        task_init(&task, sched, 1);
        task.awaits_cancel = true;
        submit(&task);
        wait_for(&task.begun);
        sched_cancel(sched, &task.job);
        sched_cancel(sched, &task.job);
        wait_for(&task.ended);
        assert_true(task.cancelled);
        task_init(&next, sched, 1);
        submit(&next);
        wait_for(&next.ended);
        assert_false(next.cancelled);
    }
    drain(sched);
    sched_free(sched);
}

/* While the next job runs, a cancellation of the one that has ended does nothing. */
static void test_cancel_finished(void **state)
{
    struct task task, next;
    sem_t gate;
    struct sched *sched = make(&(struct sched_settings){.slots = 1});
    (void)state;
    task_init(&task, sched, 1);
    submit(&task);
    wait_for(&task.ended);
    hold(&next, sched, &gate);
    sched_cancel(sched, &task.job);
    sem_post(&gate);
    wait_for(&next.ended);
    assert_false(next.cancelled);
    drain(sched);
    sched_free(sched);
}

/* ---- deadlines ---- */

static void test_deadline(void **state)
{
    struct task holder, late, soon, patient, free_task;
    sem_t gate;
    struct sched *sched = make(&(struct sched_settings){.slots = 1});
    (void)state;
    hold(&holder, sched, &gate);
    int64_t begin_ns = monotonic_ns();
    task_init(&free_task, sched, 1);
    submit(&free_task);
    task_init(&late, sched, 1);
    late.job.deadline_ns = begin_ns + 60 * NS_PER_MS;
    submit(&late);
    task_init(&soon, sched, 2); /* comes before the one that is waited for */
    soon.job.deadline_ns = begin_ns + 20 * NS_PER_MS;
    submit(&soon);
    task_init(&patient, sched, 3);
    patient.job.deadline_ns = begin_ns + 3600 * NS_PER_S;
    submit(&patient);
    wait_for(&soon.ended);
    assert_true(monotonic_ns() >= soon.job.deadline_ns);
    assert_int_equal(late.drops, 0);
    wait_for(&late.ended);
    assert_true(monotonic_ns() >= late.job.deadline_ns);
    assert_int_equal(soon.reason, SCHED_TOO_LATE);
    assert_int_equal(late.reason, SCHED_TOO_LATE);
    assert_false(pthread_equal(late.thread, pthread_self()));
    sem_post(&gate);
    drain(sched);
    assert_int_equal(patient.runs, 1);
    assert_int_equal(free_task.runs, 1);
    assert_int_equal(late.runs + soon.runs, 0);
    sched_free(sched);
}

static void test_deadline_in_the_past(void **state)
{
    struct task task;
    struct sched *sched = make(&(struct sched_settings){.slots = 1});
    (void)state;
    for (int i = 0; i < 100; i++) {
        task_init(&task, sched, 1);
        task.job.deadline_ns = 1;
        submit(&task);
        wait_for(&task.ended);
        assert_int_equal(task.runs, 0);
        assert_int_equal(task.reason, SCHED_TOO_LATE);
    }
    drain(sched);
    sched_free(sched);
}

/* ---- the end ---- */

static void test_drain_in_time(void **state)
{
    struct task tasks[MANY], more;
    struct sched *sched = make(&(struct sched_settings){.slots = 2});
    (void)state;
    for (int i = 0; i < MANY; i++) {
        task_init(&tasks[i], sched, 1);
        submit(&tasks[i]);
    }
    sched_close(sched);
    task_init(&more, sched, 1);
    expect_refused(&more, ESHUTDOWN);
    drain(sched);
    for (int i = 0; i < MANY; i++)
        assert_int_equal(tasks[i].runs, 1);
    sched_free(sched);
}

static void test_drain_late(void **state)
{
    struct task running, waiting, more;
    struct cj_error err;
    struct sched *sched = make(&(struct sched_settings){.slots = 1});
    (void)state;
    task_init(&running, sched, 1);
    running.awaits_cancel = true;
    submit(&running);
    wait_for(&running.begun);
    task_init(&waiting, sched, 1);
    submit(&waiting);
    int64_t deadline_ns = monotonic_ns() + 30 * NS_PER_MS;
    assert_int_equal(sched_drain(sched, deadline_ns, &err), -1);
    assert_int_equal(err.code, ETIMEDOUT);
    assert_true(monotonic_ns() >= deadline_ns);
    assert_int_equal(running.runs, 1);
    assert_true(running.cancelled);
    assert_int_equal(waiting.drops, 1);
    assert_int_equal(waiting.reason, SCHED_CLOSED);
    task_init(&more, sched, 1);
    more.job.follows = true;
    expect_refused(&more, ESHUTDOWN);
    sched_free(sched);
}

static void test_free_drops(void **state)
{
    struct task running, waiting[10];
    struct sched *sched = make(&(struct sched_settings){.slots = 1});
    (void)state;
    task_init(&running, sched, 1);
    running.awaits_cancel = true;
    submit(&running);
    wait_for(&running.begun);
    for (int i = 0; i < 10; i++) {
        task_init(&waiting[i], sched, (uint64_t)i);
        submit(&waiting[i]);
    }
    sched_free(sched);
    assert_int_equal(running.runs, 1);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(waiting[i].runs, 0);
        assert_int_equal(waiting[i].drops, 1);
        assert_int_equal(waiting[i].reason, SCHED_CLOSED);
    }
    sched_free(NULL);
}

/* A chain: each run() submits the next; the drain ends when the last has run. The job itself is submitted
 * again within its own run(). */
struct chain {
    struct sched_job job;
    struct sched *sched;
    int left;
};

static void chain_run(struct slot *slot, void *arg)
{
    struct chain *chain = arg;
    struct cj_error err;
    (void)slot;
    if (--chain->left > 0 && sched_submit(chain->sched, &chain->job, &err) < 0)
        abort();
}

static void test_follows(void **state)
{
    struct cj_error err;
    struct sched *sched = make(&(struct sched_settings){.slots = 2, .queue_max = 1});
    struct chain chain = {
        .job = {.run = chain_run, .arg = &chain, .follows = true}, .sched = sched, .left = 1000};
    (void)state;
    assert_int_equal(sched_submit(sched, &chain.job, &err), 0);
    drain(sched);
    assert_int_equal(chain.left, 0);
    sched_free(sched);
}

/* A job is freed within its own run(). */
static void freed_run(struct slot *slot, void *arg)
{
    (void)slot;
    free(arg);
}

static void test_job_freed_in_run(void **state)
{
    struct cj_error err;
    struct sched *sched = make(&(struct sched_settings){.slots = 2, .queue_max = 300});
    (void)state;
    for (int i = 0; i < 300; i++) {
        struct sched_job *job = calloc(1, sizeof(*job));
        *job = (struct sched_job){.run = freed_run, .arg = job, .source = (uint64_t)i};
        assert_int_equal(sched_submit(sched, job, &err), 0);
    }
    drain(sched);
    sched_free(sched);
}

/* ---- CPUs ---- */

static void affinity_run(struct slot *slot, void *arg)
{
    cpu_set_t *sets = arg;
    CPU_ZERO(&sets[slot_index(slot)]);
    (void)sched_getaffinity(0, sizeof(cpu_set_t), &sets[slot_index(slot)]);
    usleep(20000); /* so that the other slot takes the other job */
}

static void run_on_both(const struct sched_settings *settings, cpu_set_t sets[2])
{
    struct cj_error err;
    struct sched *sched = make(settings);
    struct sched_job jobs[2];
    memset(sets, 0, 2 * sizeof(cpu_set_t));
    for (int tries = 0; tries < 50 && (CPU_COUNT(&sets[0]) == 0 || CPU_COUNT(&sets[1]) == 0);
         tries++) {
        sem_t done;
        sem_init(&done, 0, 0);
        for (int i = 0; i < 2; i++) {
            jobs[i] = (struct sched_job){.run = affinity_run, .arg = sets};
            assert_int_equal(sched_submit(sched, &jobs[i], &err), 0);
        }
        struct sched_stats stats;
        do {
            usleep(1000);
            sched_stats(sched, &stats);
        } while (stats.running + stats.waiting > 0);
    }
    sched_free(sched);
}

static void test_pinning(void **state)
{
    cpu_set_t sets[2], allowed;
    struct cj_error err;
    (void)state;
    assert_int_equal(cpus_allowed(&allowed, &err), 0);
    run_on_both(&(struct sched_settings){.slots = 2}, sets);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(CPU_COUNT(&sets[i]), 1);
        assert_true(CPU_ISSET((size_t)cpus_deal(&allowed, i), &sets[i]));
    }
    run_on_both(&(struct sched_settings){.slots = 2, .no_pinning = true}, sets);
    for (unsigned i = 0; i < 2; i++)
        assert_true(CPU_EQUAL(&sets[i], &allowed));
    /* More sets than slots, and fewer. */
    char one[16], all[16];
    snprintf(one, sizeof(one), "%d", cpus_deal(&allowed, 0));
    snprintf(all, sizeof(all), "0-%d", CPU_SETSIZE - 1);
    const char *const lists[] = {one, all};
    run_on_both(&(struct sched_settings){.slots = 2, .cpu_sets = lists, .cpu_set_count = 2}, sets);
    assert_int_equal(CPU_COUNT(&sets[0]), 1);
    assert_true(CPU_EQUAL(&sets[1], &allowed));
    run_on_both(&(struct sched_settings){.slots = 2, .cpu_sets = lists, .cpu_set_count = 1}, sets);
    assert_int_equal(CPU_COUNT(&sets[0]), 1);
    assert_true(CPU_EQUAL(&sets[0], &sets[1]));
}

static void test_slot_counts(void **state)
{
    static const char *const lists[] = {"0-1023", "0-1023", "0-1023"};
    const struct sched_settings by_sets = {.cpu_sets = lists, .cpu_set_count = 3};
    struct sched_stats stats;
    cpu_set_t allowed;
    struct cj_error err;
    (void)state;
    assert_int_equal(cpus_allowed(&allowed, &err), 0);
    struct sched *sched = make(&(struct sched_settings){0});
    sched_stats(sched, &stats);
    assert_int_equal(stats.slots, CPU_COUNT(&allowed));
    sched_free(sched);
    sched = make(&by_sets);
    sched_stats(sched, &stats);
    assert_int_equal(stats.slots, 3);
    sched_free(sched);
}

static void test_cpu_lists(void **state)
{
    static const struct {
        const char *list;
        int count; /* 0: refused */
    } cases[] = {
        {"0", 1},     {"0-3", 4},  {"0-3,6", 5},
        {"1,1,1", 1}, {"1023", 1}, {"", 0},
        {"1024", 0},  {"3-0", 0},  {"0-", 0},
        {"-1", 0},    {"0,", 0},   {",0", 0},
        {"0 1", 0},   {"a", 0},    {"0-3-5", 0},
        {" 0", 0},    {"0x1", 0},  {"99999999999999999999", 0},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        cpu_set_t set;
        struct cj_error err = {0};
        int result = cpus_parse(cases[i].list, &set, &err);
        int count = result == 0 ? CPU_COUNT(&set) : 0;
        if (count != cases[i].count || (result < 0 && err.domain != ERROR_CONFIG))
            fail_msg("'%s': %d CPUs", cases[i].list, count);
    }
    const char *const bad[] = {"x"};
    const struct sched_settings settings = {.cpu_sets = bad, .cpu_set_count = 1};
    struct sched *sched;
    struct cj_error err;
    assert_int_equal(sched_new(&settings, NULL, &sched, &err), -1);
    assert_int_equal(err.domain, ERROR_CONFIG);
}

/* ---- without containers ---- */

static void containers_run(struct slot *slot, void *arg)
{
    struct cj_error *err = arg;
    struct container **list;
    if (slot_containers(slot, 1, &list, err) == 0)
        abort();
}

static void test_no_containers(void **state)
{
    struct cj_error refused = {0}, err;
    struct sched *sched = make(&(struct sched_settings){.slots = 1});
    struct sched_job job = {.run = containers_run, .arg = &refused};
    (void)state;
    assert_int_equal(sched_submit(sched, &job, &err), 0);
    drain(sched);
    assert_int_equal(refused.code, ENOTSUP);
    sched_free(sched);
}

/* ---- everything at once ---- */

/* 8 threads submit 10,000 jobs and cancel at random, before, while and after they run. Every job is run or
 * dropped, once; none hears of a cancellation that was not its own. */
enum { STORM_THREADS = 8, STORM_JOBS = 10000, STORM_BATCH = 25 };

struct storm_job {
    struct sched_job job; /* first */
    atomic_int runs, drops;
    atomic_bool cancel_called;
    bool cancelled_unasked, waits;
};

struct storm {
    struct sched *sched;
    pthread_t thread;
    unsigned number;
    size_t ran, dropped, refused, cancelled;
    const char *failure;
};

static void storm_run(struct slot *slot, void *arg)
{
    struct storm_job *job = arg;
    if (job->waits)
        (void)readable(slot_cancel_fd(slot), 1);
    if (slot_cancelled(slot) && !atomic_load(&job->cancel_called))
        job->cancelled_unasked = true;
    atomic_fetch_add(&job->runs, 1);
}

static void storm_dropped(void *arg, enum sched_drop reason)
{
    struct storm_job *job = arg;
    (void)reason;
    atomic_fetch_add(&job->drops, 1);
}

static void storm_check(struct storm *storm, struct storm_job *job, bool taken)
{
    int64_t until_ns = monotonic_ns() + PATIENCE_NS;
    while (taken && job->runs + job->drops == 0 && monotonic_ns() < until_ns)
        sched_yield();
    if (job->runs + job->drops != taken)
        storm->failure = "a job was lost, or ended twice";
    if (job->cancelled_unasked)
        storm->failure = "a cancellation reached another job";
    storm->ran += (size_t)job->runs;
    storm->dropped += (size_t)job->drops;
}

static void storm_batch(struct storm *storm, unsigned *seed)
{
    struct storm_job jobs[STORM_BATCH];
    bool taken[STORM_BATCH];
    struct cj_error err;
    for (int i = 0; i < STORM_BATCH; i++) {
        memset(&jobs[i], 0, sizeof(jobs[i]));
        jobs[i].job = (struct sched_job){
            .run = storm_run,
            .dropped = storm_dropped,
            .arg = &jobs[i],
            .source = storm->number,
            .deadline_ns = rand_r(seed) % 4 == 0 ? monotonic_ns() + rand_r(seed) % 100000 : 0};
        jobs[i].waits = rand_r(seed) % 16 == 0;
        taken[i] = sched_submit(storm->sched, &jobs[i].job, &err) == 0;
        storm->refused += !taken[i];
        int other = rand_r(seed) % (i + 1);
        if (rand_r(seed) % 3 == 0 && taken[other]) {
            atomic_store(&jobs[other].cancel_called, true);
            sched_cancel(storm->sched, &jobs[other].job);
            storm->cancelled++;
        }
    }
    for (int i = 0; i < STORM_BATCH; i++)
        storm_check(storm, &jobs[i], taken[i]);
    /* run() may not have returned yet: the job is done with, but a cancel now must find it finished. */
    for (int i = 0; i < STORM_BATCH; i++)
        if (taken[i])
            sched_cancel(storm->sched, &jobs[i].job);
}

static void *storm_main(void *arg)
{
    struct storm *storm = arg;
    unsigned seed = storm->number + 1;
    for (int i = 0; i < STORM_JOBS / STORM_THREADS / STORM_BATCH; i++)
        storm_batch(storm, &seed);
    return NULL;
}

static void test_storm(void **state)
{
    struct storm storms[STORM_THREADS];
    struct sched_stats stats;
    size_t ran = 0, dropped = 0, refused = 0;
    struct sched *sched = make(&(struct sched_settings){.slots = 3, .queue_max = 64});
    (void)state;
    for (unsigned i = 0; i < STORM_THREADS; i++) {
        storms[i] = (struct storm){.sched = sched, .number = i};
        assert_int_equal(pthread_create(&storms[i].thread, NULL, storm_main, &storms[i]), 0);
    }
    for (unsigned i = 0; i < STORM_THREADS; i++) {
        pthread_join(storms[i].thread, NULL);
        if (storms[i].failure != NULL)
            fail_msg("%s", storms[i].failure);
        ran += storms[i].ran;
        dropped += storms[i].dropped;
        refused += storms[i].refused;
    }
    drain(sched);
    sched_stats(sched, &stats);
    assert_int_equal(ran + dropped + refused, STORM_JOBS);
    assert_int_equal(stats.done, ran);
    assert_int_equal(stats.dropped, dropped);
    assert_int_equal(stats.refused, refused);
    assert_true(ran > 0 && dropped > 0);
    sched_free(sched);
}

/* ---- set aside ---- */

/* It holds no slot meanwhile, counts as waiting, and comes again when it is woken. */
static void test_park(void **state)
{
    struct task task, other;
    struct sched_stats stats;
    struct sched *sched = make(&(struct sched_settings){.slots = 1});
    (void)state;
    task_init(&task, sched, 1);
    task.parks = 2;
    submit(&task);
    for (int round = 1; round <= 2; round++) {
        wait_for(&task.ended);
        task_init(&other, sched, 2);
        submit(&other);
        wait_for(&other.ended); /* the slot was free */
        sched_stats(sched, &stats);
        assert_int_equal(stats.waiting, 1);
        assert_int_equal(task.runs, round);
        sched_wake(sched, &task.job);
    }
    drain(sched);
    assert_int_equal(task.runs, 3);
    assert_int_equal(task.drops, 0);
    sched_stats(sched, &stats);
    assert_int_equal(stats.done, 3);
    assert_int_equal(stats.waiting, 0);
    sched_free(sched);
}

/* Who is woken before run() has returned is not forgotten. */
static void test_park_woken_early(void **state)
{
    struct task task;
    sem_t gate;
    struct sched *sched = make(&(struct sched_settings){.slots = 1});
    (void)state;
    sem_init(&gate, 0, 0);
    task_init(&task, sched, 1);
    task.parks = 1;
    task.gate = &gate;
    submit(&task);
    wait_for(&task.begun);
    sched_wake(sched, &task.job);
    sem_post(&gate);
    sem_post(&gate);
    drain(sched);
    assert_int_equal(task.runs, 2);
    sched_free(sched);
}

static void expect_dropped_parked(struct task *task, int reason)
{
    wait_for(&task->ended); /* its run() */
    wait_for(&task->ended); /* its dropped() */
    assert_int_equal(task->runs, 1);
    assert_int_equal(task->drops, 1);
    assert_int_equal(task->reason, reason);
}

static void test_park_ends(void **state)
{
    struct task late, cancelled, running, left;
    struct sched *sched = make(&(struct sched_settings){.slots = 1});
    (void)state;
    task_init(&late, sched, 1);
    late.parks = 1;
    late.job.deadline_ns = monotonic_ns() + 50 * NS_PER_MS;
    submit(&late);
    expect_dropped_parked(&late, SCHED_TOO_LATE);

    task_init(&cancelled, sched, 1);
    cancelled.parks = 1;
    submit(&cancelled);
    wait_for(&cancelled.ended);
    sched_cancel(sched, &cancelled.job);
    sem_post(&cancelled.ended);
    expect_dropped_parked(&cancelled, SCHED_CANCELLED);

    task_init(&running, sched, 1); /* cancelled while it runs: it is not set aside any more */
    running.parks = 1;
    running.awaits_cancel = true;
    submit(&running);
    wait_for(&running.begun);
    sched_cancel(sched, &running.job);
    expect_dropped_parked(&running, SCHED_CANCELLED);

    task_init(&left, sched, 1);
    left.parks = 1;
    submit(&left);
    wait_for(&left.ended);
    sem_post(&left.ended);
    sched_free(sched);
    expect_dropped_parked(&left, SCHED_CLOSED);
}

/* Those that are set aside count against the bound of the queue. */
static void test_park_is_bounded(void **state)
{
    struct task tasks[4], more;
    struct sched *sched = make(&(struct sched_settings){.slots = 1, .queue_max = 3});
    (void)state;
    for (int i = 0; i < 4; i++) {
        task_init(&tasks[i], sched, 1);
        tasks[i].parks = 1;
        submit(&tasks[i]);
        wait_for(&tasks[i].ended);
    }
    struct sched_stats stats;
    do /* the last run() has returned a moment ago */
        sched_stats(sched, &stats);
    while (stats.running > 0);
    task_init(&more, sched, 2);
    expect_refused(&more, EAGAIN);
    for (int i = 0; i < 4; i++)
        sched_wake(sched, &tasks[i].job);
    drain(sched);
    for (int i = 0; i < 4; i++)
        assert_int_equal(tasks[i].runs, 2);
    sched_free(sched);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_runs),
        cmocka_unit_test(test_sources_take_turns),
        cmocka_unit_test(test_signals_are_blocked),
        cmocka_unit_test(test_queue_is_bounded),
        cmocka_unit_test(test_free_slots_count),
        cmocka_unit_test(test_who_is_alone),
        cmocka_unit_test(test_source_is_bounded),
        cmocka_unit_test(test_cancel_waiting),
        cmocka_unit_test(test_cancel_running),
        cmocka_unit_test(test_cancel_finished),
        cmocka_unit_test(test_deadline),
        cmocka_unit_test(test_deadline_in_the_past),
        cmocka_unit_test(test_drain_in_time),
        cmocka_unit_test(test_drain_late),
        cmocka_unit_test(test_free_drops),
        cmocka_unit_test(test_follows),
        cmocka_unit_test(test_job_freed_in_run),
        cmocka_unit_test(test_pinning),
        cmocka_unit_test(test_slot_counts),
        cmocka_unit_test(test_cpu_lists),
        cmocka_unit_test(test_no_containers),
        cmocka_unit_test(test_storm),
        cmocka_unit_test(test_park),
        cmocka_unit_test(test_park_woken_early),
        cmocka_unit_test(test_park_ends),
        cmocka_unit_test(test_park_is_bounded),
    };
    return cmocka_run_group_tests_name("sched", tests, NULL, NULL);
}
