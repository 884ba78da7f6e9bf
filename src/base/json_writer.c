/* Writes JSON into a buffer. */
#include "base/json_writer.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "swar.h"

/* ---- strings ---- */

/* ASCII that is written as it is: all but controls, " \ < > &. */
static const bool plain[256] = {
    [0x20 ... 0x21] = true, [0x23 ... 0x25] = true, [0x27 ... 0x3b] = true,
    [0x3d] = true,          [0x3f ... 0x5b] = true, [0x5d ... 0x7f] = true,
};

/* The ASCII at data that is written as it is, eight bytes at a time: the output of programs passes here
 * in bulk. */
static inline size_t plain_span(const uint8_t *data, size_t size)
{
    size_t i = 0;
    for (; size - i >= 8; i += 8) {
        uint64_t bytes = swar_load(data + i);
        /* " and & differ in one bit, < and > as well */
        uint64_t found = swar_below(bytes, 0x20) | swar_equal(bytes, '\\') |
                         swar_equal(bytes | SWAR_ONES * ('"' ^ '&'), '"' | '&') |
                         swar_equal(bytes | SWAR_ONES * ('<' ^ '>'), '<' | '>') |
                         (bytes & SWAR_TOPS);
        if (found != 0)
            return i + swar_first(found);
    }
    while (i < size && plain[data[i]])
        i++;
    return i;
}

/* U+2028 or U+2029, which end a line in JavaScript. */
static bool is_line_end(const uint8_t *character, size_t length)
{
    return length == 3 && character[0] == 0xe2 && character[1] == 0x80 &&
           (character[2] | 1) == 0xa9;
}

/* Bytes at data that are written as they are, up to the first that is not. */
static size_t literal_span(const uint8_t *data, size_t size)
{
    size_t i = 0;
    for (;;) {
        i += plain_span(data + i, size - i);
        if (i == size || data[i] < 0x80)
            return i;
        while (i < size && data[i] >= 0x80) {
            size_t length = utf8_length(data + i, size - i);
            if (length == 0 || is_line_end(data + i, length))
                return i;
            i += length;
        }
    }
}

/* Writes the escape for what is at data; returns the bytes it stands for. */
static size_t escape_one(struct buf *buf, const uint8_t *data, size_t size)
{
    static const char short_escapes[128] = {
        ['\b'] = 'b', ['\f'] = 'f', ['\n'] = 'n',  ['\r'] = 'r',
        ['\t'] = 't', ['"'] = '"',  ['\\'] = '\\',
    };
    uint8_t byte = data[0];
    if (byte < 0x80 && short_escapes[byte] != 0) {
        buf_append(buf, (const char[]){'\\', short_escapes[byte]}, 2);
        return 1;
    }
    uint32_t character = byte;
    size_t length = 1;
    if (byte >= 0x80) {
        character = 0xfffd;
        length = utf8_decode(data, size, &character);
    }
    static const char hex[] = "0123456789abcdef";
    buf_append(buf,
               (const char[]){'\\', 'u', hex[character >> 12 & 15], hex[character >> 8 & 15],
                              hex[character >> 4 & 15], hex[character & 15]},
               6);
    return length == 0 ? 1 : length;
}

void json_escape(struct buf *buf, const void *data, size_t size)
{
    const uint8_t *next = data;
    while (size > 0) {
        size_t length = literal_span(next, size);
        buf_append(buf, next, length);
        if (length < size)
            length += escape_one(buf, next + length, size - length);
        next += length;
        size -= length;
    }
}

/* What RFC 8259 asks for and no more: controls, " and \\; what is no UTF-8 as U+FFFD itself. */
static void escape_plain(struct buf *buf, const uint8_t *data, size_t size)
{
    size_t start = 0, at = 0;
    while (at < size) {
        bool is_ascii = data[at] < 0x80;
        bool is_literal = data[at] >= 0x20 && data[at] != '"' && data[at] != '\\';
        size_t length = is_ascii ? 1 : utf8_decode(data + at, size - at, NULL);
        if (is_literal && length > 0) {
            at += length;
            continue;
        }
        buf_append(buf, data + start, at - start);
        if (length == 0)
            buf_append_text(buf, "\xef\xbf\xbd");
        else
            escape_one(buf, data + at, 1);
        start = ++at;
    }
    buf_append(buf, data + start, at - start);
}

static void quoted(const struct json_writer *json, const void *data, size_t size)
{
    buf_append_char(json->buf, '"');
    if (json->style == JSON_COMPACT_PLAIN)
        escape_plain(json->buf, data, size);
    else
        json_escape(json->buf, data, size);
    buf_append_char(json->buf, '"');
}

