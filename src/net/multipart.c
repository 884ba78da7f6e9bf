/* multipart/form-data, as it comes in.
 *
 * A delimiter is a line break, "--" and the boundary. The line break occurs nowhere else in it, so a
 * delimiter that turns out to be none can only begin anew at a later line break: nothing is looked at
 * twice, and of what was fed before, the number of bytes that match is all that is kept. */
#include "net/multipart.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "mime_params.h"

enum {
    CRLF_SIZE = 2,
    DELIMITER_SIZE = CRLF_SIZE + 2 + MULTIPART_BOUNDARY_SIZE,
};

enum state {
    IN_DATA,    /* of a part, or before the first */
    IN_TAIL,    /* a delimiter was seen; what follows decides whether it is one */
    IN_DASH,    /* and a '-': another one makes it the last */
    IN_PADDING, /* white space behind it, up to the end of its line */
    IN_HEADERS,
    IN_END, /* white space behind the last delimiter */
    CLOSED,
};

struct multipart {
    const struct multipart_handler *handler;
    void *arg;
    enum state state;
    char delimiter[DELIMITER_SIZE]; /* "\r\n--boundary" */
    size_t begin;                   /* in delimiter: 0, or 1 where lines end with LF alone */
    size_t end;                     /* of the delimiter */
    size_t matched; /* the place in delimiter up to which the latest bytes match; begin: none */
    size_t given;   /* those before it were not data: the break of the line before */
    bool in_part;   /* else before the first */
    bool any_part;
    bool cr; /* the latest byte of IN_PADDING */
    char headers[MULTIPART_HEADERS_SIZE + 1];
    size_t headers_size;
    size_t line; /* where the present line of headers begins */
};

static int refuse(struct cj_error *err, const char *reason)
{
    return error_set(err, ERROR_REQUEST, 0, "multipart: %s", reason);
}

/* ---- the boundary ---- */

/* Printable, no quote or backslash, no space at the end: all of RFC 2046's and what else clients use. */
static bool is_boundary(const char *text)
{
    size_t size = strlen(text);
    if (size == 0 || size >= MULTIPART_BOUNDARY_SIZE || text[size - 1] == ' ')
        return false;
    for (size_t i = 0; i < size; i++)
        if (text[i] < 0x20 || text[i] == 0x7f || text[i] == '"' || text[i] == '\\')
            return false;
    return true;
}

int multipart_boundary(const char *content_type, char boundary[static MULTIPART_BOUNDARY_SIZE],
                       struct cj_error *err)
{
    struct mime_value value;
    if (content_type == NULL)
        return error_set(err, ERROR_REQUEST, 0, "no Content-Type");
    const char *reason = mime_value_parse(&value, content_type);
    if (reason != NULL)
        return error_set(err, ERROR_REQUEST, 0, "Content-Type: %s", reason);
    if (strcmp(value.word, "multipart/form-data") != 0)
        return error_set(err, ERROR_REQUEST, 0, "Content-Type is not multipart/form-data");
    const char *text = mime_param(&value, "boundary");
    if (text == NULL || !is_boundary(text))
        return error_set(err, ERROR_REQUEST, 0, "Content-Type: %s",
                         text == NULL ? "no boundary" : "a boundary that cannot be one");
    memcpy(boundary, text, strlen(text) + 1);
    return 0;
}

int multipart_new(const char *boundary, const struct multipart_handler *handler, void *arg,
                  struct multipart **out, struct cj_error *err)
{
    if (!is_boundary(boundary))
        return refuse(err, "a boundary that cannot be one");
    struct multipart *multipart = calloc(1, sizeof(*multipart));
    if (multipart == NULL)
        return error_set(err, ERROR_SYSTEM, ENOMEM, "multipart: out of memory");
    multipart->handler = handler;
    multipart->arg = arg;
    char *end = stpcpy(stpcpy(multipart->delimiter, "\r\n--"), boundary);
    multipart->end = (size_t)(end - multipart->delimiter);
    /* The text before the first part may have lines of either kind, and may be empty. */
    multipart->begin = 1;
    multipart->matched = multipart->given = CRLF_SIZE;
    *out = multipart;
    return 0;
}

void multipart_free(struct multipart *multipart)
{
    free(multipart);
}

/* ---- headers ---- */

/* Joins lines that are continued (they begin with white space), ends each with a NUL, and an empty one
 * ends them all. */
static void split_headers(char *text, size_t size)
{
    char *to = text;
    for (size_t i = 0; i < size; i++) {
        if (text[i] != '\n') {
            *to++ = text[i];
            continue;
        }
        to -= to > text && to[-1] == '\r';
        while (to > text && (to[-1] == ' ' || to[-1] == '\t'))
            to--;
        bool continued = i + 1 < size && (text[i + 1] == ' ' || text[i + 1] == '\t');
        if (!continued)
            *to++ = '\0';
    }
    *to = '\0';
}

