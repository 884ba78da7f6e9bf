/* What is to be sent on a socket: bytes of our own, bytes of others, and ranges of files. */
#ifndef CJ_NET_OUT_QUEUE_H
#define CJ_NET_OUT_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"

struct out_segment;

/* out_init() before, out_clear() behind. */
struct out_queue {
    struct out_segment *first, **last;
    uint64_t waiting; /* bytes not sent yet */
    bool failed;      /* memory was gone: something is missing */
};

void out_init(struct out_queue *queue) NONNULL(1);
/* Drops everything; releases and closes. */
void out_clear(struct out_queue *queue) NONNULL(1);

/* Adds size bytes and returns where to write them now; NULL when memory is gone. */
char *out_add_room(struct out_queue *queue, size_t size) NONNULL(1);
void out_add_copy(struct out_queue *queue, const void *data, size_t size) NONNULL(1);

/* Adds data, which stays where it is until release(data, arg); release may be NULL. size may be 0:
 * then it is released when its turn comes. */
void out_add_owned(struct out_queue *queue, void *data, size_t size,
                   void (*release)(void *data, void *arg), void *arg) NONNULL(1);

/* Adds a range of a file and takes over fd. */
void out_add_file(struct out_queue *queue, int fd, uint64_t offset, uint64_t size) NONNULL(1);

/* Sends at most about budget bytes, until the socket is full (*blocked) or the queue empty.
 * *written tells how much. Returns 0, or -1 with errno set; ENODATA: a file is shorter than was
 * said. SIGPIPE must be blocked. */
WARN_UNUSED int out_write(struct out_queue *queue, int fd, uint64_t budget, bool *blocked,
                          uint64_t *written) NONNULL(1, 4, 5);

static inline bool out_is_empty(const struct out_queue *queue)
{
    return queue->first == NULL;
}

#endif
