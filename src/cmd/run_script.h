/* Requests of `cjudge run --script`: one object a line, JSON or YAML flow style.
 *
 *     {"args": ["./a.out", "x"], "stdin": "1 2\n", "env": ["K=V"], "copyIn": {"a.out": "build/a.out"},
 *      "copyOut": ["result.txt?"], "cpu": 1000000000, "wall": 3000000000, "memory": 67108864, "procs": 16,
 *      "stack": 0, "output": 65536, "fileSize": 16777216, "openFiles": 64}
 *
 * Times in ns, sizes in bytes. Only args is required; what is absent comes from the options. */
#ifndef CJ_CMD_RUN_SCRIPT_H
#define CJ_CMD_RUN_SCRIPT_H

#include "base/attr.h"
#include "base/error.h"
#include "exec/exec.h"

/* What the options say for every line, which may say otherwise. Everything is borrowed. */
struct run_given {
    struct exec_limits limits;
    uint64_t output_bytes;
    int input_fd; /* a file for lines without stdin; -1: such lines read nothing */
    const char *const *env;
    size_t env_count;
    const struct exec_copy_in *copy_in; /* a line's own file of the same name replaces it */
    size_t copy_in_count;
    const struct exec_copy_out *copy_out; /* fetched for every line */
    size_t copy_out_count;
    uint64_t copy_out_max_bytes;
    bool copy_out_truncate;
};

struct run_script;

/* path "-": standard input. */
WARN_UNUSED int run_script_open(const char *path, struct run_script **out, struct cj_error *err);

/* Fills request from the next line; it is valid until the next call, as long as what is given. Returns
 * 1, 0 at the end, -1. err->domain ERROR_CONFIG: that line is wrong, and the next call goes on behind
 * it; any other: the script cannot be read on. */
WARN_UNUSED int run_script_next(struct run_script *script, const struct run_given *given,
                                struct exec_request *request, struct cj_error *err);

/* Number of the line that was read last, from 1. */
unsigned run_script_line(const struct run_script *script);

void run_script_close(struct run_script *script);

/* The program's environment: PATH, HOME, LANG, ..., then what was given, then what a request says
 * itself; a name replaces itself in those before. The array is the caller's, the strings are not
 * copied. NULL: out of memory. */
const char **run_environment(const char *const *given, size_t given_count, const char *const *own,
                             size_t own_count, size_t *count);

#endif
