/* languages.yaml: reading and checking it. */
#include "judge/language.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/yaml.h"

/* share/languages.yaml, by language_image.S */
extern const char cjudge_languages_start[], cjudge_languages_end[];

struct languages {
    struct yml_document *document; /* owns the texts */
    struct language *items;
    size_t count;
};

/* ---- values ---- */

static int read_text(const struct yml_node *map, const char *key, const char **out,
                     struct cj_error *err)
{
    const struct yml_node *node = yml_get(map, key);
    *out = NULL;
    if (node == NULL)
        return 0;
    if (yml_text(node, out, err) < 0)
        return -1;
    if (**out == '\0')
        return yml_fail(node, err, "must not be empty");
    return 0;
}

static int require_text(const struct yml_node *map, const char *key, const char **out,
                        struct cj_error *err)
{
    if (read_text(map, key, out, err) < 0)
        return -1;
    return *out != NULL ? 0 : yml_fail(map, err, "'%s' is missing", key);
}

static int read_texts(const struct yml_node *map, const char *key, struct language_texts *out,
                      struct cj_error *err)
{
    const struct yml_node *node = yml_get(map, key);
    if (node == NULL)
        return 0;
    if (yml_expect(node, YML_SEQUENCE, err) < 0)
        return -1;
    size_t count = yml_count(node);
    out->items = calloc(count + 1, sizeof(*out->items));
    if (out->items == NULL)
        return error_set(err, ERROR_SYSTEM, ENOMEM, "languages: out of memory");
    for (; out->count < count; out->count++) {
        const struct yml_node *item = yml_item(node, out->count);
        if (item == NULL)
            return yml_fail(node, err, "entry %zu is empty", out->count + 1);
        if (yml_text(item, &out->items[out->count], err) < 0)
            return -1;
        if (*out->items[out->count] == '\0')
            return yml_fail(item, err, "must not be empty");
    }
    return 0;
}

static int read_factor(const struct yml_node *map, const char *key, double *out,
                       struct cj_error *err)
{
    const struct yml_node *node = yml_get(map, key);
    const char *text;
    if (node == NULL)
        return 0;
    if (yml_text(node, &text, err) < 0)
        return -1;
    char *end;
    double value = strtod(text, &end);
    if (*end != '\0' || end == text || !isfinite(value) || value < 1 || value > 100)
        return yml_fail(node, err, "'%s' is not a factor of 1 to 100", text);
    *out = value;
    return 0;
}

/* ---- one language ---- */

static int check_keys(const struct yml_node *map, const char *const *known, struct cj_error *err)
{
    for (size_t i = 0; i < yml_count(map); i++) {
        size_t k = 0;
        while (known[k] != NULL && strcmp(known[k], yml_key(map, i)) != 0)
            k++;
        if (known[k] == NULL)
            return yml_fail(map, err, "'%s' is no key of this", yml_key(map, i));
    }
    return 0;
}

static int read_limits(const struct yml_node *map, struct language_limits *limits,
                       struct cj_error *err)
{
    static const char *const keys[] = {"time_factor", "extra_memory", "processes", NULL};
    limits->time_factor = 1;
    if (map == NULL)
        return 0;
    if (yml_expect(map, YML_MAP, err) < 0 || check_keys(map, keys, err) < 0 ||
        read_factor(map, "time_factor", &limits->time_factor, err) < 0)
        return -1;
    const struct yml_node *memory = yml_get(map, "extra_memory");
    const struct yml_node *processes = yml_get(map, "processes");
    if (memory != NULL && yml_size(memory, &limits->extra_memory_bytes, err) < 0)
        return -1;
    return processes != NULL ? yml_uint(processes, 1 << 20, &limits->processes, err) : 0;
}

