/* The life of a request here:
 *
 *     head ─► body ─► end ─► (aside, when large) parse ─► batch ─► answer ─► over
 *
 * A judging lives until its request is over and its batch has ended, whichever comes last. */
#include "api/judge_door.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/language_json.h"
#include "aside.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/json_writer.h"
#include "base/log.h"
#include "base/stages.h"
#include "judge_batch.h"
#include "judge_request.h"
#include "native.h"
#include "stages_json.h"

enum { ASIDE_BYTES = 64 * 1024 }; /* bodies from here on are read beside the loop */

struct judge_door {
    struct judge_door_settings settings;
    struct aside *aside;
    struct native *native;    /* /v1 */
    struct judging *judgings; /* all of them */
};

struct route {
    const char *path;
    const char *method;
    enum judge_body_kind kind;
    bool with_texts;
    bool is_long;
    void (*answer)(struct judge_door *door, struct http_request *request); /* of a GET */
};

struct judging {
    struct judge_door *door;
    struct judging *next, *previous;
    const struct route *route;
    struct http_request *request; /* NULL once it is over */
    bool is_json;
    struct buf body;
    int64_t came_ns; /* the whole of it */
    struct aside_task task;
    bool is_aside;
    enum judge_request_outcome outcome;
    struct judge_request parsed;
    struct buf errors;
    struct judge_batch *batch;
    struct buf answer; /* of a single submission */
    size_t told;
};

/* ---- answers ---- */

static void reply_json(struct http_request *request, int status, struct buf *body)
{
    struct cj_error err;
    char *data;
    size_t size;
    http_reply_header(request, "content-type", "application/json");
    if (buf_take(body, &data, &size, &err) < 0) {
        http_reply(request, 500, NULL, 0);
        return;
    }
    http_reply_owned(request, status, data, size, http_release_free, NULL);
}

/* {"detail":"..."}, FastAPI's form */
static void reply_detail(struct http_request *request, int status, const char *detail)
{
    struct buf body = {0};
    struct json_writer json = json_writer_to(&body, JSON_COMPACT_PLAIN);
    json_object_begin(&json);
    json_key(&json, "detail");
    json_string(&json, detail);
    json_object_end(&json);
    reply_json(request, status, &body);
}

static void refuse(struct http_refusal *refusal, const struct http_request *request, void *arg)
{
    struct buf body = {0};
    struct json_writer json = json_writer_to(&body, JSON_COMPACT_PLAIN);
    struct cj_error err;
    (void)request;
    (void)arg;
    json_object_begin(&json);
    json_key(&json, "detail");
    json_string(&json, refusal->reason);
    json_object_end(&json);
    char *data;
    size_t size;
    if (buf_take(&body, &data, &size, &err) < 0)
        return;
    free(refusal->body);
    refusal->content_type = "application/json";
    refusal->body = data;
    refusal->body_size = size;
}

static void answer_ping(struct judge_door *door, struct http_request *request)
{
    (void)door;
    http_reply_header(request, "content-type", "application/json");
    http_reply(request, 200, "\"pong\"", 6);
}

static void answer_status(struct judge_door *door, struct http_request *request)
{
    struct sched_stats stats;
    struct buf body = {0};
    struct json_writer json = json_writer_to(&body, JSON_COMPACT_PLAIN);
    sched_stats(door->settings.sched, &stats);
    uint64_t waiting = stats.waiting;
    for (const struct judging *judging = door->judgings; judging != NULL; judging = judging->next)
        if (judging->batch != NULL)
            waiting += judge_batch_waiting(judging->batch);
    json_object_begin(&json);
    json_key(&json, "queue");
    json_uint(&json, waiting);
    json_key(&json, "num_workers");
    json_uint(&json, stats.slots);
    json_object_end(&json);
    reply_json(request, 200, &body);
}

/* ---- judgings ---- */

static void judging_free(struct judging *judging)
{
    struct judging **head = &judging->door->judgings;
    if (judging->previous != NULL)
        judging->previous->next = judging->next;
    else
        *head = judging->next;
    if (judging->next != NULL)
        judging->next->previous = judging->previous;
    buf_free(&judging->body);
    buf_free(&judging->errors);
    buf_free(&judging->answer);
    judge_request_free(&judging->parsed);
    judge_batch_free(judging->batch);
    free(judging);
}

static void judging_free_when_done(struct judging *judging)
{
    if (judging->request == NULL && judging->batch == NULL && !judging->is_aside)
        judging_free(judging);
}

static bool is_batch(const struct judging *judging)
{
    return judging->route->kind == JUDGE_BODY_BATCH;
}

