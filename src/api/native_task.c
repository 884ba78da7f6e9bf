/* One program and its cases. What its evaluation tells comes on the threads of slots, is written as JSON there, and
 * posted to the loop. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json_writer.h"
#include "base/stages.h"
#include "native_work.h"

/* What happened, on its way to the loop. */
struct event {
    struct native_task *task;
    enum { EVENT_BUILT, EVENT_CASE, EVENT_ENDED } kind;
    size_t index;
    struct buf json;
    struct exec_result figures; /* numbers only */
    int64_t written_ns;
    struct evaluation_result result;
    struct judge_artefact *artefact;
};

/* ---- what happened: on the loop's thread ---- */

static void keep(struct native_json *place, struct buf *json)
{
    struct cj_error err;
    if (buf_take(json, &place->text, &place->size, &err) < 0) {
        place->text = strdup("null");
        place->size = 4;
    }
}

static void task_built(struct native_task *task, struct event *event)
{
    task->summary.build = event->result.verdict;
    if (event->result.verdict != VERDICT_ACCEPTED)
        task->summary.verdict = evaluation_status_name(&event->result);
    task->built = event->artefact;
    if (task->work->streaming == NOT_STREAMED)
        keep(&task->build, &event->json);
    else
        native_stream_tell(task, "build", &event->json);
}

static void task_case(struct native_task *task, struct event *event)
{
    native_summary_add(&task->summary, event->index, &event->result);
    if (task->work->streaming == NOT_STREAMED)
        keep(&task->results[event->index], &event->json);
    else
        native_stream_tell(task, "case", &event->json);
}

static void task_ended(struct native_task *task)
{
    struct native_work *work = task->work;
    evaluation_free(task->evaluation);
    task->evaluation = NULL;
    if (work->streaming != NOT_STREAMED && !work->cancelled)
        native_stream_summary(task);
    native_work_task_ended(work);
}

static void take_event(void *arg)
{
    struct event *event = arg;
    struct native_task *task = event->task;
    if (event->kind != EVENT_ENDED)
        stage_since(STAGE_ANSWER, event->written_ns);
    switch (event->kind) {
    case EVENT_BUILT:
        task_built(task, event);
        break;
    case EVENT_CASE:
        task_case(task, event);
        break;
    case EVENT_ENDED:
        task_ended(task); /* may free the work */
        break;
    }
    buf_free(&event->json);
    free(event);
}

/* ---- what the evaluation tells: on the threads of slots ---- */

static struct event *event_new(struct native_task *task, const struct evaluation_result *result)
{
    struct event *event = calloc(1, sizeof(*event));
    if (event == NULL)
        abort(); /* a few words, without which an answer could not be given */
    event->task = task;
    if (result == NULL)
        return event;
    event->result = (struct evaluation_result){.verdict = result->verdict, .message = ""};
    if (result->run != NULL) {
        event->figures = (struct exec_result){.status = result->run->status,
                                              .cpu_ns = result->run->cpu_ns,
                                              .wall_ns = result->run->wall_ns,
                                              .memory_bytes = result->run->memory_bytes};
        event->result.run = &event->figures;
    }
    return event;
}

static void event_post(struct event *event)
{
    event->written_ns = monotonic_ns();
    net_loop_post(event->task->work->native->settings.loop, take_event, event);
}

static void on_built(void *arg, const struct evaluation_result *result,
                     struct judge_artefact *artefact)
{
    struct native_task *task = arg;
    struct event *event = event_new(task, result);
    struct json_writer json = json_writer_to(&event->json, JSON_COMPACT_PLAIN);
    event->kind = EVENT_BUILT;
    json_object_begin(&json);
    native_build_write(&json, result);
    json_object_end(&json);
    if (task->work->kind == NATIVE_BUILD && artefact != NULL)
        event->artefact = judge_artefact_share(artefact);
    event_post(event);
}

static void on_case_ended(void *arg, size_t index, const struct evaluation_result *result)
{
    struct native_task *task = arg;
    struct event *event = event_new(task, result);
    struct json_writer json = json_writer_to(&event->json, JSON_COMPACT_PLAIN);
    event->kind = EVENT_CASE;
    event->index = index;
    json_object_begin(&json);
    native_case_write(&json, task->request, index, result);
    json_object_end(&json);
    event_post(event);
}

static void on_ended(void *arg)
{
    struct event *event = event_new(arg, NULL);
    event->kind = EVENT_ENDED;
    event_post(event);
}

/* ---- preparing ---- */

enum { PREFIX_SIZE = 48 };

