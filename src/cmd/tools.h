/* Compilers and interpreters of the languages: where they are, and whether a sandbox sees them. */
#ifndef CJ_CMD_TOOLS_H
#define CJ_CMD_TOOLS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/attr.h"
#include "judge/language.h"
#include "sandbox/mount_config.h"

/* One row of the table: a program that a language of the built-in file needs. What several need is the first
 * one's. */
struct tool {
    const struct language *language;
    const char *command;  /* "g++" */
    const char *packages; /* Debian's, "gcc libc6-dev"; NULL: Debian 12 has none */
    char **version_args;  /* NULL: the tool is not the one that tells the version */
};

/* The process's; not thread-safe. */
const struct tool *tools_table(size_t *count) NONNULL(1);

enum tool_place {
    TOOL_MISSING,
    TOOL_VISIBLE, /* below what every sandbox mounts: /usr, /bin, /lib* */
    TOOL_OUTSIDE, /* elsewhere: pyenv, conda, rustup, ... */
};

enum { TOOLS_MISSING_MAX = 64, TOOL_PATH_SIZE = 512, TOOL_VERSION_SIZE = 160 };

struct tool_facts {
    const struct tool *tool;
    enum tool_place place;
    char path[TOOL_PATH_SIZE];       /* as found on PATH */
    char target[TOOL_PATH_SIZE];     /* with symbolic links followed */
    char mount[TOOL_PATH_SIZE];      /* TOOL_OUTSIDE: the directory to mount read-only */
    char version[TOOL_VERSION_SIZE]; /* first line; "" when not asked or not told */
    char problem[96];                /* why there is no version: "did not answer in 5 s", ... */
};

/* Looks the tool's command up in search (PATH's syntax). Returns whether it is there; fills all of
 * out but the version. */
bool tool_find(const struct tool *tool, const char *search, struct tool_facts *out)
    NONNULL(1, 2, 3);

/* The directory that must be mounted for target to work: the version manager's or environment's
 * root where its name tells (.pyenv, .rustup, conda, ...), otherwise what holds its bin directory.
 */
void tool_mount_directory(const char *target, char *out, size_t size) NONNULL(1, 2);

/* Finds every tool and asks those it finds for their versions: a few at once, no shell, five
 * seconds for each. out has room for all of tools_table(). Returns how many there are. */
size_t tools_collect(const char *search, struct tool_facts *out) NONNULL(1, 2);

/* The first-class languages that programs in containers with these mounts do not find. Returns how many. */
size_t tools_missing(const struct mount_config *mounts,
                     const struct language *missing[static TOOLS_MISSING_MAX]);

#endif
