#include "http_private.h"

#include <errno.h>
#include <linux/sockios.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "base/fd.h"

/* What one connection may do before the others have had their turn. */
enum { READ_BUDGET = 4 * READ_SIZE, WRITE_BUDGET = 1024 * 1024 };

/* Buffers of idle connections above this are given back. */
enum { KEPT_BYTES = 4 * 1024 };

struct budget {
    uint64_t read, write;
};

static int64_t now_ns(const struct http_conn *conn)
{
    return net_loop_now_ns(conn->server->loop);
}

/* ---- the end of requests and connections ---- */

static void request_over(struct http_conn *conn, enum http_over how)
{
    struct http_request *request = conn->request;
    if (!request)
        return;
    conn->server->counts.requests--;
    if (request->calls.over)
        request->calls.over(request, how, request->arg);
    conn->request = NULL;
    buf_free(&request->headers);
    free(request);
}

static void conn_lose(struct http_conn *conn)
{
    request_over(conn, HTTP_OVER_GONE);
    conn->phase = CONN_DEAD;
}

/* With a reset instead of an orderly end, so that what was cut off does not look whole. */
static void conn_cut(struct http_conn *conn)
{
    static const struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    setsockopt(conn->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    conn_lose(conn);
}

static void drop_window(struct http_conn *conn)
{
    conn->window_size = 0;
}

/* Closing a socket that holds unread bytes resets it, and a reset may overtake the answer: so the
 * client is first told that we are done, and what it still sends is read for a while (RFC 9112
 * 9.6). */
static void conn_finish(struct http_conn *conn)
{
    bool more_comes =
        conn->window_size > 0 || conn->readable || conn->parser.state != PARSER_BETWEEN;
    drop_window(conn);
    if (conn->eof || !more_comes || shutdown(conn->fd, SHUT_WR) < 0) {
        conn->phase = CONN_DEAD;
        return;
    }
    conn->phase = CONN_LINGER;
    conn->since_ns = now_ns(conn);
}

static void set_idle(struct http_conn *conn, bool idle)
{
    if (idle == conn->idle)
        return;
    conn->idle = idle;
    if (!idle) {
        TAILQ_REMOVE(&conn->server->idle, conn, idle_link);
        return;
    }
    TAILQ_INSERT_TAIL(&conn->server->idle, conn, idle_link);
    server_conn_idle(conn->server);
}

static void conn_free(struct http_conn *conn)
{
    set_idle(conn, false);
    loop_forget(conn->server->loop, &conn->soon);
    event_del(&conn->event);
    fd_close(&conn->fd);
    out_clear(&conn->out);
    http_parser_free(&conn->parser);
    buf_free(&conn->input);
    server_conn_removed(conn->server, conn);
    free(conn);
}

void conn_destroy(struct http_conn *conn)
{
    conn->in_turn = true; /* what over() says comes too late */
    conn_lose(conn);
    conn_free(conn);
}

/* ---- parsing ---- */

static void conn_refuse(struct http_conn *conn, const struct http_fault *fault)
{
    conn->server->counts.refused_total++;
    reply_refusal(conn, fault);
    request_over(conn, HTTP_OVER_REFUSED);
    drop_window(conn);
    conn->keep = false;
    conn->phase = CONN_CLOSING;
    conn->write_ns = now_ns(conn);
}

static void conn_refuse_because(struct http_conn *conn, int status, const char *reason)
{
    conn_refuse(conn, &(struct http_fault){.status = status, .reason = reason});
}

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

static void begin_request(struct http_conn *conn)
{
    struct http_request *request = calloc(1, sizeof(*request));
    if (!request) {
        conn->phase = CONN_DEAD;
        return;
    }
    request->conn = conn;
    conn->request = request;
    conn->phase = CONN_EXCHANGE;
    set_idle(conn, false);
    conn->keep = true;
    conn->read_ns = conn->since_ns = now_ns(conn);
    conn->request_count++;
    conn->server->counts.requests++;
    conn->server->counts.requests_total++;
    conn->server->door.head(request, conn->server->arg);
}

static bool parse_head(struct http_conn *conn)
{
    const char *piece;
    size_t size;
    switch (next_event(conn, &piece, &size)) {
    case HTTP_EVENT_HEAD:
        begin_request(conn);
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
    conn->read_ns = conn->write_ns = now_ns(conn);
    return true;
}

static bool body_is_wanted(const struct http_request *request)
{
    return request->accepted && !request->paused && !request->body_done &&
           request->reply == REPLY_NONE;
}

/* The answer came before the body's end: the rest is read and thrown away. */
static bool body_is_unwanted(const struct http_request *request)
{
    return request->reply != REPLY_NONE && !request->body_done;
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
        drop_window(conn);
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

static void next_request(struct http_conn *conn)
{
    if (conn->server->stopping) {
        conn_finish(conn);
        return;
    }
    conn->phase = CONN_HEAD;
    conn->in_head = false;
    conn->since_ns = now_ns(conn);
}

/* Takes one step in what has come. Returns whether there was one. */
static bool conn_parse(struct http_conn *conn)
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
            next_request(conn);
        else if (!conn->keep || conn->server->stopping)
            conn_finish(conn);
        return stepped;
    case CONN_CLOSING:
    case CONN_LINGER:
        drop_window(conn);
        return false;
    case CONN_DEAD:
        break;
    }
    return false;
}

/* ---- sending ---- */

/* What the kernel has not delivered yet (tcp(7), unix(7)). */
static int unsent_bytes(int fd)
{
    int bytes = 0;
    return ioctl(fd, SIOCOUTQ, &bytes) < 0 ? 0 : bytes;
}

/* A socket becomes writable when a good part of its buffer is free, which may be megabytes:
 * whether the client takes anything at all shows in the buffer only. */
static bool client_takes(struct http_conn *conn)
{
    int before = conn->unsent;
    conn->unsent = unsent_bytes(conn->fd);
    if (conn->unsent >= before)
        return false;
    conn->write_ns = now_ns(conn);
    return true;
}

static bool conn_send(struct http_conn *conn, struct budget *budget)
{
    bool blocked;
    uint64_t written;
    if (conn->out.failed || (conn->request && conn->request->aborted)) {
        conn_cut(conn);
        return true;
    }
    if (out_is_empty(&conn->out) || !conn->writable)
        return false;
    if (budget->write == 0) {
        conn->put_off = true;
        return false;
    }
    if (out_write(&conn->out, conn->fd, budget->write, &blocked, &written) < 0) {
        conn_cut(conn);
        return true;
    }
    budget->write -= written < budget->write ? written : budget->write;
    if (blocked) {
        conn->writable = false;
        conn->unsent = unsent_bytes(conn->fd);
    }
    if (written > 0 || out_is_empty(&conn->out))
        conn->write_ns = now_ns(conn);
    struct http_request *request = conn->request;
    if (request && request->drained_is_due && conn->out.waiting < HTTP_LOW_WATER) {
        request->drained_is_due = false;
        if (request->reply == REPLY_STARTED && request->calls.drained)
            request->calls.drained(request, request->arg);
    }
    return written > 0;
}

/* ---- settling ---- */

static void hand_over(struct http_conn *conn)
{
    struct http_request *request = conn->request;
    event_del(&conn->event);
    request->taken(fd_take(&conn->fd), conn->window, conn->window_size, request->taken_arg);
    request_over(conn, HTTP_OVER_ANSWERED);
    conn->phase = CONN_DEAD;
}

/* The answer is with the kernel. */
static void settle_answered(struct http_conn *conn)
{
    bool body_done = conn->request->body_done;
    if (conn->request->taken) {
        hand_over(conn);
        return;
    }
    request_over(conn, HTTP_OVER_ANSWERED);
    if (!conn->keep)
        conn_finish(conn);
    else if (body_done)
        next_request(conn);
    else
        conn->phase = CONN_DRAIN;
    conn->read_ns = now_ns(conn);
}

static bool wants_bytes(const struct http_conn *conn)
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

/* Asked when nothing else is left to do. The client has ended its side, and what it sent has been
 * used as far as it can be; so a pending answer has nobody to go to. One that is complete is still
 * sent. */
static bool conn_hang_up(struct http_conn *conn)
{
    if (!conn->eof && (!conn->hung_up || wants_bytes(conn)))
        return false;
    switch (conn->phase) {
    case CONN_EXCHANGE:
        if (conn->request->reply == REPLY_COMPLETE)
            return false;
        conn_lose(conn);
        return true;
    case CONN_CLOSING:
        return false;
    default:
        conn->phase = CONN_DEAD;
        return true;
    }
}

static bool conn_settle(struct http_conn *conn)
{
    const struct http_request *request = conn->request;
    if (!out_is_empty(&conn->out))
        return false;
    if (request && request->reply == REPLY_COMPLETE)
        settle_answered(conn);
    else if (conn->phase == CONN_CLOSING)
        conn_finish(conn);
    else
        return false;
    return true;
}

/* ---- receiving ---- */

/* Moves the window into memory of the connection's own, to the front. */
static bool save_window(struct http_conn *conn)
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

static bool conn_receive(struct http_conn *conn, struct budget *budget)
{
    char *scratch = conn->server->scratch;
    if (!conn->readable || conn->eof || !wants_bytes(conn))
        return false;
    if (budget->read == 0) {
        conn->put_off = true;
        return false;
    }
    if (conn->window_size > 0 && !save_window(conn)) { /* it may be in the scratch */
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
    conn->read_ns = now_ns(conn);
    if ((size_t)got < wanted && !conn->hung_up)
        conn->readable = false; /* that was all (epoll(7)); more of it is a new event */
    budget->read -= (uint64_t)got < budget->read ? (uint64_t)got : budget->read;
    if (got > 0 && !grow_window(conn, scratch, (size_t)got))
        conn_cut(conn);
    return true;
}

/* ---- turns ---- */

static void mark_head(struct http_conn *conn)
{
    bool in_head = http_parser_in_head(&conn->parser, conn->window_size);
    if (in_head && !conn->in_head && conn->request_count > 0)
        conn->since_ns = now_ns(conn);
    conn->in_head = in_head;
    set_idle(conn, !in_head);
    if (!in_head && conn->input.capacity > KEPT_BYTES)
        buf_free(&conn->input);
    if (!in_head && conn->parser.head.text_capacity > KEPT_BYTES)
        http_head_free(&conn->parser.head);
}

static void end_turn(struct http_conn *conn)
{
    if (conn->phase != CONN_DEAD && !save_window(conn))
        conn_cut(conn);
    if (conn->phase == CONN_DEAD) {
        conn_free(conn);
        return;
    }
    if (conn->phase == CONN_HEAD)
        mark_head(conn);
    else
        set_idle(conn, false);
    conn->in_turn = false;
    if (conn->put_off)
        loop_later(conn->server->loop, &conn->soon);
}

void conn_turn(struct http_conn *conn)
{
    struct budget budget = {.read = READ_BUDGET, .write = WRITE_BUDGET};
    bool again;
    conn->in_turn = true;
    conn->put_off = false;
    do {
        conn->stirred = false;
        again = conn_parse(conn);
        if (conn->phase != CONN_DEAD)
            again |= conn_send(conn, &budget);
        if (conn->phase != CONN_DEAD)
            again |= conn_settle(conn);
        if (conn->phase != CONN_DEAD && !again && !conn->stirred)
            again = conn_hang_up(conn) || conn_receive(conn, &budget);
    } while (conn->phase != CONN_DEAD && (again || conn->stirred));
    end_turn(conn);
}

void conn_stir(struct http_conn *conn)
{
    if (conn->in_turn)
        conn->stirred = true;
    else
        loop_soon(conn->server->loop, &conn->soon);
}

static void conn_soon(struct net_soon *soon)
{
    conn_turn((struct http_conn *)((char *)soon - offsetof(struct http_conn, soon)));
}

/* A reset is told as "readable" only, and while nothing is read nobody would see it. */
static bool is_hung_up(int fd)
{
    struct pollfd socket = {.fd = fd, .events = POLLRDHUP};
    return poll(&socket, 1, 0) == 1 && (socket.revents & (POLLRDHUP | POLLERR | POLLHUP));
}

static void conn_ready(evutil_socket_t fd, short what, void *arg)
{
    struct http_conn *conn = arg;
    struct net_loop *loop = conn->server->loop;
    loop_enter(loop);
    if (what & (EV_READ | EV_CLOSED))
        conn->readable = true;
    if (what & EV_WRITE)
        conn->writable = true;
    if ((what & EV_CLOSED) || ((what & EV_READ) && !wants_bytes(conn) && is_hung_up(fd)))
        conn->hung_up = true;
    conn_turn(conn);
    loop_leave(loop);
}

/* ---- time ---- */

int64_t conn_deadline_ns(const struct http_conn *conn)
{
    const struct http_settings *settings = &conn->server->settings;
    switch (conn->phase) {
    case CONN_HEAD:
        return conn->since_ns + (conn->in_head || conn->request_count == 0
                                     ? settings->head_timeout_ns
                                     : settings->idle_timeout_ns);
    case CONN_EXCHANGE:
        if (!out_is_empty(&conn->out))
            return conn->write_ns + settings->write_timeout_ns;
        if (body_is_wanted(conn->request))
            return conn->read_ns + settings->body_timeout_ns;
        return INT64_MAX;
    case CONN_DRAIN:
        return conn->read_ns + settings->body_timeout_ns;
    case CONN_CLOSING:
        return conn->write_ns + settings->write_timeout_ns;
    case CONN_LINGER:
        return conn->since_ns + settings->linger_timeout_ns;
    case CONN_DEAD:
        break;
    }
    return INT64_MAX;
}

void conn_expire(struct http_conn *conn)
{
    if (!out_is_empty(&conn->out) && client_takes(conn))
        return;
    conn->in_turn = true;
    if (conn->phase == CONN_HEAD && conn->in_head)
        conn_refuse_because(conn, 408, "the head took too long");
    else if (conn->phase == CONN_EXCHANGE && out_is_empty(&conn->out))
        conn_refuse_because(conn, 408, "the body took too long");
    else if (conn->phase == CONN_EXCHANGE)
        conn_cut(conn);
    else
        conn->phase = CONN_DEAD;
    conn_turn(conn);
}

int conn_new(struct http_server *server, int fd, const char *peer)
{
    struct http_conn *conn = calloc(1, sizeof(*conn));
    if (!conn)
        return -1;
    conn->server = server;
    conn->fd = fd;
    conn->soon.run = conn_soon;
    conn->writable = true;
    conn->window = "";
    conn->parser.limits = (struct http_limits){
        .head_bytes = server->settings.head_bytes,
        .target_bytes = server->settings.target_bytes,
        .header_count = server->settings.header_count,
    };
    out_init(&conn->out);
    conn->since_ns = conn->read_ns = conn->write_ns = now_ns(conn);
    strncpy(conn->peer, peer, sizeof(conn->peer) - 1);
    /* Edge-triggered, once and for all: nothing is asked of the kernel when reading pauses or a
     * queue fills up. EV_CLOSED is EPOLLRDHUP, which comes even behind bytes that nobody reads. */
    event_assign(&conn->event, loop_base(server->loop), fd,
                 EV_READ | EV_WRITE | EV_CLOSED | EV_ET | EV_PERSIST, conn_ready, conn);
    if (event_add(&conn->event, NULL) < 0) {
        free(conn);
        return -1;
    }
    server_conn_added(server, conn);
    set_idle(conn, true);
    return 0;
}
