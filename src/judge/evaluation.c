#include "judge/evaluation.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/stages.h"

/* A job and what it works on: the build, or a case. */
struct step {
    struct sched_job job;
    struct build_wait wait; /* of a case, where runs are joined */
    struct evaluation *evaluation;
    size_t index;
    /* Under the lock: the scheduler has it. A job is made anew only while this is false and the
     * evaluation not cancelled, so that evaluation_cancel() never sees one half made. */
    bool submitted;
};

struct evaluation {
    struct sched *sched;
    const struct judge_settings *settings;
    struct store *store;
    struct evaluation_task task;
    struct evaluation_calls calls;
    void *arg;
    struct judge_artefact *artefact;
    struct step build;
    struct build_wait wait; /* of the build's job */

    pthread_mutex_t lock; /* of what follows */
    struct step *steps;
    size_t step_count;
    size_t next;   /* case to be begun */
    size_t ended;  /* cases that are told */
    size_t failed; /* least index of a case that failed; case_count: none */
    size_t owners; /* jobs with the scheduler, and whoever is feeding it */
    bool cancelled;
};

const char *evaluation_status_name(const struct evaluation_result *result)
{
    switch (result->verdict) {
    case VERDICT_ACCEPTED:
        return "Accepted";
    case VERDICT_WRONG_ANSWER:
        return "Wrong Answer";
    case VERDICT_RUN_FAILED:
        return exec_status_name(result->run->status);
    case VERDICT_COMPILE_ERROR:
        return "Compile Error";
    case VERDICT_SKIPPED:
        return "Skipped";
    case VERDICT_QUEUE_TIMEOUT:
        return "Queue Timeout";
    case VERDICT_CANCELLED:
        return "Cancelled";
    case VERDICT_INTERNAL_ERROR:
        break;
    }
    return "Internal Error";
}

/* ---- what a case reads ---- */

/* A stored file as bytes. */
struct view {
    const char *data;
    size_t size;
    void *mapped;
};

static int view_stored(struct store *store, const char *id, struct view *out, struct cj_error *err)
{
    struct store_file file = {.fd = -1};
    *out = (struct view){.data = ""};
    if (store_get(store, id, &file, err) < 0)
        return error_wrap(err, "expected_file");
    if (file.size > 0) {
        out->mapped = mmap(NULL, file.size, PROT_READ, MAP_PRIVATE, file.fd, 0);
        if (out->mapped == MAP_FAILED) {
            out->mapped = NULL;
            store_file_close(&file);
            return error_errno(err, "expected_file: map %s", id);
        }
        out->data = out->mapped;
        out->size = file.size;
    }
    store_file_close(&file);
    return 0;
}

static bool is_accepted(struct evaluation *evaluation, const struct evaluation_case *asked,
                        const struct exec_result *run, struct evaluation_result *result,
                        char message[static COMPARE_MESSAGE_SIZE], struct cj_error *err)
{
    struct view expected = {asked->expected, asked->expected_size, NULL};
    if (asked->expected == NULL && asked->expected_file == NULL)
        return true;
    if (asked->expected == NULL &&
        view_stored(evaluation->store, asked->expected_file, &expected, err) < 0) {
        result->verdict = VERDICT_INTERNAL_ERROR;
        result->message = err->message;
        return false;
    }
    const struct exec_output *output = judge_output(run, "stdout");
    bool same =
        compare_outputs(&evaluation->task.compare, output != NULL ? output->data : "",
                        output != NULL ? output->size : 0, expected.data, expected.size, message);
    if (expected.mapped != NULL)
        munmap(expected.mapped, expected.size);
    result->message = message;
    if (!same)
        result->verdict = VERDICT_WRONG_ANSWER;
    return same;
}

