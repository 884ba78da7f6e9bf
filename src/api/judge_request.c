/* Two passes: one that fills in the submissions and sees whether anything is wrong, and one, over a copy
 * that nobody has touched, that finds all that is wrong and puts it as FastAPI does. Good bodies pay for the
 * copy only while they are read. */
#include "judge_request.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/json_reader.h"
#include "judge_invalid.h"

/* ---- the fast pass ---- */

/* Each reads one value whatever it is, and returns whether it is one that may stand there: of a key that comes
 * again only the last one counts. Where the text is no JSON the reader has failed, and nothing counts. */

/* A string or null. */
static bool read_text(struct json_reader *json, struct body_text *text, bool *bad_text)
{
    struct json_text read;
    *text = (struct body_text){0};
    if (json_read_null(json))
        return true;
    if (json_peek(json) != JSON_STRING) {
        json_skip(json);
        return false;
    }
    if (!json_read_string(json, &read))
        return false;
    *text = (struct body_text){read.data, read.size};
    if (read.replaced)
        *bad_text = true;
    return true;
}

static bool read_type(const struct languages *languages, struct json_reader *json,
                      struct judge_submission *submission)
{
    struct body_text type;
    bool ignored = false;
    if (!read_text(json, &type, &ignored) || type.data == NULL || strlen(type.data) != type.size)
        return false;
    submission->language = languages_find(languages, type.data);
    return submission->language != NULL || strcmp(type.data, "math") == 0;
}

/* Texts by name. */
static bool are_options(struct json_reader *json)
{
    struct json_text text;
    json_read_object(json);
    while (json_next_key(json, &text))
        if (json_peek(json) != JSON_STRING || !json_read_string(json, &text))
            return false;
    return true;
}

/* They are checked in a copy, for reading changes them; nobody but error cases uses them. */
static bool read_options(struct json_reader *json, struct body_text *options)
{
    struct json_reader copy_reader;
    char *raw;
    size_t size;
    *options = (struct body_text){0};
    if (json_read_null(json))
        return true;
    bool is_object = json_peek(json) == JSON_OBJECT;
    if (!json_read_raw(json, &raw, &size) || !is_object)
        return false;
    char *copy = malloc(size);
    if (copy == NULL)
        return false;
    memcpy(copy, raw, size);
    json_reader_init(&copy_reader, copy, size, 0);
    bool good = are_options(&copy_reader);
    json_reader_free(&copy_reader);
    free(copy);
    *options = (struct body_text){raw, size};
    return good;
}

static bool read_submission(const struct languages *languages, struct json_reader *json,
                            struct judge_submission *out)
{
    enum { SUB_ID, TYPE, OPTIONS, SOLUTION, INPUT, EXPECTED, FIELDS };
    static const char *const names[FIELDS] = {"sub_id",   "type",  "options",
                                              "solution", "input", "expected_output"};
    bool good[FIELDS] = {[SUB_ID] = true, [OPTIONS] = true, [INPUT] = true, [EXPECTED] = true};
    struct json_text key;
    if (json_peek(json) != JSON_OBJECT) {
        json_skip(json);
        return false;
    }
    for (json_read_object(json); json_next_key(json, &key);) {
        int which = 0;
        while (which < FIELDS && !json_text_equal(key, names[which]))
            which++;
        if (which == SUB_ID)
            good[which] = read_text(json, &out->sub_id, &out->bad_text);
        else if (which == TYPE)
            good[which] = read_type(languages, json, out);
        else if (which == OPTIONS)
            good[which] = read_options(json, &out->options);
        else if (which == SOLUTION)
            good[which] =
                read_text(json, &out->solution, &out->bad_text) && out->solution.data != NULL;
        else if (which == INPUT)
            good[which] = read_text(json, &out->input, &out->bad_text);
        else if (which == EXPECTED)
            good[which] = read_text(json, &out->expected_output, &out->bad_text);
    }
    for (int i = 0; i < FIELDS; i++)
        if (!good[i])
            return false;
    return true;
}

/* One more at the end; NULL when memory is gone. */
static struct judge_submission *add_submission(struct judge_request *out, size_t *room)
{
    if (out->count == *room) {
        size_t more = *room == 0 ? 16 : *room + *room / 2;
        void *grown = realloc(out->submissions, more * sizeof(*out->submissions));
        if (grown == NULL)
            return NULL;
        out->submissions = grown;
        *room = more;
    }
    out->submissions[out->count] = (struct judge_submission){0};
    return &out->submissions[out->count++];
}

