/* Which outputs a request wants from where. Pure. */
#ifndef CJ_EXEC_OUT_PLAN_H
#define CJ_EXEC_OUT_PLAN_H

#include <stdbool.h>

#include "exec/exec.h"

/* Whether copy_out_cached has that name. */
bool out_is_cached(const struct exec_request *request, const char *name);

/* One output that is read from a file. */
struct out_item {
    const struct exec_copy_out *item;
    bool cached;
};

/* Fills items with copy_out and then copy_out_cached, in their order, each name once: a name in both lists
 * is cached. items has room for all. Returns their number. */
size_t out_plan(const struct exec_request *request, struct out_item *items);

#endif
