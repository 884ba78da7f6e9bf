/* Servers, connections and requests, as the files of the HTTP server see them.
 *
 *     http_server.c   servers: connections in, out of time, and at the end
 *     http_conn.c     a connection's turn: parse, send, settle, receive; its beginning and end
 *     http_input.c    what a client sends: received, kept, taken apart, handed to the door
 *     http_request.c  what a door asks about a request
 *     http_reply.c    what a door answers
 *     http_direct.c   what another thread answers by itself
 *
 * A connection lives by turns (conn_turn()): when its socket has news, when a door has said
 * something, when time is up. What a door says is only noted; the turn acts on it. So no call of a
 * door's ends up in another call of the door's, and nothing is freed below its feet. */
#ifndef CJ_NET_HTTP_PRIVATE_H
#define CJ_NET_HTTP_PRIVATE_H

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/buf.h"
#include "http_parser.h"
#include "listener.h"
#include "loop_private.h"
#include "net/http.h"
#include "out_queue.h"

enum { READ_SIZE = 64 * 1024, PEER_SIZE = 64 };

enum reply_state {
    REPLY_NONE,
    REPLY_STARTED,  /* pieces may follow */
    REPLY_COMPLETE, /* all of it is in the queue */
};

struct http_request {
    struct http_conn *conn;
    struct http_calls calls;
    void *arg;

    bool accepted;
    bool paused;
    bool checked;   /* against its limit, and 100 Continue sent, before the first byte */
    bool continued; /* 100 Continue was sent */
    bool body_done; /* all of it has been read, or thrown away */
    uint64_t body_limit;
    uint64_t body_bytes;

    enum reply_state reply;
    struct buf headers;  /* lines of the answer to come */
    bool close;          /* the door wants it */
    bool bodiless;       /* the answer has no body: HEAD, 204, 304 */
    bool chunked;        /* the answer is */
    int64_t promised;    /* bytes of a streamed answer; -1: not known */
    uint64_t given;      /* of them */
    bool drained_is_due; /* once the queue is short again */
    bool aborted;

    void (*taken)(int fd, const char *early, size_t early_size, void *arg);
    void *taken_arg;

    struct http_direct *direct; /* another thread may answer; NULL */
    int64_t answered_ns;        /* when it has; known when the request is over */
};

enum conn_phase {
    CONN_HEAD,     /* a request's head is waited for; idle while none of it has come */
    CONN_EXCHANGE, /* there is a request */
    CONN_DRAIN,    /* it is over, the rest of its body is thrown away */
    CONN_CLOSING,  /* a last answer is being sent */
    CONN_LINGER,   /* we have shut down our side; what still comes is thrown away */
    CONN_DEAD,     /* to be freed at the end of the turn */
};

struct http_conn {
    TAILQ_ENTRY(http_conn) link;
    TAILQ_ENTRY(http_conn) idle_link;
    struct http_server *server;
    struct net_soon soon;
    struct event event;
    int fd;
    enum conn_phase phase;

    /* The socket, as far as edge-triggered events have told. */
    bool readable, writable;
    bool hung_up; /* the client will send no more than what is there */
    bool eof;     /* and all of that has been read */

    bool in_turn;
    bool stirred; /* a door has said something in this turn */
    bool put_off; /* a budget is used up: the rest has to wait for the others' turns */
    bool keep;    /* the answer at hand lets the connection live */
    bool in_head;
    bool idle; /* in the server's list */

    /* Bytes that have come and are not used up: in the server's scratch during a turn, or in
     * input. */
    const char *window;
    size_t window_size;
    struct buf input;

    struct http_parser parser;
    struct http_request *request; /* NULL but in CONN_EXCHANGE */
    uint64_t request_count;
    struct out_queue out;

    int64_t since_ns; /* the phase, or a head, began */
    int64_t read_ns;  /* something last came */
    int64_t write_ns; /* something was last taken, or the queue was empty */
    int unsent;       /* bytes in the kernel's buffer when it was last full */
    char peer[PEER_SIZE];
};

TAILQ_HEAD(http_conn_list, http_conn);

struct http_listener {
    struct http_server *server;
    struct listener socket;
    struct event *event;
};

