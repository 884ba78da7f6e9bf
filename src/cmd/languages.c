/* `cjudge languages`: which languages there are, which of them this host has, and whether they work.
 *
 *     file of languages ─► sandbox with their mounts ─► slots: version, or the examples ─► rows, in order
 *
 * Each language is one job; the main thread prints what is done, in the order of the file. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/io.h"
#include "base/log.h"
#include "command.h"
#include "languages_options.h"
#include "languages_report.h"
#include "sandbox/mount_config.h"
#include "sandbox/sandbox.h"
#include "sched/sched.h"

enum { EXIT_LANGUAGE_FAILED = 1 };

struct session;

/* One language that is looked at. */
struct item {
    struct session *session;
    struct sched_job job;
    struct language_report report;
    bool named; /* on the command line: it has to be there */
    bool done;  /* under the lock */
};

struct session {
    struct languages_options options;
    struct languages *languages;
    struct mount_config mounts;
    struct sandbox *sandbox;
    struct sched *sched;
    struct exec_settings exec;
    struct judge_settings judge;
    struct item *items;
    size_t count;
    bool colour, progress;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    size_t done_count; /* under the lock */
};

/* ---- the languages that are meant ---- */

static int add_item(struct session *session, const struct language *language, bool named)
{
    for (size_t i = 0; i < session->count; i++)
        if (session->items[i].report.language == language)
            return 0;
    session->items[session->count++] =
        (struct item){.session = session, .report = {.language = language}, .named = named};
    return 0;
}

static int choose(struct session *session, char **names, int name_count, struct cj_error *err)
{
    size_t all = languages_count(session->languages);
    session->items = calloc(all, sizeof(*session->items));
    if (session->items == NULL)
        return error_set(err, ERROR_SYSTEM, ENOMEM, "out of memory");
    for (int i = 0; i < name_count; i++) {
        const struct language *language = languages_find(session->languages, names[i]);
        if (language == NULL)
            return error_set(err, ERROR_CONFIG, 0, "there is no language '%.100s'", names[i]);
        add_item(session, language, true);
    }
    bool first_class = session->options.first_class;
    for (size_t i = 0; i < all; i++) {
        const struct language *language = languages_at(session->languages, i);
        if (first_class ? language->first_class : name_count == 0)
            add_item(session, language, first_class);
    }
    return 0;
}

/* ---- the sandbox ---- */

static int open_sandbox(struct session *session, struct cj_error *err)
{
    const struct languages_options *options = &session->options;
    int loaded =
        options->mount_conf[0] != '\0'
            ? mount_config_load(options->mount_conf, options->tmpfs_data, &session->mounts, err)
            : mount_config_default(options->tmpfs_data, &session->mounts, err);
    if (loaded < 0 || toolchain_show_mounts(session->languages, &session->mounts, err) < 0)
        return -1;
    const struct sandbox_options sandbox = {
        .mounts = &session->mounts,
        .cgroup_prefix = options->cgroup_prefix,
        .required = PROTECTION_NONE,
        .highest = (enum protection_level)options->highest,
    };
    const struct sched_settings slots = {
        .slots = (unsigned)options->parallelism,
        .queue_max = languages_count(session->languages),
    };
    if (sandbox_open(&sandbox, &session->sandbox, err) < 0)
        return -1;
    const struct sandbox_facts *facts = sandbox_facts(session->sandbox);
    if (facts->level != (enum protection_level)options->highest)
        log_warn("protection is not full", log_text("level", protection_name(facts->level)),
                 log_text("reason", facts->reason));
    signal(SIGPIPE, SIG_IGN);
    return sched_new(&slots, session->sandbox, &session->sched, err);
}

static void set_judge(struct session *session)
{
    exec_settings_default(&session->exec);
    judge_settings_default(&session->judge);
    session->judge.exec = &session->exec;
    session->judge.env = language_plain_env(&session->judge.env_count);
    session->judge.mounts = &session->mounts;
}

/* ---- the jobs ---- */

static void item_done(struct item *item)
{
    struct session *session = item->session;
    pthread_mutex_lock(&session->lock);
    item->done = true;
    session->done_count++;
    pthread_cond_signal(&session->changed);
    pthread_mutex_unlock(&session->lock);
}

static void look(struct slot *slot, void *arg)
{
    struct item *item = arg;
    const struct session *session = item->session;
    struct language_report *report = &item->report;
    struct container **containers;
    struct cj_error err;
    report->facts.installed =
        toolchain_is_installed(report->language, session->judge.mounts, session->judge.env,
                               session->judge.env_count, report->facts.missing);
    if (report->facts.installed) {
        if (slot_containers(slot, 1, &containers, &err) == 0)
            language_ask_version(containers[0], &session->judge, report->language, 0,
                                 slot_cancel_fd(slot), report->facts.version);
        if (session->options.check && slot_reset(slot, &err) == 0) {
            language_check(slot, &session->judge, report->language, session->options.loop_ns,
                           &report->check);
            report->checked = true;
        }
    }
    item_done(item);
}

static void dropped(void *arg, enum sched_drop reason)
{
    (void)reason; /* nobody cancels, and it has room for all */
    item_done(arg);
}

