/* `cjudge top`: where a running service's time goes, drawn anew every second. */
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/io.h"
#include "command.h"
#include "top_options.h"
#include "top_table.h"

enum { ANSWER_BYTES_MAX = 4 << 20, PATIENCE_S = 10 };

static volatile sig_atomic_t interrupted;

static void interrupt(int number)
{
    (void)number;
    interrupted = 1;
}

/* ---- asking ---- */

static int split_address(const char *address, char host[static 256], char port[static 16],
                         struct cj_error *err)
{
    const char *colon = strrchr(address, ':');
    size_t length = colon != NULL ? (size_t)(colon - address) : 0;
    if (colon == NULL || length >= 256 || strlen(colon + 1) >= 16 || colon[1] == '\0')
        return error_set(err, ERROR_CONFIG, 0, "-addr: '%.100s' is not HOST:PORT", address);
    if (length >= 2 && address[0] == '[' && address[length - 1] == ']') {
        address++;
        length -= 2;
    }
    snprintf(host, 256, "%.*s", (int)length, length > 0 ? address : "");
    snprintf(port, 16, "%s", colon + 1);
    return 0;
}

static int connect_to(const char *address, int *out, struct cj_error *err)
{
    char host[256], port[16];
    const struct addrinfo wanted = {.ai_socktype = SOCK_STREAM};
    const struct timeval patience = {.tv_sec = PATIENCE_S};
    struct addrinfo *found;
    if (split_address(address, host, port, err) < 0)
        return -1;
    int code = getaddrinfo(host[0] != '\0' ? host : "localhost", port, &wanted, &found);
    if (code != 0)
        return error_set(err, ERROR_SYSTEM, 0, "%s: %s", address, gai_strerror(code));
    errno = ECONNREFUSED;
    *out = -1;
    for (const struct addrinfo *one = found; one != NULL && *out < 0; one = one->ai_next) {
        auto_fd int fd = socket(one->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0)
            continue;
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
        if (connect(fd, one->ai_addr, one->ai_addrlen) == 0)
            *out = fd_take(&fd);
    }
    freeaddrinfo(found);
    if (*out < 0)
        return error_errno(err, "%s", address);
    return 0;
}

/* Until the end of the stream. */
static int receive(int fd, const char *address, struct buf *answer, struct cj_error *err)
{
    answer->limit = ANSWER_BYTES_MAX;
    for (;;) {
        char piece[16384];
        ssize_t got = recv(fd, piece, sizeof(piece), 0);
        if (got < 0 && errno == EINTR && !interrupted)
            continue;
        if (got < 0)
            return error_errno(err, "%s", address);
        if (got == 0)
            return buf_check(answer, err);
        buf_append(answer, piece, (size_t)got);
    }
}

/* *body points into answer. */
static int ask(const char *address, struct buf *answer, char **body, size_t *size,
               struct cj_error *err)
{
    auto_fd int fd = -1;
    auto_buf struct buf request = {0};
    if (connect_to(address, &fd, err) < 0)
        return -1;
    /* 1.0: the answer ends with the connection, and is in one piece */
    buf_printf(&request, "GET /v1/stages HTTP/1.0\r\nHost: %s\r\n\r\n", address);
    if (buf_check(&request, err) < 0)
        return -1;
    if (write_full(fd, request.data, request.size) < 0)
        return error_errno(err, "%s", address);
    if (receive(fd, address, answer, err) < 0)
        return -1;
    buf_append_char(answer, '\0');
    if (buf_check(answer, err) < 0)
        return -1;
    int status = 0;
    *body = memmem(answer->data, answer->size, "\r\n\r\n", 4);
    if (*body == NULL || sscanf(answer->data, "HTTP/%*d.%*d %d", &status) != 1)
        return error_set(err, ERROR_SYSTEM, EPROTO, "%s: no HTTP answer", address);
    if (status != 200)
        return error_set(err, ERROR_SYSTEM, EPROTO, "%s: GET /v1/stages: status %d", address,
                         status);
    *body += 4;
    *size = answer->size - 1 - (size_t)(*body - answer->data);
    return 0;
}

