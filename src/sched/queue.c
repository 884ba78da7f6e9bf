/* The queue.
 *
 *     turn ─► source A ⇄ source B ⇄ source C ─┐     a ring; a source without jobs leaves it
 *             │ jobs     │ jobs     │ jobs    └─► A
 *
 * Who gets a job goes behind all others who wait: so does a source that has just come. */
#include "queue.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

static const size_t NOT_IN_HEAP = SIZE_MAX;

struct queue_source {
    uint64_t id;
    size_t count;
    struct sched_job *first, *last;
    struct queue_source *next, *previous; /* in the ring */
    struct queue_source *chain;           /* in its bucket, or of unused ones */
};

/* Sources are pointed to, so they are allocated in pieces that stay where they are. */
struct queue_chunk {
    struct queue_chunk *next;
    struct queue_source sources[];
};

static int add_capacity(struct queue *queue, size_t count, struct cj_error *err)
{
    size_t capacity = queue->capacity + count;
    struct queue_chunk *chunk = calloc(1, sizeof(*chunk) + count * sizeof(chunk->sources[0]));
    struct sched_job **heap = realloc(queue->heap, capacity * sizeof(struct sched_job *));
    if (heap != NULL)
        queue->heap = heap;
    if (heap == NULL || chunk == NULL) {
        free(chunk);
        return error_set(err, ERROR_SYSTEM, ENOMEM, "a queue of %zu jobs: out of memory", capacity);
    }
    chunk->next = queue->chunks;
    queue->chunks = chunk;
    for (size_t i = 0; i < count; i++) {
        chunk->sources[i].chain = queue->unused;
        queue->unused = &chunk->sources[i];
    }
    queue->capacity = capacity;
    return 0;
}

int queue_init(struct queue *queue, size_t capacity, struct cj_error *err)
{
    size_t buckets = 1;
    while (buckets < capacity)
        buckets *= 2;
    *queue = (struct queue){
        .buckets = calloc(buckets, sizeof(struct queue_source *)),
        .bucket_mask = buckets - 1,
    };
    if (queue->buckets == NULL)
        return error_set(err, ERROR_SYSTEM, ENOMEM, "a queue of %zu jobs: out of memory", capacity);
    if (add_capacity(queue, capacity, err) < 0) {
        queue_free(queue);
        return -1;
    }
    return 0;
}

int queue_grow(struct queue *queue, struct cj_error *err)
{
    return add_capacity(queue, queue->capacity, err);
}

void queue_free(struct queue *queue)
{
    for (struct queue_chunk *chunk = queue->chunks, *next; chunk != NULL; chunk = next) {
        next = chunk->next;
        free(chunk);
    }
    free(queue->buckets);
    free(queue->heap);
    *queue = (struct queue){0};
}

/* ---- sources ---- */

/* Fibonacci hashing: ids are mostly small and in sequence. */
static struct queue_source **bucket_of(const struct queue *queue, uint64_t id)
{
    return &queue->buckets[(id * UINT64_C(0x9e3779b97f4a7c15) >> 32) & queue->bucket_mask];
}

static struct queue_source *find_source(const struct queue *queue, uint64_t id)
{
    struct queue_source *source = *bucket_of(queue, id);
    while (source != NULL && source->id != id)
        source = source->chain;
    return source;
}

static struct queue_source *add_source(struct queue *queue, uint64_t id)
{
    struct queue_source **bucket = bucket_of(queue, id);
    struct queue_source *source = queue->unused;
    assert(source != NULL); /* no more sources than jobs */
    queue->unused = source->chain;
    *source = (struct queue_source){.id = id, .chain = *bucket};
    *bucket = source;
    if (queue->turn == NULL) {
        source->next = source->previous = source;
        queue->turn = source;
    } else { /* last in the ring: right before whose turn it is */
        source->next = queue->turn;
        source->previous = queue->turn->previous;
        source->previous->next = source->next->previous = source;
    }
    return source;
}

static void remove_source(struct queue *queue, struct queue_source *source)
{
    struct queue_source **link = bucket_of(queue, source->id);
    while (*link != source)
        link = &(*link)->chain;
    *link = source->chain;
    if (queue->turn == source)
        queue->turn = source->next != source ? source->next : NULL;
    source->previous->next = source->next;
    source->next->previous = source->previous;
    source->chain = queue->unused;
    queue->unused = source;
}

