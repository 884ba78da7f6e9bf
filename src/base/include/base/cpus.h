/* Lists of CPUs, and which of them somebody may use. */
#ifndef CJ_BASE_CPUS_H
#define CJ_BASE_CPUS_H

#include <sched.h>
#include <stdbool.h>

#include "base/attr.h"
#include "base/error.h"

/* A cpuset list, as the kernel writes them (cpuset(7)): "0-3,6". */
WARN_UNUSED int cpus_parse(const char *list, cpu_set_t *out, struct cj_error *err);

/* The index-th CPU of the set, beginning anew behind the last; -1: it is empty. */
int cpus_deal(const cpu_set_t *set, unsigned index);

/* The CPUs that this thread may use. */
WARN_UNUSED int cpus_allowed(cpu_set_t *out, struct cj_error *err);

#endif
