/* Requests of `cjudge run --script`: one object a line, JSON or YAML flow style.
 *
 *     {"args": ["./a.out", "x"], "stdin": "1 2\n", "env": ["K=V"], "copyIn": {"a.out": "build/a.out"},
 *      "copyOut": ["result.txt?"], "cpu": 1000000000, "wall": 3000000000, "memory": 67108864, "procs": 16,
 *      "stack": 0, "output": 65536, "fileSize": 16777216, "openFiles": 64}
 *
 * Times in ns, sizes in bytes. Only args is required; what is absent comes from the command line. */
#ifndef CJ_CMD_RUN_SCRIPT_H
#define CJ_CMD_RUN_SCRIPT_H

#include "base/attr.h"
#include "base/error.h"
#include "exec/exec.h"

struct run_script;

/* path "-": standard input. */
WARN_UNUSED int run_script_open(const char *path, struct run_script **out, struct cj_error *err);

/* Fills request from the next line; it is valid until the next call. Returns 1, 0 at the end, -1. */
WARN_UNUSED int run_script_next(struct run_script *script, const struct exec_limits *limits,
                                uint64_t output_bytes, struct exec_request *request,
                                struct cj_error *err);
void run_script_close(struct run_script *script);

/* The program's environment: PATH, HOME, LANG and what was given; a given name replaces a default.
 * The array is the caller's, the strings are not copied. NULL: out of memory. */
const char **run_environment(const char *const *given, size_t given_count, size_t *count);

#endif
