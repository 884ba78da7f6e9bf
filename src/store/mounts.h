/* Mounts that are nowhere in the tree: known by a descriptor only, gone with the last one. */
#ifndef CJ_STORE_MOUNTS_H
#define CJ_STORE_MOUNTS_H

#include <stdint.h>

#include "base/attr.h"
#include "base/error.h"

/* A read-only view of the directory (path, opened as dir_fd). *out: its root (O_PATH). */
WARN_UNUSED int mounts_read_only(const char *path, int dir_fd, int *out, struct cj_error *err);

/* A new tmpfs of at most max_bytes and inodes: two views of it, writable and read-only. */
WARN_UNUSED int mounts_tmpfs(uint64_t max_bytes, uint64_t inodes, int *writable, int *read_only,
                             struct cj_error *err);

#endif
