/* Bodies of the native judging API (/v1/judge, /v1/build): one program, many cases. Pure.
 *
 * docs/judge-api.md lists the fields. Unknown fields are errors here, for a misspelt limit that is ignored
 * would be a wrong verdict. Texts point into the body. */
#ifndef CJ_API_NATIVE_REQUEST_H
#define CJ_API_NATIVE_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/error.h"
#include "base/json_reader.h"
#include "body_text.h"
#include "exec/exec.h"
#include "judge/compare.h"
#include "judge/language.h"
#include "judge/program.h"

struct native_case {
    struct body_text id;         /* size 0: its number */
    struct body_text input;      /* neither this nor the next: empty */
    struct body_text input_file; /* id in the file store */
    struct body_text expected;   /* neither this nor the next: nothing is compared */
    struct body_text expected_file;
};

struct native_request {
    struct body_text id;
    const struct language *language; /* NULL: of the artifact */
    struct judge_file *files;        /* the first is the main source */
    size_t file_count;
    struct body_text artifact; /* an id of /v1/build in place of language and sources */
    struct exec_limits limits; /* zero: the defaults */
    uint64_t
        output_bytes; /* of stdout, and of stderr, at most; more: Output Limit Exceeded. 0: default */
    struct compare_options compare;
    bool stop_at_first_failure;
    bool stream;
    bool dedupe;                         /* cases with the same input are run once */
    bool with_sha256;                    /* of stdout */
    uint64_t stdout_shown, stderr_shown; /* first bytes that come back */
    int64_t deadline_ns; /* all has begun within it, counted from its arrival; 0: none */
    struct native_case *cases;
    size_t case_count;
};

struct native_batch {
    struct native_request *requests;
    size_t count;
    bool stream;
    struct json_reader reader; /* owns texts that grew */
    char *body;
};

enum native_body_kind {
    NATIVE_JUDGE, /* one request */
    NATIVE_BATCH, /* {"submissions":[...]} */
    NATIVE_BUILD, /* language and sources alone */
};

/* Takes over body (heap). Errors are ERROR_REQUEST and name the field: "cases[3].input: ...". Free out with
 * native_batch_free(), also after a failure. */
WARN_UNUSED int native_request_parse(const struct languages *languages, enum native_body_kind kind,
                                     char *body, size_t size, struct native_batch *out,
                                     struct cj_error *err);
void native_batch_free(struct native_batch *batch);

#endif
