/* What a client of the native judging API gets. */
#include <errno.h>
#include <string.h>

#include "base/json_writer.h"
#include "base/log.h"
#include "native_work.h"

/* ---- errors ---- */

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
void native_reply_error(struct http_request *http, int status, const char *message)
{
    struct buf body = {0};
    struct json_writer json = json_writer_to(&body, JSON_COMPACT_PLAIN);
    json_object_begin(&json);
    json_key(&json, "error");
    json_string(&json, message);
    json_object_end(&json);
    reply_buf(http, status, &body);
}

void native_reply_failure(struct http_request *http, const struct cj_error *err)
{
    if (err->code == EAGAIN || err->code == ESHUTDOWN) {
        http_reply_header(http, "retry-after", "1");
        native_reply_error(
            http, 503, err->code == EAGAIN ? "the queue is full" : "the service is shutting down");
    } else if (err->domain == ERROR_REQUEST) {
        native_reply_error(http, 400, err->message);
    } else {
        log_error("a judging request failed", log_failure(err));
        native_reply_error(http, 500, err->message);
    }
}

/* ---- a summary ---- */

static void write_summary(struct json_writer *json, const struct native_task *task)
{
    const struct native_settings *settings = &task->work->native->settings;
    json_object_begin(json);
    native_summary_write(json, &task->summary);
    json_key(json, "protection");
    json_string(json, settings->protection);
    json_key(json, "accounting");
    json_string(json, settings->accounting);
    json_object_end(json);
}

/* ---- a stream ---- */

void native_stream_begin(struct native_work *work)
{
    http_reply_header(work->http, "content-type",
                      work->streaming == STREAMED_AS_EVENTS ? "text/event-stream"
                                                            : "application/x-ndjson");
    http_reply_header(work->http, "cache-control", "no-store");
    http_reply_start(work->http, 200, -1);
}

/* Without its braces: the writer wants an object, the stream only what is in it. */
static void append_members(struct buf *line, const struct buf *object)
{
    if (object->size >= 2)
        buf_append(line, object->data + 1, object->size - 2);
}

void native_stream_tell(struct native_task *task, const char *event, struct buf *object)
{
    const struct native_work *work = task->work;
    const bool as_events = work->streaming == STREAMED_AS_EVENTS;
    struct buf line = {0};
    struct json_writer json = json_writer_to(&line, JSON_COMPACT_PLAIN);
    if (work->http == NULL) {
        buf_free(object);
        return;
    }
    if (as_events)
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
    append_members(&line, object);
    buf_append_text(&line, as_events ? "}\n\n" : "}\n");
    http_reply_piece(work->http, line.data, line.size);
    buf_free(&line);
    buf_free(object);
}

void native_stream_summary(struct native_task *task)
{
    struct buf object = {0};
    struct json_writer json = json_writer_to(&object, JSON_COMPACT_PLAIN);
    write_summary(&json, task);
    native_stream_tell(task, "summary", &object);
}

/* ---- a whole answer ---- */

static void write_task(struct json_writer *json, const struct native_task *task)
{
    json_object_begin(json);
    if (task->request->id.size > 0) {
        json_key(json, "id");
        json_string_bytes(json, task->request->id.data, task->request->id.size);
    }
    json_key(json, "build");
    json_raw(json, task->build.text, task->build.size);
    json_key(json, "cases");
    json_array_begin(json);
    for (size_t i = 0; i < task->request->case_count; i++)
        if (task->results[i].text != NULL)
            json_raw(json, task->results[i].text, task->results[i].size);
    json_array_end(json);
    json_key(json, "summary");
    write_summary(json, task);
    json_object_end(json);
}

static void write_batch(struct json_writer *json, const struct native_work *work)
{
    json_object_begin(json);
    json_key(json, "results");
    json_array_begin(json);
    for (size_t i = 0; i < work->batch.count; i++)
        write_task(json, &work->tasks[i]);
    json_array_end(json);
    json_object_end(json);
}

static void answer_build(struct native_work *work)
{
    const struct native_task *task = &work->tasks[0];
    struct buf body = {0};
    struct json_writer json = json_writer_to(&body, JSON_COMPACT_PLAIN);
    struct cj_error err;
    char id[ARTIFACT_ID_SIZE];
    bool kept = task->built != NULL;
    if (kept && artifacts_add(work->native->artifacts, task->built, id, &err) < 0) {
        native_reply_failure(work->http, &err);
        return;
    }
    json_object_begin(&json);
    json_key(&json, "artifact");
    if (kept)
        json_string(&json, id);
    else
        json_null(&json);
    json_key(&json, "build");
    json_raw(&json, task->build.text, task->build.size);
    json_object_end(&json);
    reply_buf(work->http, 200, &body);
}

static void answer_whole(struct native_work *work)
{
    struct buf body = {0};
    struct json_writer json = json_writer_to(&body, JSON_COMPACT_PLAIN);
    switch (work->kind) {
    case NATIVE_BUILD:
        answer_build(work);
        return;
    case NATIVE_BATCH:
        write_batch(&json, work);
        break;
    case NATIVE_JUDGE:
        write_task(&json, &work->tasks[0]);
        break;
    }
    reply_buf(work->http, 200, &body);
}

void native_answer(struct native_work *work)
{
    if (work->http == NULL)
        return;
    if (work->streaming == NOT_STREAMED && work->cancelled)
        native_reply_error(work->http, 503, "the service is shutting down");
    else if (work->streaming == NOT_STREAMED)
        answer_whole(work);
    else if (work->cancelled)
        http_abort(work->http);
    else
        http_reply_end(work->http);
}
