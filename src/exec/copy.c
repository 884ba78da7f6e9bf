/* Files into and out of a container.
 *
 * The bytes are moved by us, through descriptors that init opened beneath the container's root: nothing
 * here ever resolves a path that a program could have prepared, and copied-in pages are charged to the
 * service, not to the run. */
#include "copy.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/io.h"
#include "errno_text.h"
#include "keep.h"
#include "out_plan.h"
#include "path.h"
#include "result.h"

/* A container that broke is our failure; a file that cannot be opened is the request's. */
static bool is_ours(const struct cj_error *err)
{
    return err->domain != ERROR_REQUEST;
}

/* ---- in ---- */

static int record_in(struct exec_result *result, const char *name, enum exec_file_error_kind kind,
                     bool *failed, struct cj_error *err, const char *action, const char *object,
                     int code)
{
    *failed = true;
    result_set_error(result, "%s %s: %s", action, object, errno_text(code));
    return result_add_file_error(result, name, kind, err, "%s %s: %s", action, object,
                                 errno_text(code));
}

static int refuse_collector(const char *name, struct exec_result *result, bool *failed,
                            struct cj_error *err)
{
    static const char why[] = "file cannot open as reader: a collector";
    *failed = true;
    result_set_error(result, "%s", why);
    return result_add_file_error(result, name, EXEC_COPY_IN_OPEN_FILE, err, "%s", why);
}

static int copy_by_reading(int from, off_t offset, int to)
{
    char chunk[16 * 1024];
    for (;;) {
        ssize_t got = pread(from, chunk, sizeof(chunk), offset);
        if (got == 0)
            return 0;
        if (got < 0 && errno != EINTR)
            return -1;
        if (got > 0 && write_full(to, chunk, (size_t)got) < 0)
            return -1;
        offset += got > 0 ? got : 0;
    }
}

/* All bytes of from, beginning at offset 0, whatever its own offset is. */
static int copy_bytes(int from, int to)
{
    off_t offset = 0;
    for (;;) {
        ssize_t moved = sendfile(to, from, &offset, 1U << 30);
        if (moved == 0)
            return 0;
        if (moved < 0 && errno == EINVAL) /* not from such a file: those of /proc, /dev/null */
            return copy_by_reading(from, offset, to);
        if (moved < 0 && errno != EINTR)
            return -1;
    }
}

