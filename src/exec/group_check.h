/* What a group's commands get, beyond what exec_group_check() tells everybody. Pure. */
#ifndef CJ_EXEC_GROUP_CHECK_H
#define CJ_EXEC_GROUP_CHECK_H

#include "exec/exec.h"

/* Descriptors of command index, those of pipes included. The group has been checked. */
size_t group_descriptor_count(const struct exec_group *group, size_t index);

#endif
