/* Files of a store by id: a hash table with chains, which doubles. */
#include "table.h"

#include <stdlib.h>
#include <string.h>

#include "base/fd.h"

enum { BUCKETS_MIN = 64 };

/* FNV-1a. Ids are random or the operator's own file names: nobody else picks them. */
static size_t hash(const char *id)
{
    uint64_t value = UINT64_C(14695981039346656037);
    for (; *id != '\0'; id++)
        value = (value ^ (unsigned char)*id) * UINT64_C(1099511628211);
    return (size_t)(value ^ value >> 32);
}

static struct entry **bucket_of(const struct table *table, const char *id)
{
    return &table->buckets[hash(id) & (table->bucket_count - 1)];
}

struct entry *table_find(const struct table *table, const char *id)
{
    if (table->bucket_count == 0)
        return NULL;
    struct entry *entry = *bucket_of(table, id);
    while (entry != NULL && strcmp(entry->id, id) != 0)
        entry = entry->next;
    return entry;
}

static bool grow(struct table *table)
{
    struct table larger = *table;
    larger.bucket_count = table->bucket_count == 0 ? BUCKETS_MIN : 2 * table->bucket_count;
    larger.buckets = calloc(larger.bucket_count, sizeof(struct entry *));
    if (larger.buckets == NULL)
        return false;
    for (size_t i = 0; i < table->bucket_count; i++) {
        for (struct entry *entry = table->buckets[i], *next; entry != NULL; entry = next) {
            struct entry **bucket = bucket_of(&larger, entry->id);
            next = entry->next;
            entry->next = *bucket;
            *bucket = entry;
        }
    }
    free(table->buckets);
    *table = larger;
    return true;
}

static void free_entry(struct entry *entry)
{
    fd_close(&entry->memfd);
    free(entry->id);
    free(entry->name);
    free(entry);
}

struct entry *table_add(struct table *table, const char *id, const char *name)
{
    if (table->count >= table->bucket_count && !grow(table) && table->bucket_count == 0)
        return NULL;
    struct entry *entry = calloc(1, sizeof(*entry));
    if (entry == NULL)
        return NULL;
    entry->memfd = -1;
    entry->id = strdup(id);
    entry->name = strdup(name);
    if (entry->id == NULL || entry->name == NULL) {
        free_entry(entry);
        return NULL;
    }
    struct entry **bucket = bucket_of(table, id);
    entry->next = *bucket;
    *bucket = entry;
    table->count++;
    return entry;
}

void table_resize(struct table *table, struct entry *entry, uint64_t size)
{
    table->bytes += size - entry->size;
    entry->size = size;
}

void table_remove(struct table *table, struct entry *entry)
{
    struct entry **link = bucket_of(table, entry->id);
    while (*link != entry)
        link = &(*link)->next;
    *link = entry->next;
    table->count--;
    table->bytes -= entry->size;
    free_entry(entry);
}

void table_each(struct table *table, void (*visit)(void *arg, struct entry *entry), void *arg)
{
    for (size_t i = 0; i < table->bucket_count; i++)
        for (struct entry *entry = table->buckets[i], *next; entry != NULL; entry = next) {
            next = entry->next;
            visit(arg, entry);
        }
}

static void remove_one(void *table, struct entry *entry)
{
    table_remove(table, entry);
}

void table_free(struct table *table)
{
    table_each(table, remove_one, table);
    free(table->buckets);
    *table = (struct table){0};
}
