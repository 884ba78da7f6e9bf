/* What `cjudge run` says about a run. */
#ifndef CJ_CMD_RUN_REPORT_H
#define CJ_CMD_RUN_REPORT_H

#include <stdio.h>

#include "exec/exec.h"
#include "sandbox/sandbox.h"

/* One line of JSON on out: go-judge's Result, and `protection`. Fails when out does not take it. */
WARN_UNUSED int report_json(FILE *out, const struct exec_result *result,
                            const struct sandbox_facts *facts, struct cj_error *err);

/* A few lines for people; colour when out is a terminal. */
void report_summary(FILE *out, const struct exec_result *result, const struct exec_limits *limits,
                    const struct sandbox_facts *facts);

/* The exit status that scripts see: the program's own code when it ended by itself, 124 time, 137 memory,
 * 128 + n signal, 153 output (128 + SIGXFSZ), 125 ours. */
int report_exit_status(const struct exec_result *result);

#endif
