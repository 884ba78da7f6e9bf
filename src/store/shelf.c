/* Where the contents of a store lie. */
#include "shelf.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/units.h"
#include "mounts.h"

enum {
    DRAFT_MODE = 0600,
    FILE_MODE = 0444, /* nobody writes a file of the store again */
    BYTES_PER_INODE = 2048,
    INODES_MIN = 1024,
    DRAFT_TRIES = 8,
    DRAFT_RANDOM = 8,
};

static uint64_t in_pages(uint64_t bytes)
{
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    return (bytes + page - 1) / page * page;
}

/* ---- drafts ---- */

static int open_unnamed(const struct shelf *shelf)
{
    return openat(shelf->dir_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, DRAFT_MODE);
}

/* A draft with a name is locked while its owner lives; one whose lock can be had was left by a crash.
 *   1. we create it   2. a cleaner locks and removes it   3. our lock fails, or locks a file without a name
 * So we look again after locking. */
static int open_named(const struct shelf *shelf, char name[SHELF_DRAFT_NAME_SIZE])
{
    for (int i = 0; i < DRAFT_TRIES; i++) {
        uint64_t number;
        if (getrandom(&number, sizeof(number), 0) != sizeof(number))
            return -1;
        snprintf(name, SHELF_DRAFT_NAME_SIZE, SHELF_DRAFT_PREFIX "%016llx",
                 (unsigned long long)number);
        auto_fd int fd =
            openat(shelf->dir_fd, name, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, DRAFT_MODE);
        if (fd < 0 && errno != EEXIST)
            return -1;
        struct stat info;
        if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0 && fstat(fd, &info) == 0 &&
            info.st_nlink == 1)
            return fd_take(&fd);
    }
    errno = EEXIST;
    return -1;
}

int shelf_draft_open(struct shelf *shelf, struct shelf_draft *out)
{
    *out = (struct shelf_draft){.fd = -1};
    if (shelf->kind == SHELF_MEMFDS)
        out->fd = memfd_create("cjudge-file", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    else if (shelf->named_drafts)
        out->fd = open_named(shelf, out->name);
    else
        out->fd = open_unnamed(shelf);
    return out->fd < 0 ? -1 : 0;
}

void shelf_draft_close(struct shelf *shelf, struct shelf_draft *draft)
{
    if (draft->name[0] != '\0') {
        int saved_errno = errno;
        (void)unlinkat(shelf->dir_fd, draft->name, 0);
        errno = saved_errno;
    }
    draft->name[0] = '\0';
    fd_close(&draft->fd);
    atomic_fetch_sub(&shelf->memfd_bytes, draft->budget);
    draft->budget = 0;
}

int shelf_draft_grow(struct shelf *shelf, struct shelf_draft *draft, uint64_t size)
{
    if (shelf->kind != SHELF_MEMFDS || size <= draft->budget)
        return 0;
    uint64_t wanted = in_pages(size) - draft->budget;
    uint64_t taken = atomic_load(&shelf->memfd_bytes);
    do {
        if (wanted > shelf->max_bytes - taken) {
            errno = ENOSPC;
            return -1;
        }
    } while (!atomic_compare_exchange_weak(&shelf->memfd_bytes, &taken, taken + wanted));
    draft->budget += wanted;
    return 0;
}

void shelf_draft_fit(struct shelf *shelf, struct shelf_draft *draft, uint64_t size)
{
    if (draft->budget <= in_pages(size))
        return;
    atomic_fetch_sub(&shelf->memfd_bytes, draft->budget - in_pages(size));
    draft->budget = in_pages(size);
}

static int seal(struct shelf_draft *draft)
{
    int seals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
    if (fcntl(draft->fd, F_ADD_SEALS, seals) < 0)
        return -1;
    draft->budget = 0; /* the file has it now */
    return 0;
}

int shelf_draft_link(const struct shelf *shelf, struct shelf_draft *draft, const char *id)
{
    if (fchmod(draft->fd, FILE_MODE) < 0) /* not at the start: the umask would have a say */
        return -1;
    if (shelf->kind == SHELF_MEMFDS)
        return seal(draft);
    if (draft->name[0] != '\0')
        return linkat(shelf->dir_fd, draft->name, shelf->dir_fd, id, 0);
    char path[64];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", draft->fd);
    return linkat(AT_FDCWD, path, shelf->dir_fd, id, AT_SYMLINK_FOLLOW);
}

/* ---- files ---- */

static int reopen(int fd)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    return open(path, O_RDONLY | O_CLOEXEC);
}

