/* One run, told in order.
 *
 *     open descriptors ─► copy in ─► start ─► watch ─► finish ─► collect, copy out ─► decide
 *
 * The watch is one poll(2): the end of the run, output and input that can be moved, the caller's
 * cancellation, and a timer set to the first instant at which a limit could be passed. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "copy.h"
#include "errno_text.h"
#include "exec/exec.h"
#include "limits.h"
#include "result.h"
#include "status.h"
#include "streams.h"
#include "watch.h"

#define CPU_STEP       (NS_PER_MS)      /* how often a group's CPU time is worth a look */
#define SCAN_STEP      (5 * NS_PER_MS)  /* ... where /proc has to be read for it */
#define FINISH_TIMEOUT (20 * NS_PER_S)  /* killed processes may have much memory to give back */
#define KILL_AGAIN     (10 * NS_PER_MS) /* a kill that came before the start has reached nobody */

struct run {
    struct container *container;
    const struct exec_settings *settings;
    const struct exec_request *request;
    struct exec_limits limits;
    struct streams *streams;
    struct container_descriptor *descriptors;
    struct pollfd *fds;
    bool without_cgroup;
    bool allocation_limited;
    unsigned cpus;
    int64_t started_ns;
    int64_t cpu_check_ns;
    int64_t settle_ns; /* INT64_MAX once done */
    enum exec_kill_cause killed;
    int64_t killed_ns, kill_again_ns;
};

/* ---- the watch ---- */

static int kill_run(struct run *run, enum exec_kill_cause cause, struct cj_error *err)
{
    run->killed = cause;
    run->killed_ns = monotonic_ns();
    run->kill_again_ns = run->killed_ns + KILL_AGAIN;
    return container_kill(run->container, err);
}

/* Until the end is there: 1. we send EXEC, 2. the janitor kills whatever lives, 3. the launcher takes
 * EXEC and starts the program, which has to be killed, too. */
static int kill_again(struct run *run, int64_t now_ns, struct cj_error *err)
{
    if (now_ns - run->killed_ns > FINISH_TIMEOUT)
        return error_set(err, ERROR_INTERNAL, ETIMEDOUT, "killed processes do not end");
    if (now_ns < run->kill_again_ns)
        return 0;
    run->kill_again_ns = now_ns + KILL_AGAIN;
    return container_kill(run->container, err);
}

/* Looks at the clocks; kills when a limit has been passed. */
static int check_limits(struct run *run, int64_t now_ns, struct cj_error *err)
{
    if (run->killed != KILL_NONE)
        return kill_again(run, now_ns, err);
    if (container_wall_ns(run->container, now_ns) > run->limits.wall_ns)
        return kill_run(run, KILL_WALL, err);
    if (now_ns - run->started_ns > FINISH_TIMEOUT && container_wall_ns(run->container, now_ns) == 0)
        return error_set(err, ERROR_INTERNAL, ETIMEDOUT, "the container's init does not start it");
    if (now_ns >= run->settle_ns) {
        run->settle_ns = INT64_MAX;
        if (container_settle(run->container, err) < 0)
            return -1;
    }
    if (now_ns < run->cpu_check_ns)
        return 0;
    struct container_live seen;
    if (container_look(run->container, &seen, err) < 0)
        return -1;
    if (seen.memory_bytes > run->limits.memory_bytes)
        return kill_run(run, KILL_MEMORY, err);
    int64_t limit_ns = run->limits.cpu_ns + (run->without_cgroup ? 0 : CONTAINER_OWN_CPU_NS);
    if (seen.cpu_ns > limit_ns)
        return kill_run(run, KILL_CPU, err);
    /* Without a group nobody else watches memory: look in short steps. */
    run->cpu_check_ns = run->without_cgroup
                            ? now_ns + SCAN_STEP
                            : watch_cpu_at(now_ns, seen.cpu_ns, limit_ns, run->cpus, CPU_STEP);
    return 0;
}

