/* What `cjudge run` says about a run. */
#ifndef CJ_CMD_RUN_REPORT_H
#define CJ_CMD_RUN_REPORT_H

#include <stdbool.h>

#include "base/buf.h"
#include "exec/exec.h"
#include "sandbox/sandbox.h"

/* One line of JSON: go-judge's Result, `protection`, and `line` of a script (0: none). */
void report_json(const struct exec_result *result, const struct sandbox_facts *facts, unsigned line,
                 struct buf *out);

/* A few lines for people. */
void report_summary(const struct exec_result *result, const struct exec_limits *limits,
                    const struct sandbox_facts *facts, bool coloured, struct buf *out);

/* The exit status that scripts see: the program's own code when it ended by itself, 124 time, 137 memory,
 * 128 + n signal, 153 output (128 + SIGXFSZ), 125 ours. */
int report_exit_status(const struct exec_result *result);

#endif
