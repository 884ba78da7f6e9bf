/* Where a command's outputs go: into its result, or into the store.
 *
 * What goes into the store is a draft, seen by nobody, until the run has been judged: outputs_store() makes
 * files of them, outputs_free() ends them without a trace. */
#ifndef CJ_EXEC_OUTPUTS_H
#define CJ_EXEC_OUTPUTS_H

#include <stdbool.h>

#include "base/attr.h"
#include "exec/exec.h"
#include "keep.h"

struct output_draft {
    const char *name; /* the request's */
    struct store_draft *draft;
};

struct outputs {
    struct exec_result *result;
    struct output_draft *drafts;
    size_t draft_count;
    bool problem; /* one that was wanted is missing: the result has its file error */
};

/* Takes what was kept, under that name of the request's. What could not be kept in the store is a
 * problem, what could not be kept in memory a failure of ours. */
WARN_UNUSED int outputs_add(struct outputs *outputs, const char *name, struct keep *keep,
                            struct cj_error *err);

/* The same, in the place of an output of that name if there is one. */
WARN_UNUSED int outputs_replace(struct outputs *outputs, const char *name, struct keep *keep,
                                struct cj_error *err);

/* One that is missing: adds a file error, and is the result's error unless that says something already. */
WARN_UNUSED int outputs_miss(struct outputs *outputs, const char *name,
                             enum exec_file_error_kind kind, const char *message,
                             struct cj_error *err);

/* Makes files of the drafts, and puts their ids into the result. One that fails makes the result a File
 * Error (go-judge's rule F). */
WARN_UNUSED int outputs_store(struct outputs *outputs, struct cj_error *err);

void outputs_free(struct outputs *outputs);

#endif
