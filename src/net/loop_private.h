/* What the rest of src/net needs of the loop besides its public header. */
#ifndef CJ_NET_LOOP_PRIVATE_H
#define CJ_NET_LOOP_PRIVATE_H

#include <event2/event.h>

#include "net/loop.h"

struct event_base *loop_base(struct net_loop *loop);

/* A callback of libevent begins and ends with these: the time is taken, and what was put off to
 * the end of the callback is done. */
void loop_enter(struct net_loop *loop);
void loop_leave(struct net_loop *loop);

/* Work that is put off, embedded in what it is about. Zeroed but for run. */
struct net_soon {
    void (*run)(struct net_soon *soon);
    struct net_soon *next;
    bool queued;
};

/* Runs it at the end of the present callback: when the caller's frames are gone. */
void loop_soon(struct net_loop *loop, struct net_soon *soon);
/* Runs it when what else is ready has had its turn. */
void loop_later(struct net_loop *loop, struct net_soon *soon);
/* It is not run. */
void loop_forget(struct net_loop *loop, struct net_soon *soon);

#endif
