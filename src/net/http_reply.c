/* What a door answers. Everything goes into the connection's queue; its turn sends it. */
#include "http_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/fd.h"

/* Bodies up to this size are copied to the head: one segment, one packet. */
enum { COPIED_BYTES = 16 * 1024 };

/* The size of an answer whose end is told by its own framing. */
static const int64_t SIZE_UNKNOWN = -1;

/* ---- heads ---- */

/* Formatted once a second by each thread that answers. */
static const char *date_now(void)
{
    static _Thread_local char text[HTTP_DATE_SIZE];
    static _Thread_local int64_t formatted_s = -1;
    int64_t now_s = clock_ns(CLOCK_REALTIME_COARSE) / NS_PER_S;
    if (now_s != formatted_s) {
        http_date_format(now_s, text);
        formatted_s = now_s;
    }
    return text;
}

struct reply_head {
    int status;
    int64_t size; /* Content-Length; SIZE_UNKNOWN: no such header */
    bool chunked;
    bool switching; /* 101: Connection is among the headers */
    bool keep;
    int minor;           /* of the request's version */
    const char *headers; /* lines */
    size_t headers_size;
};

/* Adds the head, and room for body_size bytes behind it, which is returned; NULL when memory is
 * gone. */
static char *add_head(struct http_conn *conn, const struct reply_head *head, size_t body_size)
{
    char start[128], end[128];
    int start_size = snprintf(start, sizeof(start), "HTTP/1.1 %03d %s\r\nDate: %s\r\n",
                              head->status, http_status_text(head->status), date_now());
    int end_size = 0;
    if (head->size >= 0)
        end_size = snprintf(end, sizeof(end), "Content-Length: %lld\r\n", (long long)head->size);
    if (head->chunked)
        end_size = snprintf(end, sizeof(end), "Transfer-Encoding: chunked\r\n");
    const char *connection = "";
    if (!head->keep && !head->switching)
        connection = "Connection: close\r\n";
    else if (head->minor == 0)
        connection = "Connection: keep-alive\r\n";
    end_size += snprintf(end + end_size, sizeof(end) - (size_t)end_size, "%s\r\n", connection);

    if (out_is_empty(&conn->out))
        conn->write_ns = net_loop_now_ns(conn->server->loop);
    size_t size = (size_t)start_size + head->headers_size + (size_t)end_size;
    char *room = out_add_room(&conn->out, size + body_size);
    if (!room)
        return NULL;
    room = mempcpy(room, start, (size_t)start_size);
    if (head->headers_size > 0)
        room = mempcpy(room, head->headers, head->headers_size);
    return mempcpy(room, end, (size_t)end_size);
}

int reply_plain_head(int status, const char *headers, size_t body_size, char *out, size_t out_size)
{
    int size =
        snprintf(out, out_size, "HTTP/1.1 %03d %s\r\nDate: %s\r\n%sContent-Length: %zu\r\n\r\n",
                 status, http_status_text(status), date_now(), headers, body_size);
    return size > 0 && (size_t)size < out_size ? size : 0;
}

/* Whether the rest of the body, if any, may be waited for: who expects 100 Continue and was not
 * told may never send it (RFC 9110 10.1.1), and how long a chunked one is nobody knows. */
static bool body_can_be_drained(const struct http_request *request)
{
    const struct http_conn *conn = request->conn;
    const struct http_head *head = &conn->parser.head;
    if (request->body_done)
        return true;
    if (head->chunked || conn->parser.left > conn->server->settings.drain_bytes)
        return false;
    return !head->expects_continue || request->continued || conn->parser.left == 0;
}

static bool status_has_no_body(int status)
{
    return status < 200 || status == 204 || status == 304;
}

/* Settles how the answer is framed, and adds its head and room for copied bytes. */
static char *begin_reply(struct http_request *request, int status, int64_t size, size_t copied)
{
    struct http_conn *conn = request->conn;
    const struct http_head *asked = &conn->parser.head;
    bool none = status_has_no_body(status);
    request->bodiless = none || strcmp(asked->method, "HEAD") == 0;
    request->chunked = size == SIZE_UNKNOWN && asked->minor > 0 && !none;
    conn->keep = asked->keep_alive && !request->close && !conn->server->stopping &&
                 body_can_be_drained(request) && (size != SIZE_UNKNOWN || asked->minor > 0 || none);
    struct reply_head head = {
        .status = status,
        .size = none ? SIZE_UNKNOWN : size,
        .chunked = request->chunked,
        .switching = status == 101,
        .keep = conn->keep,
        .minor = asked->minor,
        .headers = request->headers.data,
        .headers_size = request->headers.size,
    };
    return add_head(conn, &head, request->bodiless ? 0 : copied);
}

/* Whether there may be an answer now. */
static bool may_reply(const struct http_request *request)
{
    return request->reply == REPLY_NONE;
}

static void complete(struct http_request *request)
{
    request->reply = REPLY_COMPLETE;
    conn_stir(request->conn);
}

void http_reply_header(struct http_request *request, const char *name, const char *value)
{
    struct buf *headers = &request->headers;
    buf_append_text(headers, name);
    buf_append_text(headers, ": ");
    size_t start = headers->size;
    buf_append_text(headers, value);
    for (size_t i = start; i < headers->size; i++)
        if (!http_is_value_char((unsigned char)headers->data[i]))
            headers->data[i] = ' ';
    buf_append_text(headers, "\r\n");
    if (buf_check(headers, NULL) < 0)
        request->conn->out.failed = true;
}

void http_reply_close(struct http_request *request)
{
    request->close = true;
}

/* ---- whole answers ---- */

void http_reply(struct http_request *request, int status, const void *data, size_t size)
{
    if (!may_reply(request))
        return;
    char *room = begin_reply(request, status, (int64_t)size, size);
    if (room && size > 0 && !request->bodiless)
        memcpy(room, data, size);
    complete(request);
}

