#include "serve_judge.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/judge_door.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/io.h"
#include "base/log.h"
#include "exec/outside.h"
#include "judge/build_cache.h"
#include "judge/error_case.h"
#include "judge/identity.h"
#include "judge/interpreter.h"
#include "judge/language.h"
#include "judge/prepared.h"
#include "judge/submission.h"
#include "judge/toolchain.h"

#define MIB        (UINT64_C(1) << 20)
#define PYTHON_MIB 128 /* decision 30 */

struct serve_judge {
    const struct settings *settings;
    struct languages *languages;
    const struct mount_config *mounts;
    char *python_command, *cpp_compile_command; /* made of the executables' names */
    char **env;                                 /* the last ones, of -pass-env, are heap */
    size_t env_count;
    int error_cases_fd; /* -1: none are kept */
    struct submission_settings submission;
    struct submission_observer observer;
    struct roster *roster;
    struct build_cache *build_cache;
    struct identities *identities;
    struct prepared *prepared;
    struct judge_door *door;
    struct http_server *server;
};

/* ---- languages ---- */

/* A file name as one word of a command template. */
static int quote(const char *text, struct buf *out, struct cj_error *err)
{
    buf_append_char(out, '\'');
    for (; *text != '\0'; text++) {
        if (*text == '\'')
            return error_set(err, ERROR_CONFIG, 0, "'%s': a path without ' is wanted", text);
        if (*text == '{' || *text == '}')
            buf_append_char(out, *text);
        buf_append_char(out, *text);
    }
    buf_append_char(out, '\'');
    return 0;
}

static int make_command(const char *executable, const char *rest, char **command,
                        struct cj_error *err)
{
    auto_buf struct buf text = {0};
    if (quote(executable, &text, err) < 0)
        return -1;
    buf_append_text(&text, rest);
    return buf_take(&text, command, NULL, err);
}

/* A file of languages need not have code-judge's two. */
static int override(struct languages *languages, const char *id, struct language_command build,
                    struct language_command run, struct cj_error *err)
{
    const struct language *language = languages_find(languages, id);
    if (language == NULL || strcmp(language->id, id) != 0)
        return 0;
    return languages_override(languages, id, build, run, err);
}

/* A template of the operator's, and where it runs (decision 33). */
static struct language_command template_command(const struct settings *settings,
                                                const char *variable, const char *template)
{
    bool starts_sandbox = command_starts_sandbox(template);
    bool outside = settings->template_sandbox == TEMPLATE_HOST ||
                   (settings->template_sandbox == TEMPLATE_AUTO && starts_sandbox);
    if (outside)
        log_warn(
            "submissions run on the host, as this service's user: what keeps them apart is the "
            "template alone",
            log_text("variable", variable), log_text("template", template));
    else if (starts_sandbox)
        log_warn("a template that starts a sandbox runs in ours, where most cannot",
                 log_text("variable", variable), log_text("template", template));
    return (struct language_command){template, outside ? COMMAND_OUTSIDE : COMMAND_TEMPLATE};
}

static int set_commands(struct serve_judge *judge, struct cj_error *err)
{
    const struct settings *settings = judge->settings;
    struct language_command python = {0}, compile = {0}, run = {.text = "./{exe}"};
    if (settings->python_command[0] != '\0') {
        python = template_command(settings, "PYTHON_EXECUTE_COMMAND", settings->python_command);
    } else {
        if (make_command(settings->python_executor, " {source}", &judge->python_command, err) < 0)
            return error_wrap(err, "-python-executor-path");
        python.text = judge->python_command;
    }
    if (settings->cpp_compile_command[0] != '\0') {
        compile = template_command(settings, "CPP_COMPILE_COMMAND", settings->cpp_compile_command);
    } else {
        if (make_command(settings->cpp_compiler, " -O2 -o {exe} {source}",
                         &judge->cpp_compile_command, err) < 0)
            return error_wrap(err, "-cpp-compiler-path");
        compile.text = judge->cpp_compile_command;
    }
    if (strcmp(settings->cpp_command, "{exe}") != 0)
        run = template_command(settings, "CPP_EXECUTE_COMMAND", settings->cpp_command);
    if (override(judge->languages, "python", (struct language_command){0}, python, err) < 0 ||
        override(judge->languages, "cpp", compile, run, err) < 0)
        return -1;
    return 0;
}

