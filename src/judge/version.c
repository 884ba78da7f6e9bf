/* A language's version, by its own words. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/utf8.h"
#include "judge/roster.h"

#define MIB (UINT64_C(1) << 20)

enum { OUTPUT_MAX = 4096 };

static bool is_break(char c)
{
    return c == '\n' || c == '\r';
}

void version_from_output(const char *data, size_t size, char version[static LANGUAGE_VERSION_SIZE])
{
    size_t used = 0;
    for (size_t at = 0; at < size && used < LANGUAGE_VERSION_SIZE - 1;) {
        if (is_break(data[at]) && used > 0)
            break;
        size_t length = utf8_decode((const uint8_t *)data + at, size - at, NULL);
        bool blank = isspace((unsigned char)data[at]) != 0;
        if (length == 0)
            version[used++] = '?';
        else if ((blank && used > 0) || (length == 1 && isgraph((unsigned char)data[at])))
            version[used++] = blank ? ' ' : data[at];
        else if (length > 1 && used + length < LANGUAGE_VERSION_SIZE) {
            memcpy(version + used, data + at, length);
            used += length;
        }
        at += length > 0 ? length : 1;
    }
    while (used > 0 && version[used - 1] == ' ')
        used--;
    version[used] = '\0';
}

void language_ask_version(struct container *container, const struct judge_settings *settings,
                          const struct language *language, uint64_t cpu_rate, int cancel_fd,
                          char version[static LANGUAGE_VERSION_SIZE])
{
    const struct command_value values[] = {
        {"source", language->source}, {"workdir", container_facts(container)->work_dir},
        {"memory_mib", "256"},        {"stack_mib", "64"},
        {"exe", language->exe},
    };
    const struct exec_file files[] = {
        {.kind = EXEC_FILE_CONTENT, .fd = -1},
        {.kind = EXEC_FILE_COLLECT, .fd = -1, .name = "output", .max = OUTPUT_MAX},
        {.kind = EXEC_FILE_COLLECT, .fd = -1, .name = "output", .max = OUTPUT_MAX},
    };
    struct exec_request request = {
        .files = files,
        .file_count = COUNT_OF(files),
        .limits = {.cpu_ns = 10 * NS_PER_S,
                   .wall_ns = cpu_rate > 0 ? 60 * NS_PER_S : 20 * NS_PER_S,
                   .memory_bytes = 1024 * MIB,
                   .processes = 128,
                   .open_files = 1024,
                   .cpu_rate = cpu_rate},
    };
    struct exec_result result;
    char **words;
    struct cj_error err;
    version[0] = '\0';
    if (language->version == NULL ||
        command_words(language->version, values, COUNT_OF(values) - (language->exe == NULL), &words,
                      &request.arg_count, &err) < 0)
        return;
    auto_free const char **env =
        language_environment(language, settings->env, settings->env_count, &request.env_count);
    request.env = env;
    request.args = (const char *const *)words;
    if (env != NULL) {
        exec_run(container, settings->exec, &request, cancel_fd, &result);
        const struct exec_output *output = judge_output(&result, "output");
        if (output != NULL && result.status == EXEC_ACCEPTED)
            version_from_output(output->data, output->size, version);
        exec_result_free(&result);
    }
    free(words);
}
