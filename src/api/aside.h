/* A thread beside the loop for work that would hold the loop up, such as reading a large body. */
#ifndef CJ_API_ASIDE_H
#define CJ_API_ASIDE_H

#include "base/attr.h"
#include "base/error.h"
#include "net/loop.h"

struct aside;

/* The caller's; must stay where it is until done() is called. */
struct aside_task {
    void (*work)(void *arg); /* on the thread */
    void (*done)(void *arg); /* afterwards, on the loop */
    void *arg;
    struct aside_task *next; /* aside's */
};

WARN_UNUSED int aside_new(struct net_loop *loop, struct aside **out, struct cj_error *err);
/* One after the other, in their order. */
void aside_do(struct aside *aside, struct aside_task *task);
/* Waits for the task that is worked on; the others, and done() of all, will not be called. NULL is
 * fine. */
void aside_free(struct aside *aside);

#endif
