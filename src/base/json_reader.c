/* Reads JSON piece by piece: structure, numbers, errors. Strings: json_text.c. */
#include "base/json_reader.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/fd.h"
#include "json_text.h"

/* What comes next, beside white space. */
enum {
    EXPECT_VALUE,
    EXPECT_FIRST,   /* a key or an item, or the end of the object or array just begun */
    EXPECT_AFTER,   /* what goes behind a value: a comma or the end of what it stands in */
    EXPECT_NOTHING, /* null was entered as an object or array: its end, which is not in the text */
};

enum {
    PATH_TEXT_SIZE = 512,
    PATH_KEY_SIZE = 100,    /* of one key in a message */
    NUMBER_SHOWN_SIZE = 40, /* of a number in a message */
};

void json_reader_init(struct json_reader *json, char *data, size_t size, unsigned flags)
{
    *json = (struct json_reader){.data = data, .size = size, .flags = flags};
}

void json_reader_free(struct json_reader *json)
{
    json_text_free_copies(&json->copies);
}

int json_reader_check(const struct json_reader *json, struct cj_error *err)
{
    if (json->failure == JSON_OK)
        return 0;
    return error_set(err, json->error.domain, json->error.code, "%s", json->error.message);
}

/* ---- failing ---- */

static bool fail_at(struct json_reader *json, enum json_failure failure, size_t offset,
                    const char *reason)
{
    json->failure = (uint8_t)failure;
    json->offset = offset;
    error_set(&json->error, ERROR_REQUEST, 0, "%s at byte %zu", reason, offset);
    return false;
}

/* The end came too early. Go's two messages, as they are. */
static bool fail_end(struct json_reader *json)
{
    bool empty = json->depth == 0 && json->expect == EXPECT_VALUE && json->value_at == json->size;
    json->failure = empty ? JSON_EMPTY : JSON_TRUNCATED;
    json->offset = json->size;
    error_set(&json->error, ERROR_REQUEST, 0, empty ? "EOF" : "unexpected EOF");
    return false;
}

static bool fail_memory(struct json_reader *json)
{
    json->failure = JSON_OUT_OF_MEMORY;
    error_set(&json->error, ERROR_SYSTEM, ENOMEM, "out of memory for a string at byte %zu",
              json->offset);
    return false;
}

/* As Go quotes a byte: the character of the same number, in strconv's words. */
static void quote_byte(uint8_t byte, char text[static 12])
{
    static const char letters[] = "abtnvfr"; /* of 7 to 13 */
    if (byte >= 7 && byte <= 13)
        snprintf(text, 12, "'\\%c'", letters[byte - 7]);
    else if (byte == '\'' || byte == '\\')
        snprintf(text, 12, "'\\%c'", byte);
    else if (byte < 0x20 || byte == 0x7f)
        snprintf(text, 12, "'\\x%02x'", byte);
    else if (byte < 0x80)
        snprintf(text, 12, "'%c'", byte);
    else if (byte <= 0xa0 || byte == 0xad) /* not for printing */
        snprintf(text, 12, "'\\u%04x'", byte);
    else
        snprintf(text, 12, "'%c%c'", 0xc0 | byte >> 6, 0x80 | (byte & 0x3f));
}

/* The byte at offset, or the end of the text, is not what grammar allows. */
static bool fail_grammar(struct json_reader *json, size_t offset, const char *where)
{
    if (offset == json->size)
        return fail_end(json);
    char quoted[12];
    char reason[100];
    quote_byte((uint8_t)json->data[offset], quoted);
    snprintf(reason, sizeof(reason), "invalid character %s %s", quoted, where);
    return fail_at(json, JSON_BAD_GRAMMAR, offset, reason);
}

