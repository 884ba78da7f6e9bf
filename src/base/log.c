/* Structured log lines. */
#include "base/log.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/json_writer.h"
#include "base/units.h"
#include "base/utf8.h"

enum {
    LINE_TAIL = 32,      /* kept free for: ,"truncated":true}\n */
    TEXT_LIMIT = 1024,   /* of one value: an error's message fits */
    TEXT_LIMIT_MIN = 16, /* a value that cannot be cut to this is left out */
};

static struct {
    int fd;
    enum log_format format;
    _Atomic int least; /* enum log_level; above LOG_LEVEL_ERROR: silent */
} state = {.fd = STDERR_FILENO, .format = LOG_FORMAT_AUTO, .least = LOG_LEVEL_INFO};

static const char *const level_names[] = {"debug", "info", "warn", "error"};

void log_setup(int fd, enum log_format format, enum log_level least)
{
    if (format == LOG_FORMAT_AUTO)
        format = isatty(fd) ? LOG_FORMAT_TEXT : LOG_FORMAT_JSON;
    state.fd = fd;
    state.format = format;
    atomic_store(&state.least, (int)least);
}

void log_silence(void)
{
    atomic_store(&state.least, LOG_LEVEL_ERROR + 1);
}

bool log_enabled(enum log_level level)
{
    return (int)level >= atomic_load_explicit(&state.least, memory_order_relaxed);
}

/* ---- fields ---- */

struct log_field log_bytes(const char *name, const char *data, size_t size)
{
    return (struct log_field){LOG_FIELD_TEXT, name, .value.text = {data, size}};
}

struct log_field log_text(const char *name, const char *text)
{
    return log_bytes(name, text, text == NULL ? 0 : strlen(text));
}

struct log_field log_int(const char *name, int64_t value)
{
    return (struct log_field){LOG_FIELD_INT, name, .value.integer = value};
}

struct log_field log_uint(const char *name, uint64_t value)
{
    return (struct log_field){LOG_FIELD_UINT, name, .value.natural = value};
}

struct log_field log_bool(const char *name, bool value)
{
    return (struct log_field){LOG_FIELD_BOOL, name, .value.flag = value};
}

struct log_field log_duration(const char *name, int64_t ns)
{
    return (struct log_field){LOG_FIELD_DURATION, name, .value.integer = ns};
}

struct log_field log_size(const char *name, uint64_t bytes)
{
    return (struct log_field){LOG_FIELD_SIZE, name, .value.natural = bytes};
}

struct log_field log_failure(const struct cj_error *err)
{
    return log_text("error", err->message);
}

/* The bytes of a text that are shown: limit at most, and no half character at the end. */
static size_t shown_size(const struct log_field *field, size_t limit)
{
    const char *data = field->value.text.data;
    if (field->value.text.size <= limit)
        return field->value.text.size;
    for (unsigned i = 0; i < 3 && limit > 0 && ((uint8_t)data[limit] & 0xc0) == 0x80; i++)
        limit--;
    return limit;
}

/* ---- text for people ---- */

/* Whether the character may reach a terminal as it is: no C0, DEL or C1 control, and none of those
 * that turn the direction of what follows. */
static bool is_shown(uint32_t character)
{
    return character >= 0x20 && !(character >= 0x7f && character < 0xa0) &&
           !(character >= 0x200e && character <= 0x200f) &&
           !(character >= 0x2028 && character <= 0x202e) &&
           !(character >= 0x2066 && character <= 0x2069);
}

/* Whether a value needs quotes to be read back. */
static bool is_bare(const char *data, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        unsigned char byte = (unsigned char)data[i];
        if (byte <= ' ' || byte >= 0x7f || byte == '"' || byte == '\\' || byte == '=')
            return false;
    }
    return size > 0;
}

static void text_escaped(struct buf *line, const char *data, size_t size)
{
    const uint8_t *next = (const uint8_t *)data;
    while (size > 0) {
        uint32_t character = 0;
        size_t length = utf8_decode(next, size, &character);
        if (*next == '\n')
            buf_append_text(line, "\\n");
        else if (*next == '\t')
            buf_append_text(line, "\\t");
        else if (*next == '"' || *next == '\\')
            buf_printf(line, "\\%c", *next);
        else if (length > 0 && is_shown(character))
            buf_append(line, next, length);
        else if (length > 1)
            buf_printf(line, "\\u%04" PRIx32, character);
        else
            buf_printf(line, "\\x%02x", *next);
        length = length == 0 ? 1 : length;
        next += length;
        size -= length;
    }
}

/* "1.5 ms" is read as two words; in a line it is 1.5ms. */
static void append_without_spaces(struct buf *line, const char *text)
{
    for (; *text != '\0'; text++)
        if (*text != ' ')
            buf_append_char(line, *text);
}

static void text_value(struct buf *line, const char *data, size_t size)
{
    if (data == NULL) {
        buf_append_text(line, "null");
    } else if (is_bare(data, size)) {
        buf_append(line, data, size);
    } else {
        buf_append_char(line, '"');
        text_escaped(line, data, size);
        buf_append_char(line, '"');
    }
}

