/* The queue: jobs by source, sources in turn, and the earliest deadline. Pure; the scheduler's lock guards
 * it. A job links itself, and there are never more sources than jobs: so only queue_init() and
 * queue_grow() allocate. */
#ifndef CJ_SCHED_QUEUE_H
#define CJ_SCHED_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "sched/sched.h"

struct queue_source;
struct queue_chunk;

struct queue {
    size_t capacity, count;
    size_t parked_count; /* jobs that are set aside; count and this are within capacity */
    struct sched_job *first_parked;
    struct queue_chunk *chunks; /* of sources, as many as capacity */
    struct queue_source *unused;
    struct queue_source *turn; /* whose turn it is, in a ring of those with jobs; NULL: empty */
    struct queue_source **buckets;
    size_t bucket_mask;
    struct sched_job **heap; /* jobs with a deadline, the earliest first */
    size_t heap_count;
};

WARN_UNUSED int queue_init(struct queue *queue, size_t capacity, struct cj_error *err);
void queue_free(struct queue *queue);

/* Doubles the capacity. */
WARN_UNUSED int queue_grow(struct queue *queue, struct cj_error *err);

/* Whether one more can be taken. */
bool queue_has_room(const struct queue *queue);

/* There must be room. */
void queue_push(struct queue *queue, struct sched_job *job);

/* The next job of the source whose turn it is; NULL: empty. */
struct sched_job *queue_pop(struct queue *queue);

/* A job of that source has ended: whoever came while it ran goes before the source's next one. */
void queue_served(struct queue *queue, uint64_t source_id);

/* job must be in the queue. */
void queue_remove(struct queue *queue, struct sched_job *job);

/* Sets a job aside that is not in the queue, but has its deadline watched. There must be room. */
void queue_park(struct queue *queue, struct sched_job *job);
void queue_unpark(struct queue *queue, struct sched_job *job);

/* The job whose deadline comes first, of those that wait or are set aside; NULL: none has one. It stays. */
struct sched_job *queue_earliest(const struct queue *queue);

/* Waiting jobs of one source. */
size_t queue_count_of(const struct queue *queue, uint64_t source);

#endif
