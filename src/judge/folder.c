#include "folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/io.h"

static const char lock_name[] = "lock";

/* ---- removing ---- */

static void remove_all_in(int dir_fd)
{
    DIR *list = fdopendir(dir_fd); /* takes dir_fd */
    if (list == NULL) {
        close(dir_fd);
        return;
    }
    for (const struct dirent *entry; (entry = readdir(list)) != NULL;)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            folder_remove_in(dirfd(list), entry->d_name);
    closedir(list);
}

void folder_remove_in(int dir_fd, const char *name)
{
    if (unlinkat(dir_fd, name, 0) == 0 || (errno != EISDIR && errno != EPERM))
        return;
    int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return;
    remove_all_in(fd);
    unlinkat(dir_fd, name, AT_REMOVEDIR);
}

/* A folder is nobody's when it is ours by its owner and mode, has a lock, and the lock can be had. */
static void remove_if_left(int parent_fd, const char *name)
{
    struct stat info;
    auto_fd int fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &info) < 0 || info.st_uid != geteuid() || (info.st_mode & 022) != 0)
        return;
    auto_fd int lock = openat(fd, lock_name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (lock >= 0 && flock(lock, LOCK_EX | LOCK_NB) == 0)
        folder_remove_in(parent_fd, name);
}

static void remove_left(const char *parent, const char *prefix)
{
    DIR *list = opendir(parent);
    if (list == NULL)
        return;
    for (const struct dirent *entry; (entry = readdir(list)) != NULL;)
        if (strncmp(entry->d_name, prefix, strlen(prefix)) == 0)
            remove_if_left(dirfd(list), entry->d_name);
    closedir(list);
}

/* ---- public ---- */

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

int folder_open(const char *parent, const char *prefix, struct folder *out, struct cj_error *err)
{
    *out = (struct folder){.fd = -1, .lock_fd = -1};
    remove_left(parent, prefix);
    if (snprintf(out->path, sizeof(out->path), "%s/%sXXXXXX", parent, prefix) >=
        (int)sizeof(out->path))
        return error_set(err, ERROR_CONFIG, ENAMETOOLONG, "'%.100s...': the name is too long",
                         parent);
    if (mkdtemp(out->path) == NULL) {
        out->path[0] = '\0';
        return error_errno(err, "make a folder in %s", parent);
    }
    out->fd = open(out->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (out->fd < 0 || fchmod(out->fd, 0755) < 0) {
        error_errno(err, "open %s", out->path);
        folder_close(out);
        return -1;
    }
    if (make_lock(out, err) < 0) {
        folder_close(out);
        return -1;
    }
    return 0;
}

void folder_close(struct folder *folder)
{
    if (folder->path[0] == '\0')
        return;
    if (folder->fd >= 0)
        remove_all_in(fd_take(&folder->fd));
    rmdir(folder->path);
    fd_close(&folder->lock_fd);
    folder->path[0] = '\0';
}

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
