#include "prepared_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"

/* One name in a directory: neither up, nor over a link, nor into a mount. */
static int open_entry(int dir_fd, const char *name, int flags)
{
    struct open_how how = {.flags = (uint64_t)(unsigned)flags | O_RDONLY | O_NOFOLLOW | O_NONBLOCK |
                                    O_NOCTTY | O_CLOEXEC,
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS};
    return (int)syscall(SYS_openat2, dir_fd, name, &how, sizeof(how));
}

static bool is_entry(const char *name)
{
    return strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

static int error_entry(struct cj_error *err, const char *path, const char *name, const char *what)
{
    return error_set(err, ERROR_CONFIG, EINVAL, "%.300s%.200s %s", path, name, what);
}

/* A stream over a descriptor of its own. */
static DIR *open_stream(int dir_fd)
{
    auto_fd int copy = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *stream = copy >= 0 ? fdopendir(copy) : NULL;
    if (stream != NULL)
        fd_take(&copy);
    return stream;
}

/* ---- out of the container ---- */

struct copying {
    uint64_t bytes_left;
    size_t entries;
    unsigned depth;
    char path[PREPARED_DEPTH_MAX *
              (NAME_MAX + 1)]; /* of the folder, with a slash behind it: for messages */
};

static int copy_file(struct copying *copying, int from_dir, int to_dir, const char *name,
                     struct cj_error *err)
{
    struct stat info;
    auto_fd int from = open_entry(from_dir, name, 0);
    if (from < 0 || fstat(from, &info) < 0)
        return error_errno(err, "open %.300s%.200s", copying->path, name);
    if (!S_ISREG(info.st_mode))
        return error_entry(err, copying->path, name, "is neither a file nor a folder");
    if ((uint64_t)info.st_size > copying->bytes_left)
        return error_entry(err, copying->path, name,
                           "is too much: its files have more bytes than a build may keep");
    copying->bytes_left -= (uint64_t)info.st_size;
    auto_fd int to =
        openat(to_dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (to < 0)
        return error_errno(err, "make %.300s%.200s", copying->path, name);
    for (off_t at = 0; at < info.st_size;) {
        ssize_t moved = sendfile(to, from, &at, (size_t)(info.st_size - at));
        if (moved < 0 && errno != EINTR)
            return error_errno(err, "copy %.300s%.200s", copying->path, name);
        if (moved == 0)
            return error_entry(err, copying->path, name, "became shorter meanwhile");
    }
    const struct timespec times[] = {{.tv_nsec = UTIME_OMIT}, info.st_mtim};
    if (fchmod(to, (info.st_mode & 0111) != 0 ? 0755 : 0644) < 0 || futimens(to, times) < 0)
        return error_errno(err, "finish %.300s%.200s", copying->path, name);
    return 0;
}

static int copy_entries(struct copying *copying, int from_dir, int to_dir, struct cj_error *err);

static int copy_folder(struct copying *copying, int from_dir, int to_dir, const char *name,
                       struct cj_error *err)
{
    size_t length = strlen(copying->path);
    if (++copying->depth > PREPARED_DEPTH_MAX)
        return error_entry(err, copying->path, name, "is too deep");
    auto_fd int from = open_entry(from_dir, name, O_DIRECTORY);
    if (from < 0)
        return error_errno(err, "open %.300s%.200s", copying->path, name);
    if (mkdirat(to_dir, name, 0755) < 0)
        return error_errno(err, "make %.300s%.200s", copying->path, name);
    auto_fd int to = open_entry(to_dir, name, O_DIRECTORY);
    if (to < 0 || fchmod(to, 0755) < 0)
        return error_errno(err, "open %.300s%.200s", copying->path, name);
    snprintf(copying->path + length, sizeof(copying->path) - length, "%s/", name);
    int done = copy_entries(copying, from, to, err);
    copying->path[length] = '\0';
    copying->depth--;
    return done;
}

/* As deep as copying->depth allows. */
static int copy_entries(struct copying *copying, int from_dir, int to_dir, struct cj_error *err)
{
    DIR *stream = open_stream(from_dir);
    const struct dirent *entry;
    int done = 0;
    if (stream == NULL)
        return error_errno(err, "read %.300s", copying->path);
    while (done == 0 && (entry = readdir(stream)) !=
                            NULL) { /* NOLINT(concurrency-mt-unsafe): a stream of our own */
        struct stat info;
        if (!is_entry(entry->d_name))
            continue;
        if (++copying->entries > PREPARED_ENTRIES_MAX)
            done = error_entry(err, copying->path, entry->d_name, "is one too many");
        else if (fstatat(from_dir, entry->d_name, &info, AT_SYMLINK_NOFOLLOW) < 0)
            done = error_errno(err, "look at %.300s%.200s", copying->path, entry->d_name);
        else if (S_ISDIR(info.st_mode))
            done = copy_folder(copying, from_dir, to_dir, entry->d_name, err);
        else if (S_ISREG(info.st_mode))
            done = copy_file(copying, from_dir, to_dir, entry->d_name, err);
        else
            done = error_entry(err, copying->path, entry->d_name, "is neither a file nor a folder");
    }
    closedir(stream);
    return done;
}

/* The folder of that name, and those on the way to it, which may be there. */
static int make_folders(int to_fd, const char *name, int *out, struct cj_error *err)
{
    auto_fd int at = fcntl(to_fd, F_DUPFD_CLOEXEC, 0);
    for (const char *rest = name; at >= 0 && *rest != '\0'; rest += strspn(rest, "/")) {
        char part[NAME_MAX + 1];
        size_t length = strcspn(rest, "/");
        if (snprintf(part, sizeof(part), "%.*s", (int)length, rest) >= (int)sizeof(part))
            return error_entry(err, "", name, "is no name of a folder");
        if (mkdirat(at, part, 0755) < 0 && errno != EEXIST)
            return error_errno(err, "make %s", name);
        int next = open_entry(at, part, O_DIRECTORY);
        fd_close(&at);
        at = next;
        rest += length;
    }
    if (at < 0)
        return error_errno(err, "open %s", name);
    *out = fd_take(&at);
    return 0;
}

int prepared_files_copy(int from_fd, int to_fd, const char *name, uint64_t *bytes_left,
                        struct cj_error *err)
{
    struct copying copying = {.bytes_left = *bytes_left};
    auto_fd int to = -1;
    snprintf(copying.path, sizeof(copying.path), "%s", name);
    if (make_folders(to_fd, name, &to, err) < 0)
        return -1;
    int done = copy_entries(&copying, from_fd, to, err);
    *bytes_left = copying.bytes_left;
    return done;
}

/* ---- in the folder ---- */

struct seen {
    char *path; /* of the folder: "a/b"; "." itself */
    struct stat info;
};

/* Of folders the times tell that no name has come or gone. */
struct prepared_files {
    size_t count, room;
    struct seen *entries;
};

static int add(struct prepared_files *files, const char *path, const struct stat *info)
{
    if (files->count == files->room) {
        size_t room = files->room * 2 + 16;
        struct seen *more = reallocarray(files->entries, room, sizeof(*more));
        if (more == NULL)
            return -1;
        files->entries = more;
        files->room = room;
    }
    struct seen *entry = &files->entries[files->count];
    *entry = (struct seen){strdup(path), *info};
    if (entry->path == NULL)
        return -1;
    files->count++;
    return 0;
}

/* The entries of the folder that is the list's number `index`. */
static int look_into(struct prepared_files *files, int dir_fd, size_t index)
{
    auto_fd int fd = open_entry(dir_fd, files->entries[index].path, O_DIRECTORY);
    DIR *stream = fd >= 0 ? open_stream(fd) : NULL;
    const struct dirent *entry;
    int done = stream != NULL ? 0 : -1;
    while (done == 0 && (entry = readdir(stream)) !=
                            NULL) { /* NOLINT(concurrency-mt-unsafe): a stream of our own */
        struct stat info;
        char *path;
        if (!is_entry(entry->d_name))
            continue;
        if (asprintf(&path, "%s/%s", files->entries[index].path, entry->d_name) < 0) {
            done = -1;
            break;
        }
        if (fstatat(fd, entry->d_name, &info, AT_SYMLINK_NOFOLLOW) < 0 ||
            add(files, path, &info) < 0)
            done = -1;
        free(path);
    }
    if (stream != NULL)
        closedir(stream);
    return done;
}

int prepared_files_look(int dir_fd, struct prepared_files **out, struct cj_error *err)
{
    struct prepared_files *files = calloc(1, sizeof(*files));
    struct stat info;
    int done = files != NULL && fstat(dir_fd, &info) == 0 ? add(files, ".", &info) : -1;
    for (size_t i = 0; done == 0 && i < files->count; i++)
        if (S_ISDIR(files->entries[i].info.st_mode))
            done = look_into(files, dir_fd, i);
    if (done == 0) {
        *out = files;
        return 0;
    }
    prepared_files_free(files);
    return error_errno(err, "look at what was made");
}

static bool is_same(const struct stat *one, const struct stat *other)
{
    return one->st_dev == other->st_dev && one->st_ino == other->st_ino &&
           one->st_size == other->st_size && one->st_mode == other->st_mode &&
           ns_from_timespec(one->st_mtim) == ns_from_timespec(other->st_mtim) &&
           ns_from_timespec(one->st_ctim) == ns_from_timespec(other->st_ctim);
}

bool prepared_files_same(const struct prepared_files *files, int dir_fd)
{
    for (size_t i = 0; i < files->count; i++) {
        struct stat now;
        if (fstatat(dir_fd, files->entries[i].path, &now, AT_SYMLINK_NOFOLLOW) < 0 ||
            !is_same(&now, &files->entries[i].info))
            return false;
    }
    return true;
}

void prepared_files_free(struct prepared_files *files)
{
    if (files == NULL)
        return;
    for (size_t i = 0; i < files->count; i++)
        free(files->entries[i].path);
    free(files->entries);
    free(files);
}