/* What stands before the results of a batch. */
static void begin_batch_answer(struct judging *judging, struct body_text sub_id)
{
    struct buf start = {0};
    struct json_writer json = json_writer_to(&start, JSON_COMPACT_PLAIN);
    char uuid[UUID_SIZE];
    buf_append_text(&start, "{\"sub_id\":");
    if (sub_id.size > 0) {
        json_string_bytes(&json, sub_id.data, sub_id.size);
    } else {
        judge_uuid(uuid);
        json_string(&json, uuid);
    }
    buf_append_text(&start, ",\"results\":[");
    http_reply_header(judging->request, "content-type", "application/json");
    http_reply_start(judging->request, 200, -1);
    http_reply_piece(judging->request, start.data, start.size);
    buf_free(&start);
}

static void take_result(void *arg, const char *json, size_t size)
{
    struct judging *judging = arg;
    if (judging->request == NULL)
        return;
    if (!is_batch(judging)) {
        buf_append(&judging->answer, json, size);
        return;
    }
    if (judging->told++ > 0)
        http_reply_piece(judging->request, ",", 1);
    http_reply_piece(judging->request, json, size);
}

static size_t waiting(void *arg)
{
    const struct judging *judging = arg;
    return judging->request != NULL ? http_reply_waiting(judging->request) : 0;
}

static void batch_ended(void *arg, bool cancelled)
{
    struct judging *judging = arg;
    judge_batch_free(judging->batch);
    judging->batch = NULL;
    if (judging->request == NULL) {
        judging_free_when_done(judging);
    } else if (cancelled && is_batch(judging)) {
        http_abort(judging->request); /* so that nobody takes a part for the whole */
    } else if (cancelled) {
        reply_detail(judging->request, 503, "The service is shutting down");
    } else if (is_batch(judging)) {
        http_reply_piece(judging->request, "]}", 2);
        http_reply_end(judging->request);
    } else {
        reply_json(judging->request, 200, &judging->answer);
    }
}

static const struct judge_batch_calls batch_calls = {take_result, waiting, batch_ended};

static void reply_busy(struct judging *judging, const struct cj_error *why)
{
    http_reply_header(judging->request, "retry-after", "1");
    reply_detail(judging->request, 503,
                 why->code == EAGAIN ? "The queue is full" : "The service is shutting down");
}

static void start_batch(struct judging *judging)
{
    const struct judge_door_settings *settings = &judging->door->settings;
    const struct judge_batch_settings batch = {
        .loop = settings->loop,
        .sched = settings->sched,
        .submission = settings->submission,
        .observer = settings->observer,
        .slots = settings->slots,
        .with_texts = judging->route->with_texts,
        .queue_life_ns =
            judging->route->is_long ? settings->long_queue_life_ns : settings->queue_life_ns,
    };
    struct cj_error err = {0};
    struct body_text sub_id = judging->parsed.sub_id;
    if (judge_batch_new(&batch, &judging->parsed, &batch_calls, judging, &judging->batch, &err) <
        0) {
        reply_detail(judging->request, 500, err.message);
        return;
    }
    if (judge_batch_start(judging->batch, &err) < 0) {
        judge_batch_free(judging->batch);
        judging->batch = NULL;
        reply_busy(judging, &err);
        return;
    }
    if (is_batch(judging))
        begin_batch_answer(judging, sub_id);
}

/* ---- reading ---- */

static void parse(void *arg)
{
    struct judging *judging = arg;
    struct cj_error err;
    char *body;
    size_t size;
    if (buf_take(&judging->body, &body, &size, &err) < 0) {
        judging->outcome = JUDGE_REQUEST_NO_MEMORY;
        return;
    }
    judging->outcome =
        judge_request_parse(judging->door->settings.languages, judging->route->kind,
                            judging->is_json, body, size, &judging->parsed, &judging->errors);
}

static void parsed(void *arg)
{
    struct judging *judging = arg;
    judging->is_aside = false;
    stage_since(STAGE_READ, judging->came_ns);
    if (judging->request == NULL) {
        judging_free_when_done(judging);
        return;
    }
    switch (judging->outcome) {
    case JUDGE_REQUEST_GOOD:
        start_batch(judging);
        break;
    case JUDGE_REQUEST_UNREADABLE:
        reply_detail(judging->request, 400, "There was an error parsing the body");
        break;
    case JUDGE_REQUEST_INVALID:
        reply_json(judging->request, 422, &judging->errors);
        break;
    case JUDGE_REQUEST_NO_MEMORY:
        reply_detail(judging->request, 500, "Out of memory");
        break;
    }
}

static void take_body(struct http_request *request, const char *data, size_t size, void *arg)
{
    struct judging *judging = arg;
    (void)request;
    buf_append(&judging->body, data, size);
}

