/* Files into and out of a container. */
#ifndef CJ_EXEC_COPY_H
#define CJ_EXEC_COPY_H

#include "command.h"

/* Copies in, then makes the links. What goes wrong is recorded in the result (file errors, error text)
 * and *failed. Returns -1 with err for failures of ours only. */
WARN_UNUSED int copy_in_all(struct command *command, bool *failed, struct cj_error *err);

/* Copies out, once everything of the run is dead. What goes wrong is recorded in the command's outputs.
 * Returns -1 with err for failures of ours only. */
WARN_UNUSED int copy_out_all(struct command *command, const struct pipes *pipes,
                             struct cj_error *err);

#endif
