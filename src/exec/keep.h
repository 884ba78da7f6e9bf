/* Output on its way into a result, or into the store.
 *
 * In memory, small ones are on the heap; above KEEP_SMALL bytes they get a mapping of their own, which grows without
 * being copied, costs what was touched of it, and goes back to the kernel as a whole. */
#ifndef CJ_EXEC_KEEP_H
#define CJ_EXEC_KEEP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/error.h"
#include "exec/exec.h"

enum { KEEP_SMALL = 1024 * 1024 };

/* A zeroed one keeps nothing; set max first. */
struct keep {
    uint64_t max;  /* bytes that are kept at most */
    uint64_t seen; /* bytes that came */
    struct buf small;
    char *map; /* takes the place of small; or NULL */
    size_t map_size, map_used;
    bool stored;               /* it goes into the store, not into memory */
    bool begun;                /* ... which has given it a draft */
    struct store_draft *draft; /* until something fails */
    char *why;                 /* what the store said when it failed; or NULL */
    int failure;               /* errno, sticks: what came later is counted but not kept */
    bool marked;
    uint64_t mark; /* seen, when the run's wall time had passed */
};

/* From now on what comes goes into the store. Before anything has come. */
void keep_in_store(struct keep *keep, struct store *store);

/* Takes what has come: up to max bytes in all are kept, the rest is counted and dropped. */
void keep_append(struct keep *keep, const void *data, size_t size);

/* As keep_append() with the file's first size bytes, whatever its offset is. Holes stay holes. */
void keep_file(struct keep *keep, int fd, uint64_t size);

/* What comes from now on may be too late: the first mark counts. */
void keep_mark(struct keep *keep);

/* It was not. */
void keep_unmark(struct keep *keep);

/* It was: forgets what came after the mark, if there is one. */
void keep_cut_to_mark(struct keep *keep);

/* 0, or -1 with err filled in when something that should have been kept was not. */
WARN_UNUSED int keep_check(const struct keep *keep, struct cj_error *err);

/* Hands the draft over. keep_check() has said that it is whole. */
struct store_draft *keep_take_draft(struct keep *keep);

/* Hands the bytes over, which are in memory; keep is left empty. Fails as keep_check() does. */
WARN_UNUSED int keep_take(struct keep *keep, struct exec_output *output, struct cj_error *err);

void keep_free(struct keep *keep);

#endif
