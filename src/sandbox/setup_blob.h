/* The description of a container that its init reads: struct init_setup in a sealed memfd. */
#ifndef CJ_SANDBOX_SETUP_BLOB_H
#define CJ_SANDBOX_SETUP_BLOB_H

#include <stdint.h>

#include "base/attr.h"
#include "base/error.h"
#include "sandbox/mount_config.h"
#include "sandbox/seccomp_filter.h"

/* A filter, and where it lets clone3(2) have its arguments; 0: nowhere. */
struct setup_filter {
    struct seccomp_filter filter;
    uint64_t clone3_args_address;
};

/* flags: enum init_setup_flags besides those of /proc and the filter, which come from the other
 * arguments. warm: of interpreters that are kept warm; NULL: that of programs, and no clone3(2). *fd is the caller's. */
WARN_UNUSED int setup_blob_make(const struct mount_config *mounts,
                                const struct setup_filter *programs,
                                const struct setup_filter *warm, uint32_t flags, int *fd,
                                struct cj_error *err);

#endif
