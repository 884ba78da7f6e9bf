#include "work_folder.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/folder.h"
#include "base/io.h"

static const char prefix[] = "cjudge-work-";

/* The command's folder is one in ours, so that neither its lock nor its mode is in the command's way. */
struct work_folder {
    struct folder outer;
    int fd;
    char path[FOLDER_PATH_SIZE + sizeof("/work")];
};

static const char *parent_of_all(void)
{
    const char *named = getenv("TMPDIR"); /* NOLINT(concurrency-mt-unsafe): nobody sets variables */
    return named != NULL && named[0] == '/' ? named : "/tmp";
}

void work_folders_remove_left(void)
{
    folder_remove_left(parent_of_all(), prefix);
}

static int open_inner(struct work_folder *folder, struct cj_error *err)
{
    snprintf(folder->path, sizeof(folder->path), "%s/work", folder->outer.path);
    if (mkdirat(folder->outer.fd, "work", 0700) < 0)
        return error_errno(err, "make %s", folder->path);
    folder->fd = openat(folder->outer.fd, "work", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return folder->fd >= 0 ? 0 : error_errno(err, "open %s", folder->path);
}

int work_folder_make(struct work_folder **out, struct cj_error *err)
{
    struct work_folder *folder = calloc(1, sizeof(*folder));
    if (folder == NULL)
        return error_set(err, ERROR_SYSTEM, ENOMEM, "make a work folder: out of memory");
    folder->fd = -1;
    if (folder_make(parent_of_all(), prefix, 0700, &folder->outer, err) < 0 ||
        open_inner(folder, err) < 0) {
        work_folder_remove(folder);
        return error_wrap(err, "make a work folder");
    }
    *out = folder;
    return 0;
}

void work_folder_remove(struct work_folder *folder)
{
    if (folder == NULL)
        return;
    fd_close(&folder->fd);
    folder_remove(&folder->outer);
    free(folder);
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
