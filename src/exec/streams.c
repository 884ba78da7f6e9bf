/* The descriptors of a run. */
#include "streams.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fd.h"
#include "errno_text.h"
#include "input.h"
#include "path.h"
#include "result.h"

enum { FLOOD = 1024 * 1024, CHUNK = 64 * 1024, CONTAINER_OUTPUTS = 2 };

struct stream {
    enum exec_file_kind kind;
    const struct exec_file *file;
    int same_as; /* index of the stream with the same collector; -1 */
    int pass_fd; /* what the program gets, when it is ours to close; -1 */
    int read_fd; /* pipe end that we read; -1 */
    bool own_read_fd;
    int write_fd;              /* pipe end that we write (feed); -1 */
    struct buf bytes;          /* collected, or on their way */
    uint64_t seen;             /* bytes the program has written */
    int forward_error;         /* errno of passing them on; 0 */
    bool source_ended;         /* feed */
    int poll_read, poll_write; /* positions in the poll set; -1 */
};

struct streams {
    struct container *container;
    size_t count;
    struct stream *streams;
    char chunk[CHUNK];
};

/* ---- opening ---- */

static int pipe_for(struct stream *stream, bool program_writes, struct cj_error *err)
{
    int pair[2];
    if (pipe2(pair, O_CLOEXEC) < 0)
        return error_errno(err, "pipe");
    stream->pass_fd = program_writes ? pair[1] : pair[0];
    int ours = program_writes ? pair[0] : pair[1];
    stream->own_read_fd = program_writes;
    if (program_writes)
        stream->read_fd = ours;
    else
        stream->write_fd = ours;
    /* Anyone who holds an end may open it anew (/dev/stdout): its inode has to let the run's uid. */
    if (fcntl(ours, F_SETFL, O_NONBLOCK) < 0 || fchmod(ours, 0666) < 0)
        return error_errno(err, "pipe");
    return 0;
}

static int open_output(struct streams *streams, struct stream *stream, unsigned *outputs,
                       struct container_descriptor *descriptor, struct cj_error *err)
{
    if (*outputs < CONTAINER_OUTPUTS) {
        int which = (int)(*outputs)++;
        stream->read_fd = container_output_fd(streams->container, which);
        *descriptor = (struct container_descriptor){CONTAINER_OUTPUT, which};
        return 0;
    }
    if (pipe_for(stream, true, err) < 0)
        return -1;
    *descriptor = (struct container_descriptor){CONTAINER_PASSED, stream->pass_fd};
    return 0;
}

static int open_collector_file(struct streams *streams, struct stream *stream, const char *work_dir,
                               struct container_descriptor *descriptor, struct cj_error *err)
{
    char path[EXEC_PATH_MAX];
    const char *name = stream->file->name;
    if (exec_path_resolve(work_dir, name, path) < 0)
        return error_set(err, ERROR_REQUEST, errno, "container: %s: %s", name, errno_text(errno));
    if (container_open_in(streams->container, path, &stream->pass_fd, err) < 0)
        return error_set(err, err->domain, err->code, "container: %s: open %s: %s", name, name,
                         errno_text(err->code));
    *descriptor = (struct container_descriptor){CONTAINER_PASSED, stream->pass_fd};
    return 0;
}

static int open_content(struct stream *stream, struct container_descriptor *descriptor,
                        struct cj_error *err)
{
    if (stream->file->size == 0) {
        *descriptor = (struct container_descriptor){CONTAINER_EMPTY, -1};
        return 0;
    }
    if (exec_input_from_bytes(stream->file->data, stream->file->size, &stream->pass_fd, err) < 0)
        return -1;
    *descriptor = (struct container_descriptor){CONTAINER_PASSED, stream->pass_fd};
    return 0;
}

static bool is_collector(const struct exec_file *file)
{
    return file->kind == EXEC_FILE_COLLECT || file->kind == EXEC_FILE_COLLECT_FILE;
}

static int find_same(const struct streams *streams, size_t i)
{
    const struct exec_file *file = streams->streams[i].file;
    if (!is_collector(file))
        return -1;
    for (size_t k = 0; k < i; k++)
        if (is_collector(streams->streams[k].file) &&
            strcmp(streams->streams[k].file->name, file->name) == 0)
            return (int)k;
    return -1;
}

