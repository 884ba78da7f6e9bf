/* Whole fixed-size messages over a SEQPACKET socket or a pipe. */
#include "container_channel.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "fd_message.h"

int channel_send(int socket, const void *message, size_t size, const int *fds, int count,
                 struct cj_error *err)
{
    if (fd_message_send(socket, message, size, fds, count) < 0)
        return error_errno(err, "send to the container's init");
    return 0;
}

static int await(int socket, int64_t deadline_ns, struct cj_error *err)
{
    struct pollfd readable = {.fd = socket, .events = POLLIN};
    for (;;) {
        int64_t left = deadline_ns - monotonic_ns();
        struct timespec timeout = timespec_from_ns(left > 0 ? left : 0);
        int ready = ppoll(&readable, 1, &timeout, NULL);
        if (ready > 0)
            return 0;
        if (ready == 0)
            return error_set(err, ERROR_SYSTEM, ETIMEDOUT, "the container's init does not answer");
        if (errno != EINTR)
            return error_errno(err, "poll");
    }
}

static int whole(ssize_t got, size_t size, struct cj_error *err)
{
    if (got <= 0)
        return error_set(err, ERROR_INTERNAL, EPIPE, "the container's init has died");
    if ((size_t)got != size)
        return error_set(err, ERROR_INTERNAL, EPROTO, "a message of %zd bytes instead of %zu", got,
                         size);
    return 0;
}

int channel_receive(int socket, void *message, size_t size, int *fd, int64_t timeout_ns,
                    struct cj_error *err)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec part = {.iov_base = message, .iov_len = size};
    struct msghdr header = {
        .msg_iov = &part,
        .msg_iovlen = 1,
        .msg_control = fd != NULL ? &control : NULL,
        .msg_controllen = fd != NULL ? sizeof(control) : 0,
    };
    if (fd != NULL)
        *fd = -1;
    int64_t deadline_ns = monotonic_ns() + timeout_ns;
    ssize_t got;
    for (;;) {
        got = recvmsg(socket, &header, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
        if (got >= 0 || (errno != EAGAIN && errno != EINTR))
            break;
        if (errno == EAGAIN && await(socket, deadline_ns, err) < 0)
            return -1;
    }
    if (got < 0 && errno != ECONNRESET)
        return error_errno(err, "receive from the container's init");
    if (whole(got, size, err) < 0)
        return -1;
    struct cmsghdr *first = fd != NULL ? CMSG_FIRSTHDR(&header) : NULL;
    if (first != NULL && first->cmsg_type == SCM_RIGHTS)
        memcpy(fd, CMSG_DATA(first), sizeof(int));
    return 0;
}

int channel_write(int pipe, const void *message, size_t size, struct cj_error *err)
{
    ssize_t sent;
    do
        sent = write(pipe, message, size);
    while (sent < 0 && errno == EINTR);
    if (sent < 0)
        return error_errno(err, "send to the container's init");
    return 0;
}

int channel_read(int pipe, void *message, size_t size, int64_t timeout_ns, struct cj_error *err)
{
    int64_t deadline_ns = 0;
    ssize_t got;
    while ((got = read(pipe, message, size)) < 0) {
        if (errno != EAGAIN && errno != EINTR)
            return error_errno(err, "receive from the container's init");
        if (deadline_ns == 0)
            deadline_ns = monotonic_ns() + timeout_ns;
        if (errno == EAGAIN && await(pipe, deadline_ns, err) < 0)
            return -1;
    }
    return whole(got, size, err);
}
