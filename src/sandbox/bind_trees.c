/* Detached copies of the host's trees, for inits. */
#include "bind_trees.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "container_channel.h"
#include "init/protocol.h"

struct bind_trees {
    char **sources;
    size_t count;
};

/* With what is mounted in it. Private: a copy would otherwise hear of the host's mounts and, worse, tell
 * the host of the container's (mount_namespaces(7), a copy joins the peer group). */
static int copy_tree(const char *source)
{
    struct mount_attr attr = {.propagation = MS_PRIVATE};
    auto_fd int tree = (int)syscall(SYS_open_tree, AT_FDCWD, source,
                                    OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
    if (tree < 0 ||
        syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH | AT_RECURSIVE, &attr, sizeof(attr)) < 0)
        return -1;
    return fd_take(&tree);
}

static bool may_copy(void)
{
    auto_fd int tree = geteuid() == 0 ? copy_tree("/") : -1;
    return tree >= 0;
}

int bind_trees_open(const struct mount_config *mounts, struct bind_trees **out,
                    struct cj_error *err)
{
    *out = NULL;
    if (!may_copy())
        return 0;
    struct bind_trees *trees = calloc(1, sizeof(*trees));
    char **sources = calloc(mounts->mount_count + 1, sizeof(*sources));
    if (trees == NULL || sources == NULL) {
        free(trees);
        free(sources);
        return error_set(err, ERROR_SYSTEM, ENOMEM, "remember the mounts: out of memory");
    }
    trees->sources = sources;
    for (size_t i = 0; i < mounts->mount_count; i++) {
        if (mounts->mounts[i].kind != MOUNT_BIND)
            continue;
        sources[trees->count] = strdup(mounts->mounts[i].source);
        if (sources[trees->count++] == NULL) {
            bind_trees_close(trees);
            return error_set(err, ERROR_SYSTEM, ENOMEM, "remember the mounts: out of memory");
        }
    }
    *out = trees;
    return 0;
}

/* As many as one message takes. */
static int send_some(const struct bind_trees *trees, size_t first, size_t count, int socket,
                     struct cj_error *err)
{
    int fds[INIT_TREES_MAX];
    struct init_trees message = {.magic = INIT_MAGIC};
    int result = 0;
    while (result == 0 && message.count < count) {
        const char *source = trees->sources[first + message.count];
        int tree = copy_tree(source);
        if (tree < 0)
            result = error_errno(err, "copy the mount of %s", source);
        else
            fds[message.count++] = tree;
    }
    if (result == 0)
        result = channel_send(socket, &message, sizeof(message), fds, (int)message.count, err);
    for (uint32_t i = 0; i < message.count; i++)
        close(fds[i]);
    return result;
}

int bind_trees_send(const struct bind_trees *trees, int socket, struct cj_error *err)
{
    for (size_t i = 0; i < trees->count; i += INIT_TREES_MAX) {
        size_t left = trees->count - i;
        if (send_some(trees, i, left < INIT_TREES_MAX ? left : INIT_TREES_MAX, socket, err) < 0)
            return -1;
    }
    return 0;
}

void bind_trees_close(struct bind_trees *trees)
{
    if (trees == NULL)
        return;
    for (size_t i = 0; i < trees->count; i++)
        free(trees->sources[i]);
    free(trees->sources);
    free(trees);
}
