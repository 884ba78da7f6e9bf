/* The event loop: one thread that waits for sockets, timers, signals and words from other threads.
 *
 * Everything that belongs to a loop is touched on its thread only: the one inside net_loop_run(),
 * or, while nobody is, the one that made it. net_loop_post() and net_loop_stop() are for any
 * thread. Callbacks must not block: every client of the loop waits meanwhile. */
#ifndef CJ_NET_LOOP_H
#define CJ_NET_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/error.h"

struct net_loop;
struct net_timer;
struct net_signal;

WARN_UNUSED int net_loop_new(struct net_loop **loop, struct cj_error *err) NONNULL(1);

/* Servers, timers and signals are freed before. Tasks that were posted and have not run are
 * forgotten: their arguments are the poster's business. NULL is allowed. */
void net_loop_free(struct net_loop *loop);

/* Calls back until net_loop_stop(); what was posted before the stop has run by then. SIGPIPE is
 * blocked in this thread meanwhile: sendfile(2) to a client that has gone raises it. May be called
 * again afterwards. */
WARN_UNUSED int net_loop_run(struct net_loop *loop, struct cj_error *err) NONNULL(1);

/* Makes net_loop_run() return, the next one when none is running. Any thread; not in a signal
 * handler (see net_signal_new()). */
void net_loop_stop(struct net_loop *loop) NONNULL(1);

/* Runs task(arg) on the loop's thread, later: never inside this call, in the order of the posts of
 * one thread. Any thread. Costs an append under a lock, and one write(2) for each batch that the
 * loop has not begun to run. Ends the process when memory is gone. */
void net_loop_post(struct net_loop *loop, void (*task)(void *arg), void *arg) NONNULL(1, 2);

/* CLOCK_MONOTONIC as it was when the loop last woke up: the time for everything in one callback.
 */
int64_t net_loop_now_ns(const struct net_loop *loop) NONNULL(1);

/* A timer, not running yet. It rings once for each net_timer_set(). */
WARN_UNUSED int net_timer_new(struct net_timer **timer, struct net_loop *loop,
                              void (*ring)(void *arg), void *arg, struct cj_error *err)
    NONNULL(1, 2, 3);
/* (Re)starts it: rings after_ns from now (not negative; to the millisecond, never early). */
void net_timer_set(struct net_timer *timer, int64_t after_ns) NONNULL(1);
/* It will not ring. */
void net_timer_cancel(struct net_timer *timer) NONNULL(1);
/* Allowed inside its own callback. NULL is allowed. */
void net_timer_free(struct net_timer *timer);

/* Calls caught(number, arg) for each arrival of the signal (several may be folded into one,
 * signal(7)). The signal is blocked in the calling thread and read through signalfd(2); so call it
 * before other threads are made, which inherit the mask. Programs started with exec inherit it,
 * too. */
WARN_UNUSED int net_signal_new(struct net_signal **signal, struct net_loop *loop, int number,
                               void (*caught)(int number, void *arg), void *arg,
                               struct cj_error *err) NONNULL(1, 2, 4);
/* Leaves the signal blocked. NULL is allowed. */
void net_signal_free(struct net_signal *signal);

#endif
