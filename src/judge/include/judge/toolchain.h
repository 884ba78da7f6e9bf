/* What a language needs of the host: whether programs find it, and which version it is.
 *
 * A language is installed when the first words of its commands and what its `needs` names are there for
 * programs in a container: in the PATH of their environment, through the mounts, with symbolic links followed
 * inside. Nothing is started for that, and nothing is remembered: a look costs some microseconds.
 *
 * Versions are told by the languages' version commands, run in a container. A roster remembers them:
 *
 *     toolchain_roster_new ─► toolchain_roster_ask (a thread of its own) ─► toolchain_roster_get ...
 *                          ─► toolchain_roster_free */
#ifndef CJ_JUDGE_TOOLCHAIN_H
#define CJ_JUDGE_TOOLCHAIN_H

#include <stdbool.h>
#include <stddef.h>

#include "base/attr.h"
#include "base/error.h"
#include "judge/language.h"
#include "sandbox/mount_config.h"

enum { TOOLCHAIN_NAME_SIZE = 256, TOOLCHAIN_LACK_SIZE = 512, TOOLCHAIN_PROGRAMS_MAX = 32 };

/* The environment of programs that nobody has said anything else about. */
const char *const *language_plain_env(size_t *count);

/* The language's variables and those of env, each name once: the first of it counts. (Of two PATHs a program
 * would be looked up in one, and getenv(3) would find the other.) The list is the caller's to free, the texts
 * are borrowed; NULL when memory is gone. */
const char **language_environment(const struct language *language, const char *const *env,
                                  size_t env_count, size_t *count);

/* The same with other texts in front of both: those of a preparation, filled in. */
const char **language_environment_after(const char *const *first, size_t first_count,
                                        const struct language *language, const char *const *env,
                                        size_t env_count, size_t *count);

/* Whether path (absolute, in a container that looks like that) leads to something. out, when not NULL,
 * gets where that lies on the host. */
bool toolchain_path(const struct mount_config *mounts, const char *path, char *out, size_t size);

/* The programs and files that a language needs, each once; the texts are in *room, which the caller
 * frees. Returns how many. */
size_t toolchain_programs(const struct language *language,
                          const char *programs[static TOOLCHAIN_PROGRAMS_MAX], char **room);

/* Whether everything is there. missing gets the first thing that is not, or "". env: "K=V", of which the
 * first PATH counts; the language's own come before. mounts may be NULL: then nothing is known, and
 * nothing is missing. */
bool toolchain_is_installed(const struct language *language, const struct mount_config *mounts,
                            const char *const *env, size_t env_count,
                            char missing[static TOOLCHAIN_NAME_SIZE]);

/* Where a program that the language needs lies on the host; false: nowhere. name: as toolchain_programs() says
 * it, looked up in PATH when it has no '/'. */
bool toolchain_find(const struct language *language, const struct mount_config *mounts,
                    const char *const *env, size_t env_count, const char *name, char *host,
                    size_t size);

/* "Rust is not installed: apt-get install rustc", or what is missing when no package brings it. */
void toolchain_lack(const struct language *language, const char *missing,
                    char text[static TOOLCHAIN_LACK_SIZE]);

/* Adds to mounts what the languages want to be seen, as far as this host has it. */
WARN_UNUSED int toolchain_show_mounts(const struct languages *languages,
                                      struct mount_config *mounts, struct cj_error *err);

#endif
