/* The life of a request here:
 *
 *     head ─► body ─► end ─► (aside, when large) parse ─► evaluations, a few at a time ─► answer ─► over
 *
 * What evaluations tell comes on the threads of slots, is written as JSON there, and posted to the loop. */
#include "native.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "artifacts.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/json_writer.h"
#include "base/log.h"
#include "base/stages.h"
#include "judge/evaluation.h"
#include "native_request.h"
#include "native_result.h"

enum {
    ASIDE_BYTES = 64 * 1024,
    RUNS_BYTES =
        64 * 1024 * 1024, /* outputs of runs that a request keeps for cases that are the same */
};
#define RETRY_NS (5 * NS_PER_MS)

struct native {
    struct native_settings settings;
    struct artifacts *artifacts;
    struct work *works;
};

enum streaming { NOT_STREAMED, STREAMED_AS_LINES, STREAMED_AS_EVENTS };

struct rendered {
    char *json;
    size_t size;
};

/* One program and its cases. */
struct task {
    struct work *work;
    size_t index; /* in its batch */
    const struct native_request *request;
    struct judge_program program;
    struct evaluation_case *cases;
    struct evaluation *evaluation; /* NULL: not begun, or over */
    struct native_summary summary;
    struct rendered build;
    struct rendered *results;     /* not streamed: one for each case */
    struct judge_artefact *built; /* NATIVE_BUILD */
    struct judge_artefact
        *given; /* by its id, ours from the beginning on; NULL: there is a program */
    bool over;
};

/* One HTTP request. */
struct work {
    struct native *native;
    struct work *next, *previous;
    struct http_request *http; /* NULL once it is over */
    enum native_body_kind kind;
    enum streaming streaming;
    bool accepts_events;
    struct buf body;
    int64_t came_ns; /* the whole of it */
    struct aside_task aside;
    bool is_aside;
    int parse_result;
    struct cj_error error;
    struct native_batch batch;
    struct task *tasks;
    struct build_cache *runs; /* of requests that say dedupe; NULL: none does */
    struct net_timer *retry;
    size_t next_task;
    size_t running;
    size_t over;
    int64_t begun_ns;
    bool cancelled;
};

/* What happened, on its way to the loop. */
struct event {
    struct task *task;
    enum { EVENT_BUILT, EVENT_CASE, EVENT_ENDED } kind;
    size_t index;
    struct buf json;
    struct exec_result figures; /* numbers only */
    int64_t written_ns;
    struct evaluation_result result;
    struct judge_artefact *artefact;
};

/* ---- answers ---- */

static void reply_buf(struct http_request *http, int status, struct buf *body)
{
    struct cj_error err;
    char *data;
    size_t size;
    http_reply_header(http, "content-type", "application/json");
    if (buf_take(body, &data, &size, &err) < 0)
        http_reply(http, 500, NULL, 0);
    else
        http_reply_owned(http, status, data, size, http_release_free, NULL);
}

/* {"error":{"message":"...","field":...}} would have to be parsed; one text that names the field reads as well. */
static void reply_error(struct http_request *http, int status, const char *message)
{
    struct buf body = {0};
    struct json_writer json = json_writer_to(&body, JSON_COMPACT_PLAIN);
    json_object_begin(&json);
    json_key(&json, "error");
    json_string(&json, message);
    json_object_end(&json);
    reply_buf(http, status, &body);
}

static void reply_failure(struct http_request *http, const struct cj_error *err)
{
    if (err->code == EAGAIN || err->code == ESHUTDOWN) {
        http_reply_header(http, "retry-after", "1");
        reply_error(http, 503,
                    err->code == EAGAIN ? "the queue is full" : "the service is shutting down");
    } else if (err->domain == ERROR_REQUEST) {
        reply_error(http, 400, err->message);
    } else {
        log_error("a judging request failed", log_failure(err));
        reply_error(http, 500, err->message);
    }
}

/* ---- life ---- */

