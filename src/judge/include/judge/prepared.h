/* What makes builds quick and is made once: precompiled headers, archives of a compiler's own classes.
 *
 * languages.yaml says by which command, run in a container of its own, and which files of it are kept. They lie in
 * a folder of the host that every container shows, read-only, at PREPARED_TARGET. It is made on a thread of its own
 * with half a CPU, when a build first wants it (or from the start), and made anew when the toolchain changes. Until
 * then, and whenever anything about it is in doubt, builds do without. docs/builds.md. */
#ifndef CJ_JUDGE_PREPARED_H
#define CJ_JUDGE_PREPARED_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/error.h"
#include "judge/identity.h"
#include "judge/language.h"
#include "judge/program.h"
#include "sandbox/sandbox.h"

#define PREPARED_TARGET "/cjudge"

enum { PREPARED_PATH_SIZE = 64 };

struct prepared;
struct prepared_use;

/* Makes the folder below parent, and removes those that services left there which were killed. languages:
 * borrowed. */
WARN_UNUSED int prepared_new(const struct languages *languages, const char *parent,
                             struct prepared **out, struct cj_error *err);
const char *prepared_folder(const struct prepared *prepared);

/* Starts the thread. All are borrowed; index: of a container that nobody else has. */
WARN_UNUSED int prepared_start(struct prepared *prepared, const struct judge_settings *settings,
                               struct sandbox *sandbox, unsigned index, bool all_at_once,
                               struct cj_error *err);

/* Whether the language's prepared build can be used for these sources; then path is what {prepared} stands for,
 * until prepared_end(). If it could but is not there yet, it will be made. From any thread. */
bool prepared_begin(struct prepared *prepared, const struct judge_program *program,
                    char path[static PREPARED_PATH_SIZE], struct prepared_use **use);
/* counts: what came of it. Otherwise the plain build decided. */
void prepared_end(struct prepared *prepared, struct prepared_use *use, bool counts);

/* The variables of the language's prepared build, filled in for that folder; the caller frees them. */
WARN_UNUSED int prepared_environment(const struct language *language, const char *folder,
                                     char ***out, size_t *count, struct cj_error *err);
void prepared_environment_free(char **texts, size_t count);

struct prepared_stats {
    uint64_t made, failed; /* preparations */
    uint64_t quick;        /* builds that it made quick */
    uint64_t plain; /* builds that were made again without it: they failed, or the compiler spoke */
};
void prepared_stats(struct prepared *prepared, struct prepared_stats *out);

/* Ends the thread, at once, and removes the folder. NULL is fine. */
void prepared_free(struct prepared *prepared);

#endif
