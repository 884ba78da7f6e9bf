/* Whether a language is installed: a walk through a container's view of the host. */
#include "judge/toolchain.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"

enum { LINKS_MAX = 40 }; /* as the kernel, path_resolution(7) */

/* ---- the view ---- */

/* What a path of the container is, before its last part is looked at. */
struct place {
    enum {
        PLACE_NOWHERE,
        PLACE_HOST,      /* `path` on the host */
        PLACE_MOUNT,     /* the same, and it is the source of a mount: a link there was followed */
        PLACE_DIRECTORY, /* made for the mounts and links below it */
    } kind;
    char path[PATH_MAX];
};

/* The bytes of path behind the target of a mount; NULL when it does not lie there. */
static const char *behind(const char *path, const char *target)
{
    size_t length = strlen(target);
    if (strncmp(path + 1, target, length) != 0)
        return NULL;
    const char *rest = path + 1 + length;
    return *rest == '\0' || *rest == '/' ? rest : NULL;
}

static bool is_above(const char *path, const char *target)
{
    const char *name = path + 1;
    size_t length = strlen(name);
    return strncmp(name, target, length) == 0 && target[length] == '/';
}

/* path: absolute, without links in front of its last part. Of several mounts the last one counts. */
static void find_place(const struct mount_config *mounts, const char *path, struct place *out)
{
    out->kind = PLACE_NOWHERE;
    for (size_t i = 0; i < mounts->link_count; i++)
        if (is_above(path, mounts->links[i].path + 1))
            out->kind = PLACE_DIRECTORY;
    for (size_t i = 0; i < mounts->mount_count; i++) {
        const struct mount_item *mount = &mounts->mounts[i];
        const char *rest = behind(path, mount->target);
        if (rest == NULL) {
            if (is_above(path, mount->target) && out->kind == PLACE_NOWHERE)
                out->kind = PLACE_DIRECTORY;
            continue;
        }
        out->kind = PLACE_NOWHERE; /* a tmpfs begins empty */
        if (mount->kind == MOUNT_BIND && snprintf(out->path, sizeof(out->path), "%s%s",
                                                  mount->source, rest) < (int)sizeof(out->path))
            out->kind = *rest == '\0' ? PLACE_MOUNT : PLACE_HOST;
    }
}

static const char *configured_link(const struct mount_config *mounts, const char *path)
{
    for (size_t i = 0; i < mounts->link_count; i++)
        if (strcmp(mounts->links[i].path, path) == 0)
            return mounts->links[i].target;
    return NULL;
}

/* Whether something is there; link gets what a link says, or "". */
static bool look_at(const struct mount_config *mounts, const char *path, struct place *place,
                    char link[static PATH_MAX])
{
    struct stat info;
    link[0] = '\0';
    const char *configured = configured_link(mounts, path);
    if (configured != NULL) {
        snprintf(link, PATH_MAX, "%s", configured);
        return true;
    }
    find_place(mounts, path, place);
    if (place->kind == PLACE_NOWHERE)
        return false;
    if (place->kind == PLACE_DIRECTORY)
        return true;
    if (place->kind == PLACE_MOUNT)
        return stat(place->path, &info) == 0;
    if (lstat(place->path, &info) < 0)
        return false;
    if (S_ISLNK(info.st_mode)) {
        ssize_t size = readlink(place->path, link, PATH_MAX - 1);
        if (size <= 0)
            return false;
        link[size] = '\0';
    }
    return true;
}

static void cut_last(char *path)
{
    char *slash = strrchr(path, '/');
    if (slash != NULL)
        *slash = '\0';
}

