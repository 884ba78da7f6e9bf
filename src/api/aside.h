/* One thread for what would hold up the loop: reading large bodies, opening files of the host. Tasks are
 * done one after the other, in their order; each is heard of on the loop when it is done. */
#ifndef CJ_API_ASIDE_H
#define CJ_API_ASIDE_H

#include "base/attr.h"
#include "base/error.h"
#include "net/loop.h"

struct aside;

/* The caller's; stays where it is until done() is called. */
struct aside_task {
    void (*work)(void *arg); /* on the thread */
    void (*done)(void *arg); /* on the loop, afterwards */
    void *arg;
    struct aside_task *next; /* aside's */
};

WARN_UNUSED int aside_new(struct net_loop *loop, struct aside **out, struct cj_error *err)
    NONNULL(1, 2);

/* On the loop. */
void aside_submit(struct aside *aside, struct aside_task *task) NONNULL(1, 2);

/* Works off what was submitted and ends the thread; done() of the last tasks is posted by then, and the
 * loop has to run once more to hear it. NULL is fine. */
void aside_free(struct aside *aside);

#endif
