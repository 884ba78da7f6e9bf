#include "judge_invalid.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json_reader.h"
#include "base/json_writer.h"
#include "base/utf8.h"
#include "python_json.h"

/* A value as it stands in the body. */
struct raw {
    const char *data; /* NULL: absent */
    size_t size;
};

/* Where in the body: "body", then keys and indexes. */
struct place {
    const struct place *outer;
    const char *key; /* NULL: index */
    size_t key_size;
    size_t index;
};

struct report {
    const struct languages *languages;
    struct json_writer json;
    bool any;
};

static const struct place body_place = {NULL, "body", 4, 0};

static bool read_raw(struct json_reader *json, struct raw *out)
{
    char *data;
    if (!json_read_raw(json, &data, &out->size))
        return false;
    out->data = data;
    return true;
}

/* ---- values, written again ---- */

static void echo_value(struct json_reader *from, struct json_writer *to)
{
    struct json_text text;
    struct raw number;
    bool flag;
    switch (json_peek(from)) {
    case JSON_OBJECT:
        json_object_begin(to);
        for (json_read_object(from); json_next_key(from, &text);) {
            json_key_bytes(to, text.data, text.size);
            echo_value(from, to);
        }
        json_object_end(to);
        break;
    case JSON_ARRAY:
        json_array_begin(to);
        for (json_read_array(from); json_next_item(from);)
            echo_value(from, to);
        json_array_end(to);
        break;
    case JSON_STRING:
        json_read_string(from, &text);
        json_string_bytes(to, text.data, text.size);
        break;
    case JSON_NUMBER:
        if (read_raw(from, &number))
            json_raw(to, number.data, number.size);
        break;
    case JSON_BOOL:
        json_read_bool(from, &flag);
        json_bool(to, flag);
        break;
    case JSON_NULL:
    case JSON_NONE:
        json_skip(from);
        json_null(to);
        break;
    }
}

/* Values nested deeper than the writer can are told as null. */
static bool is_flat(struct raw value)
{
    unsigned depth = 0, deepest = 0;
    bool in_string = false;
    for (size_t i = 0; i < value.size; i++) {
        char c = value.data[i];
        if (in_string && c == '\\')
            i++;
        else if (c == '"')
            in_string = !in_string;
        else if (!in_string && (c == '[' || c == '{') && ++depth > deepest)
            deepest = depth;
        else if (!in_string && (c == ']' || c == '}'))
            depth--;
    }
    return deepest < JSON_DEPTH_MAX / 2;
}

static void echo(struct json_writer *to, struct raw value)
{
    char *copy = value.data != NULL && is_flat(value) ? malloc(value.size + 1) : NULL;
    if (copy == NULL) {
        json_null(to);
        return;
    }
    memcpy(copy, value.data, value.size);
    struct json_reader from;
    json_reader_init(&from, copy, value.size, 0);
    echo_value(&from, to);
    json_reader_free(&from);
    free(copy);
}

/* ---- one error ---- */

static void write_place(struct json_writer *json, const struct place *place)
{
    if (place->outer != NULL)
        write_place(json, place->outer);
    if (place->key != NULL)
        json_string_bytes(json, place->key, place->key_size);
    else
        json_uint(json, place->index);
}

static void begin_error(struct report *report, const char *type, const struct place *place,
                        const char *message)
{
    report->any = true;
    json_object_begin(&report->json);
    json_key(&report->json, "type");
    json_string(&report->json, type);
    json_key(&report->json, "loc");
    json_array_begin(&report->json);
    write_place(&report->json, place);
    json_array_end(&report->json);
    json_key(&report->json, "msg");
    json_string(&report->json, message);
    json_key(&report->json, "input");
}

static void error_at(struct report *report, const char *type, const struct place *place,
                     const char *message, struct raw input)
{
    begin_error(report, type, place, message);
    echo(&report->json, input);
    json_object_end(&report->json);
}

static void literal_error(struct report *report, const struct place *place, const char *expected,
                          struct raw input)
{
    char message[100];
    snprintf(message, sizeof(message), "Input should be %s", expected);
    begin_error(report, "literal_error", place, message);
    echo(&report->json, input);
    json_key(&report->json, "ctx");
    json_object_begin(&report->json);
    json_key(&report->json, "expected");
    json_string(&report->json, expected);
    json_object_end(&report->json);
    json_object_end(&report->json);
}

static void missing(struct report *report, const struct place *outer, const char *key,
                    struct raw object)
{
    struct place place = {outer, key, strlen(key), 0};
    error_at(report, "missing", &place, "Field required", object);
}

/* ---- values ---- */

static bool is_null(struct raw value)
{
    return value.data == NULL || value.data[0] == 'n';
}

static void check_string(struct report *report, const struct place *outer, const char *key,
                         struct raw value)
{
    struct place place = {outer, key, strlen(key), 0};
    if (value.data[0] != '"')
        error_at(report, "string_type", &place, "Input should be a valid string", value);
}

