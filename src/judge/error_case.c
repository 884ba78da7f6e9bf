#include "judge/error_case.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fd.h"
#include "base/io.h"
#include "base/json_writer.h"
#include "base/log.h"

void error_case_name(const char *sub_id, size_t size, char name[static ERROR_CASE_NAME_SIZE])
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.";
    size_t used = 0;
    for (size_t i = 0; i < size && used + 4 < ERROR_CASE_NAME_SIZE; i++) {
        char c = sub_id[i];
        if (c != '\0' && strchr(plain, c) != NULL && !(c == '.' && i == 0))
            name[used++] = c;
        else
            used += (size_t)snprintf(name + used, ERROR_CASE_NAME_SIZE - used, "%%%02X",
                                     (unsigned char)c);
    }
    name[used] = '\0';
    if (used == 0)
        snprintf(name, ERROR_CASE_NAME_SIZE, "%%");
}

int error_case_open(const char *folder, int *fd, struct cj_error *err)
{
    char *path = strdup(folder);
    if (path == NULL)
        return error_set(err, ERROR_SYSTEM, ENOMEM, "keep error cases: out of memory");
    for (char *slash = strchr(path + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        (void)mkdir(path, 0777);
        *slash = '/';
    }
    (void)mkdir(path, 0777);
    free(path);
    *fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return *fd >= 0 ? 0 : error_errno(err, "keep error cases in %s", folder);
}

static void write_text(struct json_writer *json, const char *key, const char *text, size_t size)
{
    json_key(json, key);
    if (text != NULL)
        json_string_bytes(json, text, size);
    else
        json_null(json);
}

/* Never through a link: the folder may be one that others can write to. */
static int write_file(int folder_fd, const char *name, const void *data, size_t size)
{
    auto_fd int fd =
        openat(folder_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0666);
    return fd < 0 ? -1 : write_full(fd, data, size);
}

static int write_json(int folder_fd, const char *name, struct buf *text)
{
    int done = buf_check(text, NULL) < 0 ? -1 : write_file(folder_fd, name, text->data, text->size);
    buf_free(text);
    return done;
}

static int write_submission(int folder_fd, const struct error_case *c)
{
    struct buf text = {0};
    struct json_writer json = json_writer_to(&text, JSON_PRETTY);
    json_object_begin(&json);
    write_text(&json, "sub_id", c->sub_id, c->sub_id_size);
    write_text(&json, "type", c->type, strlen(c->type));
    json_key(&json, "options");
    if (c->options != NULL)
        json_raw(&json, c->options, c->options_size);
    else
        json_null(&json);
    write_text(&json, "solution", c->solution, c->solution_size);
    write_text(&json, "input", c->input, c->input_size);
    write_text(&json, "expected_output", c->expected_output, c->expected_size);
    json_object_end(&json);
    return write_json(folder_fd, "submission.json", &text);
}

static int write_result(int folder_fd, const struct error_case *c)
{
    if (c->exception != NULL)
        return write_file(folder_fd, "exception.txt", c->exception, strlen(c->exception));
    struct buf text = {0};
    struct json_writer json = json_writer_to(&text, JSON_PRETTY);
    json_object_begin(&json);
    write_text(&json, "stdout", c->stdout_text, c->stdout_size);
    write_text(&json, "stderr", c->stderr_text, c->stderr_size);
    json_key(&json, "exit_code");
    json_int(&json, c->exit_code);
    json_key(&json, "cost");
    json_double(&json, c->cost_s);
    json_key(&json, "success");
    json_bool(&json, false);
    json_object_end(&json);
    return write_json(folder_fd, "result.json", &text);
}

void error_case_save(int folder_fd, const struct error_case *error_case)
{
    char name[ERROR_CASE_NAME_SIZE];
    error_case_name(error_case->sub_id, error_case->sub_id_size, name);
    bool made = mkdirat(folder_fd, name, 0777) == 0 || errno == EEXIST;
    auto_fd int fd =
        made ? openat(folder_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) : -1;
    if (fd < 0 || write_submission(fd, error_case) < 0 ||
        write_file(fd, "solution.txt", error_case->solution, error_case->solution_size) < 0 ||
        write_result(fd, error_case) < 0)
        log_error("an error case could not be kept", log_text("folder", name),
                  log_text("because", strerrordesc_np(errno)));
}
