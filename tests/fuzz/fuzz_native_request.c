/* Bodies of /v1/judge, /v1/judge/batch and /v1/build; the first byte says which. What is taken has to
 * hold together, what is refused is the request's error and names something. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "native_request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void need(bool condition)
{
    if (!condition)
        abort();
}

static void check_text(struct body_text text, bool is_name)
{
    need(text.data != NULL || text.size == 0);
    need(text.data == NULL || text.data[text.size] == '\0');
    need(!is_name || text.data == NULL || (text.size > 0 && strlen(text.data) == text.size));
}

static void check_request(const struct native_request *request, enum native_body_kind kind)
{
    check_text(request->id, false);
    check_text(request->artifact, true);
    need((request->artifact.data != NULL) != (request->language != NULL));
    need((request->language != NULL) == (request->file_count > 0));
    need(kind == NATIVE_BUILD ? request->case_count == 0 : request->case_count > 0);
    need(kind != NATIVE_BUILD || request->artifact.data == NULL);
    for (size_t i = 0; i < request->file_count; i++) {
        need(request->files[i].name != NULL &&
             request->files[i].data[request->files[i].size] == '\0');
        need(request->file_count == 1 || request->files[i].name[0] != '\0');
    }
    for (size_t i = 0; i < request->case_count; i++) {
        const struct native_case *one = &request->cases[i];
        check_text(one->id, false);
        check_text(one->input, false);
        check_text(one->input_file, true);
        check_text(one->expected, false);
        check_text(one->expected_file, true);
        need(one->input.data == NULL || one->input_file.data == NULL);
        need(one->expected.data == NULL || one->expected_file.data == NULL);
    }
    need(request->limits.cpu_ns >= 0 && request->limits.wall_ns >= 0 && request->deadline_ns >= 0);
    need(request->compare.absolute_tolerance >= 0 && request->compare.relative_tolerance >= 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct languages *languages;
    struct native_batch batch;
    struct cj_error err = {0};
    if (languages == NULL)
        need(languages_load(NULL, &languages, &err) == 0);
    if (size == 0)
        return 0;
    enum native_body_kind kind = (enum native_body_kind)(data[0] % 3);
    size--;
    char *body = malloc(size > 0 ? size : 1);
    need(body != NULL);
    memcpy(body, data + 1, size);
    if (native_request_parse(languages, kind, body, size, &batch, &err) < 0) {
        need(err.domain == ERROR_REQUEST && err.message[0] != '\0');
    } else {
        need(batch.count > 0 && (kind == NATIVE_BATCH || batch.count == 1));
        for (size_t i = 0; i < batch.count; i++)
            check_request(&batch.requests[i], kind);
    }
    native_batch_free(&batch);
    return 0;
}
