/* The queue: turns, order, removal and deadlines, by hand and against a simple model. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "queue.h"

enum { CAPACITY = 64, JOBS = 4 * CAPACITY };

static struct queue make_queue(size_t capacity)
{
    struct queue queue;
    struct cj_error err;
    assert_int_equal(queue_init(&queue, capacity, &err), 0);
    return queue;
}

/* Pops all; job i has (void *)i as its argument. */
static void expect_order(struct queue *queue, const struct sched_job *jobs, const int *order,
                         size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct sched_job *job = queue_pop(queue);
        assert_non_null(job);
        if (job - jobs != order[i])
            fail_msg("place %zu: job %d instead of %d", i, (int)(job - jobs), order[i]);
    }
    assert_null(queue_pop(queue));
    assert_int_equal(queue->count, 0);
}

static void push_all(struct queue *queue, struct sched_job *jobs, const uint64_t *sources,
                     size_t count)
{
    for (size_t i = 0; i < count; i++) {
        jobs[i] = (struct sched_job){.source = sources[i]};
        queue_push(queue, &jobs[i]);
    }
}

static void test_one_source_keeps_order(void **state)
{
    static const uint64_t sources[] = {7, 7, 7, 7};
    static const int order[] = {0, 1, 2, 3};
    struct sched_job jobs[4];
    struct queue queue = make_queue(4);
    (void)state;
    push_all(&queue, jobs, sources, 4);
    assert_int_equal(queue_count_of(&queue, 7), 4);
    assert_int_equal(queue_count_of(&queue, 8), 0);
    expect_order(&queue, jobs, order, 4);
    queue_free(&queue);
}

static void test_sources_take_turns(void **state)
{
    /* 1 floods, 2 and 3 come later. */
    static const uint64_t sources[] = {1, 1, 1, 1, 1, 2, 3, 3};
    static const int order[] = {0, 5, 6, 1, 7, 2, 3, 4};
    struct sched_job jobs[8];
    struct queue queue = make_queue(8);
    (void)state;
    push_all(&queue, jobs, sources, 8);
    expect_order(&queue, jobs, order, 8);
    queue_free(&queue);
}

/* One job at a time does not get a source ahead of those that wait. */
static void test_who_comes_back_is_last(void **state)
{
    struct sched_job a = {.source = 1}, again = {.source = 1}, b = {.source = 2}, c = {.source = 3};
    struct queue queue = make_queue(4);
    (void)state;
    queue_push(&queue, &a);
    queue_push(&queue, &b);
    queue_push(&queue, &c);
    assert_ptr_equal(queue_pop(&queue), &a);
    queue_push(&queue, &again);
    assert_ptr_equal(queue_pop(&queue), &b);
    assert_ptr_equal(queue_pop(&queue), &c);
    assert_ptr_equal(queue_pop(&queue), &again);
    assert_null(queue_pop(&queue));
    queue_free(&queue);
}

/* With one slot: who comes while the flood's job runs is next when that ends. */
static void test_who_came_meanwhile_is_first(void **state)
{
    struct sched_job flood[3], single = {.source = 2}, late = {.source = 3};
    static const uint64_t sources[] = {1, 1, 1};
    struct queue queue = make_queue(8);
    (void)state;
    push_all(&queue, flood, sources, 3);
    assert_ptr_equal(queue_pop(&queue), &flood[0]);
    queue_push(&queue, &single);
    queue_served(&queue, 1);
    queue_push(&queue, &late);
    assert_ptr_equal(queue_pop(&queue), &single);
    queue_served(&queue, 2); /* has none waiting */
    assert_ptr_equal(queue_pop(&queue), &flood[1]);
    queue_served(&queue, 1);
    assert_ptr_equal(queue_pop(&queue), &late);
    queue_served(&queue, 3);
    assert_ptr_equal(queue_pop(&queue), &flood[2]);
    queue_served(&queue, 1);
    assert_null(queue_pop(&queue));
    queue_free(&queue);
}

static void test_deadlines(void **state)
{
    static const int64_t deadlines[] = {50, 0, 20, 90, 20, 10};
    static const int64_t sorted[] = {10, 20, 20, 50, 90};
    struct sched_job jobs[6];
    struct queue queue = make_queue(6);
    (void)state;
    assert_null(queue_earliest(&queue));
    for (size_t i = 0; i < 6; i++) {
        jobs[i] = (struct sched_job){.source = i % 2, .deadline_ns = deadlines[i]};
        queue_push(&queue, &jobs[i]);
    }
    for (size_t i = 0; i < 5; i++) {
        struct sched_job *job = queue_earliest(&queue);
        assert_int_equal(job->deadline_ns, sorted[i]);
        queue_remove(&queue, job);
    }
    assert_null(queue_earliest(&queue));
    assert_ptr_equal(queue_pop(&queue), &jobs[1]);
    queue_free(&queue);
}

static void test_grows(void **state)
{
    enum { FIRST = 3, ALL = 3 << 5 };
    static struct sched_job jobs[ALL];
    struct cj_error err;
    struct queue queue = make_queue(FIRST);
    (void)state;
    for (size_t i = 0; i < ALL; i++) {
        if (queue.count == queue.capacity)
            assert_int_equal(queue_grow(&queue, &err), 0);
        jobs[i] = (struct sched_job){.source = i, .deadline_ns = (int64_t)(ALL - i)};
        queue_push(&queue, &jobs[i]);
    }
    assert_ptr_equal(queue_earliest(&queue), &jobs[ALL - 1]);
    for (size_t i = 0; i < ALL; i++)
        assert_ptr_equal(queue_pop(&queue), &jobs[i]);
    queue_free(&queue);
}

