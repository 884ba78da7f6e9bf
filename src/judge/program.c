#include "judge/program.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "artefact_private.h"
#include "base/clock.h"
#include "base/stages.h"
#include "exec/outside.h"
#include "judge/identity.h"
#include "judge/prepared.h"
#include "standard_files.h"

#define MIB            (UINT64_C(1) << 20)
#define HELD_BYTES_MAX (64 * MIB) /* that a container may keep of a program's for its next run */

void judge_settings_default(struct judge_settings *settings)
{
    *settings = (struct judge_settings){
        .build = {.cpu_ns = 30 * NS_PER_S,
                  .wall_ns = 60 * NS_PER_S,
                  .memory_bytes = 2048 * MIB,
                  .processes = 128,
                  .file_size_bytes = 256 * MIB,
                  .open_files = 1024},
        .build_output_bytes = 64 * 1024,
        .artefact_bytes = 256 * MIB,
    };
}

bool judge_lacks(const struct judge_settings *settings, const struct language *language,
                 char text[static TOOLCHAIN_LACK_SIZE])
{
    char missing[TOOLCHAIN_NAME_SIZE];
    if (toolchain_is_installed(language, settings->mounts, settings->env, settings->env_count,
                               missing))
        return false;
    toolchain_lack(language, missing, text);
    return true;
}

/* ---- limits ---- */

struct exec_limits judge_limits(const struct language *language, struct exec_limits asked,
                                const struct exec_settings *settings)
{
    struct exec_limits limits = exec_limits_with_defaults(asked, settings);
    const struct language_limits *own = &language->limits;
    limits.cpu_ns = (int64_t)((double)limits.cpu_ns * own->time_factor);
    limits.wall_ns = (int64_t)((double)limits.wall_ns * own->time_factor);
    limits.memory_bytes += own->extra_memory_bytes;
    if (limits.processes < own->processes)
        limits.processes = own->processes;
    return limits;
}

/* ---- one command ---- */

struct command {
    char **args;
    size_t arg_count;
    const char **env;
    size_t env_count;
    char **own; /* of env: those of a prepared build */
    size_t own_count;
};

static void command_free(struct command *command)
{
    free(command->args);
    prepared_environment_free(command->own, command->own_count);
    free(command->env);
}

static enum command_place place_of(const struct language *language, const char *template)
{
    if (template == language->run)
        return language->run_place;
    return template == language->build ? language->build_place : COMMAND_OURS;
}

static int fill_in_command(const struct judge_settings *settings, const struct language *language,
                           const char *template, const struct exec_limits *asked,
                           const char *prepared, const char *work_dir, struct command *out,
                           struct cj_error *err)
{
    char memory[24], stack[24], source[PATH_MAX], exe[PATH_MAX];
    const char *folder = place_of(language, template) != COMMAND_OURS ? work_dir : "";
    const char *slash = folder[0] != '\0' ? "/" : "";
    *out = (struct command){0};
    snprintf(memory, sizeof(memory), "%llu", (unsigned long long)(asked->memory_bytes / MIB));
    snprintf(stack, sizeof(stack), "%llu",
             (unsigned long long)((asked->stack_bytes > 0 ? asked->stack_bytes : 64 * MIB) / MIB));
    snprintf(source, sizeof(source), "%s%s%s", folder, slash, language->source);
    snprintf(exe, sizeof(exe), "%s%s%s", folder, slash, language->exe != NULL ? language->exe : "");
    const struct command_value values[] = {
        {"source", source},   {"workdir", work_dir}, {"memory_mib", memory},
        {"stack_mib", stack}, {"exe", exe},          {"prepared", prepared},
    };
    size_t value_count = COUNT_OF(values) - (prepared == NULL ? 1 : 0);
    if (command_words(template, values, value_count, &out->args, &out->arg_count, err) < 0)
        return error_wrap(err, "command of %s", language->id);
    if (prepared != NULL &&
        prepared_environment(language, prepared, &out->own, &out->own_count, err) < 0) {
        command_free(out);
        return -1;
    }
    out->env = language_environment_after((const char *const *)out->own, out->own_count, language,
                                          settings->env, settings->env_count, &out->env_count);
    if (out->env == NULL) {
        command_free(out);
        return error_set(err, ERROR_SYSTEM, ENOMEM, "command of %s: out of memory", language->id);
    }
    return 0;
}

static void fail_result(struct exec_result *result, const struct cj_error *err)
{
    *result = (struct exec_result){.status = EXEC_INTERNAL_ERROR, .error = strdup(err->message)};
}

/* A program that is not there: found so by us, or by a shell that tells it by 126 or 127. What a program
 * ends with by itself costs a look, and stays what it is where all is installed. */