/* What the path of a field begins with; "" where there is but one submission. */
static const char *path_prefix(const struct native_task *task, char text[static PREFIX_SIZE])
{
    text[0] = '\0';
    if (task->work->kind == NATIVE_BATCH)
        snprintf(text, PREFIX_SIZE, "submissions[%zu].", task->index);
    return text;
}

static int check_stored(const struct native_task *task, size_t index, const char *field,
                        struct body_text id, struct cj_error *err)
{
    char prefix[PREFIX_SIZE];
    if (id.data == NULL || store_touch(task->work->native->settings.store, id.data))
        return 0;
    return error_set(err, ERROR_REQUEST, ENOENT, "%scases[%zu].%s: there is no stored file '%.40s'",
                     path_prefix(task, prefix), index, field, id.data);
}

static int take_artefact(struct native_task *task, struct cj_error *err)
{
    const struct body_text id = task->request->artifact;
    char prefix[PREFIX_SIZE];
    if (id.data == NULL)
        return 0;
    struct judge_artefact *artefact = artifacts_find(task->work->native->artifacts, id.data);
    if (artefact == NULL)
        return error_set(err, ERROR_REQUEST, ENOENT,
                         "%sartifact: there is no '%.40s': build it again",
                         path_prefix(task, prefix), id.data);
    task->given = judge_artefact_share(artefact);
    return 0;
}

int native_task_prepare(struct native_task *task, struct cj_error *err)
{
    const struct native_request *request = task->request;
    const bool keeps_results = task->work->streaming == NOT_STREAMED;
    task->program = (struct judge_program){request->language, request->files, request->file_count};
    task->cases = calloc(request->case_count + 1, sizeof(*task->cases));
    task->results = keeps_results ? calloc(request->case_count + 1, sizeof(*task->results)) : NULL;
    if (task->cases == NULL || (keeps_results && task->results == NULL))
        return error_set(err, ERROR_SYSTEM, ENOMEM, "judge: out of memory");
    task->summary.case_count = request->case_count;
    for (size_t i = 0; i < request->case_count; i++) {
        const struct native_case *asked = &request->cases[i];
        if (check_stored(task, i, "input_file", asked->input_file, err) < 0 ||
            check_stored(task, i, "expected_file", asked->expected_file, err) < 0)
            return -1;
        task->cases[i] = (struct evaluation_case){
            .input = asked->input.data,
            .input_size = asked->input.size,
            .input_file = asked->input_file.data,
            .expected = asked->expected.data,
            .expected_size = asked->expected.size,
            .expected_file = asked->expected_file.data,
        };
    }
    return take_artefact(task, err);
}

/* ---- life ---- */

int native_task_start(struct native_task *task, struct cj_error *err)
{
    static const struct evaluation_calls calls = {on_built, on_case_ended, on_ended};
    const struct native_work *work = task->work;
    const struct native_settings *settings = &work->native->settings;
    const struct native_request *request = task->request;
    const struct evaluation_task evaluation = {
        .program = &task->program,
        .artefact = task->given,
        .runs = request->dedupe ? work->runs : NULL,
        .cases = task->cases,
        .case_count = request->case_count,
        .limits = request->limits,
        .output_bytes = request->output_bytes > 0 ? request->output_bytes : settings->output_bytes,
        .compare = request->compare,
        .stop_at_first_failure = request->stop_at_first_failure,
        .source = (uint64_t)(uintptr_t)work,
        .follows = task->index > 0,
        .deadline_ns = request->deadline_ns > 0 ? work->begun_ns + request->deadline_ns : 0,
    };
    return evaluation_start(settings->sched, settings->judge, settings->store, settings->slots,
                            &evaluation, &calls, task, &task->evaluation, err);
}

void native_task_fail(struct native_task *task, const struct cj_error *why)
{
    const struct evaluation_result failed = {.verdict = VERDICT_INTERNAL_ERROR,
                                             .message = why->message};
    const struct evaluation_result skipped = {.verdict = VERDICT_SKIPPED, .message = ""};
    on_built(task, &failed, NULL);
    for (size_t i = 0; i < task->request->case_count; i++)
        on_case_ended(task, i, &skipped);
    on_ended(task);
}

void native_task_release(struct native_task *task)
{
    evaluation_free(task->evaluation);
    for (size_t i = 0; task->results != NULL && i < task->request->case_count; i++)
        free(task->results[i].text);
    free(task->results);
    free(task->build.text);
    free(task->cases);
    judge_artefact_release(task->built);
    judge_artefact_release(task->given);
}