bool toolchain_path(const struct mount_config *mounts, const char *path, char *out, size_t size)
{
    char done[PATH_MAX] = "", left[PATH_MAX], link[PATH_MAX], part[NAME_MAX + 2];
    struct place place = {.kind = PLACE_NOWHERE};
    unsigned links = 0;
    if (snprintf(left, sizeof(left), "%s", path) >= (int)sizeof(left))
        return false;
    for (;;) {
        size_t skip = strspn(left, "/");
        size_t length = strcspn(left + skip, "/");
        if (length == 0)
            break;
        if (length > NAME_MAX)
            return false;
        snprintf(part, sizeof(part), "%.*s", (int)length, left + skip);
        memmove(left, left + skip + length, strlen(left + skip + length) + 1);
        if (strcmp(part, ".") == 0)
            continue;
        if (strcmp(part, "..") == 0) {
            cut_last(done);
            continue;
        }
        size_t before = strlen(done);
        if (snprintf(done + before, sizeof(done) - before, "/%s", part) >=
            (int)(sizeof(done) - before))
            return false;
        if (!look_at(mounts, done, &place, link))
            return false;
        if (link[0] == '\0')
            continue;
        /* What the link says goes in front of what is left. */
        char joined[PATH_MAX];
        if (++links > LINKS_MAX ||
            snprintf(joined, sizeof(joined), "%s/%s", link, left) >= (int)sizeof(joined))
            return false;
        memcpy(left, joined, strlen(joined) + 1);
        if (link[0] == '/')
            done[0] = '\0';
        else
            done[before] = '\0';
    }
    find_place(mounts, done, &place); /* the last look may have been at what ".." left again */
    if (out != NULL)
        snprintf(out, size, "%s",
                 place.kind == PLACE_HOST || place.kind == PLACE_MOUNT ? place.path : "");
    return place.kind != PLACE_NOWHERE;
}

/* ---- what is needed ---- */

/* The first word of a command, into the room. "./main" is the program itself. */
static const char *first_word(const struct language *language, const char *command, char **at,
                              const char *end)
{
    const struct command_value values[] = {
        {"source", language->source},
        {"workdir", "/w"},
        {"memory_mib", "256"},
        {"stack_mib", "64"},
        {"exe", language->exe != NULL ? language->exe : ""},
    };
    char **words;
    size_t count;
    struct cj_error err;
    const char *word = NULL;
    if (command == NULL ||
        command_words(command, values, COUNT_OF(values), &words, &count, &err) < 0)
        return NULL;
    size_t size = strlen(words[0]) + 1;
    bool is_own = words[0][0] == '.' || strncmp(words[0], "/w/", 3) == 0 ||
                  (language->exe != NULL && strcmp(words[0], language->exe) == 0);
    if (!is_own && size > 1 && size <= (size_t)(end - *at)) {
        memcpy(*at, words[0], size);
        word = *at;
        *at += size;
    }
    free(words);
    return word;
}

static void add_program(const char *program, const char *programs[static TOOLCHAIN_PROGRAMS_MAX],
                        size_t *count)
{
    if (program == NULL || *count == TOOLCHAIN_PROGRAMS_MAX)
        return;
    for (size_t i = 0; i < *count; i++)
        if (strcmp(programs[i], program) == 0)
            return;
    programs[(*count)++] = program;
}

size_t toolchain_programs(const struct language *language,
                          const char *programs[static TOOLCHAIN_PROGRAMS_MAX], char **room)
{
    /* what runs on the host's side is not looked for in a container */
    const char *const commands[] = {
        language->build_place != COMMAND_OUTSIDE ? language->build : NULL, language->check,
        language->run_place != COMMAND_OUTSIDE ? language->run : NULL};
    size_t count = 0, size = 0;
    for (size_t i = 0; i < COUNT_OF(commands); i++)
        size += commands[i] != NULL ? strlen(commands[i]) + strlen(language->source) + 64 : 0;
    *room = malloc(size + 1);
    if (*room == NULL)
        return 0;
    char *at = *room;
    for (size_t i = 0; i < COUNT_OF(commands); i++)
        add_program(first_word(language, commands[i], &at, *room + size), programs, &count);
    for (size_t i = 0; i < language->needs.count; i++)
        add_program(language->needs.items[i], programs, &count);
    return count;
}

/* ---- PATH ---- */

static const char *path_of(const char *const *env, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strncmp(env[i], "PATH=", 5) == 0)
            return env[i] + 5;
    return NULL;
}

static bool is_program(const struct mount_config *mounts, const char *path, char *host, size_t size)
{
    struct stat info;
    return toolchain_path(mounts, path, host, size) && host[0] != '\0' && stat(host, &info) == 0 &&
           S_ISREG(info.st_mode) && (info.st_mode & 0111) != 0;
}

static bool is_in_path(const struct mount_config *mounts, const char *name, const char *search,
                       char *host, size_t size)
{
    char path[PATH_MAX];
    while (*search != '\0') {
        size_t length = strcspn(search, ":");
        if (*search == '/' &&
            snprintf(path, sizeof(path), "%.*s/%s", (int)length, search, name) <
                (int)sizeof(path) &&
            is_program(mounts, path, host, size))
            return true;
        search += length + (search[length] == ':');
    }
    return false;
}

