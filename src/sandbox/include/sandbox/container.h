/* A container: namespaces, a root of its own and an init, made once, used for one run after another.
 *
 *     container_new ─► [ copy in ─► container_start ─► (poll) ─► container_finish ─► copy out ─►
 *                        container_reset ] * ─► container_free
 *
 * One thread uses a container at a time. Functions that fail with a broken container (init died, or
 * does not answer) leave it to container_reset(), which makes a new one in its place. */
#ifndef CJ_SANDBOX_CONTAINER_H
#define CJ_SANDBOX_CONTAINER_H

#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/attr.h"
#include "base/error.h"
#include "sandbox/cgroup.h"
#include "sandbox/sandbox.h"

struct container;

/* index: distinct among the living containers of the sandbox. cpu: pin the container to this CPU, -1:
 * anywhere. */
WARN_UNUSED int container_new(struct sandbox *sandbox, unsigned index, int cpu,
                              struct container **out, struct cj_error *err);
void container_free(struct container *container);

/* ---- files ---- */

/* Creates path (0777, the run's uid) for writing, and its parents. path: absolute in the container,
 * normalized by the caller; symlinks are not followed. *fd is the caller's. What is written to it is
 * not charged to the run. err->code holds errno. */
WARN_UNUSED int container_open_in(struct container *container, const char *path, int *fd,
                                  struct cj_error *err);

/* A file that was copied in may be left where it is for the next run that wants the same, so that it is copied once. No
 * run can tell, and none that has had it for writing leaves it. Before anything is copied in, each run says what it wants:
 * a file of that key (the same bytes each time; 0: none) at that path. *there: it need not be copied; otherwise what was left
 * is gone. */
WARN_UNUSED int container_want_held(struct container *container, const char *path, uint64_t key,
                                    bool *there, struct cj_error *err);
/* It was copied in: leave it for the next. Done where that is possible, and worth it: not the first time. */
WARN_UNUSED int container_hold(struct container *container, const char *path, uint64_t key,
                               struct cj_error *err);

WARN_UNUSED int container_symlink(struct container *container, const char *path, const char *target,
                                  struct cj_error *err);

/* Opens a regular file for reading, without following symlinks. *not_regular tells why it failed.
 * Only between runs, when nothing lives that could change it. */
WARN_UNUSED int container_open_out(struct container *container, const char *path, int *fd,
                                   bool *not_regular, struct cj_error *err);

/* Opens a directory for reading, likewise. What lies in it is a program's: no link of it is to be followed. */
WARN_UNUSED int container_open_folder(struct container *container, const char *path, int *fd,
                                      struct cj_error *err);

/* "K=V" lines of /.env as they were when the container was made: environment of every program. */
const char *const *container_environment(const struct container *container, size_t *count);

/* ---- a run ---- */

enum container_source {
    CONTAINER_CLOSED, /* the descriptor is closed in the program */
    CONTAINER_PASSED, /* fd: any descriptor of ours; stays ours */
    CONTAINER_EMPTY,  /* an empty file that nobody can write to */
    CONTAINER_OUTPUT, /* fd: 0 or 1, which of the container's own output pipes */
    CONTAINER_MADE,   /* fd: which of the run's made files; those of one number are one open file */
};

struct container_descriptor {
    enum container_source source;
    int fd;
};

enum container_rlimit {
    CONTAINER_RLIMIT_CPU,   /* seconds */
    CONTAINER_RLIMIT_FSIZE, /* bytes, as the next three */
    CONTAINER_RLIMIT_DATA,
    CONTAINER_RLIMIT_STACK,
    CONTAINER_RLIMIT_AS,
    CONTAINER_RLIMIT_NOFILE,
    CONTAINER_RLIMIT_NPROC,
    CONTAINER_RLIMIT_COUNT,
};

enum { CONTAINER_MADE_MAX = 4 };

struct container_run {
    const char *const
        *args; /* at least one; args[0] without '/' is looked up in the work directory,
                              * then in PATH */
    size_t arg_count;
    const char *const *env; /* "K=V"; after those of /.env */
    size_t env_count;
    const struct container_descriptor *descriptors; /* 0, 1, 2, ... */
    size_t descriptor_count;
    unsigned rlimit_mask; /* 1 << enum container_rlimit */
    uint64_t rlimits[CONTAINER_RLIMIT_COUNT];
    struct cgroup_limits limits;
    const cpu_set_t *cpus; /* NULL: as the container */
    bool tty;              /* descriptor 0 becomes the controlling terminal */

    /* Of a program that is an interpreter with its script as args[1]: where it is, absolute, what a look-up of
     * args[0] gives. It may then be forked from one that has started before, which changes nothing that can be
     * seen but the time it takes. Only of those that may be trusted until they come to their script: nothing in
     * args, env or the files that were copied in changes what they do before that. NULL: it always starts cold. */
    const char *warm_program;
    /* With it: modules, with commas, that such an interpreter is to have imported before; NULL: none. */
    const char *warm_preload;
    /* With it: the script is a text file in the work directory itself, and nothing else (an archive). What the interpreter
     * does to find that out it can then have done before, with another text. */
    bool warm_text;