static int show_interpreter(const char *executor, struct mount_config *mounts, struct cj_error *err)
{
    static const char *const shown[] = {"/usr", "/bin", "/lib", "/lib64"};
    char **paths;
    size_t count;
    if (interpreter_paths(executor, shown, COUNT_OF(shown), &paths, &count, err) < 0)
        return -1;
    int done = 0;
    for (size_t i = 0; i < count && done == 0; i++) {
        log_info("programs see the interpreter's folder", log_text("path", paths[i]));
        done = mount_config_show(mounts, paths[i], err);
    }
    free(paths);
    return done;
}

static int show_mounts(struct serve_judge *judge, struct mount_config *mounts, struct cj_error *err)
{
    if (toolchain_show_mounts(judge->languages, mounts, err) < 0)
        return -1;
    if (strcmp(judge->settings->python_executor, "python3") != 0 &&
        show_interpreter(judge->settings->python_executor, mounts, err) < 0)
        return error_wrap(err, "-python-executor-path");
    return 0;
}

/* ---- what submissions get ---- */

static int make_env(struct serve_judge *judge, struct cj_error *err)
{
    const struct option_list *passed = &judge->settings->pass_env;
    size_t plain_count;
    const char *const *plain_env = language_plain_env(&plain_count);
    judge->env = calloc(plain_count + passed->count + 1, sizeof(*judge->env));
    if (judge->env == NULL)
        return error_set(err, ERROR_SYSTEM, ENOMEM, "environment: out of memory");
    for (size_t i = 0; i < passed->count; i++) {
        const char *value = getenv(passed->items[i]);
        if (value == NULL) {
            log_warn("a variable that -pass-env names is not set",
                     log_text("name", passed->items[i]));
            continue;
        }
        char *text;
        if (asprintf(&text, "%s=%s", passed->items[i], value) < 0)
            return error_set(err, ERROR_SYSTEM, ENOMEM, "environment: out of memory");
        judge->env[judge->env_count++] = text; /* in front: the first of a name counts */
    }
    for (size_t i = 0; i < plain_count; i++) {
        char *text = strdup(plain_env[i]);
        if (text == NULL)
            return error_set(err, ERROR_SYSTEM, ENOMEM, "environment: out of memory");
        judge->env[judge->env_count++] = text;
    }
    return 0;
}

/* MAX_MEMORY=0: what the machine has, shared among the slots. */
static uint64_t memory_share(unsigned slots)
{
    uint64_t bytes = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    uint64_t share = bytes / 10 * 9 / slots;
    log_warn("MAX_MEMORY is 0: each submission may use its slot's share of the machine",
             log_size("memory", share));
    return share;
}

static struct error_case begin_error_case(const struct submission *submission)
{
    return (struct error_case){
        .sub_id = submission->sub_id,
        .sub_id_size = submission->sub_id_size,
        .type = submission->language != NULL ? submission->language->id : "math",
        .options = submission->options,
        .options_size = submission->options_size,
        .solution = submission->solution,
        .solution_size = submission->solution_size,
        .input = submission->input,
        .input_size = submission->input_size,
        .expected_output = submission->expected_output,
        .expected_size = submission->expected_size,
    };
}

static void keep_error_case(void *arg, const struct submission *submission,
                            const struct submission_result *result,
                            struct submission_view whole_stdout,
                            struct submission_view whole_stderr)
{
    const struct serve_judge *judge = arg;
    struct error_case kept = begin_error_case(submission);
    kept.stdout_text = whole_stdout.data;
    kept.stdout_size = whole_stdout.size;
    kept.stderr_text = whole_stderr.data;
    kept.stderr_size = whole_stderr.size;
    kept.exit_code = result->exit_code;
    kept.cost_s = result->cost_s;
    error_case_save(judge->error_cases_fd, &kept);
}

