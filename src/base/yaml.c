/* A YAML document as a checked tree: libyaml's events, put together with limits. */
#include "base/yaml.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <yaml.h>

#include "base/buf.h"
#include "base/fd.h"
#include "base/io.h"
#include "base/units.h"

enum { ANCHORS_MAX = 1000 }; /* each alias looks through them */

struct yml_node {
    enum yml_kind kind;
    bool plain; /* scalar without quotes */
    unsigned line;
    unsigned height; /* levels below it */
    size_t weight;   /* nodes it stands for, itself and what its aliases repeat included */
    const struct yml_document *document;
    const struct yml_node *parent; /* where it was written; an alias shows it elsewhere, too */
    size_t place;                  /* index among the parent's members */
    char *anchor;                  /* or NULL */
    char *text;                    /* scalar: with a NUL behind size bytes */
    size_t size;
    struct yml_node **keys; /* map: scalars; count of them */
    struct yml_node **values;
    size_t count, capacity;
    struct yml_node *next;        /* the document's list of all nodes, newest first */
    struct yml_node *next_anchor; /* of those with an anchor, newest first */
};

struct yml_document {
    char *name;
    struct yml_node *root;
    struct yml_node *nodes;
};

static void node_free(struct yml_node *node)
{
    free(node->anchor);
    free(node->text);
    free(node->keys);
    free(node->values);
    free(node);
}

void yml_free(struct yml_document *document)
{
    if (document == NULL)
        return;
    for (struct yml_node *node = document->nodes; node != NULL;) {
        struct yml_node *next = node->next;
        node_free(node);
        node = next;
    }
    free(document->name);
    free(document);
}

static void document_cleanup(struct yml_document **document)
{
    yml_free(*document);
}

/* ---- errors ---- */

/* "mount[3].target", from the root down. Recursion is bounded by YML_DEPTH_MAX. */
static void path_append(struct buf *path, const struct yml_node *node)
{
    const struct yml_node *parent = node->parent;
    if (parent == NULL)
        return;
    path_append(path, parent);
    if (parent->kind == YML_SEQUENCE)
        buf_printf(path, "[%zu]", node->place);
    else
        buf_printf(path, "%s%.100s", path->size > 0 ? "." : "", parent->keys[node->place]->text);
}

int(yml_fail)(const struct yml_node *node, struct cj_error *err, const char *format, ...)
{
    char reason[ERROR_MESSAGE_SIZE];
    va_list args;
    va_start(args, format);
    vsnprintf(reason, sizeof(reason), format, args);
    va_end(args);
    auto_buf struct buf path = {0};
    path_append(&path, node);
    return error_set(err, ERROR_CONFIG, 0, "%s:%u: %.*s%s%s", node->document->name, node->line,
                     (int)path.size, path.size > 0 ? path.data : "", path.size > 0 ? ": " : "",
                     reason);
}

/* ---- reading ---- */

/* The document being built: the maps and sequences that are open, outermost first. */
struct builder {
    struct yml_document *document;
    struct yml_node *open[YML_DEPTH_MAX];
    size_t depth;
    struct yml_node *key; /* a map's key that waits for its value */
    struct yml_node *anchors;
    size_t anchor_count;
    size_t weight; /* of everything so far */
    unsigned line; /* of the event */
    struct cj_error *err;
};

static int builder_fail(const struct builder *builder, const char *reason)
{
    return error_set(builder->err, ERROR_CONFIG, 0, "%s:%u: %s", builder->document->name,
                     builder->line, reason);
}

static int builder_no_memory(const struct builder *builder)
{
    return error_set(builder->err, ERROR_SYSTEM, ENOMEM, "%s: out of memory",
                     builder->document->name);
}

/* Makes a node of the document. Returns 0 and *out, or -1 with err. */
static int node_new(struct builder *builder, enum yml_kind kind, const yaml_char_t *anchor,
                    struct yml_node **out)
{
    struct yml_node *node = calloc(1, sizeof(*node));
    if (node == NULL)
        return builder_no_memory(builder);
    *node = (struct yml_node){
        .kind = kind,
        .line = builder->line,
        .weight = 1,
        .document = builder->document,
        .next = builder->document->nodes,
    };
    builder->document->nodes = node;
    *out = node;
    if (anchor == NULL)
        return 0;
    if (builder->anchor_count++ == ANCHORS_MAX)
        return builder_fail(builder, "too many anchors");
    node->anchor = strdup((const char *)anchor);
    if (node->anchor == NULL)
        return builder_no_memory(builder);
    node->next_anchor = builder->anchors;
    builder->anchors = node;
    return 0;
}

