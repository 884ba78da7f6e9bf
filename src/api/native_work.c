/* The life of one HTTP request of the native judging API. */
#include "native_work.h"

#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/stages.h"

enum {
    ASIDE_BYTES = 64 * 1024,
    RUNS_BYTES =
        64 * 1024 * 1024, /* outputs of runs that a request keeps for cases that are the same */
    STREAM_HELD_BYTES_MAX =
        4 * 1024 * 1024, /* that wait for the client: nothing new begins meanwhile */
};
#define RETRY_NS   (5 * NS_PER_MS)
#define GIVE_UP_NS (2 * NS_PER_S)

/* ---- tasks, a few at a time ---- */

static void free_when_done(struct native_work *work)
{
    if (work->http == NULL && work->running == 0 && !work->is_aside)
        native_work_free(work);
}

/* Whether the client takes what is streamed: else it would lie here, far more than what was posted. */
static bool is_taken(const struct native_work *work)
{
    return work->streaming == NOT_STREAMED ||
           http_reply_waiting(work->http) < STREAM_HELD_BYTES_MAX;
}

/* As many as keep the slots busy. */
static int start_tasks(struct native_work *work, struct cj_error *err)
{
    size_t most = 2 * (size_t)work->native->settings.slots;
    while (work->next_task < work->batch.count && work->running < most && is_taken(work)) {
        if (native_task_start(&work->tasks[work->next_task], err) < 0)
            return -1;
        work->failing_ns = 0;
        work->running++;
        work->next_task++;
    }
    return 0;
}

/* The next task cannot begin, though the first was admitted:
 *   - the service is ending (ESHUTDOWN): so does the work;
 *   - the error is the request's: another try would end the same way, so it is the result of that submission;
 *   - anything else, memory for the most part, may pass: it is tried again every RETRY_NS, for GIVE_UP_NS from the
 *     first failure in a row on. Then that is the result, and of those behind it at once, until one begins. */
static void cannot_begin(struct native_work *work, const struct cj_error *why)
{
    int64_t now_ns = monotonic_ns();
    if (why->code == ESHUTDOWN) {
        native_work_cancel(work);
        return;
    }
    if (why->domain != ERROR_REQUEST) {
        if (work->failing_ns == 0)
            work->failing_ns = now_ns;
        if (now_ns - work->failing_ns < GIVE_UP_NS) {
            net_timer_set(work->retry, RETRY_NS);
            return;
        }
    }
    work->running++;
    native_task_fail(&work->tasks[work->next_task++], why); /* its end is posted: we come again */
}

static void answer_when_over(struct native_work *work)
{
    bool over = work->over == work->batch.count || work->cancelled;
    if (!work->begun || work->answered || work->running > 0 || !over)
        return;
    work->answered = true;
    native_answer(work);
}

static void go_on(struct native_work *work)
{
    struct cj_error err;
    if (!work->cancelled && start_tasks(work, &err) < 0)
        cannot_begin(work, &err);
    answer_when_over(work);
    free_when_done(work);
}

static void retry(void *arg)
{
    go_on(arg);
}

void native_work_task_ended(struct native_work *work)
{
    work->running--;
    work->over++;
    go_on(work);
}

/* ---- beginning ---- */

static int make_runs(struct native_work *work, struct cj_error *err)
{
    for (size_t i = 0; i < work->batch.count; i++)
        if (work->batch.requests[i].dedupe)
            return build_cache_new(RUNS_BYTES, work->native->settings.sched, &work->runs, err);
    return 0;
}

static int prepare_tasks(struct native_work *work, struct cj_error *err)
{
    work->tasks = calloc(work->batch.count, sizeof(*work->tasks));
    if (work->tasks == NULL)
        return error_set(err, ERROR_SYSTEM, ENOMEM, "judge: out of memory");
    for (size_t i = 0; i < work->batch.count; i++) /* all: they are released together */
        work->tasks[i] =
            (struct native_task){.work = work, .index = i, .request = &work->batch.requests[i]};
    for (size_t i = 0; i < work->batch.count; i++)
        if (native_task_prepare(&work->tasks[i], err) < 0)
            return -1;
    return 0;
}

