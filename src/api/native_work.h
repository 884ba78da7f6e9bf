/* What the files of the native judging API share: one HTTP request (a work), the programs in it (its tasks), and
 * who does what with them.
 *
 *     native.c          routes
 *     native_work.c     head ─► body ─► end ─► (aside, when large) parse ─► tasks, a few at a time ─► over
 *     native_task.c     one program and its cases: an evaluation, and what it tells
 *     native_answer.c   what the client gets: errors, pieces of a stream, a whole answer
 *
 * On the loop's thread, all of it but what an evaluation calls. */
#ifndef CJ_API_NATIVE_WORK_H
#define CJ_API_NATIVE_WORK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "artifacts.h"
#include "base/attr.h"
#include "base/buf.h"
#include "base/error.h"
#include "judge/evaluation.h"
#include "native.h"
#include "native_request.h"
#include "native_result.h"

struct native {
    struct native_settings settings;
    struct artifacts *artifacts;
    struct native_work *works;
};

enum native_streaming { NOT_STREAMED, STREAMED_AS_LINES, STREAMED_AS_EVENTS };

struct native_json {
    char *text; /* NULL: not there yet */
    size_t size;
};

/* One program and its cases. */
struct native_task {
    struct native_work *work;
    size_t index; /* in its batch */
    const struct native_request *request;
    struct judge_program program;
    struct evaluation_case *cases;
    struct evaluation *evaluation; /* NULL: not begun, or over */
    struct native_summary summary;
    struct native_json build;
    struct native_json *results;  /* not streamed: one for each case */
    struct judge_artefact *built; /* NATIVE_BUILD */
    struct judge_artefact
        *given; /* by its id, ours from the beginning on; NULL: there is a program */
};

/* One HTTP request. */
struct native_work {
    struct native *native;
    struct native_work *next, *previous;
    struct http_request *http; /* NULL once it is over */
    enum native_body_kind kind;
    enum native_streaming streaming;
    bool accepts_events;
    struct buf body;
    int64_t came_ns; /* the whole of it */
    struct aside_task aside;
    bool is_aside;
    int parse_result;
    struct cj_error error;
    struct native_batch batch;
    struct native_task *tasks;
    struct build_cache *runs; /* of requests that say dedupe; NULL: none does */
    struct net_timer *retry;
    size_t next_task;
    size_t running;
    size_t over;
    int64_t begun_ns;
    int64_t failing_ns; /* since when the next task cannot begin; 0: it can, as far as is known */
    bool begun;
    bool cancelled;
    bool answered;
};

/* ---- native_work.c ---- */

/* Takes the request: reads its body, judges, answers. */
void native_work_begin(struct native *native, struct http_request *http,
                       enum native_body_kind kind);
/* Ends what goes on; the answer says so, at once where nothing goes on. */
void native_work_cancel(struct native_work *work);
void native_work_free(struct native_work *work);
/* A task of it is over, and told. May free the work. */
void native_work_task_ended(struct native_work *work);

/* ---- native_task.c ---- */

/* Looks up what the request names by id. The error is the client's, and names the field. */
WARN_UNUSED int native_task_prepare(struct native_task *task, struct cj_error *err);
/* Begins its evaluation; err as evaluation_start()'s. native_work_task_ended() follows. */
WARN_UNUSED int native_task_start(struct native_task *task, struct cj_error *err);
/* Instead: it cannot begin. Its build is an Internal Error for that reason; native_work_task_ended() follows. */
void native_task_fail(struct native_task *task, const struct cj_error *why);
void native_task_release(struct native_task *task);

/* ---- native_answer.c ---- */

void native_reply_error(struct http_request *http, int status, const char *message);
/* The status that belongs to err. */
void native_reply_failure(struct http_request *http, const struct cj_error *err);

void native_stream_begin(struct native_work *work);
/* A line, or an event. object: a JSON object, whose members come; it is used up. */
void native_stream_tell(struct native_task *task, const char *event, struct buf *object);
void native_stream_summary(struct native_task *task);

/* Everything is over: the answer, or the end of the stream. */
void native_answer(struct native_work *work);

#endif