/* Makes room for one more member. */
static bool members_grow(struct yml_node *node)
{
    if (node->count < node->capacity)
        return true;
    size_t capacity = node->capacity == 0 ? 8 : node->capacity * 2;
    struct yml_node **values = reallocarray(node->values, capacity, sizeof(*values));
    if (values == NULL)
        return false;
    node->values = values;
    if (node->kind == YML_MAP) {
        struct yml_node **keys = reallocarray(node->keys, capacity, sizeof(*keys));
        if (keys == NULL)
            return false;
        node->keys = keys;
    }
    node->capacity = capacity;
    return true;
}

/* Takes node as a key of the map that is open. */
static int builder_take_key(struct builder *builder, struct yml_node *node)
{
    if (node->kind != YML_SCALAR)
        return builder_fail(builder, "a key must be a word");
    if (strlen(node->text) != node->size)
        return builder_fail(builder, "a key holds a NUL byte");
    builder->key = node;
    return 0;
}

/* Puts a node (new, or one that an alias names) where the document is. */
static int builder_place(struct builder *builder, struct yml_node *node, bool is_alias)
{
    builder->weight += is_alias ? node->weight : 1;
    if (builder->weight > YML_NODES_MAX)
        return builder_fail(builder, "too many values");
    if (builder->depth + node->height >= YML_DEPTH_MAX)
        return builder_fail(builder, "nested too deeply");
    if (builder->depth == 0) {
        builder->document->root = node;
        return 0;
    }
    struct yml_node *parent = builder->open[builder->depth - 1];
    if (parent->kind == YML_MAP && builder->key == NULL)
        return builder_take_key(builder, node);
    if (!members_grow(parent))
        return builder_no_memory(builder);
    if (!is_alias) {
        node->parent = parent;
        node->place = parent->count;
    }
    if (parent->kind == YML_MAP)
        parent->keys[parent->count] = builder->key;
    builder->key = NULL;
    parent->values[parent->count++] = node;
    return 0;
}

static int builder_scalar(struct builder *builder, const yaml_event_t *event)
{
    struct yml_node *node;
    if (node_new(builder, YML_SCALAR, event->data.scalar.anchor, &node) < 0)
        return -1;
    node->size = event->data.scalar.length;
    node->plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    node->text = malloc(node->size + 1);
    if (node->text == NULL)
        return builder_no_memory(builder);
    memcpy(node->text, event->data.scalar.value, node->size);
    node->text[node->size] = '\0';
    return builder_place(builder, node, false);
}

static int builder_open(struct builder *builder, enum yml_kind kind, const yaml_char_t *anchor)
{
    struct yml_node *node;
    if (node_new(builder, kind, anchor, &node) < 0)
        return -1;
    bool as_key = builder->depth > 0 && builder->open[builder->depth - 1]->kind == YML_MAP &&
                  builder->key == NULL;
    if (as_key)
        return builder_fail(builder, "a key must be a word");
    if (builder_place(builder, node, false) < 0)
        return -1;
    builder->open[builder->depth++] = node;
    return 0;
}

static int compare_keys(const void *left, const void *right)
{
    const struct yml_node *const *a = left;
    const struct yml_node *const *b = right;
    int order = strcmp((*a)->text, (*b)->text);
    return order != 0 ? order : ((*a)->line > (*b)->line) - ((*a)->line < (*b)->line);
}

/* Sorted first: a map of many keys must not cost their square. */
static int check_keys(const struct builder *builder, const struct yml_node *map)
{
    if (map->count < 2)
        return 0;
    auto_free struct yml_node **sorted = calloc(map->count, sizeof(struct yml_node *));
    if (sorted == NULL)
        return builder_no_memory(builder);
    memcpy(sorted, map->keys, map->count * sizeof(*sorted));
    qsort(sorted, map->count, sizeof(*sorted), compare_keys);
    for (size_t i = 1; i < map->count; i++)
        if (strcmp(sorted[i - 1]->text, sorted[i]->text) == 0)
            return error_set(
                builder->err, ERROR_CONFIG, 0, "%s:%u: %.100s: given twice, first in line %u",
                builder->document->name, sorted[i]->line, sorted[i]->text, sorted[i - 1]->line);
    return 0;
}

static int builder_close(struct builder *builder)
{
    struct yml_node *node = builder->open[--builder->depth];
    assert(node != NULL); /* what was begun is open */
    for (size_t i = 0; i < node->count; i++) {
        const struct yml_node *member = node->values[i];
        node->weight += member->weight;
        if (member->height >= node->height)
            node->height = member->height + 1;
    }
    return node->kind == YML_MAP ? check_keys(builder, node) : 0;
}

