/* The run of a command on the host's side, told in order:
 *
 *     copy in, input, pipes ─► start ─► watch ─► finish (everything is dead) ─► collect, copy out ─► decide */
#include "exec/outside.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/io.h"
#include "keep.h"
#include "limit_plan.h"
#include "result.h"
#include "sandbox/outside.h"
#include "status.h"
#include "watch.h"
#include "work_folder.h"

#define CPU_STEP (10 * NS_PER_MS)
#define FLOOD_ROOM                                                                                 \
    (UINT64_C(1) << 20) /* what may come beyond a collector's max before it is a flood */

enum { OUTPUTS = 2 };

/* One that is being run. */
struct job {
    struct sandbox *sandbox;
    unsigned index;
    const struct work_folder *folder;
    const struct exec_settings *settings;
    const struct exec_request *request;
    struct exec_limits limits;
    int input_fd;
    int readers[OUTPUTS], writers[OUTPUTS];
    struct keep kept[OUTPUTS];
    struct outside *outside;
    enum exec_kill_cause killed;
    bool allocation_limited;
    struct container_end end;
};

/* ---- before ---- */

static int look_up(const struct exec_request *request, char path[static PATH_MAX],
                   struct cj_error *err)
{
    const char *name = request->args[0], *search = NULL;
    if (strchr(name, '/') != NULL && strlen(name) < PATH_MAX) {
        memcpy(path, name, strlen(name) + 1);
        return 0;
    }
    for (size_t i = 0; i < request->env_count && search == NULL; i++)
        if (strncmp(request->env[i], "PATH=", 5) == 0)
            search = request->env[i] + 5;
    while (search != NULL && *search != '\0') {
        size_t length = strcspn(search, ":");
        if (snprintf(path, PATH_MAX, "%.*s/%s", (int)length, search, name) < PATH_MAX &&
            access(path, X_OK) == 0)
            return 0;
        search += length + (search[length] == ':');
    }
    return error_set(err, ERROR_REQUEST, ENOENT, "%s is not installed on this host, which runs it",
                     name);
}

