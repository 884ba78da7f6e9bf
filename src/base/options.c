/* One table of options: reading it from the command line and the environment. */
#include "base/options.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/units.h"

enum { ENV_NAME_SIZE = 128 };

static void *place_of(const struct option_spec *spec, void *config)
{
    return (char *)config + spec->offset;
}

static const struct option_spec *find(const struct option_table *table, const char *name,
                                      size_t length)
{
    for (size_t i = 0; i < table->count; i++) {
        const char *candidate = table->specs[i].name;
        if (strlen(candidate) == length && memcmp(candidate, name, length) == 0)
            return &table->specs[i];
    }
    return NULL;
}

const struct option_spec *options_find(const struct option_table *table, const char *name)
{
    return find(table, name, strlen(name));
}

void options_env_name(const struct option_table *table, const struct option_spec *spec, char *name,
                      size_t size)
{
    if (spec->env != NULL) {
        snprintf(name, size, "%s", spec->env);
        return;
    }
    snprintf(name, size, "%s%s", table->env_prefix, spec->name);
    for (char *c = name; *c != '\0'; c++)
        *c = *c == '-' ? '_' : (char)toupper((unsigned char)*c);
}

/* ---- values ---- */

static int no_memory(struct cj_error *err)
{
    return error_set(err, ERROR_SYSTEM, ENOMEM, "out of memory");
}

/* The words that Go's strconv.ParseBool knows. */
static int bool_parse(const char *text, bool *value, struct cj_error *err)
{
    static const struct {
        const char *word;
        bool value;
    } words[] = {
        {"1", true},    {"t", true},      {"T", true},      {"true", true},
        {"TRUE", true}, {"True", true},   {"0", false},     {"f", false},
        {"F", false},   {"false", false}, {"FALSE", false}, {"False", false},
    };
    for (size_t i = 0; i < COUNT_OF(words); i++) {
        if (strcmp(text, words[i].word) == 0) {
            *value = words[i].value;
            return 0;
        }
    }
    return error_set(err, ERROR_CONFIG, 0, "'%s' is not true or false", text);
}

static int choice_parse(const char *text, const char *const *choices, int *value,
                        struct cj_error *err)
{
    auto_buf struct buf all = {0};
    for (int i = 0; choices[i] != NULL; i++) {
        if (strcmp(text, choices[i]) == 0) {
            *value = i;
            return 0;
        }
        buf_printf(&all, "%s%s", i > 0 ? ", " : "", choices[i]);
    }
    return error_set(err, ERROR_CONFIG, 0, "'%s' is none of %.*s", text, (int)all.size, all.data);
}

static int duration_set(const char *text, int64_t *ns, struct cj_error *err)
{
    int64_t value;
    if (duration_parse(text, &value, err) < 0)
        return -1;
    if (value < 0)
        return error_set(err, ERROR_CONFIG, 0, "'%s' is negative", text);
    *ns = value;
    return 0;
}

static int string_set(const char *text, char **slot, struct cj_error *err)
{
    char *copy = strdup(text);
    if (copy == NULL)
        return no_memory(err);
    free(*slot);
    *slot = copy;
    return 0;
}

static void list_free(struct option_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->items[i]);
    free(list->items);
    *list = (struct option_list){0};
}

static int list_add(struct option_list *list, const char *item, size_t length, struct cj_error *err)
{
    if (length == 0)
        return error_set(err, ERROR_CONFIG, 0, "an item of the list is empty");
    char **items = reallocarray(list->items, list->count + 1, sizeof(*items));
    if (items == NULL)
        return no_memory(err);
    list->items = items;
    items[list->count] = strndup(item, length);
    if (items[list->count] == NULL)
        return no_memory(err);
    list->count++;
    return 0;
}

static int list_set(const char *text, struct option_list *slot, struct cj_error *err)
{
    __attribute__((cleanup(list_free))) struct option_list list = {0};
    for (const char *next = text; text[0] != '\0'; next++) {
        size_t length = strcspn(next, ",");
        if (list_add(&list, next, length, err) < 0)
            return -1;
        next += length;
        if (*next == '\0')
            break;
    }
    list_free(slot);
    *slot = list;
    list = (struct option_list){0};
    return 0;
}

/* Puts a value into the config; what was there is freed after the last step that can fail. */
static int value_set(const struct option_spec *spec, void *config, const char *text,
                     struct cj_error *err)
{
    void *place = place_of(spec, config);
    switch (spec->type) {
    case OPTION_BOOL:
        return bool_parse(text, place, err);
    case OPTION_STRING:
        return string_set(text, place, err);
    case OPTION_LIST:
        return list_set(text, place, err);
    case OPTION_REPEAT:
        return list_add(place, text, strlen(text), err);
    case OPTION_COUNT:
        return count_parse(text, place, err);
    case OPTION_SIZE:
        return size_parse(text, place, err);
    case OPTION_DURATION:
        return duration_set(text, place, err);
    case OPTION_CHOICE:
        return choice_parse(text, spec->choices, place, err);
    }
    return error_set(err, ERROR_INTERNAL, 0, "an option of an unknown type");
}