static void keep_broken_case(void *arg, const struct submission *submission, const char *why)
{
    const struct serve_judge *judge = arg;
    struct error_case kept = begin_error_case(submission);
    kept.exception = why;
    error_case_save(judge->error_cases_fd, &kept);
}

static void set_submission(struct serve_judge *judge, const struct exec_settings *exec,
                           struct sandbox *sandbox, unsigned slots)
{
    const struct settings *settings = judge->settings;
    struct submission_settings *submission = &judge->submission;
    judge_settings_default(&submission->judge);
    submission->judge.exec = exec;
    submission->judge.env = (const char *const *)judge->env;
    submission->judge.env_count = judge->env_count;
    submission->judge.mounts = judge->mounts;
    submission->judge.sandbox = sandbox;
    submission->judge.outside_index =
        slots * SCHED_GROUP_MAX + 2; /* behind the roster's and what is prepared */
    submission->execution_ns = (int64_t)settings->max_execution_s * NS_PER_S;
    submission->memory_bytes =
        settings->max_memory_mib > 0 ? settings->max_memory_mib * MIB : memory_share(slots);
    submission->python_memory_bytes = settings->max_memory_mib > 0 ? PYTHON_MIB * MIB : 0;
    submission->output_bytes = settings->judge_output_bytes;
    submission->text_characters = settings->max_text_characters;
}

/* The folder has to be there before containers are. One that cannot be made costs time, and nothing else. */
static int open_prepared(struct serve_judge *judge, struct mount_config *mounts,
                         struct cj_error *err)
{
    struct cj_error why;
    if (judge->settings->prepare == PREPARE_OFF)
        return 0;
    if (prepared_new(judge->languages, judge->settings->prepare_dir, &judge->prepared, &why) < 0) {
        log_warn("builds stay slow", log_failure(&why));
        return 0;
    }
    return mount_config_show_at(mounts, prepared_folder(judge->prepared), PREPARED_TARGET, err);
}

/* index: of a container that nobody else has. */
static int open_builds(struct serve_judge *judge, struct sched *sched, struct sandbox *sandbox,
                       unsigned index, struct cj_error *err)
{
    const struct settings *settings = judge->settings;
    struct judge_settings *judging = &judge->submission.judge;
    if (identities_new(judge->languages, &judge->identities, err) < 0)
        return -1;
    judging->identities = judge->identities;
    if (settings->build_cache_bytes > 0 &&
        build_cache_new(settings->build_cache_bytes, sched, &judge->build_cache, err) < 0)
        return -1;
    judging->build_cache = judge->build_cache;
    if (judge->prepared == NULL)
        return 0;
    if (prepared_start(judge->prepared, judging, sandbox, index,
                       settings->prepare == PREPARE_AT_START, err) < 0)
        return -1;
    judging->prepared = judge->prepared;
    return 0;
}

static const char *accounting_name(const struct sandbox_facts *facts)
{
    if (facts->level != PROTECTION_FULL)
        return "rusage and /proc";
    return facts->cgroup.kind == CGROUP_V2 ? "cgroup v2" : "cgroup v1";
}

/* ---- public ---- */

int serve_judge_prepare(const struct settings *settings, struct mount_config *mounts,
                        struct serve_judge **out, struct cj_error *err)
{
    *out = NULL;
    if (strcmp(settings->judge_addr, "off") == 0)
        return 0;
    struct serve_judge *judge = calloc(1, sizeof(*judge));
    if (judge == NULL)
        return error_set(err, ERROR_SYSTEM, ENOMEM, "judging API: out of memory");
    work_folders_remove_left();
    judge->settings = settings;
    judge->mounts = mounts;
    judge->error_cases_fd = -1;
    const char *file = settings->languages[0] != '\0' ? settings->languages : NULL;
    if (languages_load(file, &judge->languages, err) < 0 || set_commands(judge, err) < 0 ||
        show_mounts(judge, mounts, err) < 0 || open_prepared(judge, mounts, err) < 0 ||
        make_env(judge, err) < 0 ||
        (settings->error_case_path[0] != '\0' &&
         error_case_open(settings->error_case_path, &judge->error_cases_fd, err) < 0)) {
        serve_judge_free(judge);
        return -1;
    }
    *out = judge;
    return 0;
}

