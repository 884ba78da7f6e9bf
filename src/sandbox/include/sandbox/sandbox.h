/* What all containers of a process share: protection level, cgroups, spawner, init's image, filter.
 *
 * Open it before the process has threads; it forks the spawner. Everything it holds on the host dies
 * with the process, also by SIGKILL; what SIGKILL leaves (empty cgroup directories) the next start
 * removes. */
#ifndef CJ_SANDBOX_SANDBOX_H
#define CJ_SANDBOX_SANDBOX_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/error.h"
#include "sandbox/cgroup.h"
#include "sandbox/mount_config.h"
#include "sandbox/protection.h"

struct sandbox_options {
    const struct mount_config *mounts; /* how containers look; borrowed during sandbox_open() */
    const char *seccomp_file;          /* seccomp.yaml; NULL or missing file: the default filter */
    const char *cgroup_prefix;         /* NULL: "cjudge" */
    const char *cgroup_root;           /* delegated v2 subtree; NULL: found */
    uint32_t id_base;                  /* first host uid of the reserved range; 0: the default */
    bool share_net;                    /* keep the host's network namespace (not isolated!) */
    bool loopback;                     /* bring lo up in containers */
    uint64_t warm_runs; /* a warm interpreter is renewed after so many; 0: none are kept */
    enum protection_level required; /* refuse to open with less */
    enum protection_level highest;  /* use no more than this level (PROTECTION_FULL: the best) */
};

struct sandbox_facts {
    enum protection_level level;
    char reason[512]; /* why the level is not full, and what to do; "" when it is */
    struct cgroup_facts cgroup;
    bool filter_inherited; /* the filter costs runs nothing */
    uint32_t uid, gid;     /* of programs, inside */
    const char *work_dir;
    bool warm;             /* interpreters can be kept warm */
    char warm_reason[128]; /* why not; "" */
};

struct sandbox;

WARN_UNUSED int sandbox_open(const struct sandbox_options *options, struct sandbox **out,
                             struct cj_error *err);
const struct sandbox_facts *sandbox_facts(const struct sandbox *sandbox);

/* Every container must be freed before. NULL is fine. */
void sandbox_close(struct sandbox *sandbox);

#endif