static int read_examples(const struct yml_node *map, struct language_examples *examples,
                         struct cj_error *err)
{
    static const char *const keys[] = {"hello", "echo", "error", "loop", "syntax", NULL};
    if (map == NULL)
        return 0;
    if (yml_expect(map, YML_MAP, err) < 0 || check_keys(map, keys, err) < 0 ||
        read_text(map, "hello", &examples->hello, err) < 0 ||
        read_text(map, "echo", &examples->echo, err) < 0 ||
        read_text(map, "error", &examples->error, err) < 0 ||
        read_text(map, "loop", &examples->loop, err) < 0 ||
        read_text(map, "syntax", &examples->syntax, err) < 0)
        return -1;
    return 0;
}

/* Relative, without "." and "..". A folder ends with a slash. */
static bool is_path_inside(const char *path)
{
    for (const char *part = path; part != NULL; part += strcspn(part, "/") + 1) {
        size_t length = strcspn(part, "/");
        if (length == 0 || length > 200 || (part[0] == '.' && (length == 1 || part[1] == '.')))
            return false;
        if (part[length] == '\0' || part[length + 1] == '\0')
            return strlen(path) < 400;
    }
    return false;
}

/* build is checked with the other commands. */
static int read_prepared(const struct yml_node *map, struct language *language,
                         struct cj_error *err)
{
    static const char *const keys[] = {"command", "keep", "env", "when", "unless", "build", NULL};
    struct language_prepared *prepared = &language->prepared;
    if (map == NULL)
        return 0;
    if (yml_expect(map, YML_MAP, err) < 0 || check_keys(map, keys, err) < 0 ||
        require_text(map, "command", &prepared->command, err) < 0 ||
        require_text(map, "build", &prepared->build, err) < 0 ||
        read_text(map, "when", &prepared->when, err) < 0 ||
        read_texts(map, "unless", &prepared->unless, err) < 0 ||
        read_texts(map, "keep", &prepared->keep, err) < 0 ||
        read_texts(map, "env", &prepared->env, err) < 0)
        return -1;
    if (language->build == NULL)
        return yml_fail(map, err, "there is no 'build' that it could make quick");
    if (prepared->keep.count == 0)
        return yml_fail(map, err, "'keep' is missing: the files that it makes");
    if (prepared->keep.count > LANGUAGE_PREPARED_KEEP_MAX)
        return yml_fail(yml_get(map, "keep"), err, "more than %d entries: keep a folder ('cache/')",
                        LANGUAGE_PREPARED_KEEP_MAX);
    for (size_t i = 0; i < prepared->keep.count; i++)
        if (!is_path_inside(prepared->keep.items[i]))
            return yml_fail(yml_get(map, "keep"), err,
                            "'%s' is not a path below the work directory", prepared->keep.items[i]);
    return 0;
}

/* Names end up in messages, URLs and file names. */
static bool is_name(const char *text)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+#._-";
    size_t length = strlen(text);
    return length > 0 && length <= 40 && text[0] != '.' && strspn(text, allowed) == length;
}

static bool is_file_name(const char *text)
{
    return text[0] != '.' && strchr(text, '/') == NULL && strlen(text) <= 100;
}

/* Whether two templates mean the same words. */
static bool is_same_command(const char *one, const char *other)
{
    const struct command_value values[] = {
        {"source", "S"}, {"workdir", "W"}, {"memory_mib", "1"}, {"stack_mib", "2"}, {"exe", "E"},
    };
    char **words[2];
    size_t count[2], same = 0;
    struct cj_error err;
    if (command_words(one, values, COUNT_OF(values), &words[0], &count[0], &err) < 0)
        return false;
    if (command_words(other, values, COUNT_OF(values), &words[1], &count[1], &err) < 0) {
        free(words[0]);
        return false;
    }
    while (same < count[0] && same < count[1] && strcmp(words[0][same], words[1][same]) == 0)
        same++;
    bool is_same = same == count[0] && same == count[1];
    free(words[0]);
    free(words[1]);
    return is_same;
}

static bool is_assignment(const char *text)
{
    return strchr(text, '=') != NULL && text[0] != '=';
}

