/* multipart/form-data: how a body is cut changes nothing, and parts begin and end in turn. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "net/multipart.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
    if (!holds)
        abort();
}

/* What was read. */
struct record {
    struct buf events;
    bool open;
    struct cj_error err;
};

static void record_text(struct record *record, const char *text)
{
    buf_append(&record->events, text == NULL ? "-" : text, text == NULL ? 2 : strlen(text) + 1);
}

static int record_begin(const struct multipart_part *part, void *arg, struct cj_error *err)
{
    struct record *record = arg;
    (void)err;
    check(!record->open);
    record->open = true;
    record_text(record, part->name);
    record_text(record, part->filename);
    record_text(record, part->content_type);
    return 0;
}

static int record_data(const void *data, size_t size, void *arg, struct cj_error *err)
{
    struct record *record = arg;
    (void)err;
    check(record->open && size > 0);
    buf_append(&record->events, data, size);
    return 0;
}

static int record_end(void *arg, struct cj_error *err)
{
    struct record *record = arg;
    (void)err;
    check(record->open);
    record->open = false;
    buf_append_char(&record->events, '\0');
    return 0;
}

static int feed(struct multipart *multipart, const char *data, size_t size, size_t piece,
                struct cj_error *err)
{
    for (size_t at = 0; at < size; at += piece) {
        size_t next = size - at < piece ? size - at : piece;
        char *copy = malloc(next); /* so that a look beyond it is seen */
        check(copy != NULL);
        memcpy(copy, data + at, next);
        int result = multipart_feed(multipart, copy, next, err);
        free(copy);
        if (result < 0)
            return -1;
    }
    return multipart_end(multipart, err);
}

static int read_body(const char *boundary, const char *data, size_t size, size_t piece,
                     struct record *record)
{
    static const struct multipart_handler handler = {record_begin, record_data, record_end};
    struct multipart *multipart;
    check(multipart_new(boundary, &handler, record, &multipart, &record->err) == 0);
    int result = feed(multipart, data, size, piece, &record->err);
    multipart_free(multipart);
    check(result < 0 ? record->err.message[0] != '\0' : !record->open);
    return result;
}

static void same(const struct record *one, const struct record *other)
{
    check(one->events.size == other->events.size);
    check(one->events.size == 0 ||
          memcmp(one->events.data, other->events.data, one->events.size) == 0);
}

/* The first line is a Content-Type, the rest a body. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *body = (const char *)data;
    const char *line_end = size == 0 ? NULL : memchr(body, '\n', size);
    char boundary[MULTIPART_BOUNDARY_SIZE] = "b";
    struct cj_error err;
    if (line_end != NULL) {
        char *line = strndup(body, (size_t)(line_end - body));
        check(line != NULL);
        if (multipart_boundary(line, boundary, &err) < 0)
            memcpy(boundary, "b", 2);
        free(line);
        size -= (size_t)(line_end + 1 - body);
        body = line_end + 1;
    }
    struct record whole = {0};
    int result = read_body(boundary, body, size, size + 1, &whole);
    for (size_t piece = 1; piece < 6; piece += 2) {
        struct record cut = {0};
        check(read_body(boundary, body, size, piece, &cut) == result);
        same(&whole, &cut);
        check(result == 0 || strcmp(whole.err.message, cut.err.message) == 0);
        buf_free(&cut.events);
    }
    buf_free(&whole.events);
    return 0;
}