static int open_source(const struct exec_copy_in *item, int *own_fd)
{
    if (item->kind != EXEC_COPY_PATH)
        return item->fd;
    *own_fd = open(item->data, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    struct stat info;
    if (*own_fd >= 0 && fstat(*own_fd, &info) == 0 && !S_ISREG(info.st_mode) &&
        !exec_is_null_device(&info)) {
        fd_close(own_fd);
        errno = S_ISDIR(info.st_mode) ? EISDIR : EINVAL;
    }
    return *own_fd;
}

static int copy_in_file(struct container *container, const struct exec_copy_in *item,
                        const char *path, struct exec_result *result, bool *failed,
                        struct cj_error *err)
{
    auto_fd int own_fd = -1;
    int from = -1;
    if (item->kind == EXEC_COPY_COLLECTOR)
        return refuse_collector(item->name, result, failed, err);
    if (item->kind != EXEC_COPY_CONTENT) {
        from = open_source(item, &own_fd);
        if (from < 0)
            return record_in(result, item->name, EXEC_COPY_IN_OPEN_FILE, failed, err, "open",
                             item->kind == EXEC_COPY_PATH ? item->data : item->name, errno);
    }
    auto_fd int to = -1;
    struct cj_error why;
    if (container_open_in(container, path, &to, &why) < 0) {
        if (is_ours(&why)) {
            *err = why;
            return -1;
        }
        return record_in(result, item->name, EXEC_COPY_IN_CREATE_FILE, failed, err, "open",
                         item->name, why.code);
    }
    int copied = item->kind == EXEC_COPY_CONTENT ? write_full(to, item->data, item->size)
                                                 : copy_bytes(from, to);
    if (copied < 0)
        return record_in(result, item->name, EXEC_COPY_IN_COPY_CONTENT, failed, err, "write",
                         item->name, errno);
    fd_close(&to);
    return item->hold_key != 0 ? container_hold(container, path, item->hold_key, err) : 0;
}

/* Before anything is copied: what an earlier run has left goes, unless it is wanted again. *there: the item that need not
 * be copied; NULL. */
static int want_held(struct command *command, const struct exec_copy_in **there,
                     struct cj_error *err)
{
    const struct exec_request *request = command->request;
    char path[EXEC_PATH_MAX] = "";
    const struct exec_copy_in *wanted = NULL;
    bool is_there;
    for (size_t i = 0; i < request->copy_in_count && wanted == NULL; i++)
        if (request->copy_in[i].hold_key != 0 &&
            exec_path_resolve(command_work_dir(command), request->copy_in[i].name, path) == 0)
            wanted = &request->copy_in[i];
    if (container_want_held(command->container, path, wanted != NULL ? wanted->hold_key : 0,
                            &is_there, err) < 0)
        return -1;
    *there = is_there ? wanted : NULL;
    return 0;
}

static int resolve(const struct exec_copy_in *item, const char *work_dir, char *path,
                   struct exec_result *result, bool *failed, struct cj_error *err)
{
    if (exec_path_resolve(work_dir, item->name, path) == 0)
        return 0;
    if (record_in(result, item->name, EXEC_COPY_IN_CREATE_FILE, failed, err, "open", item->name,
                  errno) < 0)
        return -1;
    return 1;
}

static int make_link(struct container *container, const struct exec_copy_in *item, const char *path,
                     unsigned *failures, struct exec_result *result, struct cj_error *err)
{
    struct cj_error why;
    if (container_symlink(container, path, item->data, &why) == 0)
        return 0;
    if (is_ours(&why)) {
        *err = why;
        return -1;
    }
    (*failures)++;
    return result_add_file_error(result, item->name, EXEC_SYMLINK, err,
                                 "symlink: \"%s\" -> \"%s\": symlink %s %s: %s", item->name,
                                 item->data, item->data, item->name, errno_text(why.code));
}

int copy_in_all(struct command *command, bool *failed, struct cj_error *err)
{
    struct container *container = command->container;
    const struct exec_request *request = command->request;
    struct exec_result *result = command->result;
    char path[EXEC_PATH_MAX];
    unsigned link_failures = 0;
    const struct exec_copy_in *there;
    if (want_held(command, &there, err) < 0)
        return -1;
    for (int links = 0; links < 2; links++) { /* files first: links may point at them */
        for (size_t i = 0; i < request->copy_in_count && !(links && *failed); i++) {
            const struct exec_copy_in *item = &request->copy_in[i];
            if (item == there || (item->kind == EXEC_COPY_SYMLINK) != (links == 1))
                continue;
            int resolved = resolve(item, command_work_dir(command), path, result, failed, err);
            if (resolved < 0)
                return -1;
            if (resolved > 0)
                continue;
            int done = links ? make_link(container, item, path, &link_failures, result, err)
                             : copy_in_file(container, item, path, result, failed, err);
            if (done < 0)
                return -1;
        }
    }
    if (link_failures > 0) {
        *failed = true;
        result_set_error(result, "symlink: %u operations failed", link_failures);
    }
    return 0;
}

/* ---- out ---- */

static int open_out(struct container *container, const struct exec_copy_out *item,
                    const char *work_dir, int *fd, char *message, size_t size, struct cj_error *err)
{
    char path[EXEC_PATH_MAX];
    bool not_regular = false;
    struct cj_error why = {.domain = ERROR_REQUEST};
    if (exec_path_resolve(work_dir, item->name, path) < 0)
        why.code = errno;
    else if (container_open_out(container, path, fd, &not_regular, &why) == 0)
        return 0;
    if (is_ours(&why)) {
        *err = why;
        return -1;
    }
    if (not_regular)
        snprintf(message, size, "%s is not a regular file", item->name);
    else
        snprintf(message, size, "open %s: %s", item->name, errno_text(why.code));
    return 1;
}

static uint64_t copy_out_max(const struct command *command)
{
    uint64_t asked = command->request->copy_out_max_bytes;
    return asked != 0 ? asked : command->settings->copy_out_max_bytes;
}

/* size is what fstat(2) said; a sparse file is read as far as that. */
static int keep_out(struct command *command, const struct out_item *out, int fd, uint64_t size,
                    struct cj_error *err)
{
    struct keep keep = {.max = UINT64_MAX};
    const char *name = out->item->name;
    int result;
    if (out->cached)
        keep_in_store(&keep, command->settings->store);
    keep_file(&keep, fd, size);
    if (keep.failure != 0 && !out->cached) {
        char message[EXEC_PATH_MAX + 128];
        snprintf(message, sizeof(message), "read %s: %s", name, errno_text(keep.failure));
        result = outputs_miss(&command->outputs, name, EXEC_COPY_OUT_COPY_CONTENT, message, err);
    } else {
        result = outputs_add(&command->outputs, name, &keep, err);
    }
    keep_free(&keep);
    return result;
}

static int copy_out_one(struct command *command, const struct out_item *out, struct cj_error *err)
{
    bool truncate = command->request->copy_out_truncate;
    uint64_t max = copy_out_max(command);
    const char *name = out->item->name;
    auto_fd int fd = -1;
    char message[EXEC_PATH_MAX + 128];
    int opened = open_out(command->container, out->item, command_work_dir(command), &fd, message,
                          sizeof(message), err);
    if (opened < 0)
        return -1;
    if (opened > 0)
        return out->item->optional
                   ? 0
                   : outputs_miss(&command->outputs, name, EXEC_COPY_OUT_OPEN, message, err);
    struct stat info;
    if (fstat(fd, &info) < 0)
        return error_errno(err, "copy out %s", name);
    uint64_t size = (uint64_t)info.st_size;
    if (size > max) {
        if (truncate)
            snprintf(message, sizeof(message), "copyout: \"%s\" size exceeds limit (%llu)", name,
                     (unsigned long long)max);
        else
            snprintf(message, sizeof(message), "copyout: \"%s\" size (%llu) exceeds limit (%llu)",
                     name, (unsigned long long)size, (unsigned long long)max);
        if (outputs_miss(&command->outputs, name, EXEC_COPY_OUT_SIZE_EXCEEDED, message, err) < 0)
            return -1;
        if (!truncate)
            return 0;
        size = max;
    }
    return keep_out(command, out, fd, size, err);
}

int copy_out_all(struct command *command, const struct pipes *pipes, struct cj_error *err)
{
    const struct exec_request *request = command->request;
    size_t count = request->copy_out_count + request->copy_out_cached_count;
    auto_free struct out_item *items = count > 0 ? calloc(count, sizeof(*items)) : NULL;
    if (count == 0)
        return 0;
    if (items == NULL)
        return error_set(err, ERROR_SYSTEM, ENOMEM, "copy out: out of memory");
    count = out_plan(request, items);
    for (size_t i = 0; i < count; i++) {
        const char *name = items[i].item->name;
        if (streams_collects(command->streams, name) || pipes_collects(pipes, command->index, name))
            continue; /* it is where it belongs already */
        if (copy_out_one(command, &items[i], err) < 0)
            return -1;
    }
    return 0;
}
