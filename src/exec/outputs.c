/* Where a command's outputs go. */
#include "outputs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "errno_text.h"
#include "result.h"
#include "store/store.h"

int outputs_miss(struct outputs *outputs, const char *name, enum exec_file_error_kind kind,
                 const char *message, struct cj_error *err)
{
    outputs->problem = true;
    result_set_error(outputs->result, "%s", message);
    return result_add_file_error(outputs->result, name, kind, err, "%s", message);
}

static int add_draft(struct outputs *outputs, const char *name, struct keep *keep,
                     struct cj_error *err)
{
    size_t count = outputs->draft_count;
    struct cj_error why;
    if (keep_check(keep, &why) < 0)
        return outputs_miss(outputs, name,
                            keep->begun ? EXEC_COPY_OUT_COPY_CONTENT : EXEC_COPY_OUT_CREATE_FILE,
                            why.message, err);
    struct output_draft *drafts = result_grow(outputs->drafts, count, sizeof(*drafts));
    if (drafts == NULL)
        return error_set(err, ERROR_SYSTEM, ENOMEM, "keep a result: out of memory");
    outputs->drafts = drafts;
    drafts[outputs->draft_count++] = (struct output_draft){name, keep_take_draft(keep)};
    return 0;
}

int outputs_add(struct outputs *outputs, const char *name, struct keep *keep, struct cj_error *err)
{
    return keep->stored ? add_draft(outputs, name, keep, err)
                        : result_add_file(outputs->result, name, keep, err);
}

int outputs_replace(struct outputs *outputs, const char *name, struct keep *keep,
                    struct cj_error *err)
{
    if (!keep->stored)
        return result_replace_file(outputs->result, name, keep, err);
    size_t kept = 0;
    for (size_t i = 0; i < outputs->draft_count; i++) {
        if (strcmp(outputs->drafts[i].name, name) == 0)
            store_draft_discard(outputs->drafts[i].draft);
        else
            outputs->drafts[kept++] = outputs->drafts[i];
    }
    outputs->draft_count = kept;
    return add_draft(outputs, name, keep, err);
}

int outputs_store(struct outputs *outputs, struct cj_error *err)
{
    struct exec_result *result = outputs->result;
    for (size_t i = 0; i < outputs->draft_count; i++) {
        struct output_draft *output = &outputs->drafts[i];
        struct store_draft *draft = output->draft;
        char id[STORE_ID_SIZE];
        struct cj_error why;
        output->draft = NULL; /* ended in any case */
        if (store_draft_commit(draft, output->name, id, &why) == 0) {
            if (result_add_id(result, output->name, id, err) < 0)
                return -1;
            continue;
        }
        result->status = EXEC_FILE_ERROR;
        free(result->error);
        result->error = NULL;
        result_set_error(result, "%s", why.message);
    }
    return 0;
}

void outputs_free(struct outputs *outputs)
{
    for (size_t i = 0; i < outputs->draft_count; i++)
        store_draft_discard(outputs->drafts[i].draft);
    free(outputs->drafts);
    outputs->drafts = NULL;
    outputs->draft_count = 0;
}