static void explain_lack(const struct judge_settings *settings, const struct language *language,
                         bool is_build, struct exec_result *result)
{
    char text[TOOLCHAIN_LACK_SIZE];
    bool may_be = result->status == EXEC_INTERNAL_ERROR ||
                  (result->status == EXEC_NONZERO_EXIT &&
                   (is_build || result->exit_status == 126 || result->exit_status == 127));
    if (!may_be || result->cancelled || !judge_lacks(settings, language, text))
        return;
    result->status = EXEC_INTERNAL_ERROR;
    free(result->error);
    result->error = strdup(text);
}

/* The request's command, in whatever folder it is. Frees nothing. */
static void use_command(const struct command *command, struct exec_request *request)
{
    request->args = (const char *const *)command->args;
    request->arg_count = command->arg_count;
    request->env = command->env;
    request->env_count = command->env_count;
}

/* A sandbox of the operator's finds its own files in the HOME of this service's user: podman its images. */
static void use_own_home(struct command *command, char entry[static PATH_MAX])
{
    const char *home = getenv("HOME");
    snprintf(entry, PATH_MAX, "HOME=%s", home != NULL ? home : "/");
    for (size_t i = 0; i < command->env_count; i++)
        if (strncmp(command->env[i], "HOME=", strlen("HOME=")) == 0)
            command->env[i] = entry;
}

static void run_outside(struct slot *slot, const struct judge_settings *settings,
                        const struct language *language, const char *template,
                        const struct exec_limits *asked, struct exec_request *request,
                        struct exec_result *result)
{
    static unsigned runs; /* of this process */
    struct work_folder *folder;
    struct command command;
    struct cj_error err = {0};
    char home[PATH_MAX];
    if (work_folder_make(&folder, &err) < 0) {
        fail_result(result, &err);
        return;
    }
    if (fill_in_command(settings, language, template, asked, NULL, work_folder_path(folder),
                        &command, &err) < 0) {
        fail_result(result, &err);
    } else {
        use_own_home(&command, home);
        use_command(&command, request);
        exec_run_outside(settings->sandbox,
                         settings->outside_index + __atomic_fetch_add(&runs, 1, __ATOMIC_RELAXED),
                         folder, settings->exec, request, slot_cancel_fd(slot), result);
        command_free(&command);
    }
    work_folder_remove(folder);
}

static void run_in_slot(struct slot *slot, const struct judge_settings *settings,
                        const struct language *language, const char *template, const char *prepared,
                        const struct exec_limits *asked, struct exec_request *request,
                        struct exec_result *result)
{
    struct container **containers;
    struct command command;
    struct cj_error err = {0};
    if (place_of(language, template) == COMMAND_OUTSIDE) {
        run_outside(slot, settings, language, template, asked, request, result);
        return;
    }
    if (slot_containers(slot, 1, &containers, &err) < 0) {
        fail_result(result, &err);
        return;
    }
    const char *work_dir = container_facts(containers[0])->work_dir;
    if (fill_in_command(settings, language, template, asked, prepared, work_dir, &command, &err) <
        0) {
        fail_result(result, &err);
        return;
    }
    use_command(&command, request);
    if (request->limits.cpu_set == NULL)
        request->limits.cpu_set = slot_cpu_set(slot);
    exec_run(containers[0], settings->exec, request, slot_cancel_fd(slot), result);
    command_free(&command);
    explain_lack(settings, language, template != language->run, result);
}

/* ---- build ---- */

static bool has_build(const struct language *language)
{
    return language->build != NULL || language->check != NULL;
}

/* A source that could not be written (too large for the work directory, a name that leads out of it): no
 * compiler has seen it. A file that the compiler did not make is another matter. */
static bool sources_failed(const struct exec_result *result)
{
    for (size_t i = 0; i < result->file_error_count; i++)
        if (result->file_errors[i].kind <= EXEC_COPY_IN_COPY_CONTENT)
            return true;
    return false;
}

static enum judge_build_outcome judge_built(const struct exec_result *result)
{
    switch (result->status) {
    case EXEC_ACCEPTED:
        return JUDGE_BUILT;
    case EXEC_INTERNAL_ERROR:
        return JUDGE_BUILD_BROKEN;
    case EXEC_FILE_ERROR:
        return sources_failed(result) ? JUDGE_BUILD_BROKEN : JUDGE_BUILD_FAILED;
    default:
        return result->cancelled ? JUDGE_BUILD_BROKEN : JUDGE_BUILD_FAILED;
    }
}

static enum judge_build_outcome broken(struct exec_result *result, const char *why)
{
    exec_result_free(result);
    *result = (struct exec_result){.status = EXEC_INTERNAL_ERROR, .error = strdup(why)};
    return JUDGE_BUILD_BROKEN;
}