static int open_one(struct streams *streams, size_t i, const char *work_dir, unsigned *outputs,
                    struct container_descriptor *descriptors, struct cj_error *err)
{
    struct stream *stream = &streams->streams[i];
    struct container_descriptor *descriptor = &descriptors[i];
    stream->same_as = find_same(streams, i);
    if (stream->same_as >= 0) {
        *descriptor = descriptors[stream->same_as];
        return 0;
    }
    switch (stream->kind) {
    case EXEC_FILE_CLOSED:
        *descriptor = (struct container_descriptor){CONTAINER_CLOSED, -1};
        return 0;
    case EXEC_FILE_CONTENT:
        return open_content(stream, descriptor, err);
    case EXEC_FILE_FD:
        *descriptor = (struct container_descriptor){CONTAINER_PASSED, stream->file->fd};
        return 0;
    case EXEC_FILE_FEED:
        if (pipe_for(stream, false, err) < 0)
            return -1;
        *descriptor = (struct container_descriptor){CONTAINER_PASSED, stream->pass_fd};
        return 0;
    case EXEC_FILE_COLLECT:
    case EXEC_FILE_FORWARD:
        return open_output(streams, stream, outputs, descriptor, err);
    case EXEC_FILE_COLLECT_FILE:
        return open_collector_file(streams, stream, work_dir, descriptor, err);
    }
    return error_set(err, ERROR_REQUEST, EINVAL, "a kind of file that does not exist");
}

int streams_open(struct container *container, const struct exec_request *request,
                 const char *work_dir, struct container_descriptor *descriptors,
                 struct streams **out, struct cj_error *err)
{
    struct streams *streams = malloc(sizeof(*streams));
    struct stream *list = calloc(request->file_count + 1, sizeof(*list));
    if (streams == NULL || list == NULL) {
        free(streams);
        free(list);
        return error_set(err, ERROR_SYSTEM, ENOMEM, "open descriptors: out of memory");
    }
    streams->container = container;
    streams->streams = list;
    streams->count = request->file_count;
    unsigned outputs = 0;
    for (size_t i = 0; i < request->file_count; i++) {
        const struct exec_file *file = &request->files[i];
        list[i] = (struct stream){.kind = file->kind,
                                  .file = file,
                                  .same_as = -1,
                                  .pass_fd = -1,
                                  .read_fd = -1,
                                  .write_fd = -1};
    }
    for (size_t i = 0; i < request->file_count; i++) {
        if (open_one(streams, i, work_dir, &outputs, descriptors, err) < 0) {
            streams_close(streams);
            return -1;
        }
    }
    *out = streams;
    return 0;
}

void streams_started(struct streams *streams)
{
    for (size_t i = 0; i < streams->count; i++)
        if (streams->streams[i].kind != EXEC_FILE_COLLECT_FILE) /* that one we read afterwards */
            fd_close(&streams->streams[i].pass_fd);
}

/* ---- moving ---- */

/* Takes what the program wrote: up to room bytes are kept, the rest of what was allowed is dropped. */
static void take(struct stream *stream, const char *data, size_t size)
{
    uint64_t max = stream->file->max;
    uint64_t room = stream->seen < max ? max - stream->seen : 0;
    buf_append(&stream->bytes, data, size < room ? size : (size_t)room);
    stream->seen += size;
}

/* A forward that is not written fast enough holds its program back, as a terminal would. */
static bool wants_input(const struct stream *stream)
{
    return stream->read_fd >= 0 &&
           (stream->kind != EXEC_FILE_FORWARD || stream->bytes.size < CHUNK);
}

static void read_output(struct streams *streams, struct stream *stream)
{
    while (wants_input(stream)) {
        ssize_t got = read(stream->read_fd, streams->chunk, sizeof(streams->chunk));
        if (got < 0 && errno == EINTR)
            continue;
        if (got > 0) {
            take(stream, streams->chunk, (size_t)got);
            if (got == (ssize_t)sizeof(streams->chunk))
                continue;
            return;
        }
        if (got == 0 && stream->own_read_fd) /* every writer is gone */
            fd_close(&stream->read_fd);
        return;
    }
}