static bool fail_string(struct json_reader *json, enum text_result result, size_t offset)
{
    switch (result) {
    case TEXT_DONE:
        break;
    case TEXT_TRUNCATED:
        return fail_end(json);
    case TEXT_CONTROL:
        return fail_grammar(json, offset, "in string literal");
    case TEXT_BAD_ESCAPE:
        return fail_grammar(json, offset, "in string escape code");
    case TEXT_BAD_DIGIT:
        return fail_grammar(json, offset, "in \\u hexadecimal character escape");
    case TEXT_BAD_UTF8:
        return fail_at(json, JSON_BAD_TEXT, offset, "invalid UTF-8 in string literal");
    case TEXT_LONE_SURROGATE:
        return fail_at(json, JSON_BAD_TEXT, offset, "lone surrogate in string literal");
    case TEXT_NO_MEMORY:
        return fail_memory(json);
    }
    return true;
}

/* ---- tokens ---- */

/* The first byte that is no white space, which stays unread; -1 at the end of the text. */
static int next_byte(struct json_reader *json)
{
    for (; json->offset < json->size; json->offset++) {
        char byte = json->data[json->offset];
        if (byte != ' ' && byte != '\n' && byte != '\t' && byte != '\r')
            return (uint8_t)byte;
    }
    return -1;
}

static bool read_literal(struct json_reader *json, const char *literal)
{
    size_t length = strlen(literal);
    const char *at = json->data + json->offset;
    size_t same = 0;
    while (same < length && json->offset + same < json->size && at[same] == literal[same])
        same++;
    if (same < length) {
        char where[48];
        snprintf(where, sizeof(where), "in literal %s (expecting '%c')", literal, literal[same]);
        return fail_grammar(json, json->offset + same, where);
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
        return fail_grammar(json, end, where);
    *at = end;
    return true;
}

static bool byte_is(const struct json_reader *json, size_t at, char one, char other)
{
    return at < json->size && (json->data[at] == one || json->data[at] == other);
}

/* The end of the number that is next. */
static bool measure_number(struct json_reader *json, size_t *end)
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
        return fail_string(json, result, offset);
    json->offset = offset;
    return true;
}

static bool read_string(struct json_reader *json, struct json_text *text)
{
    char *next = json->data + json->offset + 1;
    enum text_result result =
        json_text_read(&next, json->data + json->size, json->flags, &json->copies, text);
    size_t offset = (size_t)(next - json->data);
    if (result != TEXT_DONE)
        return fail_string(json, result, offset);
    json->offset = offset;
    return true;
}

/* ---- structure ---- */

static bool in_object(const struct json_reader *json)
{
    unsigned level = json->depth - 1;
    return json->depth > 0 && (json->objects[level / 64] >> level % 64 & 1) != 0;
}

/* Enters the object or array whose bracket is next. */
static bool open_level(struct json_reader *json, bool object)
{
    unsigned level = json->depth;
    if (level == JSON_READER_DEPTH_MAX)
        return fail_at(json, JSON_TOO_DEEP, json->offset, "exceeded max depth");
    uint64_t bit = UINT64_C(1) << level % 64;
    uint64_t *bits = &json->objects[level / 64];
    *bits = object ? *bits | bit : *bits & ~bit;
    json->depth++;
    json->offset++;
    json->expect = EXPECT_FIRST;
    return true;
}

/* Goes on inside the innermost object or array, from EXPECT_FIRST or EXPECT_AFTER, to a key or an
 * item. false at its end, too, which is read then. */
static bool next_member(struct json_reader *json)
{
    bool object = in_object(json);
    bool first = json->expect == EXPECT_FIRST;
    int byte = next_byte(json);
    if (byte == (object ? '}' : ']')) {
        json->offset++;
        json->depth--;
        json->expect = EXPECT_AFTER;
        return false;
    }
    if (!first && byte != ',')
        return fail_grammar(json, json->offset,
                            object ? "after object key:value pair" : "after array element");
    json->offset += !first;
    json->expect = EXPECT_VALUE;
    if (object && next_byte(json) != '"')
        return fail_grammar(json, json->offset, "looking for beginning of object key string");
    return true;
}

/* Between a key and its value. */
static bool read_colon(struct json_reader *json)
{
    if (next_byte(json) != ':')
        return fail_grammar(json, json->offset, "after object key");
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
    enum json_kind kind = kind_of(next_byte(json));
    json->value_at = json->offset;
    if (kind == JSON_NONE)
        fail_grammar(json, json->offset, "looking for beginning of value");
    return kind;
}

