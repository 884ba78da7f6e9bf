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
#include "base/clock.h"
#include "base/fd.h"
#include "errno_text.h"
#include "input.h"
#include "keep.h"
#include "made_plan.h"
#include "out_plan.h"
#include "path.h"
#include "pipe_pair.h"
#include "result.h"
#include "terminal.h"

enum { FLOOD = 1024 * 1024, CHUNK = 64 * 1024, CONTAINER_OUTPUTS = 2, POLL_MAX = 2 };

/* A program that writes line after line would be interrupted for each, because the slot goes before it on their
 * CPU. So a pipe that only collects, and gave little twice within twice this time, is let alone for it: what
 * a pipe holds, 64 KiB, takes a quick writer about as long. */
static const int64_t PAUSE = 50 * NS_PER_US;

struct stream {
    enum exec_file_kind kind;
    const struct exec_file *file;
    int same_as;      /* index of the stream with the same collector; -1 */
    bool collects;    /* its output comes into the result */
    int made;         /* which of the run's made files it is; -1 */
    int pass_fd;      /* what the program gets, when it is ours to close; -1 */
    int read_fd;      /* end that we read; -1 */
    int write_fd;     /* end that we write; -1 */
    bool own_ends;    /* those two are ours to close */
    struct keep keep; /* collected; counts what came in any case */
    struct buf bytes; /* on their way; those before start have gone */
    size_t start;
    int failure;       /* errno of feeding or forwarding; 0 */
    bool source_ended; /* nothing more comes into bytes */
    bool gave_little;  /* when it was read last, at: */
    int64_t read_ns;   /* 0: never */
    int64_t paused_until_ns;
    int poll_read, poll_write; /* positions in the poll set; -1 */
};

struct streams {
    struct container *container;
    size_t count;
    struct stream *streams;
    bool makes; /* collector files are made for the run, not before it */
    const char *made_names[CONTAINER_MADE_MAX];
    size_t made_count;
    struct container_made made[CONTAINER_MADE_MAX]; /* behind the run; zeroed when there was none */
    int terminal_master, terminal_slave;            /* -1: no terminal */
    bool terminal_typed, terminal_shown; /* some stream types into it, gets what it shows */
    char chunk[CHUNK];
};

/* ---- opening ---- */

