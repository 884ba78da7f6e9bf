/* Bodies of the batch judging API. The first byte says which form and which Content-Type. What is taken
 * has to hold together; what is refused is refused with errors, in JSON, that name something. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/json_reader.h"
#include "judge_request.h"
#include "python_json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void need(bool condition)
{
    if (!condition)
        abort();
}

/* Touches all of it. */
static void check_text(struct body_text text)
{
    need(text.data != NULL || text.size == 0);
    need(text.data == NULL || text.data[text.size] == '\0');
    char *copy = malloc(text.size + 1);
    need(copy != NULL);
    if (text.size > 0)
        memcpy(copy, text.data, text.size);
    free(copy);
}

static void check_good(const struct judge_request *request, enum judge_body_kind kind)
{
    need(request->count > 0 && (kind == JUDGE_BODY_BATCH || request->count == 1));
    check_text(request->sub_id);
    for (size_t i = 0; i < request->count; i++) {
        const struct judge_submission *one = &request->submissions[i];
        need(one->solution.data != NULL);
        check_text(one->sub_id);
        check_text(one->solution);
        check_text(one->input);
        check_text(one->expected_output);
    }
}

/* The answer is JSON itself: {"detail":[{...}, ...]} */
static void check_errors(const struct buf *errors)
{
    static const char start[] = "{\"detail\":[{\"type\":\"";
    struct json_reader json;
    struct cj_error err;
    need(errors->failure == 0 && errors->size > sizeof(start) &&
         memcmp(errors->data, start, sizeof(start) - 1) == 0);
    char *copy = malloc(errors->size);
    need(copy != NULL);
    memcpy(copy, errors->data, errors->size);
    json_reader_init(&json, copy, errors->size, JSON_REJECT_INVALID_UTF8);
    json_skip(&json);
    json_read_end(&json);
    need(json_reader_check(&json, &err) == 0);
    json_reader_free(&json);
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct languages *languages;
    struct judge_request request;
    struct buf errors = {0};
    struct cj_error err;
    if (languages == NULL)
        need(languages_load(NULL, &languages, &err) == 0);
    if (size == 0)
        return 0;
    enum judge_body_kind kind = (data[0] & 1) != 0 ? JUDGE_BODY_BATCH : JUDGE_BODY_ONE;
    bool is_json = (data[0] & 2) == 0;
    size--;
    char *body = malloc(size > 0 ? size : 1);
    need(body != NULL);
    memcpy(body, data + 1, size);
    size_t at;
    const char *words;
    if (python_json_error(body, size, &at, &words))
        need(at <= size && words[0] != '\0');
    switch (judge_request_parse(languages, kind, is_json, body, size, &request, &errors)) {
    case JUDGE_REQUEST_GOOD:
        check_good(&request, kind);
        need(errors.size == 0);
        break;
    case JUDGE_REQUEST_INVALID:
        check_errors(&errors);
        break;
    case JUDGE_REQUEST_UNREADABLE:
        break;
    case JUDGE_REQUEST_NO_MEMORY:
        abort();
    }
    judge_request_free(&request);
    buf_free(&errors);
    return 0;
}