static void task_free(struct task *task)
{
    evaluation_free(task->evaluation);
    for (size_t i = 0; task->results != NULL && i < task->request->case_count; i++)
        free(task->results[i].json);
    free(task->results);
    free(task->build.json);
    free(task->cases);
    judge_artefact_release(task->built);
    judge_artefact_release(task->given);
}

static void work_free(struct work *work)
{
    if (work->previous != NULL)
        work->previous->next = work->next;
    else
        work->native->works = work->next;
    if (work->next != NULL)
        work->next->previous = work->previous;
    for (size_t i = 0; work->tasks != NULL && i < work->batch.count; i++)
        task_free(&work->tasks[i]);
    net_timer_free(work->retry);
    build_cache_free(work->runs);
    free(work->tasks);
    native_batch_free(&work->batch);
    buf_free(&work->body);
    free(work);
}

static void free_when_done(struct work *work)
{
    if (work->http == NULL && work->running == 0 && !work->is_aside)
        work_free(work);
}

/* ---- writing the answer ---- */

static void stream_line(struct work *work, const char *event, const struct task *task,
                        const char *members, size_t size)
{
    struct buf line = {0};
    struct json_writer json = json_writer_to(&line, JSON_COMPACT_PLAIN);
    if (work->http == NULL)
        return;
    if (work->streaming == STREAMED_AS_EVENTS)
        buf_printf(&line, "event: %s\ndata: ", event);
    buf_append_text(&line, "{\"event\":");
    json_string(&json, event);
    if (work->kind == NATIVE_BATCH)
        buf_printf(&line, ",\"submission\":%zu", task->index);
    if (task->request->id.size > 0) {
        struct json_writer id = json_writer_to(&line, JSON_COMPACT_PLAIN);
        buf_append_text(&line,
                        work->kind == NATIVE_BATCH ? ",\"submission_id\":" : ",\"request_id\":");
        json_string_bytes(&id, task->request->id.data, task->request->id.size);
    }
    buf_append_char(&line, ',');
    buf_append(&line, members, size);
    buf_append_text(&line, work->streaming == STREAMED_AS_EVENTS ? "}\n\n" : "}\n");
    http_reply_piece(work->http, line.data, line.size);
    buf_free(&line);
}

/* Members of an object without its braces: the writer wants an object, the stream only what is in it. */
static void cut_braces(struct buf *json)
{
    if (json->size >= 2) {
        memmove(json->data, json->data + 1, json->size - 2);
        buf_cut(json, json->size - 2);
    }
}

static void write_protection(struct json_writer *json, const struct native *native)
{
    json_key(json, "protection");
    json_string(json, native->settings.protection);
    json_key(json, "accounting");
    json_string(json, native->settings.accounting);
}

static void write_task(struct json_writer *json, const struct task *task)
{
    json_object_begin(json);
    if (task->request->id.size > 0) {
        json_key(json, "id");
        json_string_bytes(json, task->request->id.data, task->request->id.size);
    }
    json_key(json, "build");
    json_raw(json, task->build.json, task->build.size);
    json_key(json, "cases");
    json_array_begin(json);
    for (size_t i = 0; i < task->request->case_count; i++)
        if (task->results[i].json != NULL)
            json_raw(json, task->results[i].json, task->results[i].size);
    json_array_end(json);
    json_key(json, "summary");
    json_object_begin(json);
    native_summary_write(json, &task->summary);
    write_protection(json, task->work->native);
    json_object_end(json);
    json_object_end(json);
}

static void answer_build(struct work *work)
{
    struct task *task = &work->tasks[0];
    struct buf body = {0};
    struct json_writer json = json_writer_to(&body, JSON_COMPACT_PLAIN);
    struct cj_error err;
    char id[ARTIFACT_ID_SIZE];
    bool kept = task->built != NULL;
    if (kept && artifacts_add(work->native->artifacts, task->built, id, &err) < 0) {
        reply_failure(work->http, &err);
        return;
    }
    json_object_begin(&json);
    json_key(&json, "artifact");
    if (kept)
        json_string(&json, id);
    else
        json_null(&json);
    json_key(&json, "build");
    json_raw(&json, task->build.json, task->build.size);
    json_object_end(&json);
    reply_buf(work->http, 200, &body);
}