/* The value behind the colon when line is of the header. */
static char *header_value(char *line, const char *name)
{
    size_t length = strlen(name);
    if (strncasecmp(line, name, length) != 0 || line[length] != ':')
        return NULL;
    return line + length + 1 + strspn(line + length + 1, " \t");
}

struct headers {
    const char *disposition, *content_type, *encoding; /* or NULL */
};

static int find_headers(char *text, struct headers *headers, struct cj_error *err)
{
    for (char *line = text; *line != '\0'; line += strlen(line) + 1) {
        size_t name = mime_token_span(line);
        if (name == 0 || line[name] != ':' || strchr(line, '\r') != NULL)
            return refuse(err, "a header line that is none");
        const char *disposition = header_value(line, "content-disposition");
        const char *content_type = header_value(line, "content-type");
        const char *encoding = header_value(line, "content-transfer-encoding");
        if (disposition != NULL && headers->disposition != NULL)
            return refuse(err, "two Content-Disposition headers in one part");
        headers->disposition = disposition != NULL ? disposition : headers->disposition;
        headers->content_type = content_type != NULL ? content_type : headers->content_type;
        headers->encoding = encoding != NULL ? encoding : headers->encoding;
    }
    return 0;
}

/* The name and file name of a part; extended (or NULL) is a copy of the latter's other form, which
 * counts when it can be read. */
static void name_part(const struct mime_value *value, char *extended, struct multipart_part *part)
{
    if (strcmp(value->word, "form-data") != 0)
        return;
    part->name = mime_param(value, "name");
    const char *decoded = extended == NULL ? NULL : mime_decode_extended(extended);
    part->filename = decoded != NULL ? decoded : mime_param(value, "filename");
}

/* Looks at the headers that are there now, and begins the part. */
static int begin_part(struct multipart *multipart, struct cj_error *err)
{
    struct headers headers = {0};
    struct multipart_part part = {0};
    struct mime_value value;
    char extended[MIME_VALUE_SIZE + 1];
    if (multipart->headers[0] == ' ' || multipart->headers[0] == '\t')
        return refuse(err, "a header line that is none"); /* it continues no other */
    split_headers(multipart->headers, multipart->headers_size);
    if (find_headers(multipart->headers, &headers, err) < 0)
        return -1;
    /* RFC 7578 section 4.7: not to be used; Go decodes it, and leaves base64 as it is. */
    if (headers.encoding != NULL && strcasecmp(headers.encoding, "quoted-printable") == 0)
        return refuse(err, "Content-Transfer-Encoding quoted-printable");
    part.content_type = headers.content_type;
    if (headers.disposition != NULL) {
        const char *reason = mime_value_parse(&value, headers.disposition);
        if (reason != NULL)
            return error_set(err, ERROR_REQUEST, 0, "multipart: Content-Disposition: %s", reason);
        const char *found = mime_param(&value, "filename*");
        if (found != NULL)
            memcpy(extended, found, strlen(found) + 1);
        name_part(&value, found != NULL ? extended : NULL, &part);
    }
    multipart->state = IN_DATA;
    multipart->in_part = true;
    /* An empty part may have no line break of its own before the delimiter. */
    multipart->matched = multipart->given = CRLF_SIZE;
    return multipart->handler->part_begin(&part, multipart->arg, err);
}

/* Collects headers up to the empty line. */
static int feed_headers(struct multipart *multipart, const char **data, const char *end,
                        struct cj_error *err)
{
    while (*data < end) {
        if (multipart->headers_size == MULTIPART_HEADERS_SIZE)
            return refuse(err, "headers are too long");
        char c = *(*data)++;
        multipart->headers[multipart->headers_size++] = c;
        if (((uint8_t)c < 0x20 && c != '\t' && c != '\r' && c != '\n') || c == 0x7f)
            return refuse(err, "a control character in a header");
        if (c != '\n')
            continue;
        const char *line = multipart->headers + multipart->line;
        size_t size = multipart->headers_size - multipart->line;
        if (size == 1 || (size == 2 && line[0] == '\r'))
            return begin_part(multipart, err);
        multipart->line = multipart->headers_size;
    }
    return 0;
}

/* ---- data ---- */

static int give(struct multipart *multipart, const char *data, size_t size, struct cj_error *err)
{
    if (size == 0 || !multipart->in_part)
        return 0;
    return multipart->handler->part_data(data, size, multipart->arg, err);
}

/* What matched turned out to be data. */
static int give_matched(struct multipart *multipart, struct cj_error *err)
{
    const char *data = multipart->delimiter + multipart->given;
    size_t size = multipart->matched - multipart->given;
    multipart->matched = multipart->given = multipart->begin;
    return give(multipart, data, size, err);
}

