/* POST /run.
 *
 *     head ─► body ─► read ─► plan ─► submit ─► (slot: run) ─► answer ─► over
 *                     └────────┘ on the aside thread when the body is large or host files are named
 *
 * Everything but the slot's part and the aside thread's happens on the loop; short answers to short requests are the
 * slot's part, too. Two may hold a run at the same time, the HTTP layer (until over()) and whoever works on it (until it
 * posts back, or has answered); it is freed when neither does. */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "rest_private.h"
#include "rest_result.h"

enum {
    LARGE_BODY = 64 * 1024,
    RESERVE_MAX = 1024 * 1024, /* of a body whose length was told: what is believed at once */
    ANSWER_AT_ONCE = 2 * REST_ANSWER_PIECE, /* of output bytes */
    ANSWER_DIRECTLY = 16 * 1024,            /* ... by the slot itself */
};

struct rest_run {
    struct exchange exchange;
    struct rest *rest;
    struct rest_run *next, **link;
    struct buf body;
    struct rest_request request;
    struct rest_plan *plan;
    struct exec_result *results; /* one for each command: */
    size_t count;
    struct rest_answer *answer;
    struct cj_error error; /* why there are no results */
    bool failed;
    bool is_short;  /* the body is */
    bool is_read;   /* the request is */
    bool at_work;   /* the aside thread or the scheduler holds it */
    bool submitted; /* the scheduler does */
    bool dropped;   /* it did not run */
    struct aside_task aside;
    struct sched_job job;
    struct http_direct *direct; /* the slot may answer; NULL: it posts */
};

/* ---- the end ---- */

static void remove_stored(struct rest_run *run)
{
    for (size_t i = 0; i < run->count; i++)
        for (size_t k = 0; k < run->results[i].file_id_count; k++)
            if (store_remove(run->rest->options.store, run->results[i].file_ids[k].id, NULL) < 0)
                continue; /* somebody else has removed it */
}

/* Closes its files and frees the body: a client that takes its time with the answer holds neither. */
static void forget_request(struct rest_run *run)
{
    rest_plan_free(run->plan);
    run->plan = NULL;
    rest_request_free(&run->request);
}

static void free_run(struct rest_run *run)
{
    *run->link = run->next;
    if (run->next != NULL)
        run->next->link = run->link;
    rest_answer_free(run->answer);
    http_direct_give_up(run->direct);
    for (size_t i = 0; i < run->count; i++)
        exec_result_free(&run->results[i]);
    free(run->results);
    forget_request(run);
    buf_free(&run->body);
    free(run);
}

/* What is left when the client and the work are both gone. */
static void release(struct rest_run *run)
{
    if (!run->at_work && run->exchange.http == NULL)
        free_run(run);
}

static void end_work(struct rest_run *run)
{
    run->at_work = false;
    run->submitted = false;
    run->rest->at_work--;
}

static void begin_work(struct rest_run *run)
{
    run->at_work = true;
    run->rest->at_work++;
}

/* ---- the answer ---- */

/* Fills the connection's buffer; drained() calls for more. */
static void send_more(struct rest_run *run)
{
    struct http_request *http = run->exchange.http;
    while (run->answer != NULL && http_reply_waiting(http) < HTTP_HIGH_WATER) {
        struct buf piece = {0};
        bool more = rest_answer_next(run->answer, &piece);
        if (buf_check(&piece, NULL) < 0) {
            buf_free(&piece);
            http_abort(http);
            return;
        }
        if (piece.size > 0)
            http_reply_piece_owned(http, piece.data, piece.size, http_release_free, NULL);
        if (!more) {
            rest_answer_free(run->answer);
            run->answer = NULL;
            http_reply_end(http);
        }
    }
}

static void answer_in_one(struct rest_run *run)
{
    struct buf text = {0};
    while (rest_answer_next(run->answer, &text))
        continue;
    rest_answer_free(run->answer);
    run->answer = NULL;
    if (buf_check(&text, &run->error) < 0) {
        buf_free(&text);
        exchange_failure(&run->exchange, &run->error);
        return;
    }
    exchange_json(&run->exchange, 200, &text);
}

static void answer_results(struct rest_run *run)
{
    int written = rest_answer_new(&run->request, run->results, &run->answer, &run->error);
    forget_request(run);
    if (written < 0) {
        exchange_failure(&run->exchange, &run->error);
    } else if (rest_answer_rest(run->answer) <= ANSWER_AT_ONCE) {
        answer_in_one(run);
    } else {
        exchange_status(&run->exchange, 200);
        http_reply_header(run->exchange.http, "Content-Type", "application/json; charset=utf-8");
        http_reply_start(run->exchange.http, 200, -1);
        send_more(run);
    }
}