/* Whether the commands of its preparation can be filled in. */
static int check_prepared(const struct yml_node *map, const struct language *language,
                          struct cj_error *err)
{
    const struct language_prepared *prepared = &language->prepared;
    const struct command_value values[] = {
        {"source", ""},     {"exe", ""},       {"prepared", ""},
        {"memory_mib", ""}, {"stack_mib", ""}, {"workdir", ""},
    };
    char **words;
    size_t count;
    struct cj_error why = {0};
    if (prepared->command == NULL)
        return 0;
    if (command_words(prepared->command, values, 2, &words, &count, &why) < 0)
        return yml_fail(map, err, "command: %s", why.message);
    free(words);
    if (command_words(prepared->build, values, COUNT_OF(values), &words, &count, &why) < 0)
        return yml_fail(map, err, "build: %s", why.message);
    free(words);
    for (size_t i = 0; i < prepared->env.count; i++) {
        const char *entry = prepared->env.items[i];
        char *text;
        if (!is_assignment(entry))
            return yml_fail(yml_get(map, "env"), err, "'%s' is not NAME=VALUE", entry);
        if (command_text(entry, &values[2], 1, &text, &why) < 0)
            return yml_fail(yml_get(map, "env"), err, "%s", why.message);
        free(text);
    }
    return 0;
}

/* Whether the command can be filled in: said when it is read, not when somebody submits. */
static int check_command(const struct yml_node *map, const char *key, const char *command,
                         const struct language *language, struct cj_error *err)
{
    const struct command_value values[] = {
        {"source", ""}, {"workdir", ""}, {"memory_mib", ""}, {"stack_mib", ""}, {"exe", ""},
    };
    size_t count = COUNT_OF(values) - (language->exe == NULL ? 1 : 0);
    char **words;
    size_t word_count;
    struct cj_error why = {0};
    if (command == NULL)
        return 0;
    if (command_words(command, values, count, &words, &word_count, &why) < 0)
        return yml_fail(yml_get(map, key), err, "%s", why.message);
    free(words);
    return 0;
}

static int check_absolute(const struct yml_node *map, const char *key,
                          const struct language_texts *paths, struct cj_error *err)
{
    for (size_t i = 0; paths->items != NULL && i < paths->count; i++)
        if (paths->items[i][0] != '/')
            return yml_fail(yml_get(map, key), err, "'%s' does not begin with '/'",
                            paths->items[i]);
    return 0;
}

static bool is_module(const char *name)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789";
    return name[0] != '\0' && (name[0] < '0' || name[0] > '9') &&
           name[strspn(name, letters)] == '\0';
}

static int check_names(const struct yml_node *map, const struct language *language,
                       struct cj_error *err)
{
    if (!is_name(language->id))
        return yml_fail(yml_get(map, "id"), err, "'%s' is no id: letters, digits and +#._-",
                        language->id);
    for (size_t i = 0; language->aliases.items != NULL && i < language->aliases.count; i++)
        if (!is_name(language->aliases.items[i]))
            return yml_fail(yml_get(map, "aliases"), err,
                            "'%s' is no alias: letters, digits and +#._-",
                            language->aliases.items[i]);
    if (!is_file_name(language->source))
        return yml_fail(yml_get(map, "source"), err, "'%s' is not the name of a file",
                        language->source);
    if (language->exe != NULL && !is_file_name(language->exe))
        return yml_fail(yml_get(map, "exe"), err, "'%s' is not the name of a file", language->exe);
    for (size_t i = 0; language->env.items != NULL && i < language->env.count; i++)
        if (!is_assignment(language->env.items[i]))
            return yml_fail(yml_get(map, "env"), err, "'%s' is not NAME=VALUE",
                            language->env.items[i]);
    for (size_t i = 0; language->preload.items != NULL && i < language->preload.count; i++)
        if (!is_module(language->preload.items[i]))
            return yml_fail(yml_get(map, "preload"), err, "'%s' is not the name of a module",
                            language->preload.items[i]);
    if (check_absolute(map, "mounts", &language->mounts, err) < 0)
        return -1;
    return check_absolute(map, "inputs", &language->inputs, err);
}

