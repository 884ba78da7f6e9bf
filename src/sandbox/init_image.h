/* cjudge-init as a descriptor that execveat(2) takes: no path and no inode of the host is involved. */
#ifndef CJ_SANDBOX_INIT_IMAGE_H
#define CJ_SANDBOX_INIT_IMAGE_H

#include "base/attr.h"
#include "base/error.h"

/* A sealed memfd; where memfds may not be executed (vm.memfd_noexec, a policy), an unlinked file.
 * *fd is the caller's. */
WARN_UNUSED int init_image_open(int *fd, struct cj_error *err);

#endif
