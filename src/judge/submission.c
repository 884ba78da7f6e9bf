#include "judge/submission.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/stages.h"
#include "base/utf8.h"
#include "judge/compare.h"

/* What code-judge's programs print when their alarm ends them. */
static const char closing_text[] = "Suicide from timeout.\n";

const char *submission_reason_text(enum submission_reason reason)
{
    static const char *const texts[] = {"", "internal_error", "worker_timeout", "queue_timeout"};
    return (size_t)reason < COUNT_OF(texts) ? texts[reason] : "internal_error";
}

/* ---- texts ---- */

void submission_text_cut(const char *data, size_t size, size_t characters,
                         struct submission_text *out)
{
    struct buf text = {0};
    const uint8_t *at = (const uint8_t *)data;
    struct cj_error err;
    *out = (struct submission_text){0};
    buf_append(&text, "", 0);
    for (size_t left = size, count = 0; left > 0 && count < characters; count++) {
        size_t length = utf8_decode(at, left, NULL);
        if (length > 0)
            buf_append(&text, at, length);
        else
            buf_append_text(&text, "\xef\xbf\xbd");
        length = length > 0 ? length : 1;
        at += length;
        left -= length;
    }
    if (buf_take(&text, &out->data, &out->size, &err) < 0)
        buf_free(&text);
}

static struct submission_view output_view(const struct exec_result *run, const char *name)
{
    const struct exec_output *output = judge_output(run, name);
    if (output == NULL || output->size == 0)
        return (struct submission_view){"", 0};
    return (struct submission_view){output->data, output->size};
}

/* ---- verdicts ---- */

static int exit_code(const struct exec_result *run)
{
    switch (run->status) {
    case EXEC_TIME_LIMIT:
    case EXEC_MEMORY_LIMIT:
        return run->exit_status != 0 ? -run->exit_status : -SIGKILL;
    case EXEC_SIGNALLED:
    case EXEC_DANGEROUS_SYSCALL:
    case EXEC_OUTPUT_LIMIT:
        return -run->exit_status;
    default:
        return run->exit_status;
    }
}

/* What a program that was stopped could not say itself, one line behind what it did say. */
static void add_note(struct buf *text, const struct exec_result *run,
                     const struct submission_settings *settings, uint64_t memory_bytes)
{
    if (text->size > 0 && text->data[text->size - 1] != '\n')
        buf_append_char(text, '\n');
    if (run->status == EXEC_MEMORY_LIMIT)
        buf_printf(text, "Memory limit of %llu MiB exceeded.\n",
                   (unsigned long long)(memory_bytes >> 20));
    else
        buf_printf(text, "Output limit of %llu MiB exceeded.\n",
                   (unsigned long long)(settings->output_bytes >> 20));
}

static void tell_texts(const struct submission_settings *settings, const struct exec_result *run,
                       uint64_t memory_bytes, struct submission_view *whole_stdout,
                       struct submission_view *whole_stderr, struct buf *stdout_room,
                       struct buf *stderr_room)
{
    *whole_stdout = output_view(run, "stdout");
    *whole_stderr = output_view(run, "stderr");
    if (run->status == EXEC_TIME_LIMIT && run->wall_ns >= settings->execution_ns) {
        buf_append(stdout_room, whole_stdout->data, whole_stdout->size);
        buf_append_text(stdout_room, closing_text);
        *whole_stdout = (struct submission_view){stdout_room->data, stdout_room->size};
    }
    if (run->status == EXEC_MEMORY_LIMIT || run->status == EXEC_OUTPUT_LIMIT) {
        buf_append(stderr_room, whole_stderr->data, whole_stderr->size);
        add_note(stderr_room, run, settings, memory_bytes);
        *whole_stderr = (struct submission_view){stderr_room->data, stderr_room->size};
    }
}

static void conclude(const struct submission_settings *settings,
                     const struct submission *submission,
                     const struct submission_observer *observer, const struct exec_result *run,
                     uint64_t memory_bytes, struct submission_result *result)
{
    struct submission_view whole_stdout, whole_stderr;
    auto_buf struct buf stdout_room = {0}, stderr_room = {0};
    const struct compare_options strip = {.mode = COMPARE_STRIP};
    char message[COMPARE_MESSAGE_SIZE];
    int64_t begun_ns = monotonic_ns();
    tell_texts(settings, run, memory_bytes, &whole_stdout, &whole_stderr, &stdout_room,
               &stderr_room);
    result->run_success = run->status == EXEC_ACCEPTED;
    result->success =
        result->run_success &&
        (submission->expected_output == NULL ||
         compare_outputs(&strip, whole_stdout.data, whole_stdout.size, submission->expected_output,
                         submission->expected_size, message));
    result->cost_s = (double)run->wall_ns / NS_PER_S;
    result->exit_code = exit_code(run);
    if (!result->run_success && run->wall_ns >= settings->execution_ns)
        result->reason = SUBMISSION_WORKER_TIMEOUT;
    submission_text_cut(whole_stdout.data, whole_stdout.size, settings->text_characters,
                        &result->stdout_text);
    submission_text_cut(whole_stderr.data, whole_stderr.size, settings->text_characters,
                        &result->stderr_text);
    if (observer != NULL && !result->success)
        observer->ended(observer->arg, submission, result, whole_stdout, whole_stderr);
    stage_since(STAGE_JUDGE, begun_ns);
}

