/* Listening sockets and their addresses. */
#ifndef CJ_NET_LISTENER_H
#define CJ_NET_LISTENER_H

#include <stddef.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/attr.h"
#include "base/error.h"

enum { ADDRESS_TEXT_SIZE = 128 };

struct listener {
    int fd;
    char text[ADDRESS_TEXT_SIZE]; /* "127.0.0.1:5050", "[::1]:5050", "unix:/run/x" */
    dev_t device;                 /* of a socket file */
    ino_t inode;
};

/* Listens as http_server_listen() says. *listeners (heap, the caller's) has *count of them; the
 * last step is listener_close() for each. */
WARN_UNUSED int listener_open_all(const char *address, struct listener **listeners, size_t *count,
                                  struct cj_error *err) NONNULL(1, 2, 3);

/* Closes it, and removes its socket file if it is still there. */
void listener_close(struct listener *listener) NONNULL(1);

/* "127.0.0.1:4711", "[::1]:4711", "unix". */
void address_format(const struct sockaddr_storage *address, char *text, size_t size) NONNULL(1, 2);

#endif
