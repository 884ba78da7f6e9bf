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

/* ---- the end of requests and connections ---- */

static void request_over(struct http_conn *conn, enum http_over how)
{
    struct http_request *request = conn->request;
    if (!request)
        return;
    conn->server->counts.requests--;
    if (direct_over(request))
        how = HTTP_OVER_ANSWERED;
    if (request->calls.over)
        request->calls.over(request, how, request->arg);
    conn->request = NULL;
    buf_free(&request->headers);
    free(request);
}

void conn_lose(struct http_conn *conn)
{
    request_over(conn, HTTP_OVER_GONE);
    conn->phase = CONN_DEAD;
}

/* With a reset instead of an orderly end, so that what was cut off does not look whole. */
void conn_cut(struct http_conn *conn)
{
    static const struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    setsockopt(conn->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    conn_lose(conn);
}

/* Closing a socket that holds unread bytes resets it, and a reset may overtake the answer: so the
 * client is first told that we are done, and what it still sends is read for a while (RFC 9112
 * 9.6). */
void conn_finish(struct http_conn *conn)
{
    bool more_comes =
        conn->window_size > 0 || conn->readable || conn->parser.state != PARSER_BETWEEN;
    conn_drop_window(conn);
    if (conn->eof || !more_comes || shutdown(conn->fd, SHUT_WR) < 0) {
        conn->phase = CONN_DEAD;
        return;
    }
    conn->phase = CONN_LINGER;
    conn->since_ns = conn_now_ns(conn);
}

static void set_idle(struct http_conn *conn, bool idle)
{
    if (idle == conn->idle)
        return;
    conn->idle = idle;
    if (idle)
        TAILQ_INSERT_TAIL(&conn->server->idle, conn, idle_link);
    else
        TAILQ_REMOVE(&conn->server->idle, conn, idle_link);
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

/* ---- refusing ---- */

void conn_refuse(struct http_conn *conn, const struct http_fault *fault)
{
    conn->server->counts.refused_total++;
    reply_refusal(conn, fault);
    request_over(conn, HTTP_OVER_REFUSED);
    conn_drop_window(conn);
    conn->keep = false;
    conn->phase = CONN_CLOSING;
    conn->write_ns = conn_now_ns(conn);
}

void conn_refuse_because(struct http_conn *conn, int status, const char *reason)
{
    conn_refuse(conn, &(struct http_fault){.status = status, .reason = reason});
}

void conn_begin_request(struct http_conn *conn)
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
    conn->read_ns = conn->since_ns = conn_now_ns(conn);
    conn->request_count++;
    conn->server->counts.requests++;
    conn->server->counts.requests_total++;
    conn->server->door.head(request, conn->server->arg);
}

void conn_next_request(struct http_conn *conn)
{
    if (conn->server->stopping) {
        conn_finish(conn);
        return;
    }
    conn->phase = CONN_HEAD;
    conn->in_head = false;
    conn->since_ns = conn_now_ns(conn);
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
    conn->write_ns = conn_now_ns(conn);
    return true;
}

static bool conn_send(struct http_conn *conn, uint64_t *budget)
{
    bool blocked;
    uint64_t written;
    if (conn->out.failed || (conn->request && conn->request->aborted)) {
        conn_cut(conn);
        return true;
    }
    if (out_is_empty(&conn->out) || !conn->writable)
        return false;
    if (*budget == 0) {
        conn->put_off = true;
        return false;
    }
    if (out_write(&conn->out, conn->fd, *budget, &blocked, &written) < 0) {
        conn_cut(conn);
        return true;
    }
    *budget -= written < *budget ? written : *budget;
    if (blocked) {
        conn->writable = false;
        conn->unsent = unsent_bytes(conn->fd);
    }
    if (written > 0 || out_is_empty(&conn->out))
        conn->write_ns = conn_now_ns(conn);
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
        conn_next_request(conn);
    else
        conn->phase = CONN_DRAIN;
    conn->read_ns = conn_now_ns(conn);
}

/* Asked when nothing else is left to do. The client has ended its side, and what it sent has been
 * used as far as it can be; so a pending answer has nobody to go to. One that is complete is still
 * sent. */
static bool conn_hang_up(struct http_conn *conn)
{
    if (!conn->eof && (!conn->hung_up || conn_wants_bytes(conn)))
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

/* ---- turns ---- */

static void mark_head(struct http_conn *conn)
{
    bool in_head = http_parser_in_head(&conn->parser, conn->window_size);
    if (in_head && !conn->in_head && conn->request_count > 0)
        conn->since_ns = conn_now_ns(conn);
    conn->in_head = in_head;
    set_idle(conn, !in_head);
    if (!in_head && conn->input.capacity > KEPT_BYTES)
        buf_free(&conn->input);
    if (!in_head && conn->parser.head.text_capacity > KEPT_BYTES)
        http_head_free(&conn->parser.head);
}

static void end_turn(struct http_conn *conn)
{
    if (conn->phase != CONN_DEAD && !conn_save_window(conn))
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
    direct_end_turn(conn);
    if (conn->put_off)
        loop_later(conn->server->loop, &conn->soon);
}

void conn_turn(struct http_conn *conn)
{
    uint64_t read_budget = READ_BUDGET, write_budget = WRITE_BUDGET;
    bool again;
    conn->in_turn = true;
    conn->put_off = false;
    do {
        conn->stirred = false;
        direct_take(conn);
        again = conn_parse(conn);
        if (conn->phase != CONN_DEAD)
            again |= conn_send(conn, &write_budget);
        if (conn->phase != CONN_DEAD)
            again |= conn_settle(conn);
        if (conn->phase != CONN_DEAD && !again && !conn->stirred)
            again = conn_hang_up(conn) || conn_receive(conn, &read_budget);
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
    if ((what & EV_CLOSED) || ((what & EV_READ) && !conn_wants_bytes(conn) && is_hung_up(fd)))
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
    conn->since_ns = conn->read_ns = conn->write_ns = conn_now_ns(conn);
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
