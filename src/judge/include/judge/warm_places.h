/* Where the interpreters that are kept warm (docs/warm.md) lie in a container. */
#ifndef CJ_JUDGE_WARM_PLACES_H
#define CJ_JUDGE_WARM_PLACES_H

#include "base/attr.h"
#include "base/error.h"
#include "exec/exec.h"
#include "judge/language.h"
#include "sandbox/mount_config.h"

/* Of the languages that want it: one entry for each usual directory of programs and each directory of path (a
 * PATH; NULL: none), or the one that the language's command names. Present is what lies on mounts that no
 * program can write to. out->places is one allocation, the caller's, and has all texts in it. */
WARN_UNUSED int warm_places_find(const struct languages *languages,
                                 const struct mount_config *mounts, const char *path,
                                 struct exec_warm *out, struct cj_error *err);

#endif
