#include "out_queue.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "base/fd.h"

enum { PARTS_MAX = 32 };                       /* of one sendmsg(2) */
static const uint64_t FILE_STEP_MAX = 1 << 30; /* sendfile(2) stops at 2 GiB */

struct out_segment {
    struct out_segment *next;
    const char *data; /* NULL: a file */
    uint64_t size;    /* left to send */
    void (*release)(void *data, void *arg);
    void *released; /* what release() gets */
    void *arg;
    off_t offset;
    int fd;
    char room[]; /* bytes of our own */
};

void out_init(struct out_queue *queue)
{
    *queue = (struct out_queue){0};
    queue->last = &queue->first;
}

static void segment_free(struct out_segment *segment)
{
    if (segment->release)
        segment->release(segment->released, segment->arg);
    fd_close(&segment->fd);
    free(segment);
}

static void drop_first(struct out_queue *queue)
{
    struct out_segment *segment = queue->first;
    queue->first = segment->next;
    if (!queue->first)
        queue->last = &queue->first;
    queue->waiting -= segment->size;
    segment_free(segment);
}

void out_clear(struct out_queue *queue)
{
    while (queue->first)
        drop_first(queue);
}

static struct out_segment *add_segment(struct out_queue *queue, uint64_t size, size_t room)
{
    struct out_segment *segment = malloc(sizeof(*segment) + room);
    if (!segment) {
        queue->failed = true;
        return NULL;
    }
    *segment = (struct out_segment){.size = size, .fd = -1};
    *queue->last = segment;
    queue->last = &segment->next;
    queue->waiting += size;
    return segment;
}

char *out_add_room(struct out_queue *queue, size_t size)
{
    struct out_segment *segment = add_segment(queue, size, size);
    if (!segment)
        return NULL;
    segment->data = segment->room;
    return segment->room;
}

void out_add_copy(struct out_queue *queue, const void *data, size_t size)
{
    char *room = size ? out_add_room(queue, size) : NULL;
    if (room)
        memcpy(room, data, size);
}

void out_add_owned(struct out_queue *queue, void *data, size_t size,
                   void (*release)(void *data, void *arg), void *arg)
{
    struct out_segment *segment = add_segment(queue, size, 0);
    if (!segment) {
        if (release)
            release(data, arg);
        return;
    }
    segment->data = data ? data : "";
    segment->release = release;
    segment->released = data;
    segment->arg = arg;
}

void out_add_file(struct out_queue *queue, int fd, uint64_t offset, uint64_t size)
{
    struct out_segment *segment = size > 0 ? add_segment(queue, size, 0) : NULL;
    if (!segment) {
        fd_close(&fd);
        return;
    }
    segment->fd = fd;
    segment->offset = (off_t)offset;
}

/* ---- sending ---- */

/* Takes sent bytes off the front. */
static void advance(struct out_queue *queue, uint64_t sent)
{
    while (queue->first && sent >= queue->first->size) {
        sent -= queue->first->size;
        drop_first(queue);
    }
    struct out_segment *segment = queue->first;
    if (!segment || sent == 0)
        return;
    segment->size -= sent;
    if (segment->data)
        segment->data += sent; /* sendfile(2) has moved the offset itself */
    queue->waiting -= sent;
}

/* All the memory at the front in one call. */
static ssize_t send_memory(const struct out_queue *queue, int fd)
{
    struct iovec parts[PARTS_MAX];
    size_t count = 0;
    const struct out_segment *segment = queue->first;
    for (; segment && segment->data && count < PARTS_MAX; segment = segment->next)
        if (segment->size > 0)
            parts[count++] =
                (struct iovec){.iov_base = (char *)segment->data, .iov_len = segment->size};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = count};
    /* The start of a file shares a packet with the head before it. */
    return sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT | (segment ? MSG_MORE : 0));
}

static ssize_t send_file(struct out_segment *segment, int fd, uint64_t budget)
{
    uint64_t size = segment->size;
    if (size > budget)
        size = budget;
    if (size > FILE_STEP_MAX)
        size = FILE_STEP_MAX;
    ssize_t sent = sendfile(fd, segment->fd, &segment->offset, size);
    if (sent == 0) {
        errno = ENODATA;
        return -1;
    }
    return sent;
}

int out_write(struct out_queue *queue, int fd, uint64_t budget, bool *blocked, uint64_t *written)
{
    *blocked = false;
    *written = 0;
    while (queue->first && *written < budget) {
        if (queue->first->size == 0) {
            drop_first(queue);
            continue;
        }
        ssize_t sent = queue->first->data ? send_memory(queue, fd)
                                          : send_file(queue->first, fd, budget - *written);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0 && errno == EAGAIN) {
            *blocked = true;
            return 0;
        }
        if (sent < 0)
            return -1;
        *written += (uint64_t)sent;
        advance(queue, (uint64_t)sent);
    }
    return 0;
}
