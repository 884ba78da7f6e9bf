/* Files in and out of `cjudge run`. */
#include "run_copies.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "answer.h"
#include "base/fd.h"
#include "base/path.h"

enum { READER_LOOK_MS = 10 };

/* ---- reading the options ---- */

/* A path that could name a file: folders are not copied. */
static bool names_a_file(const char *path)
{
    size_t length = strlen(path);
    return length > 0 && path[length - 1] != '/';
}

static const char *last_part(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

/* Splits at the last colon, so that what is before it may hold some. Returns what is behind; NULL. */
static char *split(char *item)
{
    char *colon = strrchr(item, ':');
    if (colon != NULL)
        *colon = '\0';
    return colon != NULL ? colon + 1 : NULL;
}

static int no_name(const char *option, const char *before, const char *behind, struct cj_error *err)
{
    return error_set(err, ERROR_CONFIG, 0, "-%s %.200s%s%.200s: each name has to be that of a file",
                     option, before, behind != NULL ? ":" : "", behind != NULL ? behind : "");
}

/* "SRC:PATH" or "SRC" */
static int read_in(char *item, struct exec_copy_in *out, struct cj_error *err)
{
    const char *path = split(item);
    if (!names_a_file(item) || (path != NULL && !names_a_file(path)))
        return no_name("copy-in", item, path, err);
    *out = (struct exec_copy_in){
        .name = path != NULL ? path : last_part(item), .kind = EXEC_COPY_PATH, .data = item};
    return 0;
}

/* With -json the program's output is in the answer's `files`, as "stdout" and "stderr", where the
 * executor too looks for these names: the files get another name for the same path. */
static const char *beside_the_streams(const char *name)
{
    return strcmp(name, "stdout") == 0   ? "./stdout"
           : strcmp(name, "stderr") == 0 ? "./stderr"
                                         : name;
}

/* "PATH", "PATH?", "PATH:DEST", "PATH?:DEST" */
static int read_out(char *item, bool json, struct exec_copy_out *out, const char **destination,
                    struct cj_error *err)
{
    *destination = split(item);
    if (!names_a_file(item) || (*destination != NULL && !names_a_file(*destination)))
        return no_name("copy-out", item, *destination, err);
    size_t length = strlen(item);
    bool optional = length > 1 && item[length - 1] == '?';
    if (optional)
        item[length - 1] = '\0';
    const char *name = json ? beside_the_streams(item) : item;
    if (name != item && *destination == NULL)
        return error_set(err, ERROR_CONFIG, 0,
                         "-copy-out %s: files.%s of the answer is what the program printed; for a "
                         "file of this name write %s",
                         item, item, name);
    if (*destination == NULL && !json)
        *destination = last_part(item);
    *out = (struct exec_copy_out){.name = name, .optional = optional};
    return 0;
}

/* Fetched once, however often it is wanted; it may be missing only if everyone says so. */
static void add_out(struct run_copies *copies, struct exec_copy_out item)
{
    for (size_t i = 0; i < copies->out_count; i++) {
        if (strcmp(copies->out[i].name, item.name) == 0) {
            copies->out[i].optional &= item.optional;
            return;
        }
    }
    copies->out[copies->out_count++] = item;
}

static int add_delivery(struct run_copies *copies, struct run_delivery delivery,
                        struct cj_error *err)
{
    for (size_t i = 0; i < copies->delivery_count && delivery.destination != NULL; i++) {
        const struct run_delivery *other = &copies->deliveries[i];
        if (other->destination != NULL && strcmp(other->destination, delivery.destination) == 0 &&
            strcmp(other->name, delivery.name) != 0)
            return error_set(err, ERROR_CONFIG, 0,
                             "-copy-out %.200s:%.200s: '%.200s' is already where %.200s goes",
                             delivery.name, delivery.destination, delivery.destination,
                             other->name);
    }
    copies->deliveries[copies->delivery_count++] = delivery;
    return 0;
}

static int read_all(struct run_options *options, struct run_copies *copies, struct cj_error *err)
{
    bool scripted = options->script[0] != '\0';
    for (size_t i = 0; i < options->copy_in.count; i++)
        if (read_in(options->copy_in.items[i], &copies->in[copies->in_count++], err) < 0)
            return -1;
    for (size_t i = 0; i < options->copy_out.count; i++) {
        struct exec_copy_out item = {0};
        struct run_delivery delivery = {0};
        if (read_out(options->copy_out.items[i], options->json || scripted, &item,
                     &delivery.destination, err) < 0)
            return -1;
        delivery.name = item.name;
        if (scripted && delivery.destination != NULL)
            return error_set(err, ERROR_CONFIG, 0,
                             "-copy-out %.200s:%.200s: each line of a script would write it anew; "
                             "without DEST the file is in the answers",
                             delivery.name, delivery.destination);
        if (add_delivery(copies, delivery, err) < 0)
            return -1;
        add_out(copies, item);
    }
    return 0;
}

int run_copies_read(struct run_options *options, struct run_copies *out, struct cj_error *err)
{
    struct run_copies copies = {
        .in = calloc(options->copy_in.count + 2, sizeof(*copies.in)), /* one for the program */
        .out = calloc(options->copy_out.count + 1, sizeof(*copies.out)),
        .deliveries = calloc(options->copy_out.count + 1, sizeof(*copies.deliveries)),
    };
    int result = copies.in == NULL || copies.out == NULL || copies.deliveries == NULL
                     ? error_set(err, ERROR_SYSTEM, ENOMEM, "out of memory")
                     : read_all(options, &copies, err);
    if (result < 0) {
        run_copies_free(&copies);
        return -1;
    }
    *out = copies;
    return 0;
}

static const char *without_dots(const char *path)
{
    while (path[0] == '.' && path[1] == '/')
        for (path += 2; *path == '/';)
            path++;
    return path;
}

void run_copies_add_program(struct run_copies *copies, const char *program)
{
    struct stat info;
    if (program[0] == '/' || strchr(program, '/') == NULL || path_leads_up(program) ||
        stat(program, &info) < 0 || !S_ISREG(info.st_mode))
        return;
    for (size_t i = 0; i < copies->in_count; i++)
        if (strcmp(without_dots(copies->in[i].name), without_dots(program)) == 0)
            return;
    copies->in[copies->in_count++] =
        (struct exec_copy_in){.name = program, .kind = EXEC_COPY_PATH, .data = program};
}

void run_copies_free(struct run_copies *copies)
{
    free(copies->in);
    free(copies->out);
    free(copies->deliveries);
    *copies = (struct run_copies){0};
}

/* ---- delivering ---- */

static bool is_fifo(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISFIFO(info.st_mode);
}

/* A FIFO that nobody reads yet is waited for, as open(2) would, but not beyond a signal, which open(2)
 * would never hear of: see answer.c. */
static int open_destination(const char *path, int stop_fd, struct cj_error *err)
{
    for (;;) {
        int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0666);
        if (fd >= 0)
            return fd;
        if (errno != EINTR && (errno != ENXIO || !is_fifo(path)))
            return error_errno(err, "copy out to %s", path);
        struct pollfd stop = {.fd = stop_fd, .events = POLLIN};
        if (poll(&stop, 1, READER_LOOK_MS) > 0)
            return error_set(err, ERROR_SYSTEM, ECANCELED, "copy out to %s: given up by a signal",
                             path);
    }
}

