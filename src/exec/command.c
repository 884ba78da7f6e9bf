/* One command of a group, from its descriptors to its status. */
#include "command.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/fd.h"
#include "copy.h"
#include "errno_text.h"
#include "limit_plan.h"
#include "result.h"
#include "warm_plan.h"
#include "watch.h"

#define CPU_STEP        (NS_PER_MS)      /* how often a group's CPU time is worth a look */
#define SCAN_STEP       (5 * NS_PER_MS)  /* ... where /proc has to be read for it */
#define FILES_STEP      (10 * NS_PER_MS) /* a quick program writes 20 MB meanwhile */
#define FINISH_TIMEOUT  (20 * NS_PER_S)  /* killed processes may have much memory to give back */
#define KILL_AGAIN      (10 * NS_PER_MS) /* a kill that came before the start has reached nobody */
#define RATE_OF_ONE_CPU 1000

/* ---- before ---- */

void command_init(struct command *command, struct container *container,
                  const struct exec_settings *settings, const struct exec_request *request,
                  size_t index, struct exec_result *result)
{
    *command = (struct command){
        .container = container,
        .settings = settings,
        .request = request,
        .result = result,
        .outputs.result = result,
        .index = index,
        .limits = exec_limits_with_defaults(request->limits, settings),
        .without_cgroup = container_facts(container)->level != PROTECTION_FULL,
    };
    *result = (struct exec_result){.status = EXEC_INTERNAL_ERROR};
}

const char *command_work_dir(const struct command *command)
{
    return container_facts(command->container)->work_dir;
}

void command_fail(struct command *command, const struct cj_error *err)
{
    struct exec_result *result = command->result;
    command->state = COMMAND_DONE;
    result->status = EXEC_INTERNAL_ERROR;
    free(result->error);
    result->error = NULL;
    result_set_error(result, "%s", err->message);
}

int command_prepare(struct command *command, size_t descriptor_count, struct cj_error *err)
{
    command->descriptor_count = descriptor_count;
    command->descriptors = calloc(descriptor_count + 1, sizeof(*command->descriptors));
    if (command->descriptors == NULL)
        return error_set(err, ERROR_SYSTEM, ENOMEM, "prepare a run: out of memory");
    if (command->request->copy_out_cached_count > 0 && command->settings->store == NULL)
        return error_set(err, ERROR_REQUEST, 0, "cmd[%zu].copyOutCached: there is no file store",
                         command->index);
    return streams_open(command->container, command->request, command->settings->store,
                        command->descriptors, &command->streams, err);
}

void command_copy_in(struct command *command)
{
    struct cj_error err;
    bool failed = false;
    if (copy_in_all(command, &failed, &err) < 0) {
        command_fail(command, &err);
    } else if (failed) {
        command->result->status = EXEC_FILE_ERROR;
        command->state = COMMAND_DONE;
    }
}

/* ---- the start ---- */

void command_make_room(struct command *command)
{
    struct cj_error err;
    if (command->state == COMMAND_READY &&
        container_make_room(command->container, command->limits.memory_bytes, &err) < 0)
        command_fail(command, &err);
}

/* The CPU that the container is bound to does not count: the request names others, or has a rate that one
 * cannot give. */
static bool wants_other_cpus(const struct command *command)
{
    return command->limits.cpu_set != NULL || command->limits.cpu_rate > RATE_OF_ONE_CPU;
}

/* From now on limits count. */
static void set_clocks(struct command *command)
{
    unsigned cpus =
        wants_other_cpus(command) ? command->settings->cpus : container_cpus(command->container);
    command->cpus = cpus < command->settings->cpus ? cpus : command->settings->cpus;
    if (command->limits.processes < command->cpus)
        command->cpus = (unsigned)command->limits.processes;
    int64_t now_ns = monotonic_ns();
    command->started_ns = now_ns;
    command->settle_ns = INT64_MAX;
    /* init is asked once, and its answer is not to come between a short wall time and its end */
    command->files_ns =
        streams_have_files(command->streams) && command->limits.wall_ns > 4 * FILES_STEP
            ? now_ns + FILES_STEP
            : INT64_MAX;
    command->cpu_check_ns =
        command->without_cgroup
            ? now_ns + SCAN_STEP
            : watch_cpu_at(now_ns, 0, command->limits.cpu_ns, command->cpus, CPU_STEP);
}

