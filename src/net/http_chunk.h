/* A chunked body (RFC 9112 7.1), as its bytes come in. Pure. Extensions and trailers are checked,
 * counted and thrown away. */
#ifndef CJ_NET_HTTP_CHUNK_H
#define CJ_NET_HTTP_CHUNK_H

#include <stddef.h>
#include <stdint.h>

#include "http_head.h"

enum chunk_state {
    CHUNK_SIZE_FIRST, /* the first digit of a size */
    CHUNK_SIZE,
    CHUNK_EXTENSION,
    CHUNK_SIZE_LF,
    CHUNK_DATA,
    CHUNK_DATA_CR,
    CHUNK_DATA_LF,
    CHUNK_TRAILER_FIRST, /* the first byte of a trailer's line, or of the empty one */
    CHUNK_TRAILER_NAME,
    CHUNK_TRAILER_VALUE,
    CHUNK_TRAILER_LF,
    CHUNK_END_LF,
    CHUNK_DONE,
};

/* Zeroed at the start of a body. */
struct http_chunks {
    enum chunk_state state;
    unsigned digits;      /* of the present size */
    uint64_t left;        /* bytes of the present chunk */
    uint64_t extra_bytes; /* of extensions and trailers */
    uint64_t trailer_count;
};

/* Reads on until a piece of the body is found, the body ends (state CHUNK_DONE) or the data does.
 * *used bytes are done with; the last *piece of them are of the body. Returns 0, or -1 with fault
 * filled in. */
WARN_UNUSED int http_chunks_next(struct http_chunks *chunks, const char *data, size_t size,
                                 const struct http_limits *limits, size_t *used, size_t *piece,
                                 struct http_fault *fault);

#endif
