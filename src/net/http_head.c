#include "http_head.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---- characters ---- */

enum char_class {
    CHAR_TOKEN = 1,  /* tchar, RFC 9110 5.6.2 */
    CHAR_VALUE = 2,  /* field-vchar, SP, HTAB: RFC 9110 5.5 */
    CHAR_TARGET = 4, /* visible ASCII but '#': a fragment is never sent (RFC 9112 3.2) */
    CHAR_HOST = 8,   /* uri-host, ':' and port: RFC 3986 3.2.2 */
};

enum {
    CLASS_NONE = 0,
    CLASS_BLANK = CHAR_VALUE,
    CLASS_VISIBLE = CHAR_VALUE | CHAR_TARGET,
    CLASS_MARK = CLASS_VISIBLE | CHAR_TOKEN,
    CLASS_ALNUM = CLASS_MARK | CHAR_HOST,
};

static const unsigned char char_classes[256] = {
    ['\t'] = CLASS_BLANK,
    [' '] = CLASS_BLANK,
    ['"'] = CLASS_VISIBLE,
    ['/'] = CLASS_VISIBLE,
    ['<'] = CLASS_VISIBLE,
    ['>'] = CLASS_VISIBLE,
    ['?'] = CLASS_VISIBLE,
    ['@'] = CLASS_VISIBLE,
    ['\\'] = CLASS_VISIBLE,
    ['{'] = CLASS_VISIBLE,
    ['}'] = CLASS_VISIBLE,
    ['#'] = CHAR_VALUE | CHAR_TOKEN,
    ['^'] = CLASS_MARK,
    ['`'] = CLASS_MARK,
    ['|'] = CLASS_MARK,
    ['!'] = CLASS_ALNUM,
    ['$'] = CLASS_ALNUM,
    ['%'] = CLASS_ALNUM,
    ['&'] = CLASS_ALNUM,
    ['\''] = CLASS_ALNUM,
    ['*'] = CLASS_ALNUM,
    ['+'] = CLASS_ALNUM,
    ['-'] = CLASS_ALNUM,
    ['.'] = CLASS_ALNUM,
    ['_'] = CLASS_ALNUM,
    ['~'] = CLASS_ALNUM,
    ['0' ... '9'] = CLASS_ALNUM,
    ['A' ... 'Z'] = CLASS_ALNUM,
    ['a' ... 'z'] = CLASS_ALNUM,
    ['('] = CLASS_VISIBLE | CHAR_HOST,
    [')'] = CLASS_VISIBLE | CHAR_HOST,
    [','] = CLASS_VISIBLE | CHAR_HOST,
    [':'] = CLASS_VISIBLE | CHAR_HOST,
    [';'] = CLASS_VISIBLE | CHAR_HOST,
    ['='] = CLASS_VISIBLE | CHAR_HOST,
    ['['] = CLASS_VISIBLE | CHAR_HOST,
    [']'] = CLASS_VISIBLE | CHAR_HOST,
    [0x80 ... 0xff] = CHAR_VALUE,
};

bool http_is_token_char(unsigned char c)
{
    return char_classes[c] & CHAR_TOKEN;
}

bool http_is_value_char(unsigned char c)
{
    return char_classes[c] & CHAR_VALUE;
}

/* How many of the size bytes are of the class, from the start on. */
static size_t span(const char *text, size_t size, enum char_class class)
{
    size_t i = 0;
    while (i < size && (char_classes[(unsigned char)text[i]] & class))
        i++;
    return i;
}

int http_fault_set(struct http_fault *fault, int status, const char *reason)
{
    *fault = (struct http_fault){.status = status, .reason = reason};
    return -1;
}

/* ---- finding the end ---- */

static int fault_too_large(struct http_fault *fault, const struct http_scan *scan)
{
    if (scan->line == 0)
        return http_fault_set(fault, 414, "the request line is too long");
    return http_fault_set(fault, 431, "the headers are too large");
}

/* Limits come before line ends, for a part of a line is checked for its size only: so the outcome
 * is the same whether the line came at once or in pieces. */
static int check_line(const struct http_scan *scan, const char *data, size_t line_end,
                      const struct http_limits *limits, struct http_fault *fault)
{
    size_t length = line_end - scan->line;
    if (line_end + 1 > limits->head_bytes)
        return fault_too_large(fault, scan);
    const char *cr = memchr(data + scan->line, '\r', length);
    if (!cr)
        return http_fault_set(fault, 400, "a line ends with LF and not with CR LF");
    if (cr != data + line_end - 1)
        return http_fault_set(fault, 400, "CR without LF");
    return 0;
}

