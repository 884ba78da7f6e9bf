/* Compilers and interpreters: the table, PATH, and their versions. Doctor looks where the user's PATH leads,
 * also outside of what programs see, and so asks on the host; `cjudge languages` asks in the sandbox. */
#include "tools.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/fd.h"
#include "judge/toolchain.h"

enum { VERSION_DEADLINE_S = 5, AT_ONCE = 4 };

/* ---- the table ---- */

/* Made once, out of the built-in languages, and kept. */
static struct {
    struct languages *languages;
    struct tool *tools;
    size_t count;
    char **rooms; /* of each language, where its commands' names lie */
} table;

/* What every system has, and what commands only begin with. */
static bool is_plain(const char *program)
{
    return program[0] == '/' || strcmp(program, "sh") == 0 || strcmp(program, "env") == 0;
}

static bool is_known(const char *command)
{
    for (size_t i = 0; i < table.count; i++)
        if (strcmp(table.tools[i].command, command) == 0)
            return true;
    return false;
}

static char *join(const struct language_texts *texts)
{
    auto_buf struct buf text = {0};
    char *joined;
    for (size_t i = 0; i < texts->count; i++)
        buf_printf(&text, "%s%s", i > 0 ? " " : "", texts->items[i]);
    return texts->count > 0 && buf_take(&text, &joined, NULL, NULL) == 0 ? joined : NULL;
}

static void add_tool(const struct language *language, const char *command, const char *packages)
{
    char **words = NULL;
    size_t count;
    struct cj_error err;
    bool tells = language->version != NULL &&
                 command_words(language->version, NULL, 0, &words, &count, &err) == 0 &&
                 strcmp(words[0], command) == 0;
    table.tools[table.count++] = (struct tool){.language = language,
                                               .command = command,
                                               .packages = packages,
                                               .version_args = tells ? words : NULL};
    if (!tells)
        free(words);
}

static int make_table(void)
{
    struct cj_error err;
    if (languages_load(NULL, &table.languages, &err) < 0)
        return -1;
    size_t languages = languages_count(table.languages);
    table.tools = calloc(languages * TOOLCHAIN_PROGRAMS_MAX, sizeof(*table.tools));
    table.rooms = calloc(languages, sizeof(*table.rooms));
    for (size_t i = 0; table.tools != NULL && table.rooms != NULL && i < languages; i++) {
        const struct language *language = languages_at(table.languages, i);
        const char *programs[TOOLCHAIN_PROGRAMS_MAX];
        char *packages = join(&language->packages), *room;
        size_t count = toolchain_programs(language, programs, &room), before = table.count;
        for (size_t k = 0; k < count; k++)
            if (!is_plain(programs[k]) && !is_known(programs[k]))
                add_tool(language, programs[k], packages);
        table.rooms[i] = room;
        if (table.count == before)
            free(packages);
    }
    return 0;
}

const struct tool *tools_table(size_t *count)
{
    if (table.tools == NULL && make_table() < 0)
        table.count = 0; /* the file is compiled in, and has its tests */
    *count = table.count;
    return table.tools;
}

/* ---- PATH ---- */

static bool is_below(const char *path, const char *directory)
{
    size_t length = strlen(directory);
    return strncmp(path, directory, length) == 0 && path[length] == '/';
}

/* What the built-in mount table binds. */
static bool is_visible(const char *path)
{
    static const char *const mounted[] = {"/usr",   "/bin",   "/sbin",   "/lib",
                                          "/lib32", "/lib64", "/libx32", "/etc/alternatives"};
    for (size_t i = 0; i < COUNT_OF(mounted); i++)
        if (is_below(path, mounted[i]))
            return true;
    return false;
}

static void cut_last(char *path)
{
    char *slash = strrchr(path, '/');
    if (slash != NULL && slash != path)
        *slash = '\0';
}

