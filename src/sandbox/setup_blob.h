/* The description of a container that its init reads: struct init_setup in a sealed memfd. */
#ifndef CJ_SANDBOX_SETUP_BLOB_H
#define CJ_SANDBOX_SETUP_BLOB_H

#include <stdint.h>

#include "base/attr.h"
#include "base/error.h"
#include "sandbox/mount_config.h"
#include "sandbox/seccomp_filter.h"

/* flags: enum init_setup_flags besides those of /proc and the filter, which come from the other
 * arguments. *fd is the caller's. */
WARN_UNUSED int setup_blob_make(const struct mount_config *mounts,
                                const struct seccomp_filter *filter, uint32_t flags,
                                uint64_t clone3_args_address, int *fd, struct cj_error *err);

#endif