ssize_t http_head_scan(struct http_scan *scan, const char *data, size_t size,
                       const struct http_limits *limits, struct http_fault *fault)
{
    for (;;) {
        const char *lf =
            size > scan->seen ? memchr(data + scan->seen, '\n', size - scan->seen) : NULL;
        if (!lf)
            break;
        size_t line_end = (size_t)(lf - data);
        if (check_line(scan, data, line_end, limits, fault) < 0)
            return -1;
        bool empty = line_end - scan->line == 1;
        scan->line = scan->seen = line_end + 1;
        if (empty)
            return (ssize_t)scan->line;
    }
    scan->seen = size;
    if (size > limits->head_bytes)
        return fault_too_large(fault, scan);
    return 0;
}

/* ---- reading ---- */

/* What the fields say about framing, before it is known whether they agree. */
struct framing {
    const char *coding; /* Transfer-Encoding */
    bool has_length;
    bool has_host;
};

void http_head_free(struct http_head *head)
{
    free(head->text);
    free(head->fields);
    *head = (struct http_head){0};
}

/* Room for the head, and for the path twice: as it was sent and decoded. */
static int head_reserve(struct http_head *head, size_t size, struct http_fault *fault)
{
    size_t wanted = 3 * size + 8;
    if (head->text_capacity >= wanted)
        return 0;
    char *text = realloc(head->text, wanted);
    if (!text)
        return http_fault_set(fault, 503, "out of memory");
    head->text = text;
    head->text_capacity = wanted;
    return 0;
}

static int add_field(struct http_head *head, struct http_field field,
                     const struct http_limits *limits, struct http_fault *fault)
{
    if (head->field_count >= limits->header_count)
        return http_fault_set(fault, 431, "too many headers");
    if (head->field_count == head->field_capacity) {
        size_t capacity = head->field_capacity ? 2 * head->field_capacity : 16;
        struct http_field *fields = realloc(head->fields, capacity * sizeof(fields[0]));
        if (!fields)
            return http_fault_set(fault, 503, "out of memory");
        head->fields = fields;
        head->field_capacity = capacity;
    }
    head->fields[head->field_count++] = field;
    return 0;
}

/* Decodes size bytes of text to out, NUL-terminated. Returns false for a broken escape or a NUL.
 */
static bool percent_decode(const char *text, size_t size, char *out)
{
    static const signed char digits[256] = {
        ['0'] = 1,  ['1'] = 2,  ['2'] = 3,  ['3'] = 4,  ['4'] = 5,  ['5'] = 6,
        ['6'] = 7,  ['7'] = 8,  ['8'] = 9,  ['9'] = 10, ['a'] = 11, ['b'] = 12,
        ['c'] = 13, ['d'] = 14, ['e'] = 15, ['f'] = 16, ['A'] = 11, ['B'] = 12,
        ['C'] = 13, ['D'] = 14, ['E'] = 15, ['F'] = 16,
    };
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c == '%') {
            int high = i + 2 < size ? digits[(unsigned char)text[i + 1]] : 0;
            int low = i + 2 < size ? digits[(unsigned char)text[i + 2]] : 0;
            if (!high || !low)
                return false;
            c = (unsigned char)(16 * (high - 1) + low - 1);
            i += 2;
        }
        if (c == '\0')
            return false;
        *out++ = (char)c;
    }
    *out = '\0';
    return true;
}

/* Where the path of a target begins, or NULL for a target that is none (RFC 9112 3.2). */
static const char *find_path(const struct http_head *head)
{
    const char *target = head->target;
    if (target[0] == '/')
        return target;
    if (strcmp(target, "*") == 0)
        return strcmp(head->method, "OPTIONS") == 0 ? target : NULL;
    if (strncasecmp(target, "http://", 7) != 0 && strncasecmp(target, "https://", 8) != 0)
        return NULL;
    const char *authority = strchr(target, ':') + 3;
    const char *path = authority + strcspn(authority, "/?");
    return path > authority ? path : NULL;
}