void tool_mount_directory(const char *target, char *out, size_t size)
{
    /* Below these everything belongs together: shims, versions, libraries. */
    static const char *const roots[] = {
        "/.pyenv",    "/.rbenv",     "/.nvm",       "/.rustup",      "/.cargo",    "/.sdkman",
        "/.asdf",     "/.ghcup",     "/.opam",      "/.nix-profile", "/nix/store", "/miniconda3",
        "/anaconda3", "/miniforge3", "/mambaforge", "/.conda",
    };
    snprintf(out, size, "%s", target);
    for (size_t i = 0; i < COUNT_OF(roots); i++) {
        char *found = strstr(out, roots[i]);
        size_t length = strlen(roots[i]);
        if (found != NULL && found[length] == '/') {
            found[length] = '\0';
            return;
        }
    }
    cut_last(out);
    const char *last = strrchr(out, '/');
    if (last != NULL && strcmp(last, "/bin") == 0)
        cut_last(out);
}

static bool is_program(const char *path)
{
    struct stat file;
    return stat(path, &file) == 0 && S_ISREG(file.st_mode) && access(path, X_OK) == 0;
}

static bool search_path(const char *command, const char *search, char *out, size_t size)
{
    while (*search != '\0') {
        size_t length = strcspn(search, ":");
        /* An empty or relative element means the current directory: never a sandbox's business. */
        if (*search == '/') {
            int written = snprintf(out, size, "%.*s/%s", (int)length, search, command);
            if (written > 0 && (size_t)written < size && is_program(out))
                return true;
        }
        search += length + (search[length] == ':');
    }
    out[0] = '\0';
    return false;
}

bool tool_find(const struct tool *tool, const char *search, struct tool_facts *out)
{
    memset(out, 0, sizeof(*out));
    out->tool = tool;
    if (!search_path(tool->command, search, out->path, sizeof(out->path)))
        return false;
    auto_free char *target = realpath(out->path, NULL);
    snprintf(out->target, sizeof(out->target), "%s", target != NULL ? target : out->path);
    /* Both ends must be there: the name that is called and the file it leads to. */
    if (is_visible(out->path) && is_visible(out->target)) {
        out->place = TOOL_VISIBLE;
    } else {
        out->place = TOOL_OUTSIDE;
        tool_mount_directory(is_visible(out->target) ? out->path : out->target, out->mount,
                             sizeof(out->mount));
    }
    return true;
}

/* ---- versions ---- */

/* One running `tool --version`; free when facts is NULL. */
struct asking {
    struct tool_facts *facts;
    pid_t pid;
    int fd; /* its stdout and stderr */
    int64_t deadline_ns;
    char text[1024];
    size_t used;
};

static int spawn(const char *path, char *const args[], int output_fd, pid_t *pid)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t all;
    sigfillset(&all);
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, output_fd, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, output_fd, STDERR_FILENO);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF);
    posix_spawnattr_setpgroup(&attributes, 0); /* so that its children can be killed with it */
    posix_spawnattr_setsigdefault(&attributes, &all);
    int code = posix_spawn(pid, path, &actions, &attributes, args, environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return code;
}

static void begin(struct asking *slot, struct tool_facts *facts)
{
    char **args = facts->tool->version_args;
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0) {
        snprintf(facts->problem, sizeof(facts->problem), "pipe: %s", strerror(errno));
        return;
    }
    auto_fd int read_fd = ends[0];
    auto_fd int write_fd = ends[1];
    pid_t pid = -1;
    int code = spawn(facts->path, args, write_fd, &pid);
    if (code != 0) {
        snprintf(facts->problem, sizeof(facts->problem), "cannot be started: %s", strerror(code));
        return;
    }
    *slot = (struct asking){.facts = facts,
                            .pid = pid,
                            .fd = fd_take(&read_fd),
                            .deadline_ns = monotonic_ns() + VERSION_DEADLINE_S * NS_PER_S};
}