/* ---- against a model ---- */

/* Sources in the order of their turns, each with its jobs in order. */
struct model {
    uint64_t sources[CAPACITY];
    struct sched_job *jobs[CAPACITY][CAPACITY];
    size_t counts[CAPACITY];
    size_t source_count, count;
};

static void model_push(struct model *model, struct sched_job *job)
{
    size_t at = 0;
    while (at < model->source_count && model->sources[at] != job->source)
        at++;
    if (at == model->source_count) {
        model->sources[at] = job->source;
        model->counts[at] = 0;
        model->source_count++;
    }
    model->jobs[at][model->counts[at]++] = job;
    model->count++;
}

static void model_remove_source(struct model *model, size_t at)
{
    for (; at + 1 < model->source_count; at++) {
        model->sources[at] = model->sources[at + 1];
        model->counts[at] = model->counts[at + 1];
        memcpy(model->jobs[at], model->jobs[at + 1], sizeof(model->jobs[at]));
    }
    model->source_count--;
}

static void model_remove(struct model *model, const struct sched_job *job)
{
    for (size_t at = 0; at < model->source_count; at++)
        for (size_t i = 0; i < model->counts[at]; i++)
            if (model->jobs[at][i] == job) {
                memmove(&model->jobs[at][i], &model->jobs[at][i + 1],
                        (model->counts[at] - i - 1) * sizeof(model->jobs[0][0]));
                model->count--;
                if (--model->counts[at] == 0)
                    model_remove_source(model, at);
                return;
            }
    fail_msg("a job that is not there");
}

static void model_move_back(struct model *model, size_t at)
{
    static struct model turned;
    turned = *model;
    model_remove_source(model, at);
    size_t last = model->source_count++;
    model->sources[last] = turned.sources[at];
    model->counts[last] = turned.counts[at];
    memcpy(model->jobs[last], turned.jobs[at], sizeof(turned.jobs[at]));
}

static struct sched_job *model_pop(struct model *model)
{
    if (model->source_count == 0)
        return NULL;
    struct sched_job *job = model->jobs[0][0];
    size_t source_count = model->source_count;
    model_remove(model, job);
    if (model->source_count == source_count) /* it has more: behind the others */
        model_move_back(model, 0);
    return job;
}

static void model_served(struct model *model, uint64_t source)
{
    for (size_t at = 0; at < model->source_count; at++)
        if (model->sources[at] == source) {
            model_move_back(model, at);
            return;
        }
}

static int64_t model_earliest(const struct model *model)
{
    int64_t earliest = 0;
    for (size_t at = 0; at < model->source_count; at++)
        for (size_t i = 0; i < model->counts[at]; i++) {
            int64_t deadline = model->jobs[at][i]->deadline_ns;
            if (deadline != 0 && (earliest == 0 || deadline < earliest))
                earliest = deadline;
        }
    return earliest;
}

static struct sched_job *model_any(const struct model *model, unsigned number)
{
    size_t left = number % model->count;
    for (size_t at = 0;; left -= model->counts[at++])
        if (left < model->counts[at])
            return model->jobs[at][left];
}

static void test_against_model(void **state)
{
    static struct sched_job jobs[JOBS];
    static struct model model;
    struct sched_job *unused[JOBS];
    size_t unused_count = 0;
    struct queue queue = make_queue(CAPACITY);
    unsigned seed = 20240611;
    (void)state;
    for (size_t i = 0; i < JOBS; i++)
        unused[unused_count++] = &jobs[i];
    for (int step = 0; step < 40000; step++) {
        int dice = rand_r(&seed) % 100;
        int wanted = step % 4000 < 2000 ? 55 : 40; /* fills, then empties */
        if (dice < wanted && model.count < CAPACITY) {
            struct sched_job *job = unused[--unused_count];
            *job = (struct sched_job){
                .source = (uint64_t)(rand_r(&seed) % (step % 3 == 0 ? 40 : 5)) << 32,
                .deadline_ns = rand_r(&seed) % 3 == 0 ? 1 + rand_r(&seed) % 50 : 0};
            queue_push(&queue, job);
            model_push(&model, job);
        } else if (dice < 60) {
            uint64_t source = (uint64_t)(rand_r(&seed) % 8) << 32;
            queue_served(&queue, source);
            model_served(&model, source);
        } else if (dice < 88) {
            struct sched_job *job = queue_pop(&queue);
            assert_ptr_equal(job, model_pop(&model));
            if (job != NULL)
                unused[unused_count++] = job;
        } else if (model.count > 0) {
            struct sched_job *job = model_any(&model, (unsigned)rand_r(&seed));
            queue_remove(&queue, job);
            model_remove(&model, job);
            unused[unused_count++] = job;
        }
        assert_int_equal(queue.count, model.count);
        const struct sched_job *earliest = queue_earliest(&queue);
        assert_int_equal(earliest != NULL ? earliest->deadline_ns : 0, model_earliest(&model));
        if (model.source_count > 0)
            assert_int_equal(queue_count_of(&queue, model.sources[0]), model.counts[0]);
    }
    queue_free(&queue);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_source_keeps_order),
        cmocka_unit_test(test_sources_take_turns),
        cmocka_unit_test(test_who_comes_back_is_last),
        cmocka_unit_test(test_who_came_meanwhile_is_first),
        cmocka_unit_test(test_deadlines),
        cmocka_unit_test(test_grows),
        cmocka_unit_test(test_against_model),
    };
    return cmocka_run_group_tests_name("queue", tests, NULL, NULL);
}
