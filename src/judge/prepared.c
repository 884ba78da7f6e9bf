#include "judge/prepared.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/folder.h"
#include "base/log.h"
#include "base/remove_tree.h"
#include "prepared_files.h"
#include "standard_files.h"

enum {
    CPU_RATE = 500, /* of 1000: half a CPU; requests go first */
    EXIT_NOTHING_TO_DO = 77,
};

/* What was made once: a folder. Removed by the last of its owners: the language, and builds that use it. */
struct prepared_use {
    unsigned owners;
    char name[32];
    struct digest identity;       /* of the toolchain it was made with */
    struct prepared_files *files; /* as they were made */
};

struct item {
    const struct language *language;
    bool wanted;
    bool failed; /* with the toolchain of that identity */
    struct digest identity;
    struct prepared_use *made;
};

struct prepared {
    struct folder folder;
    const struct languages *languages;
    const struct judge_settings *settings;
    struct sandbox *sandbox;
    unsigned index;
    int stop_fd;
    pthread_t thread;
    bool has_thread;
    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t wake;
    bool stop;
    unsigned serial;
    struct prepared_stats stats;
    size_t count;
    struct item items[];
};

/* ---- what was made ---- */

/* With the lock held. */
static void release(struct prepared *prepared, struct prepared_use *use)
{
    if (use == NULL || --use->owners > 0)
        return;
    if (remove_tree(prepared->folder.fd, use->name) < 0)
        log_warn("what was prepared cannot be removed", log_text("name", use->name),
                 log_text("because", strerrordesc_np(errno)));
    prepared_files_free(use->files);
    free(use);
}

