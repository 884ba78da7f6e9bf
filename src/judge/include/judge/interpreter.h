/* A Python interpreter outside of what every container shows (conda, venv, pyenv): which folders it
 * needs. */
#ifndef CJ_JUDGE_INTERPRETER_H
#define CJ_JUDGE_INTERPRETER_H

#include <stddef.h>

#include "base/attr.h"
#include "base/error.h"

/* Asks the interpreter itself, which is started once, on the host, as this process's user. command: a path or
 * a name that is looked up in PATH. *paths: absolute, none below another, none below the prefixes that are
 * shown anyway; the caller frees the list, which is one allocation. An interpreter that lies below those
 * gives an empty list without being asked. */
WARN_UNUSED int interpreter_paths(const char *command, const char *const *shown, size_t shown_count,
                                  char ***paths, size_t *count, struct cj_error *err);

#endif
