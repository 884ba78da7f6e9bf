/* Whether a run's collector files can be made when it starts, and taken out when it ends. Pure. */
#ifndef CJ_EXEC_MADE_PLAN_H
#define CJ_EXEC_MADE_PLAN_H

#include <stdbool.h>

#include "exec/exec.h"

/* True when nobody can tell that they are not there before the copying in and not after the run: there are
 * few (CONTAINER_MADE_MAX), each directly in the work directory, and nothing is copied in or out at their
 * paths in other words. */
bool made_plan(const struct exec_request *request, const char *work_dir);

#endif
