#include "base/remove_tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"

/* A tree may be as deep as its maker liked, so nothing here recurses: what is in a directory below is moved up to the
 * top, and then that one is empty. */
struct removal {
    int top_fd;
    const char *but;
    unsigned long long next; /* name of what is moved up */
    size_t left;             /* entries that a pass has met and not removed, */
    size_t moved;            /* and what it has done all the same */
    int error;
};

static bool is_entry(const struct dirent *entry)
{
    return strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
}

static int open_beneath(int dir_fd, const char *name, uint64_t flags)
{
    struct open_how how = {.flags = O_DIRECTORY | O_CLOEXEC | flags,
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS};
    return (int)syscall(SYS_openat2, dir_fd, name, &how, sizeof(how));
}

int remove_tree_open(int dir_fd, const char *name)
{
    return open_beneath(dir_fd, name, O_RDONLY);
}

/* Its own user may have to be let in first. The mode is that of the very directory: O_PATH needs no right to it, and
 * its link in /proc cannot be made to mean another one. */
static int open_and_let_in(int dir_fd, const char *name)
{
    char link[64];
    auto_fd int place = open_beneath(dir_fd, name, O_PATH);
    if (place < 0)
        return -1;
    snprintf(link, sizeof(link), "/proc/self/fd/%d", place);
    (void)chmod(link, 0700); /* where it fails, opening says so */
    return openat(place, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* A directory that goes to another one has to be writable itself: its ".." changes. */
static int rename_up(int from_fd, const char *name, int top_fd, const char *other)
{
    if (renameat(from_fd, name, top_fd, other) == 0)
        return 0;
    if (errno != EACCES)
        return -1;
    auto_fd int let_in = open_and_let_in(from_fd, name);
    return let_in >= 0 ? renameat(from_fd, name, top_fd, other) : -1;
}

static void stays(struct removal *removal)
{
    removal->left++;
    removal->error = errno;
}

static void move_up(struct removal *removal, const char *name)
{
    int fd = open_and_let_in(removal->top_fd, name);
    DIR *below = fd >= 0 ? fdopendir(fd) : NULL;
    if (below == NULL) {
        stays(removal);
        fd_close(&fd);
        return;
    }
    const struct dirent *entry;
    int error = 0;
    while ((entry = readdir(below)) !=
           NULL) { /* NOLINT(concurrency-mt-unsafe): a stream of our own */
        char other[64];
        if (!is_entry(entry))
            continue;
        if (unlinkat(fd, entry->d_name, 0) == 0) {
            removal->moved++;
            continue;
        }
        do {
            snprintf(other, sizeof(other), ".cjudge-%llu", removal->next++);
        } while (faccessat(removal->top_fd, other, F_OK, AT_SYMLINK_NOFOLLOW) == 0);
        if (rename_up(fd, entry->d_name, removal->top_fd, other) == 0)
            removal->moved++;
        else
            error = errno;
    }
    closedir(below);
    if (unlinkat(removal->top_fd, name, AT_REMOVEDIR) == 0) {
        removal->moved++;
        return;
    }
    errno = error != 0 ? error : errno;
    stays(removal);
}

/* One pass over what is there now. */
static int pass(struct removal *removal)
{
    int copy = openat(removal->top_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *top = copy >= 0 ? fdopendir(copy) : NULL;
    const struct dirent *entry;
    if (top == NULL) {
        fd_close(&copy);
        return -1;
    }
    while ((entry = readdir(top)) != NULL) { /* NOLINT(concurrency-mt-unsafe) */
        const char *name = entry->d_name;
        if (!is_entry(entry) || (removal->but != NULL && strcmp(name, removal->but) == 0))
            continue;
        if (unlinkat(removal->top_fd, name, 0) == 0 ||
            unlinkat(removal->top_fd, name, AT_REMOVEDIR) == 0)
            removal->moved++; /* and what a full directory hid behind it is seen by the next pass */
        else
            move_up(removal, name);
    }
    closedir(top);
    return 0;
}

int remove_tree_in(int dir_fd, const char *but)
{
    struct removal removal = {.top_fd = dir_fd, .but = but};
    do {
        removal.left = removal.moved = 0;
        if (pass(&removal) < 0)
            return -1;
    } while (removal.moved > 0);
    errno = removal.error;
    return removal.left > 0 ? -1 : 0;
}

int remove_tree(int dir_fd, const char *name)
{
    if (unlinkat(dir_fd, name, 0) == 0 || errno == ENOENT ||
        unlinkat(dir_fd, name, AT_REMOVEDIR) == 0)
        return 0;
    auto_fd int fd = open_and_let_in(dir_fd, name);
    if (fd < 0 || remove_tree_in(fd, NULL) < 0)
        return -1;
    return unlinkat(dir_fd, name, AT_REMOVEDIR);
}
