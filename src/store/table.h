/* What is known of the files of a store, by id. Not thread-safe: the store's lock guards it. */
#ifndef CJ_STORE_TABLE_H
#define CJ_STORE_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"

struct entry {
    struct entry *next; /* in its bucket */
    char *id;
    char *name;
    uint64_t size;
    int64_t mtime_ns;
    int64_t last_use_ns; /* monotonic */
    bool expires;        /* made by a store, not put into the directory by others */
    int memfd;           /* the content, where the shelf is no directory; -1 */
    uint32_t seen;       /* number of the last scan that met it */
};

struct table {
    struct entry **buckets;
    size_t bucket_count; /* a power of two; 0 while empty */
    size_t count;
    uint64_t bytes; /* sum of sizes */
};

/* NULL: not there. */
struct entry *table_find(const struct table *table, const char *id);

/* A new entry; id and name are copied, the rest is zero (memfd -1) and the caller's to fill in, the size with
 * table_resize(). The id must not be there. NULL: out of memory. */
struct entry *table_add(struct table *table, const char *id, const char *name);
void table_resize(struct table *table, struct entry *entry, uint64_t size);

/* Takes it out and frees it; closes its memfd. */
void table_remove(struct table *table, struct entry *entry);

/* Calls visit for each; it may remove the one it is given. */
void table_each(struct table *table, void (*visit)(void *arg, struct entry *entry), void *arg);

/* Removes all. */
void table_free(struct table *table);

#endif
