/* One message, one fixed struct: receiving checks the size, nothing else is taken. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "init.h"

enum { FDS_MAX = 253 }; /* SCM_MAX_FD, unix(7) */

int message_receive(int socket, void *message, size_t size, int *fds, int fd_max)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(FDS_MAX * sizeof(int))];
    } control;
    struct iovec part = {.iov_base = message, .iov_len = size};
    struct msghdr header = {
        .msg_iov = &part,
        .msg_iovlen = 1,
        .msg_control = fd_max > 0 ? &control : NULL,
        .msg_controllen = fd_max > 0 ? sizeof(control) : 0,
    };
    ssize_t got;
    do
        got = recvmsg(socket, &header, MSG_CMSG_CLOEXEC);
    while (got < 0 && errno == EINTR);
    if (got == 0 || (got < 0 && errno == ECONNRESET))
        return -1;
    if (got < 0)
        give_up("receive");
    if ((size_t)got != size || (header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0)
        give_up("a message of the wrong size");
    int count = 0;
    if (fd_max == 0)
        return 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&header); c != NULL; c = CMSG_NXTHDR(&header, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        int here = (int)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        if (count + here > fd_max)
            give_up("too many descriptors");
        memcpy(fds + count, CMSG_DATA(c), (size_t)here * sizeof(int));
        count += here;
    }
    return count;
}

void message_send(int socket, const void *message, size_t size, int fd)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec part = {.iov_base = (void *)(uintptr_t)message, .iov_len = size};
    struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1};
    if (fd >= 0) {
        memset(&control, 0, sizeof(control));
        control.header.cmsg_level = SOL_SOCKET;
        control.header.cmsg_type = SCM_RIGHTS;
        control.header.cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(&control.header), &fd, sizeof(int));
        header.msg_control = &control;
        header.msg_controllen = sizeof(control.bytes);
    }
    ssize_t sent;
    do
        sent = sendmsg(socket, &header, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    if (sent < 0)
        _exit(0); /* the service is gone */
}