struct http_server {
    struct net_loop *loop;
    struct http_door door;
    void *arg;
    struct http_settings settings;
    char *scratch; /* READ_SIZE: of the connection whose turn it is */

    struct http_listener **listeners;
    size_t listener_count;
    bool paused; /* no connections are taken in: too many, or no descriptors */

    struct http_conn_list conns; /* the oldest first */
    struct http_conn_list idle;  /* idle for the longest time first */
    struct http_counts counts;
    struct net_timer *tick;
    bool ticking;
    int64_t tick_ns;
    int64_t complained_ns; /* the last time that accept(2) failed and the log said so */

    bool stopping;
    bool stop_now;
    bool stopped; /* done has been called */
    struct net_soon stop_soon;
    struct net_timer *stop_timer;
    int64_t stop_deadline_ns;
    void (*done)(void *arg);
    void *done_arg;
};

/* ---- http_conn.c ---- */

/* Takes over fd, which stays the caller's when it fails. */
WARN_UNUSED int conn_new(struct http_server *server, int fd, const char *peer);
/* Lets the connection act on whatever is new. May free it. */
void conn_turn(struct http_conn *conn);
/* A door has said something: a turn follows. */
void conn_stir(struct http_conn *conn);
/* Its deadline, INT64_MAX when there is none. */
int64_t conn_deadline_ns(const struct http_conn *conn);
/* The deadline has passed. May free it. */
void conn_expire(struct http_conn *conn);
/* Closes it at once: over() is called if there is a request, and it is freed. Not in its turn. */
void conn_destroy(struct http_conn *conn);

/* For http_input.c. A head has come: the door gets a request. */
void conn_begin_request(struct http_conn *conn);
/* The request is over, and read to its end. */
void conn_next_request(struct http_conn *conn);
/* Answers with an error of this layer, and closes. */
void conn_refuse(struct http_conn *conn, const struct http_fault *fault);
void conn_refuse_because(struct http_conn *conn, int status, const char *reason);
/* No more answers: an orderly end. */
void conn_finish(struct http_conn *conn);
/* The client has gone. */
void conn_lose(struct http_conn *conn);
/* With a reset instead of an orderly end, so that what was cut off does not look whole. */
void conn_cut(struct http_conn *conn);

static inline int64_t conn_now_ns(const struct http_conn *conn)
{
    return net_loop_now_ns(conn->server->loop);
}

/* ---- http_input.c ---- */

/* Takes one step in what has come. Returns whether there was one. */
bool conn_parse(struct http_conn *conn);
/* Reads once, if anything is wanted and there, within the budget. Returns whether something is
 * new. */
bool conn_receive(struct http_conn *conn, uint64_t *budget);
/* Whether it would read what came. */
bool conn_wants_bytes(const struct http_conn *conn);
bool body_is_wanted(const struct http_request *request);
/* Moves the window into memory of the connection's own, to the front. Returns false without
 * memory. */
bool conn_save_window(struct http_conn *conn);
void conn_drop_window(struct http_conn *conn);

/* ---- http_reply.c ---- */

/* Puts the answer to a refused request into the queue. */
void reply_refusal(struct http_conn *conn, const struct http_fault *fault);
/* Writes the head of an answer over a connection that stays open (HTTP/1.1). headers: lines. Returns its
 * size, 0 when it does not fit. Any thread. */
int reply_plain_head(int status, const char *headers, size_t body_size, char *out, size_t out_size);

/* ---- http_direct.c ---- */

/* The loop answers from here on, unless the other thread has done so. */
void direct_close(struct http_request *request);
/* The request is over. Returns whether the other thread has given the whole answer, and nobody knew yet. */
bool direct_over(struct http_request *request);
/* Whether the other thread has answered, and direct_take() was not called since. */
bool direct_is_sent(const struct http_request *request);
/* Makes such an answer the request's. */
void direct_take(struct http_conn *conn);
/* Tells the other thread what the connection looks like. */
void direct_end_turn(struct http_conn *conn);

/* ---- http_server.c ---- */

/* A connection has been made or is gone. */
void server_conn_added(struct http_server *server, struct http_conn *conn);
void server_conn_removed(struct http_server *server, struct http_conn *conn);

#endif