static int64_t next_look(const struct run *run, int64_t now_ns)
{
    if (run->killed != KILL_NONE)
        return run->kill_again_ns;
    int64_t wall_at = now_ns + run->limits.wall_ns - container_wall_ns(run->container, now_ns) + 1;
    int64_t look_at = wall_at < run->cpu_check_ns ? wall_at : run->cpu_check_ns;
    return look_at < run->settle_ns ? look_at : run->settle_ns;
}

static int watch(struct run *run, int cancel_fd, struct cj_error *err)
{
    enum { END, CANCEL, STREAMS };
    for (;;) {
        int64_t now_ns = monotonic_ns();
        if (check_limits(run, now_ns, err) < 0)
            return -1;
        run->fds[END] = (struct pollfd){.fd = container_run_fd(run->container), .events = POLLIN};
        run->fds[CANCEL] =
            (struct pollfd){.fd = run->killed == KILL_NONE ? cancel_fd : -1, .events = POLLIN};
        size_t streams = streams_poll(run->streams, run->fds + STREAMS);
        int64_t wait_ns = next_look(run, now_ns) - now_ns;
        struct timespec timeout = timespec_from_ns(wait_ns > 0 ? wait_ns : 0);
        int ready = ppoll(run->fds, STREAMS + streams, &timeout, NULL);
        if (ready < 0 && errno != EINTR)
            return error_errno(err, "poll");
        if (ready <= 0)
            continue;
        streams_move(run->streams, run->fds + STREAMS, streams);
        if (run->fds[END].revents != 0)
            return 0;
        if (run->killed == KILL_NONE && streams_flooded(run->streams) &&
            kill_run(run, KILL_OUTPUT, err) < 0)
            return -1;
        if (run->fds[CANCEL].revents != 0 && kill_run(run, KILL_CANCEL, err) < 0)
            return -1;
    }
}

/* ---- the steps ---- */

static int prepare(struct run *run, const char *work_dir, struct cj_error *err)
{
    size_t count = run->request->file_count;
    run->descriptors = calloc(count + 1, sizeof(*run->descriptors));
    run->fds = calloc(2 + STREAMS_POLL_MAX * (count + 1), sizeof(*run->fds));
    if (run->descriptors == NULL || run->fds == NULL)
        return error_set(err, ERROR_SYSTEM, ENOMEM, "prepare a run: out of memory");
    return streams_open(run->container, run->request, work_dir, run->descriptors, &run->streams,
                        err);
}

static int start(struct run *run, struct cj_error *err)
{
    struct container_run spec = {
        .args = run->request->args,
        .arg_count = run->request->arg_count,
        .env = run->request->env,
        .env_count = run->request->env_count,
        .descriptors = run->descriptors,
        .descriptor_count = run->request->file_count,
        .tty = run->request->tty,
    };
    run->allocation_limited =
        exec_limits_apply(&run->limits, run->settings, run->without_cgroup, &spec);
    unsigned cpus = container_cpus(run->container);
    run->cpus = cpus < run->settings->cpus ? cpus : run->settings->cpus;
    if (run->limits.processes < run->cpus)
        run->cpus = (unsigned)run->limits.processes;
    run->started_ns = monotonic_ns();
    run->settle_ns = run->without_cgroup ? INT64_MAX : run->started_ns + CONTAINER_SETTLE_NS;
    run->cpu_check_ns = run->without_cgroup ? run->started_ns + SCAN_STEP
                                            : watch_cpu_at(run->started_ns, 0, run->limits.cpu_ns,
                                                           run->cpus, CPU_STEP);
    if (container_start(run->container, &spec, err) < 0)
        return -1;
    streams_started(run->streams);
    return 0;
}

static void explain_failure(const struct run *run, const struct container_end *end,
                            struct exec_result *result)
{
    const char *name = run->request->args[0];
    switch (end->failure) {
    case CONTAINER_STARTED:
        break;
    case CONTAINER_NO_PATH:
        result_set_error(result, "handle: %s: no PATH environment variable provided for look up",
                         name);
        break;
    case CONTAINER_NOT_FOUND:
        result_set_error(result, "handle: %s: executable file not found in $PATH", name);
        break;
    case CONTAINER_EXEC:
    case CONTAINER_PREPARE:
        result_set_error(result, "start: %s: %s: %s", name, end->step, errno_text(end->error));
        break;
    }
}

