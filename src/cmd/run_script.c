/* Requests of `cjudge run --script`. */
#include "run_script.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/yaml.h"

struct run_script {
    FILE *file;
    const char *path;
    unsigned line_number;
    char *line;
    size_t line_size;
    struct yml_document *document; /* of the present line: the request's strings are in it */
    const char **args, **env;
    struct exec_copy_in *copy_in;
    struct exec_copy_out *copy_out;
    struct exec_file files[3];
};

/* ---- the environment ---- */

struct variables {
    const char *const *items;
    size_t count;
};

static bool sets_same(const struct variables *variables, const char *item)
{
    size_t name_size = strcspn(item, "=") + 1;
    for (size_t i = 0; i < variables->count; i++)
        if (strncmp(variables->items[i], item, name_size) == 0)
            return true;
    return false;
}

const char **run_environment(const char *const *given, size_t given_count, const char *const *own,
                             size_t own_count, size_t *count)
{
    /* Leak checking needs ptrace(2), which no program has here; without the last line every program
     * built with -fsanitize=address would fail at its end. */
    static const char *const defaults[] = {
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME=/tmp",
        "LANG=C.UTF-8",
        "LSAN_OPTIONS=detect_leaks=0",
    };
    const struct variables layers[] = {
        {defaults, COUNT_OF(defaults)}, {given, given_count}, {own, own_count}};
    const char **env = calloc(COUNT_OF(defaults) + given_count + own_count + 1, sizeof(*env));
    if (env == NULL)
        return NULL;
    *count = 0;
    for (size_t i = 0; i < COUNT_OF(layers); i++) {
        for (size_t k = 0; k < layers[i].count; k++) {
            bool replaced = false;
            for (size_t above = i + 1; above < COUNT_OF(layers) && !replaced; above++)
                replaced = sets_same(&layers[above], layers[i].items[k]);
            if (!replaced)
                env[(*count)++] = layers[i].items[k];
        }
    }
    return env;
}

/* ---- the script ---- */

int run_script_open(const char *path, struct run_script **out, struct cj_error *err)
{
    struct run_script *script = calloc(1, sizeof(*script));
    if (script == NULL)
        return error_set(err, ERROR_SYSTEM, ENOMEM, "open a script: out of memory");
    bool standard = strcmp(path, "-") == 0;
    script->path = standard ? "standard input" : path;
    script->file = standard ? stdin : fopen(path, "re");
    if (script->file == NULL) {
        error_errno(err, "open %s", path);
        free(script);
        return -1;
    }
    *out = script;
    return 0;
}

static void forget_line(struct run_script *script)
{
    yml_free(script->document);
    script->document = NULL;
    free(script->args);
    free(script->env);
    free(script->copy_in);
    free(script->copy_out);
    script->args = script->env = NULL;
    script->copy_in = NULL;
    script->copy_out = NULL;
}

void run_script_close(struct run_script *script)
{
    if (script == NULL)
        return;
    forget_line(script);
    if (script->file != stdin)
        fclose(script->file);
    free(script->line);
    free(script);
}

unsigned run_script_line(const struct run_script *script)
{
    return script->line_number;
}

/* ---- a line ---- */

static int texts(const struct yml_node *node, const char ***out, size_t *count,
                 struct cj_error *err)
{
    *count = 0;
    *out = calloc(yml_count(node) + 1, sizeof(**out));
    if (*out == NULL)
        return error_set(err, ERROR_SYSTEM, ENOMEM, "out of memory");
    if (node != NULL && yml_expect(node, YML_SEQUENCE, err) < 0)
        return -1;
    for (size_t i = 0; i < yml_count(node); i++) {
        const struct yml_node *item = yml_item(node, i);
        if (item == NULL)
            return yml_fail(node, err, "item %zu is null", i);
        if (yml_text(item, &(*out)[(*count)++], err) < 0)
            return -1;
    }
    return 0;
}

static int number(const struct yml_node *line, const char *key, uint64_t max, uint64_t *value,
                  struct cj_error *err)
{
    const struct yml_node *node = yml_get(line, key);
    return node != NULL ? yml_uint(node, max, value, err) : 0;
}