/* The service stopped it: what its results say is not about the program. */
static bool was_stopped(const struct rest_run *run)
{
    for (size_t i = 0; i < run->count; i++)
        if (run->results[i].cancelled)
            return true;
    return run->dropped;
}

static void answer(struct rest_run *run)
{
    if (run->exchange.http == NULL) {
        remove_stored(run);
    } else if (was_stopped(run)) {
        remove_stored(run);
        error_set(&run->error, ERROR_SYSTEM, ESHUTDOWN, "worker is shutting down");
        exchange_failure(&run->exchange, &run->error);
    } else if (run->results[0].refused) {
        const char *why = run->results[0].error;
        exchange_string(&run->exchange, 500, why != NULL ? why : "refused");
    } else {
        answer_results(run);
    }
}

/* ---- the slot's part ---- */

static void run_done(void *arg)
{
    struct rest_run *run = arg;
    end_work(run);
    answer(run);
    release(run);
}

static void fail_all(struct rest_run *run, const struct cj_error *err)
{
    log_error("no container for a run", log_text("request", run->exchange.id), log_failure(err));
    for (size_t i = 0; i < run->count; i++) {
        run->results[i].status = EXEC_INTERNAL_ERROR;
        if (asprintf(&run->results[i].error, "failed to get environment %s", err->message) < 0)
            run->results[i].error = NULL;
    }
}

/* The container's init has told of the end, and was interrupted for us on its way to sleep. With nobody else waiting for
 * this CPU the kernel wakes a client of this machine here, where it can run at once, instead of where it ran before,
 * behind another slot's program: select_task_rq_fair(), wake_affine_idle(). */
static void let_init_sleep(const struct slot *slot)
{
    if (!slot_is_alone(slot))
        sched_yield();
}

/* What the loop would do, and mostly has nothing else to be woken for. Returns whether the answer is given: the run may
 * be gone then. */
static bool answer_directly(struct rest_run *run, const struct slot *slot)
{
    struct rest_answer *answer;
    struct http_direct *direct = run->direct;
    auto_buf struct buf text = {0};
    if (direct == NULL || was_stopped(run) || run->results[0].refused ||
        rest_answer_new(&run->request, run->results, &answer, NULL) < 0)
        return false;
    bool is_short = rest_answer_rest(answer) <= ANSWER_DIRECTLY;
    while (is_short && rest_answer_next(answer, &text))
        continue;
    rest_answer_free(answer);
    if (!is_short || text.failure != 0)
        return false;
    run->direct = NULL;
    let_init_sleep(slot);
    return exchange_directly(&run->exchange, direct, 200, &text);
}

static void run_on_slot(struct slot *slot, void *arg)
{
    struct rest_run *run = arg;
    const struct exec_group *group = rest_plan_group(run->plan);
    struct container **containers;
    struct cj_error err = {0};
    rest_plan_default_cpus(run->plan, slot_cpu_set(slot));
    if (slot_containers(slot, group->count, &containers, &err) < 0)
        fail_all(run, &err);
    else
        exec_run_group(containers, &run->rest->options.exec, group, slot_cancel_fd(slot),
                       run->results);
    if (!answer_directly(run, slot))
        net_loop_post(run->rest->options.loop, run_done, run);
}

static void run_dropped(void *arg, enum sched_drop reason)
{
    (void)reason;
    struct rest_run *run = arg;
    run->dropped = true;
    net_loop_post(run->rest->options.loop, run_done, run);
}

/* ---- admission ---- */

/* Clients are told apart by their address, without the port: one that opens many connections gets no
 * more turns than the others. */
static uint64_t source_of(const struct http_request *http)
{
    const char *peer = http_peer(http);
    const char *colon = strrchr(peer, ':');
    size_t size = colon != NULL ? (size_t)(colon - peer) : strlen(peer);
    uint64_t hash = UINT64_C(0xcbf29ce484222325); /* FNV-1a */
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ (unsigned char)peer[i]) * UINT64_C(0x100000001b3);
    return hash;
}

static int submit(struct rest_run *run, struct cj_error *err)
{
    if (run->rest->closing)
        return error_set(err, ERROR_SYSTEM, ESHUTDOWN, "worker is shutting down");
    run->job = (struct sched_job){.run = run_on_slot,
                                  .dropped = run_dropped,
                                  .arg = run,
                                  .source = source_of(run->exchange.http)};
    begin_work(run);
    run->submitted = true;
    if (run->is_short) /* one that is answered directly is freed a little later */
        run->direct = http_direct_new(run->exchange.http);
    if (sched_submit(run->rest->options.sched, &run->job, err) == 0)
        return 0;
    end_work(run);
    if (err->code == EAGAIN)
        return error_set(err, ERROR_SYSTEM, EAGAIN, "worker queue is full");
    if (err->code == ESHUTDOWN)
        return error_set(err, ERROR_SYSTEM, ESHUTDOWN, "worker is shutting down");
    return -1;
}