/* spare: unused bytes of text, twice the target's size and more. */
static int parse_target(struct http_head *head, char *spare, struct http_fault *fault)
{
    const char *path = find_path(head);
    if (!path)
        return http_fault_set(fault, 400, "the request target is neither a path nor a URL");
    size_t size = strcspn(path, "?");
    head->query = path[size] == '?' ? path + size + 1 : NULL;
    if (size == 0) { /* http://host?query */
        head->raw_path = head->path = "/";
        return 0;
    }
    memcpy(spare, path, size);
    spare[size] = '\0';
    head->raw_path = spare;
    head->path = spare + size + 1;
    if (!percent_decode(path, size, spare + size + 1))
        return http_fault_set(fault, 400, "the path has a broken percent-escape or a NUL");
    return 0;
}

static int parse_version(struct http_head *head, const char *text, size_t size,
                         struct http_fault *fault)
{
    if (size != 8 || memcmp(text, "HTTP/", 5) != 0 || text[5] < '0' || text[5] > '9' ||
        text[6] != '.' || text[7] < '0' || text[7] > '9')
        return http_fault_set(fault, 400, "the request line does not end with an HTTP version");
    if (text[5] != '1' || text[7] > '1')
        return http_fault_set(fault, 505, "only HTTP/1.1 and HTTP/1.0 are served");
    head->minor = text[7] - '0';
    return 0;
}

/* method SP request-target SP HTTP-version (RFC 9112 3); line has no CR LF. */
static int parse_request_line(struct http_head *head, char *line, size_t size,
                              const struct http_limits *limits, struct http_fault *fault)
{
    size_t method = span(line, size, CHAR_TOKEN);
    if (method == 0 || method == size || line[method] != ' ')
        return http_fault_set(fault, 400, "the request line has no valid method");
    char *target = line + method + 1;
    size_t rest = size - method - 1;
    size_t length = span(target, rest, CHAR_TARGET);
    if (length > limits->target_bytes)
        return http_fault_set(fault, 414, "the request target is too long");
    if (length == 0 || length == rest || target[length] != ' ')
        return http_fault_set(fault, 400, "the request line has no valid target");
    if (parse_version(head, target + length + 1, rest - length - 1, fault) < 0)
        return -1;
    line[method] = '\0';
    target[length] = '\0';
    head->method = line;
    head->target = target;
    if (strcmp(head->method, "CONNECT") == 0)
        return http_fault_set(fault, 501, "CONNECT is not served");
    return 0;
}

