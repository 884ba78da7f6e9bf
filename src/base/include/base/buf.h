/* A growing buffer of bytes.
 *
 * Failure sticks: when memory is gone or the limit is passed, the append that did not fit changes
 * nothing, later ones do nothing, and buf_check() tells at the end. So a writer of many small
 * pieces checks once. A zeroed struct is an empty buffer without a limit. */
#ifndef CJ_BASE_BUF_H
#define CJ_BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>

#include "base/attr.h"
#include "base/error.h"

struct buf {
    char *data;      /* heap, or NULL while nothing was appended; not NUL-terminated */
    size_t size;     /* bytes in use */
    size_t capacity; /* bytes allocated */
    size_t limit;    /* size never grows above it; 0: no limit */
    int failure;     /* 0, ENOMEM or EFBIG */
};

/* Frees the bytes; what stays is an empty buffer with the same limit. */
void buf_free(struct buf *buf) NONNULL(1);
#define auto_buf __attribute__((cleanup(buf_free)))

/* Appends room for size bytes and returns it, not initialised, or NULL when the buffer has failed.
 */
char *buf_extend(struct buf *buf, size_t size) NONNULL(1);

void buf_append(struct buf *buf, const void *data, size_t size) NONNULL(1);
void buf_append_text(struct buf *buf, const char *text) NONNULL(1, 2);
void buf_append_char(struct buf *buf, char c) NONNULL(1);
void buf_printf(struct buf *buf, const char *format, ...) PRINTF(2, 3) NONNULL(1, 2);

/* Appends data as base64 (RFC 4648, with padding). */
void buf_append_base64(struct buf *buf, const void *data, size_t size) NONNULL(1);

/* Cuts to the first size bytes (no more than there are) and forgets a failure. Keeps the memory. */
void buf_cut(struct buf *buf, size_t size) NONNULL(1);

/* Makes room for size more bytes at once, so that appending them does not copy. */
void buf_reserve(struct buf *buf, size_t size) NONNULL(1);

/* 0, or -1 with err filled in when an append has failed. */
WARN_UNUSED int buf_check(const struct buf *buf, struct cj_error *err) NONNULL(1);

/* Hands the bytes over, with a NUL behind them (the caller frees), and leaves the buffer empty.
 * *size (or NULL) does not count the NUL. Fails as buf_check() does. */
WARN_UNUSED int buf_take(struct buf *buf, char **data, size_t *size, struct cj_error *err)
    NONNULL(1, 2);

#endif
