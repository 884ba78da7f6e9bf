/* The pipes of a group. */
#include "pipes.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "keep.h"
#include "out_plan.h"
#include "pipe_pair.h"
#include "reader_watch.h"

enum {
    CHUNK = 64 * 1024,
    POLL_MAX = 2,
    SPARED_SIZE = 256 * 1024, /* as much as two pipes and a relay between them hold, and more */
};

struct line {
    const struct exec_pipe *spec;
    int writer_end, reader_end; /* of the programs, until they have them; -1 */
    int spare;                  /* read end of the one pipe; -1: this is not such a line */
    int watch;                  /* of its reader; -1: none, only the command's end will tell */
    int from, to;               /* the relay's; -1: direct, or that program has left */
    bool captures;
    struct keep keep;
    char *chunk; /* CHUNK bytes on their way, of which start..end are waiting */
    size_t start, end;
    bool full;              /* the reader's pipe took nothing more */
    int poll_from, poll_to; /* positions in the poll set; -1 */
};

struct pipes {
    size_t count;
    int watch_fd;    /* reader_watch_fd(), when some line has a spare; -1 */
    bool poll_watch; /* it is the first one in the poll set */
    struct line lines[];
};

/* ---- opening ---- */

static int open_direct(struct line *line, struct cj_error *err)
{
    struct pipe_pair pair;
    if (pipe_pair_open(&pair, err) < 0)
        return -1;
    line->writer_end = pair.write_fd;
    line->reader_end = pair.read_fd;
    return 0;
}

/* The spare is opened anew, because the reader's own must not be shared: whoever holds it is the reader.
 * Returns false when that, or to watch it, is not possible. */
static bool add_spare(struct line *line, int watch_fd)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", line->reader_end);
    line->spare = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    line->watch = line->spare < 0 ? -1 : reader_watch_add(watch_fd, line->spare);
    if (line->watch < 0)
        fd_close(&line->spare);
    else
        (void)fcntl(line->spare, F_SETPIPE_SZ, SPARED_SIZE);
    return line->watch >= 0;
}

static int open_relayed(struct line *line, struct cj_error *err)
{
    struct pipe_pair in, out;
    if (pipe_pair_open(&in, err) < 0)
        return -1;
    line->writer_end = in.write_fd;
    line->from = in.read_fd;
    if (pipe_pair_open(&out, err) < 0)
        return -1;
    line->to = out.write_fd;
    line->reader_end = out.read_fd;
    line->chunk = malloc(CHUNK);
    if (line->chunk == NULL)
        return error_set(err, ERROR_SYSTEM, ENOMEM, "pipe: create: out of memory");
    if (pipe_pair_unblock(line->from, err) < 0 || pipe_pair_unblock(line->to, err) < 0)
        return -1;
    return 0;
}

static void store_capture(struct line *line, const struct exec_group *group, struct store *store)
{
    const struct exec_request *writer = &group->commands[line->spec->writer.index];
    if (line->captures && out_is_cached(writer, line->spec->name))
        keep_in_store(&line->keep, store);
}

static int open_line(struct pipes *pipes, struct line *line, struct cj_error *err)
{
    if (!line->spec->proxy)
        return open_direct(line, err);
    line->captures = line->spec->name != NULL && line->spec->name[0] != '\0';
    if (line->captures)
        return open_relayed(line, err);
    if (pipes->watch_fd < 0)
        pipes->watch_fd = reader_watch_fd();
    if (pipes->watch_fd < 0)
        return open_relayed(line, err);
    if (open_direct(line, err) < 0)
        return -1;
    if (add_spare(line, pipes->watch_fd))
        return 0;
    fd_close(&line->writer_end);
    fd_close(&line->reader_end);
    return open_relayed(line, err);
}

int pipes_open(const struct exec_group *group, struct store *store, struct pipes **out,
               struct cj_error *err)
{
    size_t count = group->count > 1 ? group->pipe_count : 0;
    struct pipes *pipes = calloc(1, sizeof(*pipes) + count * sizeof(pipes->lines[0]));
    if (pipes == NULL)
        return error_set(err, ERROR_SYSTEM, ENOMEM, "pipe: create: out of memory");
    pipes->count = count;
    pipes->watch_fd = -1;
    for (size_t i = 0; i < count; i++) {
        const struct exec_pipe *spec = &group->pipes[i];
        pipes->lines[i] = (struct line){
            .spec = spec,
            .writer_end = -1,
            .reader_end = -1,
            .spare = -1,
            .watch = -1,
            .from = -1,
            .to = -1,
            .keep.max = spec->max,
        };
    }
    for (size_t i = 0; i < count; i++) {
        struct line *line = &pipes->lines[i];
        if (open_line(pipes, line, err) < 0) {
            pipes_close(pipes);
            return -1;
        }
        store_capture(line, group, store);
    }
    *out = pipes;
    return 0;
}

