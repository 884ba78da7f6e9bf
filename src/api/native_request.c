#include "native_request.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

enum {
    SHOWN_DEFAULT = 1000,
    FILES_MAX = 1000,
    FILE_NAME_MAX = 1024,     /* bytes of a file's name, folders included */
    FILE_COMPONENT_MAX = 255, /* NAME_MAX of every file system that a work directory may be on */
};

/* ---- scalars ---- */

static bool read_text(struct json_reader *json, struct body_text *out)
{
    struct json_text text;
    if (!json_read_string(json, &text))
        return false;
    *out = (struct body_text){text.data, text.size};
    return true;
}

/* Text without NUL, for names. */
static bool read_name(struct json_reader *json, struct body_text *out)
{
    if (!read_text(json, out))
        return false;
    if (out->size == 0 || strlen(out->data) != out->size)
        return json_fail(json, "must be a text without NUL that is not empty");
    return true;
}

/* A whole number of a unit that is 1 or more. */
static bool read_amount(struct json_reader *json, uint64_t unit, uint64_t *out)
{
    uint64_t value = 0;
    if (!json_read_uint64(json, &value))
        return false;
    if (value == 0)
        return json_fail(json, "must be 1 or more (absent: the default)");
    if (value > INT64_MAX / unit)
        return json_fail(json, "is too large");
    *out = value * unit;
    return true;
}

static bool read_time(struct json_reader *json, int64_t *out)
{
    uint64_t ns = 0;
    if (!read_amount(json, NS_PER_MS, &ns))
        return false;
    *out = (int64_t)ns;
    return true;
}

static bool read_tolerance(struct json_reader *json, double *out)
{
    if (!json_read_double(json, out))
        return false;
    return *out >= 0 || json_fail(json, "must not be negative");
}

static bool unknown(struct json_reader *json)
{
    return json_fail(json, "there is no such field");
}

/* ---- parts ---- */

static bool read_limits(struct json_reader *json, struct native_request *request)
{
    struct json_text key;
    struct exec_limits *limits = &request->limits;
    json_read_object(json);
    while (json_next_key(json, &key)) {
        if (json_text_equal(key, "cpu_ms"))
            read_time(json, &limits->cpu_ns);
        else if (json_text_equal(key, "wall_ms"))
            read_time(json, &limits->wall_ns);
        else if (json_text_equal(key, "memory_bytes"))
            read_amount(json, 1, &limits->memory_bytes);
        else if (json_text_equal(key, "stack_bytes"))
            read_amount(json, 1, &limits->stack_bytes);
        else if (json_text_equal(key, "processes"))
            read_amount(json, 1, &limits->processes);
        else if (json_text_equal(key, "file_bytes"))
            read_amount(json, 1, &limits->file_size_bytes);
        else if (json_text_equal(key, "open_files"))
            read_amount(json, 1, &limits->open_files);
        else if (json_text_equal(key, "output_bytes"))
            read_amount(json, 1, &request->output_bytes);
        else
            unknown(json);
    }
    return json->failure == JSON_OK;
}

static bool read_mode(struct json_reader *json, enum compare_mode *out)
{
    struct json_text text;
    if (!json_read_string(json, &text))
        return false;
    for (int i = 0; compare_mode_names[i] != NULL; i++) {
        if (json_text_equal(text, compare_mode_names[i])) {
            *out = (enum compare_mode)i;
            return true;
        }
    }
    return json_fail(json, "must be exact, strip, lines, tokens or floats");
}

static bool read_compare(struct json_reader *json, struct compare_options *compare)
{
    struct json_text key;
    if (json_peek(json) == JSON_STRING)
        return read_mode(json, &compare->mode);
    json_read_object(json);
    while (json_next_key(json, &key)) {
        if (json_text_equal(key, "mode"))
            read_mode(json, &compare->mode);
        else if (json_text_equal(key, "absolute_tolerance"))
            read_tolerance(json, &compare->absolute_tolerance);
        else if (json_text_equal(key, "relative_tolerance"))
            read_tolerance(json, &compare->relative_tolerance);
        else if (json_text_equal(key, "ignore_case"))
            json_read_bool(json, &compare->ignore_case);
        else if (json_text_equal(key, "line_end_blanks_count"))
            json_read_bool(json, &compare->line_end_blanks_count);
        else if (json_text_equal(key, "empty_lines_at_end_count"))
            json_read_bool(json, &compare->empty_lines_at_end_count);
        else
            unknown(json);
    }
    return json->failure == JSON_OK;
}

