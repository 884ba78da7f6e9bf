/* A terminal of a run: a pseudoterminal pair, pty(7). */
#ifndef CJ_EXEC_TERMINAL_H
#define CJ_EXEC_TERMINAL_H

#include "base/attr.h"
#include "base/error.h"

/* Makes a pair, both ends the caller's: master, non-blocking, is what types and what shows; slave is for
 * the program, and dies with the last descriptor of it. */
WARN_UNUSED int terminal_open(int *master, int *slave, struct cj_error *err);

#endif
