/* A door that does what its tests ask: it tells what it was sent, and answers in every way that
 * net/http.h has.
 *
 *     http_echo [NAME=VALUE]... ADDRESS...
 *
 * NAME=VALUE are fields of struct http_settings; times in ms. Prints each address that it listens
 * at, then "ready". SIGTERM stops it gracefully within stop_ms; a second one at once. */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/fd.h"
#include "net/http.h"

static const uint64_t BODY_LIMIT = UINT64_C(4) << 30;

struct echo {
    struct net_loop *loop;
    struct http_server *server;
    int64_t stop_ns;
    uint64_t over[3];    /* by enum http_over */
    uint64_t waiting;    /* /wait, /work and /direct that are not over */
    atomic_ulong direct; /* answers that another thread has given */
    atomic_uint threads; /* at work: they use the loop */
    uint64_t body_bytes;
};

struct exchange {
    struct echo *echo;
    struct http_request *request;
    struct net_timer *timer;
    struct buf body;
    uint64_t size, hash;
    int64_t pause_ns;
    bool over, working, counted;
    uint64_t pieces, piece_size;
    struct http_direct *direct;
    char *kind;
};

static uint64_t query_number(const struct http_request *request, const char *name,
                             uint64_t fallback)
{
    const char *query = http_query(request);
    size_t length = strlen(name);
    while (query) {
        if (strncmp(query, name, length) == 0 && query[length] == '=')
            return strtoull(query + length + 1, NULL, 10);
        query = strchr(query, '&');
        query = query ? query + 1 : NULL;
    }
    return fallback;
}

static void exchange_free(struct exchange *exchange)
{
    net_timer_free(exchange->timer);
    buf_free(&exchange->body);
    free(exchange);
}

static void on_over(struct http_request *request, enum http_over how, void *arg)
{
    struct exchange *exchange = arg;
    if (exchange->over)
        abort(); /* twice */
    exchange->over = true;
    exchange->echo->over[how]++;
    exchange->echo->waiting -= exchange->counted;
    if (http_answered_directly_ns(request) != 0)
        exchange->working = false;
    if (!exchange->working)
        exchange_free(exchange);
}

static void on_body(struct http_request *request, const char *data, size_t size, void *arg)
{
    struct exchange *exchange = arg;
    if (size == 0 || exchange->over || http_replied(request))
        abort();
    exchange->size += size;
    exchange->echo->body_bytes += size;
    for (size_t i = 0; i < size; i += 997) /* a sample: this is about throughput */
        exchange->hash = exchange->hash * 31 + (unsigned char)data[i];
    if (exchange->pause_ns > 0) {
        http_pause_body(request);
        net_timer_set(exchange->timer, exchange->pause_ns);
    }
}

static void on_echo_body(struct http_request *request, const char *data, size_t size, void *arg)
{
    struct exchange *exchange = arg;
    on_body(request, data, size, arg);
    buf_append(&exchange->body, data, size);
}

static void resume(void *arg)
{
    struct exchange *exchange = arg;
    http_resume_body(exchange->request);
}

static void reply_printf(struct http_request *request, int status, const char *format, ...)
    PRINTF(3, 4);
static void reply_printf(struct http_request *request, int status, const char *format, ...)
{
    char *text;
    va_list args;
    va_start(args, format);
    int size = vasprintf(&text, format, args);
    va_end(args);
    if (size < 0)
        abort();
    http_reply_header(request, "Content-Type", "text/plain");
    http_reply(request, status, text, (size_t)size);
    free(text);
}

static void on_count_end(struct http_request *request, void *arg)
{
    struct exchange *exchange = arg;
    reply_printf(request, 200, "%" PRIu64 "\n", exchange->size);
}

static void on_echo_end(struct http_request *request, void *arg)
{
    struct exchange *exchange = arg;
    char *data = NULL;
    size_t size = 0;
    if (buf_take(&exchange->body, &data, &size, NULL) < 0)
        abort();
    http_reply_header(request, "Content-Type", "application/octet-stream");
    http_reply_owned(request, 200, data, size, http_release_free, NULL);
}

/* ---- answers that come later ---- */

static void reply_late(void *arg)
{
    struct exchange *exchange = arg;
    reply_printf(exchange->request, 200, "waited\n");
}

static void on_wait_end(struct http_request *request, void *arg)
{
    struct exchange *exchange = arg;
    net_timer_set(exchange->timer, (int64_t)query_number(request, "ms", 100) * NS_PER_MS);
}

/* Back on the loop's thread. */
static void work_done(void *arg)
{
    struct exchange *exchange = arg;
    exchange->working = false;
    if (exchange->over)
        exchange_free(exchange);
    else
        reply_printf(exchange->request, 200, "worked\n");
}