void options_free(const struct option_table *table, void *config)
{
    for (size_t i = 0; i < table->count; i++) {
        void *place = place_of(&table->specs[i], config);
        if (table->specs[i].type == OPTION_STRING) {
            char **text = place;
            free(*text);
            *text = NULL;
        } else if (table->specs[i].type == OPTION_LIST || table->specs[i].type == OPTION_REPEAT) {
            list_free(place);
        }
    }
}

/* ---- sources of values ---- */

int options_set(const struct option_table *table, void *config, const char *name, const char *value,
                struct cj_error *err)
{
    const struct option_spec *spec = options_find(table, name);
    if (spec == NULL)
        return error_set(err, ERROR_INTERNAL, 0, "no option -%s", name);
    if (value_set(spec, config, value, err) < 0)
        return error_wrap(err, "default of -%s", name);
    return 0;
}

static int load_defaults(const struct option_table *table, void *config, struct cj_error *err)
{
    for (size_t i = 0; i < table->count; i++) {
        const struct option_spec *spec = &table->specs[i];
        const char *text = spec->default_text;
        if (text == NULL && spec->type == OPTION_STRING)
            text = "";
        if (text != NULL && value_set(spec, config, text, err) < 0)
            return error_wrap(err, "default of -%s", spec->name);
    }
    return 0;
}

/* The value of a variable, or NULL. */
static const char *env_find(char *const *environment, const char *name)
{
    size_t length = strlen(name);
    for (; *environment != NULL; environment++)
        if (strncmp(*environment, name, length) == 0 && (*environment)[length] == '=')
            return *environment + length + 1;
    return NULL;
}

static int load_environment(const struct option_table *table, char *const *environment,
                            void *config, uint8_t *origins, struct cj_error *err)
{
    if (environment == NULL || table->env_prefix == NULL)
        return 0;
    for (size_t i = 0; i < table->count; i++) {
        const struct option_spec *spec = &table->specs[i];
        char name[ENV_NAME_SIZE];
        options_env_name(table, spec, name, sizeof(name));
        const char *value = spec->not_in_environment ? NULL : env_find(environment, name);
        if (value == NULL || value[0] == '\0') /* empty counts as unset */
            continue;
        if (value_set(spec, config, value, err) < 0)
            return error_wrap(err, "%s=%s", name, value);
        if (origins != NULL)
            origins[i] = OPTION_FROM_ENVIRONMENT;
    }
    return 0;
}

/* Where the command line is being read. */
struct words {
    int argc;
    char *const *argv;
    int next;
};

/* The value of the option that was just read: behind its '=', the next word, or "true". NULL: none.
 */
static const char *value_of(const struct option_spec *spec, const char *equals, struct words *words)
{
    if (*equals == '=')
        return equals + 1;
    if (spec->type == OPTION_BOOL)
        return "true";
    return words->next < words->argc ? words->argv[words->next++] : NULL;
}

/* Whether a word is an option; *name then points behind its dashes. "-" and what has no dash end
 * the options, "--" does too and is read. */
static bool is_option(struct words *words, const char **name)
{
    const char *word = words->argv[words->next];
    if (word[0] != '-' || word[1] == '\0')
        return false;
    words->next++;
    if (strcmp(word, "--") == 0)
        return false;
    *name = word + (word[1] == '-' ? 2 : 1);
    return true;
}

/* -h is what people try first. */
static const struct option_spec *find_word(const struct option_table *table, const char *name,
                                           size_t length)
{
    const struct option_spec *spec = find(table, name, length);
    return spec == NULL && length == 1 && name[0] == 'h' ? options_find(table, "help") : spec;
}

static int load_words(const struct option_table *table, struct words *words, void *config,
                      uint8_t *origins, struct cj_error *err)
{
    const char *name;
    while (words->next < words->argc && is_option(words, &name)) {
        size_t length = strcspn(name, "=");
        const struct option_spec *spec = find_word(table, name, length);
        if (spec == NULL)
            return error_set(err, ERROR_CONFIG, 0, "-%.*s: no such option",
                             (int)(length > 200 ? 200 : length), name);
        const char *value = value_of(spec, name + length, words);
        if (value == NULL)
            return error_set(err, ERROR_CONFIG, 0, "-%s: a value is missing", spec->name);
        if (value_set(spec, config, value, err) < 0)
            return error_wrap(err, spec->type == OPTION_BOOL ? "-%s=%.200s" : "-%s %.200s",
                              spec->name, value);
        if (origins != NULL)
            origins[spec - table->specs] = OPTION_FROM_COMMAND_LINE;
    }
    return 0;
}

int options_load(const struct option_table *table, int argc, char *const *argv,
                 char *const *environment, void *config, uint8_t *origins, int *next,
                 struct cj_error *err)
{
    struct words words = {.argc = argc, .argv = argv, .next = 1};
    if (origins != NULL)
        memset(origins, OPTION_FROM_DEFAULT, table->count);
    if (load_defaults(table, config, err) < 0 ||
        load_environment(table, environment, config, origins, err) < 0 ||
        load_words(table, &words, config, origins, err) < 0) {
        options_free(table, config);
        return -1;
    }
    *next = words.next;
    return 0;
}
