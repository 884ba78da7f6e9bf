#include "judge/identity.h"

#include <errno.h>
#include <fts.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "judge/toolchain.h"

enum { WALK_FILES_MAX = 200000 };

/* What was last seen below the folders of one language. */
struct walked {
    bool known;
    int64_t when_ns;
    struct digest digest;
};

struct identities {
    const struct languages *languages;
    pthread_mutex_t lock; /* of walked; held during a walk, so that one thread walks for all */
    struct walked walked[];
};

int identities_new(const struct languages *languages, struct identities **out, struct cj_error *err)
{
    size_t count = languages_count(languages);
    struct identities *identities =
        calloc(1, sizeof(*identities) + count * sizeof(identities->walked[0]));
    if (identities == NULL)
        return error_set(err, ERROR_SYSTEM, ENOMEM, "identities of compilers: out of memory");
    identities->languages = languages;
    pthread_mutex_init(&identities->lock, NULL);
    *out = identities;
    return 0;
}

void identities_free(struct identities *identities)
{
    if (identities == NULL)
        return;
    pthread_mutex_destroy(&identities->lock);
    free(identities);
}

/* ---- files ---- */

static void add_stat(struct digest_state *state, const struct stat *info)
{
    digest_add_number(state, info->st_dev);
    digest_add_number(state, info->st_ino);
    digest_add_number(state, (uint64_t)info->st_size);
    digest_add_number(state, (uint64_t)ns_from_timespec(info->st_mtim));
    digest_add_number(state, (uint64_t)ns_from_timespec(info->st_ctim));
}

static void add_path(struct digest_state *state, const char *path)
{
    struct stat info;
    digest_add_text(state, path);
    if (stat(path, &info) == 0)
        add_stat(state, &info);
}

/* Where Debian, Fedora, Alpine and Arch say what is installed: each installation writes there. */
static void add_package_lists(struct digest_state *state)
{
    static const char *const lists[] = {"/var/lib/dpkg/status", "/var/lib/rpm/rpmdb.sqlite",
                                        "/usr/lib/sysimage/rpm/rpmdb.sqlite",
                                        "/lib/apk/db/installed", "/var/lib/pacman/local"};
    for (size_t i = 0; i < COUNT_OF(lists); i++)
        add_path(state, lists[i]);
}

static void add_programs(struct digest_state *state, const struct judge_settings *settings,
                         const struct language *language)
{
    const char *programs[TOOLCHAIN_PROGRAMS_MAX];
    auto_free char *room = NULL;
    size_t count = toolchain_programs(language, programs, &room);
    for (size_t i = 0; i < count; i++) {
        char host[PATH_MAX];
        digest_add_text(state, programs[i]);
        if (settings->mounts != NULL &&
            toolchain_find(language, settings->mounts, settings->env, settings->env_count,
                           programs[i], host, sizeof(host)))
            add_path(state, host);
    }
}

/* ---- folders ---- */

static int by_name(const FTSENT **one, const FTSENT **other)
{
    return strcmp((*one)->fts_name, (*other)->fts_name);
}

/* Links are told by their own inode, and not followed: what they lead to lies mostly in the same folders. */
static int add_tree(struct digest_state *state, const char *folder, size_t *left)
{
    char *const roots[] = {(char *)folder, NULL};
    FTS *walk = fts_open(roots, FTS_PHYSICAL | FTS_COMFOLLOW | FTS_NOCHDIR, by_name);
    if (walk == NULL)
        return -1;
    for (FTSENT *entry; (entry = fts_read(walk)) != NULL;) {
        if (entry->fts_info == FTS_DP)
            continue;
        if ((*left)-- == 0) {
            fts_close(walk);
            return -1;
        }
        digest_add(state, entry->fts_path, entry->fts_pathlen);
        if (entry->fts_info != FTS_NS && entry->fts_info != FTS_ERR)
            add_stat(state, entry->fts_statp);
    }
    fts_close(walk);
    return 0;
}

