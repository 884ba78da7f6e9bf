/* The warm interpreters of a container: which are kept, for which runs (init/warm.c says what they are).
 *
 * An interpreter is started for what is the same in all its runs: arguments, environment, kinds of the first three
 * descriptors, stack limit. One is started when the same has been wanted twice, between runs; it is renewed after
 * so many runs, and whenever anything about it is in doubt. A run whose like is not waiting begins cold. */
#ifndef CJ_SANDBOX_CONTAINER_WARM_H
#define CJ_SANDBOX_CONTAINER_WARM_H

#include "container_state.h"

/* The strings of the run lie in the arena. Marks the request for an interpreter that waits for such a run, and
 * says in limits what that changes; else takes note of what would have been wanted. */
void container_warm_begin(struct container *container, const struct container_run *run,
                          struct init_exec *request, struct cgroup_limits *limits);

/* It does not begin after all, and init knows nothing of it: who waits goes on to do so. */
void container_warm_withdraw(struct container *container);

/* Nobody waits after all: the run is to be a cold one, and its group the container's own. */
void container_warm_forgo(struct container *container, struct init_exec *request);

/* The run is over. */
void container_warm_end(struct container *container, const struct init_end *end);

/* Between two runs, when the container is fresh: has interpreters started and renewed, and the next run's
 * process wait. An error means that the container is broken. */
WARN_UNUSED int container_warm_up(struct container *container, struct cj_error *err);

/* Whether a process waits to be the next run of its kind. */
bool container_warm_waits(const struct container *container);

/* Init is gone, and they are with it: they are started anew. Their groups go, before the container's own one. */
void container_warm_lost(struct container *container);
void container_warm_free(struct container *container);

#endif
