/* What can be said of a group without running it. Pure. */
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/fd.h"
#include "exec/exec.h"
#include "group_check.h"

/* Which pipe a descriptor belongs to: number + 1; 0: none. */
typedef unsigned taken_by[EXEC_DESCRIPTORS_MAX];

size_t group_descriptor_count(const struct exec_group *group, size_t index)
{
    size_t count = group->commands[index].file_count;
    for (size_t i = 0; group->count > 1 && i < group->pipe_count; i++) {
        const struct exec_pipe_end *ends[] = {&group->pipes[i].writer, &group->pipes[i].reader};
        for (size_t k = 0; k < COUNT_OF(ends); k++)
            if ((size_t)ends[k]->index == index && (size_t)ends[k]->fd >= count)
                count = (size_t)ends[k]->fd + 1;
    }
    return count;
}

static bool is_typed(const struct exec_file *file)
{
    return file->kind == EXEC_FILE_CONTENT || file->kind == EXEC_FILE_FEED;
}

static int check_command(const struct exec_request *command, size_t index, struct cj_error *err)
{
    if (command->arg_count == 0)
        return error_set(err, ERROR_REQUEST, 0, "cmd[%zu].args: empty", index);
    if (command->file_count > EXEC_DESCRIPTORS_MAX)
        return error_set(err, ERROR_REQUEST, 0,
                         "cmd[%zu].files: %zu of them, at most %d are possible", index,
                         command->file_count, EXEC_DESCRIPTORS_MAX);
    bool typed = false;
    for (size_t i = 0; command->tty && i < command->file_count; i++) {
        if (!is_typed(&command->files[i]))
            continue;
        if (typed)
            return error_set(err, ERROR_REQUEST, 0,
                             "cmd[%zu].files[%zu]: tty: multiple input not allowed", index, i);
        typed = true;
    }
    return 0;
}

/* side: what go-judge's request calls this end. */
static int check_end(const struct exec_group *group, size_t pipe, const struct exec_pipe_end *end,
                     const char *side, taken_by *taken, struct cj_error *err)
{
    if (end->index < 0 || (uint64_t)end->index >= group->count)
        return error_set(err, ERROR_REQUEST, 0,
                         "pipeMapping[%zu].%s.index: %" PRId64
                         " is out of range: there are %zu commands",
                         pipe, side, end->index, group->count);
    if (end->fd < 0 || end->fd >= EXEC_DESCRIPTORS_MAX)
        return error_set(err, ERROR_REQUEST, 0,
                         "pipeMapping[%zu].%s.fd: %" PRId64
                         " is out of range: 0 to %d are possible",
                         pipe, side, end->fd, EXEC_DESCRIPTORS_MAX - 1);
    const struct exec_request *command = &group->commands[end->index];
    if ((uint64_t)end->fd < command->file_count && command->files[end->fd].kind != EXEC_FILE_NULL)
        return error_set(err, ERROR_REQUEST, 0,
                         "pipeMapping[%zu].%s: cmd[%" PRId64 "].files[%" PRId64 "] is not null",
                         pipe, side, end->index, end->fd);
    unsigned *by = &taken[end->index][end->fd];
    if (*by != 0)
        return error_set(err, ERROR_REQUEST, 0,
                         "pipeMapping[%zu].%s: cmd[%" PRId64 "].files[%" PRId64
                         "] belongs to pipeMapping[%u] already",
                         pipe, side, end->index, end->fd, *by - 1);
    *by = (unsigned)pipe + 1;
    return 0;
}

static int check_pipes(const struct exec_group *group, taken_by *taken, struct cj_error *err)
{
    for (size_t i = 0; i < group->pipe_count; i++)
        if (check_end(group, i, &group->pipes[i].writer, "in", taken, err) < 0 ||
            check_end(group, i, &group->pipes[i].reader, "out", taken, err) < 0)
            return -1;
    return 0;
}

/* taken: NULL when pipes do not count. */
static int check_covered(const struct exec_group *group, const taken_by *taken,
                         struct cj_error *err)
{
    for (size_t i = 0; i < group->count; i++) {
        const struct exec_request *command = &group->commands[i];
        size_t count = group_descriptor_count(group, i);
        for (size_t fd = 0; fd < count; fd++) {
            if (fd < command->file_count && command->files[fd].kind != EXEC_FILE_NULL)
                continue;
            if (taken == NULL || taken[i][fd] == 0)
                return error_set(err, ERROR_REQUEST, 0,
                                 "cmd[%zu].files[%zu]: %s, and no pipe covers it", i, fd,
                                 fd < command->file_count ? "null" : "missing");
        }
    }
    return 0;
}

int exec_group_check(const struct exec_group *group, struct cj_error *err)
{
    if (group->count == 0)
        return error_set(err, ERROR_REQUEST, 0, "no cmd provided");
    if (group->count > EXEC_GROUP_MAX)
        return error_set(err, ERROR_REQUEST, 0, "cmd: %zu of them, at most %d can run together",
                         group->count, EXEC_GROUP_MAX);
    for (size_t i = 0; i < group->count; i++)
        if (check_command(&group->commands[i], i, err) < 0)
            return -1;
    if (group->count == 1) /* go-judge does not look at its pipes */
        return check_covered(group, NULL, err);
    auto_free taken_by *taken = calloc(group->count, sizeof(*taken));
    if (taken == NULL)
        return error_set(err, ERROR_SYSTEM, ENOMEM, "check a group: out of memory");
    if (check_pipes(group, taken, err) < 0)
        return -1;
    return check_covered(group, (const taken_by *)taken, err);
}
