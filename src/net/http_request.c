/* What a door asks about a request, and what becomes of its body. */
#include "http_private.h"

#include "base/clock.h"

static const struct http_head *head_of(const struct http_request *request)
{
    return &request->conn->parser.head;
}

void http_set_calls(struct http_request *request, const struct http_calls *calls, void *arg)
{
    request->calls = calls ? *calls : (struct http_calls){0};
    request->arg = arg;
}

void *http_arg(const struct http_request *request)
{
    return request->arg;
}

const char *http_method(const struct http_request *request)
{
    return head_of(request)->method;
}

int http_minor_version(const struct http_request *request)
{
    return head_of(request)->minor;
}

const char *http_target(const struct http_request *request)
{
    return head_of(request)->target;
}

const char *http_raw_path(const struct http_request *request)
{
    return head_of(request)->raw_path;
}

const char *http_path(const struct http_request *request)
{
    return head_of(request)->path;
}

const char *http_query(const struct http_request *request)
{
    return head_of(request)->query;
}

const char *http_header(const struct http_request *request, const char *name)
{
    return http_head_find(head_of(request), name);
}

size_t http_header_count(const struct http_request *request)
{
    return head_of(request)->field_count;
}

const char *http_header_name(const struct http_request *request, size_t index)
{
    return head_of(request)->fields[index].name;
}

const char *http_header_value(const struct http_request *request, size_t index)
{
    return head_of(request)->fields[index].value;
}

bool http_header_has(const struct http_request *request, const char *name, const char *token)
{
    return http_head_has(head_of(request), name, token);
}

int64_t http_content_length(const struct http_request *request)
{
    const struct http_head *head = head_of(request);
    return head->chunked ? -1 : (int64_t)head->length;
}

const char *http_peer(const struct http_request *request)
{
    return request->conn->peer;
}

struct net_loop *http_loop(const struct http_request *request)
{
    return request->conn->server->loop;
}

void http_accept_body(struct http_request *request, uint64_t limit_bytes)
{
    if (request->accepted)
        return;
    request->accepted = true;
    request->body_limit = limit_bytes;
    conn_stir(request->conn);
}

void http_pause_body(struct http_request *request)
{
    request->paused = true;
}

void http_resume_body(struct http_request *request)
{
    if (!request->paused)
        return;
    request->paused = false;
    request->conn->read_ns = monotonic_ns(); /* the client could not have sent anything */
    conn_stir(request->conn);
}