static int read_language(const struct yml_node *map, struct language *language,
                         struct cj_error *err)
{
    static const char *const keys[] = {
        "id",       "name",    "aliases",  "source", "exe",     "build",    "check",       "run",
        "keep",     "version", "env",      "mounts", "limits",  "packages", "first_class", "needs",
        "examples", "inputs",  "prepared", "warm",   "preload", NULL};
    if (yml_expect(map, YML_MAP, err) < 0 || check_keys(map, keys, err) < 0 ||
        require_text(map, "id", &language->id, err) < 0 ||
        require_text(map, "source", &language->source, err) < 0 ||
        require_text(map, "run", &language->run, err) < 0 ||
        read_text(map, "name", &language->name, err) < 0 ||
        read_text(map, "exe", &language->exe, err) < 0 ||
        read_text(map, "build", &language->build, err) < 0 ||
        read_text(map, "check", &language->check, err) < 0 ||
        read_text(map, "version", &language->version, err) < 0 ||
        read_texts(map, "aliases", &language->aliases, err) < 0 ||
        read_texts(map, "keep", &language->keep, err) < 0 ||
        read_texts(map, "env", &language->env, err) < 0 ||
        read_texts(map, "mounts", &language->mounts, err) < 0 ||
        read_texts(map, "packages", &language->packages, err) < 0 ||
        read_texts(map, "needs", &language->needs, err) < 0 ||
        read_texts(map, "inputs", &language->inputs, err) < 0 ||
        read_texts(map, "preload", &language->preload, err) < 0 ||
        read_examples(yml_get(map, "examples"), &language->examples, err) < 0 ||
        read_prepared(yml_get(map, "prepared"), language, err) < 0 ||
        read_limits(yml_get(map, "limits"), &language->limits, err) < 0)
        return -1;
    const struct yml_node *warm = yml_get(map, "warm");
    if (warm != NULL && yml_bool(warm, &language->warm, err) < 0)
        return -1;
    const struct yml_node *first_class = yml_get(map, "first_class");
    if (first_class != NULL && yml_bool(first_class, &language->first_class, err) < 0)
        return -1;
    if (language->name == NULL)
        language->name = language->id;
    if (check_names(map, language, err) < 0 ||
        check_command(map, "build", language->build, language, err) < 0 ||
        check_command(map, "check", language->check, language, err) < 0 ||
        check_command(map, "run", language->run, language, err) < 0 ||
        check_command(map, "version", language->version, language, err) < 0 ||
        check_prepared(yml_get(map, "prepared"), language, err) < 0)
        return -1;
    if (language->build != NULL && language->keep.count == 0 && language->exe == NULL)
        return yml_fail(map, err, "'build' needs 'exe' or 'keep': the files that a run needs");
    return 0;
}

/* ---- the list ---- */

static bool has_name(const struct language *language, const char *name)
{
    if (strcmp(language->id, name) == 0)
        return true;
    for (size_t i = 0; i < language->aliases.count; i++)
        if (strcmp(language->aliases.items[i], name) == 0)
            return true;
    return false;
}

const struct language *languages_find(const struct languages *languages, const char *name)
{
    for (size_t i = 0; i < languages->count; i++)
        if (has_name(&languages->items[i], name))
            return &languages->items[i];
    return NULL;
}

/* Checked before the new one is counted in. */
static int check_distinct(const struct languages *languages, const struct language *added,
                          const struct yml_node *map, struct cj_error *err)
{
    for (size_t i = 0; i <= added->aliases.count; i++) {
        const char *name = i == 0 ? added->id : added->aliases.items[i - 1];
        const struct language *other = languages_find(languages, name);
        if (other != NULL)
            return yml_fail(map, err, "'%s' is a name of '%s' already", name, other->id);
    }
    return 0;
}