static int look(const char *address, struct top_snapshot *out, struct cj_error *err)
{
    auto_buf struct buf answer = {0};
    char *body;
    size_t size;
    if (ask(address, &answer, &body, &size, err) < 0)
        return -1;
    if (top_snapshot_read(body, size, out, err) < 0)
        return error_wrap(err, "%s", address);
    return 0;
}

/* ---- showing ---- */

static int print(const struct buf *text, struct cj_error *err)
{
    if (buf_check(text, err) < 0)
        return -1;
    if (write_full(STDOUT_FILENO, text->data, text->size) < 0)
        return error_errno(err, "write");
    return 0;
}

static int show_json(const char *address, struct cj_error *err)
{
    auto_buf struct buf answer = {0}, text = {0};
    char *body;
    size_t size;
    if (ask(address, &answer, &body, &size, err) < 0)
        return -1;
    buf_append(&text, body, size);
    buf_append_char(&text, '\n');
    return print(&text, err);
}

static int show_once(const char *address, struct top_snapshot *snapshot, struct cj_error *err)
{
    auto_buf struct buf text = {0};
    if (look(address, snapshot, err) < 0)
        return -1;
    top_table_write(&text, snapshot, NULL, 0);
    return print(&text, err);
}

/* snapshots: room for two. */
static int show_live(const struct top_options *options, struct top_snapshot *snapshots,
                     struct cj_error *err)
{
    int64_t before_ns = monotonic_ns();
    if (look(options->addr, &snapshots[0], err) < 0)
        return -1;
    for (int turn = 1; !interrupted; turn = 1 - turn) {
        const struct timespec pause = timespec_from_ns(options->interval_ns);
        auto_buf struct buf text = {0};
        nanosleep(&pause, NULL);
        if (interrupted)
            break;
        int64_t now_ns = monotonic_ns();
        if (look(options->addr, &snapshots[turn], err) < 0)
            return -1;
        buf_printf(&text, "\033[H\033[2Jcjudge at %s\n", options->addr);
        top_table_write(&text, &snapshots[turn], &snapshots[1 - turn],
                        (double)(now_ns - before_ns) / NS_PER_S);
        before_ns = now_ns;
        if (print(&text, err) < 0)
            return -1;
    }
    return 0;
}

static int help(void)
{
    auto_buf struct buf text = {0};
    struct cj_error err;
    buf_append_text(&text, "usage: cjudge top [OPTION]...\n\n"
                           "Shows where the time of a running service goes, stage by stage.\n\n");
    options_help(&top_option_table, 100, &text);
    return print(&text, &err) == 0 ? 0 : EXIT_OURS;
}

int cmd_top(int argc, char **argv)
{
    struct top_options options = {0};
    struct cj_error err;
    if (top_options_load(argc, argv, &options, &err) < 0) {
        fprintf(stderr, "cjudge top: %s\n", err.message);
        return EXIT_OURS;
    }
    if (options.help) {
        options_free(&top_option_table, &options);
        return help();
    }
    const struct sigaction action = {.sa_handler = interrupt}; /* without SA_RESTART */
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
    auto_free struct top_snapshot *snapshots = calloc(2, sizeof(*snapshots));
    int done = snapshots == NULL ? error_set(&err, ERROR_SYSTEM, ENOMEM, "out of memory")
               : options.json    ? show_json(options.addr, &err)
               : options.once || !isatty(STDOUT_FILENO)
                   ? show_once(options.addr, &snapshots[0], &err)
                   : show_live(&options, snapshots, &err);
    options_free(&top_option_table, &options);
    if (done == 0 || interrupted)
        return 0;
    fprintf(stderr, "cjudge top: %s\n", err.message);
    return EXIT_OURS;
}
