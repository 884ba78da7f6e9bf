/* Host uids for containers: each gets its own, out of a reserved range, so that no two share the
 * kernel's per-user quotas and none is ever root.
 *
 * An uid in use is a locked byte of one file (open file description locks, fcntl(2)): the kernel gives
 * it back when the service dies, and several services on a machine never take the same. */
#ifndef CJ_SANDBOX_ID_RANGE_H
#define CJ_SANDBOX_ID_RANGE_H

#include <stdint.h>

#include "base/attr.h"
#include "base/error.h"

enum { ID_BASE_DEFAULT = 1879048192 }; /* 0x70000000: unused by systemd, UIDS-GIDS.md */

struct id_range {
    uint32_t base; /* of every container's init; containers get base + 1, base + 2, ... */
    uint32_t count;
    int lock_fd; /* -1: no place for the file, which was said; ids then are this process's own numbering */
};

/* Picks the range. wanted_base 0: the default, or where this user namespace maps fewer ids
 * (user_namespaces(7)) the end of what it maps. */
WARN_UNUSED int id_range_open(uint32_t wanted_base, struct id_range *out, struct cj_error *err);
void id_range_close(struct id_range *range);

/* Takes a free id; search starts at base + 1 + hint. */
WARN_UNUSED int id_range_take(struct id_range *range, uint32_t hint, uint32_t *id,
                              struct cj_error *err);
void id_range_give_back(struct id_range *range, uint32_t id);

#endif
