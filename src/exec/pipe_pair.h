/* A kernel pipe whose ends go to programs. */
#ifndef CJ_EXEC_PIPE_PAIR_H
#define CJ_EXEC_PIPE_PAIR_H

#include "base/attr.h"
#include "base/error.h"

struct pipe_pair {
    int read_fd, write_fd; /* -1: none */
};

/* Both ends block. Programs that hold an end may open it anew by its name in /proc (/dev/stdin), so its
 * inode lets them; nobody else can name it. */
WARN_UNUSED int pipe_pair_open(struct pipe_pair *pair, struct cj_error *err);

/* Makes an end non-blocking; the other one stays as it is. */
WARN_UNUSED int pipe_pair_unblock(int end, struct cj_error *err);

#endif
