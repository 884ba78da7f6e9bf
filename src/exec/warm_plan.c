#include "warm_plan.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/path.h"

/* ---- the environment ---- */

/* Variables that neither the loader, the C library nor an interpreter obeys in a way that could load something: they
 * are the same in all runs of one interpreter (container_warm.c). Ending with '*': all that begin so. */
static const char *const harmless[] = {
    "PATH",
    "HOME",
    "LANG",
    "LANGUAGE",
    "LC_*",
    "TZ",
    "TERM",
    "USER",
    "LOGNAME",
    "SHELL",
    "PWD",
    "HOSTNAME",
    "ONLINE_JUDGE",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "PYTHONHASHSEED",
    "PYTHONIOENCODING",
    "PYTHONUNBUFFERED",
    "PYTHONDONTWRITEBYTECODE",
    "PYTHONUTF8",
};

static bool is_harmless(const char *entry)
{
    size_t length = strcspn(entry, "=");
    for (size_t i = 0; i < sizeof(harmless) / sizeof(harmless[0]); i++) {
        size_t known = strlen(harmless[i]);
        bool prefix = harmless[i][known - 1] == '*';
        known -= prefix;
        if (strncmp(entry, harmless[i], known) == 0 && (prefix ? length >= known : length == known))
            return true;
    }
    return false;
}

/* A time zone or locale by its name; a path would be a file of the run's. */
static bool names_file(const char *entry)
{
    bool zone = strncmp(entry, "TZ=", 3) == 0;
    bool locale = strncmp(entry, "LC_", 3) == 0 || strncmp(entry, "LANG", 4) == 0;
    return (zone && (entry[3] == '/' || entry[3] == ':' || strstr(entry, "..") != NULL)) ||
           (locale && strchr(entry, '/') != NULL);
}

/* A seed that is a number is the run's; "random", or nothing, would be the interpreter's. */
static bool seeds_at_random(const char *entry)
{
    static const char name[] = "PYTHONHASHSEED=";
    const char *value = entry + sizeof(name) - 1;
    return strncmp(entry, name, sizeof(name) - 1) == 0 &&
           (value[0] == '\0' || value[strspn(value, "0123456789")] != '\0');
}

static bool environment_fits(const char *const *env, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!is_harmless(env[i]) || names_file(env[i]) || seeds_at_random(env[i]))
            return false;
    return true;
}

/* The last one counts, as in init's look-up. */
static const char *search_path(const char *const *first, size_t first_count,
                               const char *const *second, size_t second_count)
{
    for (size_t i = second_count; i > 0; i--)
        if (strncmp(second[i - 1], "PATH=", 5) == 0)
            return second[i - 1] + 5;
    for (size_t i = first_count; i > 0; i--)
        if (strncmp(first[i - 1], "PATH=", 5) == 0)
            return first[i - 1] + 5;
    return NULL;
}

/* ---- the interpreter ---- */

static bool by_path(const struct exec_warm *warm, const char *command, char *program)
{
    const char *slash = strrchr(command, '/');
    size_t length = (size_t)(slash - command);
    for (size_t i = 0; i < warm->count; i++) {
        const struct exec_warm_place *place = &warm->places[i];
        if (place->present && strcmp(place->name, slash + 1) == 0 &&
            strlen(place->directory) == length && strncmp(place->directory, command, length) == 0)
            return snprintf(program, WARM_PATH_SIZE, "%s", command) < WARM_PATH_SIZE;
    }
    return false;
}

static const struct exec_warm_place *find_place(const struct exec_warm *warm, const char *name,
                                                const char *directory, size_t length)
{
    for (size_t i = 0; i < warm->count; i++) {
        const struct exec_warm_place *place = &warm->places[i];
        if (strcmp(place->name, name) == 0 && strlen(place->directory) == length &&
            strncmp(place->directory, directory, length) == 0)
            return place;
    }
    return NULL;
}

/* As init looks it up (child.c, child_exec()), but for the work directory. */
static bool by_name(const struct exec_warm *warm, const char *name, const char *path, char *program)
{
    while (path != NULL && *path != '\0') {
        size_t length = strcspn(path, ":");
        const struct exec_warm_place *place = find_place(warm, name, path, length);
        if (place == NULL)
            return false;
        if (place->present)
            return snprintf(program, WARM_PATH_SIZE, "%s/%s", place->directory, name) <
                   WARM_PATH_SIZE;
        path += length + (path[length] == ':');
    }
    return false;
}

/* ---- its files ---- */

/* By a collector. */
static bool has_file_made(const struct exec_request *request, const char *name)
{
    for (size_t i = 0; i < request->file_count; i++)
        if (request->files[i].name != NULL && strcmp(request->files[i].name, name) == 0)
            return true;
    return false;
}