static void drop_front(struct buf *bytes, size_t size)
{
    memmove(bytes->data, bytes->data + size, bytes->size - size);
    buf_cut(bytes, bytes->size - size);
}

/* At most PIPE_BUF bytes after POLLOUT: so many do not block on a pipe, pipe(7). Asked here once more,
 * because two streams may go to one pipe and the other one have taken the room. */
static void write_forward(struct stream *stream)
{
    struct pollfd room = {.fd = stream->file->fd, .events = POLLOUT};
    if (stream->bytes.size == 0 || poll(&room, 1, 0) <= 0)
        return;
    size_t size = stream->bytes.size < PIPE_BUF ? stream->bytes.size : PIPE_BUF;
    ssize_t written = write(stream->file->fd, stream->bytes.data, size);
    if (written > 0)
        drop_front(&stream->bytes, (size_t)written);
    if (written >= 0 || errno == EINTR || errno == EAGAIN)
        return;
    if (errno != EPIPE) /* nobody reads any more: as good as written */
        stream->forward_error = errno;
    buf_cut(&stream->bytes, 0);
}

static void read_source(struct streams *streams, struct stream *stream)
{
    ssize_t got = read(stream->file->fd, streams->chunk, sizeof(streams->chunk));
    if (got > 0)
        buf_append(&stream->bytes, streams->chunk, (size_t)got);
    else if (got == 0 || (errno != EINTR && errno != EAGAIN))
        stream->source_ended = true;
}

static void write_feed(struct stream *stream)
{
    while (stream->bytes.size > 0) {
        ssize_t written = write(stream->write_fd, stream->bytes.data, stream->bytes.size);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0 && errno == EAGAIN)
            return;
        if (written < 0) { /* EPIPE: the program reads no more */
            fd_close(&stream->write_fd);
            return;
        }
        drop_front(&stream->bytes, (size_t)written);
    }
    if (stream->source_ended)
        fd_close(&stream->write_fd);
}

static void want(struct pollfd *fds, size_t *used, int *position, int fd, short events)
{
    *position = (int)*used;
    fds[(*used)++] = (struct pollfd){.fd = fd, .events = events};
}

size_t streams_poll(struct streams *streams, struct pollfd *fds)
{
    size_t used = 0;
    for (size_t i = 0; i < streams->count; i++) {
        struct stream *stream = &streams->streams[i];
        stream->poll_read = stream->poll_write = -1;
        if (wants_input(stream))
            want(fds, &used, &stream->poll_read, stream->read_fd, POLLIN);
        if (stream->kind == EXEC_FILE_FORWARD && stream->bytes.size > 0)
            want(fds, &used, &stream->poll_write, stream->file->fd, POLLOUT);
        if (stream->kind == EXEC_FILE_FEED && stream->write_fd >= 0) {
            if (stream->bytes.size == 0 && !stream->source_ended)
                want(fds, &used, &stream->poll_read, stream->file->fd, POLLIN);
            /* without events: POLLERR still tells that the program has closed its end */
            want(fds, &used, &stream->poll_write, stream->write_fd,
                 stream->bytes.size > 0 || stream->source_ended ? POLLOUT : 0);
        }
    }
    return used;
}

static bool is_ready(const struct pollfd *fds, size_t count, int position)
{
    return position >= 0 && (size_t)position < count && fds[position].revents != 0;
}

void streams_move(struct streams *streams, const struct pollfd *fds, size_t count)
{
    for (size_t i = 0; i < streams->count; i++) {
        struct stream *stream = &streams->streams[i];
        bool readable = is_ready(fds, count, stream->poll_read);
        bool writable = is_ready(fds, count, stream->poll_write);
        if (stream->kind == EXEC_FILE_FEED) {
            if (readable)
                read_source(streams, stream);
            if (writable && (fds[stream->poll_write].revents & (POLLERR | POLLNVAL)) != 0)
                fd_close(&stream->write_fd);
            else if (stream->write_fd >= 0 && (readable || writable))
                write_feed(stream);
            continue;
        }
        if (writable)
            write_forward(stream);
        if (readable)
            read_output(streams, stream);
    }
}

