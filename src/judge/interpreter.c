#include "judge/interpreter.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fd.h"

/* What the interpreter itself and its packages lie in, one path a line. -I: neither the environment nor
 * the current directory have a say. */
static const char question[] =
    "import sys, os\n"
    "paths = [sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix] + sys.path\n"
    "paths += [os.path.dirname(os.path.realpath(sys.executable))]\n"
    "print('\\n'.join(os.path.abspath(p) for p in paths if p))\n";

enum { ANSWER_MAX = 256 * 1024 };

static bool is_below(const char *path, const char *prefix)
{
    size_t length = strlen(prefix);
    while (length > 1 && prefix[length - 1] == '/')
        length--;
    return strncmp(path, prefix, length) == 0 && (path[length] == '\0' || path[length] == '/');
}

/* The first executable of that name in PATH. */
static bool look_up(const char *command, char path[static PATH_MAX])
{
    const char *at = getenv("PATH");
    if (strchr(command, '/') != NULL)
        return realpath(command, path) != NULL; /* only for the check that it is there */
    for (at = at != NULL ? at : "/usr/local/bin:/usr/bin:/bin"; *at != '\0';) {
        size_t length = strcspn(at, ":");
        snprintf(path, PATH_MAX, "%.*s/%s", (int)length, at, command);
        if (access(path, X_OK) == 0)
            return true;
        at += length + (at[length] == ':');
    }
    return false;
}

static int ask(const char *path, struct buf *answer, struct cj_error *err)
{
    int ends[2];
    pid_t child;
    if (pipe2(ends, O_CLOEXEC) < 0)
        return error_errno(err, "ask %s for its folders: pipe", path);
    auto_fd int reader = ends[0];
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    const char *const args[] = {path, "-I", "-c", question, NULL};
    int failure = posix_spawn(&child, path, &actions, NULL, (char *const *)args, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    if (failure != 0) {
        errno = failure;
        return error_errno(err, "start %s", path);
    }
    answer->limit = ANSWER_MAX;
    char chunk[4096];
    ssize_t got;
    while ((got = read(reader, chunk, sizeof(chunk))) > 0 || (got < 0 && errno == EINTR))
        if (got > 0)
            buf_append(answer, chunk, (size_t)got);
    int status;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        continue;
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        return error_set(err, ERROR_CONFIG, 0,
                         "%s does not say where its packages are: is it a Python 3 interpreter?",
                         path);
    return buf_check(answer, err);
}

/* Adds path to the list, which holds none below another. */
static void add(char **list, size_t *count, char *path)
{
    for (size_t i = 0; i < *count; i++)
        if (is_below(path, list[i]))
            return;
    size_t kept = 0;
    for (size_t i = 0; i < *count; i++)
        if (!is_below(list[i], path))
            list[kept++] = list[i];
    list[kept++] = path;
    *count = kept;
}

static bool is_shown(const char *path, const char *const *shown, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (is_below(path, shown[i]))
            return true;
    return false;
}

/* The lines of text (changed) that exist and are not shown; the list is in front of a copy of text. */
static int choose(struct buf *answer, const char *command, const char *const *shown,
                  size_t shown_count, char ***paths, size_t *count, struct cj_error *err)
{
    size_t lines = 2;
    for (size_t i = 0; i < answer->size; i++)
        lines += answer->data[i] == '\n';
    size_t folder_size = strlen(command) + 1;
    char **list = calloc(1, lines * sizeof(char *) + folder_size + answer->size + 1);
    if (list == NULL)
        return error_set(err, ERROR_SYSTEM, ENOMEM, "list an interpreter's folders: out of memory");
    char *folder = (char *)(list + lines), *text = folder + folder_size;
    if (answer->size > 0)
        memcpy(text, answer->data, answer->size);
    memcpy(folder, command, folder_size); /* where the name itself lies: a venv's bin */
    *strrchr(folder, '/') = '\0';
    *count = 0;
    if (folder[0] != '\0' && !is_shown(folder, shown, shown_count))
        add(list, count, folder);
    for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        struct stat info;
        /* never the whole host: an interpreter whose prefix is "/" lies in the usual folders */
        if (line[0] == '/' && line[1] != '\0' && !is_shown(line, shown, shown_count) &&
            stat(line, &info) == 0)
            add(list, count, line);
    }
    *paths = list;
    return 0;
}

int interpreter_paths(const char *command, const char *const *shown, size_t shown_count,
                      char ***paths, size_t *count, struct cj_error *err)
{
    char found[PATH_MAX], real[PATH_MAX];
    auto_buf struct buf answer = {0};
    *paths = NULL;
    *count = 0;
    if (!look_up(command, found))
        return error_set(err, ERROR_CONFIG, ENOENT, "there is no interpreter '%s'", command);
    const char *path = strchr(command, '/') != NULL ? command : found;
    if (is_shown(path, shown, shown_count) && realpath(path, real) != NULL &&
        is_shown(real, shown, shown_count))
        return 0;
    if (ask(path, &answer, err) < 0)
        return -1;
    return choose(&answer, path, shown, shown_count, paths, count, err);
}
