/* The body of POST /run's answer.
 *
 * It is a text in which some values are left out: rest_answer_new() writes all but the outputs and
 * remembers, for each output, the place in the text where it goes. rest_answer_next() then copies
 * text up to the next such place, escapes the output there, and so on. */
#include "rest_result.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/json_writer.h"
#include "base/utf8.h"

/* An output to be put in at a place of the text. */
struct gap {
    size_t place;
    const char *data;
    size_t size;
    bool base64;
};

struct rest_answer {
    struct buf text;
    struct gap *gaps;
    size_t gap_count;

    size_t text_done;
    size_t gap_done;  /* gaps that are behind us */
    size_t data_done; /* of the gap that is next */
};

/* ---- outputs ---- */

static bool wants_base64(const struct rest_request *request, size_t index, const char *name)
{
    const struct rest_command *command = &request->commands[index];
    if (command->base64)
        return true;
    for (size_t i = 0; i < command->file_count; i++)
        if (command->files[i].kind == REST_FILE_COLLECTOR && command->files[i].base64 &&
            strcmp(command->files[i].text.data, name) == 0)
            return true;
    for (size_t i = 0; i < request->pipe_count; i++)
        if (request->pipes[i].base64 && request->pipes[i].in.index == (int64_t)index &&
            strcmp(request->pipes[i].name, name) == 0)
            return true;
    return false;
}

/* By name; of equal ones the last comes first, and stays. */
static int compare_outputs(const void *a, const void *b)
{
    const struct exec_output *first = *(const struct exec_output *const *)a;
    const struct exec_output *second = *(const struct exec_output *const *)b;
    int order = strcmp(first->name, second->name);
    return order != 0 ? order : first > second ? -1 : first < second;
}

static int compare_stored(const void *a, const void *b)
{
    const struct exec_stored *first = *(const struct exec_stored *const *)a;
    const struct exec_stored *second = *(const struct exec_stored *const *)b;
    int order = strcmp(first->name, second->name);
    return order != 0 ? order : first > second ? -1 : first < second;
}

/* Pointers to count items of item_size bytes, sorted; NULL: no memory. */
static void *sorted(const void *items, size_t count, size_t item_size,
                    int (*compare)(const void *, const void *))
{
    const void **list = malloc(count * sizeof(const void *));
    if (list == NULL)
        return NULL;
    for (size_t i = 0; i < count; i++)
        list[i] = (const char *)items + i * item_size;
    qsort(list, count, sizeof(*list), compare);
    return list;
}

static void put_output(struct json_writer *json, struct rest_answer *answer,
                       const struct exec_output *output, bool base64)
{
    json_key(json, output->name);
    json_raw(json, "\"\"", 2);
    if (output->size > 0)
        answer->gaps[answer->gap_count++] = (struct gap){.place = answer->text.size - 1,
                                                         .data = output->data,
                                                         .size = output->size,
                                                         .base64 = base64};
}

static int put_outputs(struct json_writer *json, struct rest_answer *answer,
                       const struct rest_request *request, size_t index,
                       const struct exec_result *result)
{
    size_t count = result->file_count;
    if (count == 0)
        return 0;
    auto_free struct exec_output **files =
        sorted(result->files, count, sizeof(*result->files), compare_outputs);
    if (files == NULL)
        return -1;
    json_key(json, "files");
    json_object_begin(json);
    for (size_t i = 0; i < count; i++)
        if (i == 0 || strcmp(files[i - 1]->name, files[i]->name) != 0)
            put_output(json, answer, files[i], wants_base64(request, index, files[i]->name));
    json_object_end(json);
    return 0;
}

static int put_stored(struct json_writer *json, const struct exec_result *result)
{
    size_t count = result->file_id_count;
    if (count == 0)
        return 0;
    auto_free struct exec_stored **files =
        sorted(result->file_ids, count, sizeof(*result->file_ids), compare_stored);
    if (files == NULL)
        return -1;
    json_key(json, "fileIds");
    json_object_begin(json);
    for (size_t i = 0; i < count; i++) {
        if (i > 0 && strcmp(files[i - 1]->name, files[i]->name) == 0)
            continue;
        json_key(json, files[i]->name);
        json_string(json, files[i]->id);
    }
    json_object_end(json);
    return 0;
}

/* ---- a result ---- */

static void put_text(struct json_writer *json, const char *key, const char *text)
{
    if (text == NULL || text[0] == '\0')
        return;
    json_key(json, key);
    json_string(json, text);
}

static void put_file_errors(struct json_writer *json, const struct exec_result *result)
{
    if (result->file_error_count == 0)
        return;
    json_key(json, "fileError");
    json_array_begin(json);
    for (size_t i = 0; i < result->file_error_count; i++) {
        const struct exec_file_error *error = &result->file_errors[i];
        json_object_begin(json);
        json_key(json, "name");
        json_string(json, error->name);
        json_key(json, "type");
        json_string(json, exec_file_error_name(error->kind));
        put_text(json, "message", error->message);
        json_object_end(json);
    }
    json_array_end(json);
}

