/* Filling in a result. */
#include "result.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* Grows by doubling at powers of two. */
void *result_grow(void *items, size_t count, size_t item_size)
{
    if ((count & (count - 1)) != 0)
        return items;
    return realloc(items, (count == 0 ? 1 : 2 * count) * item_size);
}

static int no_memory(struct cj_error *err)
{
    return error_set(err, ERROR_SYSTEM, ENOMEM, "keep a result: out of memory");
}

int result_add_file(struct exec_result *result, const char *name, struct keep *keep,
                    struct cj_error *err)
{
    struct exec_output *files = result_grow(result->files, result->file_count, sizeof(*files));
    if (files == NULL)
        return no_memory(err);
    result->files = files;
    struct exec_output *file = &files[result->file_count];
    *file = (struct exec_output){.name = strdup(name)};
    if (file->name == NULL)
        return no_memory(err);
    result->file_count++;
    return keep_take(keep, file, err);
}

int result_replace_file(struct exec_result *result, const char *name, struct keep *keep,
                        struct cj_error *err)
{
    for (size_t i = 0; i < result->file_count; i++) {
        struct exec_output *file = &result->files[i];
        if (strcmp(file->name, name) != 0)
            continue;
        struct exec_output other = {.name = file->name};
        if (keep_take(keep, &other, err) < 0)
            return -1;
        file->name = NULL;
        exec_output_free(file);
        *file = other;
        return 0;
    }
    return result_add_file(result, name, keep, err);
}

int result_add_id(struct exec_result *result, const char *name, const char *id,
                  struct cj_error *err)
{
    struct exec_stored *ids = result_grow(result->file_ids, result->file_id_count, sizeof(*ids));
    if (ids == NULL)
        return no_memory(err);
    result->file_ids = ids;
    struct exec_stored *stored = &ids[result->file_id_count++];
    *stored = (struct exec_stored){.name = strdup(name), .id = strdup(id)};
    return stored->name == NULL || stored->id == NULL ? no_memory(err) : 0;
}

int result_add_file_error(struct exec_result *result, const char *name,
                          enum exec_file_error_kind kind, struct cj_error *err, const char *format,
                          ...)
{
    struct exec_file_error *errors =
        result_grow(result->file_errors, result->file_error_count, sizeof(*errors));
    if (errors == NULL)
        return no_memory(err);
    result->file_errors = errors;
    struct exec_file_error *error = &errors[result->file_error_count];
    *error = (struct exec_file_error){.name = strdup(name), .kind = kind};
    va_list args;
    va_start(args, format);
    int printed = vasprintf(&error->message, format, args);
    va_end(args);
    if (error->name == NULL || printed < 0) {
        free(error->name);
        if (printed >= 0)
            free(error->message);
        return no_memory(err);
    }
    result->file_error_count++;
    return 0;
}

void result_set_error(struct exec_result *result, const char *format, ...)
{
    if (result->error != NULL)
        return;
    va_list args;
    va_start(args, format);
    if (vasprintf(&result->error, format, args) < 0)
        result->error = NULL;
    va_end(args);
}

void exec_output_free(struct exec_output *output)
{
    free(output->name);
    if (output->mapped > 0)
        munmap(output->data, output->mapped);
    else
        free(output->data);
    *output = (struct exec_output){0};
}

void exec_result_free(struct exec_result *result)
{
    for (size_t i = 0; i < result->file_count; i++)
        exec_output_free(&result->files[i]);
    for (size_t i = 0; i < result->file_id_count; i++) {
        free(result->file_ids[i].name);
        free(result->file_ids[i].id);
    }
    for (size_t i = 0; i < result->file_error_count; i++) {
        free(result->file_errors[i].name);
        free(result->file_errors[i].message);
    }
    free(result->files);
    free(result->file_ids);
    free(result->file_errors);
    free(result->error);
    *result = (struct exec_result){0};
}
