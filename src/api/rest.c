/* The REST door: who may, and which route. */
#include "api/rest.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json_writer.h"
#include "rest_private.h"

/* ---- routes ---- */

enum route {
    ROUTE_NONE,
    ROUTE_RUN,
    ROUTE_LIST,
    ROUTE_UPLOAD,
    ROUTE_DOWNLOAD,
    ROUTE_DELETE,
    ROUTE_VERSION,
    ROUTE_CONFIG,
};

static const struct {
    const char *method, *path; /* a '*' at the end stands for one segment that is not empty */
    enum route route;
} routes[] = {
    {"POST", "/run", ROUTE_RUN},         {"GET", "/file", ROUTE_LIST},
    {"POST", "/file", ROUTE_UPLOAD},     {"GET", "/file/*", ROUTE_DOWNLOAD},
    {"DELETE", "/file/*", ROUTE_DELETE}, {"GET", "/version", ROUTE_VERSION},
    {"GET", "/config", ROUTE_CONFIG},
};

static bool path_fits(const char *pattern, const char *path, size_t size)
{
    size_t fixed = strcspn(pattern, "*");
    if (size < fixed || memcmp(pattern, path, fixed) != 0)
        return false;
    if (pattern[fixed] == '\0')
        return size == fixed;
    return size > fixed && memchr(path + fixed, '/', size - fixed) == NULL;
}

/* Of the first size bytes of path. */
static enum route find_route(const char *method, const char *path, size_t size)
{
    for (size_t i = 0; i < COUNT_OF(routes); i++)
        if (strcmp(routes[i].method, method) == 0 && path_fits(routes[i].path, path, size))
            return routes[i].route;
    return ROUTE_NONE;
}

/* A slash too many at the end of a route that is there: gin, which go-judge stands on, sends the client to
 * the right one. Returns whether it was that. */
static bool redirect(struct exchange *exchange, const char *method, const char *path)
{
    size_t size = strlen(path);
    if (size < 2 || path[size - 1] != '/' || find_route(method, path, size - 1) == ROUTE_NONE)
        return false;
    const char *raw = http_raw_path(exchange->http);
    const char *query = http_query(exchange->http);
    size_t raw_size = strlen(raw);
    auto_buf struct buf location = {0};
    buf_append(&location, raw, raw[raw_size - 1] == '/' ? raw_size - 1 : raw_size);
    if (query != NULL)
        buf_printf(&location, "?%s", query);
    buf_append_char(&location, '\0');
    if (location.failure != 0)
        return false;
    http_reply_header(exchange->http, "Location", location.data);
    exchange_empty(exchange, strcmp(method, "GET") == 0 ? 301 : 307);
    return true;
}

/* ---- who may ---- */

/* Takes as long for every wrong token of the same length. */
static bool same_text(const char *expected, const char *given)
{
    size_t size = strlen(expected);
    size_t given_size = strlen(given);
    unsigned char difference = size != given_size;
    for (size_t i = 0; i < size; i++)
        difference |= (unsigned char)(expected[i] ^ given[given_size > 0 ? i % given_size : 0]);
    return difference == 0;
}

static bool authorized(const struct rest *rest, const struct http_request *http)
{
    if (rest->authorization == NULL)
        return true;
    const char *given = http_header(http, "Authorization");
    return given != NULL && same_text(rest->authorization, given);
}

/* ---- the door ---- */

static void answer_text(struct exchange *exchange, const struct buf *json)
{
    struct buf copy = {0};
    buf_append(&copy, json->data, json->size);
    exchange_json(exchange, 200, &copy);
}

static const char *last_segment(const char *path)
{
    return strrchr(path, '/') + 1;
}

