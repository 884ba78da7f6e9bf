/* What exec_run_outside() does with its folder. */
#ifndef CJ_EXEC_WORK_FOLDER_H
#define CJ_EXEC_WORK_FOLDER_H

#include <stdbool.h>

#include "exec/outside.h"

/* A new file of that name (without folders, which is checked), executable. */
WARN_UNUSED int work_folder_write(const struct work_folder *folder, const char *name,
                                  const void *data, size_t size, struct cj_error *err);

/* Opens what a command left there; only a regular file, never through a link. *fd is the caller's. */
WARN_UNUSED int work_folder_open(const struct work_folder *folder, const char *name, int *fd,
                                 uint64_t *size, struct cj_error *err);

#endif