static int read_limits(const struct yml_node *line, struct exec_limits *limits,
                       struct cj_error *err)
{
    uint64_t cpu = (uint64_t)limits->cpu_ns, wall = (uint64_t)limits->wall_ns;
    if (number(line, "cpu", INT64_MAX, &cpu, err) < 0 ||
        number(line, "wall", INT64_MAX, &wall, err) < 0 ||
        number(line, "memory", UINT64_MAX, &limits->memory_bytes, err) < 0 ||
        number(line, "procs", UINT64_MAX, &limits->processes, err) < 0 ||
        number(line, "stack", UINT64_MAX, &limits->stack_bytes, err) < 0 ||
        number(line, "fileSize", UINT64_MAX, &limits->file_size_bytes, err) < 0 ||
        number(line, "openFiles", UINT64_MAX, &limits->open_files, err) < 0)
        return -1;
    limits->cpu_ns = (int64_t)cpu;
    limits->wall_ns = (int64_t)wall;
    return 0;
}

/* The line's own files stand first; of the given ones follow those that it does not replace. */
static int read_copies_in(struct run_script *script, const struct yml_node *in,
                          const struct run_given *given, struct exec_request *request,
                          struct cj_error *err)
{
    script->copy_in = calloc(yml_count(in) + given->copy_in_count + 1, sizeof(*script->copy_in));
    if (script->copy_in == NULL)
        return error_set(err, ERROR_SYSTEM, ENOMEM, "out of memory");
    if (in != NULL && yml_expect(in, YML_MAP, err) < 0)
        return -1;
    size_t own = yml_count(in), count = own;
    for (size_t i = 0; i < own; i++) {
        struct exec_copy_in *item = &script->copy_in[i];
        *item = (struct exec_copy_in){.name = yml_key(in, i), .kind = EXEC_COPY_PATH};
        if (yml_item(in, i) == NULL)
            return yml_fail(in, err, "copyIn.%s is null", item->name);
        if (yml_text(yml_item(in, i), &item->data, err) < 0)
            return -1;
    }
    for (size_t i = 0; i < given->copy_in_count; i++) {
        bool replaced = false;
        for (size_t k = 0; k < own && !replaced; k++)
            replaced = strcmp(script->copy_in[k].name, given->copy_in[i].name) == 0;
        if (!replaced)
            script->copy_in[count++] = given->copy_in[i];
    }
    request->copy_in = script->copy_in;
    request->copy_in_count = count;
    return 0;
}

static void add_copy_out(struct run_script *script, struct exec_request *request,
                         struct exec_copy_out item)
{
    for (size_t i = 0; i < request->copy_out_count; i++) {
        if (strcmp(script->copy_out[i].name, item.name) == 0) {
            script->copy_out[i].optional &= item.optional;
            return;
        }
    }
    script->copy_out[request->copy_out_count++] = item;
}

/* Each name once, whoever asks for it. */
static int read_copies_out(struct run_script *script, const struct yml_node *out,
                           const struct run_given *given, struct exec_request *request,
                           struct cj_error *err)
{
    script->copy_out =
        calloc(yml_count(out) + given->copy_out_count + 1, sizeof(*script->copy_out));
    if (script->copy_out == NULL)
        return error_set(err, ERROR_SYSTEM, ENOMEM, "out of memory");
    if (out != NULL && yml_expect(out, YML_SEQUENCE, err) < 0)
        return -1;
    request->copy_out = script->copy_out;
    request->copy_out_count = 0;
    for (size_t i = 0; i < yml_count(out); i++) {
        struct exec_copy_out item = {0};
        if (yml_item(out, i) == NULL)
            return yml_fail(out, err, "copyOut[%zu] is null", i);
        if (yml_text(yml_item(out, i), &item.name, err) < 0)
            return -1;
        size_t length = strlen(item.name);
        if (length > 1 && item.name[length - 1] == '?') {
            item.optional = true;
            ((char *)(uintptr_t)item.name)[length - 1] = '\0';
        }
        add_copy_out(script, request, item);
    }
    for (size_t i = 0; i < given->copy_out_count; i++)
        add_copy_out(script, request, given->copy_out[i]);
    return 0;
}

static int read_env(struct run_script *script, const struct yml_node *line,
                    const struct run_given *given, struct exec_request *request,
                    struct cj_error *err)
{
    const struct yml_node *node = yml_get(line, "env");
    const char **own = NULL;
    size_t own_count = 0;
    int result = texts(node, &own, &own_count, err);
    for (size_t i = 0; i < own_count && result == 0; i++)
        if (strchr(own[i], '=') == NULL || own[i][0] == '=')
            result = yml_fail(yml_item(node, i), err, "'%.200s': write NAME=VALUE", own[i]);
    if (result == 0) {
        script->env =
            run_environment(given->env, given->env_count, own, own_count, &request->env_count);
        if (script->env == NULL)
            result = error_set(err, ERROR_SYSTEM, ENOMEM, "out of memory");
    }
    free(own);
    request->env = script->env;
    return result;
}