bool streams_flooded(const struct streams *streams)
{
    for (size_t i = 0; i < streams->count; i++) {
        const struct stream *stream = &streams->streams[i];
        if (stream->seen > FLOOD && stream->seen - FLOOD > stream->file->max)
            return true;
    }
    return false;
}

static void finish_forward(struct stream *stream, int cancel_fd)
{
    while (stream->bytes.size > 0) {
        struct pollfd fds[] = {{.fd = stream->file->fd, .events = POLLOUT},
                               {.fd = cancel_fd, .events = POLLIN}};
        (void)poll(fds, COUNT_OF(fds), -1);
        if (fds[1].revents != 0)
            buf_cut(&stream->bytes, 0);
        write_forward(stream);
    }
}

void streams_finish(struct streams *streams, int cancel_fd)
{
    for (size_t i = 0; i < streams->count; i++) {
        struct stream *stream = &streams->streams[i];
        if (stream->kind != EXEC_FILE_COLLECT && stream->kind != EXEC_FILE_FORWARD)
            continue;
        for (;;) {
            if (stream->kind == EXEC_FILE_FORWARD) /* first: a full buffer takes nothing more */
                finish_forward(stream, cancel_fd);
            uint64_t before = stream->seen;
            read_output(streams, stream);
            if (stream->seen == before)
                break;
        }
    }
}

/* ---- collecting ---- */

static int collect_file(struct stream *stream, struct cj_error *err)
{
    struct stat info;
    if (fstat(stream->pass_fd, &info) < 0)
        return error_errno(err, "collect %s", stream->file->name);
    stream->seen = (uint64_t)info.st_size;
    uint64_t wanted = stream->seen < stream->file->max ? stream->seen : stream->file->max;
    char link[64];
    snprintf(link, sizeof(link), "/proc/self/fd/%d", stream->pass_fd);
    auto_fd int fd = open(link, O_RDONLY | O_CLOEXEC);
    char *room = buf_extend(&stream->bytes, (size_t)wanted);
    if (fd < 0 || (room == NULL && wanted > 0))
        return error_errno(err, "collect %s", stream->file->name);
    for (uint64_t done = 0; done < wanted;) {
        ssize_t got = pread(fd, room + done, (size_t)(wanted - done), (off_t)done);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return error_errno(err, "collect %s", stream->file->name);
        done += (uint64_t)got;
    }
    return 0;
}

int streams_collect(struct streams *streams, struct exec_result *result, bool *over,
                    struct cj_error *err)
{
    for (size_t i = 0; i < streams->count; i++) {
        struct stream *stream = &streams->streams[i];
        if (stream->same_as >= 0)
            continue;
        if (stream->kind == EXEC_FILE_FORWARD && stream->seen > stream->file->max)
            *over = true;
        if (stream->forward_error != 0)
            return error_set(err, ERROR_SYSTEM, stream->forward_error, "pass output on: %s",
                             errno_text(stream->forward_error));
        if (!is_collector(stream->file))
            continue;
        if (stream->kind == EXEC_FILE_COLLECT_FILE && collect_file(stream, err) < 0)
            return -1;
        if (stream->seen > stream->file->max) {
            *over = true;
            if (result_add_file_error(result, stream->file->name, EXEC_COLLECT_SIZE_EXCEEDED, err,
                                      "Output Limit Exceeded") < 0)
                return -1;
        }
        if (result_add_file(result, stream->file->name, &stream->bytes, err) < 0)
            return -1;
    }
    return 0;
}

bool streams_collects(const struct streams *streams, const char *name)
{
    for (size_t i = 0; i < streams->count; i++)
        if (is_collector(streams->streams[i].file) &&
            strcmp(streams->streams[i].file->name, name) == 0)
            return true;
    return false;
}

void streams_close(struct streams *streams)
{
    if (streams == NULL)
        return;
    for (size_t i = 0; i < streams->count; i++) {
        struct stream *stream = &streams->streams[i];
        fd_close(&stream->pass_fd);
        if (stream->own_read_fd)
            fd_close(&stream->read_fd);
        fd_close(&stream->write_fd);
        buf_free(&stream->bytes);
    }
    free(streams->streams);
    free(streams);
}
