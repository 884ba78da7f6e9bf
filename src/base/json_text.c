/* The strings of JSON documents: checking and unescaping, quick where they are long. */
#include "json_text.h"

#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "swar.h"

static const char replacement[] = "\xef\xbf\xbd"; /* U+FFFD */
enum { REPLACEMENT_SIZE = 3 };

/* ---- spans ---- */

/* Bytes at data that a string may hold as they are, up to the first that ends it, escapes, is a control
 * or, with tops = SWAR_TOPS, is not ASCII. */
static inline size_t plain_span(const uint8_t *data, size_t size, uint64_t tops)
{
    size_t i = 0;
    for (; size - i >= 8; i += 8) {
        uint64_t bytes = swar_load(data + i);
        uint64_t found = swar_below(bytes, 0x20) | swar_equal(bytes, '"') |
                         swar_equal(bytes, '\\') | (bytes & tops);
        if (found != 0)
            return i + swar_first(found);
    }
    while (i < size && data[i] >= 0x20 && data[i] != '"' && data[i] != '\\' &&
           (data[i] & tops) == 0)
        i++;
    return i;
}

/* The same, valid UTF-8 included. */
static size_t valid_span(const uint8_t *data, size_t size)
{
    size_t i = 0;
    for (;;) {
        i += plain_span(data + i, size - i, SWAR_TOPS);
        if (i == size || data[i] < 0x80)
            return i;
        while (i < size && data[i] >= 0x80) {
            size_t length = utf8_length(data + i, size - i);
            if (length == 0)
                return i;
            i += length;
        }
    }
}

/* ---- escapes ---- */

/* Four hexadecimal digits at *next. */
static enum text_result read_unit(const uint8_t **next, const uint8_t *end, uint32_t *unit)
{
    static const uint8_t values[256] = {
        /* one more than the digit, so that 0 is none */
        ['0'] = 1,  ['1'] = 2,  ['2'] = 3,  ['3'] = 4,  ['4'] = 5,  ['5'] = 6,
        ['6'] = 7,  ['7'] = 8,  ['8'] = 9,  ['9'] = 10, ['a'] = 11, ['b'] = 12,
        ['c'] = 13, ['d'] = 14, ['e'] = 15, ['f'] = 16, ['A'] = 11, ['B'] = 12,
        ['C'] = 13, ['D'] = 14, ['E'] = 15, ['F'] = 16,
    };
    *unit = 0;
    for (int i = 0; i < 4; i++, ++*next) {
        if (*next == end)
            return TEXT_TRUNCATED;
        uint8_t value = values[**next];
        if (value == 0)
            return TEXT_BAD_DIGIT;
        *unit = *unit << 4 | (uint32_t)(value - 1);
    }
    return TEXT_DONE;
}

/* Whether the text ends so soon behind next, in the middle of a string, that what looks invalid may
 * only be cut off. */
static bool is_cut(const uint8_t *next, const uint8_t *end, size_t size)
{
    size_t left = (size_t)(end - next);
    return left < size && memchr(next, '"', left) == NULL;
}

static bool is_surrogate(uint32_t character)
{
    return character >= 0xd800 && character <= 0xdfff;
}

/* Behind "\u": one code unit, or two that make a pair. One alone is U+FFFD, and what follows it is
 * read on its own, as Go's encoding/json does. */
static enum text_result read_character(const uint8_t **next, const uint8_t *end, unsigned flags,
                                       uint32_t *character, bool *replaced)
{
    const uint8_t *begin = *next - 2;
    enum text_result result = read_unit(next, end, character);
    if (result != TEXT_DONE || !is_surrogate(*character))
        return result;
    const uint8_t *second = *next;
    uint32_t low;
    if (*character < 0xdc00 && end - second >= 6 && second[0] == '\\' && second[1] == 'u') {
        second += 2;
        if (read_unit(&second, end, &low) == TEXT_DONE && low >= 0xdc00 && low <= 0xdfff) {
            *character = 0x10000 + ((*character - 0xd800) << 10 | (low - 0xdc00));
            *next = second;
            return TEXT_DONE;
        }
    }
    if ((flags & JSON_REJECT_LONE_SURROGATES) != 0) {
        if (is_cut(*next, end, 6))
            return TEXT_TRUNCATED;
        *next = begin;
        return TEXT_LONE_SURROGATE;
    }
    *character = 0xfffd;
    *replaced = true;
    return TEXT_DONE;
}

/* Reads the escape at *next, a backslash. */
static enum text_result read_escape(const uint8_t **next, const uint8_t *end, unsigned flags,
                                    uint32_t *character, bool *replaced)
{
    static const uint8_t single[128] = {
        ['"'] = '"',  ['\\'] = '\\', ['/'] = '/',  ['b'] = '\b',
        ['f'] = '\f', ['n'] = '\n',  ['r'] = '\r', ['t'] = '\t',
    };
    if (++*next == end)
        return TEXT_TRUNCATED;
    uint8_t letter = **next;
    if (letter < 0x80 && single[letter] != 0) {
        ++*next;
        *character = single[letter];
        return TEXT_DONE;
    }
    if (letter != 'u')
        return TEXT_BAD_ESCAPE;
    ++*next;
    return read_character(next, end, flags, character, replaced);
}

/* Why the byte at next, where a span ended, is wrong; TEXT_DONE when it is not. */
static enum text_result check_stop(const uint8_t *next, const uint8_t *end, unsigned flags)
{
    if (next == end)
        return TEXT_TRUNCATED;
    if (*next < 0x20)
        return TEXT_CONTROL;
    if (*next >= 0x80 && (flags & JSON_REJECT_INVALID_UTF8) != 0)
        return is_cut(next, end, 4) ? TEXT_TRUNCATED : TEXT_BAD_UTF8;
    return TEXT_DONE;
}

