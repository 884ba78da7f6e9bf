/* The life of a request here:
 *
 *     head ─► body ─► end ─► (aside, when large) parse ─► batch ─► answer ─► over
 *
 * An exchange lives until its request is over and its batch has ended, whichever comes last. */
#include "api/judge_door.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aside.h"
#include "base/buf.h"
#include "base/json_writer.h"
#include "base/log.h"
#include "judge_batch.h"
#include "judge_request.h"

enum { ASIDE_BYTES = 64 * 1024 }; /* bodies from here on are read beside the loop */

struct judge_door {
    struct judge_door_settings settings;
    struct http_server *server;
    struct aside *aside;
    struct exchange *exchanges; /* all of them */
};

struct route {
    const char *path;
    const char *method;
    enum judge_body_kind kind;
    bool with_texts;
    bool is_long;
    void (*answer)(struct judge_door *door, struct http_request *request); /* of a GET */
};

struct exchange {
    struct judge_door *door;
    struct exchange *next, *previous;
    const struct route *route;
    struct http_request *request; /* NULL once it is over */
    bool is_json;
    struct buf body;
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
    for (const struct exchange *exchange = door->exchanges; exchange != NULL;
         exchange = exchange->next)
        if (exchange->batch != NULL)
            waiting += judge_batch_waiting(exchange->batch);
    json_object_begin(&json);
    json_key(&json, "queue");
    json_uint(&json, waiting);
    json_key(&json, "num_workers");
    json_uint(&json, stats.slots);
    json_object_end(&json);
    reply_json(request, 200, &body);
}

/* ---- exchanges ---- */

static void exchange_free(struct exchange *exchange)
{
    struct exchange **head = &exchange->door->exchanges;
    if (exchange->previous != NULL)
        exchange->previous->next = exchange->next;
    else
        *head = exchange->next;
    if (exchange->next != NULL)
        exchange->next->previous = exchange->previous;
    buf_free(&exchange->body);
    buf_free(&exchange->errors);
    buf_free(&exchange->answer);
    judge_request_free(&exchange->parsed);
    judge_batch_free(exchange->batch);
    free(exchange);
}

static void exchange_free_when_done(struct exchange *exchange)
{
    if (exchange->request == NULL && exchange->batch == NULL && !exchange->is_aside)
        exchange_free(exchange);
}

static bool is_batch(const struct exchange *exchange)
{
    return exchange->route->kind == JUDGE_BODY_BATCH;
}

/* What stands before the results of a batch. */
static void begin_batch_answer(struct exchange *exchange, struct judge_text sub_id)
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
    http_reply_header(exchange->request, "content-type", "application/json");
    http_reply_start(exchange->request, 200, -1);
    http_reply_piece(exchange->request, start.data, start.size);
    buf_free(&start);
}

static void take_result(void *arg, const char *json, size_t size)
{
    struct exchange *exchange = arg;
    if (exchange->request == NULL)
        return;
    if (!is_batch(exchange)) {
        buf_append(&exchange->answer, json, size);
        return;
    }
    if (exchange->told++ > 0)
        http_reply_piece(exchange->request, ",", 1);
    http_reply_piece(exchange->request, json, size);
}

static void batch_ended(void *arg, bool cancelled)
{
    struct exchange *exchange = arg;
    judge_batch_free(exchange->batch);
    exchange->batch = NULL;
    if (exchange->request == NULL) {
        exchange_free_when_done(exchange);
    } else if (cancelled && is_batch(exchange)) {
        http_abort(exchange->request); /* so that nobody takes a part for the whole */
    } else if (cancelled) {
        reply_detail(exchange->request, 503, "The service is shutting down");
    } else if (is_batch(exchange)) {
        http_reply_piece(exchange->request, "]}", 2);
        http_reply_end(exchange->request);
    } else {
        reply_json(exchange->request, 200, &exchange->answer);
    }
}

static const struct judge_batch_calls batch_calls = {take_result, batch_ended};

static void reply_busy(struct exchange *exchange, const struct cj_error *why)
{
    http_reply_header(exchange->request, "retry-after", "1");
    reply_detail(exchange->request, 503,
                 why->code == EAGAIN ? "The queue is full" : "The service is shutting down");
}