/* ---- structure ---- */

struct json_writer json_writer_to(struct buf *buf, enum json_style style)
{
    return (struct json_writer){.buf = buf, .style = style};
}

static bool in_object(const struct json_writer *json)
{
    return json->depth > 0 && (json->objects >> (json->depth - 1) & 1) != 0;
}

static void line_break(struct json_writer *json)
{
    if (json->style != JSON_PRETTY)
        return;
    buf_append_char(json->buf, '\n');
    for (unsigned i = 0; i < json->depth; i++)
        buf_append_text(json->buf, "  ");
}

/* What goes between the item before and the next one. */
static void separate(struct json_writer *json)
{
    if (json->has_items)
        buf_append_char(json->buf, ',');
    if (json->depth > 0)
        line_break(json);
    json->has_items = true;
}

static void value_begin(struct json_writer *json)
{
    assert(json->has_key == in_object(json));
    if (!json->has_key)
        separate(json);
    json->has_key = false;
}

static void open_level(struct json_writer *json, bool object)
{
    value_begin(json);
    assert(json->depth < JSON_DEPTH_MAX);
    buf_append_char(json->buf, object ? '{' : '[');
    uint64_t bit = UINT64_C(1) << json->depth;
    json->objects = object ? json->objects | bit : json->objects & ~bit;
    json->depth++;
    json->has_items = false;
}

static void close_level(struct json_writer *json, bool object)
{
    assert(json->depth > 0 && in_object(json) == object && !json->has_key);
    json->depth--;
    if (json->has_items)
        line_break(json);
    buf_append_char(json->buf, object ? '}' : ']');
    json->has_items = true; /* of the level around it */
}

void json_object_begin(struct json_writer *json)
{
    open_level(json, true);
}

void json_object_end(struct json_writer *json)
{
    close_level(json, true);
}

void json_array_begin(struct json_writer *json)
{
    open_level(json, false);
}

void json_array_end(struct json_writer *json)
{
    close_level(json, false);
}

void json_key_bytes(struct json_writer *json, const void *key, size_t size)
{
    assert(in_object(json) && !json->has_key);
    separate(json);
    quoted(json, key, size);
    buf_append_text(json->buf, json->style == JSON_PRETTY ? ": " : ":");
    json->has_key = true;
}

void json_key(struct json_writer *json, const char *key)
{
    json_key_bytes(json, key, strlen(key));
}

/* ---- values ---- */

void json_string_bytes(struct json_writer *json, const void *data, size_t size)
{
    value_begin(json);
    quoted(json, data, size);
}

void json_string(struct json_writer *json, const char *text)
{
    json_string_bytes(json, text, strlen(text));
}

void json_string_base64(struct json_writer *json, const void *data, size_t size)
{
    value_begin(json);
    buf_append_char(json->buf, '"');
    buf_append_base64(json->buf, data, size);
    buf_append_char(json->buf, '"');
}

void json_raw(struct json_writer *json, const void *data, size_t size)
{
    value_begin(json);
    buf_append(json->buf, data, size);
}

void json_int(struct json_writer *json, int64_t value)
{
    value_begin(json);
    buf_printf(json->buf, "%" PRId64, value);
}

void json_uint(struct json_writer *json, uint64_t value)
{
    value_begin(json);
    buf_printf(json->buf, "%" PRIu64, value);
}

void json_bool(struct json_writer *json, bool value)
{
    value_begin(json);
    buf_append_text(json->buf, value ? "true" : "false");
}

void json_null(struct json_writer *json)
{
    value_begin(json);
    buf_append_text(json->buf, "null");
}

void json_double(struct json_writer *json, double value)
{
    if (!isfinite(value)) {
        json_null(json);
        return;
    }
    /* The shortest digits that read back as value; 17 always do. */
    char text[64];
    int decimals = 0;
    do {
        snprintf(text, sizeof(text), "%.*e", decimals, value);
    } while (strtod(text, NULL) != value && decimals++ < 16);
    int exponent = (int)strtol(strchr(text, 'e') + 1, NULL, 10);
    value_begin(json);
    if (value != 0 && (exponent < -6 || exponent >= 21)) {
        *strchr(text, 'e') = '\0';
        buf_printf(json->buf, "%se%+d", text, exponent);
        return;
    }
    int behind_point = decimals - exponent;
    snprintf(text, sizeof(text), "%.*f", behind_point < 0 ? 0 : behind_point, value);
    buf_append_text(json->buf, text);
}
