/* Runs one command: descriptors, copy in, limits, collectors, copy out, status.
 *
 * The caller has a container (sandbox/container.h), fills a request, and gets a result that answers
 * every outcome: what goes wrong inside is a status of the result, never a lost call. When the answer
 * has been given, the caller makes the container fresh with container_reset(). Nothing here knows
 * which door a request came through.
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

enum exec_file_kind {
    EXEC_FILE_CLOSED,  /* the descriptor is closed */
    EXEC_FILE_CONTENT, /* data, size: read-only input; size 0 is cheapest */
    EXEC_FILE_FD,      /* fd: handed to the program as it is. Safe only when it comes from
                             * exec_open_input() or is a pipe end made for this */
    EXEC_FILE_FEED,    /* fd: read by us and fed through a pipe (terminals, pipes of the host) */
    EXEC_FILE_COLLECT, /* name, max: output collected through a pipe */
    EXEC_FILE_COLLECT_FILE, /* name, max: output written to the file `name` in the container */
    EXEC_FILE_FORWARD,      /* fd, max: output passed on to fd while it comes */
};

struct exec_file {
    enum exec_file_kind kind;
    int fd; /* stays the caller's */
    const char *data;
    size_t size;
    const char
        *name;    /* two descriptors with one name are one collector; the first one's max counts */
    uint64_t max; /* bytes that come back at most; more was written: Output Limit Exceeded */
};

enum exec_copy_kind { EXEC_COPY_CONTENT, EXEC_COPY_FD, EXEC_COPY_PATH, EXEC_COPY_SYMLINK };

struct exec_copy_in {
    const char *name; /* in the container; relative to the work directory */
    enum exec_copy_kind kind;
    const char *data; /* CONTENT: bytes; PATH: host path; SYMLINK: what the link says */
    size_t size;
    int fd; /* FD: read from offset 0; stays the caller's */
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
    uint64_t cpu_rate;   /* 1/1000 CPU; 0: none */
    const char *cpu_set; /* cpuset list; NULL: the container's */
};

struct exec_settings {
    struct exec_limits defaults;
    uint64_t extra_memory_bytes; /* added to the enforced memory limit */
    uint64_t copy_out_max_bytes; /* when a request says none */
    int64_t cpu_period_ns;       /* of cpu_rate */
    unsigned cpus;               /* CPUs that one run can keep busy; 0: found */
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
    uint64_t copy_out_max_bytes; /* per file; 0: the settings' */
    bool copy_out_truncate;
    struct exec_limits limits;
    bool tty;
};

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
    char *data; /* exact bytes; NULL when size is 0 */
    size_t size;
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
    struct exec_file_error *file_errors;
    size_t file_error_count;
    bool cancelled;
};

/* Runs it, from copy in to status. cancel_fd: readable = stop at once (-1: never). result is filled in
 * completely, free it with exec_result_free(). Call from the thread that owns the container. */
void exec_run(struct container *container, const struct exec_settings *settings,
              const struct exec_request *request, int cancel_fd, struct exec_result *result);

void exec_result_free(struct exec_result *result);

/* Opens a host file as input of programs: regular files and harmless devices (null, zero, full, random,
 * urandom) only, never waiting for one. What the program gets can be neither written, truncated nor
 * opened anew for writing through /proc/self/fd. *fd is the caller's. */
WARN_UNUSED int exec_open_input(const char *path, int *fd, struct cj_error *err);

#endif
