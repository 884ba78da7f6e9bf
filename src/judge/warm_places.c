#include "judge/warm_places.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/fd.h"
#include "judge/toolchain.h"

static const char usual_path[] =
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/games:/usr/games";

enum { PLACES_MAX = 64 };

struct places {
    bool present[PLACES_MAX];
    size_t names[PLACES_MAX], directories[PLACES_MAX], count;
    struct buf texts;
    struct buf preload; /* with commas */
    const struct mount_config *mounts;
};

static bool is_below(const char *path, const char *place)
{
    size_t length = strlen(place);
    while (length > 0 && place[length - 1] == '/')
        length--;
    return strncmp(path, place, length) == 0 && (path[length] == '/' || path[length] == '\0');
}

/* What could be changed from inside must not be started with rights that programs have not. */
static bool is_trusted(const struct mount_config *mounts, const char *host_path)
{
    bool trusted = false;
    for (size_t i = 0; i < mounts->mount_count; i++) {
        const struct mount_item *mount = &mounts->mounts[i];
        if (mount->kind != MOUNT_BIND || mount->source == NULL || mount->source[0] == '\0' ||
            !is_below(host_path, mount->source))
            continue;
        if (!mount->read_only)
            return false;
        trusted = true;
    }
    return trusted;
}

static bool is_there(const struct mount_config *mounts, const char *directory, const char *name)
{
    char path[PATH_MAX], host[PATH_MAX];
    struct stat info;
    return snprintf(path, sizeof(path), "%s/%s", directory, name) < (int)sizeof(path) &&
           toolchain_path(mounts, path, host, sizeof(host)) && host[0] != '\0' &&
           stat(host, &info) == 0 && S_ISREG(info.st_mode) && (info.st_mode & 0111) != 0 &&
           is_trusted(mounts, host);
}

static void add(struct places *places, const char *directory, size_t length, const char *name)
{
    char copy[PATH_MAX];
    if (places->count == PLACES_MAX || length == 0 || length >= sizeof(copy) || directory[0] != '/')
        return;
    memcpy(copy, directory, length);
    copy[length] = '\0';
    for (size_t i = 0; i < places->count; i++)
        if (strcmp(places->texts.data + places->directories[i], copy) == 0 &&
            strcmp(places->texts.data + places->names[i], name) == 0)
            return;
    places->directories[places->count] = places->texts.size;
    buf_append(&places->texts, copy, length + 1);
    places->names[places->count] = places->texts.size;
    buf_append(&places->texts, name, strlen(name) + 1);
    if (places->texts.failure != 0)
        return;
    places->present[places->count] = is_there(places->mounts, copy, name);
    places->count++;
}

static void add_path(struct places *places, const char *path, const char *name)
{
    while (path != NULL && *path != '\0') {
        size_t length = strcspn(path, ":");
        add(places, path, length, name);
        path += length + (path[length] == ':');
    }
}

static int add_language(struct places *places, const struct language *language, const char *path,
                        struct cj_error *err)
{
    const struct command_value values[] = {
        {"source", language->source}, {"workdir", "/w"}, {"memory_mib", "256"},
        {"stack_mib", "64"},          {"exe", ""},
    };
    char **words;
    size_t count;
    if (command_words(language->run, values, COUNT_OF(values), &words, &count, err) < 0)
        return -1;
    const char *slash = strrchr(words[0], '/');
    if (slash != NULL) {
        add(places, words[0], (size_t)(slash - words[0]), slash + 1);
    } else {
        add_path(places, usual_path, words[0]);
        add_path(places, path, words[0]);
    }
    free(words);
    return 0;
}

static void add_preload(struct places *places, const struct language_texts *modules)
{
    for (size_t i = 0; i < modules->count; i++)
        buf_printf(&places->preload, "%s%s", places->preload.size > 0 ? "," : "",
                   modules->items[i]);
}

/* The list and the texts it points to, in one allocation. */
static int give(const struct places *places, struct exec_warm *out, struct cj_error *err)
{
    size_t list_size = places->count * sizeof(struct exec_warm_place);
    size_t work_dir_size = strlen(places->mounts->work_dir) + 1;
    struct exec_warm_place *list =
        malloc(list_size + places->texts.size + work_dir_size + places->preload.size);
    if (list == NULL)
        return error_set(err, ERROR_SYSTEM, ENOMEM, "list the interpreters: out of memory");
    char *texts = (char *)list + list_size;
    if (places->texts.size > 0)
        memcpy(texts, places->texts.data, places->texts.size);
    for (size_t i = 0; i < places->count; i++)
        list[i] = (struct exec_warm_place){.name = texts + places->names[i],
                                           .directory = texts + places->directories[i],
                                           .present = places->present[i]};
    out->work_dir = memcpy(texts + places->texts.size, places->mounts->work_dir, work_dir_size);
    out->preload = memcpy(texts + places->texts.size + work_dir_size, places->preload.data,
                          places->preload.size);
    out->places = list;
    out->count = places->count;
    return 0;
}

int warm_places_find(const struct languages *languages, const struct mount_config *mounts,
                     const char *path, struct exec_warm *out, struct cj_error *err)
{
    auto_free struct places *places = calloc(1, sizeof(*places));
    *out = (struct exec_warm){0};
    if (places == NULL)
        return error_set(err, ERROR_SYSTEM, ENOMEM, "list the interpreters: out of memory");
    places->mounts = mounts;
    int done = 0;
    for (size_t i = 0; done == 0 && i < languages_count(languages); i++)
        if (languages_at(languages, i)->warm) {
            add_preload(places, &languages_at(languages, i)->preload);
            done = add_language(places, languages_at(languages, i), path, err);
        }
    if (done == 0)
        done = buf_check(&places->texts, err);
    buf_append_char(&places->preload, '\0');
    if (done == 0)
        done = buf_check(&places->preload, err);
    if (done == 0)
        done = give(places, out, err);
    buf_free(&places->texts);
    buf_free(&places->preload);
    return done;
}
