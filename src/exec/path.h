/* Container paths, in text. */
#ifndef CJ_EXEC_PATH_H
#define CJ_EXEC_PATH_H

#include <stddef.h>

#include "base/attr.h"

enum { EXEC_PATH_MAX = 4096 };

/* Makes name absolute against work_dir and resolves empty parts, "." and ".." in text (".." of the root
 * is the root). Returns 0, or -1 with errno: ENAMETOOLONG; ENOENT for an empty name; EISDIR when what is
 * left is the root itself. */
WARN_UNUSED int exec_path_resolve(const char *work_dir, const char *name, char out[EXEC_PATH_MAX]);

#endif