static void text_field(struct buf *line, const struct log_field *field, size_t text_limit)
{
    char number[UNITS_TEXT_SIZE];
    buf_printf(line, " %s=", field->name);
    switch (field->kind) {
    case LOG_FIELD_TEXT:
        text_value(line, field->value.text.data, shown_size(field, text_limit));
        break;
    case LOG_FIELD_INT:
        buf_printf(line, "%" PRId64, field->value.integer);
        break;
    case LOG_FIELD_UINT:
        buf_printf(line, "%" PRIu64, field->value.natural);
        break;
    case LOG_FIELD_BOOL:
        buf_append_text(line, field->value.flag ? "true" : "false");
        break;
    case LOG_FIELD_DURATION:
        append_without_spaces(line, duration_format(field->value.integer, number));
        break;
    case LOG_FIELD_SIZE:
        append_without_spaces(line, size_format(field->value.natural, number));
        break;
    case LOG_FIELD_END:
        break;
    }
}

/* ---- JSON for machines ---- */

static void json_field(struct json_writer *json, const struct log_field *field, size_t text_limit)
{
    const char *suffix = field->kind == LOG_FIELD_DURATION ? "_ns"
                         : field->kind == LOG_FIELD_SIZE   ? "_bytes"
                                                           : "";
    char key[64];
    snprintf(key, sizeof(key), "%s%s", field->name, suffix);
    json_key(json, key);
    switch (field->kind) {
    case LOG_FIELD_TEXT:
        if (field->value.text.data == NULL)
            json_null(json);
        else
            json_string_bytes(json, field->value.text.data, shown_size(field, text_limit));
        break;
    case LOG_FIELD_INT:
    case LOG_FIELD_DURATION:
        json_int(json, field->value.integer);
        break;
    case LOG_FIELD_UINT:
    case LOG_FIELD_SIZE:
        json_uint(json, field->value.natural);
        break;
    case LOG_FIELD_BOOL:
        json_bool(json, field->value.flag);
        break;
    case LOG_FIELD_END:
        break;
    }
}

/* ---- lines ---- */

/* A line being put together; json is unused in a text line. */
struct line {
    struct buf *buf;
    struct json_writer json;
    bool as_json;
};

/* Adds the field, its text cut until it fits. Returns false when something was lost. */
static bool line_field(struct line *line, const struct log_field *field)
{
    size_t mark = line->buf->size;
    struct json_writer json = line->json;
    for (size_t limit = TEXT_LIMIT; limit >= TEXT_LIMIT_MIN; limit /= 2) {
        if (line->as_json)
            json_field(&line->json, field, limit);
        else
            text_field(line->buf, field, limit);
        if (buf_check(line->buf, NULL) == 0)
            return field->kind != LOG_FIELD_TEXT || field->value.text.size <= limit;
        buf_cut(line->buf, mark);
        line->json = json;
        if (field->kind != LOG_FIELD_TEXT)
            break;
    }
    return false;
}

static void time_text(int decimals, char *text, size_t size)
{
    int64_t now = clock_ns(CLOCK_REALTIME);
    time_t seconds = (time_t)(now / NS_PER_S);
    struct tm utc;
    gmtime_r(&seconds, &utc);
    char day[40];
    strftime(day, sizeof(day), "%Y-%m-%dT%H:%M:%S", &utc);
    int64_t unit = decimals == 3 ? NS_PER_MS : NS_PER_US;
    snprintf(text, size, "%s.%0*dZ", day, decimals, (int)(now % NS_PER_S / unit));
}

static void line_head(struct line *line, enum log_level level, const char *message)
{
    char now[64];
    time_text(line->as_json ? 6 : 3, now, sizeof(now));
    if (!line->as_json) {
        buf_printf(line->buf, "%s %-5s ", now, level_names[level]);
        text_escaped(line->buf, message, strnlen(message, TEXT_LIMIT / 2));
        return;
    }
    json_object_begin(&line->json);
    json_key(&line->json, "time");
    json_string(&line->json, now);
    json_key(&line->json, "level");
    json_string(&line->json, level_names[level]);
    json_key(&line->json, "message");
    json_string_bytes(&line->json, message, strnlen(message, TEXT_LIMIT / 2));
}

static void line_tail(struct line *line, bool complete)
{
    static const struct log_field truncated = {LOG_FIELD_BOOL, "truncated", .value.flag = true};
    line->buf->limit = PIPE_BUF;
    if (!complete)
        (void)line_field(line, &truncated);
    if (line->as_json)
        json_object_end(&line->json);
    buf_append_char(line->buf, '\n');
}

void log_write(enum log_level level, const char *message, const struct log_field *fields)
{
    if (!log_enabled(level))
        return;
    int saved_errno = errno;
    auto_buf struct buf buf = {.limit = PIPE_BUF - LINE_TAIL};
    struct line line = {.buf = &buf, .json = json_writer_to(&buf, JSON_COMPACT)};
    enum log_format format = state.format;
    if (format == LOG_FORMAT_AUTO) /* before log_setup() */
        format = isatty(state.fd) ? LOG_FORMAT_TEXT : LOG_FORMAT_JSON;
    line.as_json = format == LOG_FORMAT_JSON;

    line_head(&line, level, message);
    bool complete = true;
    for (; fields->kind != LOG_FIELD_END; fields++)
        complete &= line_field(&line, fields);
    line_tail(&line, complete);
    if (buf_check(&buf, NULL) == 0 && write_full(state.fd, buf.data, buf.size) < 0) {
        /* nobody is left to tell */
    }
    errno = saved_errno;
}
