/* Whether a language works: its examples, built and run as submissions are.
 *
 * Called within a job of the scheduler. */
#ifndef CJ_JUDGE_LANGUAGE_CHECK_H
#define CJ_JUDGE_LANGUAGE_CHECK_H

#include <stdbool.h>
#include <stdint.h>

#include "judge/program.h"

enum language_step {
    STEP_HELLO,  /* Accepted, and printed "Hello, world!" */
    STEP_ECHO,   /* Accepted, and printed the line it was given */
    STEP_ERROR,  /* Nonzero Exit Status or Signalled */
    STEP_LOOP,   /* Time Limit Exceeded, by its CPU time */
    STEP_SYNTAX, /* what is no program does not build; of languages that are built or checked */
    LANGUAGE_STEPS
};

const char *language_step_name(enum language_step step);

struct language_step_result {
    bool done; /* there is such an example */
    bool good;
    /* Of the build (nothing where there is none) and of the run. */
    int64_t build_wall_ns, cpu_ns, wall_ns;
    uint64_t build_memory_bytes, memory_bytes;
    char message[240]; /* what went wrong; one line */
};

struct language_check {
    struct language_step_result steps[LANGUAGE_STEPS];
    bool good; /* all that were done */
};

/* loop_cpu_ns: the limit for STEP_LOOP. The other limits are the defaults of the settings. */
void language_check(struct slot *slot, const struct judge_settings *settings,
                    const struct language *language, int64_t loop_cpu_ns,
                    struct language_check *out);

#endif