static void start_batch(struct exchange *exchange)
{
    const struct judge_door_settings *settings = &exchange->door->settings;
    const struct judge_batch_settings batch = {
        .loop = settings->loop,
        .sched = settings->sched,
        .submission = settings->submission,
        .observer = settings->observer,
        .slots = settings->slots,
        .with_texts = exchange->route->with_texts,
        .queue_life_ns =
            exchange->route->is_long ? settings->long_queue_life_ns : settings->queue_life_ns,
    };
    struct cj_error err = {0};
    struct judge_text sub_id = exchange->parsed.sub_id;
    if (judge_batch_new(&batch, &exchange->parsed, &batch_calls, exchange, &exchange->batch, &err) <
        0) {
        reply_detail(exchange->request, 500, err.message);
        return;
    }
    if (judge_batch_start(exchange->batch, &err) < 0) {
        judge_batch_free(exchange->batch);
        exchange->batch = NULL;
        reply_busy(exchange, &err);
        return;
    }
    if (is_batch(exchange))
        begin_batch_answer(exchange, sub_id);
}

/* ---- reading ---- */

static void parse(void *arg)
{
    struct exchange *exchange = arg;
    struct cj_error err;
    char *body;
    size_t size;
    if (buf_take(&exchange->body, &body, &size, &err) < 0) {
        exchange->outcome = JUDGE_REQUEST_NO_MEMORY;
        return;
    }
    exchange->outcome =
        judge_request_parse(exchange->door->settings.languages, exchange->route->kind,
                            exchange->is_json, body, size, &exchange->parsed, &exchange->errors);
}

static void parsed(void *arg)
{
    struct exchange *exchange = arg;
    exchange->is_aside = false;
    if (exchange->request == NULL) {
        exchange_free_when_done(exchange);
        return;
    }
    switch (exchange->outcome) {
    case JUDGE_REQUEST_GOOD:
        start_batch(exchange);
        break;
    case JUDGE_REQUEST_UNREADABLE:
        reply_detail(exchange->request, 400, "There was an error parsing the body");
        break;
    case JUDGE_REQUEST_INVALID:
        reply_json(exchange->request, 422, &exchange->errors);
        break;
    case JUDGE_REQUEST_NO_MEMORY:
        reply_detail(exchange->request, 500, "Out of memory");
        break;
    }
}

static void take_body(struct http_request *request, const char *data, size_t size, void *arg)
{
    struct exchange *exchange = arg;
    (void)request;
    buf_append(&exchange->body, data, size);
}

static void body_ended(struct http_request *request, void *arg)
{
    struct exchange *exchange = arg;
    (void)request;
    if (exchange->body.size < ASIDE_BYTES) {
        parse(exchange);
        parsed(exchange);
        return;
    }
    exchange->is_aside = true;
    exchange->task = (struct aside_task){.work = parse, .done = parsed, .arg = exchange};
    aside_submit(exchange->door->aside, &exchange->task);
}

static void request_over(struct http_request *request, enum http_over how, void *arg)
{
    struct exchange *exchange = arg;
    (void)request;
    (void)how;
    exchange->request = NULL;
    if (exchange->batch != NULL)
        judge_batch_cancel(exchange->batch); /* it frees the exchange when it has ended */
    else
        exchange_free_when_done(exchange);
}

static const struct http_calls exchange_calls = {
    .body = take_body, .end = body_ended, .over = request_over};

/* ---- routes ---- */

static void answer_languages(struct judge_door *door, struct http_request *request);

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
};

static const struct route *find_route(const char *path, size_t length)
{
    for (size_t i = 0; i < COUNT_OF(routes); i++)
        if (strlen(routes[i].path) == length && memcmp(routes[i].path, path, length) == 0)
            return &routes[i];
    return NULL;
}

static void write_list(struct json_writer *json, const char *key,
                       const struct language_texts *texts)
{
    json_key(json, key);
    json_array_begin(json);
    for (size_t i = 0; i < texts->count; i++)
        json_string(json, texts->items[i]);
    json_array_end(json);
}

