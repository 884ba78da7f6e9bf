/* Ownership of descriptors and heap blocks: cleanup-annotated locals and visible hand-overs.
 *
 *     auto_fd int fd = openat(...);
 *     ...
 *     *out_fd = fd_take(&fd);
 *
 * "None" is -1. Descriptors are close-on-exec from birth; _exit and exec run no cleanups. */
#ifndef CJ_BASE_FD_H
#define CJ_BASE_FD_H

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

static inline void fd_close(int *fd)
{
    int saved_errno = errno; /* the caller may be about to report it */
    if (*fd >= 0)
        close(*fd); /* once: Linux frees the number even on EINTR, close(2) NOTES */
    *fd = -1;
    errno = saved_errno;
}

static inline int fd_take(int *fd)
{
    int taken = *fd;
    *fd = -1;
    return taken;
}

static inline void free_pointer(void *pointer)
{
    void **block = pointer;
    free(*block);
    *block = NULL;
}

#define auto_fd   __attribute__((cleanup(fd_close)))
#define auto_free __attribute__((cleanup(free_pointer)))

#endif
