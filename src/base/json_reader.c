/* Reads JSON piece by piece: what callers see. Grammar: json_scan.c; strings: json_text.c; failures:
 * json_error.c. */
#include "base/json_reader.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "json_scan.h"

void json_reader_init(struct json_reader *json, char *data, size_t size, unsigned flags)
{
    *json = (struct json_reader){.size = size, .flags = flags};
    json->data = data;
}

void json_reader_free(struct json_reader *json)
{
    json_text_free_copies(&json->copies);
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
        json_fail_type(json, kind, type, NULL, 0);
    return START_FAILED;
}

bool json_read_null(struct json_reader *json)
{
    if (json_peek(json) != JSON_NULL)
        return false;
    json->expect = EXPECT_AFTER;
    return json_scan_literal(json, "null");
}

bool json_read_bool(struct json_reader *json, bool *value)
{
    enum start start = start_value(json, JSON_BOOL, "bool");
    if (start != START_VALUE)
        return start == START_NULL;
    bool is_true = json->data[json->offset] == 't';
    if (!json_scan_scalar(json, JSON_BOOL))
        return false;
    *value = is_true;
    return true;
}

/* Reads the string whose quote is next. */
static bool read_text(struct json_reader *json, unsigned flags, struct json_text *text)
{
    char *next = json->data + json->offset + 1;
    enum text_result result =
        json_text_read(&next, json->data + json->size, flags, &json->copies, text);
    size_t offset = (size_t)(next - json->data);
    if (result != TEXT_DONE)
        return json_fail_string(json, result, offset);
    json->offset = offset;
    return true;
}

static bool read_string(struct json_reader *json, unsigned flags, struct json_text *text)
{
    enum start start = start_value(json, JSON_STRING, "string");
    if (start != START_VALUE)
        return start == START_NULL;
    json->expect = EXPECT_AFTER;
    return read_text(json, flags, text);
}

bool json_read_string(struct json_reader *json, struct json_text *text)
{
    return read_string(json, json->flags, text);
}

bool json_read_bytes(struct json_reader *json, struct json_text *text)
{
    return read_string(json, json->flags | TEXT_KEEP_INVALID, text);
}

/* The number that is next, which stays unread until its value is known. */
static enum start start_number(struct json_reader *json, const char *type, size_t *end)
{
    enum start start = start_value(json, JSON_NUMBER, type);
    if (start == START_VALUE && !json_scan_number(json, end))
        return START_FAILED;
    return start;
}

static bool finish_number(struct json_reader *json, size_t end, bool valid, const char *type)
{
    if (!valid)
        return json_fail_type(json, JSON_NUMBER, type, json->data + json->offset,
                              end - json->offset);
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

/* strtod(3), in the C locale, which we never leave, of text that has no NUL behind it. false when
 * memory is gone. */
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
        return json_fail_memory(json);
    bool valid = isfinite(parsed);
    if (valid)
        *value = parsed;
    return finish_number(json, end, valid, "float64");
}

/* ---- any value ---- */

bool json_skip(struct json_reader *json)
{
    if (json->failure != JSON_OK)
        return false;
    assert(json->expect == EXPECT_VALUE);
    size_t begin = json->offset;
    bool skipped = json_scan_to_depth(json, json->depth);
    if (skipped)
        json->value_at = begin;
    return skipped;
}

bool json_read_raw(struct json_reader *json, char **data, size_t *size)
{
    if (json_peek(json) == JSON_NONE)
        return false;
    size_t begin = json->offset;
    if (!json_skip(json))
        return false;
    *data = json->data + begin;
    *size = json->offset - begin;
    return true;
}

bool json_read_end(struct json_reader *json)
{
    if (json->failure != JSON_OK)
        return false;
    assert(json->depth == 0 && json->expect == EXPECT_AFTER);
    if (json_scan_byte(json) < 0)
        return true;
    return json_fail_grammar(json, json->offset, "after top-level value");
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
    if (!json_scan_open(json, kind == JSON_OBJECT))
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
    assert(json->depth > 0 && json_scan_in_object(json) == object);
    if (json->expect == EXPECT_VALUE && !json_skip(json))
        return false;
    return json_scan_member(json);
}

bool json_next_key(struct json_reader *json, struct json_text *key)
{
    if (!go_on(json, true) || !read_text(json, json->flags, key))
        return false;
    unsigned level = json->depth - 1;
    if (level < JSON_READER_PATH_MAX) {
        json->path[level].key = key->data;
        json->path[level].number = key->size;
    }
    if (!json_scan_colon(json))
        return false;
    json_scan_byte(json);
    json->value_at = json->offset;
    return true;
}

bool json_next_item(struct json_reader *json)
{
    if (!go_on(json, false))
        return false;
    if (json->depth <= JSON_READER_PATH_MAX)
        json->path[json->depth - 1].number++;
    json_scan_byte(json);
    json->value_at = json->offset;
    return true;
}
