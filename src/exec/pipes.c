/* The pipes of a group. */
#include "pipes.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "keep.h"
#include "out_plan.h"
#include "pipe_pair.h"

enum { CHUNK = 64 * 1024, POLL_MAX = 2 };

struct line {
    const struct exec_pipe *spec;
    int writer_end, reader_end; /* of the programs, until they have them; -1 */
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

static int open_proxied(struct line *line, struct cj_error *err)
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
    line->captures = line->spec->name != NULL && line->spec->name[0] != '\0';
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

int pipes_open(const struct exec_group *group, struct store *store, struct pipes **out,
               struct cj_error *err)
{
    size_t count = group->count > 1 ? group->pipe_count : 0;
    struct pipes *pipes = calloc(1, sizeof(*pipes) + count * sizeof(pipes->lines[0]));
    if (pipes == NULL)
        return error_set(err, ERROR_SYSTEM, ENOMEM, "pipe: create: out of memory");
    pipes->count = count;
    for (size_t i = 0; i < count; i++) {
        const struct exec_pipe *spec = &group->pipes[i];
        pipes->lines[i] = (struct line){
            .spec = spec,
            .writer_end = -1,
            .reader_end = -1,
            .from = -1,
            .to = -1,
            .keep.max = spec->max,
        };
    }
    for (size_t i = 0; i < count; i++) {
        struct line *line = &pipes->lines[i];
        if ((line->spec->proxy ? open_proxied(line, err) : open_direct(line, err)) < 0) {
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

/* What is read is kept before it goes on, so nothing is missing from it whatever the reader does. Returns
 * what read(2) did. */
static ssize_t copy_some(struct line *line)
{
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
    return POLL_MAX * pipes->count;
}

static void want(struct pollfd *fds, size_t *used, int *position, int fd, short events)
{
    *position = (int)*used;
    fds[(*used)++] = (struct pollfd){.fd = fd, .events = events};
}

size_t pipes_poll(struct pipes *pipes, struct pollfd *fds)
{
    size_t used = 0;
    for (size_t i = 0; i < pipes->count; i++) {
        struct line *line = &pipes->lines[i];
        bool held = has_waiting(line) || line->full;
        line->poll_from = line->poll_to = -1;
        if (line->from >= 0 && !held)
            want(fds, &used, &line->poll_from, line->from, POLLIN);
        if (line->to >= 0) /* without events: POLLERR still tells that the reader has left */
            want(fds, &used, &line->poll_to, line->to, held ? POLLOUT : 0);
    }
    return used;
}

static short seen(const struct pollfd *fds, size_t count, int position)
{
    return position >= 0 && (size_t)position < count ? fds[position].revents : 0;
}

void pipes_move(struct pipes *pipes, const struct pollfd *fds, size_t count)
{
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
        fd_close(&line->writer_end);
        fd_close(&line->reader_end);
        fd_close(&line->from);
        fd_close(&line->to);
        keep_free(&line->keep);
        free(line->chunk);
    }
    free(pipes);
}
