/* What a request's time goes to, stage by stage: one histogram for each, for the whole process, as the log is.
 * From any thread. docs/top.md says what each begins and ends with. */
#ifndef CJ_BASE_STAGES_H
#define CJ_BASE_STAGES_H

#include <stdint.h>

#include "base/histogram.h"

enum stage {
    STAGE_READ,    /* a request's body has come ─► it is understood */
    STAGE_QUEUE,   /* a job was submitted (or woken) ─► a slot takes it */
    STAGE_PREPARE, /* a command is asked for ─► its program starts: files in, limits set */
    STAGE_RUN,     /* the program starts ─► it and all it left have ended */
    STAGE_COLLECT, /* it has ended ─► its outputs and figures are there */
    STAGE_BUILD,   /* a build is asked for ─► it was made */
    STAGE_FOUND,   /* a build is asked for ─► it was made before */
    STAGE_JUDGE,   /* a result is there ─► it is compared and written */
    STAGE_JOB,     /* a slot takes a job ─► it gives it back: the sum of those between */
    STAGE_ANSWER,  /* a result is written ─► the loop hands it to the client's connection */
    STAGE_RESET,   /* the job is given back ─► the slot is fresh for the next one */
    STAGE_COUNT
};

const char *stage_name(enum stage stage); /* "read", "queue", ... */

void stage_add(enum stage stage, int64_t ns);

/* From since_ns (monotonic_ns()) to now; returns now. */
int64_t stage_since(enum stage stage, int64_t since_ns);

struct histogram *stage_histogram(enum stage stage);

#endif
