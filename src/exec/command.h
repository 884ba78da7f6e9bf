/* One command of a group, from its descriptors to its status.
 *
 *     prepare ─► copy in ─► start ─► (poll) ─► end ─► conclude
 *
 * Each step that fails for a reason of ours makes the command's result an Internal Error; the caller goes
 * on with the others. */
#ifndef CJ_EXEC_COMMAND_H
#define CJ_EXEC_COMMAND_H

#include "base/attr.h"
#include "exec/exec.h"
#include "pipes.h"
#include "status.h"
#include "streams.h"

enum command_state {
    COMMAND_READY,   /* has not been started */
    COMMAND_RUNNING, /* its end will make container_run_fd() readable */
    COMMAND_ENDED,   /* everything of it is dead, its files are still there */
    COMMAND_DONE,    /* its result says all: it was not started, or something of ours failed */
};

struct command {
    struct container *container;
    const struct exec_settings *settings;
    const struct exec_request *request;
    struct exec_result *result;
    struct outputs outputs;
    size_t index; /* in the group */
    enum command_state state;
    struct exec_limits limits;
    struct streams *streams;
    struct container_descriptor *descriptors;
    size_t descriptor_count;
    bool without_cgroup;
    bool allocation_limited;
    unsigned cpus;
    int64_t started_ns;
    int64_t cpu_check_ns;
    int64_t settle_ns; /* INT64_MAX: not to be done */
    int64_t files_ns;  /* when collector files are looked at; INT64_MAX: never */
    enum exec_kill_cause killed;
    int64_t killed_ns, kill_again_ns;
    struct container_end end;
    size_t poll_end, poll_streams; /* where its end is in the poll set; how many streams follow */
};

/* Fills in what is known; result becomes an empty Internal Error. */
void command_init(struct command *command, struct container *container,
                  const struct exec_settings *settings, const struct exec_request *request,
                  size_t index, struct exec_result *result);

const char *command_work_dir(const struct command *command);

/* Opens its descriptors and makes room for those of pipes: descriptor_count in all. */
WARN_UNUSED int command_prepare(struct command *command, size_t descriptor_count,
                                struct cj_error *err);

/* These leave the command DONE when it cannot run. All of a request's commands take one step, then the next. */
void command_copy_in(struct command *command);
void command_make_room(struct command *command);
void command_start(struct command *command);

/* Looks at the clocks of a running command; kills it when a limit has been passed. */
void command_check(struct command *command, int64_t now_ns);

/* Before streams are moved: once the wall time has passed, what is read may have been written too late. */
void command_mark_late(struct command *command);

/* When command_check() should be called again. */
int64_t command_next_look(const struct command *command, int64_t now_ns);
/* When its wall time is over; INT64_MAX: it is already being ended. */
int64_t command_wall_end(const struct command *command, int64_t now_ns);

/* Kills a running command, once. */
void command_kill(struct command *command, enum exec_kill_cause cause);

/* container_run_fd() of a running command is readable: takes the end and its figures. */
void command_end(struct command *command);

/* Once every command of the group has ended: outputs, status. cancelled: the group was; nothing of it is
 * stored. */
void command_conclude(struct command *command, struct pipes *pipes, int cancel_fd, bool cancelled);

/* Its result says that it failed, and why. */
void command_fail(struct command *command, const struct cj_error *err);

void command_close(struct command *command);

#endif