/* A sealed copy. */
static int copy_of(int from)
{
    auto_fd int copy = memfd_create("cjudge-file", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    off_t at = 0;
    ssize_t moved;
    if (copy < 0)
        return -1;
    do
        moved = sendfile(copy, from, &at, 1 << 30);
    while (moved > 0 || (moved < 0 && errno == EINTR));
    if (moved < 0 || fchmod(copy, FILE_MODE) < 0 ||
        fcntl(copy, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0)
        return -1;
    return reopen(copy);
}

int shelf_open_file(const struct shelf *shelf, const char *id, int memfd, int *fd)
{
    if (shelf->kind == SHELF_MEMFDS)
        return (*fd = reopen(memfd)) < 0 ? -1 : 0;
    /* O_NONBLOCK: in the operator's directory there may be FIFOs, and they are not waited for. */
    bool foreign = shelf->kind == SHELF_DIRECTORY;
    auto_fd int file =
        openat(shelf->guard_fd >= 0 ? shelf->guard_fd : shelf->dir_fd, id,
               O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | (foreign ? O_NONBLOCK : 0));
    if (file < 0)
        return -1;
    struct stat info;
    if (foreign) {
        if (fstat(file, &info) < 0 || fcntl(file, F_SETFL, 0) < 0)
            return -1;
        if (!S_ISREG(info.st_mode)) {
            errno = EINVAL;
            return -1;
        }
    }
    *fd = fd_take(&file);
    return 0;
}

/* Programs that run as us could change the mode of a memfd, even of a sealed one; root's cannot, as none of
 * them is root on the host. */
int shelf_protect(const struct shelf *shelf, int *fd)
{
    if (shelf->guard_fd >= 0 || (shelf->kind == SHELF_MEMFDS && geteuid() == 0))
        return 0;
    int copy = copy_of(*fd);
    if (copy < 0)
        return -1;
    fd_close(fd);
    *fd = copy;
    return 0;
}

int shelf_remove(const struct shelf *shelf, const char *id, int *last)
{
    *last = -1;
    if (shelf->kind == SHELF_MEMFDS)
        return 0;
    *last = openat(shelf->dir_fd, id, O_PATH | O_CLOEXEC | O_NOFOLLOW);
    if (unlinkat(shelf->dir_fd, id, 0) == 0)
        return 0;
    fd_close(last);
    return -1;
}

void shelf_give_back(struct shelf *shelf, uint64_t size)
{
    if (shelf->kind == SHELF_MEMFDS)
        atomic_fetch_sub(&shelf->memfd_bytes, in_pages(size));
}

/* ---- opening ---- */

/* Each content is a descriptor: as many as we may have. */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur == limit.rlim_max)
        return;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
}

static void open_memfds(uint64_t max_bytes, struct shelf *out)
{
    *out = (struct shelf){
        .kind = SHELF_MEMFDS, .dir_fd = -1, .guard_fd = -1, .max_bytes = in_pages(max_bytes)};
    raise_descriptor_limit();
}

/* All that a draft goes through must work, before the first client comes. */
static int try_draft(struct shelf *shelf)
{
    struct shelf_draft draft;
    char id[SHELF_DRAFT_NAME_SIZE];
    int last = -1;
    if (shelf_draft_open(shelf, &draft) < 0)
        return -1;
    snprintf(id, sizeof(id), SHELF_DRAFT_PREFIX "try-%d", (int)getpid());
    int result = shelf_draft_link(shelf, &draft, id) < 0 || shelf_remove(shelf, id, &last) < 0;
    shelf_draft_close(shelf, &draft);
    fd_close(&last);
    return result ? -1 : 0;
}

int shelf_open_memory(uint64_t max_bytes, unsigned lacks, struct shelf *out, char *why, size_t size,
                      struct cj_error *err)
{
    struct cj_error cause;
    uint64_t bytes = in_pages(max_bytes);
    why[0] = '\0';
    *out = (struct shelf){.kind = SHELF_TMPFS, .dir_fd = -1, .guard_fd = -1, .max_bytes = bytes};
    int result = lacks & SHELF_NO_MOUNTS ? error_set(&cause, ERROR_SYSTEM, EPERM, "not tried")
                                         : mounts_tmpfs(bytes, bytes / BYTES_PER_INODE + INODES_MIN,
                                                        &out->dir_fd, &out->guard_fd, &cause);
    if (result == 0 && try_draft(out) < 0)
        result = error_errno(&cause, "make a file in a tmpfs of our own");
    if (result == 0)
        return 0;
    shelf_close(out);
    snprintf(why, size, "%s", cause.message);
    open_memfds(max_bytes, out);
    return try_draft(out) < 0 ? error_errno(err, "make a file in memory") : 0;
}

