/* Folders of ours on the host, each for as long as its owner lives.
 *
 * The name is a prefix and six random letters, nobody else may write to it, and a file "lock" in it is locked
 * (flock(2)) by its owner. So who comes later can tell those that nobody has any more: kill -9 leaves a folder, but
 * no lock. */
#ifndef CJ_BASE_FOLDER_H
#define CJ_BASE_FOLDER_H

#include <stddef.h>
#include <sys/types.h>

#include "base/attr.h"
#include "base/error.h"

enum { FOLDER_PATH_SIZE = 512 };

struct folder {
    char path[FOLDER_PATH_SIZE]; /* "": none */
    int fd;
    int lock_fd; /* held */
};

/* Makes one in parent. prefix: "cjudge-prepared-"; mode: 0700, 0755. */
WARN_UNUSED int folder_make(const char *parent, const char *prefix, mode_t mode, struct folder *out,
                            struct cj_error *err);
/* With all that is in it; what cannot be removed is logged. */
void folder_remove(struct folder *folder);

/* Removes those in parent that nobody has any more, and logs it: of that prefix, this user's own, writable by nobody
 * else, with a lock that can be had, and not a mount. As remove_tree(). */
void folder_remove_left(const char *parent, const char *prefix);

/* Writes a new file below dir_fd, with the folders that its name wants (relative, no "..", no link on the way);
 * mode 0644. */
WARN_UNUSED int folder_write(int dir_fd, const char *name, const char *data, size_t size,
                             struct cj_error *err);

#endif
