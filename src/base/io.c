/* Whole reads and writes, and small files. */
#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"

int write_full(int fd, const void *data, size_t size)
{
    const char *next = data;
    while (size > 0) {
        ssize_t written = write(fd, next, size);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return -1;
        next += written;
        size -= (size_t)written;
    }
    return 0;
}

ssize_t read_full(int fd, void *data, size_t size)
{
    char *next = data;
    size_t left = size;
    while (left > 0) {
        ssize_t got = read(fd, next, left);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -1;
        if (got == 0)
            break;
        next += got;
        left -= (size_t)got;
    }
    return (ssize_t)(size - left);
}

ssize_t read_file_at(int dir_fd, const char *path, char *text, size_t size)
{
    auto_fd int fd = openat(dir_fd, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    ssize_t length = read_full(fd, text, size - 1);
    if (length < 0)
        return -1;
    if (length > 0 && text[length - 1] == '\n')
        length--;
    text[length] = '\0';
    return length;
}

int read_file_alloc(int dir_fd, const char *path, size_t limit, char **data, size_t *size,
                    struct cj_error *err)
{
    auto_fd int fd = openat(dir_fd, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_errno(err, "open %s", path);
    size_t capacity = 4096;
    size_t used = 0;
    auto_free char *block = malloc(capacity);
    for (;;) {
        if (block == NULL)
            return error_set(err, ERROR_SYSTEM, ENOMEM, "read %s: out of memory", path);
        ssize_t got = read_full(fd, block + used, capacity - used - 1);
        if (got < 0)
            return error_errno(err, "read %s", path);
        used += (size_t)got;
        if (used < capacity - 1)
            break;
        if (used > limit)
            break;
        capacity *= 2;
        char *larger = realloc(block, capacity);
        if (larger == NULL)
            return error_set(err, ERROR_SYSTEM, ENOMEM, "read %s: out of memory", path);
        block = larger;
    }
    if (used > limit)
        return error_set(err, ERROR_SYSTEM, EFBIG, "read %s: larger than %zu bytes", path, limit);
    block[used] = '\0';
    *data = block;
    *size = used;
    block = NULL;
    return 0;
}

int write_file_at(int dir_fd, const char *path, const char *text, struct cj_error *err)
{
    auto_fd int fd = openat(dir_fd, path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return error_errno(err, "open %s", path);
    if (write_full(fd, text, strlen(text)) < 0)
        return error_errno(err, "write '%s' to %s", text, path);
    return 0;
}
