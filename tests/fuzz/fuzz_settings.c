/* The server's command line and environment: NUL-separated words, the variables behind an empty
 * one. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "settings.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { WORDS_MAX = 64 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char text[4096] = "";
    if (size >= sizeof(text) - 1)
        return 0;
    memcpy(text, data, size);
    log_silence();
    char program[] = "cjudge";
    char *argv[WORDS_MAX + 1] = {program};
    char *envp[WORDS_MAX + 1] = {NULL};
    int argc = 1;
    int variables = 0;
    bool in_environment = false;
    for (char *word = text; word <= text + size; word += strlen(word) + 1) {
        if (!in_environment && *word == '\0')
            in_environment = true;
        else if (in_environment && variables < WORDS_MAX)
            envp[variables++] = word;
        else if (!in_environment && argc < WORDS_MAX)
            argv[argc++] = word;
    }
    struct settings settings;
    struct cj_error err = {0};
    if (settings_load(argc, argv, envp, size % 2 == 0, &settings, &err) < 0) {
        if (err.message[0] == '\0')
            abort();
        return 0;
    }
    if (settings.parallelism == 0 || settings.default_processes == 0 || settings.http_addr == NULL)
        abort();
    (void)settings_warn(&settings);
    settings_free(&settings);
    return 0;
}
