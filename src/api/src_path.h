/* Host files that requests name as `src`, and the prefixes (-src-prefix) they must lie below.
 *
 * Both are made absolute and freed of symbolic links, then compared part by part: /data does not allow
 * /database. What is opened afterwards is the very file that was checked: its path has no symbolic
 * link, and the kernel is told to follow none (openat2(2), RESOLVE_NO_SYMLINKS). So nothing is gained
 * by replacing a part of the path between the two. */
#ifndef CJ_API_SRC_PATH_H
#define CJ_API_SRC_PATH_H

#include <stdbool.h>

#include "base/attr.h"
#include "base/error.h"
#include "base/options.h"

/* Pure: path is prefix or lies below it. Both absolute, without "." and "..". */
bool src_path_below(const char *prefix, const char *path) NONNULL(1, 2);

/* Checks path against prefixes (none: every path is allowed), and gives a descriptor of the file that
 * was meant (O_PATH). ERROR_REQUEST: "file (PATH) does not under ([P1 P2])", as go-judge says it, or
 * "lstat PATH: no such file or directory"; ERROR_SYSTEM when descriptors are used up (EMFILE, ENFILE). */
WARN_UNUSED int src_path_open(const struct option_list *prefixes, const char *path, int *place_fd,
                              struct cj_error *err) NONNULL(1, 2, 3);

/* As src_path_open(), then exec_open_input() of that file. "open PATH: ..." when it cannot be. */
WARN_UNUSED int src_path_open_input(const struct option_list *prefixes, const char *path, int *fd,
                                    struct cj_error *err) NONNULL(1, 2, 3);

/* As src_path_open(), for reading by us: a regular file, or /dev/null. */
WARN_UNUSED int src_path_open_copy(const struct option_list *prefixes, const char *path, int *fd,
                                   struct cj_error *err) NONNULL(1, 2, 3);

#endif