/* Makes it the last in the ring. */
void queue_served(struct queue *queue, uint64_t source_id)
{
    struct queue_source *source = find_source(queue, source_id);
    if (source == NULL || source->next == source)
        return;
    if (queue->turn == source) {
        queue->turn = source->next;
        return;
    }
    source->previous->next = source->next;
    source->next->previous = source->previous;
    source->next = queue->turn;
    source->previous = queue->turn->previous;
    source->previous->next = source->next->previous = source;
}

size_t queue_count_of(const struct queue *queue, uint64_t source)
{
    const struct queue_source *found = find_source(queue, source);
    return found != NULL ? found->count : 0;
}

/* ---- deadlines ---- */

static void heap_place(struct queue *queue, size_t at, struct sched_job *job)
{
    queue->heap[at] = job;
    job->own.heap_index = at;
}

static void heap_rise(struct queue *queue, size_t at, struct sched_job *job)
{
    while (at > 0 && queue->heap[(at - 1) / 2]->deadline_ns > job->deadline_ns) {
        heap_place(queue, at, queue->heap[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    heap_place(queue, at, job);
}

static void heap_sink(struct queue *queue, size_t at, struct sched_job *job)
{
    for (;;) {
        size_t child = 2 * at + 1;
        if (child + 1 < queue->heap_count &&
            queue->heap[child + 1]->deadline_ns < queue->heap[child]->deadline_ns)
            child++;
        if (child >= queue->heap_count || queue->heap[child]->deadline_ns >= job->deadline_ns)
            break;
        heap_place(queue, at, queue->heap[child]);
        at = child;
    }
    heap_place(queue, at, job);
}

static void heap_add(struct queue *queue, struct sched_job *job)
{
    job->own.heap_index = NOT_IN_HEAP;
    if (job->deadline_ns != 0)
        heap_rise(queue, queue->heap_count++, job);
}

static void heap_remove(struct queue *queue, struct sched_job *job)
{
    size_t at = job->own.heap_index;
    if (at == NOT_IN_HEAP)
        return;
    job->own.heap_index = NOT_IN_HEAP;
    struct sched_job *last = queue->heap[--queue->heap_count];
    if (last == job)
        return;
    heap_sink(queue, at, last);
    heap_rise(queue, last->own.heap_index, last);
}

struct sched_job *queue_earliest(const struct queue *queue)
{
    return queue->heap_count > 0 ? queue->heap[0] : NULL;
}

/* ---- jobs ---- */

bool queue_has_room(const struct queue *queue)
{
    return queue->count + queue->parked_count < queue->capacity;
}

void queue_push(struct queue *queue, struct sched_job *job)
{
    assert(queue_has_room(queue));
    struct queue_source *source = find_source(queue, job->source);
    if (source == NULL)
        source = add_source(queue, job->source);
    job->own.place = source;
    job->own.next = NULL;
    job->own.previous = source->last;
    if (source->last != NULL)
        source->last->own.next = job;
    else
        source->first = job;
    source->last = job;
    source->count++;
    queue->count++;
    heap_add(queue, job);
}

void queue_remove(struct queue *queue, struct sched_job *job)
{
    struct queue_source *source = job->own.place;
    if (job->own.previous != NULL)
        job->own.previous->own.next = job->own.next;
    else
        source->first = job->own.next;
    if (job->own.next != NULL)
        job->own.next->own.previous = job->own.previous;
    else
        source->last = job->own.previous;
    job->own.next = job->own.previous = NULL;
    job->own.place = NULL;
    queue->count--;
    heap_remove(queue, job);
    if (--source->count == 0)
        remove_source(queue, source);
}

struct sched_job *queue_pop(struct queue *queue)
{
    if (queue->turn == NULL)
        return NULL;
    struct sched_job *job = queue->turn->first;
    queue->turn = queue->turn->next;
    queue_remove(queue, job);
    return job;
}

/* ---- set aside ---- */

void queue_park(struct queue *queue, struct sched_job *job)
{
    assert(queue_has_room(queue));
    job->own.place = NULL;
    job->own.previous = NULL;
    job->own.next = queue->first_parked;
    if (queue->first_parked != NULL)
        queue->first_parked->own.previous = job;
    queue->first_parked = job;
    queue->parked_count++;
    heap_add(queue, job);
}

void queue_unpark(struct queue *queue, struct sched_job *job)
{
    if (job->own.previous != NULL)
        job->own.previous->own.next = job->own.next;
    else
        queue->first_parked = job->own.next;
    if (job->own.next != NULL)
        job->own.next->own.previous = job->own.previous;
    job->own.next = job->own.previous = NULL;
    queue->parked_count--;
    heap_remove(queue, job);
}
