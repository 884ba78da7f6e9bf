/* Answers of the native judging API: what a build, a case and a whole evaluation look like as JSON. Pure. */
#ifndef CJ_API_NATIVE_RESULT_H
#define CJ_API_NATIVE_RESULT_H

#include <stdint.h>

#include "base/buf.h"
#include "base/json_writer.h"
#include "judge/evaluation.h"
#include "native_request.h"

/* The members of a case's object, without the braces around them. */
void native_case_write(struct json_writer *json, const struct native_request *request, size_t index,
                       const struct evaluation_result *result);

/* A build's: status, figures, what the compiler said. */
void native_build_write(struct json_writer *json, const struct evaluation_result *result);

/* What all cases together came to. */
struct native_summary {
    enum evaluation_verdict build;
    const char *
        verdict; /* static; of the build if that failed, else of the failed case with the least index */
    size_t verdict_index;
    size_t case_count;
    size_t accepted;
    int64_t cpu_ns_max, cpu_ns_sum, wall_ns_max;
    uint64_t memory_bytes_max;
};

void native_summary_add(struct native_summary *summary, size_t index,
                        const struct evaluation_result *result);
void native_summary_write(struct json_writer *json, const struct native_summary *summary);

#endif
