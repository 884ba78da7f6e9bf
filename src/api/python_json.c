/* One pass with a stack of what is open, one byte a level: the text is a stranger's. Where Python stops follows from how
 * its scanner looks at things (Modules/_json.c): a word or number that is not one is refused at its first
 * character, a string without an end where it began. */
#include "python_json.h"

#include <stdlib.h>
#include <string.h>

struct scan {
    const char *text;
    size_t size, at;
    const char *words; /* NULL: nothing was wrong yet */
    size_t wrong_at;
};

static bool wrong(struct scan *scan, size_t at, const char *words)
{
    scan->wrong_at = at;
    scan->words = words;
    return false;
}

static bool is_at(const struct scan *scan, char c)
{
    return scan->at < scan->size && scan->text[scan->at] == c;
}

static bool is_one_of(char c, const char *set)
{
    return c != '\0' && strchr(set, c) != NULL;
}

static void skip_blanks(struct scan *scan)
{
    while (scan->at < scan->size && is_one_of(scan->text[scan->at], " \t\n\r"))
        scan->at++;
}

static bool is_digit(const struct scan *scan, size_t at)
{
    return at < scan->size && scan->text[at] >= '0' && scan->text[at] <= '9';
}

static bool is_hex(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* at: the 'u'. Four digits, and one more character behind them: at least the quote. */
static bool check_unicode(struct scan *scan, size_t at)
{
    static const char words[] = "Invalid \\uXXXX escape";
    if (at + 5 >= scan->size)
        return wrong(scan, at, words);
    for (size_t i = 1; i <= 4; i++)
        if (!is_hex(scan->text[at + i]))
            return wrong(scan, at, words);
    scan->at = at + 5;
    return true;
}

/* scan->at: the opening quote. */
static bool read_string(struct scan *scan)
{
    size_t begin = scan->at++;
    while (scan->at < scan->size) {
        unsigned char c = (unsigned char)scan->text[scan->at];
        if (c == '"') {
            scan->at++;
            return true;
        }
        if (c < 0x20)
            return wrong(scan, scan->at, "Invalid control character at");
        if (c != '\\') {
            scan->at++;
            continue;
        }
        size_t escape = scan->at + 1;
        if (escape == scan->size)
            break;
        if (scan->text[escape] == 'u') {
            if (!check_unicode(scan, escape))
                return false;
        } else if (is_one_of(scan->text[escape], "\"\\/bfnrt")) {
            scan->at += 2;
        } else {
            return wrong(scan, scan->at, "Invalid \\escape");
        }
    }
    return wrong(scan, begin, "Unterminated string starting at");
}

static void skip_digits(struct scan *scan)
{
    while (is_digit(scan, scan->at))
        scan->at++;
}

/* As much as is a number; what follows is looked at by whoever comes next. */
static bool read_number(struct scan *scan)
{
    size_t begin = scan->at;
    if (is_at(scan, '-'))
        scan->at++;
    if (!is_digit(scan, scan->at))
        return wrong(scan, begin, "Expecting value");
    if (is_at(scan, '0'))
        scan->at++;
    else
        skip_digits(scan);
    if (is_at(scan, '.') && is_digit(scan, scan->at + 1)) {
        scan->at++;
        skip_digits(scan);
    }
    if (is_at(scan, 'e') || is_at(scan, 'E')) {
        size_t digits = scan->at + 1;
        if (digits < scan->size && (scan->text[digits] == '+' || scan->text[digits] == '-'))
            digits++;
        if (is_digit(scan, digits)) {
            scan->at = digits;
            skip_digits(scan);
        }
    }
    return true;
}

static bool read_plain(struct scan *scan)
{
    static const char *const names[] = {"null", "true", "false", "NaN", "Infinity", "-Infinity"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        size_t length = strlen(names[i]);
        if (scan->size - scan->at >= length &&
            memcmp(scan->text + scan->at, names[i], length) == 0) {
            scan->at += length;
            return true;
        }
    }
    return read_number(scan);
}

/* A name, its colon and the blanks around. */
static bool read_key(struct scan *scan)
{
    if (!is_at(scan, '"'))
        return wrong(scan, scan->at, "Expecting property name enclosed in double quotes");
    if (!read_string(scan))
        return false;
    skip_blanks(scan);
    if (!is_at(scan, ':'))
        return wrong(scan, scan->at, "Expecting ':' delimiter");
    scan->at++;
    skip_blanks(scan);
    return true;
}

/* Behind a value: closes what it ends, up to a comma. depth: what is open. true: another value follows. */
static bool read_behind(struct scan *scan, const char *open, size_t *depth)
{
    while (*depth > 0) {
        char last = open[*depth - 1];
        skip_blanks(scan);
        if (is_at(scan, last)) {
            scan->at++;
            --*depth;
            continue;
        }
        if (!is_at(scan, ','))
            return wrong(scan, scan->at, "Expecting ',' delimiter");
        scan->at++;
        skip_blanks(scan);
        return last != '}' || read_key(scan);
    }
    return false;
}

/* scan->at: '[' or '{'. *empty: it is closed at once. */
static bool read_opening(struct scan *scan, char *open, size_t *depth, bool *empty)
{
    char last = scan->text[scan->at++] == '{' ? '}' : ']';
    skip_blanks(scan);
    *empty = is_at(scan, last);
    if (*empty) {
        scan->at++;
        return true;
    }
    open[(*depth)++] = last;
    return last != '}' || read_key(scan);
}

static void read_all(struct scan *scan, char *open)
{
    size_t depth = 0;
    bool more = true;
    skip_blanks(scan);
    while (more) {
        if (is_at(scan, '[') || is_at(scan, '{')) {
            bool empty;
            if (!read_opening(scan, open, &depth, &empty))
                return;
            if (!empty)
                continue;
        } else if (is_at(scan, '"') ? !read_string(scan) : !read_plain(scan)) {
            return;
        }
        more = read_behind(scan, open, &depth);
    }
    if (scan->words != NULL)
        return;
    skip_blanks(scan);
    if (scan->at < scan->size)
        wrong(scan, scan->at, "Extra data");
}

bool python_json_error(const char *text, size_t size, size_t *at, const char **words)
{
    struct scan scan = {.text = text, .size = size};
    char *open = malloc(size + 1);
    if (open == NULL)
        return false;
    read_all(&scan, open);
    free(open);
    if (scan.words == NULL)
        return false;
    *at = scan.wrong_at;
    *words = scan.words;
    return true;
}