static void *work(void *arg)
{
    struct exchange *exchange = arg;
    struct echo *echo = exchange->echo;
    usleep((useconds_t)(exchange->pieces * 1000));
    net_loop_post(echo->loop, work_done, exchange);
    atomic_fetch_sub(&echo->threads, 1);
    return NULL;
}

static void start_thread(void *(*main)(void *), struct exchange *exchange)
{
    pthread_t thread;
    exchange->working = true;
    atomic_fetch_add(&exchange->echo->threads, 1);
    if (pthread_create(&thread, NULL, main, exchange) != 0)
        abort();
    pthread_detach(thread);
}

static void on_work_end(struct http_request *request, void *arg)
{
    struct exchange *exchange = arg;
    exchange->pieces = query_number(request, "ms", 1);
    start_thread(work, exchange);
}

/* Of size bytes, by the other thread if that can be, else as /work's. */
static void *work_directly(void *arg)
{
    struct exchange *exchange = arg;
    struct echo *echo = exchange->echo;
    size_t size = exchange->piece_size;
    char *text = malloc(size + 1);
    if (!text)
        abort();
    memset(text, 'd', size);
    usleep((useconds_t)(exchange->pieces * 1000));
    atomic_fetch_add(&echo->direct, 1);
    if (!http_direct_reply(exchange->direct, 200, "X-Direct: 1\r\n", text, size)) {
        atomic_fetch_sub(&echo->direct, 1);
        net_loop_post(echo->loop, work_done, exchange);
    }
    free(text);
    atomic_fetch_sub(&echo->threads, 1);
    return NULL;
}

static void on_direct_end(struct http_request *request, void *arg)
{
    struct exchange *exchange = arg;
    exchange->direct = http_direct_new(request);
    if (!exchange->direct) {
        on_work_end(request, arg);
        return;
    }
    exchange->pieces = query_number(request, "ms", 1);
    exchange->piece_size = query_number(request, "size", 6);
    start_thread(work_directly, exchange);
}

static void reject_late(void *arg)
{
    struct exchange *exchange = arg;
    http_accept_body(exchange->request, BODY_LIMIT);
}

/* ---- answers in pieces ---- */

static void give_pieces(struct exchange *exchange)
{
    struct http_request *request = exchange->request;
    while (exchange->pieces > 0 && http_reply_waiting(request) < HTTP_HIGH_WATER) {
        char *piece = malloc(exchange->piece_size);
        if (!piece)
            abort();
        memset(piece, 'a' + (int)(exchange->pieces % 26), exchange->piece_size);
        exchange->pieces--;
        if (exchange->pieces % 2) {
            http_reply_piece_owned(request, piece, exchange->piece_size, http_release_free, NULL);
        } else {
            http_reply_piece(request, piece, exchange->piece_size);
            free(piece);
        }
    }
    if (exchange->pieces == 0)
        http_reply_end(request);
}

static void on_drained(struct http_request *request, void *arg)
{
    (void)request;
    give_pieces(arg);
}

static void on_stream_end(struct http_request *request, void *arg)
{
    struct exchange *exchange = arg;
    exchange->pieces = query_number(request, "count", 10);
    exchange->piece_size = query_number(request, "size", 10);
    uint64_t length = exchange->pieces * exchange->piece_size;
    http_reply_header(request, "Content-Type", "text/plain");
    http_reply_start(request, 200, query_number(request, "known", 0) ? (int64_t)length : -1);
    if (query_number(request, "cut", 0))
        exchange->pieces = 1;
    give_pieces(exchange);
    if (query_number(request, "abort", 0))
        http_abort(request);
}

/* A stream that never ends: one piece, then silence. */
static void on_hang_end(struct http_request *request, void *arg)
{
    (void)arg;
    http_reply_start(request, 200, -1);
    http_reply_piece(request, "begun\n", 6);
}

static void reply_file(struct http_request *request)
{
    uint64_t size = query_number(request, "size", 1000), offset = query_number(request, "from", 0);
    uint64_t cut = query_number(request, "cut", 0);
    auto_fd int fd = memfd_create("file", MFD_CLOEXEC);
    char block[4096];
    if (fd < 0)
        abort();
    for (uint64_t at = 0; at < size; at += sizeof(block)) {
        for (size_t i = 0; i < sizeof(block); i++)
            block[i] = (char)('0' + (at + i) / 1000 % 10);
        if (write(fd, block, size - at < sizeof(block) ? size - at : sizeof(block)) < 0)
            abort();
    }
    if (ftruncate(fd, (off_t)(size - cut)) < 0)
        abort();
    http_reply_file(request, 200, fd_take(&fd), offset, size - offset);
}

/* ---- the rest ---- */

static void upgraded(int fd, const char *early, size_t early_size, void *arg)
{
    char text[128];
    (void)arg;
    int size = snprintf(text, sizeof(text), "early:%.*s\n", (int)early_size, early);
    if (write(fd, text, (size_t)size) < 0)
        abort();
    close(fd);
}

