/* What sandbox.c gives a container's files. */
#ifndef CJ_SANDBOX_PRIVATE_H
#define CJ_SANDBOX_PRIVATE_H

#include <pthread.h>

#include "bind_trees.h"
#include "id_range.h"
#include "sandbox/sandbox.h"
#include "spawner.h"

struct sandbox {
    struct sandbox_facts facts;
    struct cgroup_host *cgroups; /* NULL: none */
    struct spawner *spawner;
    pthread_mutex_t lock; /* spawner, ids */
    struct id_range ids;
    int image_fd;             /* cjudge-init */
    struct bind_trees *trees; /* NULL: init opens them */
    int setup_fd;             /* sealed memfd, struct init_setup */
    bool single_id;
    bool share_net;
    bool has_init_command;
    bool into_cgroup;   /* programs are cloned into their group (v2) */
    bool own_work_dir;  /* the work directory is the root of a tmpfs of each container's own */
    bool warm;          /* programs may be kept warm */
    uint64_t warm_runs; /* that one forks before it is renewed */
    char work_dir[256];
};

/* A living spawner: starts a new one when the last has died. */
WARN_UNUSED int sandbox_spawner(struct sandbox *sandbox, struct spawner **out,
                                struct cj_error *err);

#endif
