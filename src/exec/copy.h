/* Files into and out of a container. */
#ifndef CJ_EXEC_COPY_H
#define CJ_EXEC_COPY_H

#include "exec/exec.h"
#include "streams.h"

/* Copies in, then makes the links. What goes wrong is recorded in result (file errors, error text) and
 * *failed. Returns -1 with err for failures of ours only. */
WARN_UNUSED int copy_in_all(struct container *container, const struct exec_request *request,
                            const char *work_dir, struct exec_result *result, bool *failed,
                            struct cj_error *err);

/* Copies out, once everything of the run is dead. As above. */
WARN_UNUSED int copy_out_all(struct container *container, const struct exec_request *request,
                             const struct exec_settings *settings, const char *work_dir,
                             const struct streams *streams, struct exec_result *result,
                             bool *failed, struct cj_error *err);

#endif