/* What runs are the same by. */
static int run_key(const struct evaluation *evaluation, const struct evaluation_case *asked,
                   struct digest *out)
{
    const struct evaluation_task *task = &evaluation->task;
    struct digest_state *state = digest_begin();
    if (task->artefact != NULL) {
        digest_add(state, &task->artefact, sizeof(task->artefact));
    } else {
        digest_add_text(state, task->program->language->id);
        digest_add_number(state, task->program->file_count);
        for (size_t i = 0; i < task->program->file_count; i++) {
            digest_add_text(state, i == 0 ? "" : task->program->files[i].name);
            digest_add(state, task->program->files[i].data, task->program->files[i].size);
        }
    }
    const struct exec_limits *limits = &task->limits;
    const uint64_t numbers[] = {
        (uint64_t)limits->cpu_ns, (uint64_t)limits->wall_ns, limits->memory_bytes,
        limits->processes,        limits->stack_bytes,       limits->file_size_bytes,
        limits->open_files,       task->output_bytes,        asked->input_size};
    for (size_t i = 0; i < COUNT_OF(numbers); i++)
        digest_add_number(state, numbers[i]);
    digest_add_text(state, asked->input == NULL ? asked->input_file : NULL);
    if (asked->input != NULL && asked->input_size > 0)
        digest_add(state, asked->input, asked->input_size);
    return digest_end(state, out);
}

static void keep_run(const struct evaluation *evaluation, struct build_flight *flight,
                     const struct exec_result *run)
{
    bool holds =
        !run->cancelled && run->status != EXEC_INTERNAL_ERROR && run->status != EXEC_FILE_ERROR;
    struct build_record *record = holds ? build_record_new(NULL, run) : NULL;
    build_cache_finish(evaluation->task.runs, flight, record, run->cancelled);
    build_record_release(record);
}

/* Runs it, or takes what another case's run has brought; false: that one goes on, and this job is set aside. */
static bool run_once(struct step *step, struct slot *slot, const struct judge_run *how,
                     struct exec_result *run)
{
    struct evaluation *evaluation = step->evaluation;
    struct build_cache *runs = evaluation->task.runs;
    struct build_record *record;
    struct build_flight *flight = NULL;
    struct judge_artefact *none;
    struct digest key;
    if (runs == NULL || run_key(evaluation, &evaluation->task.cases[step->index], &key) < 0) {
        judge_run(slot, evaluation->settings, evaluation->artefact, how, run);
        return true;
    }
    switch (build_cache_claim(runs, &key, &step->wait, &record, &flight)) {
    case BUILD_WAITS:
        slot_park(slot);
        return false;
    case BUILD_HIT:
        if (build_record_get(record, &none, run) < 0)
            *run = (struct exec_result){.status = EXEC_INTERNAL_ERROR};
        build_record_release(record);
        return true;
    case BUILD_TO_MAKE:
        break;
    }
    judge_run(slot, evaluation->settings, evaluation->artefact, how, run);
    keep_run(evaluation, flight, run);
    return true;
}

enum case_end { CASE_ACCEPTED, CASE_FAILED, CASE_WAITS };

