/* How a stored file is answered. */
#include "content.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* ---- type ---- */

/* Source code is left out on purpose: it is sniffed, and a browser then shows it as text. */
static const struct {
    const char *extension, *type;
} types[] = {
    {".avif", "image/avif"},
    {".bmp", "image/bmp"},
    {".bz2", "application/x-bzip2"},
    {".css", "text/css; charset=utf-8"},
    {".csv", "text/csv; charset=utf-8"},
    {".gif", "image/gif"},
    {".gz", "application/gzip"},
    {".htm", "text/html; charset=utf-8"},
    {".html", "text/html; charset=utf-8"},
    {".jpeg", "image/jpeg"},
    {".jpg", "image/jpeg"},
    {".js", "text/javascript; charset=utf-8"},
    {".json", "application/json"},
    {".mjs", "text/javascript; charset=utf-8"},
    {".mp3", "audio/mpeg"},
    {".mp4", "video/mp4"},
    {".pdf", "application/pdf"},
    {".png", "image/png"},
    {".svg", "image/svg+xml"},
    {".tar", "application/x-tar"},
    {".txt", "text/plain; charset=utf-8"},
    {".wasm", "application/wasm"},
    {".webp", "image/webp"},
    {".xml", "text/xml; charset=utf-8"},
    {".xz", "application/x-xz"},
    {".zip", "application/zip"},
};

/* The "binary data bytes" of the WHATWG's MIME sniffing standard, 3. */
static bool is_binary(uint8_t byte)
{
    return byte < 0x20 && byte != '\t' && byte != '\n' && byte != '\f' && byte != '\r' &&
           byte != 0x1b;
}

const char *content_type(const char *name, const void *head, size_t size)
{
    const char *extension = strrchr(name, '.');
    if (extension != NULL && strchr(extension, '/') == NULL)
        for (size_t i = 0; i < COUNT_OF(types); i++)
            if (strcasecmp(types[i].extension, extension) == 0)
                return types[i].type;
    const uint8_t *bytes = head;
    for (size_t i = 0; i < size; i++)
        if (is_binary(bytes[i]))
            return "application/octet-stream";
    return "text/plain; charset=utf-8";
}

/* ---- name ---- */

static bool is_plain_ascii(const char *name)
{
    for (; *name != '\0'; name++)
        if ((signed char)*name < 0x20 || *name == 0x7f)
            return false;
    return true;
}

void content_disposition(const char *name, struct buf *out)
{
    if (is_plain_ascii(name)) {
        buf_append_text(out, "attachment; filename=\"");
        for (; *name != '\0'; name++) {
            if (*name == '"' || *name == '\\')
                buf_append_char(out, '\\');
            buf_append_char(out, *name);
        }
        buf_append_char(out, '"');
        return;
    }
    buf_append_text(out, "attachment; filename*=UTF-8''");
    for (; *name != '\0'; name++) {
        unsigned char byte = (unsigned char)*name;
        if (byte == ' ')
            buf_append_char(out, '+'); /* as Go's url.QueryEscape, which clients undo */
        else if (byte < 0x80 && (isalnum(byte) || strchr("-_.~", byte) != NULL))
            buf_append_char(out, (char)byte);
        else
            buf_printf(out, "%%%02X", byte);
    }
}

/* ---- dates ---- */

