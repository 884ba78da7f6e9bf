/* A folder of ours on the host, for as long as this process lives.
 *
 * Its name ends in random letters, and a file in it is locked (flock(2)): so who comes later can tell those that
 * nobody has any more. */
#ifndef CJ_JUDGE_FOLDER_H
#define CJ_JUDGE_FOLDER_H

#include <stddef.h>

#include "base/attr.h"
#include "base/error.h"

enum { FOLDER_PATH_SIZE = 512 };

struct folder {
    char path[FOLDER_PATH_SIZE];
    int fd;      /* -1: none */
    int lock_fd; /* held */
};

/* Removes what is left of others in parent, and makes one, mode 0755. prefix: "cjudge-prepared-". */
WARN_UNUSED int folder_open(const char *parent, const char *prefix, struct folder *out,
                            struct cj_error *err);
/* With all that is in it. */
void folder_close(struct folder *folder);

/* Removes name (a file, or a folder with all in it) in dir_fd; links are not followed. */
void folder_remove_in(int dir_fd, const char *name);

/* Writes a new file below dir_fd, with the folders that its name wants (relative, no "..", no link on the way);
 * mode 0644. */
WARN_UNUSED int folder_write(int dir_fd, const char *name, const char *data, size_t size,
                             struct cj_error *err);

#endif