static int walk_inputs(const struct judge_settings *settings, const struct language *language,
                       struct digest *out)
{
    struct digest_state *state = digest_begin();
    size_t left = WALK_FILES_MAX;
    int done = 0;
    for (size_t i = 0; i < language->inputs.count && done == 0; i++) {
        char host[PATH_MAX];
        digest_add_text(state, language->inputs.items[i]);
        if (toolchain_path(settings->mounts, language->inputs.items[i], host, sizeof(host)) &&
            host[0] != '\0')
            done = add_tree(state, host, &left);
    }
    return digest_end(state, out) < 0 ? -1 : done;
}

static int inputs_of(struct identities *identities, const struct judge_settings *settings,
                     const struct language *language, struct digest *out)
{
    size_t index = 0;
    while (languages_at(identities->languages, index) != language)
        index++;
    struct walked *walked = &identities->walked[index];
    int done = 0;
    pthread_mutex_lock(&identities->lock);
    int64_t now_ns = monotonic_ns();
    if (!walked->known || now_ns - walked->when_ns >= IDENTITY_WALK_NS) {
        done = walk_inputs(settings, language, &walked->digest);
        walked->known = done == 0;
        walked->when_ns = monotonic_ns();
    }
    *out = walked->digest;
    pthread_mutex_unlock(&identities->lock);
    return done;
}

/* ---- public ---- */

int identity_get(struct identities *identities, const struct judge_settings *settings,
                 const struct language *language, struct digest *out)
{
    struct digest inputs = {{0}};
    if (language->inputs.count > 0 && settings->mounts != NULL &&
        inputs_of(identities, settings, language, &inputs) < 0)
        return -1;
    struct digest_state *state = digest_begin();
    add_programs(state, settings, language);
    add_package_lists(state);
    digest_add(state, &inputs, sizeof(inputs));
    return digest_end(state, out);
}

/* What a compiler may put the time into. */
static bool names_the_time(const struct judge_file *file)
{
    static const char *const words[] = {"__TIME__", "__DATE__", "__TIMESTAMP__"};
    for (size_t i = 0; i < COUNT_OF(words); i++)
        if (file->size > 0 && memmem(file->data, file->size, words[i], strlen(words[i])) != NULL)
            return true;
    return false;
}

static void add_texts(struct digest_state *state, const char *const *texts, size_t count)
{
    digest_add_number(state, count);
    for (size_t i = 0; i < count; i++)
        digest_add_text(state, texts[i]);
}

int identity_build_key(struct identities *identities, const struct judge_settings *settings,
                       const struct judge_program *program, struct digest *out)
{
    const struct language *language = program->language;
    struct digest identity;
    for (size_t i = 0; i < program->file_count; i++)
        if (names_the_time(&program->files[i]))
            return -1;
    if (identity_get(identities, settings, language, &identity) < 0)
        return -1;
    struct digest_state *state = digest_begin();
    digest_add(state, &identity, sizeof(identity));
    digest_add_text(state, language->id); /* it also says how the program is run */
    digest_add_text(state, language->build != NULL ? language->build : language->check);
    digest_add_number(state, language->build_place);
    digest_add_text(state, language->source);
    digest_add_text(state, language->exe);
    digest_add_text(state, settings->mounts != NULL ? settings->mounts->work_dir : NULL);
    add_texts(state, language->keep.items, language->keep.count);
    add_texts(state, language->env.items, language->env.count);
    add_texts(state, settings->env, settings->env_count);
    digest_add_number(state, program->file_count);
    for (size_t i = 0; i < program->file_count; i++) {
        /* the main source is always called as the language wants it */
        digest_add_text(state, i == 0 ? "" : program->files[i].name);
        digest_add(state, program->files[i].data, program->files[i].size);
    }
    return digest_end(state, out);
}