static bool read_output(struct json_reader *json, struct native_request *request)
{
    struct json_text key;
    json_read_object(json);
    while (json_next_key(json, &key)) {
        if (json_text_equal(key, "stdout_bytes"))
            json_read_uint64(json, &request->stdout_shown);
        else if (json_text_equal(key, "stderr_bytes"))
            json_read_uint64(json, &request->stderr_shown);
        else if (json_text_equal(key, "sha256"))
            json_read_bool(json, &request->with_sha256);
        else
            unknown(json);
    }
    return json->failure == JSON_OK;
}

static bool read_language(struct json_reader *json, const struct languages *languages,
                          struct native_request *request)
{
    struct body_text name;
    if (!read_name(json, &name))
        return false;
    request->language = languages_find(languages, name.data);
    return request->language != NULL ||
           json_fail(json, "there is no language '%.40s': see GET /languages", name.data);
}

/* ---- lists ---- */

/* Makes room for one more of a growing list. */
static void *grow(void *list, size_t count, size_t item_size)
{
    if ((count & (count - 1)) != 0) /* full only at powers of two */
        return list;
    return realloc(list, (count == 0 ? 1 : 2 * count) * item_size);
}

static bool add_file(struct json_reader *json, struct native_request *request, const char *name,
                     struct body_text text)
{
    struct judge_file *files = grow(request->files, request->file_count, sizeof(*files));
    if (files == NULL)
        return json_fail(json, "out of memory");
    request->files = files;
    if (request->file_count >= FILES_MAX)
        return json_fail(json, "more than %d files", FILES_MAX);
    files[request->file_count++] = (struct judge_file){name, text.data, text.size};
    return true;
}

/* NULL, or what is wrong with a name: it is to lead to a file below the work directory, and no other name may
 * lead to the same one. */
static const char *fault_of_name(struct json_text name)
{
    if (name.size == 0 || strlen(name.data) != name.size)
        return "the name of a file must not be empty or hold a NUL";
    if (name.size > FILE_NAME_MAX)
        return "the name of a file must not have more than 1024 bytes";
    for (const char *part = name.data;; part++) {
        size_t length = strcspn(part, "/");
        if (length == 0)
            return "the name of a file must be relative, without // or a / at its end";
        if (length <= 2 && memcmp(part, "..", length) == 0)
            return "the name of a file must not have . or .. in it";
        if (length > FILE_COMPONENT_MAX)
            return "no part of a file's name may have more than 255 bytes";
        part += length;
        if (*part == '\0')
            return NULL;
    }
}

/* {"main.cpp":"...", "util.h":"..."} */
static bool read_files(struct json_reader *json, struct native_request *request)
{
    struct json_text key;
    struct body_text text;
    json_read_object(json);
    while (json_next_key(json, &key)) {
        const char *fault = fault_of_name(key);
        if (fault != NULL)
            return json_fail(json, "%s", fault);
        if (!read_text(json, &text) || !add_file(json, request, key.data, text))
            return false;
    }
    return json->failure == JSON_OK;
}

static bool read_case(struct json_reader *json, struct native_case *one)
{
    struct json_text key;
    json_read_object(json);
    while (json_next_key(json, &key)) {
        if (json_text_equal(key, "id"))
            read_text(json, &one->id);
        else if (json_text_equal(key, "input"))
            read_text(json, &one->input);
        else if (json_text_equal(key, "input_file"))
            read_name(json, &one->input_file);
        else if (json_text_equal(key, "expected"))
            read_text(json, &one->expected);
        else if (json_text_equal(key, "expected_file"))
            read_name(json, &one->expected_file);
        else
            unknown(json);
    }
    if (json->failure == JSON_OK && one->input.data != NULL && one->input_file.data != NULL)
        return json_fail(json, "input and input_file exclude each other");
    if (json->failure == JSON_OK && one->expected.data != NULL && one->expected_file.data != NULL)
        return json_fail(json, "expected and expected_file exclude each other");
    return json->failure == JSON_OK;
}

