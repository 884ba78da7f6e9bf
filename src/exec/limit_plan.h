/* From what a request asks to what the container enforces. */
#ifndef CJ_EXEC_LIMIT_PLAN_H
#define CJ_EXEC_LIMIT_PLAN_H

#include "exec/exec.h"

/* Pure: which rlimits stand and which values the group gets. without_cgroup: RLIMIT_DATA and
 * RLIMIT_NPROC stand in for the group's. Fills rlimit_mask, rlimits and limits of run. Returns whether
 * an allocation limit stands at the memory limit. */
bool exec_limits_apply(const struct exec_limits *limits, const struct exec_settings *settings,
                       bool without_cgroup, struct container_run *run);

#endif
