/* A command on the host's side (sandbox/outside.h), told and answered like one in a container. */
#ifndef CJ_EXEC_OUTSIDE_H
#define CJ_EXEC_OUTSIDE_H

#include "exec/exec.h"
#include "sandbox/sandbox.h"

struct work_folder;

/* A folder of its own for a command, 0700, below TMPDIR or /tmp. */
WARN_UNUSED int work_folder_make(struct work_folder **out, struct cj_error *err);
const char *work_folder_path(const struct work_folder *folder);
/* Removes it and whatever is in it; NULL is fine. */
void work_folder_remove(struct work_folder *folder);
/* Removes those that processes before this one have left: base/folder.h. */
void work_folders_remove_left(void);

/* Runs request, whose paths are the folder's: copy in, limits, collectors, copy out, status, as exec_run() does. Of
 * the request's many forms it knows those of a judge: descriptor 0 is content or an open file, 1 and 2 are
 * collectors; what is copied in is content, what is copied out comes back in the result; names are single ones in the folder.
 * args[0] without '/' is looked up in the PATH of the environment. index: sandbox/outside.h. */
void exec_run_outside(struct sandbox *sandbox, unsigned index, const struct work_folder *folder,
                      const struct exec_settings *settings, const struct exec_request *request,
                      int cancel_fd, struct exec_result *result);

#endif
