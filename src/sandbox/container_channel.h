/* Whole messages: over a SEQPACKET socket, with descriptors and a timeout, or over a pipe. */
#ifndef CJ_SANDBOX_CONTAINER_CHANNEL_H
#define CJ_SANDBOX_CONTAINER_CHANNEL_H

#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/error.h"

/* fds stay the caller's. */
WARN_UNUSED int channel_send(int socket, const void *message, size_t size, const int *fds,
                             int count, struct cj_error *err);

/* Waits at most timeout_ns. fd: NULL, or gets the one descriptor that came (-1: none; the caller's).
 * err->code: EPIPE = the other side is gone, ETIMEDOUT, EPROTO = a message of another size. */
WARN_UNUSED int channel_receive(int socket, void *message, size_t size, int *fd, int64_t timeout_ns,
                                struct cj_error *err);

/* The same over pipes, for messages up to PIPE_BUF bytes: a round trip costs less than over a socket. The
 * process ignores SIGPIPE. pipe is non-blocking for reading. */
WARN_UNUSED int channel_write(int pipe, const void *message, size_t size, struct cj_error *err);
WARN_UNUSED int channel_read(int pipe, void *message, size_t size, int64_t timeout_ns,
                             struct cj_error *err);

#endif