static const char *const days[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

/* By hand: strftime(3) would write the names of the locale. */
const char *content_date(time_t time, char text[static CONTENT_DATE_SIZE])
{
    struct tm tm;
    if (time < 0 || gmtime_r(&time, &tm) == NULL || tm.tm_year > 8099)
        tm = (struct tm){.tm_year = 70, .tm_mday = 1, .tm_wday = 4};
    snprintf(text, CONTENT_DATE_SIZE, "%s, %02d %s %04d %02d:%02d:%02d GMT", days[tm.tm_wday],
             tm.tm_mday, months[tm.tm_mon], 1900 + tm.tm_year, tm.tm_hour, tm.tm_min, tm.tm_sec);
    return text;
}

int content_date_parse(const char *text, time_t *time)
{
    static const char *const forms[] = {
        "%a, %d %b %Y %H:%M:%S GMT", /* IMF-fixdate */
        "%a, %d-%b-%y %H:%M:%S GMT", /* RFC 850 (strptime's %a takes long names as well) */
        "%a %b %d %H:%M:%S %Y",      /* asctime(3) */
    };
    for (size_t i = 0; i < COUNT_OF(forms); i++) {
        struct tm tm = {0};
        const char *end = strptime(text, forms[i], &tm);
        if (end == NULL || *end != '\0')
            continue;
        *time = timegm(&tm);
        return 0;
    }
    return -1;
}

/* ---- conditions ---- */

/* There are no entity tags here, so that none matches but "*", which stands for any file there is. */
static bool any_tag(const char *list)
{
    return list[strspn(list, " \t,")] == '*';
}

/* RFC 9110 13.2.2, in its order. Returns the status that ends it, or 0. */
static int check_conditions(const struct content_request *request, time_t modified)
{
    time_t since;
    if (request->if_match != NULL) {
        if (!any_tag(request->if_match))
            return 412;
    } else if (request->if_unmodified_since != NULL &&
               content_date_parse(request->if_unmodified_since, &since) == 0 && modified > since) {
        return 412;
    }
    if (request->if_none_match != NULL)
        return any_tag(request->if_none_match) ? 304 : 0;
    if (request->if_modified_since != NULL &&
        content_date_parse(request->if_modified_since, &since) == 0 && modified <= since)
        return 304;
    return 0;
}

static bool range_applies(const struct content_request *request, time_t modified)
{
    time_t date;
    if (request->range == NULL)
        return false;
    if (request->if_range == NULL)
        return true;
    return content_date_parse(request->if_range, &date) == 0 && date == modified;
}

/* ---- ranges ---- */

static const char *skip_spaces(const char *text)
{
    return text + strspn(text, " \t");
}

/* Digits at *text; what is above 2^64-1 stays there, which is behind the end of any file. */
static bool take_number(const char **text, uint64_t *value)
{
    const char *next = *text;
    *value = 0;
    for (; isdigit((unsigned char)*next); next++)
        if (__builtin_mul_overflow(*value, UINT64_C(10), value) ||
            __builtin_add_overflow(*value, (uint64_t)(*next - '0'), value))
            *value = UINT64_MAX;
    bool found = next != *text;
    *text = next;
    return found;
}

enum range_kind { RANGE_INVALID, RANGE_OUTSIDE, RANGE_INSIDE };

/* One "FIRST-LAST", "FIRST-" or "-COUNT" at *text. */
static enum range_kind take_range(const char **text, uint64_t size, struct content_part *part)
{
    uint64_t first;
    uint64_t last;
    bool has_first = take_number(text, &first);
    *text = skip_spaces(*text);
    if (**text != '-')
        return RANGE_INVALID;
    *text = skip_spaces(*text + 1);
    bool has_last = take_number(text, &last);
    if (!has_first && !has_last)
        return RANGE_INVALID;
    if (has_first && has_last && first > last)
        return RANGE_INVALID;
    if (!has_first) {
        uint64_t count = last < size ? last : size;
        *part = (struct content_part){.status = 206, .first = size - count, .length = count};
        return count > 0 ? RANGE_INSIDE : RANGE_OUTSIDE;
    }
    if (first >= size)
        return RANGE_OUTSIDE;
    if (!has_last || last >= size)
        last = size - 1;
    *part = (struct content_part){.status = 206, .first = first, .length = last - first + 1};
    return RANGE_INSIDE;
}

static struct content_part choose_range(const char *text, uint64_t size)
{
    const struct content_part whole = {.status = 200, .length = size};
    const struct content_part refused = {.status = 416};
    struct content_part part = whole;
    size_t inside = 0;
    size_t outside = 0;
    if (strncmp(text, "bytes=", 6) != 0)
        return refused;
    for (text = skip_spaces(text + 6); *text != '\0'; text = skip_spaces(text)) {
        if (*text == ',') {
            text++;
            continue;
        }
        enum range_kind kind = take_range(&text, size, &part);
        text = skip_spaces(text);
        if (kind == RANGE_INVALID || (*text != '\0' && *text != ','))
            return refused;
        inside += kind == RANGE_INSIDE;
        outside += kind == RANGE_OUTSIDE;
    }
    if (inside == 0) /* of an empty file, everything is asked for by any range */
        return outside > 0 && size > 0 ? refused : whole;
    return inside + outside == 1 ? part : whole;
}

struct content_part content_choose(const struct content_request *request, uint64_t size,
                                   time_t modified)
{
    int status = check_conditions(request, modified);
    if (status != 0)
        return (struct content_part){.status = status};
    if (!range_applies(request, modified))
        return (struct content_part){.status = 200, .length = size};
    return choose_range(request->range, size);
}
