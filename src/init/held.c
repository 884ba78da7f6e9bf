/* The held file: one that stays in the work directory for the next run that wants the same, as long as runs do nothing
 * with it but execute it. The executable of a program with many inputs is copied once then, not for each of them.
 *
 * It is a run's own like all that is copied in, and may be written to. Its times do not tell that, for a page that is mapped
 * from a tmpfs for writing and was read first is written to without a fault (mm/memory.c, do_read_fault(); a tmpfs wants no
 * notice, mm/mmap.c, vma_wants_writenotify()). An inotify(7) watch tells: a run opens the file once, to execute it, and
 * closes it once. Whoever writes opens it once more, when nobody executes it any more (ETXTBSY), so behind that close, by an event
 * which is queued before open(2) returns. What ends behind the last process of the run, such as a descriptor that lies in a socket
 * which nobody has any more, has thus been seen before. New modes, owners, links, names and sizes are events, too.
 *
 * The janitor's thread, between runs; held_run_ended() the launcher's. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "init.h"

/* F_GET_RW_HINT is from Linux 4.13, <linux/fcntl.h>; that header and <fcntl.h> exclude each other. */
enum { GET_RW_HINT = 1024 + 11 };

/* What is told of a file beside its bytes, and may be changed by its owner without having it for writing. */
struct facts {
    struct stat info;
    uint64_t hint;       /* F_SET_RW_HINT */
    unsigned long flags; /* FS_IOC_SETFLAGS; Linux 6.6 */
};

static struct {
    const struct tmpfs *place; /* NULL: there is none */
    int fd;                    /* for reading */
    int watch_fd;
    bool touched; /* atomic */
    char name[NAME_MAX + 1];
    struct facts facts; /* as they were when nobody had had it */
} held;

/* The work directory, where it is a tmpfs that can be told to be as it was; NULL. */
static const struct tmpfs *place_of_work(void)
{
    const struct tmpfs *tmpfs = mounts_work();
    return tmpfs == NULL || tmpfs->pinned || tmpfs->filled ? NULL : tmpfs;
}

/* What is behind the work directory in a path without '/' in front; NULL when it is no name right in it. */
static const char *name_in_work(const char *path)
{
    const char *work = self.work_dir + 1;
    size_t length = strlen(work);
    if (strncmp(path, work, length) != 0 || path[length] != '/')
        return NULL;
    const char *name = path + length + 1;
    return made_name_valid(name, sizeof(held.name)) ? name : NULL;
}

/* Nothing of a run lives, so the path leads where it led a moment before. */
static int watch(const struct tmpfs *place, const char *name)
{
    char path[INIT_PATH_MAX + NAME_MAX + 2];
    int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    snprintf(path, sizeof(path), "%s/%s", place->target, name);
    if (fd >= 0 && inotify_add_watch(fd, path,
                                     IN_OPEN | IN_CLOSE | IN_MODIFY | IN_ATTRIB | IN_MOVE_SELF |
                                         IN_DELETE_SELF | IN_DONT_FOLLOW) < 0) {
        int saved_errno = errno;
        close(fd);
        errno = saved_errno;
        return -1;
    }
    return fd;
}

static bool read_facts(int fd, struct facts *out)
{
    *out = (struct facts){0};
    (void)fcntl(fd, GET_RW_HINT, &out->hint);
    (void)ioctl(fd, FS_IOC_GETFLAGS, &out->flags);
    return fstat(fd, &out->info) == 0;
}

/* The time of last access is not told: tmpfs are mounted without. */
static bool is_same(const struct facts *a, const struct facts *b)
{
    const struct stat *one = &a->info, *other = &b->info;
    return a->hint == b->hint && a->flags == b->flags && one->st_dev == other->st_dev &&
           one->st_ino == other->st_ino && one->st_mode == other->st_mode &&
           one->st_uid == other->st_uid && one->st_gid == other->st_gid &&
           one->st_nlink == other->st_nlink && one->st_size == other->st_size &&
           one->st_blocks == other->st_blocks && one->st_ctim.tv_sec == other->st_ctim.tv_sec &&
           one->st_ctim.tv_nsec == other->st_ctim.tv_nsec;
}

int held_begin(const char *path)
{
    const struct tmpfs *place = place_of_work();
    const char *name = name_in_work(path);
    held_forget();
    errno = EOPNOTSUPP;
    if ((self.setup->flags & SETUP_SINGLE_ID) != 0 || place == NULL || name == NULL)
        return -1;
    held.fd =
        openat(place->dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    if (held.fd < 0)
        return -1;
    held.watch_fd = watch(place, name);
    held.place = place;
    held.touched = false;
    memcpy(held.name, name, strlen(name) + 1);
    if (held.watch_fd < 0 || !read_facts(held.fd, &held.facts) ||
        !S_ISREG(held.facts.info.st_mode) || held.facts.info.st_nlink != 1) {
        int saved_errno = errno;
        held_forget();
        errno = saved_errno;
        return -1;
    }
    return 0;
}

/* Nothing, or that it was opened and then closed, having been executed. */
static bool is_execution(const char *events, size_t size)
{
    static const uint32_t expected[] = {IN_OPEN, IN_CLOSE_NOWRITE};
    struct inotify_event event; /* without a name: it is of the file itself */
    size_t count = size / sizeof(event);
    if (size % sizeof(event) != 0 || count > sizeof(expected) / sizeof(expected[0]))
        return false;
    for (size_t i = 0; i < count; i++) {
        memcpy(&event, events + i * sizeof(event), sizeof(event));
        if (event.mask != expected[i])
            return false;
    }
    return true;
}

void held_run_ended(void)
{
    struct facts now;
    char events[4 * sizeof(struct inotify_event)];
    if (held.place == NULL)
        return;
    ssize_t size = read(held.watch_fd, events, sizeof(events));
    bool quiet = size >= 0 ? is_execution(events, (size_t)size) : errno == EAGAIN;
    if (!quiet || !read_facts(held.fd, &now) || !is_same(&now, &held.facts))
        __atomic_store_n(&held.touched, true, __ATOMIC_RELEASE);
}

bool held_touched(void)
{
    int waiting = 0; /* bytes of what the watch has to say since */
    if (held.place == NULL)
        return false;
    return __atomic_load_n(&held.touched, __ATOMIC_ACQUIRE) ||
           ioctl(held.watch_fd, FIONREAD, &waiting) < 0 || waiting > 0;
}

bool held_is_there(const struct tmpfs *tmpfs, struct stat *now)
{
    return held.place == tmpfs && !held_touched() &&
           fstatat(tmpfs->dir_fd, held.name, now, AT_SYMLINK_NOFOLLOW) == 0 &&
           now->st_dev == held.facts.info.st_dev && now->st_ino == held.facts.info.st_ino;
}

bool held_is(const char *name)
{
    return strcmp(name, held.name) == 0;
}

void held_forget(void)
{
    if (held.place != NULL) {
        close(held.fd);
        if (held.watch_fd >= 0)
            close(held.watch_fd);
    }
    held.place = NULL;
}

void held_forget_in(const struct tmpfs *tmpfs)
{
    if (held.place == tmpfs)
        held_forget();
}

uint32_t held_dirt(void)
{
    return held.place != NULL ? (uint32_t)DIRT_TMPFS << (unsigned)(held.place - self.tmpfs) : 0;
}
