#include "http_private.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"

/* How often deadlines are looked at: a part of the shortest, within these. */
enum { TICK_PART = 8 };
static const int64_t TICK_LEAST_NS = 5 * NS_PER_MS;
static const int64_t TICK_MOST_NS = 500 * NS_PER_MS;

/* Connections taken in before the others have their turn. */
enum { ACCEPTS_AT_ONCE = 64 };

/* So long an idle connection is not closed for the sake of a new one. */
static const int64_t IDLE_GRACE_NS = 200 * NS_PER_MS;

static const int64_t COMPLAIN_EVERY_NS = 10 * NS_PER_S;

/* TAILQ_FOREACH for bodies that free the entry. */
#define FOR_EACH_CONN(at, next, list)                                                              \
    for ((at) = TAILQ_FIRST(list); (at) && ((next) = TAILQ_NEXT(at, link), true); (at) = (next))

/* ---- settings ---- */

static void default_size(uint64_t *value, uint64_t standard)
{
    if (*value == 0)
        *value = standard;
}

static void default_time(int64_t *value, int64_t standard)
{
    if (*value == 0)
        *value = standard;
}

static struct http_settings with_defaults(const struct http_settings *settings)
{
    struct http_settings full = settings ? *settings : (struct http_settings){0};
    default_size(&full.head_bytes, 64 * 1024);
    default_size(&full.target_bytes, 8 * 1024);
    default_size(&full.header_count, 100);
    default_size(&full.connection_count, 4096);
    default_size(&full.pipelined_bytes, 64 * 1024);
    default_size(&full.drain_bytes, 64 * 1024);
    default_time(&full.head_timeout_ns, 30 * NS_PER_S);
    default_time(&full.idle_timeout_ns, 120 * NS_PER_S);
    default_time(&full.body_timeout_ns, 60 * NS_PER_S);
    default_time(&full.write_timeout_ns, 60 * NS_PER_S);
    default_time(&full.linger_timeout_ns, 2 * NS_PER_S);
    return full;
}

static int64_t tick_of(const struct http_settings *settings)
{
    const int64_t times[] = {settings->head_timeout_ns, settings->idle_timeout_ns,
                             settings->body_timeout_ns, settings->write_timeout_ns,
                             settings->linger_timeout_ns};
    int64_t tick_ns = TICK_MOST_NS;
    for (size_t i = 0; i < COUNT_OF(times); i++)
        if (times[i] / TICK_PART < tick_ns)
            tick_ns = times[i] / TICK_PART;
    return tick_ns < TICK_LEAST_NS ? TICK_LEAST_NS : tick_ns;
}

/* ---- time ---- */

/* While connections are not taken in, whether they can be is asked more often. */
static void tick_start(struct http_server *server)
{
    if (server->ticking)
        return;
    server->ticking = true;
    bool soon = server->paused && server->tick_ns > IDLE_GRACE_NS;
    net_timer_set(server->tick, soon ? IDLE_GRACE_NS : server->tick_ns);
}

static void pause_listeners(struct http_server *server, bool paused)
{
    if (server->paused == paused)
        return;
    server->paused = paused;
    for (size_t i = 0; i < server->listener_count; i++)
        if (paused)
            event_del(server->listeners[i]->event);
        else
            event_add(server->listeners[i]->event, NULL);
    if (paused) {
        server->ticking = false;
        tick_start(server);
    }
}

static bool is_full(const struct http_server *server)
{
    return server->counts.connections >= server->settings.connection_count;
}

static void tick_ring(void *arg)
{
    struct http_server *server = arg;
    struct http_conn *conn, *next;
    int64_t now_ns = net_loop_now_ns(server->loop);
    server->ticking = false;
    FOR_EACH_CONN(conn, next, &server->conns)
    if (conn->request && direct_is_sent(conn->request))
        conn_turn(conn);
    else if (conn_deadline_ns(conn) <= now_ns)
        conn_expire(conn);
    /* Descriptors may be there again, or somebody has been idle for long enough. If not, the next
     * connection that waits says so. */
    pause_listeners(server, false);
    if (server->counts.connections > 0 || server->paused)
        tick_start(server);
}

/* ---- connections ---- */

void server_conn_added(struct http_server *server, struct http_conn *conn)
{
    TAILQ_INSERT_TAIL(&server->conns, conn, link);
    server->counts.connections++;
    server->counts.accepted_total++;
    tick_start(server);
}

void server_conn_removed(struct http_server *server, struct http_conn *conn)
{
    TAILQ_REMOVE(&server->conns, conn, link);
    server->counts.connections--;
    if (!server->stopping)
        pause_listeners(server, false);
    else if (server->counts.connections == 0)
        loop_soon(server->loop, &server->stop_soon);
}

