/* Sizes, durations and counts as people write them. */
#include "base/units.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"

static const char size_wish[] = "an integer and perhaps k, m or g, such as 64m";
static const char duration_wish[] = "numbers with ns, us, ms, s, m or h, such as 1m30s";
static const char count_wish[] = "a whole number";

static int not_a(const char *noun, const char *text, const char *wish, struct cj_error *err)
{
    return error_set(err, ERROR_CONFIG, 0, "'%s' is not a %s: write %s", text, noun, wish);
}

static int too_large(const char *noun, const char *text, struct cj_error *err)
{
    return error_set(err, ERROR_CONFIG, 0, "'%s' is too large a %s", text, noun);
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

enum digits { DIGITS_OK, DIGITS_NONE, DIGITS_OVERFLOW };

/* Reads decimal digits at *next and moves it behind them. */
static enum digits digits_read(const char **next, uint64_t *value)
{
    enum digits result = DIGITS_NONE;
    *value = 0;
    for (; is_digit(**next); (*next)++) {
        if (result == DIGITS_NONE)
            result = DIGITS_OK;
        if (__builtin_mul_overflow(*value, 10, value) ||
            __builtin_add_overflow(*value, (uint64_t)(**next - '0'), value))
            result = DIGITS_OVERFLOW;
    }
    return result;
}

static unsigned size_shift(char letter)
{
    switch (letter) {
    case 'k':
    case 'K':
        return 10;
    case 'm':
    case 'M':
        return 20;
    case 'g':
    case 'G':
        return 30;
    default:
        return 0;
    }
}

int size_parse(const char *text, uint64_t *bytes, struct cj_error *err)
{
    const char *next = text;
    uint64_t value;
    enum digits digits = digits_read(&next, &value);
    unsigned shift = size_shift(*next);
    if (shift > 0)
        next++;
    if (*next == 'b' || *next == 'B')
        next++;
    if (digits == DIGITS_NONE || *next != '\0')
        return not_a("size", text, size_wish, err);
    if (digits == DIGITS_OVERFLOW || value > UINT64_MAX >> shift)
        return too_large("size", text, err);
    *bytes = value << shift;
    return 0;
}

int count_parse(const char *text, uint64_t *count, struct cj_error *err)
{
    const char *next = text;
    uint64_t value;
    enum digits digits = digits_read(&next, &value);
    if (digits == DIGITS_NONE || *next != '\0')
        return not_a("count", text, count_wish, err);
    if (digits == DIGITS_OVERFLOW)
        return too_large("count", text, err);
    *count = value;
    return 0;
}

/* ---- durations ---- */

struct duration_unit {
    const char *name;
    int64_t ns;
};

static const struct duration_unit duration_units[] = {
    {"ns", 1},
    {"us", NS_PER_US},
    {"\xc2\xb5s", NS_PER_US}, /* U+00B5, the micro sign */
    {"\xce\xbcs", NS_PER_US}, /* U+03BC, the Greek letter */
    {"ms", NS_PER_MS},
    {"s", NS_PER_S},
    {"m", 60 * NS_PER_S},
    {"h", 3600 * NS_PER_S},
};

static const struct duration_unit *duration_unit_find(const char *name, size_t length)
{
    for (size_t i = 0; i < COUNT_OF(duration_units); i++) {
        const struct duration_unit *unit = &duration_units[i];
        if (strlen(unit->name) == length && memcmp(unit->name, name, length) == 0)
            return unit;
    }
    return NULL;
}

/* The digits behind a point. More than 18 cannot matter: 10^-18 h is far below a nanosecond. */
static bool fraction_read(const char **next, uint64_t *value, uint64_t *scale)
{
    bool any = false;
    *value = 0;
    *scale = 1;
    for (; is_digit(**next); (*next)++) {
        any = true;
        if (*scale >= UINT64_C(1000000000000000000))
            continue;
        *value = *value * 10 + (uint64_t)(**next - '0');
        *scale *= 10;
    }
    return any;
}

enum part { PART_OK, PART_BAD, PART_OVERFLOW };

/* One number and its unit, added to *total. */
static enum part duration_part(const char **next, uint64_t *total)
{
    uint64_t whole;
    enum digits digits = digits_read(next, &whole);
    bool any = digits != DIGITS_NONE;
    uint64_t fraction = 0;
    uint64_t scale = 1;
    if (**next == '.') {
        (*next)++;
        any |= fraction_read(next, &fraction, &scale);
    }
    size_t length = strcspn(*next, ".0123456789");
    const struct duration_unit *unit = duration_unit_find(*next, length);
    if (!any || unit == NULL)
        return PART_BAD;
    *next += length;
    uint64_t ns;
    uint64_t rest = (uint64_t)((unsigned __int128)fraction * (uint64_t)unit->ns / scale);
    if (digits == DIGITS_OVERFLOW || __builtin_mul_overflow(whole, (uint64_t)unit->ns, &ns) ||
        __builtin_add_overflow(ns, rest, &ns) || __builtin_add_overflow(*total, ns, total))
        return PART_OVERFLOW;
    return PART_OK;
}

int duration_parse(const char *text, int64_t *ns, struct cj_error *err)
{
    const char *next = text;
    bool negative = *next == '-';
    if (*next == '-' || *next == '+')
        next++;
    if (strcmp(next, "0") == 0) {
        *ns = 0;
        return 0;
    }
    uint64_t total = 0;
    enum part part = PART_BAD; /* an empty text has no part */
    bool overflow = false;
    while (*next != '\0') {
        part = duration_part(&next, &total);
        if (part == PART_BAD)
            break;
        overflow |= part == PART_OVERFLOW;
    }
    if (part == PART_BAD)
        return not_a("duration", text, duration_wish, err);
    if (overflow || total > (uint64_t)INT64_MAX)
        return too_large("duration", text, err);
    *ns = negative ? -(int64_t)total : (int64_t)total;
    return 0;
}

/* ---- for people ---- */

/* Cuts the zeros, and then the point, at the end of a decimal fraction. */
static void cut_zeros(char *text)
{
    size_t length = strlen(text);
    while (length > 0 && text[length - 1] == '0')
        text[--length] = '\0';
    if (length > 0 && text[length - 1] == '.')
        text[length - 1] = '\0';
}

const char *size_format(uint64_t bytes, char text[static UNITS_TEXT_SIZE])
{
    static const char *const names[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    size_t unit = 0;
    for (size_t i = COUNT_OF(names) - 1; i > 0; i--) {
        uint64_t one = UINT64_C(1) << (10 * i);
        if (bytes >= one && bytes % (one / 8) == 0) { /* eighths have three decimals: 0.125 */
            unit = i;
            break;
        }
    }
    uint64_t one = UINT64_C(1) << (10 * unit);
    unsigned thousandths = unit == 0 ? 0 : (unsigned)(bytes % one / (one / 8) * 125);
    char number[UNITS_TEXT_SIZE - 8];
    snprintf(number, sizeof(number), "%" PRIu64 ".%03u", bytes / one, thousandths);
    cut_zeros(number);
    snprintf(text, UNITS_TEXT_SIZE, "%s %s", number, names[unit]);
    return text;
}

/* Appends "number unit" with as many decimals as it takes, after a space unless it is the first. */
static void part_append(char text[static UNITS_TEXT_SIZE], uint64_t ns, uint64_t one,
                        const char *unit)
{
    char number[32];
    snprintf(number, sizeof(number), "%" PRIu64 ".%09" PRIu64, ns / one,
             (uint64_t)((unsigned __int128)(ns % one) * (uint64_t)NS_PER_S / one));
    cut_zeros(number);
    size_t used = strlen(text);
    const char *space = used > 0 && text[used - 1] != '-' ? " " : "";
    snprintf(text + used, UNITS_TEXT_SIZE - used, "%s%s %s", space, number, unit);
}

const char *duration_format(int64_t ns, char text[static UNITS_TEXT_SIZE])
{
    const uint64_t second = (uint64_t)NS_PER_S;
    const uint64_t minute = 60 * second;
    const uint64_t hour = 60 * minute;
    uint64_t left = ns < 0 ? -(uint64_t)ns : (uint64_t)ns;
    uint64_t rest = left % minute;
    memcpy(text, ns < 0 ? "-" : "", ns < 0 ? 2 : 1);
    if (left >= hour)
        part_append(text, left - left % hour, hour, "h");
    if (left % hour >= minute)
        part_append(text, left % hour - rest, minute, "min");
    if (left >= minute && rest == 0)
        return text;
    if (left >= second || left == 0)
        part_append(text, rest, second, "s");
    else if (left >= (uint64_t)NS_PER_MS)
        part_append(text, rest, (uint64_t)NS_PER_MS, "ms");
    else if (left >= (uint64_t)NS_PER_US)
        part_append(text, rest, (uint64_t)NS_PER_US, "us");
    else
        part_append(text, rest, 1, "ns");
    return text;
}
