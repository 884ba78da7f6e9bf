#include "judge/build_cache.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "judge/artefact.h"

enum { BUCKETS = 4096, RECORD_BYTES = 1024 /* what one costs beside its contents, about */ };

struct build_record {
    unsigned owners;
    struct judge_artefact *artefact;
    struct exec_result result;
    struct digest digest; /* of the artefact's files */
    uint64_t bytes;
};

struct entry {
    struct digest key;
    struct build_record *record;
    struct entry *chain;           /* in its bucket */
    struct entry *older, *younger; /* by use */
};

struct build_flight {
    struct digest key;
    struct build_flight *next, *previous;
    struct build_wait *waits;
};

struct build_cache {
    struct sched *sched;
    pthread_mutex_t
        lock; /* of all below; the scheduler's is taken within it, never the other way */
    struct entry *buckets[BUCKETS];
    struct entry *oldest, *youngest;
    struct build_flight *flights; /* as many as slots at most */
    struct build_cache_stats stats;
};

/* ---- records ---- */

static int digest_artefact(const struct judge_artefact *artefact, struct digest *out)
{
    struct digest_state *state = digest_begin();
    size_t count;
    const struct exec_output *files = judge_artefact_files(artefact, &count);
    for (size_t i = 0; i < count; i++) {
        digest_add_text(state, files[i].name);
        digest_add(state, files[i].data, files[i].size);
    }
    return digest_end(state, out);
}

static int copy_outputs(const struct exec_result *from, struct exec_result *to)
{
    *to = (struct exec_result){.status = from->status,
                               .exit_status = from->exit_status,
                               .cpu_ns = from->cpu_ns,
                               .wall_ns = from->wall_ns,
                               .memory_bytes = from->memory_bytes,
                               .process_peak = from->process_peak};
    static const char *const names[] = {"stdout", "stderr"};
    to->files = calloc(COUNT_OF(names), sizeof(*to->files));
    if (to->files == NULL)
        return -1;
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        const struct exec_output *output = judge_output(from, names[i]);
        if (output == NULL)
            continue;
        struct exec_output *copy = &to->files[to->file_count++];
        copy->name = strdup(names[i]);
        copy->data = output->size > 0 ? malloc(output->size) : NULL;
        if (copy->name == NULL || (copy->data == NULL && output->size > 0))
            return -1;
        copy->size = output->size;
        if (output->size > 0)
            memcpy(copy->data, output->data, output->size);
    }
    return 0;
}

static uint64_t record_size(const struct build_record *record)
{
    uint64_t bytes = RECORD_BYTES;
    size_t count = 0;
    const struct exec_output *files =
        record->artefact != NULL ? judge_artefact_files(record->artefact, &count) : NULL;
    for (size_t i = 0; i < count; i++)
        bytes += files[i].size + strlen(files[i].name);
    for (size_t i = 0; i < record->result.file_count; i++)
        bytes += record->result.files[i].size;
    return bytes;
}

struct build_record *build_record_new(struct judge_artefact *artefact,
                                      const struct exec_result *result)
{
    struct build_record *record = calloc(1, sizeof(*record));
    if (record == NULL)
        return NULL;
    record->owners = 1;
    record->artefact = artefact != NULL ? judge_artefact_share(artefact) : NULL;
    if (copy_outputs(result, &record->result) < 0 ||
        (artefact != NULL && digest_artefact(artefact, &record->digest) < 0)) {
        build_record_release(record);
        return NULL;
    }
    record->bytes = record_size(record);
    return record;
}

static struct build_record *record_share(struct build_record *record)
{
    __atomic_add_fetch(&record->owners, 1, __ATOMIC_RELAXED);
    return record;
}

