/* The body of POST /run as a structure: what is asked for, checked as far as that is possible without
 * looking at this host (go-judge's encoding/json rules; decisions of names, NULs and numbers are ours).
 *
 * Texts are slices of the body, which was changed in place: nothing of it is copied, so the whole costs
 * the body, and what stands here for each file, argument and name. How many of those there may be is
 * bounded, so that small bodies cannot ask for large structures. */
#ifndef CJ_API_REST_REQUEST_H
#define CJ_API_REST_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/error.h"
#include "base/json_reader.h"
#include "exec/exec.h"

enum {
    REST_COMMANDS_MAX = 128,
    REST_FILES_MAX = 1024,    /* descriptors of a command */
    REST_WORDS_MAX = 1 << 20, /* arguments, or variables: the kernel takes fewer, execve(2) */
    REST_NAMES_MAX = 1 << 16, /* copyIn, copyOut, copyOutCached */
    REST_PIPES_MAX = 1 << 12,
};

/* A NUL stands behind it. Only contents may hold others. */
struct rest_text {
    const char *data;
    size_t size;
};

enum rest_file_kind {
    REST_FILE_NULL,      /* null: a pipe's end goes here */
    REST_FILE_SRC,       /* text: path on the host */
    REST_FILE_CONTENT,   /* text: bytes */
    REST_FILE_ID,        /* text: id of a stored file */
    REST_FILE_COLLECTOR, /* text: name; max, pipe, base64 */
    REST_FILE_SYMLINK,   /* copyIn only; text: what the link says */
};

struct rest_file {
    enum rest_file_kind kind;
    bool pipe;
    bool base64; /* answer with exact bytes */
    struct rest_text text;
    uint64_t max; /* a negative one is 0, and: */
    bool below_zero;
};

struct rest_copy_in {
    const char *name;
    struct rest_file file;
};

/* What a command says of warm interpreters, a key of ours: nothing, as go-judge's clients do; true: its result
 * says whether one was forked; false: it starts cold. */
enum rest_warm { REST_WARM_UNSAID, REST_WARM_TOLD, REST_WARM_NEVER };

struct rest_command {
    const char **args;
    size_t arg_count; /* at least 1 */
    const char **env;
    size_t env_count;
    struct rest_file *files;
    size_t file_count;
    struct rest_copy_in *copy_in; /* each name once */
    size_t copy_in_count;
    struct exec_copy_out *copy_out; /* names without the '?' */
    size_t copy_out_count;
    struct exec_copy_out *copy_out_cached;
    size_t copy_out_cached_count;
    uint64_t copy_out_max_bytes; /* 0: the server's, as with the limits */
    bool copy_out_truncate;
    bool copy_out_dir; /* was set: it has no effect (decisions.md 23) */
    bool tty;
    bool base64; /* all its outputs */
    uint64_t cpu_ns;
    uint64_t wall_ns;
    uint64_t memory_bytes;
    uint64_t stack_bytes;
    uint64_t processes;
    uint64_t cpu_rate;
    const char *cpu_set; /* NULL: none */
    bool data_segment;
    bool address_space;
    enum rest_warm warm;
};

struct rest_pipe_end {
    int64_t index, fd;
};

struct rest_pipe {
    struct rest_pipe_end in; /* the command that writes */
    struct rest_pipe_end out;
    bool proxy;
    bool disable_zero_copy;
    bool base64;
    const char *name; /* of the copy, with proxy; "": none */
    uint64_t max;
};

struct rest_request {
    const char *request_id;
    struct rest_command *commands; /* may be none: the door's to refuse */
    size_t command_count;
    struct rest_pipe *pipes;
    size_t pipe_count;

    char *body;                /* malloc'ed; the texts lie in it */
    struct json_reader reader; /* owns the texts that grew */
};

/* Reads size bytes of body (malloc'ed), which *request owns from here on, also when it fails. An
 * ERROR_REQUEST error is the text of a 400 and names the field: "cmd[0].args: ..."; ERROR_SYSTEM with
 * ENOMEM is ours. *request need not be filled in before; free it in any case. */
WARN_UNUSED int rest_request_read(char *body, size_t size, struct rest_request *request,
                                  struct cj_error *err) NONNULL(3);

/* Leaves it empty. */
void rest_request_free(struct rest_request *request) NONNULL(1);

#endif
