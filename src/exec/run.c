/* A group's run, told in order; one command is a group of one.
 *
 *     open descriptors, pipes ─► copy in ─► start all ─► watch ─► collect, copy out ─► decide
 *
 * The watch is one poll(2) for the whole group: the ends of the commands, output and input that can be
 * moved, the pipes that are relayed, the caller's cancellation, and a timer set to the first instant at
 * which a limit could be passed. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/priority.h"
#include "base/stages.h"
#include "command.h"
#include "exec/exec.h"
#include "group_check.h"
#include "result.h"

#define NEAR_NS (4 * NS_PER_MS)

/* A group that is being run. */
struct running {
    size_t count;
    struct command *commands;
    struct pipes *pipes;
    struct pollfd *fds;
    size_t pipes_at; /* where the pipes are in the poll set */
    int cancel_fd;
    bool cancelled;
    bool urgent; /* a wall time is about to be over: priority_urge() */
    int nice;    /* before that */
};

/* ---- the watch ---- */

static bool is_running(const struct running *running)
{
    for (size_t i = 0; i < running->count; i++)
        if (running->commands[i].state == COMMAND_RUNNING)
            return true;
    return false;
}

/* Streams of a command that has ended are still moved: its forwards may wait for their reader. */
static bool has_streams(const struct command *command)
{
    return command->state == COMMAND_RUNNING || command->state == COMMAND_ENDED;
}

/* Lays out the poll set: cancellation, each command's end and streams, pipes. Returns its size. *next_ns
 * becomes less when a stream is to be looked at before. */
static size_t fill_poll(struct running *running, int64_t now_ns, int64_t *next_ns)
{
    struct pollfd *fds = running->fds;
    size_t used = 0;
    fds[used++] =
        (struct pollfd){.fd = running->cancelled ? -1 : running->cancel_fd, .events = POLLIN};
    for (size_t i = 0; i < running->count; i++) {
        struct command *command = &running->commands[i];
        if (!has_streams(command))
            continue;
        int end = command->state == COMMAND_RUNNING ? container_run_fd(command->container) : -1;
        command->poll_end = used;
        fds[used++] = (struct pollfd){.fd = end, .events = POLLIN};
        command->poll_streams = streams_poll(command->streams, now_ns, next_ns, fds + used);
        used += command->poll_streams;
    }
    running->pipes_at = used;
    return used + pipes_poll(running->pipes, fds + used);
}

static void serve_poll(struct running *running, size_t used)
{
    const struct pollfd *fds = running->fds;
    for (size_t i = 0; i < running->count; i++)
        command_mark_late(&running->commands[i]);
    pipes_move(running->pipes, fds + running->pipes_at, used - running->pipes_at);
    for (size_t i = 0; i < running->count; i++) {
        struct command *command = &running->commands[i];
        if (!has_streams(command))
            continue;
        streams_move(command->streams, fds + command->poll_end + 1, command->poll_streams);
        if (fds[command->poll_end].revents != 0) {
            command_end(command);
            if (command->state == COMMAND_ENDED)
                streams_ended(command->streams, fds + command->poll_end + 1, command->poll_streams);
            if (command->state != COMMAND_RUNNING)
                pipes_ended(running->pipes, i);
        } else if (streams_flooded(command->streams))
            command_kill(command, KILL_OUTPUT);
    }
    if (fds[0].revents == 0)
        return;
    running->cancelled = true;
    for (size_t i = 0; i < running->count; i++)
        command_kill(&running->commands[i], KILL_CANCEL);
}

static void calm(struct running *running)
{
    if (!running->urgent)
        return;
    running->urgent = false;
    for (size_t i = 0; i < running->count; i++)
        container_calm(running->commands[i].container);
    priority_calm(0, running->nice);
}

/* Looks at all clocks; returns when the next look is due. */
static int64_t check_clocks(struct running *running, int64_t now_ns)
{
    int64_t next_ns = INT64_MAX;
    for (size_t i = 0; i < running->count; i++) {
        struct command *command = &running->commands[i];
        command_check(command, now_ns);
        if (command->state != COMMAND_RUNNING)
            continue;
        int64_t look_ns = command_next_look(command, now_ns);
        next_ns = look_ns < next_ns ? look_ns : next_ns;
    }
    return next_ns;
}

/* A thread that wakes for a limit may have to wait until the program at it has used up its slice: up to 3 ms. So it wakes
 * before, and goes to sleep once more as one that does not wait. */
static void look_ahead(struct running *running, int64_t now_ns, int64_t *next_ns)
{
    int64_t end_ns = INT64_MAX;
    for (size_t i = 0; i < running->count; i++) {
        int64_t wall_ns = command_wall_end(&running->commands[i], now_ns);
        end_ns = wall_ns < end_ns ? wall_ns : end_ns;
    }
    bool near = end_ns != INT64_MAX && end_ns - now_ns <= NEAR_NS;
    if (near && !running->urgent && priority_urge(0, &running->nice)) {
        running->urgent = true;
        for (size_t i = 0; i < running->count; i++)
            container_urge(running->commands[i].container);
    } else if (!near) {
        calm(running);
    }
    if (!near && end_ns != INT64_MAX && *next_ns > end_ns - NEAR_NS)
        *next_ns = end_ns - NEAR_NS;
}