/* Runs one case. */
static enum case_end run_case(struct step *step, struct slot *slot)
{
    struct evaluation *evaluation = step->evaluation;
    size_t index = step->index;
    const struct evaluation_case *asked = &evaluation->task.cases[index];
    struct evaluation_result result = {.verdict = VERDICT_ACCEPTED, .message = ""};
    struct exec_file input = {
        .kind = EXEC_FILE_CONTENT, .fd = -1, .data = asked->input, .size = asked->input_size};
    struct store_file stored = {.fd = -1};
    struct exec_result run = {0};
    struct cj_error err = {0};
    char message[COMPARE_MESSAGE_SIZE];
    if (asked->input == NULL && asked->input_file != NULL) {
        if (store_get(evaluation->store, asked->input_file, &stored, &err) < 0) {
            error_wrap(&err, "input_file");
            result = (struct evaluation_result){.verdict = VERDICT_INTERNAL_ERROR,
                                                .message = err.message};
            evaluation->calls.case_ended(evaluation->arg, index, &result);
            return CASE_FAILED;
        }
        input = (struct exec_file){.kind = EXEC_FILE_FD, .fd = stored.fd};
    } else if (asked->input == NULL) {
        input.size = 0;
    }
    const struct judge_run how = {
        .input = &input,
        .limits = evaluation->task.limits,
        .stdout_bytes = evaluation->task.output_bytes,
        .stderr_bytes = evaluation->task.output_bytes,
    };
    if (!run_once(step, slot, &how, &run)) {
        store_file_close(&stored);
        return CASE_WAITS;
    }
    int64_t ran_ns = monotonic_ns();
    result.run = &run;
    result.cached = step->wait.cached;
    if (run.cancelled) {
        result.verdict = VERDICT_CANCELLED;
    } else if (run.status == EXEC_INTERNAL_ERROR || run.status == EXEC_FILE_ERROR) {
        result.verdict = VERDICT_INTERNAL_ERROR;
        result.message = run.error != NULL ? run.error : "";
    } else if (run.status != EXEC_ACCEPTED) {
        result.verdict = VERDICT_RUN_FAILED;
    } else {
        is_accepted(evaluation, asked, &run, &result, message, &err);
    }
    evaluation->calls.case_ended(evaluation->arg, index, &result);
    stage_since(STAGE_JUDGE, ran_ns);
    exec_result_free(&run);
    store_file_close(&stored);
    return result.verdict == VERDICT_ACCEPTED ? CASE_ACCEPTED : CASE_FAILED;
}

/* ---- going on ---- */

static void case_run(struct slot *slot, void *arg);
static void case_dropped(void *arg, enum sched_drop reason);

static void tell_not_run(struct evaluation *evaluation, size_t index,
                         enum evaluation_verdict verdict)
{
    const struct evaluation_result result = {.verdict = verdict, .message = ""};
    evaluation->calls.case_ended(evaluation->arg, index, &result);
}

/* Gives one share of the evaluation back; the last one ends it. */
static void release(struct evaluation *evaluation)
{
    pthread_mutex_lock(&evaluation->lock);
    bool last = --evaluation->owners == 0;
    pthread_mutex_unlock(&evaluation->lock);
    if (last)
        evaluation->calls.ended(evaluation->arg);
}

enum fed { FED_NOTHING_LEFT, FED_SUBMITTED, FED_NOT_RUN };

/* Gives the next case to the scheduler, or says why it will not run. The lock is held over the submission
 * (which calls nobody), so that evaluation_cancel() sees a job whole or not at all: it is made anew only
 * while nothing is cancelled. */
static enum fed feed_one(struct step *step, enum evaluation_verdict *verdict)
{
    struct evaluation *evaluation = step->evaluation;
    struct cj_error err;
    enum fed fed = FED_NOT_RUN;
    pthread_mutex_lock(&evaluation->lock);
    step->submitted = false;
    step->index = evaluation->next;
    if (step->index >= evaluation->task.case_count) {
        fed = FED_NOTHING_LEFT;
    } else if (evaluation->next++, evaluation->cancelled) {
        *verdict = VERDICT_CANCELLED;
    } else if (evaluation->task.stop_at_first_failure && step->index > evaluation->failed) {
        *verdict = VERDICT_SKIPPED;
    } else {
        step->wait = (struct build_wait){.job = &step->job};
        step->job = (struct sched_job){
            .run = case_run,
            .dropped = case_dropped,
            .arg = step,
            .source = evaluation->task.source,
            .deadline_ns = evaluation->task.deadline_ns,
            .follows = true, /* the evaluation was admitted */
        };
        *verdict = VERDICT_CANCELLED; /* the service is ending */
        if (sched_submit(evaluation->sched, &step->job, &err) == 0) {
            step->submitted = true;
            evaluation->owners++;
            fed = FED_SUBMITTED;
        }
    }
    pthread_mutex_unlock(&evaluation->lock);
    return fed;
}

