/* Which outputs a request wants from where. */
#include "out_plan.h"

#include <stdlib.h>
#include <string.h>

bool out_is_cached(const struct exec_request *request, const char *name)
{
    for (size_t i = 0; i < request->copy_out_cached_count; i++)
        if (strcmp(request->copy_out_cached[i].name, name) == 0)
            return true;
    return false;
}

/* By name; of equal names the one that counts comes first: cached before not, then in their order. */
static int by_name(const void *left, const void *right)
{
    const struct out_item *a = left, *b = right;
    int order = strcmp(a->item->name, b->item->name);
    if (order != 0)
        return order;
    if (a->cached != b->cached)
        return a->cached ? -1 : 1;
    return a->item < b->item ? -1 : a->item > b->item;
}

static int by_place(const void *left, const void *right)
{
    const struct out_item *a = left, *b = right;
    if (a->cached != b->cached)
        return a->cached ? 1 : -1;
    return a->item < b->item ? -1 : a->item > b->item;
}

/* Sorted and back, so that a request with very many names costs no more than that. */
size_t out_plan(const struct exec_request *request, struct out_item *items)
{
    size_t count = 0, kept = 0;
    for (size_t i = 0; i < request->copy_out_count; i++)
        items[count++] = (struct out_item){&request->copy_out[i], false};
    for (size_t i = 0; i < request->copy_out_cached_count; i++)
        items[count++] = (struct out_item){&request->copy_out_cached[i], true};
    if (count < 2)
        return count;
    qsort(items, count, sizeof(*items), by_name);
    for (size_t i = 0; i < count; i++)
        if (kept == 0 || strcmp(items[kept - 1].item->name, items[i].item->name) != 0)
            items[kept++] = items[i];
    qsort(items, kept, sizeof(*items), by_place);
    return kept;
}