/* field-name ":" OWS field-value OWS (RFC 9112 5); line has no CR LF. */
static int parse_field(char *line, size_t size, struct http_field *field, struct http_fault *fault)
{
    if (line[0] == ' ' || line[0] == '\t')
        return http_fault_set(fault, 400, "a header line is folded");
    size_t name = span(line, size, CHAR_TOKEN);
    if (name < size && (line[name] == ' ' || line[name] == '\t'))
        return http_fault_set(fault, 400, "a header name is followed by white space");
    if (name == 0 || name == size || line[name] != ':')
        return http_fault_set(fault, 400, "a header name is not valid");
    char *value = line + name + 1;
    char *end = line + size;
    if (span(value, (size_t)(end - value), CHAR_VALUE) != (size_t)(end - value))
        return http_fault_set(fault, 400, "a header value has a control character");
    while (value < end && (*value == ' ' || *value == '\t'))
        value++;
    while (end > value && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    line[name] = '\0';
    *end = '\0';
    *field = (struct http_field){.name = line, .value = value};
    return 0;
}

/* Twice the same is one (RFC 9110 8.6); a list or a sign is none. */
static int parse_length(struct http_head *head, struct framing *framing, const char *value,
                        struct http_fault *fault)
{
    uint64_t length = 0;
    size_t digits = strspn(value, "0123456789");
    if (digits == 0 || value[digits] != '\0')
        return http_fault_set(fault, 400, "Content-Length is not a number");
    for (const char *digit = value; *digit; digit++)
        if (length > (INT64_MAX - 9) / 10)
            return http_fault_set(fault, 413, "Content-Length is too large");
        else
            length = 10 * length + (uint64_t)(*digit - '0');
    if (framing->has_length && length != head->length)
        return http_fault_set(fault, 400, "Content-Length is there twice and differs");
    framing->has_length = true;
    head->length = length;
    return 0;
}

static int parse_host(struct framing *framing, const char *value, struct http_fault *fault)
{
    size_t size = strlen(value);
    if (framing->has_host)
        return http_fault_set(fault, 400, "Host is there twice");
    if (span(value, size, CHAR_HOST) != size)
        return http_fault_set(fault, 400, "Host is not valid");
    framing->has_host = true;
    return 0;
}

/* A field that concerns the connection or the body. */
static int note_field(struct http_head *head, struct framing *framing,
                      const struct http_field *field, struct http_fault *fault)
{
    if (strcasecmp(field->name, "host") == 0)
        return parse_host(framing, field->value, fault);
    if (strcasecmp(field->name, "content-length") == 0)
        return parse_length(head, framing, field->value, fault);
    if (strcasecmp(field->name, "transfer-encoding") == 0) {
        if (framing->coding)
            return http_fault_set(fault, 400, "Transfer-Encoding is there twice");
        framing->coding = field->value;
    } else if (strcasecmp(field->name, "expect") == 0 && head->minor > 0) {
        if (strcasecmp(field->value, "100-continue") != 0)
            return http_fault_set(fault, 417, "only 100-continue can be expected");
        head->expects_continue = true;
    }
    return 0;
}

/* Whether fields and version agree, and what follows for the body (RFC 9112 6.3). What could be
 * understood in two ways is refused: it is how requests are smuggled past a proxy. */
static int settle(struct http_head *head, const struct framing *framing, struct http_fault *fault)
{
    if (head->minor > 0 && !framing->has_host)
        return http_fault_set(fault, 400, "Host is missing");
    if (framing->coding) {
        if (framing->has_length)
            return http_fault_set(fault, 400, "both Content-Length and Transfer-Encoding");
        if (head->minor == 0)
            return http_fault_set(fault, 400, "Transfer-Encoding in HTTP/1.0");
        if (strcasecmp(framing->coding, "chunked") != 0)
            return http_fault_set(fault, 501, "the only transfer coding is chunked");
        head->chunked = true;
    }
    if (head->minor > 0)
        head->keep_alive = !http_head_has(head, "connection", "close");
    else
        head->keep_alive = http_head_has(head, "connection", "keep-alive") &&
                           !http_head_has(head, "connection", "close");
    return 0;
}

/* All lines but the empty one at the end. */
static int parse_lines(struct http_head *head, char *text, size_t size,
                       const struct http_limits *limits, struct http_fault *fault)
{
    struct framing framing = {0};
    char *end = text + size - 2;
    char *cr = memchr(text, '\r', size);
    if (parse_request_line(head, text, (size_t)(cr - text), limits, fault) < 0 ||
        parse_target(head, text + size, fault) < 0)
        return -1;
    for (char *line = cr + 2; line < end; line = cr + 2) {
        struct http_field field = {0};
        cr = memchr(line, '\r', (size_t)(end - line));
        if (parse_field(line, (size_t)(cr - line), &field, fault) < 0 ||
            add_field(head, field, limits, fault) < 0 ||
            note_field(head, &framing, &field, fault) < 0)
            return -1;
    }
    return settle(head, &framing, fault);
}

int http_head_parse(struct http_head *head, const char *data, size_t size,
                    const struct http_limits *limits, struct http_fault *fault)
{
    if (head_reserve(head, size, fault) < 0)
        return -1;
    *head = (struct http_head){
        .fields = head->fields,
        .field_capacity = head->field_capacity,
        .text = head->text,
        .text_capacity = head->text_capacity,
    };
    memcpy(head->text, data, size);
    return parse_lines(head, head->text, size, limits, fault);
}

/* ---- looking up ---- */

const char *http_head_find(const struct http_head *head, const char *name)
{
    for (size_t i = 0; i < head->field_count; i++)
        if (strcasecmp(head->fields[i].name, name) == 0)
            return head->fields[i].value;
    return NULL;
}

/* Whether a comma-separated list has the token; parameters behind ';' do not matter. */
static bool list_has(const char *list, const char *token)
{
    size_t length = strlen(token);
    while (*list) {
        list += strspn(list, ", \t");
        size_t item = strcspn(list, ",; \t");
        if (item == length && strncasecmp(list, token, length) == 0)
            return true;
        list += strcspn(list, ",");
    }
    return false;
}

bool http_head_has(const struct http_head *head, const char *name, const char *token)
{
    for (size_t i = 0; i < head->field_count; i++)
        if (strcasecmp(head->fields[i].name, name) == 0 && list_has(head->fields[i].value, token))
            return true;
    return false;
}