static bool is_of(const struct exec_pipe_end *end, size_t index)
{
    return (size_t)end->index == index;
}

void pipes_place(const struct pipes *pipes, size_t index, struct container_descriptor *descriptors)
{
    for (size_t i = 0; i < pipes->count; i++) {
        const struct line *line = &pipes->lines[i];
        if (is_of(&line->spec->writer, index))
            descriptors[line->spec->writer.fd] =
                (struct container_descriptor){CONTAINER_PASSED, line->writer_end};
        if (is_of(&line->spec->reader, index))
            descriptors[line->spec->reader.fd] =
                (struct container_descriptor){CONTAINER_PASSED, line->reader_end};
    }
}

void pipes_release(struct pipes *pipes, size_t index)
{
    for (size_t i = 0; i < pipes->count; i++) {
        struct line *line = &pipes->lines[i];
        if (is_of(&line->spec->writer, index))
            fd_close(&line->writer_end);
        if (is_of(&line->spec->reader, index))
            fd_close(&line->reader_end);
    }
}

/* ---- spares ---- */

static void stop_watching(struct pipes *pipes, struct line *line)
{
    if (line->watch >= 0)
        reader_watch_remove(pipes->watch_fd, line->watch);
    line->watch = -1;
}

/* From now on the spare is what reads: it becomes a relay to nobody. */
static void take_over(struct pipes *pipes, struct line *line)
{
    stop_watching(pipes, line);
    line->from = fd_take(&line->spare);
}

/* A pipe that was opened anew may have readers that we do not know of: taking what comes could take it from
 * them. */
static void hear(void *arg, int watch, bool opened)
{
    struct pipes *pipes = arg;
    for (size_t i = 0; i < pipes->count; i++) {
        struct line *line = &pipes->lines[i];
        if (line->watch < 0 || (watch >= 0 && watch != line->watch))
            continue;
        if (opened)
            stop_watching(pipes, line);
        else
            take_over(pipes, line);
    }
}

void pipes_ended(struct pipes *pipes, size_t index)
{
    for (size_t i = 0; i < pipes->count; i++) {
        struct line *line = &pipes->lines[i];
        if (line->spare >= 0 && is_of(&line->spec->reader, index))
            take_over(pipes, line);
    }
}

/* ---- relaying ---- */

static bool has_waiting(const struct line *line)
{
    return line->start < line->end;
}

/* All that came has passed: the reader sees the end of file. */
static void end_if_through(struct line *line)
{
    if (line->from < 0 && !has_waiting(line))
        fd_close(&line->to);
}

static void reader_left(struct line *line)
{
    fd_close(&line->to);
    line->start = line->end = 0;
    line->full = false;
}

static void pass_on(struct line *line)
{
    line->full = false;
    while (has_waiting(line) && line->to >= 0) {
        ssize_t written = write(line->to, line->chunk + line->start, line->end - line->start);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0 && errno == EAGAIN) {
            line->full = true;
            return;
        }
        if (written < 0) /* EPIPE */
            reader_left(line);
        else
            line->start += (size_t)written;
    }
    end_if_through(line);
}

/* Nobody wants it. */
static ssize_t drop_some(struct line *line)
{
    char nowhere[4096];
    ssize_t got, dropped = 0;
    while (dropped < CHUNK && (got = read(line->from, nowhere, sizeof(nowhere))) > 0)
        dropped += got;
    return dropped > 0 ? dropped : got;
}

/* What is read is kept before it goes on, so nothing is missing from it whatever the reader does. Returns
 * what read(2) did. */
static ssize_t copy_some(struct line *line)
{
    if (line->to < 0 && !line->captures)
        return drop_some(line);
    ssize_t got = read(line->from, line->chunk, CHUNK);
    if (got <= 0)
        return got;
    if (line->captures)
        keep_append(&line->keep, line->chunk, (size_t)got);
    if (line->to >= 0) {
        line->start = 0;
        line->end = (size_t)got;
        pass_on(line);
    }
    return got;
}

/* Pages change hands without being copied. EAGAIN: there was something to read, so it is the reader's pipe
 * that is full. */
