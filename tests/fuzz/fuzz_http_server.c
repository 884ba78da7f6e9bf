/* A connection with its door: whatever a client sends, however it is cut, and whatever the door
 * does, each request is over exactly once, and nothing is left when the client has gone.
 *
 * The first four bytes of the input choose limits and cuts; the rest is what the client sends. The
 * door does what the path's last character says. */
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "http_private.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct exchange {
    struct http_request *request;
    bool over, posted, ended;
    int answer;
    size_t body_size;
};

static struct net_loop *loop;
static size_t exchanges; /* not freed */
static size_t releases;  /* due */
static int upgraded_fd = -1;

static void require(bool truth)
{
    if (!truth)
        abort();
}

static void release(void *data, void *arg)
{
    (void)arg;
    free(data);
    releases--;
}

static void take_fd(int fd, const char *early, size_t early_size, void *arg)
{
    (void)arg;
    require(early != NULL || early_size == 0);
    upgraded_fd = fd;
}

static void answer(struct exchange *exchange)
{
    struct http_request *request = exchange->request;
    char *data;
    http_reply_header(request, "X-Path", http_path(request));
    switch (exchange->answer) {
    case '1':
        releases++;
        data = calloc(1, 40000);
        http_reply_owned(request, 200, data, 40000, release, NULL);
        break;
    case '2':
        http_reply_start(request, 200, -1);
        http_reply_piece(request, "abc", 3);
        releases++;
        http_reply_piece_owned(request, calloc(1, 100000), 100000, release, NULL);
        http_reply_end(request);
        break;
    case '3':
        http_reply_file(request, 200, memfd_create("empty", MFD_CLOEXEC), 0,
                        exchange->body_size % 2);
        break;
    case '4':
        http_abort(request);
        break;
    case '5':
        http_reply_close(request);
        http_reply(request, 204, NULL, 0);
        break;
    case '6':
        http_reply_start(request, 200, 5); /* and then less */
        http_reply_piece(request, "abc", 3);
        http_reply_end(request);
        break;
    case '7':
        if (http_content_length(request) == 0)
            http_upgrade(request, take_fd, NULL);
        else
            http_reply(request, 400, "x", 1);
        break;
    case '8':
        break; /* never */
    default:
        http_reply(request, 200, "hello", 5);
        break;
    }
    if (exchange->answer != '8' && exchange->answer != '4')
        http_reply(request, 500, "twice", 5); /* does nothing */
}

static void exchange_free(struct exchange *exchange)
{
    free(exchange);
    exchanges--;
}

static void on_post(void *arg)
{
    struct exchange *exchange = arg;
    exchange->posted = false;
    if (exchange->over) {
        exchange_free(exchange);
        return;
    }
    http_resume_body(exchange->request);
    if (exchange->ended)
        answer(exchange);
    else
        http_accept_body(exchange->request, 2000);
}

static void post(struct exchange *exchange)
{
    if (exchange->posted)
        return;
    exchange->posted = true;
    net_loop_post(loop, on_post, exchange);
}

static void on_body(struct http_request *request, const char *data, size_t size, void *arg)
{
    struct exchange *exchange = arg;
    require(size > 0 && data && !exchange->over && !exchange->ended && !http_replied(request));
    exchange->body_size += size;
    require(exchange->body_size <= 2000);
    if (size % 3 == 0) {
        http_pause_body(request);
        post(exchange);
    } else if (size % 7 == 0) {
        answer(exchange);
    }
}

static void on_end(struct http_request *request, void *arg)
{
    struct exchange *exchange = arg;
    require(!exchange->over && !exchange->ended && !http_replied(request));
    require(http_content_length(request) < 0 ||
            (uint64_t)http_content_length(request) == exchange->body_size);
    exchange->ended = true;
    if (exchange->body_size % 2)
        post(exchange);
    else
        answer(exchange);
}

static void on_over(struct http_request *request, enum http_over how, void *arg)
{
    struct exchange *exchange = arg;
    require(!exchange->over && exchange->request == request);
    require(how != HTTP_OVER_ANSWERED || http_replied(request));
    exchange->over = true;
    if (!exchange->posted)
        exchange_free(exchange);
}

static void on_head(struct http_request *request, void *arg)
{
    static const struct http_calls calls = {on_body, on_end, NULL, on_over};
    const char *path = http_path(request);
    struct exchange *exchange = calloc(1, sizeof(*exchange));
    (void)arg;
    exchanges++;
    exchange->request = request;
    exchange->answer = path[strlen(path) - 1];
    http_set_calls(request, &calls, exchange);
    if (path[1] == 'e') /* early */
        answer(exchange);
    else if (path[1] == 'u') /* undecided */
        post(exchange);
    else
        http_accept_body(request, 2000);
}

static void turn_loop(int times)
{
    while (times-- > 0) {
        loop_enter(loop);
        loop_leave(loop);
        event_base_loop(loop_base(loop), EVLOOP_NONBLOCK);
    }
}

static void read_some(int fd, uint32_t most)
{
    char block[4096];
    size_t wanted = most % sizeof(block);
    if (wanted > 0 && recv(fd, block, wanted, MSG_DONTWAIT) < 0)
        return;
}

static void set_up(void)
{
    if (loop)
        return;
    signal(SIGPIPE, SIG_IGN);
    require(net_loop_new(&loop, NULL) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct http_door door = {.head = on_head};
    struct http_server *server;
    int fds[2], buffer = 4096;
    if (size < 4)
        return 0;
    set_up();
    struct http_settings settings = {.head_bytes = data[0] & 1 ? 200 : 0,
                                     .pipelined_bytes = data[0] & 2 ? 10 : 0,
                                     .drain_bytes = data[0] & 4 ? 10 : 0};
    uint32_t seed = data[1], most = 1 + data[2] % 200;
    require(http_server_new(&server, loop, &door, NULL, &settings, NULL) == 0);
    require(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) == 0);
    setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &buffer, sizeof(buffer));
    require(conn_new(server, fds[0], "fuzz") == 0);

    for (size_t at = 4; at < size;) {
        seed = seed * 1664525 + 1013904223;
        size_t piece = 1 + (seed >> 8) % most;
        if (piece > size - at)
            piece = size - at;
        ssize_t sent = send(fds[1], data + at, piece, MSG_DONTWAIT | MSG_NOSIGNAL);
        at += sent > 0 ? (size_t)sent : piece;
        turn_loop(seed >> 30);
        read_some(fds[1], seed >> 12);
    }
    if (data[3] & 1)
        shutdown(fds[1], SHUT_WR);
    turn_loop(3);
    if (data[3] & 2)
        http_server_stop(server, (data[3] & 4) ? 0 : NS_PER_S, NULL, NULL);
    turn_loop(2);
    close(fds[1]);
    turn_loop(8);

    require(server->counts.connections == 0 && server->counts.requests == 0);
    require(exchanges == 0 && releases == 0);
    http_server_free(server);
    if (upgraded_fd >= 0)
        close(upgraded_fd);
    upgraded_fd = -1;
    return 0;
}
