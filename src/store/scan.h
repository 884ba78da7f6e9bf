/* Files that others put into the directory of a store, and names that outlive this process. */
#ifndef CJ_STORE_SCAN_H
#define CJ_STORE_SCAN_H

#include <stdbool.h>

#include "base/attr.h"
#include "base/error.h"

enum { SCAN_NAME_SIZE = 4096 };

/* Keeps the name beside the content (an extended attribute), where the file system can. */
void scan_keep_name(int fd, const char *name);

/* Reads it back. False, and "", when there is none: then the file was not made by a store. */
bool scan_kept_name(int fd, char name[static SCAN_NAME_SIZE]);

/* Calls visit with the name of each entry of the directory. */
WARN_UNUSED int scan_directory(int dir_fd, void (*visit)(void *arg, const char *id), void *arg,
                               struct cj_error *err);

#endif
