/* A request as exec takes it. */
#include "rest_plan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "src_path.h"

struct rest_plan {
    struct exec_group group;
    struct exec_request *commands;
    struct exec_pipe *pipes;
    struct exec_file *files; /* of all commands, one behind the other; so with copy_in */
    struct exec_copy_in *copy_in;
    int *fds; /* ours, to be closed */
    size_t fd_count;
};

/* ---- what needs no host ---- */

static int64_t clamp_ns(uint64_t ns)
{
    return ns > INT64_MAX ? INT64_MAX : (int64_t)ns;
}

static struct exec_limits limits_of(const struct rest_command *command, bool cpu_rate)
{
    return (struct exec_limits){
        .cpu_ns = clamp_ns(command->cpu_ns),
        .wall_ns = clamp_ns(command->wall_ns),
        .memory_bytes = command->memory_bytes,
        .processes = command->processes,
        .stack_bytes = command->stack_bytes,
        .data_segment = command->data_segment,
        .address_space = command->address_space,
        .cpu_rate = cpu_rate ? command->cpu_rate : 0,
        .cpu_set = command->cpu_set,
    };
}

static struct exec_file file_of(const struct rest_file *file)
{
    struct exec_file out = {.fd = -1, .data = file->text.data, .size = file->text.size};
    switch (file->kind) {
    case REST_FILE_NULL:
    case REST_FILE_SYMLINK: /* never among the descriptors */
        out.kind = EXEC_FILE_NULL;
        break;
    case REST_FILE_CONTENT:
        out.kind = EXEC_FILE_CONTENT;
        break;
    case REST_FILE_SRC:
    case REST_FILE_ID:
        out.kind = EXEC_FILE_FD;
        break;
    case REST_FILE_COLLECTOR:
        out.kind = file->pipe ? EXEC_FILE_COLLECT : EXEC_FILE_COLLECT_FILE;
        out.name = file->text.data;
        out.max = file->max;
        out.below_zero = file->below_zero;
        break;
    }
    return out;
}

static struct exec_copy_in copy_in_of(const struct rest_copy_in *item)
{
    struct exec_copy_in out = {
        .name = item->name, .data = item->file.text.data, .size = item->file.text.size, .fd = -1};
    switch (item->file.kind) {
    case REST_FILE_SYMLINK:
        out.kind = EXEC_COPY_SYMLINK;
        break;
    case REST_FILE_CONTENT:
        out.kind = EXEC_COPY_CONTENT;
        break;
    case REST_FILE_ID:
        out.kind = EXEC_COPY_FD;
        break;
    case REST_FILE_SRC: /* a file that is missing is a File Error of the run */
        out.kind = EXEC_COPY_PATH;
        break;
    case REST_FILE_NULL: /* never in copyIn */
    case REST_FILE_COLLECTOR:
        out.kind = EXEC_COPY_COLLECTOR;
        break;
    }
    return out;
}

static void fill_command(const struct rest_command *from, const struct rest_sources *sources,
                         struct exec_file *files, struct exec_copy_in *copy_in,
                         struct exec_request *to)
{
    for (size_t i = 0; i < from->file_count; i++)
        files[i] = file_of(&from->files[i]);
    for (size_t i = 0; i < from->copy_in_count; i++)
        copy_in[i] = copy_in_of(&from->copy_in[i]);
    *to = (struct exec_request){
        .args = from->args,
        .arg_count = from->arg_count,
        .env = from->env,
        .env_count = from->env_count,
        .files = files,
        .file_count = from->file_count,
        .copy_in = copy_in,
        .copy_in_count = from->copy_in_count,
        .copy_out = from->copy_out,
        .copy_out_count = from->copy_out_count,
        .copy_out_cached = from->copy_out_cached,
        .copy_out_cached_count = from->copy_out_cached_count,
        .copy_out_max_bytes = from->copy_out_max_bytes,
        .copy_out_truncate = from->copy_out_truncate,
        .limits = limits_of(from, sources->cpu_rate),
        .tty = from->tty,
        .cold = from->warm == REST_WARM_NEVER,
    };
}

static struct exec_pipe pipe_of(const struct rest_pipe *pipe)
{
    return (struct exec_pipe){
        .writer = {.index = pipe->in.index, .fd = pipe->in.fd},
        .reader = {.index = pipe->out.index, .fd = pipe->out.fd},
        .proxy = pipe->proxy,
        .name = pipe->name,
        .max = pipe->max,
        .copy = pipe->disable_zero_copy,
    };
}

static int allocate(const struct rest_request *request, struct rest_plan *plan)
{
    size_t files = 0;
    size_t copies = 0;
    for (size_t i = 0; i < request->command_count; i++) {
        files += request->commands[i].file_count;
        copies += request->commands[i].copy_in_count;
    }
    plan->commands = calloc(request->command_count + 1, sizeof(*plan->commands));
    plan->pipes = calloc(request->pipe_count + 1, sizeof(*plan->pipes));
    plan->files = calloc(files + 1, sizeof(*plan->files));
    plan->copy_in = calloc(copies + 1, sizeof(*plan->copy_in));
    plan->fds = calloc(files + copies + 1, sizeof(*plan->fds));
    return plan->commands && plan->pipes && plan->files && plan->copy_in && plan->fds ? 0 : -1;
}

