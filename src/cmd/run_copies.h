/* -copy-in and -copy-out of `cjudge run`: what they ask for, and where fetched files go. */
#ifndef CJ_CMD_RUN_COPIES_H
#define CJ_CMD_RUN_COPIES_H

#include <stddef.h>

#include "base/attr.h"
#include "base/error.h"
#include "exec/exec.h"
#include "run_options.h"

struct run_delivery {
    const char *name;        /* of the fetched file, as the request has it */
    const char *destination; /* NULL: stays in the answer */
};

struct run_copies {
    struct exec_copy_in *in;
    size_t in_count;
    struct exec_copy_out *out; /* each name once */
    size_t out_count;
    struct run_delivery *deliveries;
    size_t delivery_count;
};

/* Reads the two options. The texts stay the options', which are changed. */
WARN_UNUSED int run_copies_read(struct run_options *options, struct run_copies *out,
                                struct cj_error *err);

/* "./main" on the command line means the file of this name here, unless something else is copied in to where it
 * stands. To be called once; program lives as long as copies. */
void run_copies_add_program(struct run_copies *copies, const char *program);

/* Puts the fetched files where they were wanted; those leave the result. Every one is tried, err says
 * what became of the first that failed. stop_fd as in answer_write(). */
WARN_UNUSED int run_copies_deliver(const struct run_copies *copies, struct exec_result *result,
                                   int stop_fd, struct cj_error *err);

void run_copies_free(struct run_copies *copies);

#endif
