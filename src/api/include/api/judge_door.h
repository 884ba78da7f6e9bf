/* The batch judging API (code-judge's): /run, /judge, /run/batch, /judge/batch, /run/long-batch,
 * /judge/long-batch, /ping, /status; /languages; and the native form below /v1. docs/judge-api.md tells it to its users.
 *
 *     judge_door_new ─► http_server_new(&server, loop, judge_door_http(), door, ...) ─► loop runs
 *               ─► http_server_stop(), and judge_door_cancel() when that takes too long
 *               ─► http_server_free ─► sched_free ─► the loop once more ─► judge_door_free
 *
 * Touched on the loop's thread only. */
#ifndef CJ_API_JUDGE_DOOR_H
#define CJ_API_JUDGE_DOOR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/error.h"
#include "judge/language.h"
#include "judge/roster.h"
#include "judge/submission.h"
#include "net/http.h"
#include "net/loop.h"
#include "sched/sched.h"
#include "store/store.h"

struct judge_door;

/* Borrowed for the door's life, but for the numbers. */
struct judge_door_settings {
    struct net_loop *loop;
    struct sched *sched;
    struct store *store;
    const struct languages *languages;
    struct roster *roster; /* of them */
    const struct submission_settings *submission;
    const struct submission_observer *observer; /* NULL: nobody keeps error cases */
    unsigned slots;
    uint64_t body_bytes;        /* largest body: 413 */
    int64_t queue_life_ns;      /* a submission or one of a batch begins within it */
    int64_t long_queue_life_ns; /* one of a long batch */
    uint64_t artifact_bytes;    /* of programs that are kept; the least recently used go first */
    const char *protection;     /* "full" */
    const char *accounting;     /* "cgroup v2" */
    const char *cold;           /* why no interpreter is kept warm; "": they are */
};

WARN_UNUSED int judge_door_new(const struct judge_door_settings *settings, struct judge_door **out,
                               struct cj_error *err);
/* For http_server_new(), whose arg is the struct judge_door. */
const struct http_door *judge_door_http(void);

/* Cancels what waits and what runs. */
void judge_door_cancel(struct judge_door *door);

/* Requests whose work has not ended, answered or not. */
uint64_t judge_door_at_work(const struct judge_door *door);

/* When nothing is at work any more. NULL is fine. */
void judge_door_free(struct judge_door *door);

#endif
