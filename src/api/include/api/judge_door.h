/* The batch judging API (code-judge's): /run, /judge, /run/batch, /judge/batch, /run/long-batch,
 * /judge/long-batch, /ping, /status; and /languages. docs/judge-api.md tells it to its users.
 *
 * One HTTP server on a loop, which is touched on the loop's thread only. */
#ifndef CJ_API_JUDGE_DOOR_H
#define CJ_API_JUDGE_DOOR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/error.h"
#include "judge/language.h"
#include "judge/submission.h"
#include "net/http.h"
#include "net/loop.h"
#include "sched/sched.h"

struct judge_door;

/* Borrowed for the door's life, but for the numbers. */
struct judge_door_settings {
    struct net_loop *loop;
    struct sched *sched;
    const struct languages *languages;
    const struct submission_settings *submission;
    const struct submission_observer *observer; /* NULL: nobody keeps error cases */
    const struct http_settings *http;           /* NULL: defaults */
    unsigned slots;
    uint64_t body_bytes;        /* largest body: 413 */
    int64_t queue_life_ns;      /* a submission or one of a batch begins within it */
    int64_t long_queue_life_ns; /* one of a long batch */
};

WARN_UNUSED int judge_door_new(const struct judge_door_settings *settings, struct judge_door **out,
                               struct cj_error *err);
/* As http_server_listen(). */
WARN_UNUSED int judge_door_listen(struct judge_door *door, const char *address,
                                  struct cj_error *err);
const char *judge_door_address(const struct judge_door *door, size_t index);
/* As http_server_stop(). */
void judge_door_stop(struct judge_door *door, int64_t timeout_ns, void (*done)(void *arg),
                     void *arg);
/* After done(), or when the loop does not run any more. NULL is fine. */
void judge_door_free(struct judge_door *door);

#endif
