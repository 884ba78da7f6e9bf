/* Bodies of the batch judging API (code-judge's /run, /judge and their batches): from JSON to
 * submissions, with the errors that its clients know (FastAPI's 400 and 422 bodies). Pure.
 *
 * Texts point into the body, which therefore lives as long as they do; a submission costs its text
 * and this struct. */
#ifndef CJ_API_JUDGE_REQUEST_H
#define CJ_API_JUDGE_REQUEST_H

#include <stdbool.h>
#include <stddef.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/error.h"
#include "body_text.h"
#include "judge/language.h"

struct judge_submission {
    struct body_text sub_id; /* size 0: to be made by us */
    struct body_text solution;
    struct body_text input;
    struct body_text expected_output;
    struct body_text options;        /* JSON, as it stands in the body */
    const struct language *language; /* NULL: "math", which no judge knows */
    bool bad_text; /* a lone surrogate somewhere: fails this submission, not its batch */
};

struct judge_request {
    struct body_text sub_id; /* of the batch */
    struct judge_submission *submissions;
    size_t count;
    char *body;   /* what the texts point into */
    void *copies; /* texts that grew when they were read; both freed by judge_request_free() */
};

enum judge_request_outcome {
    JUDGE_REQUEST_GOOD,
    JUDGE_REQUEST_UNREADABLE, /* 400: not UTF-8 */
    JUDGE_REQUEST_INVALID,    /* 422: errors holds the body of the answer */
    JUDGE_REQUEST_NO_MEMORY,
};

enum judge_body_kind {
    JUDGE_BODY_ONE,   /* a submission */
    JUDGE_BODY_BATCH, /* {"type":"batch","submissions":[...]} */
};

/* Takes over body (heap). is_json: whether the Content-Type says JSON or nothing at all; FastAPI takes
 * any other body as a text, which is no object. errors gets the whole answer when INVALID. */
enum judge_request_outcome judge_request_parse(const struct languages *languages,
                                               enum judge_body_kind kind, bool is_json, char *body,
                                               size_t size, struct judge_request *out,
                                               struct buf *errors);

void judge_request_free(struct judge_request *request);

/* Whether a Content-Type (NULL: none) names JSON: application/json or application/...+json. */
bool judge_request_is_json(const char *content_type);

#endif
