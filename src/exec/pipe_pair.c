/* A kernel pipe whose ends go to programs. */
#include "pipe_pair.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

int pipe_pair_open(struct pipe_pair *pair, struct cj_error *err)
{
    int ends[2];
    *pair = (struct pipe_pair){-1, -1};
    if (pipe2(ends, O_CLOEXEC) < 0)
        return error_errno(err, "pipe: create");
    *pair = (struct pipe_pair){ends[0], ends[1]};
    if (fchmod(ends[0], 0666) < 0) { /* of both: they share the inode */
        error_errno(err, "pipe: create");
        close(ends[0]);
        close(ends[1]);
        *pair = (struct pipe_pair){-1, -1};
        return -1;
    }
    return 0;
}

int pipe_pair_unblock(int end, struct cj_error *err)
{
    if (fcntl(end, F_SETFL, O_NONBLOCK) < 0)
        return error_errno(err, "pipe: open reader");
    return 0;
}
