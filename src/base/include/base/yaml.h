/* A YAML document as a tree that was checked while it was read (over libyaml).
 *
 * Bounded in bytes, depth and nodes, where an alias counts as everything it stands for; a repeated
 * key, an alias inside its own anchor and a second document are errors. Values are told apart by
 * what is asked: yml_bool(), yml_uint(), yml_text() check and convert. Every error is ERROR_CONFIG
 * and reads "mount.yaml:12: mount[3].readonly: 'ja' is not true or false".
 *
 * The prefix is yml_ because libyaml's own symbols begin with yaml_. */
#ifndef CJ_BASE_YAML_H
#define CJ_BASE_YAML_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/error.h"

enum {
    YML_SIZE_MAX = 64 << 20,
    YML_DEPTH_MAX = 32,
    YML_NODES_MAX = 100000,
};

enum yml_kind { YML_SCALAR, YML_SEQUENCE, YML_MAP };

struct yml_document; /* owns its nodes and their texts */
struct yml_node;

/* Reads size bytes of text; name is what errors call it. */
WARN_UNUSED int yml_parse(const char *name, const char *text, size_t size,
                          struct yml_document **out, struct cj_error *err);

/* Reads a file. One that does not exist is ERROR_SYSTEM/ENOENT. */
WARN_UNUSED int yml_load(const char *path, struct yml_document **out, struct cj_error *err);

/* NULL is fine. */
void yml_free(struct yml_document *document);

/* The outermost value; NULL when the document is empty (or says null). */
const struct yml_node *yml_root(const struct yml_document *document);

enum yml_kind yml_kind(const struct yml_node *node);
unsigned yml_line(const struct yml_node *node); /* from 1 */

/* Fails, with "name:line: path: " before the formatted reason. Returns -1. */
int yml_fail(const struct yml_node *node, struct cj_error *err, const char *format, ...)
    PRINTF(3, 4);

/* 0 if node is of this kind, else -1 with err. */
WARN_UNUSED int yml_expect(const struct yml_node *node, enum yml_kind kind, struct cj_error *err);

/* The value of a key, also through a merge key (<<). NULL when it is absent or null, and when map
 * is NULL or no map. */
const struct yml_node *yml_get(const struct yml_node *map, const char *key);

/* Members of a map or sequence, in the order of the file; 0 for NULL and scalars. */
size_t yml_count(const struct yml_node *node);
/* The index-th member's value (NULL when it is null); of a map also its key. index < yml_count().
 */
const struct yml_node *yml_item(const struct yml_node *node, size_t index);
const char *yml_key(const struct yml_node *map, size_t index);

/* Scalars. *text belongs to the document and holds no NUL. */
WARN_UNUSED int yml_text(const struct yml_node *node, const char **text, struct cj_error *err);
/* true, yes, on, false, no, off (in lower, upper or title case), without quotes. */
WARN_UNUSED int yml_bool(const struct yml_node *node, bool *value, struct cj_error *err);
/* A decimal, 0x or 0o integer of 0 to max. */
WARN_UNUSED int yml_uint(const struct yml_node *node, uint64_t max, uint64_t *value,
                         struct cj_error *err);
/* As size_parse() and duration_parse(). */
WARN_UNUSED int yml_size(const struct yml_node *node, uint64_t *bytes, struct cj_error *err);
WARN_UNUSED int yml_duration(const struct yml_node *node, int64_t *ns, struct cj_error *err);

/* What the analyzer cannot see through the "...": a failure is -1. */
#ifdef __clang_analyzer__
#define yml_fail(...) (yml_fail(__VA_ARGS__), -1)
#endif

#endif
