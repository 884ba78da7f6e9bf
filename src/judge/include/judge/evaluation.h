/* One program against many test cases: built once, its cases spread over the slots.
 *
 *     evaluation_start ─► built ─► case_ended, case_ended, ... (as they end) ─► ended
 *
 * Cases are with the scheduler only as many at a time as keep the slots busy. The calls come on the
 * threads of slots, or on the one that cancels: case_ended() of several cases at the same time. */
#ifndef CJ_JUDGE_EVALUATION_H
#define CJ_JUDGE_EVALUATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/error.h"
#include "exec/exec.h"
#include "judge/compare.h"
#include "judge/program.h"
#include "sched/sched.h"
#include "store/store.h"

struct evaluation;

struct evaluation_case {
    const char *input; /* NULL: see input_file */
    size_t input_size;
    const char *input_file; /* id in the store; NULL, and no input: empty */
    const char *expected;   /* NULL: see expected_file */
    size_t expected_size;
    const char *expected_file; /* NULL, and no expected: nothing is compared */
};

/* All that is pointed to stays until ended() has returned. */
struct evaluation_task {
    const struct judge_program *program; /* or, */
    struct judge_artefact *artefact;     /* already built: shared */
    /* Where runs of the same program on the same input under the same limits are one, as builds are; NULL: each case
     * is run. For those who ask for it: programs need not do the same twice. */
    struct build_cache *runs;
    const struct evaluation_case *cases; /* none: builds only */
    size_t case_count;
    struct exec_limits limits;
    uint64_t output_bytes; /* of stdout, and of stderr, at most */
    struct compare_options compare;
    bool stop_at_first_failure; /* later cases are skipped when one fails */
    uint64_t source;            /* for fairness */
    bool follows;               /* one of several of which the first was admitted: never refused */
    int64_t deadline_ns;        /* monotonic_ns() by which each job has begun; 0: none */
};

enum evaluation_verdict {
    VERDICT_ACCEPTED,
    VERDICT_WRONG_ANSWER,
    VERDICT_RUN_FAILED, /* run.status tells how */
    VERDICT_COMPILE_ERROR,
    VERDICT_SKIPPED,       /* a case before it failed, or the build did */
    VERDICT_QUEUE_TIMEOUT, /* the deadline passed before it could begin */
    VERDICT_INTERNAL_ERROR,
    VERDICT_CANCELLED,
};

struct evaluation_result {
    enum evaluation_verdict verdict;
    const struct exec_result *run; /* NULL: nothing ran. "stdout" and "stderr" are its outputs */
    const char *message;           /* of the comparison, or what went wrong; "" */
    bool cached; /* it was built before, or run for another case: run tells of that time */
};

struct evaluation_calls {
    /* VERDICT_ACCEPTED: it is built (artefact: as in judge_build(), share it to keep it), or was; then the
     * cases follow. Otherwise every case is skipped and ended() follows. */
    void (*built)(void *arg, const struct evaluation_result *result,
                  struct judge_artefact *artefact);
    void (*case_ended)(void *arg, size_t index, const struct evaluation_result *result);
    /* The last call. */
    void (*ended)(void *arg);
};

/* calls is copied. err->code as sched_submit()'s: nothing is called then. */
WARN_UNUSED int evaluation_start(struct sched *sched, const struct judge_settings *settings,
                                 struct store *store, unsigned slots,
                                 const struct evaluation_task *task,
                                 const struct evaluation_calls *calls, void *arg,
                                 struct evaluation **out, struct cj_error *err);

/* Ends what goes on; ended() follows, perhaps within this call. Nothing after ended(). */
void evaluation_cancel(struct evaluation *evaluation);

/* Inside ended() or after it. */
void evaluation_free(struct evaluation *evaluation);

/* "Accepted", "Wrong Answer", "Time Limit Exceeded", ...: of the verdict, or of the run. */
const char *evaluation_status_name(const struct evaluation_result *result);

#endif