static int begin(struct native_work *work, struct cj_error *err)
{
    if (work->batch.stream)
        work->streaming = work->accepts_events ? STREAMED_AS_EVENTS : STREAMED_AS_LINES;
    work->begun_ns = monotonic_ns();
    if (net_timer_new(&work->retry, work->native->settings.loop, retry, work, err) < 0 ||
        make_runs(work, err) < 0 || prepare_tasks(work, err) < 0)
        return -1;
    /* The first decides whether there is room for any of it. */
    int result = start_tasks(work, err);
    if (result < 0 && work->running == 0)
        return -1;
    if (work->streaming != NOT_STREAMED)
        native_stream_begin(work);
    work->begun = true;
    if (result < 0)
        cannot_begin(work, err);
    return 0;
}

/* ---- reading ---- */

static void parse(void *arg)
{
    struct native_work *work = arg;
    char *body;
    size_t size;
    work->parse_result = buf_take(&work->body, &body, &size, &work->error);
    if (work->parse_result == 0)
        work->parse_result = native_request_parse(work->native->settings.languages, work->kind,
                                                  body, size, &work->batch, &work->error);
}

static void parsed(void *arg)
{
    struct native_work *work = arg;
    work->is_aside = false;
    stage_since(STAGE_READ, work->came_ns);
    if (work->http == NULL)
        free_when_done(work);
    else if (work->parse_result < 0 || begin(work, &work->error) < 0)
        native_reply_failure(work->http, &work->error);
}

static void take_body(struct http_request *http, const char *data, size_t size, void *arg)
{
    struct native_work *work = arg;
    (void)http;
    buf_append(&work->body, data, size);
}

static void body_ended(struct http_request *http, void *arg)
{
    struct native_work *work = arg;
    (void)http;
    work->came_ns = monotonic_ns();
    if (work->body.size < ASIDE_BYTES) {
        parse(work);
        parsed(work);
        return;
    }
    work->is_aside = true;
    work->aside = (struct aside_task){.work = parse, .done = parsed, .arg = work};
    aside_submit(work->native->settings.aside, &work->aside);
}

static void drained(struct http_request *http, void *arg)
{
    struct native_work *work = arg;
    (void)http;
    if (work->begun && work->next_task < work->batch.count)
        go_on(work);
}

static void request_over(struct http_request *http, enum http_over how, void *arg)
{
    struct native_work *work = arg;
    (void)http;
    (void)how;
    work->http = NULL;
    if (work->running > 0)
        native_work_cancel(work);
    free_when_done(work);
}

/* ---- life ---- */

void native_work_begin(struct native *native, struct http_request *http, enum native_body_kind kind)
{
    static const struct http_calls calls = {
        .body = take_body, .end = body_ended, .drained = drained, .over = request_over};
    struct native_work *work = calloc(1, sizeof(*work));
    if (work == NULL) {
        native_reply_error(http, 500, "out of memory");
        return;
    }
    work->native = native;
    work->http = http;
    work->kind = kind;
    work->accepts_events = http_header_has(http, "accept", "text/event-stream");
    work->next = native->works;
    if (native->works != NULL)
        native->works->previous = work;
    native->works = work;
    int64_t length = http_content_length(http);
    if (length > 0 && (uint64_t)length <= native->settings.body_bytes)
        buf_reserve(&work->body, (size_t)length + 1);
    http_set_calls(http, &calls, work);
    http_accept_body(http, native->settings.body_bytes);
}

void native_work_cancel(struct native_work *work)
{
    work->cancelled = true;
    if (work->retry != NULL)
        net_timer_cancel(work->retry);
    for (size_t i = 0; work->tasks != NULL && i < work->batch.count; i++)
        if (work->tasks[i].evaluation != NULL)
            evaluation_cancel(work->tasks[i].evaluation);
    answer_when_over(work);
}

void native_work_free(struct native_work *work)
{
    if (work->previous != NULL)
        work->previous->next = work->next;
    else
        work->native->works = work->next;
    if (work->next != NULL)
        work->next->previous = work->previous;
    for (size_t i = 0; work->tasks != NULL && i < work->batch.count; i++)
        native_task_release(&work->tasks[i]);
    net_timer_free(work->retry);
    build_cache_free(work->runs);
    free(work->tasks);
    native_batch_free(&work->batch);
    buf_free(&work->body);
    free(work);
}
