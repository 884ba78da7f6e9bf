/* What the files of a container share: its state, and asking its init's janitor. */
#ifndef CJ_SANDBOX_CONTAINER_STATE_H
#define CJ_SANDBOX_CONTAINER_STATE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/attr.h"
#include "base/error.h"
#include "init/protocol.h"
#include "sandbox/container.h"

struct container_warm; /* container_warm.c */

#define CONTAINER_DEATH_TIMEOUT_NS INT64_C(10000000000)

/* The file that stays in the container from one run to the next (container_hold()). */
struct container_held {
    uint64_t key; /* 0: there is none */
    char path[INIT_PATH_MAX];
    bool wanted;         /* by the run that is prepared or goes on */
    uint64_t key_before; /* what was copied in last */
    uint64_t key_lost;   /* runs did something to it: not worth another try */
    bool refused;        /* nothing can be held in this one */
};

struct container {
    struct sandbox *sandbox;
    unsigned index;
    int cpu;
    uint32_t host_id; /* of programs; 0 = none leased */
    pid_t pid;
    pid_t janitor; /* init's thread that kills; 0: not known */
    bool janitor_urged;
    int janitor_nice; /* when it is not */
    int pid_fd;
    int run_fd;
    int exec_fd; /* pipe: EXEC goes */
    int end_fd;  /* pipe: the end of a run comes */
    int files_fd;
    char *arena;
    int outputs[INIT_OUTPUTS]; /* read ends */
    unsigned
        outputs_given; /* bit i: since the last reset something may have been written into it */
    struct cgroup *cgroup;
    struct cgroup *run_cgroup; /* of the run: that, or one of an interpreter's (container_warm.c) */
    unsigned cgroup_generation; /* that init knows of */
    bool cgroup_moved;          /* v1: init is in another group since the last run */
    uint32_t sequence;
    uint32_t arena_used;
    bool running;
    bool broken;
    bool lost; /* with its files: init was killed for the run's memory */
    bool copied_in;
    struct container_held held;
    uint64_t seen_bytes;         /* without cgroup: the most memory that was seen of the run */
    uint64_t limit_bytes;        /* of the run */
    struct cgroup_limits limits; /* of the run, as it was asked for */
    uint32_t dirt;               /* enum init_dirt, of the last run */
    uint32_t made_count;
    int made_fds[INIT_MADE_MAX]; /* what made files of the last run came as descriptors; -1 */
    int made_place;              /* their directory, once it has been looked at; -1 */
    const char *made_names[INIT_MADE_MAX]; /* the caller's, while the run goes on */
    uint64_t made_inodes[INIT_MADE_MAX];
    char *env_text;
    const char **env;
    size_t env_count;
    struct container_warm *warm; /* NULL: no program has been wanted warm yet */
};

/* Init is gone, or not to be trusted any more: container_reset() makes a new container. Always -1, with
 * what in front of err's words. */
int container_break(struct container *container, struct cj_error *err, const char *what);

/* One question to the janitor: fills in magic and sequence, passes pass_fd along (-1: none; it stays the
 * caller's). *got_fd (may be NULL) gets the answer's descriptor or -1. A janitor that does not answer
 * breaks the container; what it could not do is in answer->error. */
WARN_UNUSED int container_ask(struct container *container, struct init_request *request,
                              int pass_fd, struct init_answer *answer, int *got_fd,
                              struct cj_error *err);

/* Always -1: the answer's errno as an ERROR_REQUEST. */
int container_answer_error(const struct init_answer *answer, struct cj_error *err);

/* Whether init, and with it every process of the container, is dead; waits for that. */
bool container_await_death(const struct container *container, int64_t timeout_ns);

/* What was held is not there any more. */
void container_forget_held(struct container *container);

/* Closes what made files of the last run came as descriptors, and their directory. */
void container_forget_made(struct container *container);

/* What init shows while a run goes on. */
static inline struct init_live *container_live_page(const struct container *container)
{
    return (struct init_live *)(void *)(container->arena + INIT_LIVE_OFFSET);
}

#endif