static bool read_submissions(const struct languages *languages, struct json_reader *json,
                             struct judge_request *out)
{
    size_t room = 0;
    bool good = true;
    free(out->submissions);
    out->submissions = NULL;
    out->count = 0;
    if (json_peek(json) != JSON_ARRAY) {
        json_skip(json);
        return false;
    }
    for (json_read_array(json); json_next_item(json);) {
        struct judge_submission *one = good ? add_submission(out, &room) : NULL;
        if (one == NULL) {
            json_skip(json);
            good = false;
        } else {
            good = read_submission(languages, json, one);
        }
    }
    return good && out->count > 0;
}

static bool read_batch(const struct languages *languages, struct json_reader *json,
                       struct judge_request *out)
{
    struct json_text key;
    struct body_text type = {0};
    bool good_id = true, good_type = true, good_list = false, bad_id = false, ignored = false;
    if (json_peek(json) != JSON_OBJECT) {
        json_skip(json);
        return false;
    }
    for (json_read_object(json); json_next_key(json, &key);) {
        if (json_text_equal(key, "sub_id"))
            good_id = read_text(json, &out->sub_id, &bad_id);
        else if (json_text_equal(key, "type"))
            good_type = read_text(json, &type, &ignored) && type.size == strlen("batch") &&
                        memcmp(type.data, "batch", type.size) == 0;
        else if (json_text_equal(key, "submissions"))
            good_list = read_submissions(languages, json, out);
    }
    return good_id && good_type && good_list;
}

static bool read_one(const struct languages *languages, struct json_reader *json,
                     struct judge_request *out)
{
    out->submissions = calloc(1, sizeof(*out->submissions));
    out->count = 1;
    return out->submissions != NULL && read_submission(languages, json, out->submissions);
}

static bool read_body(const struct languages *languages, enum judge_body_kind kind, char *body,
                      size_t size, struct judge_request *out)
{
    struct json_reader *json = malloc(sizeof(*json));
    struct cj_error ignored;
    if (json == NULL)
        return false;
    out->copies = json;
    json_reader_init(json, body, size, 0);
    bool good =
        kind == JUDGE_BODY_ONE ? read_one(languages, json, out) : read_batch(languages, json, out);
    return good && json_read_end(json) && json_reader_check(json, &ignored) == 0;
}

/* ---- public ---- */

bool judge_request_is_json(const char *content_type)
{
    if (content_type == NULL || content_type[0] == '\0')
        return true;
    size_t length = strcspn(content_type, "; \t");
    if (length < strlen("application/") ||
        strncasecmp(content_type, "application/", strlen("application/")) != 0)
        return false;
    const char *subtype = content_type + strlen("application/");
    length -= strlen("application/");
    return (length == 4 && strncasecmp(subtype, "json", 4) == 0) ||
           (length > 5 && strncasecmp(subtype + length - 5, "+json", 5) == 0);
}

enum judge_request_outcome judge_request_parse(const struct languages *languages,
                                               enum judge_body_kind kind, bool is_json, char *body,
                                               size_t size, struct judge_request *out,
                                               struct buf *errors)
{
    *out = (struct judge_request){.body = body};
    /* json.loads() takes bytes for "utf-8-sig" when they begin so */
    if (is_json && size >= 3 && memcmp(body, "\xef\xbb\xbf", 3) == 0) {
        body += 3;
        size -= 3;
    }
    struct judge_invalid_body invalid = {languages, kind == JUDGE_BODY_BATCH, NULL, size};
    if (!judge_invalid_is_utf8(body, size))
        return JUDGE_REQUEST_UNREADABLE;
    if (size > 0 && (invalid.body = malloc(size)) == NULL)
        return JUDGE_REQUEST_NO_MEMORY;
    if (size > 0)
        memcpy(invalid.body, body, size);
    enum judge_request_outcome outcome = JUDGE_REQUEST_GOOD;
    if (!is_json && size > 0)
        judge_invalid_text(&invalid, errors), outcome = JUDGE_REQUEST_INVALID;
    else if (!read_body(languages, kind, body, size, out))
        outcome = judge_invalid_explain(&invalid, errors) ? JUDGE_REQUEST_INVALID
                                                          : JUDGE_REQUEST_NO_MEMORY;
    free(invalid.body);
    return outcome;
}

void judge_request_free(struct judge_request *request)
{
    if (request->copies != NULL)
        json_reader_free(request->copies);
    free(request->copies);
    free(request->submissions);
    free(request->body);
    *request = (struct judge_request){0};
}