static int read_streams(struct run_script *script, const struct yml_node *line,
                        const struct run_given *given, struct exec_request *request,
                        struct cj_error *err)
{
    const struct yml_node *node = yml_get(line, "stdin");
    const char *input = "";
    uint64_t max = given->output_bytes;
    if ((node != NULL && yml_text(node, &input, err) < 0) ||
        number(line, "output", UINT64_MAX, &max, err) < 0)
        return -1;
    if (node == NULL && given->input_fd >= 0)
        script->files[0] = (struct exec_file){.kind = EXEC_FILE_FD, .fd = given->input_fd};
    else
        script->files[0] =
            (struct exec_file){.kind = EXEC_FILE_CONTENT, .data = input, .size = strlen(input)};
    script->files[1] = (struct exec_file){.kind = EXEC_FILE_COLLECT, .name = "stdout", .max = max};
    script->files[2] = (struct exec_file){.kind = EXEC_FILE_COLLECT, .name = "stderr", .max = max};
    request->files = script->files;
    request->file_count = COUNT_OF(script->files);
    return 0;
}

static int check_keys(const struct yml_node *line, struct cj_error *err)
{
    static const char *const known[] = {"args",   "stdin",    "env",      "copyIn", "copyOut",
                                        "cpu",    "wall",     "memory",   "procs",  "stack",
                                        "output", "fileSize", "openFiles"};
    for (size_t i = 0; i < yml_count(line); i++) {
        bool found = false;
        for (size_t k = 0; k < COUNT_OF(known) && !found; k++)
            found = strcmp(yml_key(line, i), known[k]) == 0;
        if (!found)
            return yml_fail(line, err, "unknown key '%s'", yml_key(line, i));
    }
    return 0;
}

static int read_request(struct run_script *script, const struct yml_node *line,
                        const struct run_given *given, struct exec_request *request,
                        struct cj_error *err)
{
    *request = (struct exec_request){
        .limits = given->limits,
        .copy_out_max_bytes = given->copy_out_max_bytes,
        .copy_out_truncate = given->copy_out_truncate,
    };
    if (check_keys(line, err) < 0 ||
        texts(yml_get(line, "args"), &script->args, &request->arg_count, err) < 0)
        return -1;
    if (request->arg_count == 0)
        return yml_fail(line, err, "args is missing or empty");
    request->args = script->args;
    if (read_env(script, line, given, request, err) < 0 ||
        read_streams(script, line, given, request, err) < 0 ||
        read_limits(line, &request->limits, err) < 0 ||
        read_copies_in(script, yml_get(line, "copyIn"), given, request, err) < 0 ||
        read_copies_out(script, yml_get(line, "copyOut"), given, request, err) < 0)
        return -1;
    return 0;
}

/* Blank or a comment; a byte order mark may stand before either. */
static bool asks_nothing(const char *line)
{
    if (strncmp(line, "\xef\xbb\xbf", 3) == 0)
        line += 3;
    line += strspn(line, " \t\r\n");
    return *line == '\0' || *line == '#';
}

int run_script_next(struct run_script *script, const struct run_given *given,
                    struct exec_request *request, struct cj_error *err)
{
    char name[256];
    for (;;) {
        forget_line(script);
        ssize_t length = getline(&script->line, &script->line_size, script->file);
        if (length < 0)
            return ferror(script->file) ? error_errno(err, "read %s", script->path) : 0;
        script->line_number++;
        if (asks_nothing(script->line) && strlen(script->line) == (size_t)length)
            continue;
        snprintf(name, sizeof(name), "%s line %u", script->path, script->line_number);
        if (yml_parse(name, script->line, (size_t)length, &script->document, err) < 0)
            return -1;
        const struct yml_node *root = yml_root(script->document);
        if (root == NULL)
            return error_set(err, ERROR_CONFIG, 0, "%s: a map is needed here, not nothing", name);
        if (yml_expect(root, YML_MAP, err) < 0 ||
            read_request(script, root, given, request, err) < 0)
            return -1;
        return 1;
    }
}
