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

const char **run_environment(const char *const *given, size_t given_count, size_t *count)
{
    /* Leak checking needs ptrace(2), which no program has here; without the last line every program
     * built with -fsanitize=address would fail at its end. */
    static const char *const defaults[] = {
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME=/tmp",
        "LANG=C.UTF-8",
        "LSAN_OPTIONS=detect_leaks=0",
    };
    const char **env = calloc(COUNT_OF(defaults) + given_count + 1, sizeof(*env));
    if (env == NULL)
        return NULL;
    *count = 0;
    for (size_t i = 0; i < COUNT_OF(defaults); i++) {
        size_t name_size = strcspn(defaults[i], "=") + 1;
        bool replaced = false;
        for (size_t k = 0; k < given_count && !replaced; k++)
            replaced = strncmp(given[k], defaults[i], name_size) == 0;
        if (!replaced)
            env[(*count)++] = defaults[i];
    }
    for (size_t k = 0; k < given_count; k++)
        env[(*count)++] = given[k];
    return env;
}

int run_script_open(const char *path, struct run_script **out, struct cj_error *err)
{
    struct run_script *script = calloc(1, sizeof(*script));
    if (script == NULL)
        return error_set(err, ERROR_SYSTEM, ENOMEM, "open a script: out of memory");
    script->path = path;
    script->file = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
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

static int read_copies(struct run_script *script, const struct yml_node *line,
                       struct exec_request *request, struct cj_error *err)
{
    const struct yml_node *in = yml_get(line, "copyIn"), *out = yml_get(line, "copyOut");
    script->copy_in = calloc(yml_count(in) + 1, sizeof(*script->copy_in));
    script->copy_out = calloc(yml_count(out) + 1, sizeof(*script->copy_out));
    if (script->copy_in == NULL || script->copy_out == NULL)
        return error_set(err, ERROR_SYSTEM, ENOMEM, "out of memory");
    if ((in != NULL && yml_expect(in, YML_MAP, err) < 0) ||
        (out != NULL && yml_expect(out, YML_SEQUENCE, err) < 0))
        return -1;
    for (size_t i = 0; i < yml_count(in); i++) {
        struct exec_copy_in *item = &script->copy_in[i];
        *item = (struct exec_copy_in){.name = yml_key(in, i), .kind = EXEC_COPY_PATH};
        if (yml_item(in, i) == NULL)
            return yml_fail(in, err, "copyIn.%s is null", item->name);
        if (yml_text(yml_item(in, i), &item->data, err) < 0)
            return -1;
    }
    for (size_t i = 0; i < yml_count(out); i++) {
        struct exec_copy_out *item = &script->copy_out[i];
        if (yml_item(out, i) == NULL)
            return yml_fail(out, err, "copyOut[%zu] is null", i);
        if (yml_text(yml_item(out, i), &item->name, err) < 0)
            return -1;
        size_t length = strlen(item->name);
        if (length > 1 && item->name[length - 1] == '?') {
            item->optional = true;
            ((char *)(uintptr_t)item->name)[length - 1] = '\0';
        }
    }
    request->copy_in = script->copy_in;
    request->copy_in_count = yml_count(in);
    request->copy_out = script->copy_out;
    request->copy_out_count = yml_count(out);
    return 0;
}

static int read_request(struct run_script *script, const struct yml_node *line,
                        uint64_t output_bytes, struct exec_request *request, struct cj_error *err)
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
    const char *input = "";
    size_t given_count = 0, env_count = 0;
    const char **given = NULL;
    int result = texts(yml_get(line, "args"), &script->args, &request->arg_count, err);
    if (result == 0)
        result = texts(yml_get(line, "env"), &given, &given_count, err);
    if (result == 0) {
        script->env = run_environment(given, given_count, &env_count);
        result = script->env == NULL ? error_set(err, ERROR_SYSTEM, ENOMEM, "out of memory") : 0;
    }
    free(given);
    if (result < 0)
        return -1;
    if (request->arg_count == 0)
        return yml_fail(line, err, "args is missing or empty");
    request->args = script->args;
    request->env = script->env;
    request->env_count = env_count;
    if (yml_get(line, "stdin") != NULL && yml_text(yml_get(line, "stdin"), &input, err) < 0)
        return -1;
    if (number(line, "output", UINT64_MAX, &output_bytes, err) < 0 ||
        read_limits(line, &request->limits, err) < 0 || read_copies(script, line, request, err) < 0)
        return -1;
    script->files[0] =
        (struct exec_file){.kind = EXEC_FILE_CONTENT, .data = input, .size = strlen(input)};
    script->files[1] =
        (struct exec_file){.kind = EXEC_FILE_COLLECT, .name = "stdout", .max = output_bytes};
    script->files[2] =
        (struct exec_file){.kind = EXEC_FILE_COLLECT, .name = "stderr", .max = output_bytes};
    request->files = script->files;
    request->file_count = COUNT_OF(script->files);
    return 0;
}

int run_script_next(struct run_script *script, const struct exec_limits *limits,
                    uint64_t output_bytes, struct exec_request *request, struct cj_error *err)
{
    char name[256];
    for (;;) {
        forget_line(script);
        ssize_t length = getline(&script->line, &script->line_size, script->file);
        if (length < 0)
            return ferror(script->file) ? error_errno(err, "read %s", script->path) : 0;
        script->line_number++;
        if (strspn(script->line, " \t\r\n") == (size_t)length)
            continue;
        snprintf(name, sizeof(name), "%s line %u", script->path, script->line_number);
        *request = (struct exec_request){.limits = *limits};
        if (yml_parse(name, script->line, (size_t)length, &script->document, err) < 0)
            return -1;
        const struct yml_node *root = yml_root(script->document);
        if (root == NULL)
            continue;
        if (yml_expect(root, YML_MAP, err) < 0 ||
            read_request(script, root, output_bytes, request, err) < 0)
            return -1;
        return 1;
    }
}
