/* Runs commands, one or a group joined by pipes: descriptors, copy in, limits, collectors, copy out,
 * status.
 *
 * The caller has containers (sandbox/container.h), fills a request for each, and gets results that answer
 * every outcome: what goes wrong inside is a status of a result, never a lost call. When the answer
 * has been given, the caller makes the containers fresh with container_reset(). Nothing here knows
 * which door a request came through. SIGPIPE has to be ignored in the calling process.
 *
 * The words and numbers are go-judge's (its REST results and gRPC enum), which the doors pass on. */
#ifndef CJ_EXEC_EXEC_H
#define CJ_EXEC_EXEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/error.h"
#include "sandbox/container.h"

/* ---- what is wanted ---- */

struct stat;  /* sys/stat.h */
struct store; /* store/store.h */

enum exec_file_kind {
    EXEC_FILE_CLOSED,  /* the descriptor is closed */
    EXEC_FILE_CONTENT, /* data, size: read-only input; size 0 is cheapest */
    EXEC_FILE_FD,      /* fd: handed to the program as it is. Safe only when it comes from
                             * exec_open_input() or is a pipe end made for this */
    EXEC_FILE_FEED,    /* fd: read by us and fed through a pipe (terminals, pipes of the host) */
    EXEC_FILE_COLLECT, /* name, max: output collected through a pipe */
    EXEC_FILE_COLLECT_FILE, /* name, max: output written to the file `name` in the container */
    EXEC_FILE_FORWARD,      /* fd, max: output passed on to fd while it comes */
    EXEC_FILE_NULL,         /* left open for a pipe of the group: exec_group_check() */
};

/* With tty, descriptors of these kinds are the run's terminal instead (go-judge's rules): CONTENT and
 * FEED, of which there may be one, are typed into it, without an end-of-file character at the end; the
 * first COLLECT, COLLECT_FILE or FORWARD gets all that it shows; later ones are it, but collect nothing. */
struct exec_file {
    enum exec_file_kind kind;
    int fd; /* stays the caller's. Programs that are to have an offset of their own get a descriptor
             * that was opened for each: exec_reopen_input() */
    const char *data;
    size_t size;
    const char
        *name;    /* two descriptors with one name are one collector; the first one's max counts */
    uint64_t max; /* bytes that come back at most; more was written: Output Limit Exceeded */
    bool below_zero; /* collectors: a max below 0, which even no output at all is above */
};

enum exec_copy_kind {
    EXEC_COPY_CONTENT,
    EXEC_COPY_FD,
    EXEC_COPY_PATH,
    EXEC_COPY_SYMLINK,
    EXEC_COPY_COLLECTOR, /* no source, but can be named as one in go-judge: File Error of the run */
};

struct exec_copy_in {
    const char *name; /* in the container; relative to the work directory */
    enum exec_copy_kind kind;
    const char *data; /* CONTENT: bytes; PATH: host path; SYMLINK: what the link says */
    size_t size;
    int fd; /* FD: read from offset 0; stays the caller's */
    /* CONTENT: not 0: whoever has this key has these bytes, so that what one run got is left for the next if that wants
     * the same (container_hold()). One of a request. */
    uint64_t hold_key;
};

struct exec_copy_out {
    const char *name;
    bool optional; /* absent, or nothing that can be copied: no error */
};

/* Limits. 0 in cpu_ns, memory_bytes, processes, file_size_bytes, open_files: the default of the
 * settings (a run is never without); wall_ns 0: 2 x cpu + 1 s; stack_bytes 0: the service's own. */
struct exec_limits {
    int64_t cpu_ns;
    int64_t wall_ns;
    uint64_t memory_bytes;
    uint64_t processes; /* and threads */
    uint64_t stack_bytes;
    uint64_t file_size_bytes;
    uint64_t open_files;
    bool data_segment;   /* RLIMIT_DATA = memory */
    bool address_space;  /* RLIMIT_AS = memory */
    uint64_t cpu_rate;   /* 1/1000 CPU; above 1000: not bound to the container's CPU; 0: none */
    const char *cpu_set; /* cpuset list; NULL: the container's */
};

/* Interpreters that may be kept warm (sandbox/container.h, warm_program), and where they are looked for in the
 * container: one entry for each directory. A directory without an entry is not known. */
