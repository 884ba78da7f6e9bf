/* seccomp.yaml, in go-judge's schema:
 *
 *     default_action: errno             # when nothing matches; absent: kill_thread
 *     syscalls:                         # at least one group
 *       - action: allow
 *         names: [read, write]
 *         names_with_args:
 *           - name: socket
 *             arguments:                # all must hold
 *               - {argument: 0, operation: Equal, value: 1}
 *
 * Groups are evaluated in order: for each call, the first group with an entry that matches decides.
 * A call that a group names with arguments which do not hold goes on to the groups after it. Within
 * one group order means nothing (there is one action): a name may stand once in `names`, or any
 * number of times in `names_with_args` (any of them suffices), and not in both.
 *
 * The file guards a wall, so nothing in it is ignored: an unknown key, name or word is an error
 * with its line. The schema has a fixed depth and this reader never goes deeper, whatever aliases
 * point at; the number of rules is limited because aliases can repeat a short list many times. */
#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "base/fd.h"
#include "base/io.h"
#include "sandbox/seccomp_filter.h"
#include "seccomp_rule.h"

enum {
    FILE_SIZE_MAX = 256 * 1024,
    RULES_MAX = 4096, /* the program could not be longer either */
    ARGUMENT_MAX = 5,
    DEPTH_MAX = 16, /* the schema needs seven */
};

struct reader {
    const char *name; /* of the file, for messages */
    yaml_document_t *document;
    struct cj_error *err;
    struct seccomp_rule *rules; /* heap */
    size_t rule_count;
    size_t rule_capacity;
};

struct word {
    const char *text;
    uint32_t meaning;
};

static const struct word actions[] = {
    {"kill_thread", SECCOMP_RET_KILL_THREAD},
    {"kill_process", SECCOMP_RET_KILL_PROCESS},
    {"trap", SECCOMP_RET_TRAP},
    {"errno", SECCOMP_RET_ERRNO | EPERM},
    {"trace", SECCOMP_RET_TRACE}, /* without a tracer: ENOSYS, seccomp(2) */
    {"log", SECCOMP_RET_LOG},
    {"allow", SECCOMP_RET_ALLOW},
};

static const struct word operations[] = {
    {"Equal", SECCOMP_EQUAL},
    {"NotEqual", SECCOMP_NOT_EQUAL},
    {"GreaterThan", SECCOMP_GREATER},
    {"LessThan", SECCOMP_LESS},
    {"GreaterOrEqual", SECCOMP_GREATER_OR_EQUAL},
    {"LessOrEqual", SECCOMP_LESS_OR_EQUAL},
    {"BitsSet", SECCOMP_BITS_SET},
    {"BitsNotSet", SECCOMP_BITS_NOT_SET},
};

/* ---- YAML nodes ---- */

static int fail_at(struct reader *reader, const yaml_node_t *node, const char *format, ...)
    PRINTF(3, 4);

static int fail_at(struct reader *reader, const yaml_node_t *node, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    error_set(reader->err, ERROR_CONFIG, 0, "%s:%zu: %s", reader->name, node->start_mark.line + 1,
              text);
    return -1;
}

/* What the analyzer cannot see through the "...": a failure is -1. */
#ifdef __clang_analyzer__
#define fail_at(...) (fail_at(__VA_ARGS__), -1)
#endif

static int read_text(struct reader *reader, const yaml_node_t *node, const char **text)
{
    if (node->type != YAML_SCALAR_NODE)
        return fail_at(reader, node, "expected a word, not a list or mapping");
    *text = (const char *)node->data.scalar.value;
    if (strlen(*text) != node->data.scalar.length)
        return fail_at(reader, node, "NUL in a word");
    return 0;
}

static int read_word(struct reader *reader, const yaml_node_t *node, const char *what,
                     const struct word *words, size_t count, uint32_t *meaning)
{
    const char *text = NULL;
    if (read_text(reader, node, &text) < 0)
        return -1;
    for (size_t i = 0; i < count; i++) {
        if (strcasecmp(words[i].text, text) == 0) {
            *meaning = words[i].meaning;
            return 0;
        }
    }
    char known[128] = "";
    for (size_t i = 0, used = 0; i < count && used < sizeof(known); i++)
        used += (size_t)snprintf(known + used, sizeof(known) - used, "%s%s", i > 0 ? ", " : "",
                                 words[i].text);
    return fail_at(reader, node, "unknown %s '%s', not one of %s", what, text, known);
}

