#include "judge_batch.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/json_writer.h"
#include "base/stages.h"

enum {
    WORKS_MAX = 1024, /* submissions of one batch with the scheduler */
    /* Results that wait for an earlier one; the same again for the client to take them. */
    HELD_BYTES_MAX = 4 * 1024 * 1024,
};
#define RETRY_NS (5 * NS_PER_MS) /* the scheduler's queue was full of others */

/* One submission that the scheduler has. */
struct work {
    struct sched_job job;
    struct build_wait wait;
    struct judge_batch *batch;
    struct work *next_free;
    size_t index;
    struct buf json; /* the result */
    int64_t written_ns;
    bool busy;
    bool dropped;
    enum sched_drop reason;
};

struct rendered {
    char *json; /* NULL: not there yet */
    size_t size;
};

struct judge_batch {
    struct judge_batch_settings settings;
    struct judge_request request;
    struct judge_batch_calls calls;
    void *arg;
    struct net_timer *timer; /* end of the queue life, or another try */
    struct work *works, *free_works;
    size_t work_count;
    struct rendered *results;
    size_t next;      /* to be given to the scheduler */
    size_t told;      /* results that were handed on */
    size_t in_flight; /* works that are busy */
    uint64_t held_bytes;
    int64_t started_ns;
    bool cancelled, ended, telling;
};

/* ---- writing a result ---- */

void judge_uuid(char text[static UUID_SIZE])
{
    uint8_t b[16];
    if (getrandom(b, sizeof(b), 0) != sizeof(b))
        abort(); /* getrandom(2): up to 256 bytes never fail once the kernel is up */
    b[6] = (b[6] & 0x0f) | 0x40;
    b[8] = (b[8] & 0x3f) | 0x80;
    snprintf(text, UUID_SIZE,
             "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0], b[1],
             b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14],
             b[15]);
}

/* A float stays one for readers that tell 0 from 0.0. */
static void write_float(struct json_writer *json, struct buf *out, double value)
{
    size_t before = out->size;
    json_double(json, value);
    for (size_t i = before; i < out->size; i++)
        if (strchr(".e", out->data[i]) != NULL)
            return;
    buf_append_text(out, ".0");
}

static void write_text(struct json_writer *json, const char *key,
                       const struct submission_text *text)
{
    json_key(json, key);
    if (text->data != NULL)
        json_string_bytes(json, text->data, text->size);
    else
        json_null(json);
}

void judge_result_write(struct buf *out, struct body_text sub_id,
                        const struct submission_result *result, bool with_texts)
{
    struct json_writer json = json_writer_to(out, JSON_COMPACT_PLAIN);
    json_object_begin(&json);
    json_key(&json, "sub_id");
    json_string_bytes(&json, sub_id.data, sub_id.size);
    json_key(&json, "success");
    json_bool(&json, result->success);
    json_key(&json, "run_success");
    json_bool(&json, result->run_success);
    json_key(&json, "cost");
    write_float(&json, out, result->cost_s);
    if (with_texts) {
        write_text(&json, "stdout", &result->stdout_text);
        write_text(&json, "stderr", &result->stderr_text);
    }
    json_key(&json, "reason");
    json_string(&json, submission_reason_text(result->reason));
    json_object_end(&json);
}

/* The client's own, or one of ours in uuid. */
static struct body_text id_of(const struct judge_submission *asked, char uuid[static UUID_SIZE])
{
    if (asked->sub_id.size > 0)
        return asked->sub_id;
    judge_uuid(uuid);
    return (struct body_text){uuid, UUID_SIZE - 1};
}

/* ---- judging, on a slot's thread ---- */

static void work_ended(void *arg);

