/* What is wrong with a body of the batch judging API, as FastAPI and Pydantic would tell it: all of
 * it, in the order of the fields. */
#ifndef CJ_API_JUDGE_INVALID_H
#define CJ_API_JUDGE_INVALID_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "judge/language.h"

struct judge_invalid_body {
    const struct languages *languages;
    bool is_batch;
    char *body; /* may be changed */
    size_t size;
};

bool judge_invalid_is_utf8(const char *body, size_t size);

/* Appends {"detail":[...]} to out. false when nothing is wrong with the body. */
bool judge_invalid_explain(const struct judge_invalid_body *invalid, struct buf *out);

/* The same for a body that is no JSON by its Content-Type: a text where an object should be. */
void judge_invalid_text(const struct judge_invalid_body *invalid, struct buf *out);

#endif