static int read_all(struct languages *languages, const char *file, struct cj_error *err)
{
    static const char *const keys[] = {"languages", NULL};
    const struct yml_node *root = yml_root(languages->document);
    const struct yml_node *list = yml_get(root, "languages");
    if (list == NULL || yml_expect(list, YML_SEQUENCE, err) < 0 || yml_count(list) == 0)
        return error_set(err, ERROR_CONFIG, 0, "%s: 'languages' is not a list of languages", file);
    if (check_keys(root, keys, err) < 0)
        return -1;
    languages->items = calloc(yml_count(list), sizeof(*languages->items));
    if (languages->items == NULL)
        return error_set(err, ERROR_SYSTEM, ENOMEM, "languages: out of memory");
    for (size_t i = 0; i < yml_count(list); i++) {
        const struct yml_node *map = yml_item(list, i);
        struct language *language = &languages->items[i];
        if (map == NULL)
            return yml_fail(list, err, "entry %zu is empty", i + 1);
        if (read_language(map, language, err) < 0 ||
            check_distinct(languages, language, map, err) < 0) {
            languages->count++; /* so that it is freed */
            return -1;
        }
        languages->count++;
    }
    return 0;
}

int languages_load(const char *path, struct languages **out, struct cj_error *err)
{
    struct languages *languages = calloc(1, sizeof(*languages));
    if (languages == NULL)
        return error_set(err, ERROR_SYSTEM, ENOMEM, "languages: out of memory");
    const char *name = path != NULL ? path : "languages.yaml";
    size_t size = (size_t)(cjudge_languages_end - cjudge_languages_start);
    int done = path != NULL
                   ? yml_load(path, &languages->document, err)
                   : yml_parse(name, cjudge_languages_start, size, &languages->document, err);
    if (done == 0)
        done = read_all(languages, name, err);
    if (done < 0) {
        languages_free(languages);
        return -1;
    }
    *out = languages;
    return 0;
}

void languages_free(struct languages *languages)
{
    if (languages == NULL)
        return;
    for (size_t i = 0; i < languages->count; i++) {
        struct language *language = &languages->items[i];
        free(language->aliases.items);
        free(language->keep.items);
        free(language->env.items);
        free(language->mounts.items);
        free(language->packages.items);
        free(language->needs.items);
        free(language->inputs.items);
        free(language->preload.items);
        free(language->prepared.unless.items);
        free(language->prepared.keep.items);
        free(language->prepared.env.items);
    }
    free(languages->items);
    yml_free(languages->document);
    free(languages);
}

static int check_override(const char *command, const struct language *language,
                          struct cj_error *err)
{
    const struct command_value values[] = {
        {"source", ""}, {"workdir", ""}, {"memory_mib", ""}, {"stack_mib", ""}, {"exe", ""},
    };
    char **words;
    size_t count;
    if (command_words(command, values, COUNT_OF(values) - (language->exe == NULL ? 1 : 0), &words,
                      &count, err) < 0)
        return error_wrap(err, "command of %s, '%s'", language->id, command);
    free(words);
    return 0;
}

int languages_override(struct languages *languages, const char *id, struct language_command build,
                       struct language_command run, struct cj_error *err)
{
    for (size_t i = 0; i < languages->count; i++) {
        struct language *language = &languages->items[i];
        if (strcmp(language->id, id) != 0)
            continue;
        if ((build.text != NULL && check_override(build.text, language, err) < 0) ||
            (run.text != NULL && check_override(run.text, language, err) < 0))
            return -1;
        if (build.text != NULL) {
            if (language->build == NULL || build.place != COMMAND_OURS ||
                !is_same_command(build.text, language->build))
                language->prepared.command = NULL;
            language->build = build.text;
            language->build_place = build.place;
        }
        if (run.text != NULL) {
            language->run = run.text;
            language->run_place = run.place;
        }
        return 0;
    }
    return error_set(err, ERROR_CONFIG, 0, "there is no language '%s' to set a command of", id);
}

size_t languages_count(const struct languages *languages)
{
    return languages->count;
}

const struct language *languages_at(const struct languages *languages, size_t index)
{
    return &languages->items[index];
}
