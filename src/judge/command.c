/* Command templates: placeholders in, words out. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "judge/language.h"

/* Words as they are found: their bytes, each with a NUL behind it. */
struct words {
    struct buf bytes;
    size_t count;
    bool open; /* a word has begun; it may be empty ('') */
};

static void end_word(struct words *words)
{
    if (!words->open)
        return;
    buf_append_char(&words->bytes, '\0');
    words->count++;
    words->open = false;
}

/* at: behind the opening brace. Returns what follows the closing one, NULL with err. */
static const char *expand(struct words *words, const char *at, const struct command_value *values,
                          size_t count, struct cj_error *err)
{
    size_t length = strcspn(at, "{}");
    if (at[length] != '}') {
        error_set(err, ERROR_CONFIG, 0, "'{' without '}': write '{{' for a brace");
        return NULL;
    }
    for (size_t i = 0; i < count; i++) {
        if (strlen(values[i].name) != length || memcmp(values[i].name, at, length) != 0)
            continue;
        buf_append_text(&words->bytes, values[i].value);
        words->open = true;
        return at + length + 1;
    }
    error_set(err, ERROR_CONFIG, 0, "{%.*s}: there is no such placeholder here",
              (int)(length < 40 ? length : 40), at);
    return NULL;
}

/* One step through the template: POSIX shell quoting without expansions. */
static const char *step(struct words *words, const char *at, char *quote,
                        const struct command_value *values, size_t count, struct cj_error *err)
{
    char c = *at;
    if ((c == '{' || c == '}') && at[1] == c) { /* doubled: itself */
        buf_append_char(&words->bytes, c);
        words->open = true;
        return at + 2;
    }
    if (c == '{')
        return expand(words, at + 1, values, count, err);
    if (c == '}') {
        error_set(err, ERROR_CONFIG, 0, "'}' without '{': write '}}' for a brace");
        return NULL;
    }
    if (*quote == '\0' && strchr(" \t\r\n", c) != NULL) {
        end_word(words);
        return at + 1;
    }
    words->open = true;
    if (c == *quote) {
        *quote = '\0';
        return at + 1;
    }
    if (*quote == '\0' && (c == '\'' || c == '"')) {
        *quote = c;
        return at + 1;
    }
    /* In double quotes a backslash is one unless it quotes " or itself, as in shlex(3py). */
    if (c == '\\' && *quote != '\'' && (*quote == '\0' || at[1] == '"' || at[1] == '\\')) {
        at++;
        if (*at == '\0') {
            error_set(err, ERROR_CONFIG, 0, "nothing follows the last backslash");
            return NULL;
        }
    }
    buf_append_char(&words->bytes, *at);
    return at + 1;
}

/* The list and the bytes it points to, in one allocation. */
static int give_list(struct words *words, char ***out, struct cj_error *err)
{
    if (buf_check(&words->bytes, err) < 0)
        return -1;
    size_t list_size = (words->count + 1) * sizeof(char *);
    char **list = malloc(list_size + words->bytes.size);
    if (list == NULL)
        return error_set(err, ERROR_SYSTEM, ENOMEM, "command: out of memory");
    char *bytes = (char *)list + list_size;
    if (words->bytes.size > 0)
        memcpy(bytes, words->bytes.data, words->bytes.size);
    for (size_t i = 0; i < words->count; i++) {
        list[i] = bytes;
        bytes += strlen(bytes) + 1;
    }
    list[words->count] = NULL;
    *out = list;
    return 0;
}

int command_words(const char *template, const struct command_value *values, size_t value_count,
                  char ***out, size_t *count, struct cj_error *err)
{
    struct words words = {0};
    char quote = '\0';
    const char *at = template;
    while (at != NULL && *at != '\0')
        at = step(&words, at, &quote, values, value_count, err);
    int done = at == NULL ? -1 : 0;
    if (done == 0 && quote != '\0')
        done = error_set(err, ERROR_CONFIG, 0, "a %c is not closed", quote);
    end_word(&words);
    if (done == 0 && words.count == 0)
        done = error_set(err, ERROR_CONFIG, 0, "an empty command");
    if (done == 0)
        done = give_list(&words, out, err);
    *count = words.count;
    buf_free(&words.bytes);
    return done;
}

int command_text(const char *template, const struct command_value *values, size_t value_count,
                 char **text, struct cj_error *err)
{
    struct words words = {0};
    const char *at = template;
    while (at != NULL && *at != '\0') {
        if ((*at == '{' || *at == '}') && at[1] != *at) {
            if (*at == '}')
                at = (error_set(err, ERROR_CONFIG, 0, "'}' without '{': write '}}' for a brace"),
                      NULL);
            else
                at = expand(&words, at + 1, values, value_count, err);
            continue;
        }
        buf_append_char(&words.bytes, *at);
        at += *at == '{' || *at == '}' ? 2 : 1;
    }
    if (at != NULL)
        return buf_take(&words.bytes, text, NULL, err);
    buf_free(&words.bytes);
    return -1;
}

static bool is_among(const char *word, const char *const *names, size_t count)
{
    const char *slash = strrchr(word, '/');
    const char *name = slash != NULL ? slash + 1 : word;
    for (size_t i = 0; i < count; i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

bool command_starts_sandbox(const char *template)
{
    static const char *const sandboxes[] = {"docker", "podman", "firejail", "bwrap", "nsjail"};
    static const char *const in_front[] = {"sudo",   "env",    "nice",    "ionice", "timeout",
                                           "setsid", "stdbuf", "taskset", "chrt",   "unshare"};
    const struct command_value values[] = {
        {"source", "{"}, {"workdir", "{"}, {"memory_mib", "{"}, {"stack_mib", "{"}, {"exe", "{"},
    };
    char **words;
    size_t count;
    struct cj_error err;
    if (command_words(template, values, COUNT_OF(values), &words, &count, &err) < 0)
        return false;
    bool found = is_among(words[0], sandboxes, COUNT_OF(sandboxes));
    if (!found && is_among(words[0], in_front, COUNT_OF(in_front)))
        for (size_t i = 1; i < count && !found && words[i][0] != '{'; i++)
            found = is_among(words[i], sandboxes, COUNT_OF(sandboxes));
    free(words);
    return found;
}
