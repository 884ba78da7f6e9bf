/* What store.c and draft.c share. */
#ifndef CJ_STORE_PRIVATE_H
#define CJ_STORE_PRIVATE_H

#include <pthread.h>

#include "shelf.h"
#include "store/store.h"
#include "table.h"

struct store {
    struct store_facts facts;
    struct shelf shelf;
    char *directory;
    int64_t expiry_ns;
    pthread_mutex_t lock; /* the table, and names coming and going on the shelf */
    struct table table;
    uint32_t scans;
};

/* As store_open(), for tests of the lesser ways: lacks are bits of enum shelf_lack. */
WARN_UNUSED int store_open_lacking(const struct store_settings *settings, unsigned lacks,
                                   struct store **out, struct cj_error *err);

#endif