static void answer_languages(struct judge_door *door, struct http_request *request)
{
    struct buf body = {0};
    struct json_writer json = json_writer_to(&body, JSON_COMPACT_PLAIN);
    json_array_begin(&json);
    for (size_t i = 0; i < languages_count(door->settings.languages); i++) {
        const struct language *language = languages_at(door->settings.languages, i);
        json_object_begin(&json);
        json_key(&json, "id");
        json_string(&json, language->id);
        json_key(&json, "name");
        json_string(&json, language->name);
        write_list(&json, "aliases", &language->aliases);
        json_key(&json, "source");
        json_string(&json, language->source);
        json_object_end(&json);
    }
    json_array_end(&json);
    reply_json(request, 200, &body);
}

/* A slash too much is answered with the way to the right place, as Starlette does. */
static bool redirect(struct http_request *request, const char *path)
{
    size_t length = strlen(path);
    char location[512];
    if (length < 2 || path[length - 1] != '/' || find_route(path, length - 1) == NULL)
        return false;
    const char *host = http_header(request, "host");
    const char *query = http_query(request);
    int written =
        snprintf(location, sizeof(location), "http://%s%.*s%s%s", host != NULL ? host : "localhost",
                 (int)(length - 1), path, query != NULL ? "?" : "", query != NULL ? query : "");
    if (written < 0 || (size_t)written >= sizeof(location))
        return false;
    http_reply_header(request, "location", location);
    http_reply(request, 307, NULL, 0);
    return true;
}

static void begin_exchange(struct judge_door *door, struct http_request *request,
                           const struct route *route)
{
    struct exchange *exchange = calloc(1, sizeof(*exchange));
    if (exchange == NULL) {
        reply_detail(request, 500, "Out of memory");
        return;
    }
    exchange->door = door;
    exchange->route = route;
    exchange->request = request;
    exchange->is_json = judge_request_is_json(http_header(request, "content-type"));
    exchange->next = door->exchanges;
    if (door->exchanges != NULL)
        door->exchanges->previous = exchange;
    door->exchanges = exchange;
    int64_t length = http_content_length(request);
    if (length > 0 && (uint64_t)length <= door->settings.body_bytes)
        buf_reserve(&exchange->body, (size_t)length + 1);
    http_set_calls(request, &exchange_calls, exchange);
    http_accept_body(request, door->settings.body_bytes);
}

static void head(struct http_request *request, void *arg)
{
    struct judge_door *door = arg;
    const char *path = http_path(request);
    const struct route *route = find_route(path, strlen(path));
    if (route == NULL) {
        if (!redirect(request, path))
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
        begin_exchange(door, request, route);
}

/* ---- public ---- */

int judge_door_new(const struct judge_door_settings *settings, struct judge_door **out,
                   struct cj_error *err)
{
    const struct http_door calls = {.head = head, .refuse = refuse};
    struct judge_door *door = calloc(1, sizeof(*door));
    if (door == NULL)
        return error_set(err, ERROR_SYSTEM, ENOMEM, "open the judging API: out of memory");
    door->settings = *settings;
    if (aside_new(settings->loop, &door->aside, err) < 0 ||
        http_server_new(&door->server, settings->loop, &calls, door, settings->http, err) < 0) {
        judge_door_free(door);
        return -1;
    }
    *out = door;
    return 0;
}

int judge_door_listen(struct judge_door *door, const char *address, struct cj_error *err)
{
    return http_server_listen(door->server, address, err);
}

const char *judge_door_address(const struct judge_door *door, size_t index)
{
    return http_server_address(door->server, index);
}

void judge_door_stop(struct judge_door *door, int64_t timeout_ns, void (*done)(void *arg),
                     void *arg)
{
    http_server_stop(door->server, timeout_ns, done, arg);
}

void judge_door_free(struct judge_door *door)
{
    if (door == NULL)
        return;
    http_server_free(door->server);
    aside_free(door->aside);
    while (door->exchanges != NULL)
        exchange_free(door->exchanges);
    free(door);
}