/* A start that the request itself made impossible, in go-judge's words. */
static void explain_refusal(const struct command *command, struct cj_error *err)
{
    if (err->domain != ERROR_REQUEST)
        return;
    if (strncmp(err->message, "CPU set", strlen("CPU set")) == 0)
        error_wrap(err, "cgroup: failed to set cpuset limit");
    else if (err->code == E2BIG)
        error_set(err, err->domain, err->code, "start: %s: execve: %s", command->request->args[0],
                  errno_text(err->code));
}

/* Nothing has been written: collectors come back empty, as go-judge's clients are used to. */
static void collect_nothing(struct command *command)
{
    struct cj_error err;
    bool over = false;
    if (streams_collect(command->streams, &command->outputs, &over, &err) < 0 ||
        outputs_store(&command->outputs, &err) < 0)
        command_fail(command, &err);
}

void command_start(struct command *command)
{
    const struct exec_request *request = command->request;
    struct container_run spec = {
        .args = request->args,
        .arg_count = request->arg_count,
        .env = request->env,
        .env_count = request->env_count,
        .descriptors = command->descriptors,
        .descriptor_count = command->descriptor_count,
        .tty = request->tty,
    };
    const char *const *made = streams_made(command->streams, &spec.made_count);
    memcpy(spec.made, made, spec.made_count * sizeof(spec.made[0]));
    size_t env_count;
    char program[WARM_PATH_SIZE], preload[WARM_PRELOAD_SIZE];
    const char *const *env = container_environment(command->container, &env_count);
    if (warm_plan(command->settings->warm, request, env, env_count, program) == WARM_PLAN_YES) {
        spec.warm_program = program;
        spec.warm_text = warm_text(command->settings->warm, request);
        spec.warm_preload = warm_preload(command->settings->warm, request, preload);
    }
    cpu_set_t every;
    memset(&every, 0xff, sizeof(every));
    if (wants_other_cpus(command))
        spec.cpus = &every;
    command->allocation_limited =
        exec_limits_apply(&command->limits, command->settings, command->without_cgroup, &spec);
    set_clocks(command);
    struct cj_error err;
    if (container_start(command->container, &spec, &err) < 0) {
        explain_refusal(command, &err);
        command_fail(command, &err);
        if (err.domain == ERROR_REQUEST)
            collect_nothing(command);
        return;
    }
    int64_t settle_ns = container_settle_ns(command->container);
    if (settle_ns != INT64_MAX)
        command->settle_ns = command->started_ns + settle_ns;
    command->state = COMMAND_RUNNING;
    streams_started(command->streams);
}

/* ---- the watch ---- */

static int kill_now(struct command *command, enum exec_kill_cause cause, struct cj_error *err)
{
    command->killed = cause;
    command->killed_ns = monotonic_ns();
    command->kill_again_ns = command->killed_ns + KILL_AGAIN;
    return container_kill(command->container, err);
}

void command_kill(struct command *command, enum exec_kill_cause cause)
{
    struct cj_error err;
    if (command->state == COMMAND_RUNNING && command->killed == KILL_NONE &&
        kill_now(command, cause, &err) < 0)
        command_fail(command, &err);
}

/* Until the end is there: 1. we send EXEC, 2. the janitor kills whatever lives, 3. the launcher takes
 * EXEC and starts the program, which has to be killed, too. */
static int kill_again(struct command *command, int64_t now_ns, struct cj_error *err)
{
    if (now_ns - command->killed_ns > FINISH_TIMEOUT)
        return error_set(err, ERROR_INTERNAL, ETIMEDOUT, "killed processes do not end");
    if (now_ns < command->kill_again_ns)
        return 0;
    command->kill_again_ns = now_ns + KILL_AGAIN;
    return container_kill(command->container, err);
}