/* Decimal, 0x, 0o, 0b, or octal after a plain 0, up to 2^64-1. */
static int read_number(struct reader *reader, const yaml_node_t *node, uint64_t *number)
{
    static const char digits[] = "0123456789abcdef";
    const char *text = NULL;
    if (read_text(reader, node, &text) < 0)
        return -1;
    const char *next = text;
    unsigned base = 10;
    if (next[0] == '0' && next[1] != '\0') {
        base = next[1] == 'x' || next[1] == 'X' ? 16 : next[1] == 'b' || next[1] == 'B' ? 2 : 8;
        next += base != 8 || next[1] == 'o' ? 2 : 1;
    }
    uint64_t value = 0;
    bool good = *next != '\0';
    for (; good && *next != '\0'; next++) {
        const char *digit = strchr(digits, *next >= 'A' && *next <= 'F' ? *next + 32 : *next);
        good = digit != NULL && digit - digits < base &&
               !__builtin_mul_overflow(value, base, &value) &&
               !__builtin_add_overflow(value, (uint64_t)(digit - digits), &value);
    }
    if (!good)
        return fail_at(reader, node, "'%s' is not a number from 0 to 2^64-1", text);
    *number = value;
    return 0;
}

/* Finds the values of keys[0..count) in a mapping; NULL for an absent one. */
static int read_mapping(struct reader *reader, const yaml_node_t *node, const char *what,
                        const char *const *keys, size_t count, const yaml_node_t **values)
{
    if (node->type != YAML_MAPPING_NODE)
        return fail_at(reader, node, "%s must be a mapping", what);
    for (size_t i = 0; i < count; i++)
        values[i] = NULL;
    const yaml_node_pair_t *pair = node->data.mapping.pairs.start;
    for (; pair < node->data.mapping.pairs.top; pair++) {
        const yaml_node_t *key = yaml_document_get_node(reader->document, pair->key);
        const char *text = NULL;
        if (read_text(reader, key, &text) < 0)
            return -1;
        size_t i = 0;
        while (i < count && strcmp(keys[i], text) != 0)
            i++;
        if (i == count)
            return fail_at(reader, key, "unknown key '%s' in %s", text, what);
        if (values[i] != NULL)
            return fail_at(reader, key, "key '%s' twice in %s", text, what);
        values[i] = yaml_document_get_node(reader->document, pair->value);
    }
    return 0;
}

typedef int read_item(struct reader *reader, const yaml_node_t *item, void *context);

static int read_list(struct reader *reader, const yaml_node_t *node, const char *what,
                     read_item *read, void *context)
{
    if (node->type != YAML_SEQUENCE_NODE)
        return fail_at(reader, node, "%s must be a list", what);
    const yaml_node_item_t *item = node->data.sequence.items.start;
    for (; item < node->data.sequence.items.top; item++)
        if (read(reader, yaml_document_get_node(reader->document, *item), context) < 0)
            return -1;
    return 0;
}

/* ---- The schema ---- */

struct group {
    uint32_t action;
    size_t first_rule;
};

static int read_syscall(struct reader *reader, const yaml_node_t *node, const char **name,
                        uint32_t *number)
{
    if (read_text(reader, node, name) < 0)
        return -1;
    int found = seccomp_syscall_number(seccomp_arch_native(), *name);
    if (found == SYSCALL_ABSENT)
        return fail_at(reader, node, "system call '%s' does not exist on this architecture", *name);
    if (found < 0)
        return fail_at(reader, node, "unknown system call '%s'", *name);
    *number = (uint32_t)found;
    return 0;
}

static struct seccomp_rule *add_rule(struct reader *reader, const yaml_node_t *node)
{
    if (reader->rule_count == RULES_MAX) {
        fail_at(reader, node, "more than %d rules", RULES_MAX);
        return NULL;
    }
    if (reader->rule_count == reader->rule_capacity) {
        size_t capacity = reader->rule_capacity == 0 ? 64 : 2 * reader->rule_capacity;
        struct seccomp_rule *larger = realloc(reader->rules, capacity * sizeof(*larger));
        if (larger == NULL) {
            fail_at(reader, node, "out of memory");
            return NULL;
        }
        reader->rules = larger;
        reader->rule_capacity = capacity;
    }
    struct seccomp_rule *rule = &reader->rules[reader->rule_count++];
    *rule = (struct seccomp_rule){0};
    return rule;
}

/* Whether group has a rule for number; with_conditions: one that has conditions, or one that has
 * none. */
static bool group_has(const struct reader *reader, const struct group *group, uint32_t number,
                      bool with_conditions)
{
    for (size_t i = group->first_rule; i < reader->rule_count; i++)
        if (reader->rules[i].number == number &&
            (reader->rules[i].condition_count > 0) == with_conditions)
            return true;
    return false;
}

