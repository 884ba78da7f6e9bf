/* Host files as input of programs.
 *
 * A descriptor is a way back to its file: /proc/self/fd/0 opens it anew, with the rights of the file,
 * not of the descriptor. So what a program gets is opened through a read-only mount made of that one
 * file (open_tree(2), mount_setattr(2)): opening it for writing fails with EROFS, whoever owns it.
 * Where that is not possible (not root), and for small files, the bytes are copied into a sealed memfd: locks
 * (flock(2)) belong to the inode, and would reach who else uses the file. */
#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/fd.h"
#include "errno_text.h"
#include "exec/exec.h"
#include "input.h"

enum { COPIED_MAX = 256 * 1024 }; /* 50 us; a large one would delay the run */

/* The memory devices of devices.txt that every container has: null, zero, full, random, urandom. */
static bool harmless_device(const struct stat *info)
{
    unsigned number = minor(info->st_rdev);
    return S_ISCHR(info->st_mode) && major(info->st_rdev) == 1 &&
           (number == 3 || number == 5 || number == 7 || number == 8 || number == 9);
}

bool exec_is_null_device(const struct stat *info)
{
    return S_ISCHR(info->st_mode) && major(info->st_rdev) == 1 && minor(info->st_rdev) == 3;
}

static int reopen(int fd, int flags)
{
    char link[64];
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    return open(link, flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
}

/* Through a detached read-only copy of the mount the file is on. */
static int open_read_only_mount(int place)
{
    auto_fd int tree =
        (int)syscall(SYS_open_tree, place, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
    struct mount_attr attr = {.attr_set =
                                  MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOATIME,
                              .attr_clr = MOUNT_ATTR__ATIME};
    if (tree < 0 || syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0)
        return -1;
    return reopen(tree, O_RDONLY);
}

static int copy_to_memfd(int place)
{
    auto_fd int from = reopen(place, O_RDONLY);
    struct stat info;
    if (from < 0 || fstat(from, &info) < 0)
        return -1;
    auto_fd int copy = memfd_create("input", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (copy < 0)
        return -1;
    for (off_t left = info.st_size; left > 0;) {
        ssize_t moved = sendfile(copy, from, NULL, (size_t)left);
        if (moved < 0)
            return -1;
        if (moved == 0)
            break;
        left -= moved;
    }
    return exec_seal_input(copy);
}

int exec_seal_input(int memfd)
{
    if (fchmod(memfd, 0444) < 0 ||
        fcntl(memfd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0)
        return -1;
    return reopen(memfd, O_RDONLY);
}

/* Clears O_NONBLOCK, which was for opening only. */
static int ready(int fd)
{
    if (fd >= 0 && fcntl(fd, F_SETFL, 0) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

int exec_input_from_place(int place, int *out, struct cj_error *err)
{
    struct stat info;
    if (fstat(place, &info) < 0)
        return error_errno(err, "stat");
    if (!S_ISREG(info.st_mode) && !harmless_device(&info))
        return error_set(err, ERROR_REQUEST, S_ISDIR(info.st_mode) ? EISDIR : EINVAL,
                         "not a regular file");
    int fd = -1;
    if (harmless_device(&info)) {
        fd = reopen(place, O_RDONLY);
    } else {
        /* 0: also the size of files that are made as they are read, such as those of /proc */
        bool small = info.st_size > 0 && info.st_size <= COPIED_MAX;
        fd = small ? copy_to_memfd(place) : open_read_only_mount(place);
        if (fd < 0 && !small && (errno == EPERM || errno == ENOSYS || errno == EINVAL))
            fd = copy_to_memfd(place);
    }
    fd = ready(fd);
    if (fd < 0)
        return error_set(err, ERROR_REQUEST, errno, "%s", errno_text(errno));
    *out = fd;
    return 0;
}

int exec_open_input(const char *path, int *out, struct cj_error *err)
{
    auto_fd int place = open(path, O_PATH | O_CLOEXEC);
    if (place < 0)
        return error_set(err, ERROR_REQUEST, errno, "open %s: %s", path, errno_text(errno));
    if (exec_input_from_place(place, out, err) < 0)
        return error_wrap(err, "open %s", path);
    return 0;
}

int exec_reopen_input(int fd, int64_t offset, int *out, struct cj_error *err)
{
    auto_fd int again = ready(reopen(fd, O_RDONLY));
    if (again < 0 || (offset != 0 && lseek(again, offset, SEEK_SET) < 0))
        return error_errno(err, "open an input again");
    *out = fd_take(&again);
    return 0;
}

int exec_input_from_bytes(const char *data, size_t size, int *out, struct cj_error *err)
{
    auto_fd int memfd = memfd_create("input", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (memfd < 0)
        return error_errno(err, "make an input file");
    for (size_t done = 0; done < size;) {
        ssize_t written = write(memfd, data + done, size - done);
        if (written < 0 && errno != EINTR)
            return error_errno(err, "fill an input file");
        if (written > 0)
            done += (size_t)written;
    }
    int fd = ready(exec_seal_input(memfd));
    if (fd < 0)
        return error_errno(err, "seal an input file");
    *out = fd;
    return 0;
}