static int builder_alias(struct builder *builder, const char *anchor)
{
    for (size_t i = 0; i < builder->depth; i++)
        if (builder->open[i] != NULL && builder->open[i]->anchor != NULL &&
            strcmp(builder->open[i]->anchor, anchor) == 0)
            return builder_fail(builder, "an alias inside what it stands for");
    struct yml_node *node = builder->anchors;
    while (node != NULL && node->anchor != NULL && strcmp(node->anchor, anchor) != 0)
        node = node->next_anchor; /* the newest of that name, as YAML wants it */
    if (node == NULL)
        return builder_fail(builder, "an alias without its anchor");
    return builder_place(builder, node, true);
}

static int builder_event(struct builder *builder, const yaml_event_t *event)
{
    builder->line = (unsigned)event->start_mark.line + 1;
    switch (event->type) {
    case YAML_DOCUMENT_START_EVENT:
        if (builder->document->root != NULL)
            return builder_fail(builder, "a second document; one is all that is read");
        return 0;
    case YAML_SCALAR_EVENT:
        return builder_scalar(builder, event);
    case YAML_SEQUENCE_START_EVENT:
        return builder_open(builder, YML_SEQUENCE, event->data.sequence_start.anchor);
    case YAML_MAPPING_START_EVENT:
        return builder_open(builder, YML_MAP, event->data.mapping_start.anchor);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        return builder_close(builder);
    case YAML_ALIAS_EVENT:
        return builder_alias(builder, (const char *)event->data.alias.anchor);
    case YAML_NO_EVENT:
    case YAML_STREAM_START_EVENT:
    case YAML_STREAM_END_EVENT:
    case YAML_DOCUMENT_END_EVENT:
        break;
    }
    return 0;
}

static int syntax_fail(const struct builder *builder, const yaml_parser_t *parser)
{
    if (parser->error == YAML_MEMORY_ERROR)
        return builder_no_memory(builder);
    return error_set(
        builder->err, ERROR_CONFIG, 0, "%s:%zu: %s%s%s", builder->document->name,
        parser->problem_mark.line + 1, parser->problem != NULL ? parser->problem : "not YAML",
        parser->context != NULL ? " " : "", parser->context != NULL ? parser->context : "");
}

static int build(struct builder *builder, yaml_parser_t *parser)
{
    for (bool more = true; more;) {
        yaml_event_t event;
        if (!yaml_parser_parse(parser, &event))
            return syntax_fail(builder, parser);
        more = event.type != YAML_STREAM_END_EVENT;
        int result = builder_event(builder, &event);
        yaml_event_delete(&event);
        if (result < 0)
            return -1;
    }
    return 0;
}

int yml_parse(const char *name, const char *text, size_t size, struct yml_document **out,
              struct cj_error *err)
{
    if (size > YML_SIZE_MAX)
        return error_set(err, ERROR_CONFIG, EFBIG, "%s: larger than %d bytes", name, YML_SIZE_MAX);
    __attribute__((cleanup(document_cleanup))) struct yml_document *document =
        calloc(1, sizeof(*document));
    if (document == NULL || (document->name = strdup(name)) == NULL)
        return error_set(err, ERROR_SYSTEM, ENOMEM, "%s: out of memory", name);
    struct builder builder = {.document = document, .err = err};
    yaml_parser_t parser;
    if (!yaml_parser_initialize(&parser))
        return builder_no_memory(&builder);
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, size);
    int result = build(&builder, &parser);
    yaml_parser_delete(&parser);
    if (result < 0)
        return -1;
    *out = document;
    document = NULL;
    return 0;
}

int yml_load(const char *path, struct yml_document **out, struct cj_error *err)
{
    auto_free char *text = NULL;
    size_t size;
    if (read_file_alloc(AT_FDCWD, path, YML_SIZE_MAX, &text, &size, err) < 0)
        return -1;
    return yml_parse(path, text, size, out, err);
}

/* ---- the tree ---- */

static bool is_one_of(const char *text, const char *const *words)
{
    for (; *words != NULL; words++)
        if (strcmp(text, *words) == 0)
            return true;
    return false;
}

static bool is_null(const struct yml_node *node)
{
    static const char *const words[] = {"", "~", "null", "Null", "NULL", NULL};
    return node->kind == YML_SCALAR && node->plain && is_one_of(node->text, words);
}

static const struct yml_node *unless_null(const struct yml_node *node)
{
    return node == NULL || is_null(node) ? NULL : node;
}

const struct yml_node *yml_root(const struct yml_document *document)
{
    return unless_null(document->root);
}

enum yml_kind yml_kind(const struct yml_node *node)
{
    return node->kind;
}

unsigned yml_line(const struct yml_node *node)
{
    return node->line;
}

int yml_expect(const struct yml_node *node, enum yml_kind kind, struct cj_error *err)
{
    static const char *const names[] = {"a single value", "a list", "a map"};
    if (node->kind == kind)
        return 0;
    return yml_fail(node, err, "%s is needed here, not %s", names[kind], names[node->kind]);
}