void build_record_release(struct build_record *record)
{
    if (record == NULL || __atomic_sub_fetch(&record->owners, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    judge_artefact_release(record->artefact);
    exec_result_free(&record->result);
    free(record);
}

int build_record_get(const struct build_record *record, struct judge_artefact **artefact,
                     struct exec_result *result)
{
    if (copy_outputs(&record->result, result) < 0) {
        exec_result_free(result);
        *result = (struct exec_result){0};
        return -1;
    }
    *artefact = record->artefact != NULL ? judge_artefact_share(record->artefact) : NULL;
    return 0;
}

/* Whether it still holds what was put in. */
static bool is_whole(const struct build_record *record)
{
    struct digest now;
    if (record->artefact == NULL)
        return true;
    return digest_artefact(record->artefact, &now) == 0 &&
           memcmp(&now, &record->digest, sizeof(now)) == 0;
}

/* ---- entries; with the lock held ---- */

static struct entry **bucket_of(struct build_cache *cache, const struct digest *key)
{
    unsigned hash;
    memcpy(&hash, key->bytes, sizeof(hash));
    return &cache->buckets[hash % BUCKETS];
}

static struct entry *find(struct build_cache *cache, const struct digest *key)
{
    struct entry *entry = *bucket_of(cache, key);
    while (entry != NULL && memcmp(&entry->key, key, sizeof(*key)) != 0)
        entry = entry->chain;
    return entry;
}

static void unlink_use(struct build_cache *cache, struct entry *entry)
{
    if (entry->older != NULL)
        entry->older->younger = entry->younger;
    else
        cache->oldest = entry->younger;
    if (entry->younger != NULL)
        entry->younger->older = entry->older;
    else
        cache->youngest = entry->older;
}

static void link_youngest(struct build_cache *cache, struct entry *entry)
{
    entry->older = cache->youngest;
    entry->younger = NULL;
    if (cache->youngest != NULL)
        cache->youngest->younger = entry;
    else
        cache->oldest = entry;
    cache->youngest = entry;
}

static void remove_entry(struct build_cache *cache, struct entry *entry)
{
    struct entry **link = bucket_of(cache, &entry->key);
    while (*link != entry)
        link = &(*link)->chain;
    *link = entry->chain;
    unlink_use(cache, entry);
    cache->stats.entries--;
    cache->stats.bytes -= entry->record->bytes;
    build_record_release(entry->record);
    free(entry);
}

static void add_entry(struct build_cache *cache, const struct digest *key,
                      struct build_record *record)
{
    struct entry *entry = find(cache, key);
    if (entry != NULL || record->bytes > cache->stats.bytes_max)
        return;
    entry = calloc(1, sizeof(*entry));
    if (entry == NULL)
        return; /* it will be built again */
    while (cache->stats.bytes + record->bytes > cache->stats.bytes_max) {
        remove_entry(cache, cache->oldest);
        cache->stats.evicted++;
    }
    entry->key = *key;
    entry->record = record_share(record);
    entry->chain = *bucket_of(cache, key);
    *bucket_of(cache, key) = entry;
    link_youngest(cache, entry);
    cache->stats.entries++;
    cache->stats.bytes += record->bytes;
}

/* A share of what is kept under the key; NULL. */
static struct build_record *use(struct build_cache *cache, const struct digest *key)
{
    struct entry *entry = find(cache, key);
    if (entry == NULL)
        return NULL;
    unlink_use(cache, entry);
    link_youngest(cache, entry);
    return record_share(entry->record);
}

static void remove_damaged(struct build_cache *cache, const struct digest *key,
                           const struct build_record *record)
{
    log_error("a kept build was damaged in memory, and is made again");
    pthread_mutex_lock(&cache->lock);
    struct entry *entry = find(cache, key);
    if (entry != NULL && entry->record == record)
        remove_entry(cache, entry);
    cache->stats.damaged++;
    pthread_mutex_unlock(&cache->lock);
}

/* ---- flights; with the lock held ---- */

static struct build_flight *find_flight(const struct build_cache *cache, const struct digest *key)
{
    struct build_flight *flight = cache->flights;
    while (flight != NULL && memcmp(&flight->key, key, sizeof(*key)) != 0)
        flight = flight->next;
    return flight;
}

static struct build_flight *begin_flight(struct build_cache *cache, const struct digest *key)
{
    struct build_flight *flight = calloc(1, sizeof(*flight));
    if (flight == NULL)
        return NULL;
    flight->key = *key;
    flight->next = cache->flights;
    if (cache->flights != NULL)
        cache->flights->previous = flight;
    cache->flights = flight;
    return flight;
}

static void end_flight(struct build_cache *cache, struct build_flight *flight)
{
    if (flight->previous != NULL)
        flight->previous->next = flight->next;
    else
        cache->flights = flight->next;
    if (flight->next != NULL)
        flight->next->previous = flight->previous;
    free(flight);
}

static void leave_flight(struct build_wait *wait)
{
    struct build_flight *flight = wait->own.flight;
    if (flight == NULL)
        return;
    if (wait->own.previous != NULL)
        wait->own.previous->own.next = wait->own.next;
    else
        flight->waits = wait->own.next;
    if (wait->own.next != NULL)
        wait->own.next->own.previous = wait->own.previous;
    wait->own.next = wait->own.previous = NULL;
    wait->own.flight = NULL;
}

static void join_flight(struct build_flight *flight, struct build_wait *wait)
{
    wait->own.flight = flight;
    wait->own.previous = NULL;
    wait->own.next = flight->waits;
    if (flight->waits != NULL)
        flight->waits->own.previous = wait;
    flight->waits = wait;
}

/* ---- claims ---- */

/* What the flight that it waited for has brought. */
static struct build_record *take_brought(struct build_wait *wait)
{
    struct build_record *record = wait != NULL ? wait->own.record : NULL;
    if (record != NULL)
        wait->own.record = NULL;
    return record;
}

static enum build_claim claim(struct build_cache *cache, const struct digest *key,
                              struct build_wait *wait, struct build_record **record,
                              struct build_flight **flight)
{
    *record = take_brought(wait);
    if (*record != NULL) {
        cache->stats.joined++;
        return BUILD_HIT;
    }
    *record = use(cache, key);
    if (*record != NULL) {
        cache->stats.hits++;
        return BUILD_HIT;
    }
    struct build_flight *other = find_flight(cache, key);
    if (other == NULL) {
        *flight = begin_flight(cache, key);
    } else if (wait != NULL && wait->job != NULL && !wait->own.alone) {
        join_flight(other, wait);
        return BUILD_WAITS;
    }
    cache->stats.made++;
    return BUILD_TO_MAKE;
}

enum build_claim build_cache_claim(struct build_cache *cache, const struct digest *key,
                                   struct build_wait *wait, struct build_record **record,
                                   struct build_flight **flight)
{
    *record = NULL;
    *flight = NULL;
    for (;;) {
        pthread_mutex_lock(&cache->lock);
        enum build_claim claimed = claim(cache, key, wait, record, flight);
        pthread_mutex_unlock(&cache->lock);
        if (wait != NULL)
            wait->cached = claimed == BUILD_HIT;
        if (claimed != BUILD_HIT || is_whole(*record))
            return claimed;
        remove_damaged(cache, key, *record);
        build_record_release(*record);
    }
}

void build_cache_finish(struct build_cache *cache, struct build_flight *flight,
                        struct build_record *record, bool cancelled)
{
    if (flight == NULL)
        return;
    pthread_mutex_lock(&cache->lock);
    if (record != NULL)
        add_entry(cache, &flight->key, record);
    for (struct build_wait *wait; (wait = flight->waits) != NULL;) {
        leave_flight(wait);
        wait->own.record = record != NULL ? record_share(record) : NULL;
        wait->own.alone = record == NULL && !cancelled;
        sched_wake(cache->sched, wait->job); /* within the lock: its job may not go meanwhile */
    }
    end_flight(cache, flight);
    pthread_mutex_unlock(&cache->lock);
}

void build_cache_leave(struct build_cache *cache, struct build_wait *wait)
{
    if (cache == NULL)
        return;
    pthread_mutex_lock(&cache->lock);
    leave_flight(wait);
    struct build_record *record = take_brought(wait);
    pthread_mutex_unlock(&cache->lock);
    build_record_release(record);
}

/* ---- life ---- */

int build_cache_new(uint64_t bytes, struct sched *sched, struct build_cache **out,
                    struct cj_error *err)
{
    struct build_cache *cache = calloc(1, sizeof(*cache));
    if (cache == NULL)
        return error_set(err, ERROR_SYSTEM, ENOMEM, "keep builds: out of memory");
    cache->sched = sched;
    cache->stats.bytes_max = bytes;
    pthread_mutex_init(&cache->lock, NULL);
    *out = cache;
    return 0;
}

void build_cache_stats(struct build_cache *cache, struct build_cache_stats *out)
{
    pthread_mutex_lock(&cache->lock);
    *out = cache->stats;
    pthread_mutex_unlock(&cache->lock);
}

void build_cache_free(struct build_cache *cache)
{
    if (cache == NULL)
        return;
    while (cache->oldest != NULL)
        remove_entry(cache, cache->oldest);
    while (cache->flights != NULL)
        end_flight(cache, cache->flights);
    pthread_mutex_destroy(&cache->lock);
    free(cache);
}
