/* Programs that were built to be kept: by id, bounded in bytes, the least recently used goes first. In memory. */
#ifndef CJ_API_ARTIFACTS_H
#define CJ_API_ARTIFACTS_H

#include <stdint.h>

#include "base/attr.h"
#include "base/error.h"
#include "judge/program.h"

struct artifacts;

enum { ARTIFACT_ID_SIZE = 27 }; /* 26 characters of base32 and a NUL: nobody guesses another's */

WARN_UNUSED int artifacts_new(uint64_t max_bytes, struct artifacts **out, struct cj_error *err);
void artifacts_free(struct artifacts *artifacts);

/* Shares artefact. ENOSPC when it alone is too large. */
WARN_UNUSED int artifacts_add(struct artifacts *artifacts, struct judge_artefact *artefact,
                              char id[static ARTIFACT_ID_SIZE], struct cj_error *err);

/* The artefact, which stays theirs; NULL when there is none. Counts as a use. */
struct judge_artefact *artifacts_find(struct artifacts *artifacts, const char *id);

/* Whether there was one. */
bool artifacts_remove(struct artifacts *artifacts, const char *id);

#endif
