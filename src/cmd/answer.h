/* Writing to somebody who may never read. */
#ifndef CJ_CMD_ANSWER_H
#define CJ_CMD_ANSWER_H

#include <stddef.h>

#include "base/attr.h"
#include "base/error.h"

/* Writes all of it to fd, and waits for its reader as write(2) would; but once stop_fd is readable
 * (-1: never), it writes only what fd takes without waiting. fd may be anything open(2) gives and
 * keeps its flags. Returns 0, or -1: err->code is ECANCELED when the rest was given up. */
WARN_UNUSED int answer_write(int fd, const void *data, size_t size, int stop_fd,
                             struct cj_error *err);

#endif