static void feed(struct step *step)
{
    enum evaluation_verdict verdict;
    while (feed_one(step, &verdict) == FED_NOT_RUN)
        tell_not_run(step->evaluation, step->index, verdict);
}

static void case_failed(struct evaluation *evaluation, size_t index)
{
    pthread_mutex_lock(&evaluation->lock);
    if (index < evaluation->failed)
        evaluation->failed = index;
    pthread_mutex_unlock(&evaluation->lock);
}

static void case_over(struct step *step)
{
    struct evaluation *evaluation = step->evaluation;
    feed(step);
    release(evaluation);
}

static void case_run(struct slot *slot, void *arg)
{
    struct step *step = arg;
    struct evaluation *evaluation = step->evaluation;
    size_t index = step->index;
    pthread_mutex_lock(&evaluation->lock);
    bool skipped = evaluation->task.stop_at_first_failure && index > evaluation->failed;
    pthread_mutex_unlock(&evaluation->lock);
    enum case_end end = skipped ? CASE_ACCEPTED : run_case(step, slot);
    if (end == CASE_WAITS)
        return; /* it comes again, or is dropped */
    build_cache_leave(evaluation->task.runs, &step->wait);
    if (skipped)
        tell_not_run(evaluation, index, VERDICT_SKIPPED);
    else if (end == CASE_FAILED)
        case_failed(evaluation, index);
    case_over(step);
}

static void case_dropped(void *arg, enum sched_drop reason)
{
    struct step *step = arg;
    build_cache_leave(step->evaluation->task.runs, &step->wait);
    tell_not_run(step->evaluation, step->index,
                 reason == SCHED_TOO_LATE ? VERDICT_QUEUE_TIMEOUT : VERDICT_CANCELLED);
    case_failed(step->evaluation, step->index);
    case_over(step);
}

static void begin_cases(struct evaluation *evaluation)
{
    for (size_t i = 0; i < evaluation->step_count; i++)
        feed(&evaluation->steps[i]);
}

static void skip_all(struct evaluation *evaluation, enum evaluation_verdict verdict)
{
    pthread_mutex_lock(&evaluation->lock);
    size_t first = evaluation->next;
    evaluation->next = evaluation->task.case_count;
    pthread_mutex_unlock(&evaluation->lock);
    for (size_t i = first; i < evaluation->task.case_count; i++)
        tell_not_run(evaluation, i, verdict);
}

/* ---- the build ---- */

static void go_on_built(struct evaluation *evaluation, const struct evaluation_result *result)
{
    evaluation->calls.built(evaluation->arg, result, evaluation->artefact);
    if (result->verdict == VERDICT_ACCEPTED)
        begin_cases(evaluation);
    else
        skip_all(evaluation, VERDICT_SKIPPED);
    release(evaluation);
}

/* Of what is built already it is a place in the queue, and no more: the cases behind it are never refused. */
static void build_run(struct slot *slot, void *arg)
{
    struct evaluation *evaluation = arg;
    struct exec_result run = {0};
    struct evaluation_result result = {.verdict = VERDICT_ACCEPTED, .run = &run, .message = ""};
    if (evaluation->task.artefact != NULL) {
        result.run = NULL;
        go_on_built(evaluation, &result);
        return;
    }
    switch (judge_build(slot, evaluation->settings, evaluation->task.program, &evaluation->wait,
                        &evaluation->artefact, &run)) {
    case JUDGE_BUILD_WAITS:
        return; /* it comes again, or is dropped */
    case JUDGE_BUILT:
        break;
    case JUDGE_BUILD_FAILED:
        result.verdict = VERDICT_COMPILE_ERROR;
        break;
    case JUDGE_BUILD_BROKEN:
        result.verdict = run.cancelled ? VERDICT_CANCELLED : VERDICT_INTERNAL_ERROR;
        result.message = run.error != NULL ? run.error : "";
        break;
    }
    result.cached = evaluation->wait.cached;
    go_on_built(evaluation, &result);
    exec_result_free(&run);
}

