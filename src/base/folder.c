#include "base/folder.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/io.h"
#include "base/log.h"
#include "base/remove_tree.h"

static const char lock_name[] = "lock";
static const char random_letters[] = "XXXXXX"; /* mkdtemp(3) */

/* ---- what is left of others ---- */

static bool is_named_so(const char *name, const char *prefix)
{
    size_t length = strlen(prefix);
    if (strncmp(name, prefix, length) != 0 || strlen(name + length) != strlen(random_letters))
        return false;
    for (const char *at = name + length; *at != '\0'; at++)
        if (!isalnum((unsigned char)*at))
            return false;
    return true;
}

/* The lock of a folder that has one, and whose owner has gone; -1. While it is held nobody else takes it for left. */
static int take_lock(int fd)
{
    struct stat info, named;
    auto_fd int lock = openat(fd, lock_name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (lock < 0 || fstat(lock, &info) < 0 || !S_ISREG(info.st_mode) || info.st_uid != geteuid() ||
        flock(lock, LOCK_EX | LOCK_NB) < 0)
        return -1;
    /* Another one may have removed it since it was opened. */
    if (fstatat(fd, lock_name, &named, AT_SYMLINK_NOFOLLOW) < 0 || named.st_dev != info.st_dev ||
        named.st_ino != info.st_ino)
        return -1;
    return fd_take(&lock);
}

/* The lock goes last: what cannot be removed now is tried again at the next start. */
static int remove_all(int fd)
{
    if (remove_tree_in(fd, lock_name) < 0)
        return -1;
    return unlinkat(fd, lock_name, 0) == 0 || errno == ENOENT ? 0 : -1;
}

static void remove_if_left(const char *parent, int parent_fd, const char *name)
{
    struct stat info;
    auto_fd int fd = remove_tree_open(parent_fd, name);
    if (fd < 0 || fstat(fd, &info) < 0 || info.st_uid != geteuid() || (info.st_mode & 022) != 0)
        return;
    auto_fd int lock = take_lock(fd);
    if (lock < 0)
        return;
    if (remove_all(fd) == 0 && unlinkat(parent_fd, name, AT_REMOVEDIR) == 0)
        log_info("removed what an earlier process has left", log_text("folder", name),
                 log_text("in", parent));
    else
        log_warn("what an earlier process has left cannot be removed", log_text("folder", name),
                 log_text("in", parent), log_text("because", strerrordesc_np(errno)));
}

void folder_remove_left(const char *parent, const char *prefix)
{
    DIR *list = opendir(parent);
    if (list == NULL)
        return;
    for (const struct dirent *entry;
         (entry = readdir(list)) != NULL;) /* NOLINT(concurrency-mt-unsafe): a stream of our own */
        if (is_named_so(entry->d_name, prefix))
            remove_if_left(parent, dirfd(list), entry->d_name);
    closedir(list);
}

/* ---- our own ---- */

/* The lock is made under another name and locked before it gets its own: a folder without "lock" is being made, and
 * nobody removes it. */
static int make_lock(struct folder *folder, struct cj_error *err)
{
    folder->lock_fd = openat(folder->fd, "lock.new", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (folder->lock_fd < 0 || flock(folder->lock_fd, LOCK_EX | LOCK_NB) < 0 ||
        renameat(folder->fd, "lock.new", folder->fd, lock_name) < 0)
        return error_errno(err, "lock %s", folder->path);
    return 0;
}

int folder_make(const char *parent, const char *prefix, mode_t mode, struct folder *out,
                struct cj_error *err)
{
    *out = (struct folder){.fd = -1, .lock_fd = -1};
    if (snprintf(out->path, sizeof(out->path), "%s/%s%s", parent, prefix, random_letters) >=
        (int)sizeof(out->path)) {
        out->path[0] = '\0';
        return error_set(err, ERROR_CONFIG, ENAMETOOLONG, "'%.100s...': the name is too long",
                         parent);
    }
    if (mkdtemp(out->path) == NULL) {
        out->path[0] = '\0';
        return error_errno(err, "make a folder in %s", parent);
    }
    out->fd = open(out->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (out->fd < 0 || fchmod(out->fd, mode) < 0) {
        error_errno(err, "open %s", out->path);
        folder_remove(out);
        return -1;
    }
    if (make_lock(out, err) < 0) {
        folder_remove(out);
        return -1;
    }
    return 0;
}

void folder_remove(struct folder *folder)
{
    if (folder->path[0] == '\0')
        return;
    if ((folder->fd >= 0 && remove_all(folder->fd) < 0) || rmdir(folder->path) < 0)
        log_warn("a folder of ours cannot be removed", log_text("path", folder->path),
                 log_text("because", strerrordesc_np(errno)));
    fd_close(&folder->fd);
    fd_close(&folder->lock_fd);
    folder->path[0] = '\0';
}

/* ---- files ---- */

int folder_write(int dir_fd, const char *name, const char *data, size_t size, struct cj_error *err)
{
    auto_fd int at = fcntl(dir_fd, F_DUPFD_CLOEXEC, 0);
    const char *rest = name;
    for (const char *slash; at >= 0 && (slash = strchr(rest, '/')) != NULL; rest = slash + 1) {
        char part[256];
        if (slash == rest ||
            snprintf(part, sizeof(part), "%.*s", (int)(slash - rest), rest) >= 256 ||
            strcmp(part, "..") == 0)
            return error_set(err, ERROR_CONFIG, EINVAL, "'%s' is not the name of a file", name);
        if (mkdirat(at, part, 0755) < 0 && errno != EEXIST)
            return error_errno(err, "make %s", name);
        int next = openat(at, part, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        fd_close(&at);
        at = next;
    }
    if (at < 0)
        return error_errno(err, "open the folder of %s", name);
    auto_fd int fd = openat(at, rest, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
    if (fd < 0)
        return error_errno(err, "make %s", name);
    if (fchmod(fd, 0644) < 0 || write_full(fd, data, size) < 0)
        return error_errno(err, "write %s", name);
    return 0;
}