static int read_name(struct reader *reader, const yaml_node_t *node, void *context)
{
    const struct group *group = context;
    const char *name = NULL;
    uint32_t number = 0;
    if (read_syscall(reader, node, &name, &number) < 0)
        return -1;
    if (group_has(reader, group, number, false))
        return fail_at(reader, node, "duplicate system call '%s'", name);
    struct seccomp_rule *rule = add_rule(reader, node);
    if (rule == NULL)
        return -1;
    rule->number = number;
    rule->action = group->action;
    return 0;
}

static int read_condition(struct reader *reader, const yaml_node_t *node, void *context)
{
    static const char *const keys[] = {"argument", "operation", "value"};
    struct seccomp_rule *rule = context;
    const yaml_node_t *values[COUNT_OF(keys)];
    if (read_mapping(reader, node, "an argument", keys, COUNT_OF(keys), values) < 0)
        return -1;
    if (rule->condition_count == SECCOMP_CONDITIONS_MAX)
        return fail_at(reader, node, "more than %d conditions", SECCOMP_CONDITIONS_MAX);
    if (values[1] == NULL)
        return fail_at(reader, node, "an argument needs an operation");
    uint64_t argument = 0;
    uint64_t value = 0;
    uint32_t operation = 0;
    if (values[0] != NULL && read_number(reader, values[0], &argument) < 0)
        return -1;
    if (argument > ARGUMENT_MAX)
        return fail_at(reader, values[0], "a system call has the arguments 0 to %d", ARGUMENT_MAX);
    if (read_word(reader, values[1], "operation", operations, COUNT_OF(operations), &operation) < 0)
        return -1;
    if (values[2] != NULL && read_number(reader, values[2], &value) < 0)
        return -1;
    rule->conditions[rule->condition_count++] = (struct seccomp_condition){
        .argument = (uint8_t)argument,
        .operation = (uint8_t)operation,
        .value = value,
    };
    return 0;
}

static int read_name_with_args(struct reader *reader, const yaml_node_t *node, void *context)
{
    static const char *const keys[] = {"name", "arguments"};
    const struct group *group = context;
    const yaml_node_t *values[COUNT_OF(keys)];
    if (read_mapping(reader, node, "names_with_args", keys, COUNT_OF(keys), values) < 0)
        return -1;
    if (values[0] == NULL || values[1] == NULL)
        return fail_at(reader, node, "names_with_args needs a name and arguments");
    const char *name = NULL;
    uint32_t number = 0;
    if (read_syscall(reader, values[0], &name, &number) < 0)
        return -1;
    if (group_has(reader, group, number, false))
        return fail_at(reader, node, "duplicate system call '%s': also without arguments", name);
    struct seccomp_rule *rule = add_rule(reader, node);
    if (rule == NULL)
        return -1;
    rule->number = number;
    rule->action = group->action;
    if (read_list(reader, values[1], "arguments", read_condition, rule) < 0)
        return -1;
    if (rule->condition_count == 0)
        return fail_at(reader, values[1], "no arguments; list '%s' under names instead", name);
    return 0;
}

static int read_group(struct reader *reader, const yaml_node_t *node, void *context)
{
    (void)context;
    static const char *const keys[] = {"action", "names", "names_with_args"};
    const yaml_node_t *values[COUNT_OF(keys)];
    if (read_mapping(reader, node, "a group of syscalls", keys, COUNT_OF(keys), values) < 0)
        return -1;
    struct group group = {.first_rule = reader->rule_count};
    if (values[0] == NULL)
        return fail_at(reader, node, "a group of syscalls needs an action");
    if (read_word(reader, values[0], "action", actions, COUNT_OF(actions), &group.action) < 0)
        return -1;
    if (values[1] != NULL && read_list(reader, values[1], "names", read_name, &group) < 0)
        return -1;
    if (values[2] != NULL &&
        read_list(reader, values[2], "names_with_args", read_name_with_args, &group) < 0)
        return -1;
    return 0;
}

/* A list of what is forbidden, with everything else allowed, would be void if the same calls could
 * be made through the 32-bit entry. go-judge lets them pass. */
static uint32_t foreign_action(uint32_t default_action)
{
    bool lets_pass = default_action == SECCOMP_RET_ALLOW || default_action == SECCOMP_RET_LOG;
    return lets_pass ? SECCOMP_RET_ERRNO | ENOSYS : default_action;
}

