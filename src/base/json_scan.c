/* The grammar of JSON: tokens, what may follow what, how deep. */
#include "json_scan.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

/* ---- tokens ---- */

int json_scan_byte(struct json_reader *json)
{
    for (; json->offset < json->size; json->offset++) {
        char byte = json->data[json->offset];
        if (byte != ' ' && byte != '\n' && byte != '\t' && byte != '\r')
            return (uint8_t)byte;
    }
    return -1;
}

bool json_scan_literal(struct json_reader *json, const char *literal)
{
    size_t length = strlen(literal);
    const char *at = json->data + json->offset;
    size_t same = 0;
    while (same < length && json->offset + same < json->size && at[same] == literal[same])
        same++;
    if (same < length) {
        char where[48];
        snprintf(where, sizeof(where), "in literal %s (expecting '%c')", literal, literal[same]);
        return json_fail_grammar(json, json->offset + same, where);
    }
    json->offset += length;
    return true;
}

static size_t skip_digits(const struct json_reader *json, size_t at)
{
    while (at < json->size && json->data[at] >= '0' && json->data[at] <= '9')
        at++;
    return at;
}

/* Reads digits, at least one. */
static bool read_digits(struct json_reader *json, size_t *at, const char *where)
{
    size_t end = skip_digits(json, *at);
    if (end == *at)
        return json_fail_grammar(json, end, where);
    *at = end;
    return true;
}

static bool byte_is(const struct json_reader *json, size_t at, char one, char other)
{
    return at < json->size && (json->data[at] == one || json->data[at] == other);
}

bool json_scan_number(struct json_reader *json, size_t *end)
{
    size_t at = json->offset;
    at += byte_is(json, at, '-', '-');
    if (byte_is(json, at, '0', '0'))
        at++; /* nothing may follow: "01" is two numbers */
    else if (!read_digits(json, &at, "in numeric literal"))
        return false;
    if (byte_is(json, at, '.', '.')) {
        at++;
        if (!read_digits(json, &at, "after decimal point in numeric literal"))
            return false;
    }
    if (byte_is(json, at, 'e', 'E')) {
        at++;
        at += byte_is(json, at, '+', '-');
        if (!read_digits(json, &at, "in exponent of numeric literal"))
            return false;
    }
    *end = at;
    return true;
}

static bool skip_string(struct json_reader *json)
{
    char *next = json->data + json->offset + 1;
    enum text_result result = json_text_skip(&next, json->data + json->size, json->flags);
    size_t offset = (size_t)(next - json->data);
    if (result != TEXT_DONE)
        return json_fail_string(json, result, offset);
    json->offset = offset;
    return true;
}

/* ---- structure ---- */

bool json_scan_in_object(const struct json_reader *json)
{
    unsigned level = json->depth - 1;
    return json->depth > 0 && (json->objects[level / 64] >> level % 64 & 1) != 0;
}

bool json_scan_open(struct json_reader *json, bool object)
{
    unsigned level = json->depth;
    if (level == JSON_READER_DEPTH_MAX)
        return json_fail_at(json, JSON_TOO_DEEP, json->offset, "exceeded max depth");
    uint64_t bit = UINT64_C(1) << level % 64;
    uint64_t *bits = &json->objects[level / 64];
    *bits = object ? *bits | bit : *bits & ~bit;
    json->depth++;
    json->offset++;
    json->expect = EXPECT_FIRST;
    return true;
}

bool json_scan_member(struct json_reader *json)
{
    bool object = json_scan_in_object(json);
    bool first = json->expect == EXPECT_FIRST;
    int byte = json_scan_byte(json);
    if (byte == (object ? '}' : ']')) {
        json->offset++;
        json->depth--;
        json->expect = EXPECT_AFTER;
        return false;
    }
    if (!first && byte != ',')
        return json_fail_grammar(json, json->offset,
                                 object ? "after object key:value pair" : "after array element");
    json->offset += !first;
    json->expect = EXPECT_VALUE;
    if (object && json_scan_byte(json) != '"')
        return json_fail_grammar(json, json->offset, "looking for beginning of object key string");
    return true;
}

bool json_scan_colon(struct json_reader *json)
{
    if (json_scan_byte(json) != ':')
        return json_fail_grammar(json, json->offset, "after object key");
    json->offset++;
    return true;
}

static enum json_kind kind_of(int first)
{
    switch (first) {
    case 'n':
        return JSON_NULL;
    case 't':
    case 'f':
        return JSON_BOOL;
    case '"':
        return JSON_STRING;
    case '[':
        return JSON_ARRAY;
    case '{':
        return JSON_OBJECT;
    default:
        return first == '-' || (first >= '0' && first <= '9') ? JSON_NUMBER : JSON_NONE;
    }
}

enum json_kind json_peek(struct json_reader *json)
{
    if (json->failure != JSON_OK)
        return JSON_NONE;
    assert(json->expect == EXPECT_VALUE);
    enum json_kind kind = kind_of(json_scan_byte(json));
    json->value_at = json->offset;
    if (kind == JSON_NONE)
        json_fail_grammar(json, json->offset, "looking for beginning of value");
    return kind;
}

bool json_scan_scalar(struct json_reader *json, enum json_kind kind)
{
    json->expect = EXPECT_AFTER;
    switch (kind) {
    case JSON_STRING:
        return skip_string(json);
    case JSON_NUMBER:
        return json_scan_number(json, &json->offset);
    case JSON_BOOL:
        return json_scan_literal(json, json->data[json->offset] == 't' ? "true" : "false");
    default:
        return json_scan_literal(json, "null");
    }
}

static bool skip_value(struct json_reader *json)
{
    enum json_kind kind = json_peek(json);
    if (kind == JSON_NONE)
        return false;
    if (kind == JSON_OBJECT || kind == JSON_ARRAY)
        return json_scan_open(json, kind == JSON_OBJECT);
    return json_scan_scalar(json, kind);
}

bool json_scan_to_depth(struct json_reader *json, unsigned depth)
{
    if (json->expect == EXPECT_NOTHING)
        json->expect = EXPECT_AFTER;
    while (json->failure == JSON_OK) {
        if (json->expect == EXPECT_VALUE)
            skip_value(json);
        else if (json->expect == EXPECT_AFTER && json->depth <= depth)
            return true;
        else if (json_scan_member(json) && json_scan_in_object(json))
            (void)(skip_string(json) && json_scan_colon(json));
    }
    return false;
}
