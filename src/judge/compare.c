#include "judge/compare.h"

#include <locale.h>
#include <math.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"

const char *const compare_mode_names[] = {"exact", "strip", "lines", "tokens", "floats", NULL};

struct text {
    const char *data;
    size_t size;
};

/* ---- messages ---- */

/* Of both texts, with what stands around them, COMPARE_MESSAGE_SIZE has room. */
enum { EXCERPT_CHARACTERS = 40, EXCERPT_BYTES = 90, QUOTED = EXCERPT_BYTES + 8 };

static bool is_control(uint32_t c)
{
    return c < 0x20 || (c >= 0x7f && c < 0xa0);
}

/* The beginning of text, in whole characters. What it holds is a stranger's: '?' stands for what steers
 * terminals, and for each byte that is no UTF-8. */
static void quote(struct text text, char out[static QUOTED])
{
    size_t used = 0, at = 0;
    out[used++] = '\'';
    for (int shown = 0; at < text.size && shown < EXCERPT_CHARACTERS; shown++) {
        uint32_t c = 0;
        size_t length = utf8_decode((const uint8_t *)text.data + at, text.size - at, &c);
        bool readable = length > 0 && !is_control(c);
        size_t size = readable ? length : 1;
        if (used - 1 + size > EXCERPT_BYTES)
            break;
        memcpy(out + used, readable ? text.data + at : "?", size);
        used += size;
        at += length > 0 ? length : 1;
    }
    out[used++] = '\'';
    const char *more = at < text.size ? "..." : "";
    memcpy(out + used, more, strlen(more) + 1);
}

static bool differ(char *message, const char *what, size_t number, const struct text *expected,
                   const struct text *found)
{
    char expected_text[QUOTED] = "the end";
    char found_text[QUOTED] = "the end";
    if (expected != NULL)
        quote(*expected, expected_text);
    if (found != NULL)
        quote(*found, found_text);
    snprintf(message, COMPARE_MESSAGE_SIZE, "%s %zu: expected %s, found %s", what, number,
             expected_text, found_text);
    return false;
}

/* ---- exact, strip ---- */

/* Where the character begins that goes on at data[at]; at, when none does. What is before at is looked at. */
static size_t start_of_character(const char *data, size_t at)
{
    size_t start = at;
    while (start > 0 && at - start < 3) {
        unsigned char c = (unsigned char)data[--start];
        if ((c & 0xc0) == 0x80)
            continue;
        size_t length = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : c >= 0xc0 ? 2 : 1;
        return start + length > at ? start : at;
    }
    return at;
}

static bool same_bytes(struct text output, struct text answer, char *message)
{
    size_t shorter = output.size < answer.size ? output.size : answer.size;
    size_t at = 0;
    if (shorter > 0 && memcmp(output.data, answer.data, shorter) == 0)
        at = shorter;
    while (at < shorter && output.data[at] == answer.data[at])
        at++;
    if (at == output.size && at == answer.size)
        return true;
    size_t start = start_of_character(answer.data, at);
    struct text expected = {answer.data + start, answer.size - start};
    struct text found = {output.data + start, output.size - start};
    return differ(message, "byte", at + 1, at < answer.size ? &expected : NULL,
                  at < output.size ? &found : NULL);
}

/* The characters for which Python's str.isspace() holds (Unicode's White_Space and the separators
 * U+001C to U+001F). */
static bool is_unicode_space(uint32_t c)
{
    return (c >= 0x09 && c <= 0x0d) || (c >= 0x1c && c <= 0x20) || c == 0x85 || c == 0xa0 ||
           c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 ||
           c == 0x202f || c == 0x205f || c == 0x3000;
}

static struct text strip(struct text text)
{
    uint32_t c = 0;
    size_t length;
    while (text.size > 0 && (length = utf8_decode((const uint8_t *)text.data, text.size, &c)) > 0 &&
           is_unicode_space(c)) {
        text.data += length;
        text.size -= length;
    }
    while (text.size > 0) {
        size_t start = text.size - 1; /* back to the first byte of the last character */
        while (start > 0 && text.size - start < 4 && (text.data[start] & 0xc0) == 0x80)
            start--;
        length = utf8_decode((const uint8_t *)text.data + start, text.size - start, &c);
        if (length != text.size - start || !is_unicode_space(c))
            break;
        text.size = start;
    }
    return text;
}

/* ---- lines, tokens ---- */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f';
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool same_text(struct text a, struct text b, bool ignore_case)
{
    if (a.size != b.size)
        return false;
    if (a.size == 0 || memcmp(a.data, b.data, a.size) == 0)
        return true;
    if (!ignore_case)
        return false;
    for (size_t i = 0; i < a.size; i++)
        if (lower(a.data[i]) != lower(b.data[i]))
            return false;
    return true;
}

static struct text take(struct text *rest, size_t size)
{
    struct text taken = {rest->data, size};
    rest->data += size;
    rest->size -= size;
    return taken;
}

