/* The values of Content-Type and Content-Disposition. */
#include "mime_params.h"

#include <stdint.h>
#include <string.h>
#include <strings.h>

#include "base/utf8.h"

/* Letters, digits and the rest of what a token has: RFC 2045 section 5.1. */
static bool is_token(char c)
{
    return c > 0x20 && c < 0x7f && strchr("()<>@,;:\\\"/[]?=", c) == NULL;
}

size_t mime_token_span(const char *text)
{
    size_t size = 0;
    while (is_token(text[size]))
        size++;
    return size;
}

static bool is_special(char c)
{
    return c != '\0' && strchr("()<>@,;:\\\"/[]?=", c) != NULL;
}

static const char *skip_space(const char *next)
{
    return next + strspn(next, " \t");
}

/* ---- reading into value->text ---- */

/* Where the next text goes; it only grows, and what is read is never longer than its source. */
struct reader {
    const char *next;
    char *to;
};

static char *read_token(struct reader *reader, bool slash)
{
    char *begin = reader->to;
    while (is_token(*reader->next) || (slash && *reader->next == '/')) {
        char c = *reader->next++;
        *reader->to++ = (char)(c >= 'A' && c <= 'Z' ? c | 0x20 : c);
    }
    *reader->to++ = '\0';
    return begin;
}

/* A token, its letters as they are. */
static char *read_plain(struct reader *reader)
{
    char *begin = reader->to;
    while (is_token(*reader->next))
        *reader->to++ = *reader->next++;
    *reader->to++ = '\0';
    return *begin == '\0' ? NULL : begin;
}

/* Behind a quote. A backslash escapes what is special; before anything else it is part of a Windows
 * path that was not escaped, as Go's mime package takes it. */
static char *read_quoted(struct reader *reader)
{
    char *begin = reader->to;
    for (; *reader->next != '"'; reader->next++) {
        if (*reader->next == '\0')
            return NULL;
        if (*reader->next == '\\' && is_special(reader->next[1]))
            reader->next++;
        *reader->to++ = *reader->next;
    }
    reader->next++;
    *reader->to++ = '\0';
    return begin;
}

static const char *read_param(struct reader *reader, struct mime_value *value)
{
    if (value->count == MIME_PARAMS_MAX)
        return "too many parameters";
    const char *name = read_token(reader, false);
    reader->next = skip_space(reader->next);
    if (*name == '\0' || *reader->next != '=')
        return "a parameter without a name or value";
    if (mime_param(value, name) != NULL)
        return "a parameter stands there twice";
    reader->next = skip_space(reader->next + 1);
    bool quoted = *reader->next == '"';
    reader->next += quoted;
    const char *text = quoted ? read_quoted(reader) : read_plain(reader);
    if (text == NULL)
        return quoted ? "a quote is missing" : "a parameter without a value";
    value->params[value->count++] = (struct mime_param){.name = name, .value = text};
    return NULL;
}

const char *mime_value_parse(struct mime_value *value, const char *header)
{
    value->count = 0;
    if (strlen(header) > MIME_VALUE_SIZE)
        return "too long";
    struct reader reader = {.next = skip_space(header), .to = value->text};
    value->word = read_token(&reader, true);
    for (;;) {
        reader.next = skip_space(reader.next);
        if (*reader.next == '\0')
            return *value->word == '\0' ? "empty" : NULL;
        if (*reader.next != ';')
            return "a semicolon is missing";
        reader.next = skip_space(reader.next + 1);
        if (*reader.next == '\0')
            return NULL; /* one semicolon too many: some clients end so */
        const char *reason = read_param(&reader, value);
        if (reason != NULL)
            return reason;
    }
}

const char *mime_param(const struct mime_value *value, const char *name)
{
    for (size_t i = 0; i < value->count; i++)
        if (strcmp(value->params[i].name, name) == 0)
            return value->params[i].value;
    return NULL;
}

/* ---- extended values ---- */

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    char lower = (char)(c | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/* %XX to bytes, in place. NULL when one is broken or stands for a control character. */
static char *decode_percents(char *text)
{
    char *to = text;
    for (const char *next = text; *next != '\0'; next++) {
        if (*next != '%') {
            *to++ = *next;
            continue;
        }
        int high = hex_digit(next[1]);
        int low = high < 0 ? -1 : hex_digit(next[2]);
        if (low < 0 || high < 2 || high * 16 + low == 0x7f)
            return NULL;
        *to++ = (char)(high * 16 + low);
        next += 2;
    }
    *to = '\0';
    return text;
}

char *mime_decode_extended(char *value)
{
    char *language = strchr(value, '\'');
    char *text = language == NULL ? NULL : strchr(language + 1, '\'');
    if (text == NULL)
        return NULL;
    *language = '\0';
    bool known = strcasecmp(value, "utf-8") == 0 || strcasecmp(value, "us-ascii") == 0;
    text = known ? decode_percents(text + 1) : NULL;
    if (text == NULL || utf8_span((const uint8_t *)text, strlen(text)) != strlen(text))
        return NULL;
    return text;
}
