/* The descriptors of a run: what a request describes, opened. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "errno_text.h"
#include "input.h"
#include "made_plan.h"
#include "out_plan.h"
#include "path.h"
#include "pipe_pair.h"
#include "streams_private.h"
#include "terminal.h"

enum { CONTAINER_OUTPUTS = 2 };

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
        stream->kept = which;
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
                              .kept = -1,
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
    streams->made_unseen = false;
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