/* The first line that says something, without what a terminal would obey. */
static void keep_version(struct asking *slot)
{
    struct tool_facts *facts = slot->facts;
    slot->text[slot->used] = '\0';
    const char *line = slot->text + strspn(slot->text, " \t\r\n");
    size_t length = strcspn(line, "\r\n");
    size_t used = 0;
    for (size_t i = 0; i < length && used < sizeof(facts->version) - 1; i++)
        if (!iscntrl((unsigned char)line[i]))
            facts->version[used++] = line[i];
    facts->version[used] = '\0';
}

static void end(struct asking *slot, bool late)
{
    struct tool_facts *facts = slot->facts;
    int status = 0;
    kill(-slot->pid, SIGKILL); /* what it may have left behind; itself too when it is late */
    while (waitpid(slot->pid, &status, 0) < 0 && errno == EINTR)
        ;
    fd_close(&slot->fd);
    keep_version(slot);
    if (late)
        snprintf(facts->problem, sizeof(facts->problem), "did not answer in %d s",
                 VERSION_DEADLINE_S);
    else if (WIFEXITED(status) && WEXITSTATUS(status) != 0)
        snprintf(facts->problem, sizeof(facts->problem), "exit status %d", WEXITSTATUS(status));
    slot->facts = NULL;
}

/* Reads what is there; true at the end of the output. */
static bool drain(struct asking *slot)
{
    char rest[512]; /* what follows the first lines is read and dropped */
    size_t room = sizeof(slot->text) - 1 - slot->used;
    ssize_t got = room > 0 ? read(slot->fd, slot->text + slot->used, room)
                           : read(slot->fd, rest, sizeof(rest));
    if (got > 0 && room > 0)
        slot->used += (size_t)got;
    return got == 0 || (got < 0 && errno != EINTR && errno != EAGAIN);
}

/* Waits for any of them to say something or to be late. */
static void attend(struct asking slots[static AT_ONCE])
{
    struct pollfd fds[AT_ONCE];
    int64_t now = monotonic_ns();
    int64_t next = INT64_MAX;
    for (size_t i = 0; i < AT_ONCE; i++) {
        bool busy = slots[i].facts != NULL;
        fds[i] = (struct pollfd){.fd = busy ? slots[i].fd : -1, .events = POLLIN};
        if (busy && slots[i].deadline_ns < next)
            next = slots[i].deadline_ns;
    }
    int64_t left = next > now ? (next - now) / NS_PER_MS + 1 : 0;
    if (poll(fds, AT_ONCE, (int)left) < 0)
        return;
    now = monotonic_ns();
    for (size_t i = 0; i < AT_ONCE; i++) {
        if (slots[i].facts == NULL)
            continue;
        if (fds[i].revents != 0 && drain(&slots[i]))
            end(&slots[i], false);
        else if (now >= slots[i].deadline_ns)
            end(&slots[i], true);
    }
}

size_t tools_collect(const char *search, struct tool_facts *out)
{
    struct asking slots[AT_ONCE];
    size_t count;
    const struct tool *tools = tools_table(&count);
    memset(slots, 0, sizeof(slots));
    size_t next = 0;
    for (;;) {
        size_t busy = 0;
        for (size_t i = 0; i < AT_ONCE; i++) {
            while (slots[i].facts == NULL && next < count) {
                struct tool_facts *facts = &out[next];
                if (tool_find(&tools[next++], search, facts) && facts->tool->version_args != NULL)
                    begin(&slots[i], facts);
            }
            busy += slots[i].facts != NULL;
        }
        if (busy == 0)
            return count;
        attend(slots);
    }
}

size_t tools_missing(const struct mount_config *mounts,
                     const struct language *missing[static TOOLS_MISSING_MAX])
{
    size_t found = 0, tool_count, env_count;
    const char *const *env = language_plain_env(&env_count);
    char name[TOOLCHAIN_NAME_SIZE];
    tools_table(&tool_count);
    for (size_t i = 0; tool_count > 0 && i < languages_count(table.languages); i++) {
        const struct language *language = languages_at(table.languages, i);
        if (language->first_class && found < TOOLS_MISSING_MAX &&
            !toolchain_is_installed(language, mounts, env, env_count, name))
            missing[found++] = language;
    }
    return found;
}