static int read_policy(struct reader *reader, const yaml_node_t *root, struct seccomp_filter *out)
{
    static const char *const keys[] = {"default_action", "syscalls"};
    const yaml_node_t *values[COUNT_OF(keys)];
    if (read_mapping(reader, root, "the filter", keys, COUNT_OF(keys), values) < 0)
        return -1;
    uint32_t default_action = SECCOMP_RET_KILL_THREAD;
    if (values[0] != NULL && read_word(reader, values[0], "default_action", actions,
                                       COUNT_OF(actions), &default_action) < 0)
        return -1;
    if (values[1] == NULL)
        return fail_at(reader, root, "no syscalls");
    if (read_list(reader, values[1], "syscalls", read_group, NULL) < 0)
        return -1;
    if (values[1]->data.sequence.items.start == values[1]->data.sequence.items.top)
        return fail_at(reader, values[1], "syscalls is empty");
    const struct seccomp_policy policy = {
        .arch = seccomp_arch_native(),
        .default_action = default_action,
        .foreign_action = foreign_action(default_action),
        .x32_action = SECCOMP_RET_ERRNO | ENOSYS,
        .rules = reader->rules,
        .rule_count = reader->rule_count,
    };
    if (seccomp_filter_compile(&policy, out, reader->err) < 0)
        return error_wrap(reader->err, "%s", reader->name);
    return 0;
}

/* ---- Documents ---- */

static int fail_parser(struct reader *reader, const yaml_parser_t *parser)
{
    const char *problem = parser->problem != NULL ? parser->problem : "out of memory";
    return error_set(reader->err, ERROR_CONFIG, 0, "%s:%zu: %s", reader->name,
                     parser->problem_mark.line + 1, problem);
}

/* libyaml's time grows with the square of the depth, so deep text is refused before a document is
 * made of it: this pass stops at the first event that lies too deep. */
static int check_depth(struct reader *reader, yaml_parser_t *parser)
{
    int depth = 0;
    yaml_event_type_t type = YAML_NO_EVENT;
    while (type != YAML_STREAM_END_EVENT) {
        yaml_event_t event;
        if (!yaml_parser_parse(parser, &event))
            return fail_parser(reader, parser);
        type = event.type;
        size_t line = event.start_mark.line + 1;
        yaml_event_delete(&event);
        depth += type == YAML_SEQUENCE_START_EVENT || type == YAML_MAPPING_START_EVENT;
        depth -= type == YAML_SEQUENCE_END_EVENT || type == YAML_MAPPING_END_EVENT;
        if (depth > DEPTH_MAX)
            return error_set(reader->err, ERROR_CONFIG, 0, "%s:%zu: nested deeper than %d",
                             reader->name, line, DEPTH_MAX);
    }
    return 0;
}

/* Reads the only document of the stream. */
static int read_stream(struct reader *reader, yaml_parser_t *parser, struct seccomp_filter *out)
{
    yaml_document_t document;
    if (!yaml_parser_load(parser, &document))
        return fail_parser(reader, parser);
    reader->document = &document;
    const yaml_node_t *root = yaml_document_get_root_node(&document);
    int result = root != NULL
                     ? read_policy(reader, root, out)
                     : error_set(reader->err, ERROR_CONFIG, 0, "%s: no content", reader->name);
    reader->document = NULL;
    yaml_document_delete(&document);
    if (result < 0)
        return -1;

    if (!yaml_parser_load(parser, &document)) {
        seccomp_filter_free(out);
        return fail_parser(reader, parser);
    }
    const yaml_node_t *second = yaml_document_get_root_node(&document);
    if (second != NULL) {
        seccomp_filter_free(out);
        result = fail_at(reader, second, "a second document");
    }
    yaml_document_delete(&document);
    return result;
}

static int parser_open(struct reader *reader, yaml_parser_t *parser, const char *text, size_t size)
{
    if (!yaml_parser_initialize(parser))
        return error_set(reader->err, ERROR_SYSTEM, ENOMEM, "%s: out of memory", reader->name);
    yaml_parser_set_input_string(parser, (const unsigned char *)text, size);
    return 0;
}

int seccomp_config_parse(const char *name, const char *text, size_t size,
                         struct seccomp_filter *out, struct cj_error *err)
{
    struct reader reader = {.name = name, .err = err};
    yaml_parser_t parser;
    if (parser_open(&reader, &parser, text, size) < 0)
        return -1;
    int result = check_depth(&reader, &parser);
    yaml_parser_delete(&parser);
    if (result < 0 || parser_open(&reader, &parser, text, size) < 0)
        return -1;
    result = read_stream(&reader, &parser, out);
    yaml_parser_delete(&parser);
    free(reader.rules);
    return result;
}

int seccomp_filter_load(const char *path, struct seccomp_filter *out, struct cj_error *err)
{
    auto_free char *text = NULL;
    size_t size = 0;
    if (read_file_alloc(AT_FDCWD, path, FILE_SIZE_MAX, &text, &size, err) < 0)
        return -1;
    return seccomp_config_parse(path, text, size, out, err);
}