/* Of those that answer at once, the exchange ends here. */
static void dispatch(struct rest *rest, struct exchange *exchange, enum route route,
                     const char *path)
{
    switch (route) {
    case ROUTE_RUN:
        rest_run_begin(rest, exchange);
        return;
    case ROUTE_UPLOAD:
        rest_upload_begin(rest, exchange);
        return;
    case ROUTE_LIST:
        rest_list(rest, exchange);
        break;
    case ROUTE_DOWNLOAD:
        rest_download(rest, exchange, last_segment(path));
        break;
    case ROUTE_DELETE:
        rest_delete(rest, exchange, last_segment(path));
        break;
    case ROUTE_VERSION:
        answer_text(exchange, &rest->version);
        break;
    case ROUTE_CONFIG:
        answer_text(exchange, &rest->config);
        break;
    case ROUTE_NONE:
        exchange_plain(exchange, 404, "404 page not found");
        break;
    }
    exchange_over(exchange, HTTP_OVER_ANSWERED);
}

/* In this order, as go-judge: redirects, the token, then what is not there. */
static void take_head(struct http_request *http, void *arg)
{
    struct rest *rest = arg;
    struct exchange exchange;
    const char *method = http_method(http);
    const char *path = http_path(http);
    exchange_begin(&exchange, http);
    enum route route = find_route(method, path, strlen(path));
    if (route == ROUTE_NONE && redirect(&exchange, method, path)) {
        exchange_over(&exchange, HTTP_OVER_ANSWERED);
        return;
    }
    if (route != ROUTE_VERSION && route != ROUTE_CONFIG && !authorized(rest, http)) {
        http_reply_header(http, "WWW-Authenticate", "Bearer");
        exchange_empty(&exchange, 401);
        exchange_over(&exchange, HTTP_OVER_REFUSED);
        return;
    }
    dispatch(rest, &exchange, route, path);
}

/* The transport's own errors get the form of ours: a JSON string. */
static void refuse(struct http_refusal *refusal, const struct http_request *http, void *arg)
{
    (void)http;
    (void)arg;
    struct buf json = {0};
    struct json_writer writer = json_writer_to(&json, JSON_COMPACT);
    json_string(&writer, refusal->reason);
    if (buf_check(&json, NULL) < 0)
        return;
    free(refusal->body);
    refusal->body = json.data;
    refusal->body_size = json.size;
    refusal->content_type = "application/json; charset=utf-8";
}

const struct http_door *rest_door(void)
{
    static const struct http_door door = {.head = take_head, .refuse = refuse};
    return &door;
}

/* ---- life ---- */

int rest_new(const struct rest_options *options, struct rest **out, struct cj_error *err)
{
    struct rest *rest = calloc(1, sizeof(*rest));
    if (rest == NULL)
        return error_errno(err, "make the REST door");
    rest->options = *options;
    rest->sources = (struct rest_sources){.src_prefixes = options->src_prefixes,
                                          .store = options->store,
                                          .cpu_rate = options->cpu_rate};
    rest_write_version(options, &rest->version);
    rest_write_config(options, &rest->config);
    if (options->auth_token != NULL && options->auth_token[0] != '\0' &&
        asprintf(&rest->authorization, "Bearer %s", options->auth_token) < 0) {
        rest->authorization = NULL;
        error_errno(err, "make the REST door");
    } else if (buf_check(&rest->version, err) == 0 && buf_check(&rest->config, err) == 0 &&
               aside_new(options->loop, &rest->aside, err) == 0) {
        rest->options.facts = NULL; /* read, and not ours any longer */
        rest->options.mounts = NULL;
        *out = rest;
        return 0;
    }
    rest_free(rest);
    return -1;
}

void rest_cancel(struct rest *rest)
{
    rest->closing = true;
    rest_run_cancel_all(rest);
}

uint64_t rest_at_work(const struct rest *rest)
{
    return rest->at_work;
}

void rest_free(struct rest *rest)
{
    if (rest == NULL)
        return;
    aside_free(rest->aside);
    free(rest->authorization);
    buf_free(&rest->version);
    buf_free(&rest->config);
    free(rest);
}