void http_release_free(void *data, void *arg)
{
    (void)arg;
    free(data);
}

void http_reply_owned(struct http_request *request, int status, void *data, size_t size,
                      void (*release)(void *data, void *arg), void *arg)
{
    struct out_queue *out = &request->conn->out;
    if (!may_reply(request)) {
        out_add_owned(out, data, 0, release, arg);
        return;
    }
    bool copied = size <= COPIED_BYTES;
    char *room = begin_reply(request, status, (int64_t)size, copied ? size : 0);
    bool sent = room && !request->bodiless;
    if (sent && copied && size > 0)
        memcpy(room, data, size);
    out_add_owned(out, data, sent && !copied ? size : 0, release, arg);
    complete(request);
}

void http_reply_file(struct http_request *request, int status, int fd, uint64_t offset,
                     uint64_t size)
{
    auto_fd int file_fd = fd;
    if (!may_reply(request))
        return;
    if (begin_reply(request, status, (int64_t)size, 0) && !request->bodiless)
        out_add_file(&request->conn->out, fd_take(&file_fd), offset, size);
    complete(request);
}

/* ---- answers in pieces ---- */

void http_reply_start(struct http_request *request, int status, int64_t size)
{
    if (!may_reply(request))
        return;
    request->promised = size;
    request->reply = REPLY_STARTED;
    begin_reply(request, status, size, 0);
    conn_stir(request->conn);
}

/* Before a piece of size bytes. Returns whether it is to be sent. */
static bool begin_piece(struct http_request *request, uint64_t size)
{
    char line[24];
    struct http_conn *conn = request->conn;
    if (request->reply != REPLY_STARTED || size == 0)
        return false;
    request->given += size;
    if (request->promised >= 0 && request->given > (uint64_t)request->promised) {
        http_abort(request);
        return false;
    }
    if (request->bodiless)
        return false;
    if (out_is_empty(&conn->out))
        conn->write_ns = net_loop_now_ns(conn->server->loop);
    if (request->chunked) {
        int length = snprintf(line, sizeof(line), "%llx\r\n", (unsigned long long)size);
        out_add_copy(&conn->out, line, (size_t)length);
    }
    return true;
}

static void end_piece(struct http_request *request)
{
    struct http_conn *conn = request->conn;
    if (request->chunked)
        out_add_copy(&conn->out, "\r\n", 2);
    if (conn->out.waiting >= HTTP_LOW_WATER)
        request->drained_is_due = true;
    conn_stir(conn);
}

void http_reply_piece(struct http_request *request, const void *data, size_t size)
{
    if (!begin_piece(request, size))
        return;
    out_add_copy(&request->conn->out, data, size);
    end_piece(request);
}

void http_reply_piece_owned(struct http_request *request, void *data, size_t size,
                            void (*release)(void *data, void *arg), void *arg)
{
    bool sent = begin_piece(request, size);
    out_add_owned(&request->conn->out, data, sent ? size : 0, release, arg);
    if (sent)
        end_piece(request);
    else
        conn_stir(request->conn);
}

void http_reply_piece_file(struct http_request *request, int fd, uint64_t offset, uint64_t size)
{
    auto_fd int file_fd = fd;
    if (!begin_piece(request, size))
        return;
    out_add_file(&request->conn->out, fd_take(&file_fd), offset, size);
    end_piece(request);
}

void http_reply_end(struct http_request *request)
{
    if (request->reply != REPLY_STARTED)
        return;
    if (request->promised >= 0 && request->given != (uint64_t)request->promised &&
        !request->bodiless) {
        http_abort(request);
        return;
    }
    if (request->chunked && !request->bodiless)
        out_add_copy(&request->conn->out, "0\r\n\r\n", 5);
    complete(request);
}

size_t http_reply_waiting(const struct http_request *request)
{
    return request->conn->out.waiting;
}

void http_abort(struct http_request *request)
{
    request->aborted = true;
    conn_stir(request->conn);
}

bool http_replied(const struct http_request *request)
{
    return request->reply != REPLY_NONE;
}

void http_upgrade(struct http_request *request,
                  void (*taken)(int fd, const char *early, size_t early_size, void *arg), void *arg)
{
    if (!may_reply(request))
        return;
    request->taken = taken;
    request->taken_arg = arg;
    begin_reply(request, 101, 0, 0);
    complete(request);
}

/* ---- refusals ---- */

void reply_refusal(struct http_conn *conn, const struct http_fault *fault)
{
    const struct http_server *server = conn->server;
    struct http_refusal refusal = {
        .status = fault->status,
        .reason = fault->reason,
        .content_type = "text/plain; charset=utf-8",
    };
    int size = asprintf(&refusal.body, "%s\n", fault->reason);
    if (size < 0)
        refusal.body = NULL;
    refusal.body_size = size < 0 ? 0 : (size_t)size;
    if (server->door.refuse)
        server->door.refuse(&refusal, conn->request, server->arg);

    char type[160] = "";
    int type_size = 0;
    if (refusal.content_type)
        type_size = snprintf(type, sizeof(type), "Content-Type: %.128s\r\n", refusal.content_type);
    bool bodiless = conn->request && strcmp(conn->parser.head.method, "HEAD") == 0;
    size_t body_size = refusal.body && !bodiless ? refusal.body_size : 0;
    struct reply_head head = {
        .status = fault->status,
        .size = (int64_t)refusal.body_size,
        .minor = 1,
        .headers = type,
        .headers_size = (size_t)type_size,
    };
    char *room = add_head(conn, &head, body_size);
    if (room && body_size > 0)
        memcpy(room, refusal.body, body_size);
    free(refusal.body);
}
