/* Requests of a connection: whatever the bytes, and however they are cut, the same comes out; and
 * what is handed out is what net/http.h promises.
 *
 * The first two bytes of the input seed the cuts and choose the limits; the rest is what the
 * client sends. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "http_parser.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool truth)
{
    if (!truth)
        abort();
}

static void check_text(const char *text)
{
    for (; *text; text++)
        require(http_is_value_char((unsigned char)*text));
}

static void check_head(const struct http_head *head, const struct http_limits *limits)
{
    require(head->method[0] != '\0');
    for (const char *c = head->method; *c; c++)
        require(http_is_token_char((unsigned char)*c));
    require(strlen(head->target) >= 1 && strlen(head->target) <= limits->target_bytes);
    require(head->path[0] == '/' || strcmp(head->path, "*") == 0);
    require(strlen(head->path) <= strlen(head->raw_path));
    require(head->minor == 0 || head->minor == 1);
    require(head->field_count <= limits->header_count);
    require(!head->chunked || head->length == 0);
    for (size_t i = 0; i < head->field_count; i++) {
        const struct http_field *field = &head->fields[i];
        require(field->name[0] != '\0');
        for (const char *c = field->name; *c; c++)
            require(http_is_token_char((unsigned char)*c));
        check_text(field->value);
        size_t length = strlen(field->value);
        require(length == 0 ||
                (!strchr(" \t", field->value[0]) && !strchr(" \t", field->value[length - 1])));
        require(http_head_find(head, field->name) != NULL);
        (void)http_head_has(head, field->name, "close");
    }
    if (head->minor == 1)
        require(http_head_find(head, "host") != NULL);
    if (http_head_find(head, "transfer-encoding"))
        require(head->chunked && !http_head_find(head, "content-length"));
}

static void log_head(const struct http_head *head, struct buf *log)
{
    buf_printf(log, "%s|%s|%s|%s|%d|%d|%llu{", head->method, head->raw_path, head->path,
               head->query ? head->query : "", head->minor, head->keep_alive,
               (unsigned long long)head->length);
    for (size_t i = 0; i < head->field_count; i++)
        buf_printf(log, "%s=%s;", head->fields[i].name, head->fields[i].value);
}

/* Plays a connection, whose bytes come in pieces of 1 to most bytes, copied to memory of exactly
 * their size. / */
static void play(const char *data, size_t size, const struct http_limits *limits, size_t most,
                 uint32_t seed, struct buf *log)
{
    struct http_parser parser = {.limits = *limits};
    char *window = malloc(1);
    size_t window_size = 0, taken = 0;
    enum http_event event;
    do {
        size_t used, piece;
        event = http_parser_next(&parser, window, window_size, &used, &piece);
        require(used <= window_size && piece <= used);
        require(event != HTTP_EVENT_BODY || piece > 0);
        if (event == HTTP_EVENT_HEAD) {
            check_head(&parser.head, limits);
            log_head(&parser.head, log);
        } else if (event == HTTP_EVENT_BODY) {
            buf_append(log, window + used - piece, piece);
        } else if (event == HTTP_EVENT_END) {
            buf_append_text(log, "}");
        } else if (event == HTTP_EVENT_BAD) {
            require(parser.fault.status >= 400 && parser.fault.reason);
            buf_printf(log, "!%d %s", parser.fault.status, parser.fault.reason);
        }
        bool wants_more = event == HTTP_EVENT_MORE && (used == 0 || used == window_size);
        window_size -= used;
        size_t fresh = 0;
        if (wants_more) {
            require(window_size <= limits->head_bytes); /* it never waits for more than a head */
            if (taken == size)
                break;
            seed = seed * 1664525 + 1013904223;
            fresh = 1 + (seed >> 8) % most;
            if (fresh > size - taken)
                fresh = size - taken;
        }
        char *next = malloc(window_size + fresh + 1);
        memcpy(next, window + used, window_size);
        memcpy(next + window_size, data + taken, fresh);
        next = realloc(next, window_size + fresh ? window_size + fresh : 1);
        free(window);
        window = next;
        window_size += fresh;
        taken += fresh;
    } while (event != HTTP_EVENT_BAD);
    free(window);
    http_parser_free(&parser);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    const char *text = (const char *)data + 2;
    struct http_limits limits = {.head_bytes = data[0] & 1 ? 200 : 4096,
                                 .target_bytes = data[0] & 2 ? 20 : 1000,
                                 .header_count = data[0] & 4 ? 2 : 50};
    struct buf whole = {0}, pieces = {0}, bytes = {0};
    play(text, size - 2, &limits, SIZE_MAX / 2, 0, &whole);
    play(text, size - 2, &limits, 1 + data[1] % 40, data[0] * 256U + data[1], &pieces);
    play(text, size - 2, &limits, 1, 0, &bytes);
    require(whole.size == pieces.size && whole.size == bytes.size);
    require(whole.size == 0 || memcmp(whole.data, pieces.data, whole.size) == 0);
    require(whole.size == 0 || memcmp(whole.data, bytes.data, whole.size) == 0);
    buf_free(&whole);
    buf_free(&pieces);
    buf_free(&bytes);
    return 0;
}