static void warn_of_dir(struct rest_run *run)
{
    for (size_t i = 0; !run->rest->warned_of_dir && i < run->request.command_count; i++) {
        if (!run->request.commands[i].copy_out_dir)
            continue;
        run->rest->warned_of_dir = true;
        log_warn("copyOutDir has no effect, as in go-judge; said once",
                 log_text("request", run->exchange.id));
    }
}

/* The body is read, with or without a plan. */
static int check(struct rest_run *run, struct cj_error *err)
{
    if (run->request.command_count == 0)
        return error_set(err, ERROR_REQUEST, 0, "no cmd provided");
    run->results = calloc(run->request.command_count, sizeof(*run->results));
    if (run->results == NULL)
        return error_set(err, ERROR_SYSTEM, ENOMEM, "out of memory");
    run->count = run->request.command_count;
    return rest_plan_new(&run->request, &run->rest->sources, &run->plan, err);
}

static int read_body(struct rest_run *run)
{
    char *data = run->body.data;
    size_t size = run->body.size;
    run->body = (struct buf){0};
    return rest_request_read(data, size, &run->request, &run->error);
}

static void admit(struct rest_run *run)
{
    if (!run->failed) {
        warn_of_dir(run);
        run->failed = submit(run, &run->error) < 0;
    }
    if (run->failed)
        exchange_failure(&run->exchange, &run->error);
}

/* On the aside thread. */
static void prepare_aside(void *arg)
{
    struct rest_run *run = arg;
    if (!run->is_read)
        run->failed = read_body(run) < 0;
    run->failed = run->failed || check(run, &run->error) < 0;
}

static void prepared_aside(void *arg)
{
    struct rest_run *run = arg;
    end_work(run);
    if (run->exchange.http != NULL)
        admit(run);
    release(run);
}

static void go_aside(struct rest_run *run)
{
    run->aside = (struct aside_task){.work = prepare_aside, .done = prepared_aside, .arg = run};
    begin_work(run);
    aside_submit(run->rest->aside, &run->aside);
}

static void body_end(struct http_request *http, void *arg)
{
    (void)http;
    struct rest_run *run = arg;
    if (buf_check(&run->body, &run->error) < 0) {
        exchange_failure(&run->exchange, &run->error);
        return;
    }
    run->is_short = run->body.size < LARGE_BODY;
    if (!run->is_short) {
        go_aside(run);
        return;
    }
    run->failed = read_body(run) < 0;
    run->is_read = true;
    if (!run->failed && rest_plan_may_wait(&run->request, &run->rest->sources)) {
        go_aside(run);
        return;
    }
    run->failed = run->failed || check(run, &run->error) < 0;
    admit(run);
}

/* ---- the HTTP layer's calls ---- */

static void body_bytes(struct http_request *http, const char *data, size_t size, void *arg)
{
    (void)http;
    struct rest_run *run = arg;
    buf_append(&run->body, data, size);
}

static void drained(struct http_request *http, void *arg)
{
    (void)http;
    send_more(arg);
}

static void over(struct http_request *http, enum http_over how, void *arg)
{
    struct rest_run *run = arg;
    if (http_answered_directly_ns(http) != 0) { /* the slot has forgotten it */
        run->exchange.status = 200;
        end_work(run);
    }
    exchange_over(&run->exchange, how);
    if (run->submitted)
        sched_cancel(run->rest->options.sched, &run->job);
    else if (!run->at_work && how != HTTP_OVER_ANSWERED)
        remove_stored(run); /* nobody knows their ids */
    release(run);
}

void rest_run_begin(struct rest *rest, const struct exchange *exchange)
{
    static const struct http_calls calls = {
        .body = body_bytes, .end = body_end, .drained = drained, .over = over};
    struct http_request *http = exchange->http;
    struct rest_run *run = calloc(1, sizeof(*run));
    if (run == NULL) {
        struct exchange failed = *exchange;
        exchange_failure(&failed, &(struct cj_error){ERROR_SYSTEM, ENOMEM, "out of memory"});
        return;
    }
    run->exchange = *exchange;
    run->rest = rest;
    run->next = rest->runs;
    run->link = &rest->runs;
    if (run->next != NULL)
        run->next->link = &run->next;
    rest->runs = run;
    int64_t length = http_content_length(http);
    if (length > 0)
        buf_reserve(&run->body, length < RESERVE_MAX ? (size_t)length : RESERVE_MAX);
    http_set_calls(http, &calls, run);
    http_accept_body(http, rest->options.max_body_bytes);
}

void rest_run_cancel_all(struct rest *rest)
{
    for (struct rest_run *run = rest->runs; run != NULL; run = run->next)
        if (run->submitted)
            sched_cancel(rest->options.sched, &run->job);
}