struct exec_warm_place {
    const char *name;      /* "python3" */
    const char *directory; /* absolute, "/usr/bin" */
    bool present;
};

struct exec_warm {
    const struct exec_warm_place *places;
    size_t count;
    const char *work_dir; /* of programs, absolute */
    const char *preload; /* modules that an interpreter may import ahead, with commas; NULL: none */
};

struct exec_settings {
    struct exec_limits defaults;
    uint64_t extra_memory_bytes; /* added to the enforced memory limit */
    uint64_t copy_out_max_bytes; /* when a request says none */
    int64_t cpu_period_ns;       /* of cpu_rate */
    unsigned cpus;               /* CPUs that one run can keep busy; 0: found */
    int64_t forward_grace_ns;    /* after the end: how long a FORWARD may stand still before what is
                                  * left is dropped (Internal Error); 0: for ever */
    struct store *store;         /* takes copy_out_cached; NULL: there is none */
    const struct exec_warm *warm; /* NULL: every program starts cold */
};

/* Defaults that work: decisions.md 2. */
void exec_settings_default(struct exec_settings *settings);

/* Limits as they will be enforced: absent values replaced by the settings' defaults. */
struct exec_limits exec_limits_with_defaults(struct exec_limits asked,
                                             const struct exec_settings *settings);

struct exec_request {
    const char *const *args;
    size_t arg_count;
    const char *const *env;
    size_t env_count;
    const struct exec_file *files; /* descriptors 0, 1, 2, ... */
    size_t file_count;
    const struct exec_copy_in *copy_in;
    size_t copy_in_count;
    const struct exec_copy_out *copy_out;
    size_t copy_out_count;
    /* The same, into the store. What is named here and is a collector's or a captured pipe's goes there
     * instead of into the result; a name in both lists, too. */
    const struct exec_copy_out *copy_out_cached;
    size_t copy_out_cached_count;
    uint64_t copy_out_max_bytes; /* per file; 0: the settings' */
    bool copy_out_truncate;
    struct exec_limits limits;
    bool tty;  /* a terminal of its own, controlling through descriptor 0 */
    bool cold; /* no warm interpreter, whatever the settings say */
};

/* ---- groups ---- */

enum {
    EXEC_GROUP_MAX = 128,       /* commands */
    EXEC_DESCRIPTORS_MAX = 250, /* of one command, those of pipes included */
};

/* As the request says it, so that what is out of range can be named. */
struct exec_pipe_end {
    int64_t index; /* of the command */
    int64_t fd;
};

/* Output of one command as input of another. */
struct exec_pipe {
    struct exec_pipe_end writer; /* go-judge's "in" */
    struct exec_pipe_end reader; /* "out" */
    bool proxy;       /* relayed: when the reader leaves, the writer goes on and is drained */
    const char *name; /* proxy: what passed comes back under this name, in the writer's result; NULL
                       * or "": it does not */
    uint64_t max;     /* bytes of it that come back; what is more is cut without an error */
    bool copy;        /* proxy: relay by read and write, never by splice ("disableZeroCopy") */
};

/* Commands that run at the same time, each in a container of its own. Nothing joins them but the pipes:
 * when one ends, the others go on until they end themselves. */
struct exec_group {
    const struct exec_request *commands;
    size_t count;
    const struct exec_pipe *pipes; /* ignored when there is one command */
    size_t pipe_count;
};

/* What can be said of a group without running it (decision 9): no arguments, a NULL or missing descriptor that
 * no pipe covers, a pipe's index or descriptor out of range or taken, too many descriptors, two inputs
 * of a terminal. err is ERROR_REQUEST and names the field in go-judge's words: "pipeMapping[0].in.index:
 * 9 is out of range: there are 2 commands". Pure. (What C strings cannot hold, such as a NUL in a name, is
 * for the door to refuse.) */
WARN_UNUSED int exec_group_check(const struct exec_group *group, struct cj_error *err);

/* ---- what came of it ---- */