/* ---- the environment ---- */

static bool has_variable(const char *const *env, size_t count, const char *entry)
{
    size_t length = strcspn(entry, "=");
    for (size_t i = 0; i < count; i++)
        if (strncmp(env[i], entry, length) == 0 && env[i][length] == '=')
            return true;
    return false;
}

const char **language_environment_after(const char *const *first, size_t first_count,
                                        const struct language *language, const char *const *env,
                                        size_t env_count, size_t *count)
{
    const struct language_texts lists[] = {
        {(const char **)first, first_count}, language->env, {(const char **)env, env_count}};
    const char **joined =
        calloc(first_count + language->env.count + env_count + 1, sizeof(*joined));
    *count = 0;
    for (size_t i = 0; joined != NULL && i < COUNT_OF(lists); i++)
        for (size_t k = 0; k < lists[i].count; k++)
            if (!has_variable(joined, *count, lists[i].items[k]))
                joined[(*count)++] = lists[i].items[k];
    return joined;
}

const char **language_environment(const struct language *language, const char *const *env,
                                  size_t env_count, size_t *count)
{
    return language_environment_after(NULL, 0, language, env, env_count, count);
}

/* ---- public ---- */

const char *const *language_plain_env(size_t *count)
{
    static const char *const env[] = {
        "PATH=/usr/local/bin:/usr/bin:/bin",
        "HOME=/w",
        "LANG=C.UTF-8",
        "OMP_NUM_THREADS=1",
        "OPENBLAS_NUM_THREADS=1",
        "MKL_NUM_THREADS=1",
        "NUMEXPR_NUM_THREADS=1",
    };
    *count = COUNT_OF(env);
    return env;
}

bool toolchain_find(const struct language *language, const struct mount_config *mounts,
                    const char *const *env, size_t env_count, const char *name, char *host,
                    size_t size)
{
    if (name[0] == '/')
        return toolchain_path(mounts, name, host, size);
    const char *search = path_of(language->env.items, language->env.count);
    if (search == NULL)
        search = path_of(env, env_count);
    return is_in_path(mounts, name, search != NULL ? search : "", host, size);
}

bool toolchain_is_installed(const struct language *language, const struct mount_config *mounts,
                            const char *const *env, size_t env_count,
                            char missing[static TOOLCHAIN_NAME_SIZE])
{
    const char *programs[TOOLCHAIN_PROGRAMS_MAX];
    auto_free char *room = NULL;
    missing[0] = '\0';
    if (mounts == NULL)
        return true;
    size_t count = toolchain_programs(language, programs, &room);
    for (size_t i = 0; i < count; i++) {
        char host[PATH_MAX];
        if (!toolchain_find(language, mounts, env, env_count, programs[i], host, sizeof(host))) {
            snprintf(missing, TOOLCHAIN_NAME_SIZE, "%s", programs[i]);
            return false;
        }
    }
    return true;
}

void toolchain_lack(const struct language *language, const char *missing,
                    char text[static TOOLCHAIN_LACK_SIZE])
{
    int used = snprintf(text, TOOLCHAIN_LACK_SIZE, "%s is not installed: ", language->name);
    if (used < 0 || used >= TOOLCHAIN_LACK_SIZE)
        return;
    if (language->packages.count == 0) {
        snprintf(text + used, (size_t)(TOOLCHAIN_LACK_SIZE - used),
                 "there is no %s where programs look for it", missing);
        return;
    }
    used += snprintf(text + used, (size_t)(TOOLCHAIN_LACK_SIZE - used), "apt-get install");
    for (size_t i = 0; i < language->packages.count && used < TOOLCHAIN_LACK_SIZE; i++)
        used += snprintf(text + used, (size_t)(TOOLCHAIN_LACK_SIZE - used), " %s",
                         language->packages.items[i]);
}

int toolchain_show_mounts(const struct languages *languages, struct mount_config *mounts,
                          struct cj_error *err)
{
    for (size_t i = 0; i < languages_count(languages); i++) {
        const struct language *language = languages_at(languages, i);
        for (size_t k = 0; k < language->mounts.count; k++)
            if (access(language->mounts.items[k], F_OK) == 0 &&
                mount_config_show(mounts, language->mounts.items[k], err) < 0)
                return error_wrap(err, "mounts of %s", language->id);
    }
    return 0;
}