static void answer(struct work *work)
{
    struct buf body = {0};
    struct json_writer json = json_writer_to(&body, JSON_COMPACT_PLAIN);
    if (work->http == NULL)
        return;
    if (work->streaming != NOT_STREAMED) {
        if (work->cancelled)
            http_abort(work->http);
        else
            http_reply_end(work->http);
        return;
    }
    if (work->cancelled) {
        reply_error(work->http, 503, "the service is shutting down");
        return;
    }
    if (work->kind == NATIVE_BUILD) {
        answer_build(work);
        return;
    }
    if (work->kind == NATIVE_BATCH) {
        json_object_begin(&json);
        json_key(&json, "results");
        json_array_begin(&json);
        for (size_t i = 0; i < work->batch.count; i++)
            write_task(&json, &work->tasks[i]);
        json_array_end(&json);
        json_object_end(&json);
    } else {
        write_task(&json, &work->tasks[0]);
    }
    reply_buf(work->http, 200, &body);
}

/* ---- what evaluations tell ---- */

static void take_event(void *arg);

static struct event *event_new(struct task *task, const struct evaluation_result *result)
{
    struct event *event = calloc(1, sizeof(*event));
    if (event == NULL)
        abort(); /* a few words, without which an answer could not be given */
    event->task = task;
    if (result == NULL)
        return event;
    event->result = (struct evaluation_result){.verdict = result->verdict, .message = ""};
    if (result->run != NULL) {
        event->figures = (struct exec_result){.status = result->run->status,
                                              .cpu_ns = result->run->cpu_ns,
                                              .wall_ns = result->run->wall_ns,
                                              .memory_bytes = result->run->memory_bytes};
        event->result.run = &event->figures;
    }
    return event;
}

static void on_built(void *arg, const struct evaluation_result *result,
                     struct judge_artefact *artefact)
{
    struct task *task = arg;
    struct event *event = event_new(task, result);
    struct json_writer json = json_writer_to(&event->json, JSON_COMPACT_PLAIN);
    event->kind = EVENT_BUILT;
    json_object_begin(&json);
    native_build_write(&json, result);
    json_object_end(&json);
    if (task->work->kind == NATIVE_BUILD && artefact != NULL)
        event->artefact = judge_artefact_share(artefact);
    event->written_ns = monotonic_ns();
    net_loop_post(task->work->native->settings.loop, take_event, event);
}

static void on_case_ended(void *arg, size_t index, const struct evaluation_result *result)
{
    struct task *task = arg;
    struct event *event = event_new(task, result);
    struct json_writer json = json_writer_to(&event->json, JSON_COMPACT_PLAIN);
    event->kind = EVENT_CASE;
    event->index = index;
    json_object_begin(&json);
    native_case_write(&json, task->request, index, result);
    json_object_end(&json);
    event->written_ns = monotonic_ns();
    net_loop_post(task->work->native->settings.loop, take_event, event);
}

static void on_ended(void *arg)
{
    struct task *task = arg;
    struct event *event = event_new(task, NULL);
    event->kind = EVENT_ENDED;
    net_loop_post(task->work->native->settings.loop, take_event, event);
}

static const struct evaluation_calls evaluation_calls = {on_built, on_case_ended, on_ended};

/* ---- going on ---- */

static int start_tasks(struct work *work, struct cj_error *err);

static void keep(struct rendered *place, struct buf *json)
{
    struct cj_error err;
    if (buf_take(json, &place->json, &place->size, &err) < 0) {
        place->json = strdup("null");
        place->size = 4;
    }
}

static void task_built(struct task *task, struct event *event)
{
    task->summary.build = event->result.verdict;
    if (event->result.verdict != VERDICT_ACCEPTED)
        task->summary.verdict = evaluation_status_name(&event->result);
    task->built = event->artefact;
    if (task->work->streaming == NOT_STREAMED) {
        keep(&task->build, &event->json);
        return;
    }
    cut_braces(&event->json);
    stream_line(task->work, "build", task, event->json.data, event->json.size);
}