static void reply_facts(struct http_request *request)
{
    struct buf text = {0};
    buf_printf(&text,
               "method=%s\nminor=%d\ntarget=%s\nraw=%s\npath=%s\nquery=%s\nlength=%" PRId64 "\n",
               http_method(request), http_minor_version(request), http_target(request),
               http_raw_path(request), http_path(request),
               http_query(request) ? http_query(request) : "-", http_content_length(request));
    for (size_t i = 0; i < http_header_count(request); i++)
        buf_printf(&text, "%s: %s\n", http_header_name(request, i), http_header_value(request, i));
    http_reply(request, 200, text.data, text.size);
    buf_free(&text);
}

static void reply_stats(struct http_request *request, struct echo *echo)
{
    struct http_counts counts;
    http_server_counts(echo->server, &counts);
    reply_printf(request, 200,
                 "{\"answered\": %" PRIu64 ", \"gone\": %" PRIu64 ", \"refused\": %" PRIu64
                 ", \"waiting\": %" PRIu64 ", \"connections\": %" PRIu64 ", \"requests\": %" PRIu64
                 ", \"requests_total\": %" PRIu64 ", \"refused_total\": %" PRIu64
                 ", \"body_bytes\": %" PRIu64 ", \"direct\": %lu, \"peer\": \"%s\"}\n",
                 echo->over[HTTP_OVER_ANSWERED], echo->over[HTTP_OVER_GONE],
                 echo->over[HTTP_OVER_REFUSED], echo->waiting, counts.connections, counts.requests,
                 counts.requests_total, counts.refused_total, echo->body_bytes,
                 atomic_load(&echo->direct), http_peer(request));
}

struct route {
    const char *path;
    struct http_calls calls;
    void (*ring)(void *arg);
};

static const struct route routes[] = {
    {"/echo", {on_echo_body, on_echo_end, NULL, on_over}, resume},
    {"/count", {on_body, on_count_end, NULL, on_over}, resume},
    {"/limit", {on_echo_body, on_echo_end, NULL, on_over}, resume},
    {"/wait", {NULL, on_wait_end, NULL, on_over}, reply_late},
    {"/work", {NULL, on_work_end, NULL, on_over}, resume},
    {"/direct", {NULL, on_direct_end, NULL, on_over}, resume},
    {"/undecided", {on_echo_body, on_echo_end, NULL, on_over}, reject_late},
    {"/stream", {NULL, on_stream_end, on_drained, on_over}, resume},
    {"/hang", {NULL, on_hang_end, NULL, on_over}, resume},
};

/* Answers at once, whatever the body. Returns false when the path is another. */
static bool reply_at_once(struct http_request *request, struct echo *echo)
{
    const char *path = http_path(request);
    if (strcmp(path, "/hello") == 0) {
        reply_printf(request, 200, "hello\n");
    } else if (strcmp(path, "/early") == 0) {
        reply_printf(request, 401, "no\n");
    } else if (strcmp(path, "/facts") == 0) {
        reply_facts(request);
    } else if (strcmp(path, "/stats") == 0) {
        reply_stats(request, echo);
    } else if (strcmp(path, "/file") == 0) {
        reply_file(request);
    } else if (strcmp(path, "/nothing") == 0) {
        http_reply(request, (int)query_number(request, "status", 204), "body", 4);
    } else if (strcmp(path, "/close") == 0) {
        http_reply_close(request);
        reply_printf(request, 200, "bye\n");
    } else if (strcmp(path, "/inject") == 0) {
        http_reply_header(request, "X-Name", "a\r\nX-Evil: 1\r\n\r\nbody");
        http_reply(request, 200, NULL, 0);
    } else if (strcmp(path, "/upgrade") == 0) {
        http_reply_header(request, "Upgrade", "echo");
        http_reply_header(request, "Connection", "Upgrade");
        http_upgrade(request, upgraded, NULL);
    } else {
        return false;
    }
    return true;
}

static void on_head(struct http_request *request, void *arg)
{
    struct echo *echo = arg;
    if (reply_at_once(request, echo))
        return;
    const struct route *route = routes;
    while (route < routes + COUNT_OF(routes) && strcmp(route->path, http_path(request)) != 0)
        route++;
    if (route == routes + COUNT_OF(routes)) {
        reply_printf(request, 404, "no such path\n");
        return;
    }
    struct exchange *exchange = calloc(1, sizeof(*exchange));
    if (!exchange || net_timer_new(&exchange->timer, echo->loop, route->ring, exchange, NULL) < 0)
        abort();
    exchange->echo = echo;
    exchange->request = request;
    exchange->pause_ns = (int64_t)query_number(request, "pause_ms", 0) * NS_PER_MS;
    exchange->counted = route->calls.body == NULL;
    echo->waiting += exchange->counted;
    http_set_calls(request, &route->calls, exchange);
    if (route->ring == reject_late)
        net_timer_set(exchange->timer, (int64_t)query_number(request, "ms", 100) * NS_PER_MS);
    else
        http_accept_body(request, strcmp(route->path, "/limit") == 0 ? 1000 : BODY_LIMIT);
}

