/* When to look next: the earliest instant at which a limit could be passed. Pure. */
#ifndef CJ_EXEC_WATCH_H
#define CJ_EXEC_WATCH_H

#include <stdint.h>

/* CPU time used_ns of limit_ns is used and at most cpus CPUs can burn more: the first instant after
 * now_ns at which the limit can have been passed, but at least step_ns away (what the kernel tells
 * moves by scheduler ticks, so looking more often sees nothing new). */
static inline int64_t watch_cpu_at(int64_t now_ns, int64_t used_ns, int64_t limit_ns, unsigned cpus,
                                   int64_t step_ns)
{
    int64_t left = limit_ns - used_ns;
    int64_t wait = left > 0 ? left / (cpus > 0 ? cpus : 1) : 0;
    return now_ns + (wait > step_ns ? wait : step_ns);
}

#endif
