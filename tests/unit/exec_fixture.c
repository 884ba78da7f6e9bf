/* A sandbox with containers, and requests made of shell scripts, for the executor's live tests. */
#include "exec_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "sandbox/mount_config.h"

static struct sandbox *sandbox;
static struct container *containers[TRIAL_COMMANDS];

static const char *const environment[] = {"PATH=/usr/bin:/bin"};

/* ---- the sandbox ---- */

static int cannot(const struct cj_error *err)
{
    fprintf(stderr, "%s\n", err->message);
    return -1;
}

/* What the executor opens once for a thread is open then. */
static void warm_up(void)
{
    struct trial trial;
    trial_begin(&trial);
    trial_shell(&trial, "true");
    trial_shell(&trial, "true");
    trial_pipe(&trial, 0, 1, 1, 0, true);
    const struct exec_group group = {trial.commands, trial.count, trial.pipes, trial.pipe_count};
    exec_run_group(containers, &trial.settings, &group, -1, trial.results);
    trial_end(&trial);
    struct cj_error err;
    for (size_t i = 0; i < trial.count; i++)
        if (container_reset(containers[i], &err) < 0)
            (void)cannot(&err);
}

int exec_fixture_open(void **state)
{
    (void)state;
    struct mount_config mounts = {0};
    struct cj_error err;
    if (geteuid() != 0)
        return 0;
    signal(SIGPIPE, SIG_IGN);
    if (mount_config_default("size=600m,nr_inodes=4k", &mounts, &err) < 0)
        return cannot(&err);
    const struct sandbox_options options = {
        .mounts = &mounts,
        .cgroup_prefix = "cjudge-exec-test",
        .required = PROTECTION_NO_CGROUP,
        .highest = getenv("EXEC_NO_CGROUP") != NULL ? PROTECTION_NO_CGROUP : PROTECTION_FULL};
    int opened = sandbox_open(&options, &sandbox, &err);
    mount_config_free(&mounts);
    for (unsigned i = 0; opened == 0 && i < TRIAL_COMMANDS; i++)
        opened = container_new(sandbox, i, 0, &containers[i], &err);
    if (opened < 0)
        return cannot(&err);
    warm_up();
    return 0;
}

int exec_fixture_close(void **state)
{
    (void)state;
    for (size_t i = 0; i < TRIAL_COMMANDS; i++)
        container_free(containers[i]);
    sandbox_close(sandbox);
    return 0;
}

bool exec_fixture_missing(void)
{
    return sandbox == NULL;
}

struct container *exec_fixture_container(size_t index)
{
    return containers[index];
}

size_t open_descriptors(void)
{
    size_t count = 0;
    DIR *dir = opendir("/proc/self/fd");
    assert_non_null(dir);
    while (readdir(dir) != NULL)
        count++;
    closedir(dir);
    return count;
}

/* ---- requests ---- */

void trial_begin(struct trial *trial)
{
    memset(trial, 0, sizeof(*trial));
    trial->cancel_fd = -1;
    exec_settings_default(&trial->settings);
}

static struct exec_request *add(struct trial *trial)
{
    size_t i = trial->count++;
    struct exec_file *files = trial->files[i];
    files[0] = (struct exec_file){.kind = EXEC_FILE_CONTENT};
    files[1] = (struct exec_file){.kind = EXEC_FILE_COLLECT, .name = "stdout", .max = 1 << 20};
    files[2] = (struct exec_file){.kind = EXEC_FILE_COLLECT, .name = "stderr", .max = 1 << 20};
    trial->commands[i] = (struct exec_request){
        .args = trial->args[i],
        .env = environment,
        .env_count = COUNT_OF(environment),
        .files = files,
        .file_count = 3,
        .limits = {.cpu_ns = 5 * NS_PER_S,
                   .wall_ns = 10 * NS_PER_S,
                   .memory_bytes = 64 << 20,
                   .processes = 16},
    };
    return &trial->commands[i];
}