static int watch(struct running *running, struct cj_error *err)
{
    while (is_running(running)) {
        int64_t now_ns = monotonic_ns();
        int64_t next_ns = check_clocks(running, now_ns);
        if (next_ns == INT64_MAX) /* the last one has failed */
            return 0;
        look_ahead(running, now_ns, &next_ns);
        size_t used = fill_poll(running, now_ns, &next_ns);
        struct timespec timeout = timespec_from_ns(next_ns > now_ns ? next_ns - now_ns : 0);
        int ready = ppoll(running->fds, used, &timeout, NULL);
        if (ready < 0 && errno != EINTR)
            return error_errno(err, "poll");
        if (ready > 0)
            serve_poll(running, used);
    }
    return 0;
}

/* ---- the steps ---- */

/* An error here is the whole request's: nothing of it has run. */
static int prepare(struct running *running, const struct exec_group *group, struct cj_error *err)
{
    size_t polled = 1;
    for (size_t i = 0; i < running->count; i++) {
        struct command *command = &running->commands[i];
        if (command_prepare(command, group_descriptor_count(group, i), err) < 0)
            return -1;
        polled += 1 + streams_poll_max(command->request->file_count);
    }
    if (pipes_open(group, running->commands[0].settings->store, &running->pipes, err) < 0)
        return -1;
    for (size_t i = 0; i < running->count; i++)
        pipes_place(running->pipes, i, running->commands[i].descriptors);
    polled += pipes_poll_max(running->pipes);
    running->fds = calloc(polled, sizeof(*running->fds));
    if (running->fds == NULL)
        return error_set(err, ERROR_SYSTEM, ENOMEM, "prepare a run: out of memory");
    return 0;
}

/* All files and all room first: no program waits for a pipe, with its clock running, because of others that have not
 * begun. */
static void start(struct running *running)
{
    for (size_t i = 0; i < running->count; i++)
        command_copy_in(&running->commands[i]);
    for (size_t i = 0; i < running->count; i++)
        command_make_room(&running->commands[i]);
    for (size_t i = 0; i < running->count; i++) {
        if (running->commands[i].state == COMMAND_READY)
            command_start(&running->commands[i]);
        pipes_release(running->pipes, i);
    }
}

static void refuse(struct running *running, const struct cj_error *err)
{
    for (size_t i = 0; i < running->count; i++) {
        command_fail(&running->commands[i], err);
        running->commands[i].result->refused = true;
    }
}

static void run(struct running *running, const struct exec_group *group)
{
    struct cj_error err;
    int64_t at_ns = monotonic_ns();
    if (exec_group_check(group, &err) < 0 || prepare(running, group, &err) < 0) {
        refuse(running, &err);
        return;
    }
    start(running);
    at_ns = stage_since(STAGE_PREPARE, at_ns);
    if (watch(running, &err) < 0)
        for (size_t i = 0; i < running->count; i++)
            if (running->commands[i].state == COMMAND_RUNNING)
                command_fail(&running->commands[i], &err);
    calm(running);
    at_ns = stage_since(STAGE_RUN, at_ns);
    pipes_finish(running->pipes);
    for (size_t i = 0; i < running->count; i++)
        command_conclude(&running->commands[i], running->pipes, running->cancel_fd,
                         running->cancelled);
    stage_since(STAGE_COLLECT, at_ns);
}

void exec_run_group(struct container *const *containers, const struct exec_settings *settings,
                    const struct exec_group *group, int cancel_fd, struct exec_result *results)
{
    struct command one;
    auto_free struct command *more = group->count > 1 ? calloc(group->count, sizeof(*more)) : NULL;
    struct running running = {
        .count = group->count,
        .commands = group->count > 1 ? more : &one,
        .cancel_fd = cancel_fd,
    };
    for (size_t i = 0; i < running.count; i++) {
        results[i] = (struct exec_result){.status = EXEC_INTERNAL_ERROR, .refused = true};
        if (running.commands == NULL)
            result_set_error(&results[i], "out of memory");
        else
            command_init(&running.commands[i], containers[i], settings, &group->commands[i], i,
                         &results[i]);
    }
    if (running.commands == NULL)
        return;
    run(&running, group);
    for (size_t i = 0; i < running.count; i++)
        command_close(&running.commands[i]);
    pipes_close(running.pipes);
    free(running.fds);
}

void exec_run(struct container *container, const struct exec_settings *settings,
              const struct exec_request *request, int cancel_fd, struct exec_result *result)
{
    const struct exec_group group = {.commands = request, .count = 1};
    exec_run_group(&container, settings, &group, cancel_fd, result);
}