/* Reads a value that is no object or array. */
static bool skip_scalar(struct json_reader *json, enum json_kind kind)
{
    json->expect = EXPECT_AFTER;
    switch (kind) {
    case JSON_STRING:
        return skip_string(json);
    case JSON_NUMBER:
        return measure_number(json, &json->offset);
    case JSON_BOOL:
        return read_literal(json, json->data[json->offset] == 't' ? "true" : "false");
    default:
        return read_literal(json, "null");
    }
}

static bool skip_value(struct json_reader *json)
{
    enum json_kind kind = json_peek(json);
    if (kind == JSON_NONE)
        return false;
    if (kind == JSON_OBJECT || kind == JSON_ARRAY)
        return open_level(json, kind == JSON_OBJECT);
    return skip_scalar(json, kind);
}

/* Reads on until a value has ended and no more than depth levels are open. A loop, for a text decides
 * how deep it goes. */
static bool skip_to_depth(struct json_reader *json, unsigned depth)
{
    if (json->expect == EXPECT_NOTHING)
        json->expect = EXPECT_AFTER;
    while (json->failure == JSON_OK) {
        if (json->expect == EXPECT_VALUE)
            skip_value(json);
        else if (json->expect == EXPECT_AFTER && json->depth <= depth)
            return true;
        else if (next_member(json) && in_object(json))
            (void)(skip_string(json) && read_colon(json));
    }
    return false;
}

bool json_skip(struct json_reader *json)
{
    if (json->failure != JSON_OK)
        return false;
    assert(json->expect == EXPECT_VALUE);
    size_t begin = json->offset;
    bool skipped = skip_to_depth(json, json->depth);
    if (skipped)
        json->value_at = begin;
    return skipped;
}

bool json_read_raw(struct json_reader *json, struct json_text *text)
{
    if (json_peek(json) == JSON_NONE)
        return false;
    size_t begin = json->offset;
    if (!json_skip(json))
        return false;
    *text = (struct json_text){.data = json->data + begin, .size = json->offset - begin};
    return true;
}

bool json_read_end(struct json_reader *json)
{
    if (json->failure != JSON_OK)
        return false;
    assert(json->depth == 0 && json->expect == EXPECT_AFTER);
    if (next_byte(json) < 0)
        return true;
    return fail_grammar(json, json->offset, "after top-level value");
}

/* ---- where the reader is ---- */

/* A key as it goes into a message: not too long, without controls, cut between characters. */
static void append_key(struct buf *path, const char *key, size_t size)
{
    size_t shown = size;
    if (size > PATH_KEY_SIZE)
        for (shown = PATH_KEY_SIZE; shown > 0 && ((uint8_t)key[shown] & 0xc0) == 0x80;)
            shown--;
    for (size_t i = 0; i < shown; i++)
        buf_append_char(path, (uint8_t)key[i] < 0x20 || key[i] == 0x7f ? '?' : key[i]);
    if (shown < size)
        buf_append_text(path, "...");
}

static void append_path(const struct json_reader *json, struct buf *path)
{
    for (unsigned level = 0; level < json->depth && level < JSON_READER_PATH_MAX; level++) {
        const char *key = json->path[level].key;
        size_t number = json->path[level].number;
        bool object = (json->objects[level / 64] >> level % 64 & 1) != 0;
        if (!object && number != SIZE_MAX)
            buf_printf(path, "[%zu]", number);
        if (object && key != NULL) {
            buf_append_text(path, path->size > 0 ? "." : "");
            append_key(path, key, number);
        }
    }
    if (json->depth > JSON_READER_PATH_MAX)
        buf_append_text(path, "...");
}

char *json_reader_path(const struct json_reader *json, char *text, size_t size)
{
    auto_buf struct buf path = {0};
    append_path(json, &path);
    snprintf(text, size, "%.*s", (int)path.size, path.size > 0 ? path.data : "");
    return text;
}

/* ---- values that are not what was asked for ---- */

/* Fails because of the value at value_at, unless there is an error of grammar behind it: like Go, whose
 * decoder checks all of the text first. */