static void task_case(struct task *task, struct event *event)
{
    native_summary_add(&task->summary, event->index, &event->result);
    if (task->work->streaming == NOT_STREAMED) {
        keep(&task->results[event->index], &event->json);
        return;
    }
    cut_braces(&event->json);
    stream_line(task->work, "case", task, event->json.data, event->json.size);
}

static void stream_summary(struct task *task)
{
    struct buf members = {0};
    struct json_writer json = json_writer_to(&members, JSON_COMPACT_PLAIN);
    json_object_begin(&json);
    native_summary_write(&json, &task->summary);
    write_protection(&json, task->work->native);
    json_object_end(&json);
    cut_braces(&members);
    stream_line(task->work, "summary", task, members.data, members.size);
    buf_free(&members);
}

static void go_on(struct work *work)
{
    struct cj_error err;
    if (!work->cancelled && start_tasks(work, &err) < 0)
        net_timer_set(work->retry, RETRY_NS);
    if (work->running == 0 && (work->over == work->batch.count || work->cancelled))
        answer(work);
    free_when_done(work);
}

static void retry(void *arg)
{
    go_on(arg);
}

static void task_ended(struct task *task)
{
    struct work *work = task->work;
    evaluation_free(task->evaluation);
    task->evaluation = NULL;
    task->over = true;
    work->running--;
    work->over++;
    if (work->streaming != NOT_STREAMED && !work->cancelled)
        stream_summary(task);
    go_on(work);
}

static void take_event(void *arg)
{
    struct event *event = arg;
    struct task *task = event->task;
    if (event->kind != EVENT_ENDED)
        stage_since(STAGE_ANSWER, event->written_ns);
    switch (event->kind) {
    case EVENT_BUILT:
        task_built(task, event);
        break;
    case EVENT_CASE:
        task_case(task, event);
        break;
    case EVENT_ENDED:
        task_ended(task); /* may free the work */
        break;
    }
    buf_free(&event->json);
    free(event);
}

/* ---- starting ---- */

static const char *text_or_null(struct native_text text)
{
    return text.data;
}

enum { PREFIX_SIZE = 48 };

/* What the path of a field begins with; "" where there is but one submission. */
static const char *path_prefix(const struct task *task, char text[static PREFIX_SIZE])
{
    text[0] = '\0';
    if (task->work->kind == NATIVE_BATCH)
        snprintf(text, PREFIX_SIZE, "submissions[%zu].", task->index);
    return text;
}

static int check_stored(const struct task *task, size_t index, const char *field,
                        struct native_text id, struct cj_error *err)
{
    char prefix[PREFIX_SIZE];
    if (id.data == NULL || store_touch(task->work->native->settings.store, id.data))
        return 0;
    return error_set(err, ERROR_REQUEST, ENOENT, "%scases[%zu].%s: there is no stored file '%.40s'",
                     path_prefix(task, prefix), index, field, id.data);
}

static int take_artefact(struct task *task, struct cj_error *err)
{
    const struct native_text id = task->request->artifact;
    char prefix[PREFIX_SIZE];
    if (id.data == NULL)
        return 0;
    struct judge_artefact *artefact = artifacts_find(task->work->native->artifacts, id.data);
    if (artefact == NULL)
        return error_set(err, ERROR_REQUEST, ENOENT,
                         "%sartifact: there is no '%.40s': build it again",
                         path_prefix(task, prefix), id.data);
    task->given = judge_artefact_share(artefact);
    return 0;
}