/* A file of its own that cannot be written to, whatever user the command becomes. */
static int open_input(const struct exec_file *file, int *fd, struct cj_error *err)
{
    if (file->kind == EXEC_FILE_FD)
        return exec_reopen_input(file->fd, 0, fd, err);
    if (file->kind != EXEC_FILE_CONTENT)
        return error_set(err, ERROR_INTERNAL, EINVAL, "an input that is neither text nor a file");
    if (file->size == 0) {
        *fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        return *fd >= 0 ? 0 : error_errno(err, "open /dev/null");
    }
    auto_fd int made = memfd_create("input", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (made < 0 || write_full(made, file->data, file->size) < 0 || lseek(made, 0, SEEK_SET) < 0 ||
        fcntl(made, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) < 0)
        return error_errno(err, "keep the input");
    *fd = fd_take(&made);
    return 0;
}

static int prepare(struct job *job, struct cj_error *err)
{
    const struct exec_request *request = job->request;
    for (size_t i = 0; i < request->copy_in_count; i++)
        if (work_folder_write(job->folder, request->copy_in[i].name, request->copy_in[i].data,
                              request->copy_in[i].size, err) < 0)
            return error_wrap(err, "copy in");
    if (open_input(&request->files[0], &job->input_fd, err) < 0)
        return -1;
    for (size_t i = 0; i < OUTPUTS; i++) {
        int ends[2];
        if (pipe2(ends, O_CLOEXEC) < 0)
            return error_errno(err, "pipe");
        job->readers[i] = ends[0];
        job->writers[i] = ends[1];
        job->kept[i].max = request->files[i + 1].max;
        if (fcntl(ends[0], F_SETFL, O_NONBLOCK) < 0)
            return error_errno(err, "pipe");
    }
    return 0;
}

/* ---- start ---- */

static const char **terminated(const char *const *list, size_t count)
{
    const char **copy = calloc(count + 1, sizeof(*copy));
    if (copy != NULL && count > 0)
        memcpy(copy, list, count * sizeof(*copy));
    return copy;
}

static int start(struct job *job, struct cj_error *err)
{
    char path[PATH_MAX];
    struct container_run plan = {0};
    job->allocation_limited = exec_limits_apply(
        &job->limits, job->settings, sandbox_facts(job->sandbox)->level != PROTECTION_FULL, &plan);
    plan.rlimit_mask &= ~(1U << CONTAINER_RLIMIT_NPROC); /* it counts all of this user's */
    if (look_up(job->request, path, err) < 0)
        return -1;
    auto_free const char **args = terminated(job->request->args, job->request->arg_count);
    auto_free const char **env = terminated(job->request->env, job->request->env_count);
    if (args == NULL || env == NULL)
        return error_set(err, ERROR_SYSTEM, ENOMEM, "start a command: out of memory");
    struct outside_run run = {
        .path = path,
        .args = args,
        .env = env,
        .folder = work_folder_path(job->folder),
        .descriptors = {job->input_fd, job->writers[0], job->writers[1]},
        .rlimit_mask = plan.rlimit_mask,
        .limits = plan.limits,
    };
    memcpy(run.rlimits, plan.rlimits, sizeof(run.rlimits));
    if (outside_start(job->sandbox, job->index, &run, &job->outside, err) < 0)
        return -1;
    for (size_t i = 0; i < OUTPUTS; i++)
        fd_close(&job->writers[i]);
    return 0;
}

/* ---- the watch ---- */

static void read_output(struct job *job, size_t i)
{
    char chunk[64 * 1024];
    while (job->readers[i] >= 0) {
        ssize_t got = read(job->readers[i], chunk, sizeof(chunk));
        if (got > 0)
            keep_append(&job->kept[i], chunk, (size_t)got);
        else if (got == 0)
            fd_close(&job->readers[i]);
        else if (errno != EINTR)
            return;
        if (job->kept[i].seen > job->kept[i].max + FLOOD_ROOM)
            return;
    }
}

static bool floods(const struct job *job)
{
    for (size_t i = 0; i < OUTPUTS; i++)
        if (job->kept[i].seen > job->kept[i].max + FLOOD_ROOM)
            return true;
    return false;
}

/* What of it there is to be killed for; *next_ns: when to look again. */
static enum exec_kill_cause check_clocks(const struct job *job, int64_t *next_ns)
{
    int64_t now_ns = monotonic_ns();
    int64_t wall_ns = outside_wall_ns(job->outside, now_ns);
    int64_t cpu_ns = outside_cpu_ns(job->outside);
    if (wall_ns > job->limits.wall_ns)
        return KILL_WALL;
    if (cpu_ns > job->limits.cpu_ns)
        return KILL_CPU;
    int64_t wall_at = now_ns + job->limits.wall_ns + 1 - wall_ns;
    *next_ns = watch_cpu_at(now_ns, cpu_ns, job->limits.cpu_ns, job->settings->cpus, CPU_STEP);
    *next_ns = wall_at < *next_ns ? wall_at : *next_ns;
    return KILL_NONE;
}

/* Until its main process has ended, or there is a cause to end it. */
static int watch(struct job *job, int cancel_fd, struct cj_error *err)
{
    for (;;) {
        int64_t next_ns = 0;
        job->killed = check_clocks(job, &next_ns);
        if (job->killed != KILL_NONE)
            return 0;
        struct pollfd fds[] = {
            {.fd = cancel_fd, .events = POLLIN},
            {.fd = outside_fd(job->outside), .events = POLLIN},
            {.fd = job->readers[0], .events = POLLIN},
            {.fd = job->readers[1], .events = POLLIN},
        };
        int64_t now_ns = monotonic_ns();
        struct timespec timeout = timespec_from_ns(next_ns > now_ns ? next_ns - now_ns : 0);
        int ready = ppoll(fds, COUNT_OF(fds), &timeout, NULL);
        if (ready < 0 && errno != EINTR)
            return error_errno(err, "poll");
        if (ready <= 0)
            continue;
        if (fds[0].revents != 0)
            job->killed = KILL_CANCEL;
        else if (fds[1].revents == 0 && floods(job))
            job->killed = KILL_OUTPUT;
        if (job->killed != KILL_NONE || fds[1].revents != 0)
            return 0;
        for (size_t i = 0; i < OUTPUTS; i++)
            if (fds[2 + i].revents != 0)
                read_output(job, i);
    }
}

/* ---- after ---- */

static int copy_out(struct job *job, struct exec_result *result, bool *problem,
                    struct cj_error *err)
{
    const struct exec_request *request = job->request;
    uint64_t most = request->copy_out_max_bytes != 0 ? request->copy_out_max_bytes
                                                     : job->settings->copy_out_max_bytes;
    for (size_t i = 0; i < request->copy_out_count; i++) {
        const char *name = request->copy_out[i].name;
        struct cj_error why = {0};
        auto_fd int fd = -1;
        uint64_t size = 0;
        struct keep keep = {.max = most};
        if (work_folder_open(job->folder, name, &fd, &size, &why) < 0) {
            *problem |= !request->copy_out[i].optional;
            continue;
        }
        if (size > most) {
            *problem = true;
            continue;
        }
        keep_file(&keep, fd, size);
        int done = result_add_file(result, name, &keep, err);
        keep_free(&keep);
        if (done < 0)
            return -1;
    }
    return 0;
}

static int conclude(struct job *job, struct exec_result *result, struct cj_error *err)
{
    struct exec_outcome outcome = {
        .started = true,
        .wait_status = job->end.wait_status,
        .killed = job->killed,
        .cpu_ns = job->end.cpu_ns,
        .cpu_limit_ns = job->limits.cpu_ns,
        .wall_ns = job->end.wall_ns,
        .wall_limit_ns = job->limits.wall_ns,
        .memory_bytes = job->end.memory_bytes,
        .memory_limit_bytes = job->limits.memory_bytes,
        .oom_kills = job->end.oom_kills,
        .allocation_limited = job->allocation_limited,
    };
    for (size_t i = 0; i < OUTPUTS; i++) {
        read_output(job, i); /* whoever wrote is dead: what is there now is all */
        outcome.output_over |= job->kept[i].seen > job->kept[i].max;
        if (result_add_file(result, job->request->files[i + 1].name, &job->kept[i], err) < 0)
            return -1;
    }
    if (copy_out(job, result, &outcome.file_problem, err) < 0)
        return -1;
    struct exec_verdict verdict = exec_decide(&outcome);
    result->status = verdict.status;
    result->exit_status = verdict.exit_status;
    result->cpu_ns = job->end.cpu_ns;
    result->wall_ns = job->end.wall_ns;
    result->memory_bytes = job->end.memory_bytes;
    result->process_peak = job->end.process_peak;
    result->cancelled = job->killed == KILL_CANCEL;
    return 0;
}

static int run(struct job *job, int cancel_fd, struct exec_result *result, struct cj_error *err)
{
    if (prepare(job, err) < 0 || start(job, err) < 0)
        return -1;
    int watched = watch(job, cancel_fd, err);
    if (outside_finish(job->outside, &job->end, watched == 0 ? err : NULL) < 0 || watched < 0)
        return -1;
    return conclude(job, result, err);
}

void exec_run_outside(struct sandbox *sandbox, unsigned index, const struct work_folder *folder,
                      const struct exec_settings *settings, const struct exec_request *request,
                      int cancel_fd, struct exec_result *result)
{
    struct cj_error err = {0};
    struct job job = {
        .sandbox = sandbox,
        .index = index,
        .folder = folder,
        .settings = settings,
        .request = request,
        .limits = exec_limits_with_defaults(request->limits, settings),
        .input_fd = -1,
        .readers = {-1, -1},
        .writers = {-1, -1},
    };
    *result = (struct exec_result){0};
    if (run(&job, cancel_fd, result, &err) < 0) {
        exec_result_free(result);
        result->status = EXEC_INTERNAL_ERROR;
        result_set_error(result, "%s", err.message);
    }
    fd_close(&job.input_fd);
    for (size_t i = 0; i < OUTPUTS; i++) {
        fd_close(&job.readers[i]);
        fd_close(&job.writers[i]);
        keep_free(&job.kept[i]);
    }
}