static void conclude_compile_error(const struct submission_settings *settings,
                                   const struct submission *submission,
                                   const struct submission_observer *observer,
                                   const struct exec_result *build,
                                   struct submission_result *result)
{
    struct submission_view none = {"", 0}, diagnostics = output_view(build, "stderr");
    if (diagnostics.size == 0) /* some compilers speak on stdout */
        diagnostics = output_view(build, "stdout");
    result->exit_code = exit_code(build);
    submission_text_cut(none.data, 0, 0, &result->stdout_text);
    submission_text_cut(diagnostics.data, diagnostics.size, settings->text_characters,
                        &result->stderr_text);
    if (observer != NULL)
        observer->ended(observer->arg, submission, result, none, diagnostics);
}

/* Who can mend it is told what to do; other reasons are ours alone, and stand in the log. */
static void fail(const struct submission_settings *settings, const struct submission *submission,
                 const struct submission_observer *observer, struct submission_result *result,
                 const char *why)
{
    char lack[TOOLCHAIN_LACK_SIZE];
    result->reason = SUBMISSION_INTERNAL_ERROR;
    if (judge_lacks(&settings->judge, submission->language, lack))
        submission_text_cut(lack, strlen(lack), settings->text_characters, &result->stderr_text);
    log_error("a submission could not be judged", log_text("because", why != NULL ? why : "?"));
    if (observer != NULL)
        observer->broken(observer->arg, submission, why != NULL ? why : "?");
}

/* ---- the steps ---- */

static void run_program(struct slot *slot, const struct submission_settings *settings,
                        const struct submission *submission,
                        const struct submission_observer *observer,
                        const struct judge_artefact *artefact, struct submission_result *result)
{
    const struct exec_file input = {.kind = EXEC_FILE_CONTENT,
                                    .fd = -1,
                                    .data = submission->input,
                                    .size = submission->input != NULL ? submission->input_size : 0};
    bool is_python = strcmp(submission->language->id, "python") == 0;
    struct judge_run run = {
        .input = &input,
        .limits = {.cpu_ns = settings->execution_ns,
                   .wall_ns = settings->execution_ns,
                   .memory_bytes =
                       settings->memory_bytes + (is_python ? settings->python_memory_bytes : 0)},
        .stdout_bytes = settings->output_bytes,
        .stderr_bytes = settings->output_bytes,
    };
    struct exec_result ran;
    judge_run(slot, &settings->judge, artefact, &run, &ran);
    if (ran.cancelled) /* nobody waits for it */
        result->reason = SUBMISSION_INTERNAL_ERROR;
    else if (ran.status == EXEC_INTERNAL_ERROR || ran.status == EXEC_FILE_ERROR)
        fail(settings, submission, observer, result, ran.error);
    else
        conclude(settings, submission, observer, &ran, run.limits.memory_bytes, result);
    exec_result_free(&ran);
}

bool submission_judge(struct slot *slot, const struct submission_settings *settings,
                      const struct submission *submission, struct build_wait *wait,
                      const struct submission_observer *observer, struct submission_result *result)
{
    *result = (struct submission_result){0};
    if (submission->language == NULL) { /* "math" */
        result->reason = SUBMISSION_INTERNAL_ERROR;
        if (observer != NULL)
            observer->broken(observer->arg, submission, "no judge knows the type 'math'");
        return true;
    }
    const struct judge_file file = {submission->language->source, submission->solution,
                                    submission->solution_size};
    const struct judge_program program = {submission->language, &file, 1};
    struct judge_artefact *artefact;
    struct exec_result build;
    struct cj_error err = {0};
    switch (judge_build(slot, &settings->judge, &program, wait, &artefact, &build)) {
    case JUDGE_BUILD_WAITS:
        return false;
    case JUDGE_BUILD_BROKEN:
        if (build.cancelled)
            result->reason = SUBMISSION_INTERNAL_ERROR;
        else
            fail(settings, submission, observer, result, build.error);
        break;
    case JUDGE_BUILD_FAILED:
        conclude_compile_error(settings, submission, observer, &build, result);
        break;
    case JUDGE_BUILT:
        if (!wait->cached &&
            (submission->language->build != NULL || submission->language->check != NULL) &&
            slot_reset(slot, &err) < 0)
            fail(settings, submission, observer, result, err.message);
        else
            run_program(slot, settings, submission, observer, artefact, result);
        judge_artefact_release(artefact);
        break;
    }
    exec_result_free(&build);
    return true;
}

void submission_result_free(struct submission_result *result)
{
    free(result->stdout_text.data);
    free(result->stderr_text.data);
    *result = (struct submission_result){0};
}