static const struct yml_node *get_own(const struct yml_node *map, const char *key)
{
    for (size_t i = 0; i < map->count; i++)
        if (strcmp(map->keys[i]->text, key) == 0)
            return map->values[i];
    return NULL;
}

/* The map itself, then what its merge key names; the depth of the document bounds the recursion. */
static const struct yml_node *get_merged(const struct yml_node *map, const char *key)
{
    if (map == NULL || map->kind != YML_MAP)
        return NULL;
    const struct yml_node *found = get_own(map, key);
    const struct yml_node *merged = found == NULL ? get_own(map, "<<") : NULL;
    if (merged == NULL)
        return found;
    if (merged->kind == YML_MAP)
        return get_merged(merged, key);
    for (size_t i = 0; i < merged->count && found == NULL; i++)
        found = get_merged(merged->values[i], key);
    return found;
}

const struct yml_node *yml_get(const struct yml_node *map, const char *key)
{
    return unless_null(get_merged(map, key));
}

size_t yml_count(const struct yml_node *node)
{
    return node == NULL ? 0 : node->count;
}

const struct yml_node *yml_item(const struct yml_node *node, size_t index)
{
    assert(index < node->count);
    return unless_null(node->values[index]);
}

const char *yml_key(const struct yml_node *map, size_t index)
{
    assert(map->kind == YML_MAP && index < map->count);
    return map->keys[index]->text;
}

/* ---- scalars ---- */

int yml_text(const struct yml_node *node, const char **text, struct cj_error *err)
{
    if (yml_expect(node, YML_SCALAR, err) < 0)
        return -1;
    if (strlen(node->text) != node->size)
        return yml_fail(node, err, "a NUL byte is not allowed");
    *text = node->text;
    return 0;
}

int yml_bool(const struct yml_node *node, bool *value, struct cj_error *err)
{
    static const char *const yes[] = {"true", "True", "TRUE", "yes", "Yes",
                                      "YES",  "on",   "On",   "ON",  NULL};
    static const char *const no[] = {"false", "False", "FALSE", "no",  "No",
                                     "NO",    "off",   "Off",   "OFF", NULL};
    const char *text;
    if (yml_text(node, &text, err) < 0)
        return -1;
    bool is_yes = node->plain && is_one_of(text, yes);
    if (!is_yes && !(node->plain && is_one_of(text, no)))
        return yml_fail(node, err, "'%s' is not true or false", text);
    *value = is_yes;
    return 0;
}

/* Digits of base with nothing around them. */
static int digits_parse(const char *digits, int base, uint64_t *value)
{
    static const char all[] = "0123456789abcdefABCDEF";
    size_t allowed = base == 16 ? strlen(all) : (size_t)base;
    char set[sizeof(all)];
    memcpy(set, all, allowed);
    set[allowed] = '\0';
    if (digits[0] == '\0' || digits[strspn(digits, set)] != '\0')
        return -1;
    errno = 0;
    *value = strtoull(digits, NULL, base);
    return errno != 0 ? -1 : 0;
}

int yml_uint(const struct yml_node *node, uint64_t max, uint64_t *value, struct cj_error *err)
{
    const char *text;
    if (yml_text(node, &text, err) < 0)
        return -1;
    bool prefixed = text[0] == '0' && (text[1] == 'x' || text[1] == 'o');
    /* 010 is 8 in YAML 1.1 and 10 in YAML 1.2: nobody should have to know */
    bool ambiguous = text[0] == '0' && text[1] != '\0' && !prefixed;
    int base = !prefixed ? 10 : text[1] == 'x' ? 16 : 8;
    uint64_t result;
    if (!node->plain || ambiguous || digits_parse(text + (prefixed ? 2 : 0), base, &result) < 0)
        return yml_fail(node, err, "'%s' is not a whole number", text);
    if (result > max)
        return yml_fail(node, err, "%s is above %ju", text, (uintmax_t)max);
    *value = result;
    return 0;
}

int yml_size(const struct yml_node *node, uint64_t *bytes, struct cj_error *err)
{
    const char *text;
    if (yml_text(node, &text, err) < 0)
        return -1;
    struct cj_error reason;
    if (size_parse(text, bytes, &reason) < 0)
        return yml_fail(node, err, "%s", reason.message);
    return 0;
}

int yml_duration(const struct yml_node *node, int64_t *ns, struct cj_error *err)
{
    const char *text;
    if (yml_text(node, &text, err) < 0)
        return -1;
    struct cj_error reason;
    if (duration_parse(text, ns, &reason) < 0)
        return yml_fail(node, err, "%s", reason.message);
    return 0;
}