static void work_run(struct slot *slot, void *arg)
{
    struct work *work = arg;
    struct judge_batch *batch = work->batch;
    const struct judge_submission *asked = &batch->request.submissions[work->index];
    struct submission_result result = {.reason = SUBMISSION_INTERNAL_ERROR};
    char uuid[UUID_SIZE];
    struct body_text sub_id = id_of(asked, uuid);
    const struct submission submission = {
        .sub_id = sub_id.data,
        .sub_id_size = sub_id.size,
        .language = asked->language,
        .solution = asked->solution.data,
        .solution_size = asked->solution.size,
        .input = asked->input.data,
        .input_size = asked->input.size,
        .options = asked->options.data,
        .options_size = asked->options.size,
        .expected_output = asked->expected_output.data,
        .expected_size = asked->expected_output.size,
    };
    if (!asked->bad_text && !submission_judge(slot, batch->settings.submission, &submission,
                                              &work->wait, batch->settings.observer, &result)) {
        work->job.deadline_ns = 0; /* it has begun in time: its build goes on */
        return;                    /* it comes again, or is dropped */
    }
    judge_result_write(&work->json, sub_id, &result, batch->settings.with_texts);
    submission_result_free(&result);
    work->written_ns = monotonic_ns();
    net_loop_post(batch->settings.loop, work_ended, work);
}

static void work_dropped(void *arg, enum sched_drop reason)
{
    struct work *work = arg;
    build_cache_leave(work->batch->settings.submission->judge.build_cache, &work->wait);
    work->dropped = true;
    work->reason = reason;
    net_loop_post(work->batch->settings.loop, work_ended, work);
}

/* ---- handing on ---- */

static void end_when_idle(struct judge_batch *batch)
{
    bool all_told = batch->told == batch->request.count;
    if (batch->ended || batch->telling || batch->in_flight > 0 || !(all_told || batch->cancelled))
        return;
    batch->ended = true;
    net_timer_cancel(batch->timer);
    batch->calls.ended(batch->arg, !all_told);
}

static void hold(struct judge_batch *batch, size_t index, struct buf *json)
{
    struct cj_error err;
    struct rendered *result = &batch->results[index];
    if (buf_take(json, &result->json, &result->size, &err) < 0) {
        /* memory is gone: what was promised is an answer in order, so this one is the shortest */
        buf_free(json);
        result->json = strdup("null");
        result->size = 4;
    }
    batch->held_bytes += result->size;
}

/* Tells what is there up to the first that is not. */
static void tell(struct judge_batch *batch)
{
    batch->telling = true;
    while (!batch->cancelled && batch->told < batch->request.count &&
           batch->results[batch->told].json != NULL) {
        struct rendered *result = &batch->results[batch->told++];
        batch->calls.result(batch->arg, result->json, result->size);
        batch->held_bytes -= result->size;
        free(result->json);
        result->json = NULL;
    }
    batch->telling = false;
}

static void hold_timeout(struct judge_batch *batch, size_t index)
{
    struct buf json = {0};
    const struct submission_result result = {
        .reason = SUBMISSION_QUEUE_TIMEOUT,
        .cost_s = (double)(monotonic_ns() - batch->started_ns) / NS_PER_S,
    };
    char uuid[UUID_SIZE];
    judge_result_write(&json, id_of(&batch->request.submissions[index], uuid), &result,
                       batch->settings.with_texts);
    hold(batch, index, &json);
}

/* ---- feeding the scheduler ---- */

static int submit_next(struct judge_batch *batch, struct cj_error *err)
{
    struct work *work = batch->free_works;
    struct work *rest = work->next_free;
    *work = (struct work){
        .batch = batch,
        .index = batch->next,
        .busy = true,
        .job = {.run = work_run,
                .dropped = work_dropped,
                .source = (uint64_t)(uintptr_t)batch,
                .follows = batch->next > 0, /* what was accepted is not refused in its middle */
                .deadline_ns = batch->started_ns + batch->settings.queue_life_ns},
    };
    work->job.arg = work;
    work->wait.job = &work->job;
    if (sched_submit(batch->settings.sched, &work->job, err) < 0) {
        work->busy = false;
        work->next_free = rest;
        return -1;
    }
    batch->free_works = rest;
    batch->in_flight++;
    batch->next++;
    return 0;
}

/* Whether another one may be begun: the memory of a batch is bounded by what was posted, however slowly
 * its results are taken. */
static bool has_room(const struct judge_batch *batch)
{
    if (batch->free_works == NULL || batch->calls.waiting(batch->arg) >= HELD_BYTES_MAX)
        return false;
    return batch->in_flight == 0 || batch->held_bytes < HELD_BYTES_MAX;
}

