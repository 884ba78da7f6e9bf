/* The system-call filter of programs, as a BPF program that the kernel takes (seccomp(2)).
 *
 * Compiled once, in the service; init installs it. The default filter is inherited: init's launcher
 * thread installs it on itself, so a run pays nothing. A filter from seccomp.yaml may forbid what init
 * itself needs, so it is installed by each run's process right before execve(2). */
#ifndef CJ_SANDBOX_SECCOMP_FILTER_H
#define CJ_SANDBOX_SECCOMP_FILTER_H

#include <linux/filter.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/error.h"

struct seccomp_filter {
    struct sock_filter *code; /* heap; at most BPF_MAXINSNS */
    size_t count;             /* instructions; 0: no filter */
    bool inherited;           /* init may install it on itself (the default filter) */
};

/* The default filter. clone3(2) is answered ENOSYS (its flags lie in memory, so no filter can see
 * them and libraries fall back to clone(2)), except when its argument lies exactly at
 * clone3_args_address: there init's launcher keeps it, at a random address that no program knows.
 * 0: no exception. */
WARN_UNUSED int seccomp_filter_default(uint64_t clone3_args_address, struct seccomp_filter *out,
                                       struct cj_error *err);

/* A filter from seccomp.yaml (go-judge's schema). A path that does not exist is ERROR_SYSTEM/ENOENT. */
WARN_UNUSED int seccomp_filter_load(const char *path, struct seccomp_filter *out,
                                    struct cj_error *err);

void seccomp_filter_free(struct seccomp_filter *filter);

#endif