static bool fail_value(struct json_reader *json, const char *reason)
{
    struct cj_error kept;
    size_t offset = json->value_at;
    error_set(&kept, ERROR_REQUEST, 0, "%s at byte %zu", reason, offset);
    if (!skip_to_depth(json, 0))
        return false;
    json->failure = JSON_BAD_VALUE;
    json->offset = offset;
    json->error = kept;
    return false;
}

bool json_fail(struct json_reader *json, const char *format, ...)
{
    if (json->failure != JSON_OK)
        return false;
    char path[PATH_TEXT_SIZE];
    char reason[ERROR_MESSAGE_SIZE];
    json_reader_path(json, path, sizeof(path));
    size_t used = (size_t)snprintf(reason, sizeof(reason), "%s%s", path, path[0] ? ": " : "");
    va_list args;
    va_start(args, format);
    vsnprintf(reason + used, sizeof(reason) - used, format, args);
    va_end(args);
    return fail_value(json, reason);
}

/* In Go's words; number (or NULL) is how the text writes it. */
static bool fail_type(struct json_reader *json, enum json_kind kind, const char *type,
                      const char *number, size_t size)
{
    static const char *const names[] = {
        [JSON_NULL] = "null",     [JSON_BOOL] = "bool",   [JSON_NUMBER] = "number",
        [JSON_STRING] = "string", [JSON_ARRAY] = "array", [JSON_OBJECT] = "object",
    };
    char path[PATH_TEXT_SIZE];
    char reason[PATH_TEXT_SIZE + 200];
    json_reader_path(json, path, sizeof(path));
    int shown = (int)(size > NUMBER_SHOWN_SIZE ? NUMBER_SHOWN_SIZE : size);
    snprintf(reason, sizeof(reason), "json: cannot unmarshal %s%s%.*s%s into %s%s of type %s",
             names[kind], shown > 0 ? " " : "", shown, shown > 0 ? number : "",
             size > NUMBER_SHOWN_SIZE ? "..." : "", path[0] ? "field " : "value", path, type);
    return fail_value(json, reason);
}

/* ---- reading values ---- */

enum start {
    START_FAILED,
    START_NULL, /* it was null, is read, and that is right */
    START_VALUE,
};

/* Goes to the next value, which has to be of a kind. */
static enum start start_value(struct json_reader *json, enum json_kind wanted, const char *type)
{
    enum json_kind kind = json_peek(json);
    if (kind == wanted)
        return START_VALUE;
    if (kind == JSON_NULL && (json->flags & JSON_NULL_KEEPS) != 0)
        return json_read_null(json) ? START_NULL : START_FAILED;
    if (kind != JSON_NONE)
        fail_type(json, kind, type, NULL, 0);
    return START_FAILED;
}

bool json_read_null(struct json_reader *json)
{
    if (json_peek(json) != JSON_NULL)
        return false;
    json->expect = EXPECT_AFTER;
    return read_literal(json, "null");
}

bool json_read_bool(struct json_reader *json, bool *value)
{
    enum start start = start_value(json, JSON_BOOL, "bool");
    if (start != START_VALUE)
        return start == START_NULL;
    bool is_true = json->data[json->offset] == 't';
    if (!skip_scalar(json, JSON_BOOL))
        return false;
    *value = is_true;
    return true;
}

bool json_read_string(struct json_reader *json, struct json_text *text)
{
    enum start start = start_value(json, JSON_STRING, "string");
    if (start != START_VALUE)
        return start == START_NULL;
    json->expect = EXPECT_AFTER;
    return read_string(json, text);
}

/* The number that is next, which stays unread until its value is known. */
static enum start start_number(struct json_reader *json, const char *type, size_t *end)
{
    enum start start = start_value(json, JSON_NUMBER, type);
    if (start == START_VALUE && !measure_number(json, end))
        return START_FAILED;
    return start;
}

static bool finish_number(struct json_reader *json, size_t end, bool valid, const char *type)
{
    if (!valid)
        return fail_type(json, JSON_NUMBER, type, json->data + json->offset, end - json->offset);
    json->offset = end;
    json->expect = EXPECT_AFTER;
    return true;
}