static int check_use(struct command *command, int64_t now_ns, struct cj_error *err)
{
    struct container_live seen;
    if (container_look(command->container, &seen, err) < 0)
        return -1;
    if (seen.memory_bytes > command->limits.memory_bytes)
        return kill_now(command, KILL_MEMORY, err);
    int64_t limit_ns =
        command->limits.cpu_ns + (command->without_cgroup ? 0 : CONTAINER_OWN_CPU_NS);
    if (seen.cpu_ns > limit_ns)
        return kill_now(command, KILL_CPU, err);
    /* Without a group nobody else watches memory: look in short steps. */
    command->cpu_check_ns = command->without_cgroup ? now_ns + SCAN_STEP
                                                    : watch_cpu_at(now_ns, seen.cpu_ns, limit_ns,
                                                                   command->cpus, CPU_STEP);
    return 0;
}

static int settle(struct command *command, int64_t now_ns, struct cj_error *err)
{
    struct cgroup_settled settled;
    if (container_settle(command->container, &settled, err) < 0)
        return -1;
    command->settle_ns = settled.next_ns == INT64_MAX ? INT64_MAX : now_ns + settled.next_ns;
    return settled.over ? kill_now(command, KILL_MEMORY, err) : 0;
}

static int check_files(struct command *command, int64_t now_ns, struct cj_error *err)
{
    command->files_ns = now_ns + FILES_STEP;
    bool begun = container_wall_ns(command->container, now_ns) > 0;
    return begun && streams_files_flooded(command->streams) ? kill_now(command, KILL_OUTPUT, err)
                                                            : 0;
}

static int check(struct command *command, int64_t now_ns, struct cj_error *err)
{
    if (command->killed != KILL_NONE)
        return kill_again(command, now_ns, err);
    int64_t wall_ns = container_wall_ns(command->container, now_ns);
    if (wall_ns > command->limits.wall_ns)
        return kill_now(command, KILL_WALL, err);
    if (now_ns - command->started_ns > FINISH_TIMEOUT && wall_ns == 0)
        return error_set(err, ERROR_INTERNAL, ETIMEDOUT, "the container's init does not start it");
    if (now_ns >= command->settle_ns && settle(command, now_ns, err) < 0)
        return -1;
    if (command->killed == KILL_NONE && now_ns >= command->files_ns &&
        check_files(command, now_ns, err) < 0)
        return -1;
    return command->killed != KILL_NONE || now_ns < command->cpu_check_ns
               ? 0
               : check_use(command, now_ns, err);
}

void command_check(struct command *command, int64_t now_ns)
{
    struct cj_error err;
    if (command->state != COMMAND_RUNNING)
        return;
    if (check(command, now_ns, &err) < 0)
        command_fail(command, &err);
}

int64_t command_wall_end(const struct command *command, int64_t now_ns)
{
    if (command->state != COMMAND_RUNNING || command->killed != KILL_NONE)
        return INT64_MAX;
    return now_ns + command->limits.wall_ns + 1 - container_wall_ns(command->container, now_ns);
}

int64_t command_next_look(const struct command *command, int64_t now_ns)
{
    if (command->killed != KILL_NONE)
        return command->kill_again_ns;
    int64_t wall_at = command_wall_end(command, now_ns);
    int64_t look_at = wall_at < command->cpu_check_ns ? wall_at : command->cpu_check_ns;
    look_at = look_at < command->files_ns ? look_at : command->files_ns;
    return look_at < command->settle_ns ? look_at : command->settle_ns;
}

void command_mark_late(struct command *command)
{
    /* The coarse clock is behind by up to a tick, 10 ms at most, and costs no system call where the exact
     * one does (time(7), vdso(7)). */
    const int64_t tick_ns = 10 * NS_PER_MS;
    if (command->state != COMMAND_RUNNING ||
        container_wall_ns(command->container, clock_ns(CLOCK_MONOTONIC_COARSE) + tick_ns) <=
            command->limits.wall_ns)
        return;
    if (container_wall_ns(command->container, monotonic_ns()) > command->limits.wall_ns)
        streams_mark_late(command->streams);
}

