#include "artefact_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct judge_artefact *artefact_alloc(const struct language *language, size_t count)
{
    struct judge_artefact *artefact =
        calloc(1, sizeof(*artefact) + count * sizeof(artefact->files[0]));
    if (artefact == NULL)
        return NULL;
    artefact->language = language;
    artefact->owners = 1;
    artefact->count = count;
    return artefact;
}

struct judge_artefact *judge_artefact_share(struct judge_artefact *artefact)
{
    __atomic_add_fetch(&artefact->owners, 1, __ATOMIC_RELAXED);
    return artefact;
}

void judge_artefact_release(struct judge_artefact *artefact)
{
    if (artefact == NULL || __atomic_sub_fetch(&artefact->owners, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    for (size_t i = 0; i < artefact->count; i++)
        exec_output_free(&artefact->files[i]);
    free(artefact);
}

const struct exec_output *judge_artefact_files(const struct judge_artefact *artefact, size_t *count)
{
    *count = artefact->count;
    return artefact->files;
}

const struct language *judge_artefact_language(const struct judge_artefact *artefact)
{
    return artefact->language;
}

static int copy_file(struct exec_output *to, const char *name, const char *data, size_t size)
{
    to->name = strdup(name);
    to->data = size > 0 ? malloc(size) : NULL;
    to->size = size;
    if (to->name == NULL || (to->data == NULL && size > 0))
        return -1;
    if (size > 0)
        memcpy(to->data, data, size);
    return 0;
}

int judge_artefact_new(const struct language *language, const struct exec_output *files,
                       size_t count, struct judge_artefact **out, struct cj_error *err)
{
    struct judge_artefact *artefact = artefact_alloc(language, count);
    bool complete = artefact != NULL;
    for (size_t i = 0; complete && i < count; i++)
        complete = copy_file(&artefact->files[i], files[i].name, files[i].data, files[i].size) == 0;
    if (complete) {
        *out = artefact;
        return 0;
    }
    judge_artefact_release(artefact);
    return error_set(err, ERROR_SYSTEM, ENOMEM, "keep a program: out of memory");
}

struct judge_artefact *artefact_from_sources(const struct judge_program *program)
{
    struct judge_artefact *artefact = artefact_alloc(program->language, program->file_count);
    for (size_t i = 0; artefact != NULL && i < program->file_count; i++) {
        const struct judge_file *file = &program->files[i];
        const char *name = i == 0 ? program->language->source : file->name;
        if (copy_file(&artefact->files[i], name, file->data, file->size) < 0) {
            judge_artefact_release(artefact);
            return NULL;
        }
    }
    return artefact;
}

struct judge_artefact *artefact_from_build(const struct language *language,
                                           const struct exec_copy_out *kept, size_t count,
                                           struct exec_result *result)
{
    static uint64_t keys;
    struct judge_artefact *artefact = artefact_alloc(language, count);
    if (artefact != NULL)
        artefact->key = __atomic_add_fetch(&keys, 1, __ATOMIC_RELAXED);
    for (size_t i = 0; artefact != NULL && i < count; i++) {
        for (size_t k = 0; k < result->file_count; k++) {
            if (result->files[k].name == NULL || strcmp(result->files[k].name, kept[i].name) != 0)
                continue;
            artefact->files[i] = result->files[k];
            result->files[k] = (struct exec_output){0};
            break;
        }
        if (artefact->files[i].name == NULL) {
            judge_artefact_release(artefact);
            return NULL;
        }
    }
    return artefact;
}

const struct exec_output *judge_output(const struct exec_result *result, const char *name)
{
    for (size_t i = 0; i < result->file_count; i++)
        if (result->files[i].name != NULL && strcmp(result->files[i].name, name) == 0)
            return &result->files[i];
    return NULL;
}