static int open_made(const struct prepared *prepared, const struct prepared_use *use)
{
    return openat(prepared->folder.fd, use->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/* Whether its files are those that were made: nobody has written to them since. */
static bool is_untouched(const struct prepared *prepared, const struct prepared_use *use)
{
    auto_fd int fd = open_made(prepared, use);
    return fd >= 0 && prepared_files_same(use->files, fd);
}

/* ---- variables ---- */

void prepared_environment_free(char **texts, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(texts[i]);
    free(texts);
}

int prepared_environment(const struct language *language, const char *folder, char ***out,
                         size_t *count, struct cj_error *err)
{
    const struct language_texts *env = &language->prepared.env;
    const struct command_value values[] = {{"prepared", folder}};
    char **texts = calloc(env->count + 1, sizeof(*texts));
    if (texts == NULL)
        return error_set(err, ERROR_SYSTEM, ENOMEM, "variables of %s: out of memory", language->id);
    for (size_t i = 0; i < env->count; i++)
        if (command_text(env->items[i], values, COUNT_OF(values), &texts[i], err) < 0) {
            prepared_environment_free(texts, i);
            return -1;
        }
    *out = texts;
    *count = env->count;
    return 0;
}

/* ---- making ---- */

static int fail(struct cj_error *err, const struct exec_result *result)
{
    if (result->status == EXEC_NONZERO_EXIT && result->exit_status == EXIT_NOTHING_TO_DO)
        return error_set(err, ERROR_CONFIG, ENODATA, "there is nothing to prepare");
    const struct exec_output *said = judge_output(result, "stderr");
    return error_set(err, ERROR_CONFIG, 0, "%s%s%s: %.200s", exec_status_name(result->status),
                     result->error != NULL ? ": " : "", result->error != NULL ? result->error : "",
                     said != NULL && said->size > 0 ? said->data : "");
}

static bool is_folder(const char *name)
{
    return name[strlen(name) - 1] == '/';
}

static int keep_folder(struct container *container, const char *name, int to_fd,
                       uint64_t *bytes_left, struct cj_error *err)
{
    char path[512];
    auto_fd int from = -1;
    snprintf(path, sizeof(path), "%s/%s", container_facts(container)->work_dir, name);
    if (container_open_folder(container, path, &from, err) < 0)
        return error_wrap(err, "it made no %s", name);
    return prepared_files_copy(from, to_fd, name, bytes_left, err);
}

static int write_kept(struct prepared *prepared, const struct language *language,
                      struct container *container, const struct exec_result *result,
                      struct prepared_use *use, struct cj_error *err)
{
    uint64_t bytes_left = prepared->settings->artefact_bytes;
    if (mkdirat(prepared->folder.fd, use->name, 0755) < 0)
        return error_errno(err, "make %s", use->name);
    auto_fd int fd = open_made(prepared, use);
    if (fd < 0)
        return error_errno(err, "open %s", use->name);
    for (size_t i = 0; i < language->prepared.keep.count; i++) {
        const char *name = language->prepared.keep.items[i];
        if (is_folder(name)) {
            if (keep_folder(container, name, fd, &bytes_left, err) < 0)
                return -1;
            continue;
        }
        const struct exec_output *file = judge_output(result, name);
        if (file == NULL)
            return error_set(err, ERROR_CONFIG, ENOENT, "it made no %s", name);
        if (folder_write(fd, name, file->data, file->size, err) < 0)
            return -1;
    }
    return prepared_files_look(fd, &use->files, err);
}

/* The command, filled in for that container. */
struct making {
    char **words;
    char **own; /* texts of env */
    size_t own_count;
    const char **env;
};

static void making_free(struct making *making)
{
    free(making->words);
    prepared_environment_free(making->own, making->own_count);
    free(making->env);
}

static int fill_in(const struct prepared *prepared, const struct language *language,
                   const char *work_dir, struct making *making, struct exec_request *request,
                   struct cj_error *err)
{
    const struct judge_settings *settings = prepared->settings;
    const struct command_value values[] = {{"source", language->source},
                                           {"exe", language->exe != NULL ? language->exe : ""}};
    if (command_words(language->prepared.command, values, COUNT_OF(values), &making->words,
                      &request->arg_count, err) < 0 ||
        prepared_environment(language, work_dir, &making->own, &making->own_count, err) < 0)
        return -1;
    making->env =
        language_environment_after((const char *const *)making->own, making->own_count, language,
                                   settings->env, settings->env_count, &request->env_count);
    request->env = making->env;
    request->args = (const char *const *)making->words;
    return making->env != NULL ? 0 : error_set(err, ERROR_SYSTEM, ENOMEM, "out of memory");
}

/* The command, in a container that is made for it. */
static int run_command(struct prepared *prepared, const struct language *language,
                       struct container *container, struct exec_result *result,
                       struct cj_error *err)
{
    const struct judge_settings *settings = prepared->settings;
    struct exec_copy_out kept[LANGUAGE_PREPARED_KEEP_MAX] = {{0}};
    struct exec_file files[STANDARD_FILES];
    standard_files(files, settings->build_output_bytes, settings->build_output_bytes);
    struct exec_request request = {
        .files = files,
        .file_count = COUNT_OF(files),
        .copy_out = kept,
        .copy_out_max_bytes = settings->artefact_bytes,
        .limits = settings->build,
    };
    request.limits.cpu_ns = 120 * NS_PER_S;
    request.limits.wall_ns = 600 * NS_PER_S;
    request.limits.cpu_rate = CPU_RATE;
    for (size_t i = 0; i < language->prepared.keep.count; i++)
        if (!is_folder(language->prepared.keep.items[i]))
            kept[request.copy_out_count++].name = language->prepared.keep.items[i];
    struct making making = {0};
    int done =
        fill_in(prepared, language, container_facts(container)->work_dir, &making, &request, err);
    if (done == 0)
        exec_run(container, settings->exec, &request, prepared->stop_fd, result);
    making_free(&making);
    return done;
}

static int make(struct prepared *prepared, const struct language *language,
                struct prepared_use *use, struct cj_error *err)
{
    struct exec_result result = {0};
    struct container *container;
    if (identity_get(prepared->settings->identities, prepared->settings, language, &use->identity) <
        0)
        return error_set(err, ERROR_SYSTEM, ENOMEM, "its toolchain cannot be told");
    if (container_new(prepared->sandbox, prepared->index, -1, &container, err) < 0)
        return -1;
    int done = run_command(prepared, language, container, &result, err);
    if (done == 0)
        done = result.status == EXEC_ACCEPTED
                   ? write_kept(prepared, language, container, &result, use, err)
                   : fail(err, &result);
    exec_result_free(&result);
    container_free(container);
    return done;
}

/* ---- the thread; with the lock held where it says so ---- */

static struct item *next_wanted(struct prepared *prepared)
{
    for (size_t i = 0; i < prepared->count; i++)
        if (prepared->items[i].wanted)
            return &prepared->items[i];
    return NULL;
}

static void take_over(struct prepared *prepared, struct item *item, struct prepared_use *use,
                      int made, const struct cj_error *err)
{
    item->wanted = false;
    item->identity = use->identity;
    item->failed = made < 0;
    if (prepared->stop) {
        release(prepared, use);
    } else if (made < 0 && err->code == ENODATA) {
        log_info("this compiler needs nothing prepared", log_text("language", item->language->id));
        release(prepared, use);
    } else if (made < 0) {
        prepared->stats.failed++;
        log_warn("builds of a language stay slow", log_text("language", item->language->id),
                 log_failure(err));
        release(prepared, use);
    } else {
        prepared->stats.made++;
        log_info("builds of a language are quick now", log_text("language", item->language->id));
        release(prepared, item->made);
        item->made = use;
    }
}

static void *thread_main(void *arg)
{
    struct prepared *prepared = arg;
    pthread_setname_np(pthread_self(), "cj-prepare");
    pthread_mutex_lock(&prepared->lock);
    while (!prepared->stop) {
        struct item *item = next_wanted(prepared);
        struct prepared_use *use = item != NULL ? calloc(1, sizeof(*use)) : NULL;
        if (use == NULL) {
            pthread_cond_wait(&prepared->wake, &prepared->lock);
            continue;
        }
        struct cj_error err = {0};
        use->owners = 1;
        snprintf(use->name, sizeof(use->name), "%u", ++prepared->serial);
        pthread_mutex_unlock(&prepared->lock);
        int made = make(prepared, item->language, use, &err);
        pthread_mutex_lock(&prepared->lock);
        take_over(prepared, item, use, made, &err);
    }
    pthread_mutex_unlock(&prepared->lock);
    return NULL;
}

/* ---- builds ---- */

static struct item *item_of(struct prepared *prepared, const struct language *language)
{
    for (size_t i = 0; i < prepared->count; i++)
        if (prepared->items[i].language == language)
            return &prepared->items[i];
    return NULL;
}

static bool has_text(const struct judge_program *program, const char *text)
{
    for (size_t i = 0; i < program->file_count; i++) {
        const struct judge_file *file = &program->files[i];
        if (file->size > 0 && memmem(file->data, file->size, text, strlen(text)) != NULL)
            return true;
    }
    return false;
}

static bool concerns(const struct judge_program *program)
{
    const struct language_prepared *prepared = &program->language->prepared;
    if (prepared->when != NULL && !has_text(program, prepared->when))
        return false;
    for (size_t i = 0; i < prepared->unless.count; i++)
        if (has_text(program, prepared->unless.items[i]))
            return false;
    return true;
}

static void want(struct prepared *prepared, struct item *item)
{
    if (item->wanted)
        return;
    item->wanted = true;
    pthread_cond_signal(&prepared->wake);
}

static struct prepared_use *take(struct prepared *prepared, struct item *item,
                                 const struct digest *identity)
{
    bool is_known = memcmp(&item->identity, identity, sizeof(*identity)) == 0;
    if (item->made != NULL && is_known && !item->wanted) {
        if (is_untouched(prepared, item->made)) {
            item->made->owners++;
            return item->made;
        }
        log_error("prepared files were changed, and are made anew",
                  log_text("language", item->language->id));
        is_known = false;
    }
    if (!item->failed || !is_known)
        want(prepared, item);
    return NULL;
}

bool prepared_begin(struct prepared *prepared, const struct judge_program *program,
                    char path[static PREPARED_PATH_SIZE], struct prepared_use **use)
{
    const struct language *language = program->language;
    struct digest identity;
    if (language->prepared.command == NULL || !concerns(program) ||
        identity_get(prepared->settings->identities, prepared->settings, language, &identity) < 0)
        return false;
    pthread_mutex_lock(&prepared->lock);
    struct item *item = item_of(prepared, language);
    *use = item != NULL ? take(prepared, item, &identity) : NULL;
    pthread_mutex_unlock(&prepared->lock);
    if (*use == NULL)
        return false;
    snprintf(path, PREPARED_PATH_SIZE, PREPARED_TARGET "/%s", (*use)->name);
    return true;
}

void prepared_end(struct prepared *prepared, struct prepared_use *use, bool counts)
{
    pthread_mutex_lock(&prepared->lock);
    if (counts)
        prepared->stats.quick++;
    else
        prepared->stats.plain++;
    release(prepared, use);
    pthread_mutex_unlock(&prepared->lock);
}

void prepared_stats(struct prepared *prepared, struct prepared_stats *out)
{
    pthread_mutex_lock(&prepared->lock);
    *out = prepared->stats;
    pthread_mutex_unlock(&prepared->lock);
}

/* ---- life ---- */

int prepared_new(const struct languages *languages, const char *parent, struct prepared **out,
                 struct cj_error *err)
{
    static const char prefix[] = "cjudge-prepared-";
    size_t count = languages_count(languages);
    struct prepared *prepared = calloc(1, sizeof(*prepared) + count * sizeof(prepared->items[0]));
    if (prepared == NULL)
        return error_set(err, ERROR_SYSTEM, ENOMEM, "prepare builds: out of memory");
    prepared->languages = languages;
    prepared->stop_fd = -1;
    folder_remove_left(parent, prefix);
    if (folder_make(parent, prefix, 0755, &prepared->folder, err) < 0) {
        free(prepared);
        return error_wrap(err, "prepare builds");
    }
    pthread_mutex_init(&prepared->lock, NULL);
    pthread_cond_init(&prepared->wake, NULL);
    *out = prepared;
    return 0;
}

const char *prepared_folder(const struct prepared *prepared)
{
    return prepared->folder.path;
}

/* Of those that are installed; the commands are as they will be from here on. */
static void add_items(struct prepared *prepared, bool wanted)
{
    const struct judge_settings *settings = prepared->settings;
    for (size_t i = 0; i < languages_count(prepared->languages); i++) {
        const struct language *language = languages_at(prepared->languages, i);
        char missing[TOOLCHAIN_NAME_SIZE];
        if (language->prepared.command != NULL &&
            toolchain_is_installed(language, settings->mounts, settings->env, settings->env_count,
                                   missing))
            prepared->items[prepared->count++] =
                (struct item){.language = language, .wanted = wanted};
    }
}

int prepared_start(struct prepared *prepared, const struct judge_settings *settings,
                   struct sandbox *sandbox, unsigned index, bool all_at_once, struct cj_error *err)
{
    prepared->settings = settings;
    prepared->sandbox = sandbox;
    prepared->index = index;
    add_items(prepared, all_at_once);
    prepared->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (prepared->stop_fd < 0)
        return error_errno(err, "eventfd");
    int code = pthread_create(&prepared->thread, NULL, thread_main, prepared);
    if (code != 0)
        return error_set(err, ERROR_SYSTEM, code, "prepare builds: no thread");
    prepared->has_thread = true;
    return 0;
}

void prepared_free(struct prepared *prepared)
{
    if (prepared == NULL)
        return;
    if (prepared->has_thread) {
        pthread_mutex_lock(&prepared->lock);
        prepared->stop = true;
        pthread_cond_signal(&prepared->wake);
        pthread_mutex_unlock(&prepared->lock);
        (void)!write(prepared->stop_fd, &(uint64_t){1}, sizeof(uint64_t));
        pthread_join(prepared->thread, NULL);
    }
    for (size_t i = 0; i < prepared->count; i++)
        release(prepared, prepared->items[i].made);
    fd_close(&prepared->stop_fd);
    folder_remove(&prepared->folder);
    pthread_cond_destroy(&prepared->wake);
    pthread_mutex_destroy(&prepared->lock);
    free(prepared);
}
