/* A growing buffer of bytes. */
#include "base/buf.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"

enum { BUF_CAPACITY_MIN = 256 };

void buf_free(struct buf *buf)
{
    free(buf->data);
    *buf = (struct buf){.limit = buf->limit};
}

/* Doubles, so that n appended bytes are copied less than 2n times. */
static bool buf_grow(struct buf *buf, size_t wanted)
{
    size_t capacity = buf->capacity < BUF_CAPACITY_MIN ? BUF_CAPACITY_MIN : buf->capacity;
    while (capacity < wanted && capacity <= PTRDIFF_MAX / 2)
        capacity *= 2;
    if (capacity < wanted)
        capacity = wanted;
    char *larger = realloc(buf->data, capacity);
    if (larger == NULL) {
        buf->failure = ENOMEM;
        return false;
    }
    buf->data = larger;
    buf->capacity = capacity;
    return true;
}

/* Whether size more bytes fit, after growing. */
static bool buf_make_room(struct buf *buf, size_t size)
{
    if (buf->failure != 0)
        return false;
    size_t limit = buf->limit != 0 ? buf->limit : PTRDIFF_MAX;
    if (size > limit - buf->size) {
        buf->failure = EFBIG;
        return false;
    }
    if (size <= buf->capacity - buf->size)
        return true;
    return buf_grow(buf, buf->size + size);
}

void buf_reserve(struct buf *buf, size_t size)
{
    (void)buf_make_room(buf, size);
}

char *buf_extend(struct buf *buf, size_t size)
{
    if (size == 0 && buf->data == NULL)
        buf_reserve(buf, 1); /* so that NULL means failure only */
    if (!buf_make_room(buf, size))
        return NULL;
    char *room = buf->data + buf->size;
    buf->size += size;
    return room;
}

void buf_append(struct buf *buf, const void *data, size_t size)
{
    if (size == 0)
        return;
    char *room = buf_extend(buf, size);
    if (room != NULL)
        memcpy(room, data, size);
}

void buf_append_text(struct buf *buf, const char *text)
{
    buf_append(buf, text, strlen(text));
}

void buf_append_char(struct buf *buf, char c)
{
    buf_append(buf, &c, 1);
}

void buf_printf(struct buf *buf, const char *format, ...)
{
    char small[256];
    va_list args;
    va_start(args, format);
    int length = vsnprintf(small, sizeof(small), format, args);
    va_end(args);
    if (length < 0 || (size_t)length < sizeof(small)) {
        buf_append(buf, small, length < 0 ? 0 : (size_t)length);
        return;
    }
    auto_free char *large = NULL;
    va_start(args, format);
    if (vasprintf(&large, format, args) < 0) {
        large = NULL; /* undefined after a failure, printf(3) */
        buf->failure = ENOMEM;
    }
    va_end(args);
    if (large != NULL)
        buf_append(buf, large, (size_t)length);
}

void buf_append_base64(struct buf *buf, const void *data, size_t size)
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const uint8_t *next = data;
    char *out = buf_extend(buf, size > SIZE_MAX / 2 ? SIZE_MAX : (size + 2) / 3 * 4);
    if (out == NULL)
        return;
    for (; size >= 3; size -= 3, next += 3) {
        uint32_t bits = (uint32_t)next[0] << 16 | (uint32_t)next[1] << 8 | next[2];
        *out++ = letters[bits >> 18];
        *out++ = letters[bits >> 12 & 63];
        *out++ = letters[bits >> 6 & 63];
        *out++ = letters[bits & 63];
    }
    if (size == 0)
        return;
    uint32_t bits = (uint32_t)next[0] << 16 | (size == 2 ? (uint32_t)next[1] << 8 : 0);
    *out++ = letters[bits >> 18];
    *out++ = letters[bits >> 12 & 63];
    *out++ = size == 2 ? letters[bits >> 6 & 63] : '=';
    *out++ = '=';
}

void buf_cut(struct buf *buf, size_t size)
{
    assert(size <= buf->size);
    buf->size = size;
    buf->failure = 0;
}

int buf_check(const struct buf *buf, struct cj_error *err)
{
    if (buf->failure == EFBIG)
        return error_set(err, ERROR_SYSTEM, EFBIG, "more than %zu bytes", buf->limit);
    if (buf->failure != 0)
        return error_set(err, ERROR_SYSTEM, buf->failure, "out of memory at %zu bytes", buf->size);
    return 0;
}

int buf_take(struct buf *buf, char **data, size_t *size, struct cj_error *err)
{
    size_t limit = buf->limit;
    buf->limit = 0; /* the NUL does not count */
    buf_append_char(buf, '\0');
    buf->limit = limit;
    if (buf_check(buf, err) < 0)
        return -1;
    *data = buf->data;
    if (size != NULL)
        *size = buf->size - 1;
    *buf = (struct buf){.limit = limit};
    return 0;
}