/* ---- after ---- */

/* A process that waited to be the run has not begun within the run's time, such as one that the host had stopped. The
 * program has all of it still. */
static void begin_again(struct command *command)
{
    if (command->killed == KILL_WALL)
        command->killed = KILL_NONE;
    command->started_ns = monotonic_ns();
    streams_unmark_late(command->streams);
}

void command_end(struct command *command)
{
    struct cj_error err;
    if (container_finish(command->container, FINISH_TIMEOUT, &command->end, &err) < 0)
        command_fail(command, &err);
    else if (command->end.again)
        begin_again(command);
    else
        command->state = COMMAND_ENDED;
}

static void explain_failure(const struct command *command)
{
    const struct container_end *end = &command->end;
    struct exec_result *result = command->result;
    const char *name = command->request->args[0];
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

static void decide(struct command *command, struct exec_outcome *outcome)
{
    const struct container_end *end = &command->end;
    struct exec_result *result = command->result;
    outcome->started = end->failure == CONTAINER_STARTED;
    outcome->wait_status = end->wait_status;
    outcome->killed = command->killed;
    outcome->cpu_ns = end->cpu_ns;
    outcome->cpu_limit_ns = command->limits.cpu_ns;
    outcome->wall_ns = end->wall_ns;
    outcome->wall_limit_ns = command->limits.wall_ns;
    outcome->memory_bytes = end->memory_bytes;
    outcome->memory_limit_bytes = command->limits.memory_bytes;
    outcome->oom_kills = end->oom_kills;
    outcome->allocation_limited = command->allocation_limited;
    outcome->stack_limited = command->limits.stack_bytes >= outcome->memory_limit_bytes;
    struct exec_verdict verdict = exec_decide(outcome);
    result->status = verdict.status;
    result->exit_status = verdict.exit_status;
    result->cpu_ns = end->cpu_ns;
    result->wall_ns = end->wall_ns;
    result->memory_bytes = exec_memory_figure(outcome, command->settings->extra_memory_bytes);
    result->process_peak = end->process_peak;
    result->warm = end->warm;
    result->cancelled = command->killed == KILL_CANCEL;
    if (verdict.status == EXEC_OUTPUT_LIMIT && outcome->output_over && verdict.exit_status == 0) {
        free_pointer(&result->error); /* a missing file comes second */
        result_set_error(result, "Output Limit Exceeded");
    }
    /* A file that was wanted is only this run's error when nothing worse happened. */
    if (verdict.status != EXEC_FILE_ERROR && verdict.status != EXEC_INTERNAL_ERROR &&
        verdict.status != EXEC_OUTPUT_LIMIT)
        free_pointer(&result->error);
}

static int conclude(struct command *command, struct pipes *pipes, int cancel_fd, bool cancelled,
                    struct cj_error *err)
{
    struct exec_outcome outcome = {0};
    struct outputs *outputs = &command->outputs;
    streams_finish(command->streams, cancel_fd, command->settings->forward_grace_ns);
    if (command->end.wall_ns > command->limits.wall_ns)
        streams_cut_late(command->streams);
    explain_failure(command);
    streams_take_made(command->streams, command->end.made);
    if (streams_collect(command->streams, outputs, &outcome.output_over, err) < 0 ||
        pipes_collect(pipes, command->index, outputs, err) < 0 ||
        copy_out_all(command, pipes, err) < 0)
        return -1;
    outcome.file_problem = outputs->problem;
    decide(command, &outcome);
    return cancelled ? 0 : outputs_store(outputs, err);
}

void command_conclude(struct command *command, struct pipes *pipes, int cancel_fd, bool cancelled)
{
    struct cj_error err;
    if (command->state != COMMAND_ENDED)
        return;
    if (conclude(command, pipes, cancel_fd, cancelled, &err) < 0)
        command_fail(command, &err);
    command->state = COMMAND_DONE;
}

void command_close(struct command *command)
{
    streams_close(command->streams);
    command->streams = NULL;
    outputs_free(&command->outputs);
    free_pointer(&command->descriptors);
}