static int pipe_for(struct stream *stream, bool program_writes, struct cj_error *err)
{
    struct pipe_pair pair;
    if (pipe_pair_open(&pair, err) < 0)
        return -1;
    stream->pass_fd = program_writes ? pair.write_fd : pair.read_fd;
    stream->own_ends = true;
    if (program_writes)
        stream->read_fd = pair.read_fd;
    else
        stream->write_fd = pair.write_fd;
    return pipe_pair_unblock(program_writes ? pair.read_fd : pair.write_fd, err);
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

/* The words are go-judge's. */
static int explain_collector_file(const char *name, const struct cj_error *why,
                                  struct cj_error *err)
{
    if (why->domain != ERROR_REQUEST) {
        *err = *why;
        return -1;
    }
    if (why->code == EISDIR || why->code == ELOOP || why->code == EINVAL)
        return error_set(err, ERROR_REQUEST, why->code, "container: %s: %s is not a regular file",
                         name, name);
    return error_set(err, ERROR_REQUEST, why->code, "container: %s: open %s: %s", name, name,
                     errno_text(why->code));
}

/* Copying in makes missing directories, a collector does not: go-judge's rule. Asked only where it can be
 * missing; nothing lives that could change the answer. */
static int check_parent(struct streams *streams, const char *path, const char *work_dir,
                        struct cj_error *err)
{
    char parent[EXEC_PATH_MAX];
    size_t length = (size_t)(strrchr(path, '/') - path);
    auto_fd int fd = -1;
    bool not_regular = false;
    if (length == 0 || (strlen(work_dir) == length && strncmp(path, work_dir, length) == 0))
        return 0;
    memcpy(parent, path, length);
    parent[length] = '\0';
    if (container_open_out(streams->container, parent, &fd, &not_regular, err) < 0)
        return not_regular ? 0 : -1;
    return error_set(err, ERROR_REQUEST, ENOTDIR, "%s", errno_text(ENOTDIR));
}

static int open_collector_file(struct streams *streams, struct stream *stream, const char *work_dir,
                               struct container_descriptor *descriptor, struct cj_error *err)
{
    char path[EXEC_PATH_MAX];
    const char *name = stream->file->name;
    struct cj_error why = {.domain = ERROR_REQUEST};
    if (streams->makes) {
        stream->made = (int)streams->made_count;
        streams->made_names[streams->made_count++] = name;
        *descriptor = (struct container_descriptor){CONTAINER_MADE, stream->made};
        return 0;
    }
    if (exec_path_resolve(work_dir, name, path) < 0) {
        why.code = errno;
        return explain_collector_file(name, &why, err);
    }
    if (check_parent(streams, path, work_dir, &why) < 0 ||
        container_open_in(streams->container, path, &stream->pass_fd, &why) < 0)
        return explain_collector_file(name, &why, err);
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

/* Bytes that wait for POLLOUT from the beginning, typed as they are: a program that wants an end of
 * file finds it among them (go-judge's rule). */
static void type_content(struct stream *stream)
{
    buf_append(&stream->bytes, stream->file->data, stream->file->size);
    stream->failure = stream->bytes.failure;
    stream->source_ended = true;
}

/* Descriptors that are the terminal, whoever types into it and whoever gets what it shows. Returns
 * whether this is one. */
static bool open_terminal_end(struct streams *streams, struct stream *stream,
                              struct container_descriptor *descriptor)
{
    switch (stream->kind) {
    case EXEC_FILE_CONTENT:
    case EXEC_FILE_FEED:
        stream->write_fd = streams->terminal_typed ? -1 : streams->terminal_master;
        if (stream->kind == EXEC_FILE_CONTENT)
            type_content(stream);
        stream->kind = EXEC_FILE_FEED;
        streams->terminal_typed = true;
        break;
    case EXEC_FILE_COLLECT:
    case EXEC_FILE_COLLECT_FILE:
    case EXEC_FILE_FORWARD:
        if (stream->kind == EXEC_FILE_COLLECT_FILE)
            stream->kind = EXEC_FILE_COLLECT; /* nothing is made in the work directory */
        stream->read_fd = streams->terminal_shown ? -1 : streams->terminal_master;
        stream->collects = stream->collects && !streams->terminal_shown;
        streams->terminal_shown = true;
        break;
    case EXEC_FILE_CLOSED:
    case EXEC_FILE_FD:
    case EXEC_FILE_NULL:
        return false;
    }
    *descriptor = (struct container_descriptor){CONTAINER_PASSED, streams->terminal_slave};
    return true;
}

static int open_one(struct streams *streams, size_t i, const char *work_dir, unsigned *outputs,
                    struct container_descriptor *descriptors, struct cj_error *err)
{
    struct stream *stream = &streams->streams[i];
    struct container_descriptor *descriptor = &descriptors[i];
    if (streams->terminal_slave >= 0 && open_terminal_end(streams, stream, descriptor))
        return 0;
    stream->same_as = find_same(streams, i);
    if (stream->same_as >= 0) {
        stream->collects = false;
        *descriptor = descriptors[stream->same_as];
        return 0;
    }
    switch (stream->kind) {
    case EXEC_FILE_CLOSED:
    case EXEC_FILE_NULL:
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

static void describe(struct stream *stream, const struct exec_file *file)
{
    *stream = (struct stream){.kind = file->kind,
                              .file = file,
                              .same_as = -1,
                              .collects = is_collector(file),
                              .made = -1,
                              .pass_fd = -1,
                              .read_fd = -1,
                              .write_fd = -1,
                              .keep.max = file->max};
}

/* What a terminal shows is read in any case, or its program would wait for room at last. */
static void watch_terminal(struct streams *streams)
{
    static const struct exec_file nobody = {.kind = EXEC_FILE_COLLECT, .max = UINT64_MAX};
    if (streams->terminal_master < 0 || streams->terminal_shown)
        return;
    struct stream *stream = &streams->streams[streams->count++];
    describe(stream, &nobody);
    stream->keep.max = 0;
    stream->collects = false;
    stream->read_fd = streams->terminal_master;
}

static int open_all(struct streams *streams, const struct exec_request *request,
                    struct container_descriptor *descriptors, struct cj_error *err)
{
    const char *work_dir = container_facts(streams->container)->work_dir;
    unsigned outputs = 0;
    if (request->tty && terminal_open(&streams->terminal_master, &streams->terminal_slave, err) < 0)
        return -1;
    for (size_t i = 0; i < request->file_count; i++)
        describe(&streams->streams[i], &request->files[i]);
    streams->makes = container_makes_files(streams->container) && made_plan(request, work_dir);
    for (size_t i = 0; i < request->file_count; i++)
        if (open_one(streams, i, work_dir, &outputs, descriptors, err) < 0)
            return -1;
    watch_terminal(streams);
    return 0;
}

/* Once it is clear who collects at all. */
static void store_collectors(struct streams *streams, const struct exec_request *request,
                             struct store *store)
{
    for (size_t i = 0; request->copy_out_cached_count > 0 && i < streams->count; i++) {
        struct stream *stream = &streams->streams[i];
        if (stream->collects && out_is_cached(request, stream->file->name))
            keep_in_store(&stream->keep, store);
    }
}

int streams_open(struct container *container, const struct exec_request *request,
                 struct store *store, struct container_descriptor *descriptors,
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
    streams->made_count = 0;
    memset(streams->made, 0, sizeof(streams->made));
    streams->streams = list;
    streams->count = request->file_count;
    streams->terminal_master = streams->terminal_slave = -1;
    streams->terminal_typed = streams->terminal_shown = false;
    if (open_all(streams, request, descriptors, err) < 0) {
        streams_close(streams);
        return -1;
    }
    store_collectors(streams, request, store);
    *out = streams;
    return 0;
}

size_t streams_poll_max(size_t file_count)
{
    return POLL_MAX * (file_count + 1);
}

const char *const *streams_made(const struct streams *streams, size_t *count)
{
    *count = streams->made_count;
    return streams->made_names;
}

void streams_started(struct streams *streams)
{
    for (size_t i = 0; i < streams->count; i++)
        if (streams->streams[i].kind != EXEC_FILE_COLLECT_FILE) /* that one we read afterwards */
            fd_close(&streams->streams[i].pass_fd);
    fd_close(&streams->terminal_slave);
}

/* ---- moving ---- */

static void stop(struct stream *stream, int *end)
{
    if (stream->own_ends)
        fd_close(end);
    *end = -1;
}

static size_t waiting(const struct stream *stream)
{
    return stream->bytes.size - stream->start;
}

static void drop_front(struct stream *stream, size_t size)
{
    stream->start += size;
    if (waiting(stream) > 0)
        return;
    buf_cut(&stream->bytes, 0);
    stream->start = 0;
}

static void add_waiting(struct stream *stream, const char *data, size_t size)
{
    if (stream->start > CHUNK) { /* what has gone makes room */
        memmove(stream->bytes.data, stream->bytes.data + stream->start, waiting(stream));
        buf_cut(&stream->bytes, waiting(stream));
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
static bool wants_input(const struct stream *stream)
{
    return stream->read_fd >= 0 && (stream->kind != EXEC_FILE_FORWARD || waiting(stream) < CHUNK);
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
            stream->gave_little = true;
            return;
        }
        if (got == 0 ? stream->own_ends : errno == EIO) /* every writer is gone; pty(7): EIO */
            stop(stream, &stream->read_fd);
        return;
    }
}

/* At most PIPE_BUF bytes after POLLOUT: so many do not block on a pipe, pipe(7). Asked here once more,
 * because two streams may go to one pipe and the other one have taken the room. */
static void write_forward(struct stream *stream)
{
    struct pollfd room = {.fd = stream->file->fd, .events = POLLOUT};
    if (waiting(stream) == 0 || poll(&room, 1, 0) <= 0)
        return;
    size_t size = waiting(stream) < PIPE_BUF ? waiting(stream) : PIPE_BUF;
    ssize_t written = write(stream->file->fd, stream->bytes.data + stream->start, size);
    if (written > 0)
        drop_front(stream, (size_t)written);
    if (written >= 0 || errno == EINTR || errno == EAGAIN)
        return;
    if (errno != EPIPE) /* nobody reads any more: as good as written */
        stream->failure = errno;
    drop_front(stream, waiting(stream));
}

static void read_source(struct streams *streams, struct stream *stream)
{
    ssize_t got = read(stream->file->fd, streams->chunk, sizeof(streams->chunk));
    if (got > 0)
        add_waiting(stream, streams->chunk, (size_t)got);
    else if (got == 0 || (errno != EINTR && errno != EAGAIN))
        stream->source_ended = true;
}

static void write_feed(struct stream *stream)
{
    while (waiting(stream) > 0) {
        ssize_t written =
            write(stream->write_fd, stream->bytes.data + stream->start, waiting(stream));
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0 && errno == EAGAIN)
            return;
        if (written < 0) { /* EPIPE, EIO: the program reads no more */
            stop(stream, &stream->write_fd);
            return;
        }
        drop_front(stream, (size_t)written);
    }
    if (stream->source_ended)
        stop(stream, &stream->write_fd);
}

static void want(struct pollfd *fds, size_t *used, int *position, int fd, short events)
{
    *position = (int)*used;
    fds[(*used)++] = (struct pollfd){.fd = fd, .events = events};
}

/* Nobody waits for what is collected; what is shown, passed on or relayed is moved at once. */
static bool is_paused(const struct streams *streams, struct stream *stream, int64_t now_ns)
{
    if (stream->kind != EXEC_FILE_COLLECT || streams->terminal_master >= 0)
        return false;
    if (stream->gave_little) {
        if (now_ns - stream->read_ns < 2 * PAUSE)
            stream->paused_until_ns = now_ns + PAUSE;
        stream->read_ns = now_ns;
        stream->gave_little = false;
    }
    return now_ns < stream->paused_until_ns;
}

size_t streams_poll(struct streams *streams, int64_t now_ns, int64_t *next_ns, struct pollfd *fds)
{
    size_t used = 0;
    for (size_t i = 0; i < streams->count; i++) {
        struct stream *stream = &streams->streams[i];
        stream->poll_read = stream->poll_write = -1;
        if (is_paused(streams, stream, now_ns)) {
            if (stream->paused_until_ns < *next_ns)
                *next_ns = stream->paused_until_ns;
        } else if (wants_input(stream))
            want(fds, &used, &stream->poll_read, stream->read_fd, POLLIN);
        if (stream->kind == EXEC_FILE_FORWARD && waiting(stream) > 0)
            want(fds, &used, &stream->poll_write, stream->file->fd, POLLOUT);
        if (stream->kind == EXEC_FILE_FEED && stream->write_fd >= 0) {
            if (waiting(stream) == 0 && !stream->source_ended)
                want(fds, &used, &stream->poll_read, stream->file->fd, POLLIN);
            /* without events: POLLERR still tells that the program has closed its end */
            want(fds, &used, &stream->poll_write, stream->write_fd,
                 waiting(stream) > 0 || stream->source_ended ? POLLOUT : 0);
        }
    }
    return used;
}

static bool is_ready(const struct pollfd *fds, size_t count, int position)
{
    return position >= 0 && (size_t)position < count && fds[position].revents != 0;
}

/* POLLHUP: of a terminal, that nobody has it any more. */
static void move_feed(struct streams *streams, struct stream *stream, bool readable, short writable)
{
    if (readable)
        read_source(streams, stream);
    if ((writable & (POLLERR | POLLHUP | POLLNVAL)) != 0)
        stop(stream, &stream->write_fd);
    else if (stream->write_fd >= 0 && (readable || writable != 0))
        write_feed(stream);
}

void streams_move(struct streams *streams, const struct pollfd *fds, size_t count)
{
    for (size_t i = 0; i < streams->count; i++) {
        struct stream *stream = &streams->streams[i];
        bool readable = is_ready(fds, count, stream->poll_read);
        bool writable = is_ready(fds, count, stream->poll_write);
        if (stream->kind == EXEC_FILE_FEED) {
            move_feed(streams, stream, readable, writable ? fds[stream->poll_write].revents : 0);
            continue;
        }
        if (writable)
            write_forward(stream);
        if (readable)
            read_output(streams, stream);
    }
}

void streams_mark_late(struct streams *streams)
{
    for (size_t i = 0; i < streams->count; i++)
        keep_mark(&streams->streams[i].keep);
}

void streams_cut_late(struct streams *streams)
{
    for (size_t i = 0; i < streams->count; i++)
        if (streams->streams[i].kind == EXEC_FILE_COLLECT)
            keep_cut_to_mark(&streams->streams[i].keep);
}

bool streams_flooded(const struct streams *streams)
{
    for (size_t i = 0; i < streams->count; i++) {
        const struct stream *stream = &streams->streams[i];
        if (stream->keep.seen > FLOOD && stream->keep.seen - FLOOD > stream->file->max)
            return true;
    }
    return false;
}

static void finish_forward(struct stream *stream, int cancel_fd, int64_t grace_ns)
{
    int64_t moved_ns = monotonic_ns();
    while (waiting(stream) > 0) {
        struct pollfd fds[] = {{.fd = stream->file->fd, .events = POLLOUT},
                               {.fd = cancel_fd, .events = POLLIN}};
        int64_t now_ns = monotonic_ns(), left_ns = moved_ns + grace_ns - now_ns;
        struct timespec timeout = timespec_from_ns(left_ns > 0 ? left_ns : 0);
        int ready = ppoll(fds, COUNT_OF(fds), grace_ns > 0 ? &timeout : NULL, NULL);
        if (ready == 0 && stream->failure == 0)
            stream->failure = ETIMEDOUT;
        if (ready == 0 || fds[1].revents != 0) {
            drop_front(stream, waiting(stream));
            stop(stream, &stream->read_fd); /* the rest of it would only wait as well */
        } else if (fds[0].revents != 0) {
            size_t before = waiting(stream);
            write_forward(stream);
            if (waiting(stream) < before)
                moved_ns = now_ns;
        }
    }
}

void streams_finish(struct streams *streams, int cancel_fd, int64_t grace_ns)
{
    for (size_t i = 0; i < streams->count; i++) {
        struct stream *stream = &streams->streams[i];
        if (stream->kind != EXEC_FILE_COLLECT && stream->kind != EXEC_FILE_FORWARD)
            continue;
        for (;;) {
            if (stream->kind == EXEC_FILE_FORWARD) /* first: a full buffer takes nothing more */
                finish_forward(stream, cancel_fd, grace_ns);
            uint64_t before = stream->keep.seen;
            read_output(streams, stream);
            if (stream->keep.seen == before)
                break;
        }
    }
}

/* ---- collecting ---- */

void streams_take_made(struct streams *streams, const struct container_made *made)
{
    memcpy(streams->made, made, sizeof(streams->made));
}

static void collect_made(struct stream *stream, const struct container_made *made)
{
    if (made->data != NULL)
        keep_append(&stream->keep, made->data, (size_t)made->bytes);
    else if (made->bytes > 0)
        keep_file(&stream->keep, made->fd, made->bytes);
}

/* What the program wrote into the file, which may be unlinked by now. */
static int collect_file(struct streams *streams, struct stream *stream, struct cj_error *err)
{
    struct stat info;
    if (stream->made >= 0) {
        collect_made(stream, &streams->made[stream->made]);
        return 0;
    }
    char link[64];
    snprintf(link, sizeof(link), "/proc/self/fd/%d", stream->pass_fd);
    auto_fd int fd = open(link, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &info) < 0)
        return error_errno(err, "collect %s", stream->file->name);
    keep_file(&stream->keep, fd, (uint64_t)info.st_size);
    return 0;
}

static bool is_over(const struct stream *stream)
{
    return stream->file->below_zero || stream->keep.seen > stream->file->max;
}

static int collect(struct streams *streams, struct stream *stream, struct outputs *outputs,
                   struct cj_error *err)
{
    if (stream->kind == EXEC_FILE_COLLECT_FILE && collect_file(streams, stream, err) < 0)
        return -1;
    if (is_over(stream) &&
        result_add_file_error(outputs->result, stream->file->name, EXEC_COLLECT_SIZE_EXCEEDED, err,
                              "Output Limit Exceeded") < 0)
        return -1;
    return outputs_add(outputs, stream->file->name, &stream->keep, err);
}

int streams_collect(struct streams *streams, struct outputs *outputs, bool *over,
                    struct cj_error *err)
{
    for (size_t i = 0; i < streams->count; i++) {
        struct stream *stream = &streams->streams[i];
        if (stream->failure != 0)
            return error_set(err, ERROR_SYSTEM, stream->failure, "pass %s on: %s",
                             stream->kind == EXEC_FILE_FEED ? "input" : "output",
                             errno_text(stream->failure));
        if (stream->collects && collect(streams, stream, outputs, err) < 0)
            return -1;
        if ((stream->collects || stream->kind == EXEC_FILE_FORWARD) && is_over(stream))
            *over = true;
    }
    return 0;
}

bool streams_collects(const struct streams *streams, const char *name)
{
    for (size_t i = 0; i < streams->count; i++)
        if (streams->streams[i].collects && strcmp(streams->streams[i].file->name, name) == 0)
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
        stop(stream, &stream->read_fd);
        stop(stream, &stream->write_fd);
        keep_free(&stream->keep);
        buf_free(&stream->bytes);
    }
    fd_close(&streams->terminal_master);
    fd_close(&streams->terminal_slave);
    free(streams->streams);
    free(streams);
}
