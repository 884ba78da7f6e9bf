/* Files that a run's outputs go to: made in the work directory before it starts, read and taken out again
 * when it has ended, by the launcher itself. So what a program writes to its standard output costs no
 * question to the janitor, and mostly leaves nothing behind that would have to be cleaned.
 *
 * Names are single parts, so nothing but the work directory itself is looked up; that it is a tmpfs of the
 * container's own, and fresh, the service has seen to. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "init.h"

static struct {
    unsigned count;
    int fds[INIT_MADE_MAX];
    char names[INIT_MADE_MAX][NAME_MAX + 1];
    struct tmpfs *place;   /* that the work directory is; NULL */
    struct timespec since; /* change time of its root when our files were there and nothing else */
} made;

/* ---- before the run ---- */

/* For writing, too: the program opens its own by name, and what we read from later is this one, wherever
 * the name leads then. */
static int make(const char *name)
{
    const bool single = (self.setup->flags & SETUP_SINGLE_ID) != 0;
    int fd = open(name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY, 0777);
    if (fd >= 0 && !single && fchown(fd, self.setup->uid, self.setup->gid) < 0) {
        int saved_errno = errno;
        close(fd);
        errno = saved_errno;
        return -1;
    }
    return fd;
}

bool made_name_valid(const char *name, size_t size)
{
    size_t length = strnlen(name, size);
    return length > 0 && length < size && length <= NAME_MAX && strchr(name, '/') == NULL &&
           strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

int made_open(const char *name)
{
    if (made.count == INIT_MADE_MAX) {
        errno = EMFILE;
        return -1;
    }
    int fd = make(name);
    if (fd < 0)
        return -1;
    memcpy(made.names[made.count], name, strlen(name) + 1); /* made_name_valid() */
    made.fds[made.count] = fd;
    __atomic_store_n(&made.count, made.count + 1, __ATOMIC_RELEASE); /* made_inodes() */
    return 0;
}

void made_ready(void)
{
    struct stat now;
    struct tmpfs *place = made.count > 0 ? mounts_work() : NULL;
    if (place == NULL || fstat(place->dir_fd, &now) < 0)
        return;
    made.place = place;
    made.since = now.st_ctim;
}

int made_open_again(unsigned number)
{
    return open(made.names[number], O_WRONLY | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY);
}

/* ---- behind it ---- */

static bool same_time(struct timespec a, struct timespec b)
{
    return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

static bool read_whole(int fd, char *room, size_t size)
{
    for (size_t done = 0; done < size;) {
        ssize_t got = pread(fd, room + done, size - done, (off_t)done);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        done += (size_t)got;
    }
    return true;
}

/* What is short goes into the arena, what is long as a descriptor. *used: of the room there. */
static void hand_over(unsigned number, uint32_t sequence, uint32_t *used, struct init_made *out)
{
    const struct init_passed header = {.magic = INIT_MAGIC, .sequence = sequence};
    struct stat info;
    if (fstat(made.fds[number], &info) < 0)
        give_up("look at an output");
    out->bytes = (uint64_t)info.st_size;
    out->offset = INIT_MADE_OFFSET + *used;
    if (out->bytes <= INIT_MADE_SIZE - *used &&
        read_whole(made.fds[number], self.arena + out->offset, (size_t)out->bytes)) {
        *used += (uint32_t)out->bytes;
    } else {
        out->passed = 1;
        message_send(INIT_FD_RUN, &header, sizeof(header), made.fds[number]);
    }
    close(made.fds[number]);
}

/* What changed the directory's time besides us is dirt, and the janitor's to clean. So is what is left or could
 * not be removed: files_dirt(), which comes next, counts. */
static void take_out(void)
{
    struct tmpfs *place = made.place;
    struct stat now;
    if (place == NULL || fstat(place->dir_fd, &now) < 0 || !same_time(now.st_ctim, made.since))
        return;
    for (unsigned i = 0; i < made.count; i++)
        (void)unlinkat(place->dir_fd, made.names[i], 0);
    if (fstat(place->dir_fd, &now) == 0)
        place->fresh.st_ctim = now.st_ctim;
}

void made_end(uint32_t sequence, struct init_made *out)
{
    uint32_t used = 0;
    if (made.count == 0)
        return;
    for (unsigned i = 0; i < made.count; i++)
        hand_over(i, sequence, &used, &out[i]);
    take_out();
    __atomic_store_n(&made.count, 0, __ATOMIC_RELEASE);
    made.place = NULL;
}

void made_inodes(uint64_t inodes[static INIT_MADE_MAX])
{
    struct stat info;
    unsigned count = __atomic_load_n(&made.count, __ATOMIC_ACQUIRE);
    for (unsigned i = 0; i < INIT_MADE_MAX; i++)
        inodes[i] = i < count && fstat(made.fds[i], &info) == 0 ? info.st_ino : 0;
}
