#include "http_parser.h"

/* A client may send an empty line too many behind a body (RFC 9112 2.2); not many. */
enum { EMPTY_LINES_MAX = 4 };

static enum http_event bad(struct http_parser *parser)
{
    parser->state = PARSER_BAD;
    return HTTP_EVENT_BAD;
}

static enum http_event bad_because(struct http_parser *parser, int status, const char *reason)
{
    http_fault_set(&parser->fault, status, reason);
    return bad(parser);
}

/* Between requests: empty lines are skipped, and the first byte must be of a method: whoever
 * speaks TLS or something else here need not wait for a line's end. */
static enum http_event next_between(struct http_parser *parser, const char *data, size_t size,
                                    size_t *used)
{
    if (size == 0)
        return HTTP_EVENT_MORE;
    if (data[0] != '\r') {
        if (!http_is_token_char((unsigned char)data[0]))
            return bad_because(parser, 400, "this is no HTTP request");
        parser->state = PARSER_HEAD;
        parser->scan = (struct http_scan){0};
        return HTTP_EVENT_MORE;
    }
    if (size == 1)
        return HTTP_EVENT_MORE;
    if (data[1] != '\n')
        return bad_because(parser, 400, "CR without LF");
    if (++parser->empty_lines > EMPTY_LINES_MAX)
        return bad_because(parser, 400, "empty lines before the request");
    *used = 2;
    return HTTP_EVENT_MORE;
}

static enum http_event next_head(struct http_parser *parser, const char *data, size_t size,
                                 size_t *used)
{
    ssize_t end = http_head_scan(&parser->scan, data, size, &parser->limits, &parser->fault);
    if (end == 0)
        return HTTP_EVENT_MORE;
    if (end < 0 ||
        http_head_parse(&parser->head, data, (size_t)end, &parser->limits, &parser->fault) < 0)
        return bad(parser);
    *used = (size_t)end;
    parser->left = parser->head.length;
    parser->chunks = (struct http_chunks){0};
    parser->state = parser->head.chunked ? PARSER_CHUNKS : PARSER_LENGTH;
    return HTTP_EVENT_HEAD;
}

static enum http_event end_request(struct http_parser *parser)
{
    parser->state = PARSER_BETWEEN;
    parser->empty_lines = 0;
    return HTTP_EVENT_END;
}

static enum http_event next_length(struct http_parser *parser, size_t size, size_t *used,
                                   size_t *piece)
{
    if (parser->left == 0)
        return end_request(parser);
    if (size == 0)
        return HTTP_EVENT_MORE;
    *used = *piece = size < parser->left ? size : (size_t)parser->left;
    parser->left -= *piece;
    return HTTP_EVENT_BODY;
}

static enum http_event next_chunks(struct http_parser *parser, const char *data, size_t size,
                                   size_t *used, size_t *piece)
{
    if (http_chunks_next(&parser->chunks, data, size, &parser->limits, used, piece,
                         &parser->fault) < 0)
        return bad(parser);
    if (*piece > 0)
        return HTTP_EVENT_BODY;
    return parser->chunks.state == CHUNK_DONE ? end_request(parser) : HTTP_EVENT_MORE;
}

enum http_event http_parser_next(struct http_parser *parser, const char *data, size_t size,
                                 size_t *used, size_t *piece)
{
    *used = *piece = 0;
    while (parser->state == PARSER_BETWEEN) {
        size_t skipped = 0;
        enum http_event event = next_between(parser, data + *used, size - *used, &skipped);
        *used += skipped;
        if (event == HTTP_EVENT_BAD || (parser->state == PARSER_BETWEEN && skipped == 0))
            return event;
        if (parser->state != PARSER_BETWEEN && *used > 0)
            return HTTP_EVENT_MORE; /* a head is looked for from the start of the data on */
    }
    switch (parser->state) {
    case PARSER_HEAD:
        return next_head(parser, data, size, used);
    case PARSER_LENGTH:
        return next_length(parser, size, used, piece);
    case PARSER_CHUNKS:
        return next_chunks(parser, data, size, used, piece);
    case PARSER_BETWEEN:
    case PARSER_BAD:
        break;
    }
    return HTTP_EVENT_BAD;
}

bool http_parser_in_head(const struct http_parser *parser, size_t size)
{
    return parser->state == PARSER_HEAD ||
           (parser->state == PARSER_BETWEEN && (size > 0 || parser->empty_lines > 0));
}

void http_parser_free(struct http_parser *parser)
{
    http_head_free(&parser->head);
}