static void check_optional_string(struct report *report, const struct place *outer, const char *key,
                                  struct raw value)
{
    if (!is_null(value))
        check_string(report, outer, key, value);
}

/* Reads the members of an object whose names are asked for; the last of each counts. The object is
 * copied, because reading it changes it and its text is still to be told. */
static bool read_members(struct raw object, const char *const *names, struct raw *values,
                         size_t count, char **copy)
{
    *copy = malloc(object.size + 1);
    if (*copy == NULL)
        return false;
    memcpy(*copy, object.data, object.size);
    struct json_reader json;
    struct json_text key;
    struct raw value;
    json_reader_init(&json, *copy, object.size, 0);
    json_read_object(&json);
    while (json_next_key(&json, &key)) {
        size_t which = 0;
        while (which < count && !json_text_equal(key, names[which]))
            which++;
        if (read_raw(&json, &value) && which < count)
            values[which] = value;
    }
    json_reader_free(&json);
    return true;
}

/* Whether value is a string, which copy holds then as *text; nothing that is asked for is longer, each of its
 * characters escaped. */
enum { SHORT_SIZE = 512 };
static bool read_short(struct raw value, char copy[static SHORT_SIZE], struct json_text *text)
{
    struct json_reader json;
    if (value.data[0] != '"' || value.size > SHORT_SIZE)
        return false;
    memcpy(copy, value.data, value.size);
    json_reader_init(&json, copy, value.size, 0);
    bool good = json_read_string(&json, text) && strlen(text->data) == text->size;
    json_reader_free(&json); /* a text that grew has another place: it is none of ours */
    return good && !text->replaced;
}

static void check_type(struct report *report, const struct place *outer, struct raw value)
{
    struct place place = {outer, "type", 4, 0};
    char copy[SHORT_SIZE];
    struct json_text name;
    if (!read_short(value, copy, &name) ||
        (strcmp(name.data, "math") != 0 && languages_find(report->languages, name.data) == NULL))
        literal_error(report, &place, "'python', 'cpp' or 'math'", value);
}

static void check_options(struct report *report, const struct place *outer, struct raw value)
{
    struct place place = {outer, "options", 7, 0};
    if (is_null(value))
        return;
    if (value.data[0] != '{') {
        error_at(report, "dict_type", &place, "Input should be a valid dictionary", value);
        return;
    }
    char *copy = malloc(value.size + 1);
    if (copy == NULL)
        return;
    memcpy(copy, value.data, value.size);
    struct json_reader json;
    struct json_text key;
    struct raw raw;
    json_reader_init(&json, copy, value.size, 0);
    json_read_object(&json);
    while (json_next_key(&json, &key)) {
        bool is_string = json_peek(&json) == JSON_STRING;
        struct place option = {&place, key.data, key.size, 0};
        if (read_raw(&json, &raw) && !is_string)
            error_at(report, "string_type", &option, "Input should be a valid string", raw);
    }
    json_reader_free(&json);
    free(copy);
}

static void check_submission(struct report *report, const struct place *place, struct raw object)
{
    enum { SUB_ID, TYPE, OPTIONS, SOLUTION, INPUT, EXPECTED, FIELDS };
    static const char *const names[FIELDS] = {"sub_id",   "type",  "options",
                                              "solution", "input", "expected_output"};
    struct raw values[FIELDS] = {{0}};
    char *copy;
    if (object.data[0] != '{') {
        error_at(report, "model_attributes_type", place,
                 "Input should be a valid dictionary or object to extract fields from", object);
        return;
    }
    if (!read_members(object, names, values, FIELDS, &copy))
        return;
    check_optional_string(report, place, names[SUB_ID], values[SUB_ID]);
    if (values[TYPE].data == NULL)
        missing(report, place, names[TYPE], object);
    else
        check_type(report, place, values[TYPE]);
    check_options(report, place, values[OPTIONS]);
    if (values[SOLUTION].data == NULL)
        missing(report, place, names[SOLUTION], object);
    else
        check_string(report, place, names[SOLUTION], values[SOLUTION]);
    check_optional_string(report, place, names[INPUT], values[INPUT]);
    check_optional_string(report, place, names[EXPECTED], values[EXPECTED]);
    free(copy);
}

static void too_short(struct report *report, const struct place *place)
{
    begin_error(report, "too_short", place,
                "List should have at least 1 item after validation, not 0");
    json_raw(&report->json, "[]", 2);
    json_key(&report->json, "ctx");
    json_object_begin(&report->json);
    json_key(&report->json, "field_type");
    json_string(&report->json, "List");
    json_key(&report->json, "min_length");
    json_uint(&report->json, 1);
    json_key(&report->json, "actual_length");
    json_uint(&report->json, 0);
    json_object_end(&report->json);
    json_object_end(&report->json);
}

