/* Which languages are installed, and which versions they are.
 *
 *     roster_new (looks what is there) ─► roster_ask (asks for versions, on a thread of its own)
 *                                      ─► roster_get, from any thread ─► roster_free
 *
 * What is installed later is not noticed, though programs in it are judged all the same. */
#ifndef CJ_JUDGE_ROSTER_H
#define CJ_JUDGE_ROSTER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/attr.h"
#include "base/error.h"
#include "judge/language.h"
#include "judge/program.h"
#include "judge/toolchain.h"
#include "sandbox/container.h"

enum { LANGUAGE_VERSION_SIZE = 160 };

struct language_facts {
    bool installed;
    char missing[TOOLCHAIN_NAME_SIZE];   /* the first thing that is not there */
    char version[LANGUAGE_VERSION_SIZE]; /* ""; not known, or not yet */
};

struct roster;

/* All are borrowed until roster_free(). */
WARN_UNUSED int roster_new(const struct languages *languages, const struct judge_settings *settings,
                           struct roster **out, struct cj_error *err);

/* Starts the thread. index: of a container that nobody else has. It takes a fifth of a CPU, until it has
 * asked all. */
WARN_UNUSED int roster_ask(struct roster *roster, struct sandbox *sandbox, unsigned index,
                           struct cj_error *err);

/* index: as in languages_at(). */
void roster_get(struct roster *roster, size_t index, struct language_facts *out);

/* Ends the thread, at once. NULL is fine. */
void roster_free(struct roster *roster);

/* Asks one language, in a fresh container: its version command's first line that says something, without
 * what a terminal would obey; "" when it has no such command, or does not answer. cpu_rate: as in struct
 * exec_limits. */
void language_ask_version(struct container *container, const struct judge_settings *settings,
                          const struct language *language, uint64_t cpu_rate, int cancel_fd,
                          char version[static LANGUAGE_VERSION_SIZE]);

/* The first line that says something; control characters are left out, invalid UTF-8 becomes '?'. Pure. */
void version_from_output(const char *data, size_t size, char version[static LANGUAGE_VERSION_SIZE]);

#endif
