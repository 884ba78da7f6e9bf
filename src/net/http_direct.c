/* An answer that another thread hands to the kernel itself.
 *
 *     loop                                      worker
 *     http_direct_new()  ─────────────────────► works
 *     ... reads ahead, sees hang-ups            http_direct_reply(): sends, notes it
 *     next turn of the connection: direct_take() ends the exchange
 *
 * One lock stands between them. Who holds it sees a socket that is open as long as the request is not over, and the
 * loop closes nothing without it. The loop need not be told of an answer: whatever the connection does next wakes
 * it, and the server's tick looks after those that do nothing. Only when something waits for the end of the exchange
 * (bytes that were read ahead) the worker wakes it. */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "base/buf.h"
#include "base/clock.h"
#include "http_private.h"

struct http_direct {
    atomic_int holders; /* the request and the worker */
    pthread_mutex_t lock;
    int fd;           /* the connection's; -1: the loop answers, or nobody */
    bool awaited;     /* the loop has something to do once the answer is out */
    atomic_bool sent; /* the answer, but for rest; written with the lock held */
    int64_t sent_ns;
    struct buf rest; /* what the socket did not take */
    struct net_loop *loop;
    struct http_conn *conn; /* the loop's; NULL: the request is over */
};

static void release(struct http_direct *direct)
{
    if (atomic_fetch_sub(&direct->holders, 1) > 1)
        return;
    pthread_mutex_destroy(&direct->lock);
    buf_free(&direct->rest);
    free(direct);
}

/* ---- on the loop's thread ---- */

static bool is_plain(const struct http_request *request)
{
    const struct http_conn *conn = request->conn;
    const struct http_head *head = &conn->parser.head;
    return request->body_done && request->reply == REPLY_NONE && !request->close &&
           request->headers.size == 0 && request->direct == NULL && !request->aborted &&
           head->keep_alive && head->minor > 0 && strcmp(head->method, "HEAD") != 0 &&
           out_is_empty(&conn->out) && !conn->server->stopping;
}

struct http_direct *http_direct_new(struct http_request *request)
{
    struct http_direct *direct = is_plain(request) ? calloc(1, sizeof(*direct)) : NULL;
    if (direct == NULL)
        return NULL;
    atomic_init(&direct->holders, 2);
    pthread_mutex_init(&direct->lock, NULL);
    direct->fd = request->conn->fd;
    direct->awaited = true; /* until the turn has ended */
    direct->conn = request->conn;
    direct->loop = request->conn->server->loop;
    request->direct = direct;
    conn_stir(request->conn);
    return direct;
}

void direct_close(struct http_request *request)
{
    struct http_direct *direct = request->direct;
    if (direct == NULL)
        return;
    pthread_mutex_lock(&direct->lock);
    if (!direct->sent)
        direct->fd = -1;
    pthread_mutex_unlock(&direct->lock);
}

bool direct_over(struct http_request *request)
{
    struct http_direct *direct = request->direct;
    if (direct == NULL)
        return false;
    pthread_mutex_lock(&direct->lock);
    direct->fd = -1;
    direct->conn = NULL;
    bool answered = direct->sent && direct->rest.size == 0 && direct->rest.failure == 0 &&
                    request->reply == REPLY_NONE;
    request->answered_ns = direct->sent ? direct->sent_ns : 0;
    pthread_mutex_unlock(&direct->lock);
    request->direct = NULL;
    release(direct);
    return answered;
}

int64_t http_answered_directly_ns(const struct http_request *request)
{
    return request->answered_ns;
}

bool direct_is_sent(const struct http_request *request)
{
    struct http_direct *direct = request->direct;
    return direct != NULL && request->reply == REPLY_NONE && atomic_load(&direct->sent);
}

void direct_take(struct http_conn *conn)
{
    struct http_request *request = conn->request;
    if (request == NULL || !direct_is_sent(request))
        return;
    pthread_mutex_lock(&request->direct->lock); /* he may be about to let go of it */
    pthread_mutex_unlock(&request->direct->lock);
    struct buf *rest = &request->direct->rest; /* ours by now */
    request->reply = REPLY_COMPLETE;
    conn->keep = true;
    conn->write_ns = conn_now_ns(conn);
    if (rest->failure != 0) {
        conn->out.failed = true;
    } else if (rest->size > 0) {
        out_add_copy(&conn->out, rest->data, rest->size);
        buf_cut(rest, 0);
    }
}

/* Bytes that were read ahead wait for the answer, or there is more to be read, or the end has come. */
static bool something_waits(const struct http_conn *conn)
{
    return conn->window_size > 0 || conn->readable || conn->hung_up || conn->eof || conn->put_off ||
           !out_is_empty(&conn->out);
}

void direct_end_turn(struct http_conn *conn)
{
    struct http_request *request = conn->request;
    struct http_direct *direct = request != NULL ? request->direct : NULL;
    if (direct == NULL || request->reply != REPLY_NONE)
        return;
    if (conn->server->stopping) /* the answer is to say so */
        direct_close(request);
    pthread_mutex_lock(&direct->lock);
    direct->awaited = something_waits(conn);
    bool sent = direct->sent;
    pthread_mutex_unlock(&direct->lock);
    if (sent)
        loop_soon(conn->server->loop, &conn->soon);
}

/* Posted by a worker, whose hold it brings along. */
static void look(void *arg)
{
    struct http_direct *direct = arg;
    if (direct->conn != NULL) /* written on this thread only */
        conn_stir(direct->conn);
    release(direct);
}

/* ---- on the worker's ---- */

/* With the lock held. Returns whether anything has been sent: then all of the answer is on its way. */
static bool send_all(struct http_direct *direct, const struct iovec parts[2])
{
    struct msghdr message = {.msg_iov = (struct iovec *)(uintptr_t)parts, .msg_iovlen = 2};
    ssize_t got;
    do
        got = sendmsg(direct->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (got < 0 && errno == EINTR);
    if (got <= 0)
        return false;
    size_t sent = (size_t)got;
    for (int i = 0; i < 2; i++) {
        size_t gone = sent < parts[i].iov_len ? sent : parts[i].iov_len;
        sent -= gone;
        if (gone < parts[i].iov_len)
            buf_append(&direct->rest, (const char *)parts[i].iov_base + gone,
                       parts[i].iov_len - gone);
    }
    direct->sent_ns = monotonic_ns();
    direct->sent = true;
    return true;
}

bool http_direct_reply(struct http_direct *direct, int status, const char *headers,
                       const void *data, size_t size)
{
    char head[1024];
    bool sent = false, wake = false;
    int head_size = reply_plain_head(status, headers, size, head, sizeof(head));
    const struct iovec parts[2] = {{head, (size_t)head_size}, {(void *)(uintptr_t)data, size}};
    pthread_mutex_lock(&direct->lock);
    if (direct->fd >= 0 && head_size > 0)
        sent = send_all(direct, parts);
    if (sent)
        wake = direct->awaited || direct->rest.size > 0 || direct->rest.failure != 0;
    pthread_mutex_unlock(&direct->lock);
    if (wake)
        net_loop_post(direct->loop, look, direct);
    else
        release(direct);
    return sent;
}

void http_direct_give_up(struct http_direct *direct)
{
    if (direct != NULL)
        release(direct);
}
