/* From what the host is to what to do about it: for each lack what it costs and the command that
 * mends it. Pure. */
#ifndef CJ_CMD_ADVICE_H
#define CJ_CMD_ADVICE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/attr.h"
#include "sandbox/host_facts.h"
#include "sandbox/host_try.h"
#include "sandbox/protection.h"

enum { REMEDIES_MAX = 32 };

struct remedy {
    const char *name;  /* the rule or part that is in the way: stable, for JSON */
    bool lowers_level; /* false: the level stays, something smaller is lost */
    char problem[256];
    char cost[256];
    char command[640]; /* THE command (or setting) that mends it */
};

/* Every rule that stands behind the reasons of decision, then what disturbs without lowering a
 * level. Returns how many. */
size_t advise(const struct host_facts *facts, const struct host_tries *tries,
              const struct protection_decision *decision, struct remedy out[static REMEDIES_MAX])
    NONNULL(1, 2, 3);

#endif