static enum judge_build_outcome
run_compiler(struct slot *slot, const struct judge_settings *settings,
             const struct judge_program *program, const char *prepared,
             const struct exec_copy_in *sources, const struct exec_copy_out *kept,
             size_t kept_count, struct exec_result *result)
{
    const struct language *language = program->language;
    const char *plain = language->build != NULL ? language->build : language->check;
    struct exec_file files[STANDARD_FILES];
    standard_files(files, settings->build_output_bytes, settings->build_output_bytes);
    struct exec_request request = {
        .files = files,
        .file_count = COUNT_OF(files),
        .copy_in = sources,
        .copy_in_count = program->file_count,
        .copy_out = kept,
        .copy_out_count = kept_count,
        .copy_out_max_bytes = settings->artefact_bytes,
        .limits = settings->build,
    };
    run_in_slot(slot, settings, language, prepared != NULL ? language->prepared.build : plain,
                prepared, &settings->build, &request, result);
    return judge_built(result);
}

static enum judge_build_outcome build_with(struct slot *slot, const struct judge_settings *settings,
                                           const struct judge_program *program,
                                           const char *prepared, struct judge_artefact **artefact,
                                           struct exec_result *result)
{
    const struct language *language = program->language;
    size_t kept_count =
        language->build == NULL ? 0 : language->keep.count + (language->exe != NULL ? 1 : 0);
    enum judge_build_outcome outcome = JUDGE_BUILT;
    if (has_build(language)) {
        struct exec_copy_in *sources = calloc(program->file_count, sizeof(*sources));
        struct exec_copy_out *kept = calloc(kept_count + 1, sizeof(*kept));
        if (sources == NULL || kept == NULL) {
            free(sources);
            free(kept);
            return broken(result, "build: out of memory");
        }
        for (size_t i = 0; i < program->file_count; i++)
            sources[i] =
                (struct exec_copy_in){.name = i == 0 ? language->source : program->files[i].name,
                                      .kind = EXEC_COPY_CONTENT,
                                      .data = program->files[i].data,
                                      .size = program->files[i].size,
                                      .fd = -1};
        size_t k = 0;
        if (language->build != NULL && language->exe != NULL)
            kept[k++].name = language->exe;
        for (size_t i = 0; language->build != NULL && i < language->keep.count; i++)
            kept[k++].name = language->keep.items[i];
        outcome =
            run_compiler(slot, settings, program, prepared, sources, kept, kept_count, result);
        if (outcome == JUDGE_BUILT && language->build != NULL)
            *artefact = artefact_from_build(language, kept, kept_count, result);
        free(sources);
        free(kept);
    }
    if (outcome == JUDGE_BUILT && language->build == NULL)
        *artefact = artefact_from_sources(program);
    if (outcome == JUDGE_BUILT && *artefact == NULL)
        return broken(result, "keep a program: out of memory");
    return outcome;
}

static bool says_nothing(const struct exec_result *result)
{
    const struct exec_output *out = judge_output(result, "stdout");
    const struct exec_output *err = judge_output(result, "stderr");
    return (out == NULL || out->size == 0) && (err == NULL || err->size == 0);
}

/* With what was prepared, where that is there. Only a success without a word counts: a compiler that has
 * something to say does so after the plain command, so that the words, and what fails, are the same. */
static enum judge_build_outcome build(struct slot *slot, const struct judge_settings *settings,
                                      const struct judge_program *program,
                                      struct judge_artefact **artefact, struct exec_result *result)
{
    char path[PREPARED_PATH_SIZE];
    struct prepared_use *use;
    struct cj_error err = {0};
    if (settings->prepared == NULL || !prepared_begin(settings->prepared, program, path, &use))
        return build_with(slot, settings, program, NULL, artefact, result);
    enum judge_build_outcome outcome = build_with(slot, settings, program, path, artefact, result);
    bool counts = (outcome == JUDGE_BUILT && says_nothing(result)) || result->cancelled;
    prepared_end(settings->prepared, use, counts);
    if (counts)
        return outcome;
    judge_artefact_release(*artefact);
    *artefact = NULL;
    exec_result_free(result);
    *result = (struct exec_result){.status = EXEC_ACCEPTED};
    if (slot_reset(slot, &err) < 0)
        return broken(result, err.message);
    return build_with(slot, settings, program, NULL, artefact, result);
}

/* Whether it would end the same way each time: not what a limit, or something near one, has ended. */
static bool is_certain(const struct judge_settings *settings, const struct exec_result *result)
{
    const struct exec_limits *limits = &settings->build;
    return result->status == EXEC_NONZERO_EXIT && !result->cancelled &&
           result->memory_bytes < limits->memory_bytes / 4 * 3 &&
           result->process_peak < limits->processes && result->cpu_ns < limits->cpu_ns / 4 * 3 &&
           result->wall_ns < limits->wall_ns / 4 * 3;
}

