#include "judge/language_check.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "judge/compare.h"
#include "judge/roster.h"

static const char hello_text[] = "Hello, world!";
static const char echo_text[] = "17 some words, (brackets) and a %d\n";
/* Nothing that any language takes. */
static const char no_program[] = ")](}\"'\n<<(((\n\\\\ ]]\n";

enum { OUTPUT_BYTES = 64 * 1024, LOOP_WALL_FACTOR = 20 };

const char *language_step_name(enum language_step step)
{
    static const char *const names[] = {"hello", "echo", "error", "loop", "syntax"};
    return (size_t)step < COUNT_OF(names) ? names[step] : "?";
}

static const char *text_of(const struct language *language, enum language_step step)
{
    switch (step) {
    case STEP_HELLO:
        return language->examples.hello;
    case STEP_ECHO:
        return language->examples.echo;
    case STEP_ERROR:
        return language->examples.error;
    case STEP_LOOP:
        return language->examples.loop;
    default:
        if (language->build == NULL && language->check == NULL)
            return NULL;
        return language->examples.syntax != NULL ? language->examples.syntax : no_program;
    }
}

/* ---- what came of it ---- */

static void bad(struct language_step_result *step, const char *format, ...) PRINTF(2, 3);

static void bad(struct language_step_result *step, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(step->message, sizeof(step->message), format, args);
    va_end(args);
    step->good = false;
}

/* "build: Nonzero Exit Status 1: main.c:1:1: error: ..." */
static void bad_run(struct language_step_result *step, const char *what,
                    const struct exec_result *result)
{
    char line[LANGUAGE_VERSION_SIZE] = "";
    const struct exec_output *said = judge_output(result, "stderr");
    if (said == NULL || said->size == 0)
        said = judge_output(result, "stdout");
    if (said != NULL)
        version_from_output(said->data, said->size, line);
    if (result->error != NULL)
        bad(step, "%s%s: %s", what, exec_status_name(result->status), result->error);
    else if (result->status == EXEC_NONZERO_EXIT || result->status == EXEC_SIGNALLED)
        bad(step, "%s%s %d: %s", what, exec_status_name(result->status), result->exit_status, line);
    else
        bad(step, "%s%s: %s", what, exec_status_name(result->status), line);
}

static void judge_text(struct language_step_result *step, const struct exec_result *run,
                       const char *expected)
{
    const struct compare_options strip = {.mode = COMPARE_STRIP};
    char message[COMPARE_MESSAGE_SIZE];
    const struct exec_output *output = judge_output(run, "stdout");
    if (run->status != EXEC_ACCEPTED)
        bad_run(step, "", run);
    else if (!compare_outputs(&strip, output != NULL ? output->data : "",
                              output != NULL ? output->size : 0, expected, strlen(expected),
                              message))
        bad(step, "Wrong Answer: %s", message);
}

static void judge_step(struct language_step_result *step, enum language_step which,
                       const struct exec_result *run, int64_t loop_cpu_ns)
{
    step->good = true;
    step->cpu_ns = run->cpu_ns;
    step->wall_ns = run->wall_ns;
    step->memory_bytes = run->memory_bytes;
    if (which == STEP_HELLO)
        judge_text(step, run, hello_text);
    else if (which == STEP_ECHO)
        judge_text(step, run, echo_text);
    else if ((which == STEP_ERROR && run->status != EXEC_NONZERO_EXIT &&
              run->status != EXEC_SIGNALLED) ||
             (which == STEP_LOOP && run->status != EXEC_TIME_LIMIT))
        bad_run(step, "", run);
    else if (which == STEP_LOOP && run->cpu_ns < loop_cpu_ns)
        bad(step, "ended by the clock, after %.2f s of CPU time", (double)run->cpu_ns / NS_PER_S);
}

/* ---- a step ---- */

static void run_step(struct slot *slot, const struct judge_settings *settings,
                     const struct judge_artefact *artefact, enum language_step which,
                     int64_t loop_cpu_ns, struct language_step_result *step)
{
    const struct language *language = judge_artefact_language(artefact);
    const struct exec_file input = {
        .kind = EXEC_FILE_CONTENT, .fd = -1, .data = echo_text, .size = strlen(echo_text)};
    struct judge_run run = {
        .input = which == STEP_ECHO ? &input : NULL,
        .stdout_bytes = OUTPUT_BYTES,
        .stderr_bytes = OUTPUT_BYTES,
    };
    if (which == STEP_LOOP) /* it has a machine that is busy as well */
        run.limits =
            (struct exec_limits){.cpu_ns = loop_cpu_ns, .wall_ns = loop_cpu_ns * LOOP_WALL_FACTOR};
    struct exec_result ran;
    judge_run(slot, settings, artefact, &run, &ran);
    judge_step(step, which, &ran, (int64_t)((double)loop_cpu_ns * language->limits.time_factor));
    exec_result_free(&ran);
}

static void do_step(struct slot *slot, const struct judge_settings *settings,
                    const struct language *language, enum language_step which, const char *text,
                    int64_t loop_cpu_ns, struct language_step_result *step)
{
    const struct judge_file file = {language->source, text, strlen(text)};
    const struct judge_program program = {language, &file, 1};
    struct judge_artefact *artefact;
    struct exec_result build;
    struct cj_error err;
    enum judge_build_outcome outcome =
        judge_build(slot, settings, &program, NULL, &artefact, &build);
    step->build_wall_ns = build.wall_ns;
    step->build_memory_bytes = build.memory_bytes;
    if (outcome == JUDGE_BUILD_FAILED && which == STEP_SYNTAX && build.status == EXEC_NONZERO_EXIT)
        step->good = true;
    else if (outcome != JUDGE_BUILT)
        bad_run(step, "build: ", &build);
    else if (which == STEP_SYNTAX)
        bad(step, "build: what is no program was accepted");
    else if (slot_reset(slot, &err) < 0)
        bad(step, "%s", err.message);
    else
        run_step(slot, settings, artefact, which, loop_cpu_ns, step);
    if (slot_reset(slot, &err) < 0)
        bad(step, "%s", err.message);
    judge_artefact_release(artefact);
    exec_result_free(&build);
}

void language_check(struct slot *slot, const struct judge_settings *settings,
                    const struct language *language, int64_t loop_cpu_ns,
                    struct language_check *out)
{
    *out = (struct language_check){.good = true};
    for (int i = 0; i < LANGUAGE_STEPS && !slot_cancelled(slot); i++) {
        const char *text = text_of(language, (enum language_step)i);
        if (text == NULL)
            continue;
        out->steps[i].done = true;
        do_step(slot, settings, language, (enum language_step)i, text, loop_cpu_ns, &out->steps[i]);
        out->good = out->good && out->steps[i].good;
    }
}