static void body_ended(struct http_request *request, void *arg)
{
    struct judging *judging = arg;
    (void)request;
    judging->came_ns = monotonic_ns();
    if (judging->body.size < ASIDE_BYTES) {
        parse(judging);
        parsed(judging);
        return;
    }
    judging->is_aside = true;
    judging->task = (struct aside_task){.work = parse, .done = parsed, .arg = judging};
    aside_submit(judging->door->aside, &judging->task);
}

static void drained(struct http_request *request, void *arg)
{
    const struct judging *judging = arg;
    (void)request;
    if (judging->batch != NULL)
        judge_batch_go_on(judging->batch);
}

static void request_over(struct http_request *request, enum http_over how, void *arg)
{
    struct judging *judging = arg;
    (void)request;
    (void)how;
    judging->request = NULL;
    if (judging->batch != NULL)
        judge_batch_cancel(judging->batch); /* it frees the judging when it has ended */
    else
        judging_free_when_done(judging);
}

static const struct http_calls judging_calls = {
    .body = take_body, .end = body_ended, .drained = drained, .over = request_over};

/* ---- routes ---- */

static void answer_languages(struct judge_door *door, struct http_request *request);

/* share/openapi.json and share/docs.html, by about_image.S */
extern const char cjudge_openapi_start[], cjudge_openapi_end[];
extern const char cjudge_docs_start[], cjudge_docs_end[];

static void answer_openapi(struct judge_door *door, struct http_request *request)
{
    (void)door;
    http_reply_header(request, "content-type", "application/json");
    http_reply_owned(request, 200, (char *)cjudge_openapi_start,
                     (size_t)(cjudge_openapi_end - cjudge_openapi_start), NULL, NULL);
}

/* The page draws the document; the policy holds it to what stands in it and to this service. */
static void answer_docs(struct judge_door *door, struct http_request *request)
{
    (void)door;
    http_reply_header(request, "content-type", "text/html; charset=utf-8");
    http_reply_header(request, "content-security-policy",
                      "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
                      "connect-src 'self'; base-uri 'none'; form-action 'none'");
    http_reply_owned(request, 200, (char *)cjudge_docs_start,
                     (size_t)(cjudge_docs_end - cjudge_docs_start), NULL, NULL);
}

static void answer_stages(struct judge_door *door, struct http_request *request)
{
    struct buf body = {0};
    struct sched_stats slots;
    sched_stats(door->settings.sched, &slots);
    stages_json_write(&body, &slots, door->settings.submission->judge.build_cache,
                      door->settings.submission->judge.prepared);
    reply_json(request, 200, &body);
}

static const struct route routes[] = {
    {.path = "/judge", .method = "POST"},
    {.path = "/run", .method = "POST", .with_texts = true},
    {.path = "/judge/batch", .method = "POST", .kind = JUDGE_BODY_BATCH},
    {.path = "/run/batch", .method = "POST", .kind = JUDGE_BODY_BATCH, .with_texts = true},
    {.path = "/judge/long-batch", .method = "POST", .kind = JUDGE_BODY_BATCH, .is_long = true},
    {.path = "/run/long-batch",
     .method = "POST",
     .kind = JUDGE_BODY_BATCH,
     .with_texts = true,
     .is_long = true},
    {.path = "/ping", .method = "GET", .answer = answer_ping},
    {.path = "/status", .method = "GET", .answer = answer_status},
    {.path = "/languages", .method = "GET", .answer = answer_languages},
    {.path = "/v1/stages", .method = "GET", .answer = answer_stages},
    {.path = "/openapi.json", .method = "GET", .answer = answer_openapi},
    {.path = "/docs", .method = "GET", .answer = answer_docs},
};

static const struct route *find_route(const char *path, size_t length)
{
    for (size_t i = 0; i < COUNT_OF(routes); i++)
        if (strlen(routes[i].path) == length && memcmp(routes[i].path, path, length) == 0)
            return &routes[i];
    return NULL;
}

static void write_warm(struct json_writer *json, const struct language *language, const char *cold)
{
    json_key(json, "warm");
    json_bool(json, language->warm && cold[0] == '\0');
    json_key(json, "cold_because");
    if (language->warm && cold[0] != '\0')
        json_string(json, cold);
    else
        json_null(json);
}

static void answer_languages(struct judge_door *door, struct http_request *request)
{
    struct buf body = {0};
    struct json_writer json = json_writer_to(&body, JSON_COMPACT_PLAIN);
    json_array_begin(&json);
    for (size_t i = 0; i < languages_count(door->settings.languages); i++) {
        const struct language *language = languages_at(door->settings.languages, i);
        struct language_facts facts;
        roster_get(door->settings.roster, i, &facts);
        json_object_begin(&json);
        language_json_write(&json, language, &facts);
        write_warm(&json, language, door->settings.cold);
        json_object_end(&json);
    }
    json_array_end(&json);
    reply_json(request, 200, &body);
}

