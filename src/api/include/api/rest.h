/* go-judge's REST door: POST /run, the routes below /file, /version and /config.
 *
 *     rest_new ─► http_server_new(&server, loop, rest_door(), rest, ...) ─► loop runs
 *              ─► http_server_stop(), and rest_cancel() when that takes too long
 *              ─► http_server_free ─► sched_free ─► the loop once more ─► rest_free
 *
 * It translates: a request becomes a job of the scheduler, its results an answer. All of it happens on
 * the loop's thread, but for what would hold that up (large bodies, files of the host), which a thread
 * of its own does, and the runs, which are the slots'.
 *
 * What a client gets is go-judge's, byte for byte where clients look at bytes; docs/migration.md lists
 * what differs on purpose. */
#ifndef CJ_API_REST_H
#define CJ_API_REST_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/error.h"
#include "base/options.h"
#include "exec/exec.h"
#include "net/http.h"
#include "net/loop.h"
#include "sandbox/mount_config.h"
#include "sandbox/sandbox.h"
#include "sched/sched.h"
#include "store/store.h"

/* All of it is borrowed until rest_free(), but for facts and mounts, which are read once. */
struct rest_options {
    struct net_loop *loop;
    struct sched *sched;
    struct store *store;
    struct exec_settings exec;
    struct option_list src_prefixes; /* empty: every path */
    bool cpu_rate;                   /* honour cpuRateLimit */
    const char *auth_token;          /* NULL or "": everybody may */
    uint64_t max_body_bytes;
    const char *version; /* "0.1.0" */
    const struct sandbox_facts *facts;
    const struct mount_config *mounts;
};

struct rest;

WARN_UNUSED int rest_new(const struct rest_options *options, struct rest **out,
                         struct cj_error *err) NONNULL(1, 2);

/* For http_server_new(), whose arg is the struct rest. */
const struct http_door *rest_door(void);

/* Cancels what waits and what runs, and takes nothing more: all that is answered with 503. */
void rest_cancel(struct rest *rest) NONNULL(1);

/* Requests whose work has not ended, answered or not. */
uint64_t rest_at_work(const struct rest *rest) NONNULL(1);

/* When nothing is at work any more. NULL is fine. */
void rest_free(struct rest *rest);

#endif
