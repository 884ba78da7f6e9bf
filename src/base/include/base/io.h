/* Whole reads and writes, and small files. Interrupted calls are repeated. */
#ifndef CJ_BASE_IO_H
#define CJ_BASE_IO_H

#include <stddef.h>
#include <sys/types.h>

#include "base/attr.h"
#include "base/error.h"

/* Writes all of it. Returns 0, or -1 with errno set. */
WARN_UNUSED int write_full(int fd, const void *data, size_t size);

/* Reads until size bytes or end of file. Returns the bytes read, or -1 with errno set. */
WARN_UNUSED ssize_t read_full(int fd, void *data, size_t size);

/* Reads a small file (kernel files, sysctls) below directory fd (or AT_FDCWD) into text, always
 * NUL-terminated, trailing newline removed. At most size - 1 bytes. Returns the length, or -1 with
 * errno set. */
WARN_UNUSED ssize_t read_file_at(int dir_fd, const char *path, char *text, size_t size);

/* Reads a whole file into a new heap block (*data, NUL-terminated, caller frees; *size without the
 * NUL). Fails with EFBIG above limit bytes. */
WARN_UNUSED int read_file_alloc(int dir_fd, const char *path, size_t limit, char **data,
                                size_t *size, struct cj_error *err);

/* Writes text to an existing file (cgroup, sysctl, uid_map) in one write(2), as such files demand. */
WARN_UNUSED int write_file_at(int dir_fd, const char *path, const char *text, struct cj_error *err);

#endif