/* Slashes too much are answered with the way to the right place, as Starlette does. */
static bool redirect(struct http_request *request, const char *path)
{
    size_t length = strlen(path);
    char location[512];
    if (length < 2 || path[length - 1] != '/')
        return false;
    while (length > 0 && path[length - 1] == '/')
        length--;
    if (find_route(path, length) == NULL)
        return false;
    const char *host = http_header(request, "host");
    const char *query = http_query(request);
    int written =
        snprintf(location, sizeof(location), "http://%s%.*s%s%s", host != NULL ? host : "localhost",
                 (int)length, path, query != NULL ? "?" : "", query != NULL ? query : "");
    if (written < 0 || (size_t)written >= sizeof(location))
        return false;
    http_reply_header(request, "location", location);
    http_reply(request, 307, NULL, 0);
    return true;
}

static void begin_judging(struct judge_door *door, struct http_request *request,
                          const struct route *route)
{
    struct judging *judging = calloc(1, sizeof(*judging));
    if (judging == NULL) {
        reply_detail(request, 500, "Out of memory");
        return;
    }
    judging->door = door;
    judging->route = route;
    judging->request = request;
    judging->is_json = judge_request_is_json(http_header(request, "content-type"));
    judging->next = door->judgings;
    if (door->judgings != NULL)
        door->judgings->previous = judging;
    door->judgings = judging;
    int64_t length = http_content_length(request);
    if (length > 0 && (uint64_t)length <= door->settings.body_bytes)
        buf_reserve(&judging->body, (size_t)length + 1);
    http_set_calls(request, &judging_calls, judging);
    http_accept_body(request, door->settings.body_bytes);
}

static void head(struct http_request *request, void *arg)
{
    struct judge_door *door = arg;
    const char *path = http_path(request);
    const struct route *route = find_route(path, strlen(path));
    if (route == NULL) {
        if (!native_head(door->native, request) && !redirect(request, path))
            reply_detail(request, 404, "Not Found");
        return;
    }
    if (strcmp(http_method(request), route->method) != 0) {
        http_reply_header(request, "allow", route->method);
        reply_detail(request, 405, "Method Not Allowed");
        return;
    }
    if (route->answer != NULL)
        route->answer(door, request);
    else
        begin_judging(door, request, route);
}

/* ---- public ---- */

int judge_door_new(const struct judge_door_settings *settings, struct judge_door **out,
                   struct cj_error *err)
{
    struct judge_door *door = calloc(1, sizeof(*door));
    if (door == NULL)
        return error_set(err, ERROR_SYSTEM, ENOMEM, "open the judging API: out of memory");
    door->settings = *settings;
    if (aside_new(settings->loop, &door->aside, err) < 0) {
        free(door);
        return -1;
    }
    const struct native_settings native = {
        .loop = settings->loop,
        .sched = settings->sched,
        .store = settings->store,
        .aside = door->aside,
        .languages = settings->languages,
        .judge = &settings->submission->judge,
        .slots = settings->slots,
        .body_bytes = settings->body_bytes,
        .output_bytes = settings->submission->output_bytes,
        .artifact_bytes = settings->artifact_bytes,
        .protection = settings->protection,
        .accounting = settings->accounting,
    };
    if (native_new(&native, &door->native, err) < 0) {
        judge_door_free(door);
        return -1;
    }
    *out = door;
    return 0;
}

const struct http_door *judge_door_http(void)
{
    static const struct http_door calls = {.head = head, .refuse = refuse};
    return &calls;
}

void judge_door_cancel(struct judge_door *door)
{
    struct judging *next;
    native_cancel(door->native);
    for (struct judging *judging = door->judgings; judging != NULL; judging = next) {
        next = judging->next; /* a batch that has nothing with the scheduler ends at once */
        if (judging->batch != NULL)
            judge_batch_cancel(judging->batch);
    }
}

uint64_t judge_door_at_work(const struct judge_door *door)
{
    uint64_t count = native_at_work(door->native);
    for (const struct judging *judging = door->judgings; judging != NULL; judging = judging->next)
        count += judging->batch != NULL || judging->is_aside;
    return count;
}

void judge_door_free(struct judge_door *door)
{
    if (door == NULL)
        return;
    aside_free(door->aside);
    native_free(door->native);
    while (door->judgings != NULL)
        judging_free(door->judgings);
    free(door);
}
