/* SHA-256 of a sequence of values. Each is hashed with its size in front, so that ("ab", "c") and ("a", "bc")
 * differ. Pure. */
#ifndef CJ_JUDGE_DIGEST_H
#define CJ_JUDGE_DIGEST_H

#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"

enum { DIGEST_SIZE = 32 };

struct digest {
    unsigned char bytes[DIGEST_SIZE];
};

struct digest_state; /* of one that is being made */

/* NULL when memory is gone; the other calls take that as well, and digest_end() then fails. */
struct digest_state *digest_begin(void);
void digest_add(struct digest_state *state, const void *data, size_t size);
void digest_add_text(struct digest_state *state, const char *text); /* NULL is not "" */
void digest_add_number(struct digest_state *state, uint64_t number);

/* Frees the state. -1: it could not be made. */
WARN_UNUSED int digest_end(struct digest_state *state, struct digest *out);

#endif
