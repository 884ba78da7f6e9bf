/* What a program of init's own uid could change of init: its resource limits, which the programs of later
 * runs inherit (prlimit(2) asks for nothing but the same uid; the built-in filter allows no other process
 * than the caller, an operator's own may). An ordinary user's container has one uid for both. The rest is
 * denied by the kernel, for init has capabilities and programs have none: scheduling, affinity and disk
 * priority (security/commoncap.c, cap_safe_nice()), memory and descriptors (ptrace_may_access()). */
#include <string.h>
#include <sys/resource.h>

#include "init.h"

static struct rlimit fresh[RLIM_NLIMITS];

static bool read_limits(struct rlimit limits[static RLIM_NLIMITS])
{
    for (int resource = 0; resource < RLIM_NLIMITS; resource++)
        if (getrlimit(resource, &limits[resource]) < 0)
            return false;
    return true;
}

void own_remember(void)
{
    if (!read_limits(fresh))
        give_up("read our own limits");
}

bool own_changed(void)
{
    struct rlimit now[RLIM_NLIMITS];
    return !read_limits(now) || memcmp(now, fresh, sizeof(now)) != 0;
}
