/* YAML documents: walking a tree, with all its aliases, costs no more than the limits say. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/yaml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void walk(const struct yml_node *node, unsigned depth, size_t *seen)
{
    if (node == NULL)
        return;
    if (depth >= YML_DEPTH_MAX || ++*seen > YML_NODES_MAX)
        abort();
    struct cj_error err;
    const char *text;
    bool flag;
    uint64_t number;
    int64_t ns;
    (void)!yml_text(node, &text, &err);
    (void)!yml_bool(node, &flag, &err);
    (void)!yml_uint(node, 1000, &number, &err);
    (void)!yml_size(node, &number, &err);
    (void)!yml_duration(node, &ns, &err);
    (void)yml_get(node, "a");
    for (size_t i = 0; i < yml_count(node); i++) {
        if (yml_kind(node) == YML_MAP)
            (void)yml_key(node, i);
        walk(yml_item(node, i), depth + 1, seen);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct yml_document *document = NULL;
    struct cj_error err = {0};
    if (yml_parse("fuzz", (const char *)data, size, &document, &err) < 0) {
        if (err.message[0] == '\0' || document != NULL)
            abort();
        return 0;
    }
    size_t seen = 0;
    walk(yml_root(document), 0, &seen);
    yml_free(document);
    return 0;
}
