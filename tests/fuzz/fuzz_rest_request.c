/* Bodies of POST /run. What is taken has to hold together: every text ends with a NUL within reach, names
 * hold none, counts are bounded. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "rest_request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void need(bool condition)
{
    if (!condition)
        abort();
}

static void check_text(const struct rest_text *text, bool name)
{
    need(text->data[text->size] == '\0');
    need(!name || strlen(text->data) == text->size);
}

static size_t read_all(const char *const *words, size_t count)
{
    size_t sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += strlen(words[i]);
    return sum;
}

static void check_file(const struct rest_file *file)
{
    if (file->kind != REST_FILE_NULL)
        check_text(&file->text, file->kind != REST_FILE_CONTENT);
}

static void check_command(const struct rest_command *command, size_t size)
{
    size_t sum =
        read_all(command->args, command->arg_count) + read_all(command->env, command->env_count);
    need(command->arg_count > 0 && command->file_count <= REST_FILES_MAX);
    for (size_t i = 0; i < command->file_count; i++) {
        need(command->files[i].kind != REST_FILE_SYMLINK);
        check_file(&command->files[i]);
    }
    for (size_t i = 0; i < command->copy_in_count; i++) {
        need(command->copy_in[i].file.kind != REST_FILE_NULL);
        check_file(&command->copy_in[i].file);
        for (size_t k = 0; k < i && k < 8; k++)
            need(strcmp(command->copy_in[i].name, command->copy_in[k].name) != 0);
    }
    for (size_t i = 0; i < command->copy_out_count; i++)
        sum += strlen(command->copy_out[i].name);
    for (size_t i = 0; i < command->copy_out_cached_count; i++)
        sum += strlen(command->copy_out_cached[i].name);
    need(sum <= 3 * size); /* a byte that is no UTF-8 becomes three */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rest_request request;
    struct cj_error err = {0};
    char *body = malloc(size > 0 ? size : 1);
    need(body != NULL);
    memcpy(body, data, size);
    if (rest_request_read(body, size, &request, &err) < 0) {
        need(err.message[0] != '\0' && err.domain != ERROR_NONE);
    } else {
        need(request.command_count <= REST_COMMANDS_MAX && request.request_id != NULL);
        for (size_t i = 0; i < request.command_count; i++)
            check_command(&request.commands[i], size);
        for (size_t i = 0; i < request.pipe_count; i++)
            need(request.pipes[i].name != NULL);
    }
    rest_request_free(&request);
    return 0;
}