enum exec_status {
    EXEC_INVALID = 0,
    EXEC_ACCEPTED = 1,
    EXEC_WRONG_ANSWER = 2,      /* never made here */
    EXEC_PARTIALLY_CORRECT = 3, /* never made here */
    EXEC_MEMORY_LIMIT = 4,
    EXEC_TIME_LIMIT = 5,
    EXEC_OUTPUT_LIMIT = 6,
    EXEC_FILE_ERROR = 7,
    EXEC_NONZERO_EXIT = 8,
    EXEC_SIGNALLED = 9,
    EXEC_DANGEROUS_SYSCALL = 10,
    EXEC_JUDGEMENT_FAILED = 11,    /* never made here */
    EXEC_INVALID_INTERACTION = 12, /* never made here */
    EXEC_INTERNAL_ERROR = 13,
};

/* "Accepted", "Memory Limit Exceeded", ... Never NULL. */
const char *exec_status_name(enum exec_status status) PURE;

enum exec_file_error_kind {
    EXEC_COPY_IN_OPEN_FILE,
    EXEC_COPY_IN_CREATE_FILE,
    EXEC_COPY_IN_COPY_CONTENT,
    EXEC_COPY_OUT_OPEN,
    EXEC_COPY_OUT_NOT_REGULAR_FILE,
    EXEC_COPY_OUT_SIZE_EXCEEDED,
    EXEC_COPY_OUT_CREATE_FILE,
    EXEC_COPY_OUT_COPY_CONTENT,
    EXEC_COLLECT_SIZE_EXCEEDED,
    EXEC_SYMLINK,
};

/* "CopyInOpenFile", ... Never NULL. */
const char *exec_file_error_name(enum exec_file_error_kind kind) PURE;

struct exec_file_error {
    char *name;
    enum exec_file_error_kind kind;
    char *message;
};

struct exec_output {
    char *name;
    char
        *data; /* exact bytes; NULL when size is 0. Read only: large ones are mapped, and holes of a
                 * sparse file cost nothing until they are written to */
    size_t size;
    size_t mapped; /* for exec_output_free() */
};

/* An output that is in the store now. */
struct exec_stored {
    char *name;
    char *id;
};

struct exec_result {
    enum exec_status status;
    int exit_status; /* exit code, or signal number */
    char *error;     /* heap; NULL: none */
    int64_t cpu_ns;
    int64_t wall_ns;
    uint64_t memory_bytes;
    uint64_t process_peak; /* 0: not known */
    struct exec_output *files;
    size_t file_count;
    struct exec_stored *file_ids;
    size_t file_id_count;
    struct exec_file_error *file_errors;
    size_t file_error_count;
    bool warm;      /* a warm interpreter was forked for it */
    bool cancelled; /* nothing of it was stored */
    /* The request could not be prepared (exec_group_check() refuses it, a collector's file cannot be
     * made, no descriptors are left): nothing was run, and every result of the group has this error.
     * go-judge fails such requests as a whole. */
    bool refused;
};

/* Runs a group, from copy in to status, all in the calling thread, which owns the containers: one for each
 * command. cancel_fd: readable = stop at once (-1: never). results: one for each command, filled in
 * completely; free each with exec_result_free(). */
void exec_run_group(struct container *const *containers, const struct exec_settings *settings,
                    const struct exec_group *group, int cancel_fd, struct exec_result *results);

/* A group of one. */
void exec_run(struct container *container, const struct exec_settings *settings,
              const struct exec_request *request, int cancel_fd, struct exec_result *result);

/* The parts of a result may be taken out one by one; a zeroed one is fine. */
void exec_output_free(struct exec_output *output);
void exec_result_free(struct exec_result *result);

/* Opens a host file as input of programs: regular files and harmless devices (null, zero, full, random,
 * urandom) only, never waiting for one. What the program gets can be neither written, truncated nor
 * opened anew for writing through /proc/self/fd. *fd is the caller's. */
WARN_UNUSED int exec_open_input(const char *path, int *fd, struct cj_error *err);

/* Whether it is /dev/null: as good as an empty file for who copies it. */
bool exec_is_null_device(const struct stat *info);

/* Opens anew what exec_open_input() gave: an open file of its own, at that offset, no less safe. *out is
 * the caller's. */
WARN_UNUSED int exec_reopen_input(int fd, int64_t offset, int *out, struct cj_error *err);

#endif
