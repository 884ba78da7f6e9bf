/* A program that was built: the files that its runs get. Not changed once it is made, so that any slot may run it; shared
 * by whoever holds it, on any thread. */
#ifndef CJ_JUDGE_ARTEFACT_H
#define CJ_JUDGE_ARTEFACT_H

#include <stddef.h>

#include "base/attr.h"
#include "base/error.h"
#include "exec/exec.h"
#include "judge/language.h"

struct judge_artefact;

/* One more owner of it. */
struct judge_artefact *judge_artefact_share(struct judge_artefact *artefact);
void judge_artefact_release(struct judge_artefact *artefact); /* NULL is fine */

/* Its files: name, data, size; executable. */
const struct exec_output *judge_artefact_files(const struct judge_artefact *artefact,
                                               size_t *count);
/* Made of files that were kept somewhere (names and data are copied). */
WARN_UNUSED int judge_artefact_new(const struct language *language, const struct exec_output *files,
                                   size_t count, struct judge_artefact **out, struct cj_error *err);
const struct language *judge_artefact_language(const struct judge_artefact *artefact);

/* An output of a result by name; NULL when there is none. */
const struct exec_output *judge_output(const struct exec_result *result, const char *name);

#endif