static void add_argument(struct exec_request *request, const char **args, const char *argument)
{
    if (argument != NULL)
        args[request->arg_count++] = argument;
}

struct exec_request *trial_shell(struct trial *trial, const char *script)
{
    const char **args = trial->args[trial->count];
    struct exec_request *request = add(trial);
    add_argument(request, args, "/bin/sh");
    add_argument(request, args, "-c");
    add_argument(request, args, script);
    return request;
}

struct exec_request *trial_victim(struct trial *trial, const char *a, const char *b, const char *c)
{
    size_t i = trial->count;
    const char **args = trial->args[i];
    struct exec_request *request = add(trial);
    trial->copy_in[i] = (struct exec_copy_in){
        .name = "victim", .kind = EXEC_COPY_PATH, .data = getenv("EXEC_VICTIM")};
    request->copy_in = &trial->copy_in[i];
    request->copy_in_count = 1;
    add_argument(request, args, "./victim");
    add_argument(request, args, a);
    add_argument(request, args, b);
    add_argument(request, args, c);
    return request;
}

static void leave_open(struct trial *trial, int index, int fd)
{
    struct exec_request *request = &trial->commands[index];
    while (request->file_count <= (size_t)fd)
        trial->files[index][request->file_count++] = (struct exec_file){.kind = EXEC_FILE_CLOSED};
    trial->files[index][fd] = (struct exec_file){.kind = EXEC_FILE_NULL};
}

struct exec_pipe *trial_pipe(struct trial *trial, int writer, int writer_fd, int reader,
                             int reader_fd, bool proxy)
{
    leave_open(trial, writer, writer_fd);
    leave_open(trial, reader, reader_fd);
    struct exec_pipe *pipe = &trial->pipes[trial->pipe_count++];
    *pipe = (struct exec_pipe){
        .writer = {writer, writer_fd}, .reader = {reader, reader_fd}, .proxy = proxy};
    return pipe;
}

void trial_run_beside_others(struct trial *trial)
{
    struct container *const *own = containers + trial->first_container;
    const struct exec_group group = {trial->commands, trial->count, trial->pipes,
                                     trial->pipe_count};
    struct cj_error err;
    int64_t begin_ns = monotonic_ns();
    exec_run_group(own, &trial->settings, &group, trial->cancel_fd, trial->results);
    trial->took_ns = monotonic_ns() - begin_ns;
    for (size_t i = 0; i < trial->count; i++)
        if (container_reset(own[i], &err) < 0)
            fail_msg("%s", err.message);
}

void trial_run(struct trial *trial)
{
    size_t before = open_descriptors();
    trial_run_beside_others(trial);
    assert_int_equal(open_descriptors(), before);
}

void trial_end(struct trial *trial)
{
    for (size_t i = 0; i < trial->count; i++)
        exec_result_free(&trial->results[i]);
}

/* ---- results ---- */

const struct exec_output *find_file(const struct exec_result *result, const char *name)
{
    for (size_t i = 0; i < result->file_count; i++)
        if (strcmp(result->files[i].name, name) == 0)
            return &result->files[i];
    return NULL;
}

void assert_status(const struct exec_result *result, enum exec_status status)
{
    if (result->status == status)
        return;
    const struct exec_output *told = find_file(result, "stderr");
    fail_msg("%s instead of %s: %s (exit %d): %.*s", exec_status_name(result->status),
             exec_status_name(status), result->error != NULL ? result->error : "",
             result->exit_status, told != NULL ? (int)told->size : 0,
             told != NULL && told->data != NULL ? told->data : "");
}

void assert_file(const struct exec_result *result, const char *name, const char *text)
{
    const struct exec_output *file = find_file(result, name);
    if (file == NULL)
        fail_msg("no file %s", name);
    else if (file->size != strlen(text) ||
             (file->size > 0 && memcmp(file->data, text, file->size) != 0))
        fail_msg("%s is \"%.*s\", not \"%s\"", name, (int)file->size, file->data, text);
}