/* false when there is something else than digits, or more than 64 bits. */
static bool parse_digits(const char *text, const char *end, uint64_t *value)
{
    uint64_t sum = 0;
    for (; text < end; text++) {
        if (*text < '0' || *text > '9' || __builtin_mul_overflow(sum, 10, &sum) ||
            __builtin_add_overflow(sum, (uint64_t)(*text - '0'), &sum))
            return false;
    }
    *value = sum;
    return true;
}

bool json_read_uint64(struct json_reader *json, uint64_t *value)
{
    size_t end = 0;
    enum start start = start_number(json, "uint64", &end);
    if (start != START_VALUE)
        return start == START_NULL;
    bool valid = parse_digits(json->data + json->offset, json->data + end, value);
    return finish_number(json, end, valid, "uint64");
}

bool json_read_int64(struct json_reader *json, int64_t *value)
{
    size_t end = 0;
    enum start start = start_number(json, "int64", &end);
    if (start != START_VALUE)
        return start == START_NULL;
    const char *text = json->data + json->offset;
    bool negative = *text == '-';
    uint64_t size = 0;
    bool valid = parse_digits(text + negative, json->data + end, &size) &&
                 size <= (uint64_t)INT64_MAX + negative;
    if (valid)
        *value = (int64_t)(negative ? -size : size);
    return finish_number(json, end, valid, "int64");
}

/* strtod(3) of text that has no NUL behind it. false when memory is gone. */
static bool parse_double(const char *text, size_t size, double *value)
{
    char small[64];
    auto_free char *large = size < sizeof(small) ? NULL : malloc(size + 1);
    char *copy = size < sizeof(small) ? small : large;
    if (copy == NULL)
        return false;
    memcpy(copy, text, size);
    copy[size] = '\0';
    *value = strtod(copy, NULL);
    return true;
}

bool json_read_double(struct json_reader *json, double *value)
{
    size_t end = 0;
    enum start start = start_number(json, "float64", &end);
    if (start != START_VALUE)
        return start == START_NULL;
    double parsed;
    if (!parse_double(json->data + json->offset, end - json->offset, &parsed))
        return fail_memory(json);
    bool valid = isfinite(parsed);
    if (valid)
        *value = parsed;
    return finish_number(json, end, valid, "float64");
}

/* ---- objects and arrays ---- */

static bool enter(struct json_reader *json, enum json_kind kind, const char *type)
{
    enum start start = start_value(json, kind, type);
    if (start == START_NULL)
        json->expect = EXPECT_NOTHING;
    if (start != START_VALUE)
        return start == START_NULL;
    unsigned level = json->depth;
    if (!open_level(json, kind == JSON_OBJECT))
        return false;
    if (level < JSON_READER_PATH_MAX) {
        json->path[level].key = NULL;
        json->path[level].number = SIZE_MAX; /* none yet; the next one is 0 */
    }
    return true;
}

bool json_read_object(struct json_reader *json)
{
    return enter(json, JSON_OBJECT, "object");
}

bool json_read_array(struct json_reader *json)
{
    return enter(json, JSON_ARRAY, "array");
}

/* To the next key or item; a value that nobody read is skipped. */
static bool go_on(struct json_reader *json, bool object)
{
    if (json->failure != JSON_OK)
        return false;
    if (json->expect == EXPECT_NOTHING) {
        json->expect = EXPECT_AFTER;
        return false;
    }
    assert(json->depth > 0 && in_object(json) == object);
    if (json->expect == EXPECT_VALUE && !json_skip(json))
        return false;
    return next_member(json);
}

bool json_next_key(struct json_reader *json, struct json_text *key)
{
    if (!go_on(json, true) || !read_string(json, key))
        return false;
    unsigned level = json->depth - 1;
    if (level < JSON_READER_PATH_MAX) {
        json->path[level].key = key->data;
        json->path[level].number = key->size;
    }
    if (!read_colon(json))
        return false;
    next_byte(json);
    json->value_at = json->offset;
    return true;
}

bool json_next_item(struct json_reader *json)
{
    if (!go_on(json, false))
        return false;
    if (json->depth <= JSON_READER_PATH_MAX)
        json->path[json->depth - 1].number++;
    next_byte(json);
    json->value_at = json->offset;
    return true;
}