/* The work directory is searched first. Whatever is called so, somewhere, will do for a no. */
static bool has_file_named(const struct exec_request *request, const char *name)
{
    for (size_t i = 0; i < request->copy_in_count; i++) {
        const char *slash = strrchr(request->copy_in[i].name, '/');
        if (strcmp(slash != NULL ? slash + 1 : request->copy_in[i].name, name) == 0)
            return true;
    }
    return has_file_made(request, name);
}

/* Packages of a user's own are below ~/.local; no interpreter looks for anything in a home directory that is not
 * hidden. */
static bool has_hidden_files(const struct exec_request *request)
{
    for (size_t i = 0; i < request->copy_in_count; i++) {
        const char *name = request->copy_in[i].name;
        for (const char *part = name; part != NULL; part = strchr(part, '/')) {
            part += *part == '/';
            if (part[0] == '.' && part[1] != '/' && part[1] != '\0')
                return true;
        }
    }
    return false;
}

/* ---- its script ---- */

/* Init looks for the name in what the interpreter says to the kernel, as it stands or behind the work directory:
 * outside of that it could be a file that the interpreter itself, or what loads it, opens before. */
static bool is_script(const struct exec_warm *warm, const struct exec_request *request)
{
    if (request->arg_count !=
        2) /* more of them, every run of the container could read: proc_pid_cmdline(5) */
        return false;
    const char *script = request->args[1];
    size_t length = strlen(warm->work_dir);
    bool inside =
        script[0] != '/' || (strncmp(script, warm->work_dir, length) == 0 && script[length] == '/');
    return script[0] != '\0' && script[0] != '-' && inside && !path_leads_up(script) &&
           length + 1 + strlen(script) < PATH_MAX;
}

/* ---- its text ---- */

const char *warm_script(const struct exec_warm *warm, const struct exec_request *request)
{
    const char *script = request->args[1];
    size_t length = strlen(warm->work_dir);
    return strncmp(script, warm->work_dir, length) == 0 && script[length] == '/'
               ? script + length + 1
               : script;
}

/* Where Python looks whether a file is a zip archive: at the end, with a comment of at most 64 KiB behind
 * (Lib/zipimport.py, _read_directory()). */
static bool may_be_archive(const char *data, size_t size)
{
    static const char mark[] = {'P', 'K', 5, 6};
    size_t looked_at = 65536 + 22;
    size_t from = size > looked_at ? size - looked_at : 0;
    return size > 0 && memmem(data + from, size - from, mark, sizeof(mark)) != NULL;
}

static bool fd_may_be_archive(int fd)
{
    enum { MOST = 64 * 1024 };
    struct stat info;
    if (fstat(fd, &info) < 0 || !S_ISREG(info.st_mode) || info.st_size > MOST)
        return true;
    auto_free char *text = malloc((size_t)info.st_size + 1);
    ssize_t got = text != NULL ? pread(fd, text, (size_t)info.st_size + 1, 0) : -1;
    return got != info.st_size || may_be_archive(text, (size_t)got);
}

bool warm_text(const struct exec_warm *warm, const struct exec_request *request)
{
    const char *script = warm_script(warm, request);
    const struct exec_copy_in *found = NULL;
    if (strchr(script, '/') != NULL || has_file_made(request, script))
        return false;
    for (size_t i = 0; i < request->copy_in_count; i++) {
        if (strcmp(request->copy_in[i].name, script) != 0)
            continue;
        if (found != NULL)
            return false;
        found = &request->copy_in[i];
    }
    if (found != NULL && found->kind == EXEC_COPY_CONTENT)
        return !may_be_archive(found->data, found->size);
    return found != NULL && found->kind == EXEC_COPY_FD && !fd_may_be_archive(found->fd);
}

/* ---- public ---- */

enum warm_answer warm_plan(const struct exec_warm *warm, const struct exec_request *request,
                           const char *const *env, size_t env_count,
                           char program[static WARM_PATH_SIZE])
{
    program[0] = '\0';
    if (warm == NULL || warm->count == 0 || request->cold)
        return WARM_PLAN_OFF;
    if (!is_script(warm, request))
        return WARM_PLAN_NOT_A_SCRIPT;
    if (request->tty)
        return WARM_PLAN_TERMINAL;
    const char *command = request->args[0];
    bool is_path = strchr(command, '/') != NULL;
    bool found =
        is_path ? by_path(warm, command, program)
                : by_name(warm, command,
                          search_path(env, env_count, request->env, request->env_count), program);
    enum warm_answer answer = WARM_PLAN_YES;
    if (!found)
        answer = WARM_PLAN_NOT_KNOWN;
    else if (!is_path && has_file_named(request, command))
        answer = WARM_PLAN_SHADOWED;
    else if (!environment_fits(env, env_count) ||
             !environment_fits(request->env, request->env_count))
        answer = WARM_PLAN_ENVIRONMENT;
    else if (has_hidden_files(request))
        answer = WARM_PLAN_FILES;
    if (answer != WARM_PLAN_YES)
        program[0] = '\0';
    return answer;
}