static bool read_cases(struct json_reader *json, struct native_request *request)
{
    json_read_array(json);
    while (json_next_item(json)) {
        struct native_case *cases = grow(request->cases, request->case_count, sizeof(*cases));
        if (cases == NULL)
            return json_fail(json, "out of memory");
        request->cases = cases;
        cases[request->case_count] = (struct native_case){0};
        if (!read_case(json, &cases[request->case_count++]))
            return false;
    }
    return json->failure == JSON_OK;
}

/* ---- a request ---- */

/* The main source is the one that is called as the language wants it, else the first. */
static void put_main_source_first(struct native_request *request)
{
    for (size_t i = 1; i < request->file_count; i++) {
        if (strcmp(request->files[i].name, request->language->source) != 0)
            continue;
        struct judge_file main_file = request->files[i];
        request->files[i] = request->files[0];
        request->files[0] = main_file;
        return;
    }
}

/* In the order of their paths' parts: what lies below a name comes next to it. */
static int compare_names(const void *a, const void *b)
{
    const unsigned char *one = *(const unsigned char *const *)a;
    const unsigned char *other = *(const unsigned char *const *)b;
    while (*one != '\0' && *one == *other)
        one++, other++;
    int left = *one == '/' ? 1 : *one == '\0' ? 0 : *one + 1;
    int right = *other == '/' ? 1 : *other == '\0' ? 0 : *other + 1;
    return left - right;
}

/* A file can be there once, and is no folder of another. The first has the name that the language wants. */
static bool check_names(struct json_reader *json, const struct native_request *request)
{
    bool fits = true;
    if (request->file_count < 2)
        return true;
    const char **names = calloc(request->file_count, sizeof(*names));
    if (names == NULL)
        return json_fail(json, "out of memory");
    names[0] = request->language->source;
    for (size_t i = 1; i < request->file_count; i++)
        names[i] = request->files[i].name;
    qsort(names, request->file_count, sizeof(*names), compare_names);
    for (size_t i = 1; fits && i < request->file_count; i++) {
        size_t length = strlen(names[i - 1]);
        if (strncmp(names[i - 1], names[i], length) != 0)
            continue;
        if (names[i][length] == '\0')
            fits = json_fail(json, "files.%.300s: is there twice", names[i]);
        else if (names[i][length] == '/')
            fits = json_fail(json, "files.%.300s: '%.300s' is a file", names[i], names[i - 1]);
    }
    free(names);
    return fits;
}

/* What the fields say together. */
static bool check_request(struct json_reader *json, enum native_body_kind kind,
                          struct native_request *request)
{
    if (json->failure != JSON_OK)
        return false;
    if (request->artifact.data != NULL) {
        if (request->language != NULL || request->file_count > 0)
            return json_fail(json, "artifact takes the place of language, source and files");
    } else if (request->language == NULL) {
        return json_fail(json, kind == NATIVE_BUILD ? "language is missing"
                                                    : "language (or artifact) is missing");
    } else if (request->file_count == 0) {
        return json_fail(json, "source (or files) is missing");
    }
    if (kind != NATIVE_BUILD && request->case_count == 0)
        return json_fail(json, "cases is missing or empty");
    put_main_source_first(request);
    return check_names(json, request);
}

static bool read_source(struct json_reader *json, struct native_request *request)
{
    struct body_text text;
    if (!read_text(json, &text))
        return false;
    if (request->file_count > 0)
        return json_fail(json, "source and files exclude each other");
    return add_file(json, request, "", text);
}

static bool read_stop(struct json_reader *json, bool *first)
{
    struct json_text text;
    if (!json_read_string(json, &text))
        return false;
    *first = json_text_equal(text, "first_failure");
    return *first || json_text_equal(text, "never") ||
           json_fail(json, "must be never or first_failure");
}