    /* Files in the work directory, owned by the run's uid, that are made for it and taken out again at its
     * end: names without '/', none of which is there. Only where container_makes_files(). */
    const char *made[CONTAINER_MADE_MAX];
    size_t made_count;
};

/* Where a start failed. */
enum container_failure {
    CONTAINER_STARTED,
    CONTAINER_NO_PATH,   /* a bare name, and no PATH in the environment */
    CONTAINER_NOT_FOUND, /* a bare name that is nowhere */
    CONTAINER_EXEC,      /* execve(2) said error */
    CONTAINER_PREPARE,   /* a step before it; step says which */
};

/* What a made file held at the end, whatever became of its name. */
struct container_made {
    uint64_t bytes;
    const char *data; /* all of it, until the container is used again; NULL: fd has it */
    int fd;           /* the container's, until its reset; -1 */
};

struct container_end {
    enum container_failure failure;
    int error;             /* errno of the failure */
    const char *step;      /* static text of the failed step; "" */
    int wait_status;       /* wait(2), of the main process */
    int64_t wall_ns;       /* from the start of the process to its end */
    int64_t cpu_ns;        /* user + system of the whole tree, by the best means there are */
    uint64_t memory_bytes; /* peak of the run; largest process where no cgroup knows better */
    uint64_t process_peak; /* 0: not known */
    uint64_t oom_kills;    /* processes the kernel killed for memory */
    bool memory_is_group;  /* memory_bytes is the whole group's */
    bool
        again; /* it is not the end: nothing of the run has begun yet, but it does now; nothing else is filled in */
    bool warm; /* it began by a fork of a warm interpreter */
    struct container_made made[CONTAINER_MADE_MAX]; /* as the run's */
};

/* Whether runs may name made files: the work directory is a file system of the container's own, and it is
 * fresh. */
bool container_makes_files(const struct container *container);

/* Starts a program. Its end makes container_run_fd() readable. An error here is ours (broken container)
 * or the request's (ERROR_REQUEST: too large, unusable cpu_set); nothing runs then. */
WARN_UNUSED int container_start(struct container *container, const struct container_run *run,
                                struct cj_error *err);
int container_run_fd(const struct container *container);

/* The read end of an output pipe, non-blocking, never at end of file: read until EAGAIN after the end. */
int container_output_fd(const struct container *container, int which);

/* The run has ended, and its pipe has been read until EAGAIN: container_reset() need not look. */
void container_output_emptied(struct container *container, int which);

/* What container_look() may show beyond the final figure: the work of init, which on cgroup v1 lives in
 * the group. */
#define CONTAINER_OWN_CPU_NS INT64_C(1000000)

/* What can be seen of a run while it goes on. */
struct container_live {
    int64_t cpu_ns; /* until now; behind by up to a scheduler tick */
    uint64_t
        memory_bytes; /* without cgroup: what is used at least, files in tmpfs and all; else 0 */
};
WARN_UNUSED int container_look(struct container *container, struct container_live *live,
                               struct cj_error *err);

/* How much its made files hold by now, as far as they are where they were made; 0 of others. The first look at a run asks
 * init; it should have begun by then. Returns 0, or -1: it cannot be seen. */
WARN_UNUSED int container_look_at_made(struct container *container,
                                       uint64_t bytes[static CONTAINER_MADE_MAX]);

/* Before container_start() of a run with that memory limit, and of any other command of its request
 * (cgroup_make_room()). */
WARN_UNUSED int container_make_room(struct container *container, uint64_t memory_bytes,
                                    struct cj_error *err);

/* Keeps the memory limit of a run exact (cgroup_settle()): due container_settle_ns() after container_start(), and then
 * as it says itself; INT64_MAX: not at all. */
int64_t container_settle_ns(const struct container *container);
WARN_UNUSED int container_settle(struct container *container, struct cgroup_settled *settled,
                                 struct cj_error *err);

/* A moment before container_kill(), and after it: the thread of init that kills does not wait for its turn on a CPU
 * meanwhile (priority_urge()). Only of a container that runs. */
void container_urge(struct container *container);
void container_calm(struct container *container);

/* Kills everything of the run; its end follows on container_run_fd(). */
WARN_UNUSED int container_kill(struct container *container, struct cj_error *err);

/* Takes the end of the run (waits for it at most timeout_ns): everything of it is dead and reaped; or, with
 * end->again, the run goes on, and container_run_fd() tells of its end once more. */
WARN_UNUSED int container_finish(struct container *container, int64_t timeout_ns,
                                 struct container_end *end, struct cj_error *err);

/* Fresh state for the next run, off the critical path; replaces the container where that is not
 * possible otherwise. */
WARN_UNUSED int container_reset(struct container *container, struct cj_error *err);

/* Wall time of the run at now_ns (monotonic_ns()); 0 until its process is being started. */
int64_t container_wall_ns(const struct container *container, int64_t now_ns);

/* CPUs that its programs may use at once. */
unsigned container_cpus(const struct container *container);

const struct sandbox_facts *container_facts(const struct container *container);

/* For tests and tools: init's host pid. */
pid_t container_init_pid(const struct container *container);

#endif
