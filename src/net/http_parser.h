/* The requests of one connection, one after the other, as its bytes come in. Pure: no socket, no
 * clock.
 *
 * The caller asks for the next event with the bytes it has, drops the *used first of them, and
 * offers the rest again with what came since. */
#ifndef CJ_NET_HTTP_PARSER_H
#define CJ_NET_HTTP_PARSER_H

#include "http_chunk.h"
#include "http_head.h"

enum http_event {
    HTTP_EVENT_MORE, /* nothing before more bytes come */
    HTTP_EVENT_HEAD, /* a head is in parser->head */
    HTTP_EVENT_BODY, /* a piece of the body: the last *piece of the *used bytes */
    HTTP_EVENT_END,  /* the request is complete; what follows is the next one's */
    HTTP_EVENT_BAD,  /* refused, parser->fault says why; so is whatever follows */
};

enum parser_state { PARSER_BETWEEN, PARSER_HEAD, PARSER_LENGTH, PARSER_CHUNKS, PARSER_BAD };

/* Zeroed but for limits at the start. */
struct http_parser {
    struct http_limits limits;
    enum parser_state state;
    unsigned empty_lines; /* before the request line */
    struct http_scan scan;
    struct http_head head;
    struct http_chunks chunks;
    uint64_t left; /* bytes of a body of known length */
    struct http_fault fault;
};

enum http_event http_parser_next(struct http_parser *parser, const char *data, size_t size,
                                 size_t *used, size_t *piece) NONNULL(1, 4, 5);

/* Whether bytes of a request have come whose head is not complete. size: what is there now. */
bool http_parser_in_head(const struct http_parser *parser, size_t size) NONNULL(1);

void http_parser_free(struct http_parser *parser) NONNULL(1);

#endif