static enum judge_build_outcome answer_from_record(struct build_record *record,
                                                   struct judge_artefact **artefact,
                                                   struct exec_result *result)
{
    int got = build_record_get(record, artefact, result);
    build_record_release(record);
    if (got < 0)
        return broken(result, "build: out of memory");
    return *artefact != NULL ? JUDGE_BUILT : JUDGE_BUILD_FAILED;
}

static void keep_build(const struct judge_settings *settings, struct build_flight *flight,
                       enum judge_build_outcome outcome, struct judge_artefact *artefact,
                       const struct exec_result *result)
{
    struct build_record *record = NULL;
    if (outcome == JUDGE_BUILT || (outcome == JUDGE_BUILD_FAILED && is_certain(settings, result)))
        record = build_record_new(artefact, result);
    build_cache_finish(settings->build_cache, flight, record, result->cancelled);
    build_record_release(record);
}

/* Whether builds of it can be told from each other; then *key is what by. */
static bool is_cacheable(const struct judge_settings *settings, const struct judge_program *program,
                         struct digest *key)
{
    const struct language *language = program->language;
    if (settings->build_cache == NULL || !has_build(language) ||
        language->build_place == COMMAND_OUTSIDE) /* its compiler lies in a sandbox of its own */
        return false;
    return identity_build_key(settings->identities, settings, program, key) == 0;
}

enum judge_build_outcome judge_build(struct slot *slot, const struct judge_settings *settings,
                                     const struct judge_program *program, struct build_wait *wait,
                                     struct judge_artefact **artefact, struct exec_result *result)
{
    struct build_record *record;
    struct build_flight *flight;
    struct digest key;
    int64_t begun_ns = monotonic_ns();
    *result = (struct exec_result){.status = EXEC_ACCEPTED};
    *artefact = NULL;
    if (!is_cacheable(settings, program, &key)) {
        enum judge_build_outcome made = build(slot, settings, program, artefact, result);
        if (has_build(program->language))
            stage_since(STAGE_BUILD, begun_ns);
        return made;
    }
    switch (build_cache_claim(settings->build_cache, &key, wait, &record, &flight)) {
    case BUILD_HIT:
        stage_since(STAGE_FOUND, begun_ns);
        return answer_from_record(record, artefact, result);
    case BUILD_WAITS:
        slot_park(slot);
        return JUDGE_BUILD_WAITS;
    case BUILD_TO_MAKE:
        break;
    }
    enum judge_build_outcome outcome = build(slot, settings, program, artefact, result);
    keep_build(settings, flight, outcome, *artefact, result);
    stage_since(STAGE_BUILD, begun_ns);
    return outcome;
}

/* ---- run ---- */

/* What a build has made, runs on many inputs need not have copied for each. A source stays the run's own. */
static void hold_largest(const struct judge_artefact *artefact, struct exec_copy_in *copies)
{
    size_t largest = 0;
    for (size_t i = 1; i < artefact->count; i++)
        if (copies[i].size > copies[largest].size)
            largest = i;
    if (artefact->count > 0 && copies[largest].size <= HELD_BYTES_MAX)
        copies[largest].hold_key = artefact->key;
}

void judge_run(struct slot *slot, const struct judge_settings *settings,
               const struct judge_artefact *artefact, const struct judge_run *run,
               struct exec_result *result)
{
    const struct exec_limits asked = exec_limits_with_defaults(run->limits, settings->exec);
    struct exec_file files[STANDARD_FILES];
    standard_files(files, run->stdout_bytes, run->stderr_bytes);
    if (run->input != NULL)
        files[0] = *run->input;
    struct exec_copy_in *copies = calloc(artefact->count + 1, sizeof(*copies));
    if (copies == NULL) {
        struct cj_error err;
        error_set(&err, ERROR_SYSTEM, ENOMEM, "run a program: out of memory");
        fail_result(result, &err);
        return;
    }
    for (size_t i = 0; i < artefact->count; i++)
        copies[i] = (struct exec_copy_in){.name = artefact->files[i].name,
                                          .kind = EXEC_COPY_CONTENT,
                                          .data = artefact->files[i].data,
                                          .size = artefact->files[i].size,
                                          .fd = -1};
    hold_largest(artefact, copies);
    struct exec_request request = {
        .files = files,
        .file_count = COUNT_OF(files),
        .copy_in = copies,
        .copy_in_count = artefact->count,
        .limits = judge_limits(artefact->language, run->limits, settings->exec),
    };
    run_in_slot(slot, settings, artefact->language, artefact->language->run, NULL, &asked, &request,
                result);
    free(copies);
}