static int write_out(const struct exec_output *file, const char *destination, int stop_fd,
                     struct cj_error *err)
{
    auto_fd int fd = open_destination(destination, stop_fd, err);
    if (fd < 0)
        return -1;
    if (answer_write(fd, file->data, file->size, stop_fd, err) < 0)
        return error_wrap(err, "copy out to %s", destination);
    return 0;
}

/* Returns whether the file stays in the answer. */
static bool deliver_one(const struct run_copies *copies, const struct exec_output *file,
                        int stop_fd, bool *failed, struct cj_error *err)
{
    bool wanted = false, stays = false;
    for (size_t i = 0; i < copies->delivery_count; i++) {
        const struct run_delivery *delivery = &copies->deliveries[i];
        if (strcmp(file->name, delivery->name) != 0)
            continue;
        wanted = true;
        if (delivery->destination == NULL)
            stays = true;
        else if (write_out(file, delivery->destination, stop_fd, *failed ? NULL : err) < 0)
            *failed = true;
    }
    return stays || !wanted; /* not wanted by name: a collector */
}

int run_copies_deliver(const struct run_copies *copies, struct exec_result *result, int stop_fd,
                       struct cj_error *err)
{
    bool failed = false;
    size_t kept = 0;
    for (size_t i = 0; i < result->file_count; i++) {
        struct exec_output file = result->files[i];
        if (deliver_one(copies, &file, stop_fd, &failed, err))
            result->files[kept++] = file;
        else
            exec_output_free(&file);
    }
    result->file_count = kept;
    return failed ? -1 : 0;
}
