/* What a client sends: received, kept, taken apart and handed to the door. */
#include "http_private.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

bool body_is_wanted(const struct http_request *request)
{
    return request->accepted && !request->paused && !request->body_done &&
           request->reply == REPLY_NONE;
}

/* The answer came before the body's end: the rest is read and thrown away. */
static bool body_is_unwanted(const struct http_request *request)
{
    return request->reply != REPLY_NONE && !request->body_done;
}

bool conn_wants_bytes(const struct http_conn *conn)
{
    const struct http_request *request = conn->request;
    switch (conn->phase) {
    case CONN_EXCHANGE:
        if (body_is_wanted(request) || body_is_unwanted(request))
            return true;
        return !request->paused && conn->window_size < conn->server->settings.pipelined_bytes;
    case CONN_DEAD:
        return false;
    default:
        return true;
    }
}

/* ---- the window ---- */

void conn_drop_window(struct http_conn *conn)
{
    conn->window_size = 0;
}

/* Moves the window into memory of the connection's own, to the front. */
bool conn_save_window(struct http_conn *conn)
{
    struct buf *input = &conn->input;
    bool own =
        input->data && conn->window >= input->data && conn->window < input->data + input->capacity;
    if (conn->window_size == 0) {
        buf_cut(input, 0);
    } else if (own) {
        memmove(input->data, conn->window, conn->window_size);
        buf_cut(input, conn->window_size);
    } else {
        buf_cut(input, 0);
        buf_append(input, conn->window, conn->window_size);
    }
    conn->window = input->data ? input->data : "";
    return buf_check(input, NULL) == 0;
}

/* New bytes become the window, or its end. */
static bool grow_window(struct http_conn *conn, const char *data, size_t size)
{
    if (conn->window_size == 0) {
        conn->window = data;
        conn->window_size = size;
        return true;
    }
    buf_append(&conn->input, data, size);
    if (buf_check(&conn->input, NULL) < 0)
        return false;
    conn->window = conn->input.data;
    conn->window_size = conn->input.size;
    return true;
}

static size_t read_size(const struct http_conn *conn)
{
    uint64_t ahead = conn->server->settings.pipelined_bytes;
    if (conn->phase != CONN_EXCHANGE || body_is_wanted(conn->request) ||
        body_is_unwanted(conn->request) || ahead - conn->window_size > READ_SIZE)
        return READ_SIZE;
    return ahead - conn->window_size;
}

bool conn_receive(struct http_conn *conn, uint64_t *budget)
{
    char *scratch = conn->server->scratch;
    if (!conn->readable || conn->eof || !conn_wants_bytes(conn))
        return false;
    if (*budget == 0) {
        conn->put_off = true;
        return false;
    }
    if (conn->window_size > 0 && !conn_save_window(conn)) { /* it may be in the scratch */
        conn_cut(conn);
        return true;
    }
    size_t wanted = read_size(conn);
    ssize_t got = recv(conn->fd, scratch, wanted, MSG_DONTWAIT);
    if (got < 0 && errno == EINTR)
        return true;
    if (got < 0 && errno == EAGAIN) {
        conn->readable = false;
        return false;
    }
    if (got < 0) {
        conn_lose(conn);
        return true;
    }
    conn->eof = got == 0;
    conn->read_ns = conn_now_ns(conn);
    if ((size_t)got < wanted && !conn->hung_up)
        conn->readable = false; /* that was all (epoll(7)); more of it is a new event */
    *budget -= (uint64_t)got < *budget ? (uint64_t)got : *budget;
    if (got > 0 && !grow_window(conn, scratch, (size_t)got))
        conn_cut(conn);
    return true;
}

/* ---- parsing ---- */

static enum http_event next_event(struct http_conn *conn, const char **piece, size_t *piece_size)
{
    size_t used;
    enum http_event event =
        http_parser_next(&conn->parser, conn->window, conn->window_size, &used, piece_size);
    *piece = conn->window + used - *piece_size;
    conn->window += used;
    conn->window_size -= used;
    if (event == HTTP_EVENT_MORE && used > 0 && conn->window_size > 0)
        return next_event(conn, piece, piece_size); /* behind an empty line: at most a few times */
    return event;
}

static bool parse_head(struct http_conn *conn)
{
    const char *piece;
    size_t size;
    switch (next_event(conn, &piece, &size)) {
    case HTTP_EVENT_HEAD:
        conn_begin_request(conn);
        return true;
    case HTTP_EVENT_BAD:
        conn_refuse(conn, &conn->parser.fault);
        return true;
    default:
        return false;
    }
}

/* Before the first byte of an accepted body. Returns false when it is refused. */
static bool check_body(struct http_conn *conn)
{
    static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
    struct http_request *request = conn->request;
    const struct http_head *head = &conn->parser.head;
    request->checked = true;
    if (!head->chunked && head->length > request->body_limit) {
        conn_refuse_because(conn, 413, "the body is too large");
        return false;
    }
    /* Who has begun to send does not wait for it (RFC 9110 10.1.1). */
    if (head->expects_continue && conn->window_size == 0 && (head->chunked || head->length > 0)) {
        out_add_copy(&conn->out, go_on, sizeof(go_on) - 1);
        request->continued = true;
    }
    conn->read_ns = conn->write_ns = conn_now_ns(conn);
    return true;
}

static bool parse_body(struct http_conn *conn)
{
    struct http_request *request = conn->request;
    const char *piece;
    size_t size;
    if (!request->checked && !check_body(conn))
        return true;
    switch (next_event(conn, &piece, &size)) {
    case HTTP_EVENT_BODY:
        if (size > request->body_limit - request->body_bytes) {
            conn_refuse_because(conn, 413, "the body is too large");
            return true;
        }
        request->body_bytes += size;
        if (request->calls.body)
            request->calls.body(request, piece, size, request->arg);
        return true;
    case HTTP_EVENT_END:
        request->body_done = true;
        if (request->calls.end)
            request->calls.end(request, request->arg);
        return true;
    case HTTP_EVENT_BAD:
        conn_refuse(conn, &conn->parser.fault);
        return true;
    default:
        return false;
    }
}

/* Throws a body away. *done: its end has come. Returns whether there is more to do. */
static bool parse_unwanted(struct http_conn *conn, bool *done)
{
    const char *piece;
    size_t size;
    if (!conn->keep) { /* whatever it is */
        conn_drop_window(conn);
        return false;
    }
    switch (next_event(conn, &piece, &size)) {
    case HTTP_EVENT_BODY:
        return true;
    case HTTP_EVENT_END:
        *done = true;
        return true;
    case HTTP_EVENT_BAD:
        conn->keep = false;
        return true;
    default:
        return false;
    }
}

/* Takes one step in what has come. Returns whether there was one. */
bool conn_parse(struct http_conn *conn)
{
    bool done = false, stepped;
    switch (conn->phase) {
    case CONN_HEAD:
        return parse_head(conn);
    case CONN_EXCHANGE:
        if (body_is_wanted(conn->request))
            return parse_body(conn);
        if (!body_is_unwanted(conn->request))
            return false;
        stepped = parse_unwanted(conn, &done);
        conn->request->body_done = done;
        return stepped;
    case CONN_DRAIN:
        stepped = parse_unwanted(conn, &done);
        if (done)
            conn_next_request(conn);
        else if (!conn->keep || conn->server->stopping)
            conn_finish(conn);
        return stepped;
    case CONN_CLOSING:
    case CONN_LINGER:
        conn_drop_window(conn);
        return false;
    case CONN_DEAD:
        break;
    }
    return false;
}
