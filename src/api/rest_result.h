/* The body of POST /run's answer, written piece by piece: an array of results, one for each command, as
 * go-judge's server writes it (order of keys, what is left out, escapes, a newline at the end).
 *
 * Outputs may be large, and escaped they are up to six times as large: whoever sends the answer asks for
 * the next piece when the client has taken the last one. What is not output is written at once. */
#ifndef CJ_API_REST_RESULT_H
#define CJ_API_REST_RESULT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/error.h"
#include "exec/exec.h"
#include "rest_request.h"

struct rest_answer;

/* The answer to a request: results holds one for each of its commands. Both are borrowed until
 * rest_answer_free(). Fails only for lack of memory. */
WARN_UNUSED int rest_answer_new(const struct rest_request *request,
                                const struct exec_result *results, struct rest_answer **out,
                                struct cj_error *err) NONNULL(1, 2, 3);

/* Bytes of outputs that rest_answer_next() still has to escape: what the answer takes at least. */
size_t rest_answer_rest(const struct rest_answer *answer) NONNULL(1);

/* Appends the next piece, made of about REST_ANSWER_PIECE bytes. Returns whether another follows. */
enum { REST_ANSWER_PIECE = 64 * 1024 };
bool rest_answer_next(struct rest_answer *answer, struct buf *out) NONNULL(1, 2);

/* NULL is fine. */
void rest_answer_free(struct rest_answer *answer);

#endif
