/* The host's trees that containers show, opened with the rights of the service.
 *
 * An init is nobody in particular on the host: it could not reach what lies below a folder that lets only
 * its owner through. So the service, where it may, makes the detached copies of the mounts (open_tree(2))
 * and passes them on; init makes them read-only, nosuid and nodev and moves them into its own root. */
#ifndef CJ_SANDBOX_BIND_TREES_H
#define CJ_SANDBOX_BIND_TREES_H

#include <stdbool.h>

#include "base/attr.h"
#include "base/error.h"
#include "sandbox/mount_config.h"

struct bind_trees;

/* Remembers the sources of the bind mounts. *out is NULL where this process may not copy mounts (it is not
 * root, or confined): init then opens them itself, with its own rights. */
WARN_UNUSED int bind_trees_open(const struct mount_config *mounts, struct bind_trees **out,
                                struct cj_error *err);

/* Sends a copy of each source, in the order of the table, as init_trees messages. They wait in the socket
 * until init takes them. Any thread. */
WARN_UNUSED int bind_trees_send(const struct bind_trees *trees, int socket, struct cj_error *err);

/* NULL is fine. */
void bind_trees_close(struct bind_trees *trees);

#endif