int serve_judge_open(struct serve_judge *judge, const struct exec_settings *exec,
                     struct net_loop *loop, struct sched *sched, struct store *store,
                     struct sandbox *sandbox, const struct http_settings *http,
                     struct cj_error *err)
{
    if (judge == NULL)
        return 0;
    const struct sandbox_facts *facts = sandbox_facts(sandbox);
    struct sched_stats stats;
    sched_stats(sched, &stats);
    set_submission(judge, exec, sandbox, stats.slots);
    judge->observer = (struct submission_observer){keep_error_case, keep_broken_case, judge};
    /* two more containers than the slots can have */
    if (open_builds(judge, sched, sandbox, stats.slots * SCHED_GROUP_MAX + 1, err) < 0)
        return -1;
    if (roster_new(judge->languages, &judge->submission.judge, &judge->roster, err) < 0 ||
        roster_ask(judge->roster, sandbox, stats.slots * SCHED_GROUP_MAX, err) < 0)
        return -1;
    const struct judge_door_settings door = {
        .loop = loop,
        .sched = sched,
        .store = store,
        .languages = judge->languages,
        .roster = judge->roster,
        .submission = &judge->submission,
        .observer = judge->error_cases_fd >= 0 ? &judge->observer : NULL,
        .slots = stats.slots,
        .body_bytes = judge->settings->max_body_bytes,
        .queue_life_ns = (int64_t)judge->settings->queue_life_s * NS_PER_S,
        .artifact_bytes = judge->settings->artifact_bytes,
        .protection = protection_name(facts->level),
        .accounting = accounting_name(facts),
        .cold = facts->warm_reason,
        .long_queue_life_ns = (int64_t)judge->settings->long_queue_life_s * NS_PER_S,
    };
    if (judge_door_new(&door, &judge->door, err) < 0 ||
        http_server_new(&judge->server, loop, judge_door_http(), judge->door, http, err) < 0 ||
        http_server_listen(judge->server, judge->settings->judge_addr, err) < 0)
        return -1;
    return 0;
}

const struct languages *serve_judge_languages(const struct serve_judge *judge)
{
    return judge != NULL ? judge->languages : NULL;
}

const char *serve_judge_address(const struct serve_judge *judge, size_t index)
{
    return judge != NULL ? http_server_address(judge->server, index) : NULL;
}

uint64_t serve_judge_at_work(const struct serve_judge *judge)
{
    return judge != NULL && judge->door != NULL ? judge_door_at_work(judge->door) : 0;
}

void serve_judge_stop(struct serve_judge *judge, int64_t timeout_ns, void (*done)(void *arg),
                      void *arg)
{
    http_server_stop(judge->server, timeout_ns, done, arg);
}

void serve_judge_cancel(struct serve_judge *judge)
{
    if (judge != NULL && judge->door != NULL)
        judge_door_cancel(judge->door);
}

void serve_judge_close_server(struct serve_judge *judge)
{
    if (judge == NULL)
        return;
    http_server_free(judge->server);
    judge->server = NULL;
}

void serve_judge_free(struct serve_judge *judge)
{
    if (judge == NULL)
        return;
    serve_judge_close_server(judge);
    judge_door_free(judge->door);
    roster_free(judge->roster);
    prepared_free(judge->prepared);
    build_cache_free(judge->build_cache);
    identities_free(judge->identities);
    for (size_t i = 0; i < judge->env_count; i++)
        free(judge->env[i]);
    free(judge->env);
    fd_close(&judge->error_cases_fd);
    languages_free(judge->languages);
    free(judge->python_command);
    free(judge->cpp_compile_command);
    free(judge);
}