static int prepare_task(struct work *work, struct task *task, struct cj_error *err)
{
    const struct native_request *request = task->request;
    task->program = (struct judge_program){request->language, request->files, request->file_count};
    task->cases = calloc(request->case_count + 1, sizeof(*task->cases));
    task->results = work->streaming == NOT_STREAMED
                        ? calloc(request->case_count + 1, sizeof(*task->results))
                        : NULL;
    if (task->cases == NULL || (work->streaming == NOT_STREAMED && task->results == NULL))
        return error_set(err, ERROR_SYSTEM, ENOMEM, "judge: out of memory");
    task->summary.case_count = request->case_count;
    for (size_t i = 0; i < request->case_count; i++) {
        const struct native_case *asked = &request->cases[i];
        if (check_stored(task, i, "input_file", asked->input_file, err) < 0 ||
            check_stored(task, i, "expected_file", asked->expected_file, err) < 0)
            return -1;
        task->cases[i] = (struct evaluation_case){
            .input = asked->input.data,
            .input_size = asked->input.size,
            .input_file = text_or_null(asked->input_file),
            .expected = asked->expected.data,
            .expected_size = asked->expected.size,
            .expected_file = text_or_null(asked->expected_file),
        };
    }
    return take_artefact(task, err);
}

static int start_task(struct work *work, struct task *task, struct cj_error *err)
{
    const struct native_settings *settings = &work->native->settings;
    const struct native_request *request = task->request;
    const struct evaluation_task evaluation = {
        .program = &task->program,
        .artefact = task->given,
        .runs = request->dedupe ? work->runs : NULL,
        .cases = task->cases,
        .case_count = request->case_count,
        .limits = request->limits,
        .output_bytes = request->output_bytes > 0 ? request->output_bytes : settings->output_bytes,
        .compare = request->compare,
        .stop_at_first_failure = request->stop_at_first_failure,
        .source = (uint64_t)(uintptr_t)work,
        .follows = task->index > 0,
        .deadline_ns = request->deadline_ns > 0 ? work->begun_ns + request->deadline_ns : 0,
    };
    if (evaluation_start(settings->sched, settings->judge, settings->store, settings->slots,
                         &evaluation, &evaluation_calls, task, &task->evaluation, err) < 0)
        return -1;
    work->running++;
    return 0;
}

/* A few at a time: as many as keep the slots busy. */
static int start_tasks(struct work *work, struct cj_error *err)
{
    size_t most = 2 * (size_t)work->native->settings.slots;
    while (work->next_task < work->batch.count && work->running < most) {
        if (start_task(work, &work->tasks[work->next_task], err) < 0)
            return -1;
        work->next_task++;
    }
    return 0;
}

static void begin_stream(struct work *work)
{
    work->streaming = work->accepts_events ? STREAMED_AS_EVENTS : STREAMED_AS_LINES;
}

static int begin(struct work *work, struct cj_error *err)
{
    if (work->batch.stream)
        begin_stream(work);
    work->begun_ns = monotonic_ns();
    work->tasks = calloc(work->batch.count, sizeof(*work->tasks));
    if (work->tasks == NULL ||
        net_timer_new(&work->retry, work->native->settings.loop, retry, work, err) < 0)
        return error_set(err, ERROR_SYSTEM, ENOMEM, "judge: out of memory");
    for (size_t i = 0; i < work->batch.count && work->runs == NULL; i++)
        if (work->batch.requests[i].dedupe &&
            build_cache_new(RUNS_BYTES, work->native->settings.sched, &work->runs, err) < 0)
            return -1;
    for (size_t i = 0; i < work->batch.count; i++) {
        work->tasks[i] =
            (struct task){.work = work, .index = i, .request = &work->batch.requests[i]};
        if (prepare_task(work, &work->tasks[i], err) < 0)
            return -1;
    }
    /* The first decides whether there is room for any of it. */
    if (start_tasks(work, err) < 0) {
        if (work->running == 0)
            return -1;
        net_timer_set(work->retry, RETRY_NS);
    }
    if (work->streaming != NOT_STREAMED) {
        http_reply_header(work->http, "content-type",
                          work->streaming == STREAMED_AS_EVENTS ? "text/event-stream"
                                                                : "application/x-ndjson");
        http_reply_header(work->http, "cache-control", "no-store");
        http_reply_start(work->http, 200, -1);
    }
    return 0;
}

/* ---- reading ---- */

static void parse(void *arg)
{
    struct work *work = arg;
    char *body;
    size_t size;
    work->parse_result = buf_take(&work->body, &body, &size, &work->error);
    if (work->parse_result == 0)
        work->parse_result = native_request_parse(work->native->settings.languages, work->kind,
                                                  body, size, &work->batch, &work->error);
}