/* What follows the end of the program, while its files are still there. */
static int conclude(struct run *run, const char *work_dir, int cancel_fd,
                    struct exec_result *result, struct cj_error *err)
{
    struct container_end end;
    if (container_finish(run->container, FINISH_TIMEOUT, &end, err) < 0)
        return -1;
    streams_finish(run->streams, cancel_fd);
    explain_failure(run, &end, result);
    struct exec_outcome outcome = {
        .started = end.failure == CONTAINER_STARTED,
        .wait_status = end.wait_status,
        .killed = run->killed,
        .cpu_ns = end.cpu_ns,
        .cpu_limit_ns = run->limits.cpu_ns,
        .wall_ns = end.wall_ns,
        .wall_limit_ns = run->limits.wall_ns,
        .memory_bytes = end.memory_bytes,
        .memory_limit_bytes = run->limits.memory_bytes,
        .oom_kills = end.oom_kills,
        .allocation_limited = run->allocation_limited,
    };
    if (streams_collect(run->streams, result, &outcome.output_over, err) < 0 ||
        copy_out_all(run->container, run->request, run->settings, work_dir, run->streams, result,
                     &outcome.file_problem, err) < 0)
        return -1;
    struct exec_verdict verdict = exec_decide(&outcome);
    result->status = verdict.status;
    result->exit_status = verdict.exit_status;
    result->cpu_ns = end.cpu_ns;
    result->wall_ns = end.wall_ns;
    result->memory_bytes = end.memory_bytes;
    result->process_peak = end.process_peak;
    result->cancelled = run->killed == KILL_CANCEL;
    if (verdict.status == EXEC_OUTPUT_LIMIT && outcome.output_over && verdict.exit_status == 0)
        result_set_error(result, "Output Limit Exceeded");
    /* A file that was wanted is only this run's error when nothing worse happened. */
    if (verdict.status != EXEC_FILE_ERROR && verdict.status != EXEC_INTERNAL_ERROR &&
        verdict.status != EXEC_OUTPUT_LIMIT) {
        free(result->error);
        result->error = NULL;
    }
    return 0;
}

static int run_all(struct run *run, int cancel_fd, struct exec_result *result, struct cj_error *err)
{
    const char *work_dir = container_facts(run->container)->work_dir;
    bool copy_failed = false;
    if (prepare(run, work_dir, err) < 0)
        return -1;
    if (copy_in_all(run->container, run->request, work_dir, result, &copy_failed, err) < 0)
        return -1;
    if (copy_failed) {
        result->status = EXEC_FILE_ERROR;
        return 0;
    }
    if (start(run, err) < 0) {
        if (err->domain == ERROR_REQUEST && err->code != 0)
            error_set(err, err->domain, err->code, "start: %s: execve: %s", run->request->args[0],
                      errno_text(err->code));
        return -1;
    }
    if (watch(run, cancel_fd, err) < 0)
        return -1;
    return conclude(run, work_dir, cancel_fd, result, err);
}

void exec_run(struct container *container, const struct exec_settings *settings,
              const struct exec_request *request, int cancel_fd, struct exec_result *result)
{
    struct run run = {
        .container = container,
        .settings = settings,
        .request = request,
        .limits = exec_limits_with_defaults(request->limits, settings),
        .without_cgroup = container_facts(container)->level != PROTECTION_FULL,
    };
    struct cj_error err = {0};
    *result = (struct exec_result){.status = EXEC_INTERNAL_ERROR};
    int done = request->arg_count == 0 ? error_set(&err, ERROR_REQUEST, 0, "args: empty")
                                       : run_all(&run, cancel_fd, result, &err);
    if (done < 0) {
        result->status = EXEC_INTERNAL_ERROR;
        free(result->error);
        result->error = NULL;
        result_set_error(result, "%s", err.message);
    }
    streams_close(run.streams);
    free(run.descriptors);
    free(run.fds);
}