/* From the place where nothing matches: the data up to where a delimiter may begin, of which the end
 * of this piece may show a part only. */
static int feed_span(struct multipart *multipart, const char **data, const char *end,
                     struct cj_error *err)
{
    const char *delimiter = multipart->delimiter + multipart->begin;
    size_t size = multipart->end - multipart->begin;
    const char *next = *data;
    for (;; next++) {
        next = memchr(next, delimiter[0], (size_t)(end - next));
        if (next == NULL)
            break;
        size_t left = (size_t)(end - next);
        size_t compared = left < size ? left : size;
        if (memcmp(next, delimiter, compared) == 0) {
            multipart->matched = multipart->begin + compared;
            break;
        }
    }
    const char *span = *data;
    size_t span_size = (size_t)((next == NULL ? end : next) - span);
    *data = span + span_size + (multipart->matched - multipart->begin);
    return give(multipart, span, span_size, err);
}

static int feed_data(struct multipart *multipart, const char **data, const char *end,
                     struct cj_error *err)
{
    if (multipart->matched == multipart->begin && feed_span(multipart, data, end, err) < 0)
        return -1;
    while (*data < end && multipart->matched < multipart->end &&
           **data == multipart->delimiter[multipart->matched]) {
        multipart->matched++;
        ++*data;
    }
    if (multipart->matched == multipart->end) {
        multipart->state = IN_TAIL;
        return 0;
    }
    if (*data == end || multipart->matched == multipart->begin)
        return 0;
    return give_matched(multipart, err);
}

/* ---- delimiters ---- */

static int end_part(struct multipart *multipart, enum state next, struct cj_error *err)
{
    bool in_part = multipart->in_part;
    multipart->in_part = false;
    multipart->state = next;
    multipart->cr = false;
    return in_part ? multipart->handler->part_end(multipart->arg, err) : 0;
}

/* Behind a delimiter: the end of its line, white space, or "--" after the last part. With anything
 * else it was data, such as a longer line that begins in the same way. */
static int feed_tail(struct multipart *multipart, char c, struct cj_error *err)
{
    if (c == ' ' || c == '\t' || c == '\r' || c == '\n')
        return end_part(multipart, IN_PADDING, err);
    multipart->state = IN_DATA;
    if (c != '-')
        return give_matched(multipart, err);
    multipart->state = IN_DASH;
    return 0;
}

static int feed_dash(struct multipart *multipart, char c, struct cj_error *err)
{
    if (c == '-')
        return end_part(multipart, IN_END, err);
    multipart->state = IN_DATA;
    return give_matched(multipart, err) < 0 ? -1 : give(multipart, "-", 1, err);
}

static int feed_padding(struct multipart *multipart, char c, struct cj_error *err)
{
    bool cr = multipart->cr;
    multipart->cr = c == '\r';
    if (c == '\n') {
        if (!multipart->any_part)
            multipart->begin = cr ? 0 : 1; /* the kind of line breaks, from here on */
        multipart->any_part = true;
        multipart->headers_size = multipart->line = 0;
        multipart->state = IN_HEADERS;
        return 0;
    }
    if (cr || (c != ' ' && c != '\t' && c != '\r'))
        return refuse(err, "text behind a boundary");
    return 0;
}

static int feed_end(struct multipart *multipart, char c, struct cj_error *err)
{
    if (c == '\r' || c == '\n')
        multipart->state = CLOSED;
    else if (c != ' ' && c != '\t')
        return refuse(err, "text behind a boundary");
    return 0;
}

/* Takes what it can of the piece, at least one byte or one step. */
static int feed_some(struct multipart *multipart, const char **data, const char *end,
                     struct cj_error *err)
{
    char c = **data;
    switch (multipart->state) {
    case IN_DATA:
        return feed_data(multipart, data, end, err);
    case IN_TAIL:
        *data += c == '-';
        return feed_tail(multipart, c, err);
    case IN_DASH:
        *data += c == '-';
        return feed_dash(multipart, c, err);
    case IN_PADDING:
        ++*data;
        return feed_padding(multipart, c, err);
    case IN_HEADERS:
        return feed_headers(multipart, data, end, err);
    case IN_END:
        ++*data;
        return feed_end(multipart, c, err);
    case CLOSED:
        break;
    }
    *data = end; /* what stands behind the last boundary means nothing */
    return 0;
}

int multipart_feed(struct multipart *multipart, const void *data, size_t size, struct cj_error *err)
{
    const char *next = data;
    const char *end = next + size;
    while (next < end)
        if (feed_some(multipart, &next, end, err) < 0)
            return -1;
    return 0;
}

int multipart_end(struct multipart *multipart, struct cj_error *err)
{
    if (multipart->state == CLOSED || multipart->state == IN_END)
        return 0;
    return refuse(err, multipart->any_part ? "the body ends before the closing boundary"
                                           : "no boundary in the body");
}
