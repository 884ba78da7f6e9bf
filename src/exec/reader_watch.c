/* Learning that the reader of a pipe has left.
 *
 * An inotify instance is kept by each thread: to close one means to wait for all CPUs (milliseconds), to end
 * a watch does not. */
#include "reader_watch.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/fd.h"

enum { UNKNOWN = 0, UNUSABLE = -1 };

/* The instance + 1, so that a new thread's is 0. */
static __thread intptr_t own;
static pthread_key_t own_key;
static pthread_once_t own_once = PTHREAD_ONCE_INIT;

static void close_own(void *value)
{
    close((int)((intptr_t)value - 1));
}

static void make_key(void)
{
    if (pthread_key_create(&own_key, close_own) != 0)
        own_key = (pthread_key_t)-1; /* setting it will fail */
}

static void path_of(int fd, char path[static 64])
{
    snprintf(path, 64, "/proc/self/fd/%d", fd);
}

int reader_watch_add(int watch_fd, int end)
{
    char path[64];
    path_of(end, path);
    return inotify_add_watch(watch_fd, path, IN_OPEN | IN_CLOSE_NOWRITE);
}

void reader_watch_remove(int watch_fd, int watch)
{
    (void)inotify_rm_watch(watch_fd, watch);
}

void reader_watch_take(int watch_fd, void (*tell)(void *arg, int watch, bool opened), void *arg)
{
    _Alignas(struct inotify_event) char bytes[4096];
    for (;;) {
        ssize_t got = read(watch_fd, bytes, sizeof(bytes));
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return;
        for (ssize_t at = 0; at < got;) {
            const struct inotify_event *event = (const void *)(bytes + at);
            at += (ssize_t)(sizeof(*event) + event->len);
            if ((event->mask & (IN_OPEN | IN_Q_OVERFLOW)) != 0)
                tell(arg, event->wd, true);
            else if ((event->mask & IN_CLOSE_NOWRITE) != 0)
                tell(arg, event->wd, false);
        }
    }
}

/* ---- the thread's instance ---- */

struct trial {
    int watch;
    unsigned opened, closed;
};

static void note(void *arg, int watch, bool opened)
{
    struct trial *trial = arg;
    if (watch == trial->watch)
        *(opened ? &trial->opened : &trial->closed) += 1;
}

/* Some kernels tell nothing of pipes: seen by trying. */
static bool tells(int watch_fd)
{
    int ends[2];
    char path[64];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return false;
    auto_fd int reader = ends[0], writer = ends[1];
    path_of(reader, path);
    struct trial trial = {.watch = reader_watch_add(watch_fd, reader)};
    auto_fd int again = trial.watch < 0 ? -1 : open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    bool opened = again >= 0;
    fd_close(&again);
    fd_close(&reader);
    reader_watch_take(watch_fd, note, &trial);
    if (trial.watch >= 0)
        reader_watch_remove(watch_fd, trial.watch);
    (void)writer;
    return opened && trial.opened == 1 && trial.closed >= 1;
}

static int open_own(void)
{
    auto_fd int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (fd < 0 || !tells(fd))
        return UNUSABLE;
    pthread_once(&own_once, make_key);
    if (pthread_setspecific(own_key, (void *)(intptr_t)(fd + 1)) != 0)
        return UNUSABLE;
    return fd_take(&fd);
}

static void forget(void *arg, int watch, bool opened)
{
    (void)arg, (void)watch, (void)opened;
}

int reader_watch_fd(void)
{
    if (own == UNKNOWN) {
        int fd = open_own();
        own = fd < 0 ? UNUSABLE : fd + 1;
    }
    if (own == UNUSABLE)
        return -1;
    int fd = (int)(own - 1);
    reader_watch_take(fd, forget, NULL);
    return fd;
}
