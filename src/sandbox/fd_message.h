/* One message over a SEQPACKET socket, with descriptors. */
#ifndef CJ_SANDBOX_FD_MESSAGE_H
#define CJ_SANDBOX_FD_MESSAGE_H

#include <stddef.h>

#include "base/attr.h"

enum { FD_MESSAGE_MAX = 253 }; /* descriptors: SCM_MAX_FD, unix(7) */

/* fds stay the caller's. -1 with errno. No SIGPIPE. */
WARN_UNUSED int fd_message_send(int socket, const void *message, size_t size, const int *fds,
                                int count);

#endif