/* ---- output: in place while it fits, then a copy ---- */

struct copy {
    struct copy *next;
    uint8_t text[];
};

struct output {
    uint8_t *begin, *to; /* in the document, or in copy */
    struct copy *copy;   /* or NULL */
    size_t capacity;     /* of the copy's text */
};

/* Gives the copy room for size more bytes and a NUL, after making it if need be. */
static bool output_grow(struct output *out, size_t size)
{
    size_t used = (size_t)(out->to - out->begin);
    size_t wanted = used + size + 1;
    if (out->copy != NULL && wanted <= out->capacity)
        return true;
    size_t capacity = wanted + wanted / 2 + 64; /* pages that are never touched cost nothing */
    struct copy *larger = realloc(out->copy, sizeof(*larger) + capacity);
    if (larger == NULL)
        return false;
    if (out->copy == NULL)
        memcpy(larger->text, out->begin, used);
    *out = (struct output){
        .begin = larger->text,
        .to = larger->text + used,
        .copy = larger,
        .capacity = capacity,
    };
    return true;
}

/* Appends size bytes, which stand for what lies before next in the document: that far it may be
 * overwritten. They may overlap with where they go. */
static bool output_append(struct output *out, const uint8_t *next, const void *data, size_t size)
{
    bool fits = out->copy == NULL && (size_t)(next - out->to) >= size;
    if (!fits && !output_grow(out, size))
        return false;
    if (out->to != data)
        memmove(out->to, data, size);
    out->to += size;
    return true;
}

static bool output_character(struct output *out, const uint8_t *next, uint32_t character)
{
    uint8_t bytes[4];
    return output_append(out, next, bytes, utf8_encode(character, bytes));
}

static void output_finish(struct output *out, void **copies, struct json_text *text)
{
    *out->to = '\0';
    text->size = (size_t)(out->to - out->begin);
    text->data = (char *)out->begin;
    if (out->copy == NULL)
        return;
    struct copy *exact = realloc(out->copy, sizeof(*exact) + text->size + 1);
    if (exact == NULL)
        exact = out->copy;
    exact->next = *copies;
    *copies = exact;
    text->data = (char *)exact->text;
}

void json_text_free_copies(void **copies)
{
    for (struct copy *copy = *copies; copy != NULL;) {
        struct copy *next = copy->next;
        free(copy);
        copy = next;
    }
    *copies = NULL;
}

/* ---- strings ---- */

/* Reads the byte at *next, which is no UTF-8. */
static bool read_invalid(const uint8_t **next, unsigned flags, struct output *out,
                         struct json_text *text)
{
    const uint8_t *byte = (*next)++;
    if ((flags & TEXT_KEEP_INVALID) != 0) {
        text->invalid = true;
        return output_append(out, *next, byte, 1);
    }
    text->replaced = true;
    return output_append(out, *next, replacement, REPLACEMENT_SIZE);
}

/* Reads what is at *next: an escape, or a byte that is not UTF-8. */
static enum text_result read_special(const uint8_t **next, const uint8_t *end, unsigned flags,
                                     struct output *out, struct json_text *text)
{
    if (**next != '\\')
        return read_invalid(next, flags, out, text) ? TEXT_DONE : TEXT_NO_MEMORY;
    uint32_t character;
    enum text_result result = read_escape(next, end, flags, &character, &text->replaced);
    if (result != TEXT_DONE)
        return result;
    return output_character(out, *next, character) ? TEXT_DONE : TEXT_NO_MEMORY;
}

static enum text_result read_all(const uint8_t **next, const uint8_t *end, unsigned flags,
                                 struct output *out, struct json_text *text)
{
    for (;;) {
        const uint8_t *span = *next;
        size_t size = valid_span(span, (size_t)(end - span));
        *next += size;
        if (!output_append(out, *next, span, size))
            return TEXT_NO_MEMORY;
        enum text_result result = check_stop(*next, end, flags);
        if (result != TEXT_DONE || **next == '"')
            return result;
        result = read_special(next, end, flags, out, text);
        if (result != TEXT_DONE)
            return result;
    }
}

enum text_result json_text_read(char **next, char *end, unsigned flags, void **copies,
                                struct json_text *text)
{
    struct output out = {.begin = (uint8_t *)*next, .to = (uint8_t *)*next};
    const uint8_t *at = (uint8_t *)*next;
    struct json_text found = {0};
    enum text_result result = read_all(&at, (uint8_t *)end, flags, &out, &found);
    *next += at - (uint8_t *)*next;
    if (result != TEXT_DONE) {
        free(out.copy);
        return result;
    }
    output_finish(&out, copies, &found);
    *text = found;
    ++*next;
    return TEXT_DONE;
}

enum text_result json_text_skip(char **next, char *end, unsigned flags)
{
    const uint8_t *at = (uint8_t *)*next;
    enum text_result result;
    for (;;) {
        size_t left = (size_t)((uint8_t *)end - at);
        at += (flags & JSON_REJECT_INVALID_UTF8) != 0 ? valid_span(at, left)
                                                      : plain_span(at, left, 0);
        result = check_stop(at, (uint8_t *)end, flags);
        if (result != TEXT_DONE || *at == '"')
            break;
        uint32_t character;
        bool replaced;
        result = read_escape(&at, (uint8_t *)end, flags, &character, &replaced);
        if (result != TEXT_DONE)
            break;
    }
    *next += at - (uint8_t *)*next;
    *next += result == TEXT_DONE;
    return result;
}
