#include "stream.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"

void stream_stop(struct stream *stream, int *end)
{
    if (stream->own_ends)
        fd_close(end);
    *end = -1;
}

static void drop_front(struct stream *stream, size_t size)
{
    stream->start += size;
    if (stream_waiting(stream) > 0)
        return;
    buf_cut(&stream->bytes, 0);
    stream->start = 0;
}

static void add_waiting(struct stream *stream, const char *data, size_t size)
{
    if (stream->start > STREAM_CHUNK) { /* what has gone makes room */
        memmove(stream->bytes.data, stream->bytes.data + stream->start, stream_waiting(stream));
        buf_cut(&stream->bytes, stream_waiting(stream));
        stream->start = 0;
    }
    buf_append(&stream->bytes, data, size);
    if (stream->bytes.failure != 0)
        stream->failure = stream->bytes.failure;
}

/* Takes what the program wrote: up to max bytes, the rest is counted and dropped. */
static void take(struct stream *stream, const char *data, size_t size)
{
    if (stream->kind != EXEC_FILE_FORWARD) {
        keep_append(&stream->keep, data, size);
        return;
    }
    uint64_t seen = stream->keep.seen, max = stream->keep.max;
    uint64_t room = seen < max ? max - seen : 0;
    stream->keep.seen += size;
    add_waiting(stream, data, size < room ? size : (size_t)room);
}

/* A forward that is not written fast enough holds its program back, as a terminal would. */
bool stream_wants_input(const struct stream *stream)
{
    return stream->read_fd >= 0 &&
           (stream->kind != EXEC_FILE_FORWARD || stream_waiting(stream) < STREAM_CHUNK);
}

void stream_read_output(struct stream *stream, char *chunk)
{
    while (stream_wants_input(stream)) {
        ssize_t got = read(stream->read_fd, chunk, STREAM_CHUNK);
        if (got < 0 && errno == EINTR)
            continue;
        if (got > 0) {
            take(stream, chunk, (size_t)got);
            if (got == STREAM_CHUNK)
                continue;
            stream->gave_little = true;
            return;
        }
        if (got == 0 ? stream->own_ends : errno == EIO) /* every writer is gone; pty(7): EIO */
            stream_stop(stream, &stream->read_fd);
        return;
    }
}

/* At most PIPE_BUF bytes after POLLOUT: so many do not block on a pipe, pipe(7). Asked here once more,
 * because two streams may go to one pipe and the other one have taken the room. */
void stream_write_forward(struct stream *stream)
{
    struct pollfd room = {.fd = stream->file->fd, .events = POLLOUT};
    if (stream_waiting(stream) == 0 || poll(&room, 1, 0) <= 0)
        return;
    size_t size = stream_waiting(stream) < PIPE_BUF ? stream_waiting(stream) : PIPE_BUF;
    ssize_t written = write(stream->file->fd, stream->bytes.data + stream->start, size);
    if (written > 0)
        drop_front(stream, (size_t)written);
    if (written >= 0 || errno == EINTR || errno == EAGAIN)
        return;
    if (errno != EPIPE) /* nobody reads any more: as good as written */
        stream->failure = errno;
    drop_front(stream, stream_waiting(stream));
}

void stream_read_source(struct stream *stream, char *chunk)
{
    ssize_t got = read(stream->file->fd, chunk, STREAM_CHUNK);
    if (got > 0)
        add_waiting(stream, chunk, (size_t)got);
    else if (got == 0 || (errno != EINTR && errno != EAGAIN))
        stream->source_ended = true;
}

void stream_write_feed(struct stream *stream)
{
    while (stream_waiting(stream) > 0) {
        ssize_t written =
            write(stream->write_fd, stream->bytes.data + stream->start, stream_waiting(stream));
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0 && errno == EAGAIN)
            return;
        if (written < 0) { /* EPIPE, EIO: the program reads no more */
            stream_stop(stream, &stream->write_fd);
            return;
        }
        drop_front(stream, (size_t)written);
    }
    if (stream->source_ended)
        stream_stop(stream, &stream->write_fd);
}

void stream_finish_forward(struct stream *stream, int cancel_fd, int64_t grace_ns)
{
    int64_t moved_ns = monotonic_ns();
    while (stream_waiting(stream) > 0) {
        struct pollfd fds[] = {{.fd = stream->file->fd, .events = POLLOUT},
                               {.fd = cancel_fd, .events = POLLIN}};
        int64_t now_ns = monotonic_ns(), left_ns = moved_ns + grace_ns - now_ns;
        struct timespec timeout = timespec_from_ns(left_ns > 0 ? left_ns : 0);
        int ready = ppoll(fds, COUNT_OF(fds), grace_ns > 0 ? &timeout : NULL, NULL);
        if (ready == 0 && stream->failure == 0)
            stream->failure = ETIMEDOUT;
        if (ready == 0 || fds[1].revents != 0) {
            drop_front(stream, stream_waiting(stream));
            stream_stop(stream, &stream->read_fd); /* the rest of it would only wait as well */
        } else if (fds[0].revents != 0) {
            size_t before = stream_waiting(stream);
            stream_write_forward(stream);
            if (stream_waiting(stream) < before)
                moved_ns = now_ns;
        }
    }
}