static void fill(const struct rest_request *request, const struct rest_sources *sources,
                 struct rest_plan *plan)
{
    struct exec_file *files = plan->files;
    struct exec_copy_in *copy_in = plan->copy_in;
    for (size_t i = 0; i < request->command_count; i++) {
        fill_command(&request->commands[i], sources, files, copy_in, &plan->commands[i]);
        files += request->commands[i].file_count;
        copy_in += request->commands[i].copy_in_count;
    }
    for (size_t i = 0; i < request->pipe_count; i++)
        plan->pipes[i] = pipe_of(&request->pipes[i]);
    plan->group = (struct exec_group){
        .commands = plan->commands,
        .count = request->command_count,
        .pipes = plan->pipes,
        .pipe_count = request->pipe_count,
    };
}

/* ---- opening ---- */

static int open_stored(const struct rest_sources *sources, const char *id, int *fd,
                       struct cj_error *err)
{
    auto_store_file struct store_file file = {.fd = -1};
    struct cj_error why = {0};
    if (store_get(sources->store, id, &file, &why) < 0) {
        if (why.code == ENOENT)
            return error_set(err, ERROR_REQUEST, ENOENT, "file does not exists with id: \"%s\"",
                             id);
        *err = why;
        return -1;
    }
    *fd = fd_take(&file.fd);
    return 0;
}

/* Opens what file names, when it names anything. *fd is the plan's. */
static int open_file(struct rest_plan *plan, const struct rest_sources *sources,
                     const struct rest_file *file, bool copy_in, int *fd, struct cj_error *err)
{
    int result = 0;
    if (file->kind == REST_FILE_ID)
        result = open_stored(sources, file->text.data, fd, err);
    else if (file->kind == REST_FILE_SRC && copy_in)
        result = src_path_open_copy(&sources->src_prefixes, file->text.data, fd, err);
    else if (file->kind == REST_FILE_SRC)
        result = src_path_open_input(&sources->src_prefixes, file->text.data, fd, err);
    if (result == 0 && *fd >= 0)
        plan->fds[plan->fd_count++] = *fd;
    return result;
}

static const char *field_of(const struct rest_file *file)
{
    return file->kind == REST_FILE_ID ? "fileId" : "src";
}

static int open_copy_in(struct rest_plan *plan, const struct rest_sources *sources, size_t index,
                        const struct rest_copy_in *from, struct exec_copy_in *to,
                        struct cj_error *err)
{
    /* Without prefixes a path is the run's to open: what is missing then is a File Error. */
    if (from->file.kind == REST_FILE_SRC && sources->src_prefixes.count == 0)
        return 0;
    if (open_file(plan, sources, &from->file, true, &to->fd, err) < 0)
        return error_wrap(err, "cmd[%zu].copyIn.%s.%s", index, from->name, field_of(&from->file));
    if (to->fd >= 0)
        to->kind = EXEC_COPY_FD;
    return 0;
}

static int open_all(const struct rest_request *request, const struct rest_sources *sources,
                    struct rest_plan *plan, struct cj_error *err)
{
    struct exec_file *file = plan->files;
    struct exec_copy_in *copy_in = plan->copy_in;
    for (size_t i = 0; i < request->command_count; i++) {
        const struct rest_command *command = &request->commands[i];
        for (size_t k = 0; k < command->file_count; k++, file++)
            if (open_file(plan, sources, &command->files[k], false, &file->fd, err) < 0)
                return error_wrap(err, "cmd[%zu].files[%zu].%s", i, k,
                                  field_of(&command->files[k]));
        for (size_t k = 0; k < command->copy_in_count; k++, copy_in++)
            if (open_copy_in(plan, sources, i, &command->copy_in[k], copy_in, err) < 0)
                return -1;
    }
    return 0;
}

/* ---- public ---- */

int rest_plan_new(const struct rest_request *request, const struct rest_sources *sources,
                  struct rest_plan **out, struct cj_error *err)
{
    struct rest_plan *plan = calloc(1, sizeof(*plan));
    if (plan == NULL || allocate(request, plan) < 0) {
        rest_plan_free(plan);
        return error_set(err, ERROR_SYSTEM, ENOMEM, "prepare a request: out of memory");
    }
    fill(request, sources, plan);
    if (exec_group_check(&plan->group, err) < 0 || open_all(request, sources, plan, err) < 0) {
        rest_plan_free(plan);
        return -1;
    }
    *out = plan;
    return 0;
}

const struct exec_group *rest_plan_group(const struct rest_plan *plan)
{
    return &plan->group;
}

void rest_plan_default_cpus(struct rest_plan *plan, const char *cpu_set)
{
    for (size_t i = 0; cpu_set != NULL && i < plan->group.count; i++)
        if (plan->commands[i].limits.cpu_set == NULL)
            plan->commands[i].limits.cpu_set = cpu_set;
}

void rest_plan_free(struct rest_plan *plan)
{
    if (plan == NULL)
        return;
    for (size_t i = 0; i < plan->fd_count; i++)
        close(plan->fds[i]);
    free(plan->commands);
    free(plan->pipes);
    free(plan->files);
    free(plan->copy_in);
    free(plan->fds);
    free(plan);
}

static bool waits_for(const struct rest_file *file, bool stored_are_copied)
{
    return file->kind == REST_FILE_SRC || (file->kind == REST_FILE_ID && stored_are_copied);
}

bool rest_plan_may_wait(const struct rest_request *request, const struct rest_sources *sources)
{
    bool copied = !store_facts(sources->store)->guarded;
    for (size_t i = 0; i < request->command_count; i++) {
        const struct rest_command *command = &request->commands[i];
        for (size_t k = 0; k < command->file_count; k++)
            if (waits_for(&command->files[k], copied))
                return true;
        for (size_t k = 0; k < command->copy_in_count; k++)
            if (waits_for(&command->copy_in[k].file, copied))
                return true;
    }
    return false;
}
