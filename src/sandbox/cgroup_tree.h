/* Directories of a cgroup file system: made, locked, emptied and removed by descriptor. Private to
 * this layer. Nothing here follows a link or leaves the file system: names are single components,
 * directories are opened with O_NOFOLLOW and must lie on a cgroup file system, and only processes
 * that such a directory lists are killed. */
#ifndef CJ_SANDBOX_CGROUP_TREE_H
#define CJ_SANDBOX_CGROUP_TREE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/error.h"

enum { TREE_NAME_SIZE = 64 };

/* Opens a directory by its whole path. */
WARN_UNUSED int tree_open(const char *path, int *fd, struct cj_error *err);

/* Opens a child. errno is kept. */
WARN_UNUSED int tree_open_child(int parent_fd, const char *name, int *fd, struct cj_error *err);

/* Makes a child (one that is there already is fine only if `reuse`) and opens it. err->code EEXIST,
 * ENOENT (the parent was removed meanwhile), EACCES, EROFS, ... */
WARN_UNUSED int tree_make_child(int parent_fd, const char *name, bool reuse, int *fd,
                                struct cj_error *err);

/* flock(2) exclusively, waiting until deadline_ns (monotonic). err->code EWOULDBLOCK when held. */
WARN_UNUSED int tree_lock(int fd, int64_t deadline_ns, struct cj_error *err);

/* Kills every process in this directory and below, and waits until none is left. */
WARN_UNUSED int tree_kill(int fd, int64_t deadline_ns, struct cj_error *err);

/* Removes an empty group; stragglers that are still being torn down are waited for. */
WARN_UNUSED int tree_rmdir(int parent_fd, const char *name, int64_t deadline_ns,
                           struct cj_error *err);

/* Removes a group and all below it, whose processes are dead. */
WARN_UNUSED int tree_remove(int parent_fd, const char *name, int64_t deadline_ns,
                            struct cj_error *err);

/* Calls use(pid) for each process listed in file ("cgroup.procs") of the directory, until it returns
 * other than 0. Returns the number listed, or -1 with err. */
typedef int tree_pid_use(int pid, void *context, struct cj_error *err);
WARN_UNUSED int tree_each_pid(int fd, tree_pid_use *use, void *context, struct cj_error *err);

/* Finds instances below a prefix directory that nobody holds the lock of, kills what is in them and
 * removes them. One that another cleaner is at is left to it. Returns how many could not be removed. */
int tree_clean_leftovers(int prefix_fd, int64_t deadline_ns);

/* "<pid>-<starttime>-<random>": what an instance's directory is called, and nothing else. */
bool tree_is_instance_name(const char *name);

#endif
