/* How builds make artefacts: for src/judge/program.c. */
#ifndef CJ_JUDGE_ARTEFACT_PRIVATE_H
#define CJ_JUDGE_ARTEFACT_PRIVATE_H

#include "judge/artefact.h"
#include "judge/program.h"

struct judge_artefact {
    const struct language *language;
    unsigned owners;
    uint64_t
        key; /* of no other one; its runs share the largest file of a build by it. 0: it was not built */
    size_t count;
    struct exec_output files[];
};

/* Of a language without a build: its sources. NULL when memory is gone. */
struct judge_artefact *artefact_from_sources(const struct judge_program *program);
/* The kept files, which are taken over out of a build's result. NULL when one is missing, or memory is gone. */
struct judge_artefact *artefact_from_build(const struct language *language,
                                           const struct exec_copy_out *kept, size_t count,
                                           struct exec_result *result);

#endif