/* The next line of rest without the blanks at its end. */
static struct text next_line(struct text *rest)
{
    const char *newline = memchr(rest->data, '\n', rest->size);
    struct text line =
        take(rest, newline != NULL ? (size_t)(newline - rest->data) + 1 : rest->size);
    while (line.size > 0 && is_blank(line.data[line.size - 1]))
        line.size--;
    return line;
}

static bool same_lines(const struct compare_options *options, struct text output,
                       struct text answer, char *message)
{
    for (size_t number = 1; output.size > 0 || answer.size > 0; number++) {
        bool has_output = output.size > 0, has_answer = answer.size > 0;
        struct text found = has_output ? next_line(&output) : output;
        struct text expected = has_answer ? next_line(&answer) : answer;
        bool same = has_output && has_answer ? same_text(found, expected, options->ignore_case)
                                             : found.size == 0 && expected.size == 0 &&
                                                   !options->empty_lines_at_end_count;
        if (!same)
            return differ(message, "line", number, has_answer ? &expected : NULL,
                          has_output ? &found : NULL);
    }
    return true;
}

static bool next_token(struct text *rest, struct text *token)
{
    while (rest->size > 0 && is_blank(*rest->data))
        take(rest, 1);
    size_t length = 0;
    while (length < rest->size && !is_blank(rest->data[length]))
        length++;
    *token = take(rest, length);
    return length > 0;
}

/* ---- floats ---- */

/* The point is a point whatever the locale of the process. */
static locale_t plain;
static pthread_once_t plain_once = PTHREAD_ONCE_INIT;

static void make_plain(void)
{
    plain = newlocale(LC_ALL_MASK, "C", (locale_t)0); /* in libc itself: cannot fail */
}

/* A decimal number that takes the whole token: sign, digits, fraction, exponent. Neither hexadecimal
 * nor names: "nan" and "inf" are words. */
static bool parse_number(struct text token, double *value)
{
    enum { LONGEST = 400 };
    size_t at = 0, digits = 0;
    if (token.size == 0 || token.size > LONGEST)
        return false;
    if (token.data[0] == '-' || token.data[0] == '+')
        at++;
    for (; at < token.size && token.data[at] >= '0' && token.data[at] <= '9'; at++)
        digits++;
    if (at < token.size && token.data[at] == '.')
        for (at++; at < token.size && token.data[at] >= '0' && token.data[at] <= '9'; at++)
            digits++;
    if (digits == 0)
        return false;
    if (at < token.size && (token.data[at] == 'e' || token.data[at] == 'E')) {
        at++;
        if (at < token.size && (token.data[at] == '-' || token.data[at] == '+'))
            at++;
        size_t first = at;
        while (at < token.size && token.data[at] >= '0' && token.data[at] <= '9')
            at++;
        if (at == first)
            return false;
    }
    if (at != token.size)
        return false;
    char text[LONGEST + 1];
    memcpy(text, token.data, token.size);
    text[token.size] = '\0';
    pthread_once(&plain_once, make_plain);
    *value = strtod_l(text, NULL, plain);
    return true;
}

static bool same_token(const struct compare_options *options, struct text found,
                       struct text expected)
{
    if (same_text(found, expected, options->ignore_case))
        return true;
    double a, b;
    if (options->mode != COMPARE_FLOATS || !parse_number(found, &a) || !parse_number(expected, &b))
        return false;
    if (a == b) /* also two infinities: numbers beyond the range of double */
        return true;
    double difference = fabs(a - b);
    return isfinite(difference) && (difference <= options->absolute_tolerance ||
                                    difference <= options->relative_tolerance * fabs(b));
}

static bool same_tokens(const struct compare_options *options, struct text output,
                        struct text answer, char *message)
{
    for (size_t number = 1;; number++) {
        struct text found, expected;
        bool has_output = next_token(&output, &found);
        bool has_answer = next_token(&answer, &expected);
        if (!has_output && !has_answer)
            return true;
        if (!has_output || !has_answer || !same_token(options, found, expected))
            return differ(message, "token", number, has_answer ? &expected : NULL,
                          has_output ? &found : NULL);
    }
}

/* ---- public ---- */

bool compare_outputs(const struct compare_options *options, const char *output, size_t output_size,
                     const char *answer, size_t answer_size,
                     char message[static COMPARE_MESSAGE_SIZE])
{
    struct text found = {output_size > 0 ? output : "", output_size};
    struct text expected = {answer_size > 0 ? answer : "", answer_size};
    message[0] = '\0';
    switch (options->mode) {
    case COMPARE_EXACT:
        break;
    case COMPARE_STRIP:
        return same_bytes(strip(found), strip(expected), message);
    case COMPARE_LINES:
        if (options->line_end_blanks_count)
            break;
        return same_lines(options, found, expected, message);
    case COMPARE_TOKENS:
    case COMPARE_FLOATS:
        return same_tokens(options, found, expected, message);
    }
    return same_bytes(found, expected, message);
}