static int submit_all(struct session *session, struct cj_error *err)
{
    for (size_t i = 0; i < session->count; i++) {
        struct item *item = &session->items[i];
        item->job = (struct sched_job){.run = look, .dropped = dropped, .arg = item};
        if (sched_submit(session->sched, &item->job, err) < 0)
            return -1;
    }
    return 0;
}

/* ---- telling ---- */

static void show_progress(const struct session *session, size_t done_count, const char *next)
{
    if (session->progress)
        fprintf(stderr, "\r\033[K%zu of %zu  %s", done_count, session->count, next);
}

/* Waits until this one is done. */
static void await(struct session *session, struct item *item)
{
    pthread_mutex_lock(&session->lock);
    while (!item->done) {
        show_progress(session, session->done_count, item->report.language->id);
        pthread_cond_wait(&session->changed, &session->lock);
    }
    pthread_mutex_unlock(&session->lock);
    if (session->progress)
        fprintf(stderr, "\r\033[K");
}

static int put(struct buf *text, struct cj_error *err)
{
    if (buf_check(text, err) < 0)
        return -1;
    if (write_full(STDOUT_FILENO, text->data, text->size) < 0)
        return error_errno(err, "write the answer");
    text->size = 0;
    return 0;
}

static int tell_table(struct session *session, struct cj_error *err)
{
    auto_buf struct buf text = {0};
    bool check = session->options.check;
    languages_write_head(check, session->colour, &text);
    for (size_t i = 0; i < session->count; i++) {
        await(session, &session->items[i]);
        languages_write_row(&session->items[i].report, check, session->colour, &text);
        if (put(&text, err) < 0)
            return -1;
    }
    return 0;
}

static int tell_json(struct session *session, struct cj_error *err)
{
    auto_buf struct buf text = {0};
    struct json_writer json =
        json_writer_to(&text, isatty(STDOUT_FILENO) != 0 ? JSON_PRETTY : JSON_COMPACT_PLAIN);
    json_array_begin(&json);
    for (size_t i = 0; i < session->count; i++) {
        await(session, &session->items[i]);
        languages_write_json(&session->items[i].report, &json);
    }
    json_array_end(&json);
    buf_append_char(&text, '\n');
    return put(&text, err);
}

/* ---- the whole ---- */

static int judge_items(const struct session *session)
{
    size_t good = 0, failed = 0, absent = 0;
    bool complaint = false;
    for (size_t i = 0; i < session->count; i++) {
        const struct item *item = &session->items[i];
        const struct language_report *report = &item->report;
        if (!report->facts.installed)
            absent++;
        else if (session->options.check && !(report->checked && report->check.good))
            failed++;
        else
            good++;
        complaint |= item->named && !report->facts.installed;
    }
    if (session->options.check && !session->options.json)
        fprintf(stderr, "%zu work, %zu failed, %zu not installed\n", good, failed, absent);
    return failed > 0 || complaint ? EXIT_LANGUAGE_FAILED : 0;
}

static int run_session(struct session *session, char **names, int name_count, struct cj_error *err)
{
    const char *file = session->options.languages;
    const char *no_colour = getenv("NO_COLOR"); /* no-color.org */
    session->colour = isatty(STDOUT_FILENO) != 0 && (no_colour == NULL || no_colour[0] == '\0');
    session->progress = isatty(STDERR_FILENO) != 0;
    if (languages_load(file[0] != '\0' ? file : NULL, &session->languages, err) < 0 ||
        choose(session, names, name_count, err) < 0 || open_sandbox(session, err) < 0)
        return -1;
    set_judge(session);
    if (submit_all(session, err) < 0 ||
        (session->options.json ? tell_json(session, err) : tell_table(session, err)) < 0)
        return -1;
    return judge_items(session);
}

static void print_help(void)
{
    auto_buf struct buf text = {0};
    options_help(&languages_option_table, 100, &text);
    printf("usage: cjudge languages [OPTION]... [LANGUAGE]...\n\n"
           "Lists the languages that can be judged, those that are named or all of them: which are "
           "installed,\nwhich version they are, and what brings those that are not.\n\n"
           "Exit status: 0; 1 an installed language failed its check, or one that was named is not "
           "installed;\n125 cjudge failed.\n%.*s",
           (int)text.size, text.data);
}

int cmd_languages(int argc, char **argv)
{
    struct session session = {.lock = PTHREAD_MUTEX_INITIALIZER,
                              .changed = PTHREAD_COND_INITIALIZER};
    struct cj_error err = {0};
    int next = 0, exit_status = 0;
    log_setup(STDERR_FILENO, LOG_FORMAT_TEXT, LOG_LEVEL_WARN); /* among lines for people */
    if (languages_options_load(argc, argv, &session.options, &next, &err) < 0) {
        fprintf(stderr, "cjudge languages: %s\n", err.message);
        return EXIT_OURS;
    }
    if (session.options.help)
        print_help();
    else
        exit_status = run_session(&session, argv + next, argc - next, &err);
    if (exit_status < 0) {
        fprintf(stderr, "cjudge languages: %s\n", err.message);
        exit_status = EXIT_OURS;
    }
    sched_free(session.sched);
    sandbox_close(session.sandbox);
    mount_config_free(&session.mounts);
    free(session.items);
    languages_free(session.languages);
    options_free(&languages_option_table, &session.options);
    return exit_status;
}
