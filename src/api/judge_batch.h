/* The submissions of one request of the batch judging API on their way through the scheduler.
 *
 *     judge_batch_new ─► judge_batch_start ─► result, result, ... (in order) ─► ended
 *
 * Only as many as keep the slots busy are with the scheduler at a time; the others wait here, where one
 * costs its text and a few words. Everything happens on the loop's thread but the judging itself. */
#ifndef CJ_API_JUDGE_BATCH_H
#define CJ_API_JUDGE_BATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/error.h"
#include "judge/submission.h"
#include "judge_request.h"
#include "net/loop.h"
#include "sched/sched.h"

struct judge_batch;

struct judge_batch_settings {
    struct net_loop *loop;
    struct sched *sched;
    const struct submission_settings *submission;
    const struct submission_observer *observer; /* or NULL */
    unsigned slots;
    bool with_texts;       /* stdout and stderr are told: /run */
    int64_t queue_life_ns; /* what has not begun so long after the start is a queue_timeout */
};

struct judge_batch_calls {
    /* The next result, as JSON; in the order of the submissions. */
    void (*result)(void *arg, const char *json, size_t size);
    /* Bytes of results that the client has not taken yet. While they are many, nothing is begun. */
    size_t (*waiting)(void *arg);
    /* No further call comes. cancelled: not all results came. */
    void (*ended)(void *arg, bool cancelled);
};

/* Takes the request over. settings is copied, what it points to is borrowed. */
WARN_UNUSED int judge_batch_new(const struct judge_batch_settings *settings,
                                struct judge_request *request,
                                const struct judge_batch_calls *calls, void *arg,
                                struct judge_batch **out, struct cj_error *err);

/* -1 when not even the first could be queued (EAGAIN: the queue is full, ESHUTDOWN); nothing was
 * called then, and ended() will not be: free it. */
WARN_UNUSED int judge_batch_start(struct judge_batch *batch, struct cj_error *err);

/* The client has taken what waited. */
void judge_batch_go_on(struct judge_batch *batch);

/* Stops what is going on; ended(cancelled) follows when it has. Not inside result(). */
void judge_batch_cancel(struct judge_batch *batch);

/* Submissions that the scheduler has not got yet. */
size_t judge_batch_waiting(const struct judge_batch *batch);

/* Before the start, or inside or after ended(). */
void judge_batch_free(struct judge_batch *batch);

/* One result as the API writes it, of a submission with that id. Pure. */
void judge_result_write(struct buf *out, struct body_text sub_id,
                        const struct submission_result *result, bool with_texts);

/* A random UUID (RFC 9562, version 4) and a NUL. */
enum { UUID_SIZE = 37 };
void judge_uuid(char text[static UUID_SIZE]);

#endif