/* As mkdir -p; an existing directory stays as it is. */
static int make_directory(const char *path)
{
    auto_free char *parent = strdup(path);
    if (parent == NULL)
        return -1;
    for (char *slash = strchr(parent + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(parent, 0755) < 0 && errno != EEXIST)
            return -1;
        *slash = '/';
    }
    return mkdir(path, 0755) < 0 && errno != EEXIST ? -1 : 0;
}

/* Removes drafts whose owners are gone. Best effort: one that stays is not listed and in nobody's way. */
static void sweep_drafts(int dir_fd)
{
    int copy = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *directory = copy >= 0 ? fdopendir(copy) : NULL;
    if (directory == NULL) {
        fd_close(&copy);
        return;
    }
    for (const struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        if (strncmp(entry->d_name, SHELF_DRAFT_PREFIX, strlen(SHELF_DRAFT_PREFIX)) != 0)
            continue;
        auto_fd int fd =
            openat(dir_fd, entry->d_name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
        if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0)
            (void)unlinkat(dir_fd, entry->d_name, 0);
    }
    closedir(directory);
}

int shelf_open_directory(const char *path, unsigned lacks, struct shelf *out, char *why,
                         size_t size, struct cj_error *err)
{
    *out = (struct shelf){.kind = SHELF_DIRECTORY, .dir_fd = -1, .guard_fd = -1};
    why[0] = '\0';
    if (make_directory(path) < 0)
        return error_errno(err, "make the directory %s", path);
    out->dir_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (out->dir_fd < 0)
        return error_errno(err, "open the directory %s", path);
    out->named_drafts = (lacks & SHELF_NO_TMPFILE) != 0;
    if (try_draft(out) < 0 && errno != ENOSPC &&
        errno != EDQUOT) { /* full: can be read and emptied */
        out->named_drafts =
            true; /* EOPNOTSUPP, EISDIR, or no /proc: the rest is told by this try */
        if (try_draft(out) < 0) {
            error_errno(err, "make a file in %s", path);
            shelf_close(out);
            return -1;
        }
    }
    sweep_drafts(out->dir_fd);
    struct cj_error cause;
    if (lacks & SHELF_NO_MOUNTS)
        snprintf(why, size, "not tried");
    else if (mounts_read_only(path, out->dir_fd, &out->guard_fd, &cause) < 0)
        snprintf(why, size, "%s", cause.message);
    return 0;
}

void shelf_close(struct shelf *shelf)
{
    fd_close(&shelf->dir_fd);
    fd_close(&shelf->guard_fd);
}

/* ---- a full store ---- */

static int say_full(const struct shelf *shelf, struct cj_error *err)
{
    char used[UNITS_TEXT_SIZE], all[UNITS_TEXT_SIZE];
    struct statfs info;
    uint64_t taken = atomic_load(&shelf->memfd_bytes), max = shelf->max_bytes;
    if (shelf->kind == SHELF_TMPFS && fstatfs(shelf->dir_fd, &info) == 0) {
        if (info.f_ffree == 0)
            return error_set(err, ERROR_SYSTEM, ENOSPC, "the file store is full: %llu files",
                             (unsigned long long)info.f_files);
        taken = (uint64_t)(info.f_blocks - info.f_bfree) * (uint64_t)info.f_bsize;
        max = (uint64_t)info.f_blocks * (uint64_t)info.f_bsize;
    }
    return error_set(err, ERROR_SYSTEM, ENOSPC, "the file store is full: %s of %s are in use",
                     size_format(taken, used), size_format(max, all));
}

int shelf_write_error(const struct shelf *shelf, const char *directory, int error,
                      struct cj_error *err)
{
    switch (error) {
    case ENOSPC:
        if (shelf->kind != SHELF_DIRECTORY)
            return say_full(shelf, err);
        return error_set(err, ERROR_SYSTEM, ENOSPC,
                         "the file store is full: no space is left in %s", directory);
    case EDQUOT:
        return error_set(err, ERROR_SYSTEM, ENOSPC,
                         "the file store is full: the disk quota of %s is used up", directory);
    case EMFILE:
        return error_set(err, ERROR_SYSTEM, EMFILE,
                         "too many open files: raise the limit of descriptors "
                         "(ulimit -n, systemd's LimitNOFILE=)");
    default:
        return error_set(err, ERROR_SYSTEM, error, "write to the file store: %s", strerror(error));
    }
}
