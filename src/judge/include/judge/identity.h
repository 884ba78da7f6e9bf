/* Which toolchain would build a program now: a digest that changes when what a language builds with does.
 *
 * It covers, as the containers see them, the programs of the language's commands and `needs` (where they are found
 * in PATH, and the inode, size and times of what is there), the distribution's list of installed packages, and
 * every file below the language's `inputs` (headers). Programs and list are looked at each time, which takes some
 * 20 us; folders once in IDENTITY_WALK_NS, for they hold thousands of files. */
#ifndef CJ_JUDGE_IDENTITY_H
#define CJ_JUDGE_IDENTITY_H

#include "base/attr.h"
#include "base/clock.h"
#include "base/error.h"
#include "judge/digest.h"
#include "judge/language.h"
#include "judge/program.h"

#define IDENTITY_WALK_NS (10 * NS_PER_S)

struct identities;

/* languages is borrowed. */
WARN_UNUSED int identities_new(const struct languages *languages, struct identities **out,
                               struct cj_error *err);
void identities_free(struct identities *identities); /* NULL is fine */

/* language: one of those. -1: it cannot be told (memory is gone, or a folder holds too much). From any
 * thread. */
WARN_UNUSED int identity_get(struct identities *identities, const struct judge_settings *settings,
                             const struct language *language, struct digest *out);

/* What builds of this program are the same by: the identity, the command, its environment, and the sources.
 * -1: builds of it may differ all the same (a source names the time of day), or no identity can be told. */
WARN_UNUSED int identity_build_key(struct identities *identities,
                                   const struct judge_settings *settings,
                                   const struct judge_program *program, struct digest *out);

#endif