/* "!STATUS reason", so that tests see whose error it is. */
static void on_refuse(struct http_refusal *refusal, const struct http_request *request, void *arg)
{
    (void)arg;
    free(refusal->body);
    refusal->content_type = "text/x-refusal";
    int size = asprintf(&refusal->body, "!%d %s %s", refusal->status, refusal->reason,
                        request ? http_path(request) : "-");
    if (size < 0)
        abort();
    refusal->body_size = (size_t)size;
}

static void stopped(void *arg)
{
    struct echo *echo = arg;
    net_loop_stop(echo->loop);
}

static void on_signal(int number, void *arg)
{
    static bool again;
    struct echo *echo = arg;
    (void)number;
    http_server_stop(echo->server, again ? 0 : echo->stop_ns, stopped, echo);
    again = true;
}

/* ---- the command line ---- */

struct setting {
    const char *name;
    size_t offset;
    int64_t unit;
};

#define SIZE_SETTING(field)                                                                        \
    {                                                                                              \
#field, offsetof(struct http_settings, field), 1                                           \
    }
#define TIME_SETTING(field)                                                                        \
    {                                                                                              \
#field, offsetof(struct http_settings, field##_ns), NS_PER_MS                              \
    }

static void set(struct http_settings *settings, int64_t *stop_ns, const char *word)
{
    static const struct setting table[] = {
        SIZE_SETTING(head_bytes),       SIZE_SETTING(target_bytes),    SIZE_SETTING(header_count),
        SIZE_SETTING(connection_count), SIZE_SETTING(pipelined_bytes), SIZE_SETTING(drain_bytes),
        TIME_SETTING(head_timeout),     TIME_SETTING(idle_timeout),    TIME_SETTING(body_timeout),
        TIME_SETTING(write_timeout),    TIME_SETTING(linger_timeout),
    };
    size_t length = strcspn(word, "=");
    int64_t value = strtoll(word + length + 1, NULL, 10);
    if (strncmp(word, "stop_ms", length) == 0) {
        *stop_ns = value * NS_PER_MS;
        return;
    }
    for (size_t i = 0; i < COUNT_OF(table); i++)
        if (strlen(table[i].name) == length && strncmp(table[i].name, word, length) == 0) {
            value *= table[i].unit;
            memcpy((char *)settings + table[i].offset, &value, sizeof(value));
            return;
        }
    fprintf(stderr, "no setting: %s\n", word);
    exit(2);
}

static int listen_at(struct echo *echo, int argc, char **argv, struct cj_error *err)
{
    for (int i = 1; i < argc; i++)
        if (!strchr(argv[i], '=') && http_server_listen(echo->server, argv[i], err) < 0)
            return -1;
    for (size_t i = 0; http_server_address(echo->server, i); i++)
        printf("%s\n", http_server_address(echo->server, i));
    printf("ready\n");
    fflush(stdout);
    return 0;
}

static int serve(struct echo *echo, int argc, char **argv, struct cj_error *err)
{
    static const struct http_door door = {.head = on_head, .refuse = on_refuse};
    struct http_settings settings = {0};
    struct net_signal *term = NULL;
    int result = -1;
    for (int i = 1; i < argc; i++)
        if (strchr(argv[i], '='))
            set(&settings, &echo->stop_ns, argv[i]);
    if (net_loop_new(&echo->loop, err) == 0 &&
        net_signal_new(&term, echo->loop, SIGTERM, on_signal, echo, err) == 0 &&
        http_server_new(&echo->server, echo->loop, &door, echo, &settings, err) == 0 &&
        listen_at(echo, argc, argv, err) == 0)
        result = net_loop_run(echo->loop, err);
    http_server_free(echo->server);
    while (atomic_load(&echo->threads) > 0)
        usleep(1000);
    net_signal_free(term);
    net_loop_free(echo->loop);
    return result;
}

int main(int argc, char **argv)
{
    struct echo echo = {.stop_ns = 5 * NS_PER_S};
    struct cj_error err;
    if (serve(&echo, argc, argv, &err) < 0) {
        fprintf(stderr, "http_echo: %s\n", err.message);
        return 1;
    }
    printf("answered=%" PRIu64 " gone=%" PRIu64 "\n", echo.over[HTTP_OVER_ANSWERED],
           echo.over[HTTP_OVER_GONE]);
    return 0;
}
