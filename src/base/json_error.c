/* How reading JSON fails: Go's words, byte offsets, paths. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "json_scan.h"

enum {
    PATH_TEXT_SIZE = 512,
    PATH_KEY_SIZE = 100,    /* of one key in a message */
    NUMBER_SHOWN_SIZE = 40, /* of a number in a message */
};

int json_reader_check(const struct json_reader *json, struct cj_error *err)
{
    if (json->failure == JSON_OK)
        return 0;
    return error_set(err, json->error.domain, json->error.code, "%s", json->error.message);
}

/* ---- grammar ---- */

bool json_fail_at(struct json_reader *json, enum json_failure failure, size_t offset,
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

bool json_fail_memory(struct json_reader *json)
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

bool json_fail_grammar(struct json_reader *json, size_t offset, const char *where)
{
    if (offset == json->size)
        return fail_end(json);
    char quoted[12];
    char reason[100];
    quote_byte((uint8_t)json->data[offset], quoted);
    snprintf(reason, sizeof(reason), "invalid character %s %s", quoted, where);
    return json_fail_at(json, JSON_BAD_GRAMMAR, offset, reason);
}

bool json_fail_string(struct json_reader *json, enum text_result result, size_t offset)
{
    switch (result) {
    case TEXT_DONE:
        break;
    case TEXT_TRUNCATED:
        return fail_end(json);
    case TEXT_CONTROL:
        return json_fail_grammar(json, offset, "in string literal");
    case TEXT_BAD_ESCAPE:
        return json_fail_grammar(json, offset, "in string escape code");
    case TEXT_BAD_DIGIT:
        return json_fail_grammar(json, offset, "in \\u hexadecimal character escape");
    case TEXT_BAD_UTF8:
        return json_fail_at(json, JSON_BAD_TEXT, offset, "invalid UTF-8 in string literal");
    case TEXT_LONE_SURROGATE:
        return json_fail_at(json, JSON_BAD_TEXT, offset, "lone surrogate in string literal");
    case TEXT_NO_MEMORY:
        return json_fail_memory(json);
    }
    return true;
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
    if (!json_scan_to_depth(json, 0))
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

bool json_fail_type(struct json_reader *json, enum json_kind kind, const char *type,
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