static void parsed(void *arg)
{
    struct work *work = arg;
    work->is_aside = false;
    stage_since(STAGE_READ, work->came_ns);
    if (work->http == NULL)
        free_when_done(work);
    else if (work->parse_result < 0 || begin(work, &work->error) < 0)
        reply_failure(work->http, &work->error);
}

static void take_body(struct http_request *http, const char *data, size_t size, void *arg)
{
    struct work *work = arg;
    (void)http;
    buf_append(&work->body, data, size);
}

static void body_ended(struct http_request *http, void *arg)
{
    struct work *work = arg;
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

static void cancel_work(struct work *work)
{
    work->cancelled = true;
    if (work->retry != NULL)
        net_timer_cancel(work->retry);
    for (size_t i = 0; work->tasks != NULL && i < work->batch.count; i++)
        if (work->tasks[i].evaluation != NULL)
            evaluation_cancel(work->tasks[i].evaluation);
}

static void request_over(struct http_request *http, enum http_over how, void *arg)
{
    struct work *work = arg;
    (void)http;
    (void)how;
    work->http = NULL;
    if (work->running > 0)
        cancel_work(work);
    free_when_done(work);
}

static const struct http_calls work_calls = {
    .body = take_body, .end = body_ended, .over = request_over};

static void begin_work(struct native *native, struct http_request *http, enum native_body_kind kind)
{
    struct work *work = calloc(1, sizeof(*work));
    if (work == NULL) {
        reply_error(http, 500, "out of memory");
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
    http_set_calls(http, &work_calls, work);
    http_accept_body(http, native->settings.body_bytes);
}

/* ---- public ---- */

int native_new(const struct native_settings *settings, struct native **out, struct cj_error *err)
{
    struct native *native = calloc(1, sizeof(*native));
    if (native == NULL)
        return error_set(err, ERROR_SYSTEM, ENOMEM, "judging API: out of memory");
    native->settings = *settings;
    if (artifacts_new(settings->artifact_bytes, &native->artifacts, err) < 0) {
        free(native);
        return -1;
    }
    *out = native;
    return 0;
}

bool native_head(struct native *native, struct http_request *request)
{
    static const struct {
        const char *path;
        enum native_body_kind kind;
    } routes[] = {{"/v1/judge", NATIVE_JUDGE},
                  {"/v1/judge/batch", NATIVE_BATCH},
                  {"/v1/build", NATIVE_BUILD}};
    static const char artifacts[] = "/v1/artifacts/";
    const char *path = http_path(request), *method = http_method(request);
    for (size_t i = 0; i < COUNT_OF(routes); i++) {
        if (strcmp(path, routes[i].path) != 0)
            continue;
        if (strcmp(method, "POST") == 0) {
            begin_work(native, request, routes[i].kind);
        } else {
            http_reply_header(request, "allow", "POST");
            reply_error(request, 405, "only POST is understood here");
        }
        return true;
    }
    if (strncmp(path, artifacts, strlen(artifacts)) != 0)
        return false;
    if (strcmp(method, "DELETE") != 0) {
        http_reply_header(request, "allow", "DELETE");
        reply_error(request, 405, "only DELETE is understood here");
    } else if (artifacts_remove(native->artifacts, path + strlen(artifacts))) {
        http_reply(request, 204, NULL, 0);
    } else {
        reply_error(request, 404, "there is no such artifact");
    }
    return true;
}

void native_cancel(struct native *native)
{
    struct work *next;
    for (struct work *work = native->works; work != NULL; work = next) {
        next = work->next;
        cancel_work(work);
    }
}

uint64_t native_at_work(const struct native *native)
{
    uint64_t count = 0;
    for (const struct work *work = native->works; work != NULL; work = work->next)
        count += work->running > 0 || work->is_aside;
    return count;
}

void native_free(struct native *native)
{
    if (native == NULL)
        return;
    while (native->works != NULL)
        work_free(native->works);
    artifacts_free(native->artifacts);
    free(native);
}
