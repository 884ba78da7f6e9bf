/* The JSON reader: whatever a text is, reading and skipping it end alike; what was read is written as
 * JSON that reads the same; being asked for wrong things never hides an error of grammar. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../unit/json_recode.h"
#include "base/utf8.h"
#include "json_scan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
    if (!holds)
        abort();
}

/* A reader of a copy, which ends where its heap block ends. */
static struct json_reader *reader_new(const void *data, size_t size, unsigned flags)
{
    struct json_reader *json = malloc(sizeof(*json));
    char *copy = malloc(size);
    check(json != NULL && (copy != NULL || size == 0));
    if (size > 0)
        memcpy(copy, data, size);
    json_reader_init(json, copy, size, flags);
    return json;
}

static void reader_delete(struct json_reader *json)
{
    check(json->offset <= json->size);
    free(json->data);
    json_reader_free(json);
    free(json);
}

/* Reads the value and writes it to out. Returns the reader. */
static struct json_reader *recode(const void *data, size_t size, unsigned flags, struct buf *out)
{
    struct json_reader *json = reader_new(data, size, flags);
    struct json_writer writer = json_writer_to(out, JSON_COMPACT);
    json_recode(json, &writer);
    check(writer.depth == 0);
    return json;
}

static void same_failure(const struct json_reader *one, const struct json_reader *other)
{
    check(one->failure == other->failure && one->offset == other->offset);
    check(strcmp(one->error.message, other->error.message) == 0);
}

/* Skipping and reading end alike; what was written is valid and is written the same again. */
static void compare_ways(const uint8_t *data, size_t size, unsigned flags)
{
    auto_buf struct buf once = {0}, twice = {0};
    struct json_reader *read = recode(data, size, flags, &once);
    struct json_reader *skipped = reader_new(data, size, flags);
    check(json_skip(skipped) == (skipped->failure == JSON_OK));
    same_failure(read, skipped);
    check(json_read_end(read) == json_read_end(skipped));
    same_failure(read, skipped);
    if (read->depth == 0 && read->failure == JSON_OK) {
        unsigned strict = JSON_REJECT_INVALID_UTF8;
        struct json_reader *again = recode(once.data, once.size, strict, &twice);
        /* what lies deeper than the writer goes was copied as it is, invalid or not */
        check(again->failure == JSON_OK || again->failure == JSON_BAD_TEXT);
        if (again->failure == JSON_OK)
            check(once.size == twice.size && memcmp(once.data, twice.data, once.size) == 0);
        reader_delete(again);
    }
    reader_delete(read);
    reader_delete(skipped);
}

/* One value, read as what the next byte of the program says; nested ones as deep as it goes. */
static void ask(struct json_reader *json, const uint8_t **program, const uint8_t *end)
{
    uint8_t byte = *program < end ? *(*program)++ : 0;
    struct json_text text = {0};
    uint64_t number;
    int64_t integer;
    double real;
    bool flag;
    char path[64];
    switch (byte % 11) {
    case 0:
        return; /* nobody reads it */
    case 1:
        (void)json_read_uint64(json, &number);
        break;
    case 2:
        (void)json_read_int64(json, &integer);
        break;
    case 3:
        (void)json_read_double(json, &real);
        break;
    case 4:
        (void)json_read_bool(json, &flag);
        break;
    case 5:
        if (json_read_string(json, &text) && text.data != NULL)
            check(text.data[text.size] == '\0' &&
                  utf8_span((const uint8_t *)text.data, text.size) == text.size);
        break;
    case 6:
        if (json_read_bytes(json, &text) && text.data != NULL)
            check(text.invalid == (utf8_span((const uint8_t *)text.data, text.size) < text.size));
        break;
    case 7:
        (void)json_fail(json, "%s?", json_reader_path(json, path, sizeof(path)));
        break;
    case 8:
        (void)json_read_null(json);
        break;
    default:
        if (json_peek(json) == JSON_OBJECT || byte % 11 == 9) {
            (void)json_read_object(json);
            while (json_next_key(json, &text)) {
                (void)json_key_is(text, "cpuLimit");
                ask(json, program, end);
            }
        } else {
            (void)json_read_array(json);
            while (json_next_item(json))
                ask(json, program, end);
        }
    }
}

/* The first bytes say what is asked for, the rest is the text. */
static void ask_wrongly(const uint8_t *data, size_t size, unsigned flags)
{
    size_t program_size = size < 16 ? size / 2 : 8;
    const uint8_t *program = data;
    const uint8_t *text = data + program_size;
    struct json_reader *asked = reader_new(text, size - program_size, flags);
    struct json_reader *skipped = reader_new(text, size - program_size, flags);
    ask(asked, &program, text);
    if (asked->failure == JSON_OK && asked->expect == EXPECT_VALUE)
        json_skip(asked); /* nobody has read it */
    json_skip(skipped);
    if (asked->failure == JSON_BAD_VALUE)
        check(skipped->failure == JSON_OK && asked->error.message[0] != '\0');
    else
        same_failure(asked, skipped);
    reader_delete(asked);
    reader_delete(skipped);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    for (unsigned flags = 0; flags < 8; flags++) {
        compare_ways(data, size, flags);
        ask_wrongly(data, size, flags);
    }
    return 0;
}