static ssize_t splice_some(struct line *line)
{
    ssize_t moved =
        splice(line->from, NULL, line->to, NULL, 16 * CHUNK, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    if (moved < 0 && errno == EAGAIN)
        line->full = true;
    if (moved < 0 && errno == EPIPE) {
        reader_left(line);
        errno = EAGAIN;
    }
    return moved;
}

/* What has to be looked at is copied; what need not is spliced unless the request says otherwise. */
static bool may_splice(const struct line *line)
{
    bool wanted = line->captures && line->keep.seen < line->keep.max;
    return line->to >= 0 && !line->spec->copy && !wanted;
}

static void relay(struct line *line)
{
    ssize_t moved = may_splice(line) ? splice_some(line) : copy_some(line);
    if (moved == 0 || (moved < 0 && errno != EAGAIN && errno != EINTR)) {
        fd_close(&line->from);
        end_if_through(line);
    }
}

/* ---- the poll loop ---- */

size_t pipes_poll_max(const struct pipes *pipes)
{
    return 1 + POLL_MAX * pipes->count;
}

static void want(struct pollfd *fds, size_t *used, int *position, int fd, short events)
{
    *position = (int)*used;
    fds[(*used)++] = (struct pollfd){.fd = fd, .events = events};
}

size_t pipes_poll(struct pipes *pipes, struct pollfd *fds)
{
    size_t used = 0;
    pipes->poll_watch = pipes->watch_fd >= 0;
    if (pipes->poll_watch)
        fds[used++] = (struct pollfd){.fd = pipes->watch_fd, .events = POLLIN};
    for (size_t i = 0; i < pipes->count; i++) {
        struct line *line = &pipes->lines[i];
        bool held = has_waiting(line) || line->full;
        line->poll_from = line->poll_to = -1;
        if (line->from >= 0 && !held)
            want(fds, &used, &line->poll_from, line->from, POLLIN);
        if (line->to >= 0 && held) /* else it is seen when it is written to */
            want(fds, &used, &line->poll_to, line->to, POLLOUT);
    }
    return used;
}

static short seen(const struct pollfd *fds, size_t count, int position)
{
    return position >= 0 && (size_t)position < count ? fds[position].revents : 0;
}

void pipes_move(struct pipes *pipes, const struct pollfd *fds, size_t count)
{
    if (pipes->poll_watch && fds[0].revents != 0)
        reader_watch_take(pipes->watch_fd, hear, pipes);
    for (size_t i = 0; i < pipes->count; i++) {
        struct line *line = &pipes->lines[i];
        short to = seen(fds, count, line->poll_to);
        if ((to & (POLLERR | POLLNVAL)) != 0)
            reader_left(line);
        else if (to != 0)
            pass_on(line);
        if (seen(fds, count, line->poll_from) != 0 && line->from >= 0)
            relay(line);
    }
}

void pipes_finish(struct pipes *pipes)
{
    for (size_t i = 0; i < pipes->count; i++) {
        struct line *line = &pipes->lines[i];
        reader_left(line);
        while (line->captures && line->from >= 0 && copy_some(line) > 0)
            continue;
        fd_close(&line->from);
    }
}

/* ---- the result ---- */

int pipes_collect(struct pipes *pipes, size_t index, struct outputs *outputs, struct cj_error *err)
{
    for (size_t i = 0; i < pipes->count; i++) {
        struct line *line = &pipes->lines[i];
        if (line->captures && is_of(&line->spec->writer, index) &&
            outputs_replace(outputs, line->spec->name, &line->keep, err) < 0)
            return -1;
    }
    return 0;
}

bool pipes_collects(const struct pipes *pipes, size_t index, const char *name)
{
    for (size_t i = 0; i < pipes->count; i++) {
        const struct line *line = &pipes->lines[i];
        if (line->captures && is_of(&line->spec->writer, index) &&
            strcmp(line->spec->name, name) == 0)
            return true;
    }
    return false;
}

void pipes_close(struct pipes *pipes)
{
    if (pipes == NULL)
        return;
    for (size_t i = 0; i < pipes->count; i++) {
        struct line *line = &pipes->lines[i];
        stop_watching(pipes, line);
        fd_close(&line->writer_end);
        fd_close(&line->reader_end);
        fd_close(&line->spare);
        fd_close(&line->from);
        fd_close(&line->to);
        keep_free(&line->keep);
        free(line->chunk);
    }
    free(pipes);
}