static bool has_unread(const struct http_conn *conn)
{
    char byte;
    return recv(conn->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

/* Who has been idle for the longest time, and may be closed to make room: nobody who has just come
 * or just been answered and may be about to ask, and nobody whose request waits to be read. */
static struct http_conn *find_idle(struct http_server *server)
{
    struct http_conn *conn;
    int64_t latest_ns = net_loop_now_ns(server->loop) - IDLE_GRACE_NS;
    TAILQ_FOREACH(conn, &server->idle, idle_link)
    {
        if (conn->since_ns > latest_ns)
            return NULL;
        if (!has_unread(conn))
            return conn;
    }
    return NULL;
}

static void complain(struct http_server *server, const char *what)
{
    int64_t now_ns = net_loop_now_ns(server->loop);
    if (server->complained_ns != 0 && now_ns - server->complained_ns < COMPLAIN_EVERY_NS)
        return;
    server->complained_ns = now_ns;
    log_warn("cannot take connections in", log_text("address", http_server_address(server, 0)),
             log_text("reason", what), log_uint("connections", server->counts.connections));
}

/* No descriptors or no memory: waits for a connection to close, or for the next tick. accept(2)
 * takes a descriptor before it looks whether a connection is there. */
static void accept_failed(struct http_server *server, int listener_fd)
{
    int failure = errno;
    struct pollfd pending = {.fd = listener_fd, .events = POLLIN};
    if (poll(&pending, 1, 0) == 0)
        return;
    struct http_conn *idle = find_idle(server);
    if (idle) {
        conn_destroy(idle);
        return;
    }
    complain(server, strerror(failure));
    pause_listeners(server, true);
}

/* Takes one connection in. Returns false when there is none, or no room. */
static bool accept_one(struct http_listener *listener)
{
    struct http_server *server = listener->server;
    struct sockaddr_storage address = {0};
    socklen_t size = sizeof(address);
    char peer[PEER_SIZE];
    struct http_conn *idle = is_full(server) ? find_idle(server) : NULL;
    if (is_full(server) && !idle) {
        complain(server, "all connections are busy");
        pause_listeners(server, true);
        return false;
    }
    auto_fd int fd = accept4(listener->socket.fd, (struct sockaddr *)&address, &size,
                             SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) {
        if (errno == EINTR || errno == ECONNABORTED)
            return true;
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
            accept_failed(server, listener->socket.fd);
        return false;
    }
    address_format(&address, peer, sizeof(peer));
    if (idle)
        conn_destroy(idle);
    if (conn_new(server, fd, peer) == 0)
        fd_take(&fd);
    return true;
}

static void listener_ready(evutil_socket_t fd, short what, void *arg)
{
    struct http_listener *listener = arg;
    struct net_loop *loop = listener->server->loop;
    (void)fd, (void)what;
    loop_enter(loop);
    /* When the last place is taken, one more is asked for only if one more is there. */
    for (int i = 0; i < ACCEPTS_AT_ONCE && (i == 0 || !is_full(listener->server)); i++)
        if (!accept_one(listener))
            break;
    loop_leave(loop);
}

/* ---- listening ---- */

static void listener_free(struct http_listener *listener)
{
    if (listener->event)
        event_free(listener->event);
    listener_close(&listener->socket);
    free(listener);
}

static void drop_listeners(struct http_server *server, size_t kept)
{
    while (server->listener_count > kept)
        listener_free(server->listeners[--server->listener_count]);
}

/* Takes over the socket, also when it fails. */
static int add_listener(struct http_server *server, struct listener *socket, struct cj_error *err)
{
    size_t count = server->listener_count;
    struct http_listener **all = realloc(server->listeners, (count + 1) * sizeof(all[0]));
    if (all)
        server->listeners = all;
    struct http_listener *made = all ? calloc(1, sizeof(*made)) : NULL;
    if (!made) {
        listener_close(socket);
        return error_set(err, ERROR_SYSTEM, ENOMEM, "listen at %s: out of memory", socket->text);
    }
    made->server = server;
    made->socket = *socket;
    made->event =
        event_new(loop_base(server->loop), socket->fd, EV_READ | EV_PERSIST, listener_ready, made);
    all[server->listener_count++] = made;
    if (!made->event || (!server->paused && event_add(made->event, NULL) < 0))
        return error_set(err, ERROR_SYSTEM, ENOMEM, "listen at %s: out of memory", socket->text);
    return 0;
}

int http_server_listen(struct http_server *server, const char *address, struct cj_error *err)
{
    auto_free struct listener *opened = NULL;
    size_t count, before = server->listener_count;
    if (server->stopping)
        return error_set(err, ERROR_INTERNAL, 0, "listen at '%s': the server stops", address);
    if (listener_open_all(address, &opened, &count, err) < 0)
        return -1;
    for (size_t i = 0; i < count; i++) {
        if (add_listener(server, &opened[i], err) == 0)
            continue;
        while (++i < count)
            listener_close(&opened[i]);
        drop_listeners(server, before);
        return -1;
    }
    return 0;
}

const char *http_server_address(const struct http_server *server, size_t index)
{
    return index < server->listener_count ? server->listeners[index]->socket.text : NULL;
}

/* ---- stopping ---- */

/* Connections that the kernel has made already are taken in, before the door closes. */
static void accept_the_last(struct http_server *server)
{
    for (size_t i = 0; i < server->listener_count; i++)
        while (!server->paused && accept_one(server->listeners[i]))
            ;
    drop_listeners(server, 0);
}

/* Ends those that have nothing to answer, after a last look at what their sockets hold. */
static void end_idle(struct http_server *server)
{
    struct http_conn *conn, *next;
    FOR_EACH_CONN(conn, next, &server->conns)
    {
        conn->readable = true;
        conn_turn(conn);
    }
    while ((conn = TAILQ_FIRST(&server->idle)))
        conn_destroy(conn);
}

static void end_all(struct http_server *server)
{
    struct http_conn *conn;
    while ((conn = TAILQ_FIRST(&server->conns)))
        conn_destroy(conn);
}

/* Comes after http_server_stop(), and whenever the last connection has gone. */
static void stop_step(struct net_soon *soon)
{
    struct http_server *server =
        (struct http_server *)((char *)soon - offsetof(struct http_server, stop_soon));
    accept_the_last(server);
    if (server->stop_now)
        end_all(server);
    else
        end_idle(server);
    if (server->counts.connections > 0 || server->stopped)
        return;
    server->stopped = true;
    loop_forget(server->loop, &server->stop_soon);
    net_timer_cancel(server->stop_timer);
    if (server->done)
        server->done(server->done_arg); /* may free the server */
}

static void stop_ring(void *arg)
{
    struct http_server *server = arg;
    server->stop_now = true;
    loop_soon(server->loop, &server->stop_soon);
}

void http_server_stop(struct http_server *server, int64_t timeout_ns, void (*done)(void *arg),
                      void *arg)
{
    int64_t deadline_ns = monotonic_ns() + timeout_ns;
    if (server->stopped)
        return;
    if (!server->stopping || deadline_ns < server->stop_deadline_ns) {
        server->stop_deadline_ns = deadline_ns;
        net_timer_set(server->stop_timer, timeout_ns);
    }
    server->stop_now |= timeout_ns <= 0;
    server->stopping = true;
    server->done = done;
    server->done_arg = arg;
    loop_soon(server->loop, &server->stop_soon);
}

/* ---- making and freeing ---- */

int http_server_new(struct http_server **server, struct net_loop *loop,
                    const struct http_door *door, void *arg, const struct http_settings *settings,
                    struct cj_error *err)
{
    struct http_server *made = calloc(1, sizeof(*made));
    if (!made)
        return error_errno(err, "make an HTTP server");
    made->loop = loop;
    made->door = *door;
    made->arg = arg;
    made->settings = with_defaults(settings);
    made->tick_ns = tick_of(&made->settings);
    made->stop_soon.run = stop_step;
    TAILQ_INIT(&made->conns);
    TAILQ_INIT(&made->idle);
    made->scratch = malloc(READ_SIZE);
    if (!made->scratch || net_timer_new(&made->tick, loop, tick_ring, made, err) < 0 ||
        net_timer_new(&made->stop_timer, loop, stop_ring, made, err) < 0) {
        http_server_free(made);
        return error_set(err, ERROR_SYSTEM, ENOMEM, "make an HTTP server: out of memory");
    }
    *server = made;
    return 0;
}

void http_server_free(struct http_server *server)
{
    if (!server)
        return;
    server->stopping = true;
    server->stopped = true;
    end_all(server);
    drop_listeners(server, 0);
    loop_forget(server->loop, &server->stop_soon);
    net_timer_free(server->tick);
    net_timer_free(server->stop_timer);
    free(server->listeners);
    free(server->scratch);
    free(server);
}

void http_server_counts(const struct http_server *server, struct http_counts *counts)
{
    *counts = server->counts;
}