static bool read_request(struct json_reader *json, const struct languages *languages,
                         enum native_body_kind kind, struct native_request *request)
{
    struct json_text key;
    bool judges = kind != NATIVE_BUILD;
    request->stdout_shown = request->stderr_shown = SHOWN_DEFAULT;
    request->compare.mode = COMPARE_LINES;
    json_read_object(json);
    while (json_next_key(json, &key)) {
        if (json_text_equal(key, "id"))
            read_text(json, &request->id);
        else if (json_text_equal(key, "language"))
            read_language(json, languages, request);
        else if (json_text_equal(key, "source"))
            read_source(json, request);
        else if (json_text_equal(key, "files") && request->file_count == 0)
            read_files(json, request);
        else if (json_text_equal(key, "files"))
            json_fail(json, "source and files exclude each other");
        else if (json_text_equal(key, "deadline_ms"))
            read_time(json, &request->deadline_ns);
        else if (judges && json_text_equal(key, "artifact"))
            read_name(json, &request->artifact);
        else if (judges && json_text_equal(key, "limits"))
            read_limits(json, request);
        else if (judges && json_text_equal(key, "compare"))
            read_compare(json, &request->compare);
        else if (judges && json_text_equal(key, "stop"))
            read_stop(json, &request->stop_at_first_failure);
        else if (judges && json_text_equal(key, "dedupe"))
            json_read_bool(json, &request->dedupe);
        else if (judges && json_text_equal(key, "stream"))
            json_read_bool(json, &request->stream);
        else if (judges && json_text_equal(key, "output"))
            read_output(json, request);
        else if (judges && json_text_equal(key, "cases"))
            read_cases(json, request);
        else
            unknown(json);
    }
    return check_request(json, kind, request);
}

static struct native_request *add_request(struct native_batch *batch)
{
    struct native_request *requests = grow(batch->requests, batch->count, sizeof(*requests));
    if (requests == NULL)
        return NULL;
    batch->requests = requests;
    requests[batch->count] = (struct native_request){0};
    return &requests[batch->count++];
}

static bool read_requests(struct json_reader *json, const struct languages *languages,
                          struct native_batch *out)
{
    json_read_array(json);
    while (json_next_item(json)) {
        struct native_request *request = add_request(out);
        if (request == NULL)
            return json_fail(json, "out of memory");
        if (!read_request(json, languages, NATIVE_JUDGE, request))
            return false;
        if (request->stream)
            return json_fail(json, "stream stands beside submissions");
    }
    return json->failure == JSON_OK && (out->count > 0 || json_fail(json, "must not be empty"));
}

static bool read_batch(struct json_reader *json, const struct languages *languages,
                       struct native_batch *out)
{
    struct json_text key;
    json_read_object(json);
    while (json_next_key(json, &key)) {
        if (json_text_equal(key, "submissions") && out->count == 0)
            read_requests(json, languages, out);
        else if (json_text_equal(key, "stream"))
            json_read_bool(json, &out->stream);
        else
            unknown(json);
    }
    return json->failure == JSON_OK &&
           (out->count > 0 || json_fail(json, "submissions is missing"));
}

/* ---- public ---- */

int native_request_parse(const struct languages *languages, enum native_body_kind kind, char *body,
                         size_t size, struct native_batch *out, struct cj_error *err)
{
    *out = (struct native_batch){.body = body};
    struct json_reader *json = &out->reader;
    json_reader_init(json, body, size, JSON_REJECT_INVALID_UTF8 | JSON_REJECT_LONE_SURROGATES);
    if (kind == NATIVE_BATCH) {
        read_batch(json, languages, out);
    } else {
        struct native_request *request = add_request(out);
        if (request == NULL)
            json_fail(json, "out of memory");
        else if (read_request(json, languages, kind, request))
            out->stream = request->stream;
    }
    json_read_end(json);
    return json_reader_check(json, err);
}

void native_batch_free(struct native_batch *batch)
{
    for (size_t i = 0; i < batch->count; i++) {
        free(batch->requests[i].files);
        free(batch->requests[i].cases);
    }
    free(batch->requests);
    if (batch->body != NULL)
        json_reader_free(&batch->reader);
    free(batch->body);
    *batch = (struct native_batch){0};
}
