/* How much memory a store may use when nobody says. */
#ifndef CJ_STORE_MEMORY_SHARE_H
#define CJ_STORE_MEMORY_SHARE_H

#include <stdint.h>

/* A quarter of what the machine or this process's control group has, whichever is less. */
uint64_t memory_share(void);

#endif