static int put_result(struct json_writer *json, struct rest_answer *answer,
                      const struct rest_request *request, size_t index,
                      const struct exec_result *result)
{
    json_object_begin(json);
    json_key(json, "status");
    json_string(json, exec_status_name(result->status));
    json_key(json, "exitStatus");
    json_int(json, result->exit_status);
    put_text(json, "error", result->error);
    json_key(json, "time");
    json_int(json, result->cpu_ns);
    json_key(json, "memory");
    json_uint(json, result->memory_bytes);
    json_key(json, "runTime");
    json_int(json, result->wall_ns);
    if (request->commands[index].warm == REST_WARM_TOLD) {
        json_key(json, "warm");
        json_bool(json, result->warm);
    }
    if (result->process_peak != 0) {
        json_key(json, "procPeak");
        json_uint(json, result->process_peak);
    }
    if (put_outputs(json, answer, request, index, result) < 0 || put_stored(json, result) < 0)
        return -1;
    put_file_errors(json, result);
    json_object_end(json);
    return 0;
}

static int write_text(struct rest_answer *answer, const struct rest_request *request,
                      const struct exec_result *results)
{
    struct json_writer json = json_writer_to(&answer->text, JSON_COMPACT);
    json_array_begin(&json);
    for (size_t i = 0; i < request->command_count; i++)
        if (put_result(&json, answer, request, i, &results[i]) < 0)
            return -1;
    json_array_end(&json);
    buf_append_char(&answer->text, '\n');
    return answer->text.failure == 0 ? 0 : -1;
}

int rest_answer_new(const struct rest_request *request, const struct exec_result *results,
                    struct rest_answer **out, struct cj_error *err)
{
    size_t outputs = 0;
    for (size_t i = 0; i < request->command_count; i++)
        outputs += results[i].file_count;
    struct rest_answer *answer = calloc(1, sizeof(*answer));
    if (answer != NULL)
        answer->gaps = calloc(outputs + 1, sizeof(*answer->gaps));
    if (answer == NULL || answer->gaps == NULL || write_text(answer, request, results) < 0) {
        rest_answer_free(answer);
        return error_set(err, ERROR_SYSTEM, ENOMEM, "write the answer: out of memory");
    }
    *out = answer;
    return 0;
}

/* ---- pieces ---- */

size_t rest_answer_rest(const struct rest_answer *answer)
{
    size_t rest = 0;
    for (size_t i = answer->gap_done; i < answer->gap_count; i++)
        rest += answer->gaps[i].size;
    return rest - answer->data_done;
}

/* How much of size bytes can be escaped by itself: a piece does not end within a character that is
 * valid as a whole. */
static size_t whole_characters(const char *data, size_t size, size_t available)
{
    if (size == available)
        return size;
    for (size_t back = 1; back <= 3 && back <= size; back++) {
        const uint8_t *last = (const uint8_t *)data + size - back;
        if (*last < 0x80)
            break;
        if (*last >= 0xc0) { /* a character may begin here */
            size_t length = utf8_decode(last, available - size + back, NULL);
            return length > back ? size - back : size;
        }
    }
    return size;
}

/* Up to room bytes of the output that is next. Returns how many. */
static size_t put_gap(struct rest_answer *answer, size_t room, struct buf *out)
{
    const struct gap *gap = &answer->gaps[answer->gap_done];
    const char *data = gap->data + answer->data_done;
    size_t left = gap->size - answer->data_done;
    size_t size = left < room ? left : room;
    if (gap->base64) {
        if (size < left)
            size -= size % 3; /* padding only at the very end */
        buf_append_base64(out, data, size);
    } else {
        size = whole_characters(data, size, left);
        json_escape(out, data, size);
    }
    answer->data_done += size;
    if (answer->data_done == gap->size) {
        answer->gap_done++;
        answer->data_done = 0;
    }
    return size;
}

bool rest_answer_next(struct rest_answer *answer, struct buf *out)
{
    for (size_t room = REST_ANSWER_PIECE; room >= 16;) { /* more than a character and base64's 3 */
        bool more_gaps = answer->gap_done < answer->gap_count;
        size_t end = more_gaps ? answer->gaps[answer->gap_done].place : answer->text.size;
        size_t size = end - answer->text_done < room ? end - answer->text_done : room;
        buf_append(out, answer->text.data + answer->text_done, size);
        answer->text_done += size;
        room -= size;
        if (answer->text_done < end)
            continue;
        if (!more_gaps)
            return false;
        if (room >= 16)
            room -= put_gap(answer, room, out);
    }
    return true;
}

void rest_answer_free(struct rest_answer *answer)
{
    if (answer == NULL)
        return;
    buf_free(&answer->text);
    free(answer->gaps);
    free(answer);
}
