#include "http_chunk.h"

enum { SIZE_DIGITS_MAX = 16 };

static int hex_digit(unsigned char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
        return (c | 0x20) - 'a' + 10;
    return -1;
}

static int step_size(struct http_chunks *chunks, unsigned char c, struct http_fault *fault)
{
    int digit = hex_digit(c);
    if (digit >= 0 && chunks->digits < SIZE_DIGITS_MAX) {
        chunks->digits++;
        chunks->left = 16 * chunks->left + (uint64_t)digit;
        chunks->state = CHUNK_SIZE;
    } else if (c == '\r' && chunks->state == CHUNK_SIZE) {
        chunks->state = CHUNK_SIZE_LF;
    } else if (c == ';' && chunks->state == CHUNK_SIZE) {
        chunks->state = CHUNK_EXTENSION;
    } else {
        return http_fault_set(fault, 400, "a chunk's size is not valid");
    }
    return 0;
}

static int step_extension(struct http_chunks *chunks, unsigned char c,
                          const struct http_limits *limits, struct http_fault *fault)
{
    if (c == '\r')
        chunks->state = CHUNK_SIZE_LF;
    else if (!http_is_value_char(c))
        return http_fault_set(fault, 400, "a chunk's extension has a control character");
    else if (++chunks->extra_bytes > limits->head_bytes)
        return http_fault_set(fault, 400, "the chunks' extensions are too large");
    return 0;
}

static int step_trailer(struct http_chunks *chunks, unsigned char c,
                        const struct http_limits *limits, struct http_fault *fault)
{
    if (chunks->state == CHUNK_TRAILER_FIRST && c == '\r') {
        chunks->state = CHUNK_END_LF;
        return 0;
    }
    if (++chunks->extra_bytes > limits->head_bytes)
        return http_fault_set(fault, 431, "the trailers are too large");
    if (chunks->state == CHUNK_TRAILER_VALUE) {
        if (c == '\r')
            chunks->state = CHUNK_TRAILER_LF;
        else if (!http_is_value_char(c))
            return http_fault_set(fault, 400, "a trailer has a control character");
        return 0;
    }
    if (chunks->state == CHUNK_TRAILER_NAME && c == ':') {
        chunks->state = CHUNK_TRAILER_VALUE;
        return 0;
    }
    if (!http_is_token_char(c))
        return http_fault_set(fault, 400, "a trailer's name is not valid");
    if (chunks->state == CHUNK_TRAILER_FIRST && ++chunks->trailer_count > limits->header_count)
        return http_fault_set(fault, 431, "too many trailers");
    chunks->state = CHUNK_TRAILER_NAME;
    return 0;
}

/* One byte that must be this one. */
static int step_exact(struct http_chunks *chunks, unsigned char c, unsigned char wanted,
                      enum chunk_state next, struct http_fault *fault)
{
    if (c != wanted)
        return http_fault_set(fault, 400, "a chunk's line does not end with CR LF");
    chunks->state = next;
    return 0;
}

/* A byte of the framing. */
static int step(struct http_chunks *chunks, unsigned char c, const struct http_limits *limits,
                struct http_fault *fault)
{
    switch (chunks->state) {
    case CHUNK_SIZE_FIRST:
    case CHUNK_SIZE:
        return step_size(chunks, c, fault);
    case CHUNK_EXTENSION:
        return step_extension(chunks, c, limits, fault);
    case CHUNK_SIZE_LF:
        return step_exact(chunks, c, '\n', chunks->left ? CHUNK_DATA : CHUNK_TRAILER_FIRST, fault);
    case CHUNK_DATA_CR:
        return step_exact(chunks, c, '\r', CHUNK_DATA_LF, fault);
    case CHUNK_DATA_LF:
        chunks->digits = 0;
        return step_exact(chunks, c, '\n', CHUNK_SIZE_FIRST, fault);
    case CHUNK_TRAILER_FIRST:
    case CHUNK_TRAILER_NAME:
    case CHUNK_TRAILER_VALUE:
        return step_trailer(chunks, c, limits, fault);
    case CHUNK_TRAILER_LF:
        return step_exact(chunks, c, '\n', CHUNK_TRAILER_FIRST, fault);
    case CHUNK_END_LF:
        return step_exact(chunks, c, '\n', CHUNK_DONE, fault);
    case CHUNK_DATA:
    case CHUNK_DONE:
        break;
    }
    return http_fault_set(fault, 500, "a chunk without a state");
}

int http_chunks_next(struct http_chunks *chunks, const char *data, size_t size,
                     const struct http_limits *limits, size_t *used, size_t *piece,
                     struct http_fault *fault)
{
    size_t i = 0;
    *piece = 0;
    while (i < size && chunks->state != CHUNK_DONE && chunks->state != CHUNK_DATA)
        if (step(chunks, (unsigned char)data[i++], limits, fault) < 0)
            return -1;
    if (i < size && chunks->state == CHUNK_DATA) {
        *piece = size - i < chunks->left ? size - i : (size_t)chunks->left;
        chunks->left -= *piece;
        i += *piece;
        if (chunks->left == 0)
            chunks->state = CHUNK_DATA_CR;
    }
    *used = i;
    return 0;
}