static int feed(struct judge_batch *batch, struct cj_error *err)
{
    int64_t now_ns = monotonic_ns();
    int64_t late_ns = batch->started_ns + batch->settings.queue_life_ns;
    if (batch->cancelled)
        return 0;
    while (batch->next < batch->request.count && now_ns >= late_ns)
        hold_timeout(batch, batch->next++);
    while (batch->next < batch->request.count && has_room(batch)) {
        if (submit_next(batch, err) == 0)
            continue;
        if (batch->next == 0) /* nothing was accepted yet */
            return -1;
        net_timer_set(batch->timer, RETRY_NS);
        return 0;
    }
    if (batch->next < batch->request.count)
        net_timer_set(batch->timer, late_ns - now_ns);
    return 0;
}

void judge_batch_go_on(struct judge_batch *batch)
{
    struct cj_error ignored;
    if (feed(batch, &ignored) < 0)
        net_timer_set(batch->timer, RETRY_NS);
    tell(batch);
    end_when_idle(batch);
}

static void ring(void *arg)
{
    judge_batch_go_on(arg);
}

static void work_ended(void *arg)
{
    struct work *work = arg;
    struct judge_batch *batch = work->batch;
    batch->in_flight--;
    work->busy = false;
    if (!work->dropped)
        stage_since(STAGE_ANSWER, work->written_ns);
    work->next_free = batch->free_works;
    batch->free_works = work;
    if (batch->cancelled || (work->dropped && work->reason != SCHED_TOO_LATE)) {
        buf_free(&work->json);
        batch->cancelled = true;
    } else if (work->dropped) {
        hold_timeout(batch, work->index);
    } else {
        hold(batch, work->index, &work->json);
    }
    judge_batch_go_on(batch);
}

/* ---- public ---- */

int judge_batch_new(const struct judge_batch_settings *settings, struct judge_request *request,
                    const struct judge_batch_calls *calls, void *arg, struct judge_batch **out,
                    struct cj_error *err)
{
    struct judge_batch *batch = calloc(1, sizeof(*batch));
    if (batch == NULL)
        return error_set(err, ERROR_SYSTEM, ENOMEM, "judge a batch: out of memory");
    /* one that runs and one that waits for each slot */
    size_t works = 2 * (size_t)settings->slots;
    works = works < WORKS_MAX ? works : WORKS_MAX;
    batch->work_count = works < request->count ? works : request->count;
    batch->settings = *settings;
    batch->calls = *calls;
    batch->arg = arg;
    batch->works = calloc(batch->work_count, sizeof(*batch->works));
    batch->results = calloc(request->count, sizeof(*batch->results));
    if (batch->works == NULL || batch->results == NULL ||
        net_timer_new(&batch->timer, settings->loop, ring, batch, err) < 0) {
        judge_batch_free(batch);
        return error_set(err, ERROR_SYSTEM, ENOMEM, "judge a batch: out of memory");
    }
    for (size_t i = 0; i < batch->work_count; i++) {
        batch->works[i].next_free = batch->free_works;
        batch->free_works = &batch->works[i];
    }
    batch->request = *request;
    *request = (struct judge_request){0};
    *out = batch;
    return 0;
}

int judge_batch_start(struct judge_batch *batch, struct cj_error *err)
{
    batch->started_ns = monotonic_ns();
    return feed(batch, err);
}

void judge_batch_cancel(struct judge_batch *batch)
{
    if (batch->ended)
        return;
    batch->cancelled = true;
    net_timer_cancel(batch->timer);
    for (size_t i = 0; i < batch->work_count; i++)
        if (batch->works[i].busy)
            sched_cancel(batch->settings.sched, &batch->works[i].job);
    end_when_idle(batch);
}

size_t judge_batch_waiting(const struct judge_batch *batch)
{
    return batch->request.count - batch->next;
}

void judge_batch_free(struct judge_batch *batch)
{
    if (batch == NULL)
        return;
    net_timer_free(batch->timer);
    for (size_t i = 0; batch->results != NULL && i < batch->request.count; i++)
        free(batch->results[i].json);
    free(batch->results);
    free(batch->works);
    judge_request_free(&batch->request);
    free(batch);
}
