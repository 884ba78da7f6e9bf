/* The descriptors of a run, from its start to its outputs. */
#include "streams.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "errno_text.h"
#include "result.h"
#include "streams_private.h"

enum { FLOOD = 1024 * 1024, POLL_MAX = 2 };

/* A program that writes line after line would be interrupted for each, because the slot goes before it on their
 * CPU. So a pipe that only collects, and gave little twice within twice this time, is let alone for it: what
 * a pipe holds, 64 KiB, takes a quick writer about as long. */
static const int64_t PAUSE = 50 * NS_PER_US;

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
        } else if (stream_wants_input(stream))
            want(fds, &used, &stream->poll_read, stream->read_fd, POLLIN);
        if (stream->kind == EXEC_FILE_FORWARD && stream_waiting(stream) > 0)
            want(fds, &used, &stream->poll_write, stream->file->fd, POLLOUT);
        if (stream->kind == EXEC_FILE_FEED && stream->write_fd >= 0) {
            if (stream_waiting(stream) == 0 && !stream->source_ended)
                want(fds, &used, &stream->poll_read, stream->file->fd, POLLIN);
            /* without events: POLLERR still tells that the program has closed its end */
            want(fds, &used, &stream->poll_write, stream->write_fd,
                 stream_waiting(stream) > 0 || stream->source_ended ? POLLOUT : 0);
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
        stream_read_source(stream, streams->chunk);
    if ((writable & (POLLERR | POLLHUP | POLLNVAL)) != 0)
        stream_stop(stream, &stream->write_fd);
    else if (stream->write_fd >= 0 && (readable || writable != 0))
        stream_write_feed(stream);
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
            stream_write_forward(stream);
        if (readable)
            stream_read_output(stream, streams->chunk);
    }
}

/* Nobody but the run writes into the container's own pipes, and poll(2) has looked at them after the end, which comes
 * before them in the set: everything had been written by then. */
void streams_ended(struct streams *streams, const struct pollfd *fds, size_t count)
{
    for (size_t i = 0; i < streams->count; i++) {
        struct stream *stream = &streams->streams[i];
        stream->dry = stream->kept >= 0 && stream->poll_read >= 0 &&
                      (size_t)stream->poll_read < count && fds[stream->poll_read].revents == 0;
    }
}

void streams_mark_late(struct streams *streams)
{
    for (size_t i = 0; i < streams->count; i++)
        keep_mark(&streams->streams[i].keep);
}

void streams_unmark_late(struct streams *streams)
{
    for (size_t i = 0; i < streams->count; i++)
        keep_unmark(&streams->streams[i].keep);
}

void streams_cut_late(struct streams *streams)
{
    for (size_t i = 0; i < streams->count; i++)
        if (streams->streams[i].kind == EXEC_FILE_COLLECT)
            keep_cut_to_mark(&streams->streams[i].keep);
}

static bool is_flood(const struct stream *stream, uint64_t bytes)
{
    return bytes > FLOOD && bytes - FLOOD > stream->file->max;
}

bool streams_flooded(const struct streams *streams)
{
    for (size_t i = 0; i < streams->count; i++)
        if (is_flood(&streams->streams[i], streams->streams[i].keep.seen))
            return true;
    return false;
}

static bool is_collected_file(const struct stream *stream)
{
    return stream->kind == EXEC_FILE_COLLECT_FILE && stream->collects;
}

bool streams_have_files(const struct streams *streams)
{
    for (size_t i = 0; i < streams->count; i++)
        if (is_collected_file(&streams->streams[i]))
            return true;
    return false;
}

bool streams_files_flooded(struct streams *streams)
{
    uint64_t made[CONTAINER_MADE_MAX] = {0};
    if (streams->made_count > 0 && !streams->made_unseen)
        streams->made_unseen = container_look_at_made(streams->container, made) < 0;
    for (size_t i = 0; i < streams->count; i++) {
        const struct stream *stream = &streams->streams[i];
        struct stat info;
        if (!is_collected_file(stream))
            continue;
        if (stream->made >= 0
                ? is_flood(stream, made[stream->made])
                : fstat(stream->pass_fd, &info) == 0 && is_flood(stream, (uint64_t)info.st_size))
            return true;
    }
    return false;
}

static void finish(struct streams *streams, struct stream *stream, int cancel_fd, int64_t grace_ns)
{
    for (;;) {
        if (stream->kind == EXEC_FILE_FORWARD) /* first: a full buffer takes nothing more */
            stream_finish_forward(stream, cancel_fd, grace_ns);
        uint64_t before = stream->keep.seen;
        stream_read_output(stream, streams->chunk);
        if (stream->keep.seen == before)
            return;
    }
}

void streams_finish(struct streams *streams, int cancel_fd, int64_t grace_ns)
{
    for (size_t i = 0; i < streams->count; i++) {
        struct stream *stream = &streams->streams[i];
        if (stream->kind != EXEC_FILE_COLLECT && stream->kind != EXEC_FILE_FORWARD)
            continue;
        if (stream->kind == EXEC_FILE_FORWARD || !stream->dry)
            finish(streams, stream, cancel_fd, grace_ns);
        if (stream->kept >= 0 && stream_wants_input(stream))
            container_output_emptied(streams->container, stream->kept);
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
        stream_stop(stream, &stream->read_fd);
        stream_stop(stream, &stream->write_fd);
        keep_free(&stream->keep);
        buf_free(&stream->bytes);
    }
    fd_close(&streams->terminal_master);
    fd_close(&streams->terminal_slave);
    free(streams->streams);
    free(streams);
}
