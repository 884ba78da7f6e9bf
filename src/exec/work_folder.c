#include "work_folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/io.h"
#include "base/log.h"

struct work_folder {
    int fd;
    char path[PATH_MAX];
};

int work_folder_make(struct work_folder **out, struct cj_error *err)
{
    const char *root = getenv("TMPDIR");
    struct work_folder *folder = calloc(1, sizeof(*folder));
    if (folder == NULL)
        return error_set(err, ERROR_SYSTEM, ENOMEM, "make a work folder: out of memory");
    if (root == NULL || root[0] != '/')
        root = "/tmp";
    folder->fd = -1;
    if (snprintf(folder->path, sizeof(folder->path), "%s/cjudge-work-XXXXXX", root) >=
            (int)sizeof(folder->path) ||
        mkdtemp(folder->path) == NULL) {
        error_errno(err, "make a work folder in %s", root);
        free(folder);
        return -1;
    }
    folder->fd = open(folder->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (folder->fd >= 0) {
        *out = folder;
        return 0;
    }
    error_errno(err, "open %s", folder->path);
    (void)rmdir(folder->path);
    free(folder);
    return -1;
}

const char *work_folder_path(const struct work_folder *folder)
{
    return folder->path;
}

/* Names come from requests: nothing but an entry of the folder itself can be meant. */
static int check_name(const char *name, struct cj_error *err)
{
    if (name[0] != '\0' && strchr(name, '/') == NULL && strcmp(name, ".") != 0 &&
        strcmp(name, "..") != 0)
        return 0;
    return error_set(err, ERROR_REQUEST, EINVAL,
                     "'%s': on the host's side a file is named without folders", name);
}

int work_folder_write(const struct work_folder *folder, const char *name, const void *data,
                      size_t size, struct cj_error *err)
{
    if (check_name(name, err) < 0)
        return -1;
    auto_fd int fd = openat(folder->fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0777);
    if (fd < 0)
        return error_errno(err, "make %s", name);
    if (size > 0 && write_full(fd, data, size) < 0)
        return error_errno(err, "write %s", name);
    return 0;
}

int work_folder_open(const struct work_folder *folder, const char *name, int *fd, uint64_t *size,
                     struct cj_error *err)
{
    struct stat info;
    if (check_name(name, err) < 0)
        return -1;
    auto_fd int file =
        openat(folder->fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (file < 0 || fstat(file, &info) < 0)
        return error_errno(err, "open %s", name);
    if (!S_ISREG(info.st_mode))
        return error_set(err, ERROR_REQUEST, EINVAL, "%s: not a regular file", name);
    *size = (uint64_t)info.st_size;
    *fd = fd_take(&file);
    return 0;
}

/* ---- removal ---- */

/* Nobody is left who could change it, but it may be as deep as its maker liked: nothing here recurses. What is in a
 * folder below is moved up to the top, and then it is empty. */

struct names {
    unsigned long long next; /* of what was moved up */
    bool stuck;
};

static bool is_entry(const struct dirent *entry)
{
    return strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
}

static void move_up(int top_fd, const char *name, struct names *names)
{
    int fd = openat(top_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && errno == EACCES && fchmodat(top_fd, name, 0700, 0) == 0)
        fd = openat(top_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *below = fd >= 0 ? fdopendir(fd) : NULL;
    if (below == NULL) {
        fd_close(&fd);
        names->stuck = true;
        return;
    }
    (void)fchmod(fd, 0700); /* its own user may have to be let in first */
    const struct dirent *entry;
    while ((entry = readdir(below)) !=
           NULL) { /* NOLINT(concurrency-mt-unsafe): a stream of our own */
        char other[64];
        if (!is_entry(entry) || unlinkat(fd, entry->d_name, 0) == 0)
            continue;
        do {
            snprintf(other, sizeof(other), ".cjudge-%llu", names->next++);
        } while (faccessat(top_fd, other, F_OK, AT_SYMLINK_NOFOLLOW) == 0);
        if (renameat(fd, entry->d_name, top_fd, other) < 0)
            names->stuck = true;
    }
    closedir(below);
    if (unlinkat(top_fd, name, AT_REMOVEDIR) < 0)
        names->stuck = true;
}

/* One pass over what is there now. Returns how many entries it met. */
static size_t empty_once(int fd, struct names *names)
{
    int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *top = copy >= 0 ? fdopendir(copy) : NULL;
    const struct dirent *entry;
    size_t count = 0;
    if (top == NULL) {
        fd_close(&copy);
        return 0;
    }
    while ((entry = readdir(top)) != NULL) { /* NOLINT(concurrency-mt-unsafe) */
        if (!is_entry(entry))
            continue;
        count++;
        if (unlinkat(fd, entry->d_name, 0) < 0 && unlinkat(fd, entry->d_name, AT_REMOVEDIR) < 0)
            move_up(fd, entry->d_name, names);
    }
    closedir(top);
    return count;
}

void work_folder_remove(struct work_folder *folder)
{
    struct names names = {0};
    if (folder == NULL)
        return;
    (void)fchmod(folder->fd, 0700);
    while (empty_once(folder->fd, &names) > 0 && !names.stuck)
        continue;
    if (rmdir(folder->path) < 0)
        log_warn("a work folder cannot be removed", log_text("path", folder->path),
                 log_text("because", strerrordesc_np(errno)));
    fd_close(&folder->fd);
    free(folder);
}
