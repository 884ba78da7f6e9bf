/* Which control groups can be used: texts of /proc and a tree in, facts out. Private to this layer. */
#ifndef CJ_SANDBOX_CGROUP_DETECT_H
#define CJ_SANDBOX_CGROUP_DETECT_H

#include <stddef.h>

#include "sandbox/cgroup.h"

enum { CGROUP_PATH_SIZE = 512, CGROUP_HIERARCHIES_MAX = 5 };

/* What the kernel says. Missing texts are "". */
struct cgroup_sources {
    const char *mountinfo;   /* /proc/self/mountinfo */
    const char *controllers; /* /proc/cgroups */
    const char *own;         /* /proc/self/cgroup */
    const char *cmdline;     /* /proc/cmdline */
    const char *swaps;       /* /proc/swaps */
    const char *mount_root;  /* stands for /sys/fs/cgroup; NULL: mount points as they are */
    const char *delegated;   /* struct cgroup_options */
};

/* One mounted tree, and the directory of it below which our prefix goes. */
struct cgroup_hierarchy {
    unsigned controllers; /* enum cgroup_controller bits */
    char mount[CGROUP_PATH_SIZE];
    char base[CGROUP_PATH_SIZE];
    bool
        base_has_processes_rule; /* v2: "no internal processes" holds for base (not the real root) */
};

struct cgroup_layout {
    struct cgroup_facts facts; /* kind, controllers, hybrid, nsdelegate, limits_*, reason */
    struct cgroup_hierarchy hierarchies[CGROUP_HIERARCHIES_MAX]; /* v2: one */
    size_t count;
};

/* Reads only, through the texts and the directories they name. The base of a hierarchy is the highest
 * directory in which every limit that holds for this process still holds: from our own group it climbs
 * as long as the group it leaves limits no memory, CPU rate or CPU set, was not delegated to us
 * (systemd's xattr) and the parent can be written. On a plain host that is the hierarchy's root, so
 * that leftovers are found again from any login; in a container or a limited service it is our own
 * group. pids limits do not count: systemd gives every service one that nobody asked for. */
void cgroup_detect(const struct cgroup_sources *sources, struct cgroup_layout *layout);

/* "memory", "pids", ... of one enum cgroup_controller bit. */
const char *cgroup_controller_name(enum cgroup_controller controller);

/* Appends one sentence to facts->reason. */
void cgroup_add_reason(struct cgroup_facts *facts, const char *format, ...) PRINTF(2, 3);

#endif
