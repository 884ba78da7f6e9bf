/* Writing to somebody who may never read.
 *
 * Signals are blocked while `cjudge run` lives (it hears of them through a signalfd), so a write(2)
 * that waits could be ended by SIGKILL only. */
#include "answer.h"

#include <errno.h>
#include <linux/limits.h>
#include <poll.h>
#include <unistd.h>

int answer_write(int fd, const void *data, size_t size, int stop_fd, struct cj_error *err)
{
    for (size_t done = 0; done < size;) {
        struct pollfd fds[] = {{.fd = fd, .events = POLLOUT}, {.fd = stop_fd, .events = POLLIN}};
        if (poll(fds, COUNT_OF(fds), -1) < 0) {
            if (errno == EINTR)
                continue;
            return error_errno(err, "poll");
        }
        if (fds[0].revents == 0)
            return error_set(err, ERROR_SYSTEM, ECANCELED, "given up by a signal");
        /* So much does not wait on a pipe that is ready, pipe(7). */
        size_t part = size - done < PIPE_BUF ? size - done : PIPE_BUF;
        ssize_t written = write(fd, (const char *)data + done, part);
        if (written < 0 && errno != EINTR && errno != EAGAIN)
            return error_errno(err, "write");
        if (written > 0)
            done += (size_t)written;
    }
    return 0;
}