static void build_dropped(void *arg, enum sched_drop reason)
{
    struct evaluation *evaluation = arg;
    const struct evaluation_result result = {
        .verdict = reason == SCHED_TOO_LATE ? VERDICT_QUEUE_TIMEOUT : VERDICT_CANCELLED,
        .message = ""};
    build_cache_leave(evaluation->settings->build_cache, &evaluation->wait);
    evaluation->calls.built(evaluation->arg, &result, NULL);
    skip_all(evaluation, result.verdict);
    release(evaluation);
}

/* ---- public ---- */

static int start_build(struct evaluation *evaluation, struct cj_error *err)
{
    evaluation->wait = (struct build_wait){.job = &evaluation->build.job};
    evaluation->build.job = (struct sched_job){
        .run = build_run,
        .dropped = build_dropped,
        .arg = evaluation,
        .source = evaluation->task.source,
        .deadline_ns = evaluation->task.deadline_ns,
        .follows = evaluation->task.follows,
    };
    return sched_submit(evaluation->sched, &evaluation->build.job, err);
}

int evaluation_start(struct sched *sched, const struct judge_settings *settings,
                     struct store *store, unsigned slots, const struct evaluation_task *task,
                     const struct evaluation_calls *calls, void *arg, struct evaluation **out,
                     struct cj_error *err)
{
    size_t step_count = 2 * (size_t)slots; /* one that runs and one that waits for each slot */
    if (step_count > task->case_count)
        step_count = task->case_count;
    struct evaluation *evaluation = calloc(1, sizeof(*evaluation));
    struct step *steps = calloc(step_count + 1, sizeof(*steps));
    if (evaluation == NULL || steps == NULL) {
        free(evaluation);
        free(steps);
        return error_set(err, ERROR_SYSTEM, ENOMEM, "evaluate: out of memory");
    }
    *evaluation = (struct evaluation){
        .sched = sched,
        .settings = settings,
        .store = store,
        .task = *task,
        .calls = *calls,
        .arg = arg,
        .steps = steps,
        .step_count = step_count,
        .failed = task->case_count,
        .owners = 1,
        .artefact = task->artefact != NULL ? judge_artefact_share(task->artefact) : NULL,
    };
    pthread_mutex_init(&evaluation->lock, NULL);
    for (size_t i = 0; i < step_count; i++)
        steps[i].evaluation = evaluation;
    *out = evaluation; /* before the calls begin, which may come from other threads at once */
    if (start_build(evaluation, err) == 0)
        return 0;
    *out = NULL;
    evaluation_free(evaluation);
    return -1;
}

void evaluation_cancel(struct evaluation *evaluation)
{
    pthread_mutex_lock(&evaluation->lock);
    bool over = evaluation->owners == 0;
    if (!over) {
        evaluation->cancelled = true;
        evaluation->owners++; /* so that it does not end within this */
    }
    pthread_mutex_unlock(&evaluation->lock);
    if (over)
        return;
    /* No job is made anew from here on; one that has ended meanwhile does not mind. */
    sched_cancel(evaluation->sched, &evaluation->build.job);
    for (size_t i = 0; i < evaluation->step_count; i++) {
        pthread_mutex_lock(&evaluation->lock);
        bool submitted = evaluation->steps[i].submitted;
        pthread_mutex_unlock(&evaluation->lock);
        if (submitted)
            sched_cancel(evaluation->sched, &evaluation->steps[i].job);
    }
    release(evaluation);
}

void evaluation_free(struct evaluation *evaluation)
{
    if (evaluation == NULL)
        return;
    judge_artefact_release(evaluation->artefact);
    pthread_mutex_destroy(&evaluation->lock);
    free(evaluation->steps);
    free(evaluation);
}