static void check_list(struct report *report, struct raw value)
{
    struct place place = {&body_place, "submissions", strlen("submissions"), 0};
    if (value.data[0] != '[') {
        error_at(report, "list_type", &place, "Input should be a valid list", value);
        return;
    }
    struct json_reader json;
    struct raw item;
    size_t index = 0;
    json_reader_init(&json, (char *)value.data, value.size, 0);
    json_read_array(&json);
    for (; json_next_item(&json); index++) {
        struct place at = {&place, NULL, 0, index};
        if (read_raw(&json, &item))
            check_submission(report, &at, item);
    }
    json_reader_free(&json);
    if (index == 0)
        too_short(report, &place);
}

static void check_batch(struct report *report, struct raw object)
{
    enum { SUB_ID, TYPE, SUBMISSIONS, FIELDS };
    static const char *const names[FIELDS] = {"sub_id", "type", "submissions"};
    struct raw values[FIELDS] = {{0}};
    char *copy;
    if (object.data[0] != '{') {
        error_at(report, "model_attributes_type", &body_place,
                 "Input should be a valid dictionary or object to extract fields from", object);
        return;
    }
    if (!read_members(object, names, values, FIELDS, &copy))
        return;
    struct place type = {&body_place, names[TYPE], 4, 0};
    char name[SHORT_SIZE];
    struct json_text text;
    check_optional_string(report, &body_place, names[SUB_ID], values[SUB_ID]);
    if (values[TYPE].data != NULL &&
        (!read_short(values[TYPE], name, &text) || strcmp(text.data, "batch") != 0))
        literal_error(report, &type, "'batch'", values[TYPE]);
    if (values[SUBMISSIONS].data == NULL)
        missing(report, &body_place, names[SUBMISSIONS], object);
    else
        check_list(report, values[SUBMISSIONS]);
    free(copy);
}

/* ---- what is no JSON ---- */

/* Python counts characters, not bytes. */
static size_t characters(const char *data, size_t size)
{
    size_t count = 0;
    for (size_t i = 0; i < size; i++)
        count += ((unsigned char)data[i] & 0xc0) != 0x80;
    return count;
}

static bool check_grammar(struct report *report, const struct judge_invalid_body *invalid)
{
    struct json_reader json;
    struct cj_error err;
    json_reader_init(&json, invalid->body, invalid->size, 0);
    json_skip(&json);
    json_read_end(&json);
    bool good = json_reader_check(&json, &err) == 0;
    size_t offset = json.offset < invalid->size ? json.offset : invalid->size;
    const char *words = "Expecting value";
    json_reader_free(&json);
    if (good)
        return true;
    (void)python_json_error(invalid->body, invalid->size, &offset, &words);
    struct place place = {&body_place, NULL, 0, characters(invalid->body, offset)};
    begin_error(report, "json_invalid", &place, "JSON decode error");
    json_raw(&report->json, "{}", 2);
    json_key(&report->json, "ctx");
    json_object_begin(&report->json);
    json_key(&report->json, "error");
    json_string(&report->json, words);
    json_object_end(&report->json);
    json_object_end(&report->json);
    return false;
}

/* ---- public ---- */

bool judge_invalid_is_utf8(const char *body, size_t size)
{
    const uint8_t *at = (const uint8_t *)body, *end = at + size;
    while (at < end) {
        size_t length = *at < 0x80 ? 1 : utf8_decode(at, (size_t)(end - at), NULL);
        if (length == 0)
            return false;
        at += length;
    }
    return true;
}

static struct report begin_report(const struct judge_invalid_body *invalid, struct buf *out)
{
    struct report report = {invalid->languages, json_writer_to(out, JSON_COMPACT_PLAIN), false};
    json_object_begin(&report.json);
    json_key(&report.json, "detail");
    json_array_begin(&report.json);
    return report;
}

static void end_report(struct report *report)
{
    json_array_end(&report->json);
    json_object_end(&report->json);
}

bool judge_invalid_explain(const struct judge_invalid_body *invalid, struct buf *out)
{
    struct report report = begin_report(invalid, out);
    struct raw whole = {invalid->body, invalid->size};
    while (whole.size > 0 && strchr(" \t\r\n", whole.data[0]) != NULL && whole.data[0] != '\0') {
        whole.data++;
        whole.size--;
    }
    if (invalid->size == 0)
        error_at(&report, "missing", &body_place, "Field required", (struct raw){0});
    else if (check_grammar(&report, invalid)) {
        if (is_null(whole))
            error_at(&report, "missing", &body_place, "Field required", whole);
        else if (invalid->is_batch)
            check_batch(&report, whole);
        else
            check_submission(&report, &body_place, whole);
    }
    end_report(&report);
    return report.any;
}

void judge_invalid_text(const struct judge_invalid_body *invalid, struct buf *out)
{
    struct report report = begin_report(invalid, out);
    begin_error(&report, "model_attributes_type", &body_place,
                "Input should be a valid dictionary or object to extract fields from");
    json_string_bytes(&report.json, invalid->body, invalid->size);
    json_object_end(&report.json);
    end_report(&report);
}
