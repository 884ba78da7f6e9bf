/* One HTTP request of a door. */
#include "exchange.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "base/clock.h"
#include "base/json_writer.h"
#include "base/log.h"

static const char JSON_TYPE[] = "application/json; charset=utf-8";

/* ---- ids ---- */

/* What may stand in a log line and in a header, and is no longer than anybody needs. */
static bool is_sane(const char *id)
{
    size_t length = strlen(id);
    if (length == 0 || length >= EXCHANGE_ID_SIZE)
        return false;
    for (; *id != '\0'; id++)
        if (!isalnum((unsigned char)*id) && strchr("-_.:/+=@", *id) == NULL)
            return false;
    return true;
}

/* Ours count up from a random start, so that those of two servers are told apart. */
static void make_id(char id[static EXCHANGE_ID_SIZE])
{
    static uint64_t next;
    if (next == 0 && getrandom(&next, sizeof(next), GRND_NONBLOCK) != sizeof(next))
        next = (uint64_t)monotonic_ns();
    snprintf(id, EXCHANGE_ID_SIZE, "%016llx", (unsigned long long)next++);
}

void exchange_begin(struct exchange *exchange, struct http_request *http)
{
    *exchange = (struct exchange){.http = http, .begun_ns = monotonic_ns()};
    const char *id = http_header(http, "X-Request-Id");
    if (id != NULL && is_sane(id))
        snprintf(exchange->id, sizeof(exchange->id), "%s", id);
    else
        make_id(exchange->id);
}

/* ---- answers ---- */

void exchange_status(struct exchange *exchange, int status)
{
    exchange->status = status;
    http_reply_header(exchange->http, "X-Request-Id", exchange->id);
}

void exchange_empty(struct exchange *exchange, int status)
{
    exchange_status(exchange, status);
    http_reply(exchange->http, status, NULL, 0);
}

void exchange_plain(struct exchange *exchange, int status, const char *text)
{
    exchange_status(exchange, status);
    http_reply_header(exchange->http, "Content-Type", "text/plain");
    http_reply(exchange->http, status, text, strlen(text));
}

void exchange_json(struct exchange *exchange, int status, struct buf *json)
{
    enum { COPY_MAX = 4096 };
    exchange_status(exchange, status);
    http_reply_header(exchange->http, "Content-Type", JSON_TYPE);
    if (json->size <= COPY_MAX) {
        http_reply(exchange->http, status, json->data, json->size);
        buf_free(json);
        return;
    }
    http_reply_owned(exchange->http, status, json->data, json->size, http_release_free, NULL);
    *json = (struct buf){0};
}

bool exchange_directly(const struct exchange *exchange, struct http_direct *direct, int status,
                       const struct buf *json)
{
    char headers[256];
    snprintf(headers, sizeof(headers), "X-Request-Id: %s\r\nContent-Type: %s\r\n", exchange->id,
             JSON_TYPE);
    return http_direct_reply(direct, status, headers, json->data, json->size);
}

void exchange_string(struct exchange *exchange, int status, const char *text)
{
    struct buf json = {0};
    struct json_writer writer = json_writer_to(&json, JSON_COMPACT);
    json_string(&writer, text);
    exchange_json(exchange, status, &json);
}

static bool passes_by_itself(int code)
{
    return code == EAGAIN || code == ESHUTDOWN || code == EMFILE || code == ENFILE ||
           code == ENOMEM;
}

void exchange_failure(struct exchange *exchange, const struct cj_error *err)
{
    if (err->domain == ERROR_REQUEST) {
        exchange_string(exchange, 400, err->message);
        return;
    }
    if (passes_by_itself(err->code)) {
        http_reply_header(exchange->http, "Retry-After", "1");
        exchange_string(exchange, 503, err->message);
        return;
    }
    log_error("request failed", log_text("request", exchange->id), log_failure(err));
    exchange_string(exchange, 500, err->message);
}

/* ---- the log ---- */

static const char *word(enum http_over how)
{
    return how == HTTP_OVER_ANSWERED ? "answered"
           : how == HTTP_OVER_GONE   ? "client gone"
                                     : "refused";
}

void exchange_over(struct exchange *exchange, enum http_over how)
{
    int64_t direct_ns = http_answered_directly_ns(exchange->http); /* the loop hears of it later */
    int64_t end_ns = direct_ns != 0 ? direct_ns : monotonic_ns();
    log_debug("request", log_text("request", exchange->id),
              log_text("method", http_method(exchange->http)),
              log_text("path", http_path(exchange->http)), log_int("status", exchange->status),
              log_text("end", word(how)), log_duration("took", end_ns - exchange->begun_ns),
              log_text("peer", http_peer(exchange->http)));
    exchange->http = NULL;
}
