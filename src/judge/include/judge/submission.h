/* One submission of the batch judging API: a program, one input, perhaps an expected output.
 *
 * The rules are code-judge's: success is an exit code of 0 and, where an output is expected, stdout equal
 * to it after both are stripped of white space. Called within a job of the scheduler; uses up to two runs
 * of its slot's first container. */
#ifndef CJ_JUDGE_SUBMISSION_H
#define CJ_JUDGE_SUBMISSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "judge/program.h"

struct submission_settings {
    struct judge_settings judge;
    int64_t execution_ns;         /* MAX_EXECUTION_TIME, of wall time and of CPU time */
    uint64_t memory_bytes;        /* MAX_MEMORY */
    uint64_t python_memory_bytes; /* added to it for the interpreter */
    uint64_t output_bytes;  /* of stdout and of stderr that are looked at; more is a failure */
    size_t text_characters; /* MAX_STDOUT_ERROR_LENGTH: code points of each that are told */
};

struct submission {
    const char *sub_id; /* for observers */
    size_t sub_id_size;
    const struct language *language; /* NULL: "math", which no judge knows */
    const char *options;             /* JSON, for observers; NULL: none */
    size_t options_size;
    const char *solution;
    size_t solution_size;
    const char *input; /* NULL: none; both NULL and "" are an empty input */
    size_t input_size;
    const char *expected_output; /* NULL: nothing is expected */
    size_t expected_size;
};

enum submission_reason {
    SUBMISSION_JUDGED,         /* "" */
    SUBMISSION_INTERNAL_ERROR, /* "internal_error" */
    SUBMISSION_WORKER_TIMEOUT, /* "worker_timeout": ran as long as it may */
    SUBMISSION_QUEUE_TIMEOUT,  /* "queue_timeout": could not start in time */
};

struct submission_text {
    char *data; /* heap; valid UTF-8; NULL: there is none (null in the answer) */
    size_t size;
};

struct submission_result {
    bool success;
    bool run_success;
    double cost_s; /* wall time of the run */
    struct submission_text stdout_text, stderr_text;
    enum submission_reason reason;
    /* For whoever keeps error cases: the whole of both, and how it ended. */
    int exit_code; /* -n: signal n */
};

/* An output as it is, before it is cut. */
struct submission_view {
    const char *data;
    size_t size;
};

/* Hears of every submission that was no success: for error cases. */
struct submission_observer {
    void (*ended)(void *arg, const struct submission *submission,
                  const struct submission_result *result, struct submission_view whole_stdout,
                  struct submission_view whole_stderr);
    /* One that could not be judged, and why. */
    void (*broken)(void *arg, const struct submission *submission, const char *why);
    void *arg;
};

/* The run's cancellation gives SUBMISSION_INTERNAL_ERROR. Free the result with
 * submission_result_free(). wait: as in judge_build(); false: the job is set aside and comes again, there is no
 * result. */
WARN_UNUSED bool submission_judge(struct slot *slot, const struct submission_settings *settings,
                                  const struct submission *submission, struct build_wait *wait,
                                  const struct submission_observer *observer,
                                  struct submission_result *result);

void submission_result_free(struct submission_result *result);

/* "", "internal_error", ... */
const char *submission_reason_text(enum submission_reason reason) PURE;

/* The first characters code points of data as valid UTF-8, in which each byte that is none has become
 * U+FFFD. Pure. out->data is NULL when memory is gone. */
void submission_text_cut(const char *data, size_t size, size_t characters,
                         struct submission_text *out);

#endif
