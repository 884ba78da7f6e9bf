/* The body of POST /run as a structure. */
#include "rest_request.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- growing arrays ---- */

static void out_of_memory(struct json_reader *json)
{
    json_fail(json, "out of memory");
}

/* Room for one more item behind count, zeroed; NULL, and the reader has failed, when there may not be
 * more or memory is gone. Grows by doubling, at powers of two. */
static void *more(struct json_reader *json, void *items, size_t *count, size_t item_size,
                  size_t most)
{
    char **array = items; /* a pointer to whichever array it is */
    if (*count >= most) {
        json_fail(json, "more than %zu items", most);
        return NULL;
    }
    if ((*count & (*count - 1)) == 0) {
        void *larger = realloc(*array, (*count == 0 ? 1 : 2 * *count) * item_size);
        if (larger == NULL) {
            out_of_memory(json);
            return NULL;
        }
        *array = larger;
    }
    char *item = *array + (*count)++ * item_size;
    memset(item, 0, item_size);
    return item;
}

/* ---- texts ---- */

static void take(struct rest_text *out, struct json_text text)
{
    *out = (struct rest_text){text.data, text.size};
}

static bool no_nul(struct json_reader *json, struct json_text text)
{
    if (memchr(text.data, '\0', text.size) == NULL)
        return true;
    return json_fail(json, "holds a NUL byte");
}

/* A path, name, argument, variable or id. null is the empty text. */
static void read_word(struct json_reader *json, const char **word)
{
    struct json_text text = {0};
    *word = "";
    if (json_read_null(json) || !json_read_string(json, &text) || !no_nul(json, text))
        return;
    *word = text.data;
}

static void read_words(struct json_reader *json, const char ***words, size_t *count)
{
    *count = 0;
    if (!json_read_array(json))
        return;
    while (json_next_item(json)) {
        const char **word = more(json, words, count, sizeof(**words), REST_WORDS_MAX);
        if (word == NULL)
            return;
        read_word(json, word);
    }
}

/* "base64", or what means text. */
static void read_encoding(struct json_reader *json, bool *base64)
{
    struct json_text text = {0};
    *base64 = false;
    if (json_read_null(json) || !json_read_string(json, &text))
        return;
    *base64 = json_text_equal(text, "base64");
    if (!*base64 && text.size > 0 && !json_text_equal(text, "utf-8"))
        json_fail(json, "unknown encoding: only base64 and utf-8 are known");
}

/* ---- files ---- */

enum file_field {
    FILE_SYMLINK,
    FILE_SRC,
    FILE_CONTENT,
    FILE_ID,
    FILE_NAME,
    FILE_MAX,
    FILE_PIPE,
    FILE_ENCODING,
    FILE_STREAM_IN,
    FILE_STREAM_OUT,
    FILE_FIELDS,
};

static const char *const file_fields[FILE_FIELDS] = {
    [FILE_SYMLINK] = "symlink",    [FILE_SRC] = "src",
    [FILE_CONTENT] = "content",    [FILE_ID] = "fileId",
    [FILE_NAME] = "name",          [FILE_MAX] = "max",
    [FILE_PIPE] = "pipe",          [FILE_ENCODING] = "encoding",
    [FILE_STREAM_IN] = "streamIn", [FILE_STREAM_OUT] = "streamOut",
};

/* A file as it is written: which keys are there, for presence decides its kind. */
struct file_keys {
    bool has[FILE_FIELDS];
    struct json_text text[FILE_NAME + 1];
    int64_t max;
    bool pipe, base64, stream_in, stream_out;
};

static void read_file_key(struct json_reader *json, enum file_field field, struct file_keys *keys)
{
    keys->has[field] = !json_read_null(json);
    if (!keys->has[field])
        return;
    switch (field) {
    case FILE_MAX:
        json_read_int64(json, &keys->max);
        break;
    case FILE_PIPE:
        json_read_bool(json, &keys->pipe);
        break;
    case FILE_ENCODING:
        read_encoding(json, &keys->base64);
        break;
    case FILE_STREAM_IN:
        json_read_bool(json, &keys->stream_in);
        break;
    case FILE_STREAM_OUT:
        json_read_bool(json, &keys->stream_out);
        break;
    default:
        if (json_read_string(json, &keys->text[field]) && field != FILE_CONTENT)
            no_nul(json, keys->text[field]);
    }
}

/* The first that fits, in go-judge's order. */
static bool choose_file(const struct file_keys *keys, bool copy_in, struct rest_file *file)
{
    static const struct {
        enum file_field field;
        enum rest_file_kind kind;
    } forms[] = {
        {FILE_SYMLINK, REST_FILE_SYMLINK}, {FILE_SRC, REST_FILE_SRC},
        {FILE_CONTENT, REST_FILE_CONTENT}, {FILE_ID, REST_FILE_ID},
        {FILE_NAME, REST_FILE_COLLECTOR},
    };
    for (size_t i = 0; i < COUNT_OF(forms); i++) {
        enum file_field field = forms[i].field;
        if (!keys->has[field] || (field == FILE_NAME && !keys->has[FILE_MAX]))
            continue;
        *file = (struct rest_file){.kind = forms[i].kind,
                                   .pipe = keys->pipe,
                                   .base64 = keys->base64,
                                   .max = keys->max > 0 ? (uint64_t)keys->max : 0,
                                   .below_zero = keys->max < 0};
        take(&file->text, keys->text[field]);
        return field != FILE_SYMLINK || copy_in;
    }
    return false;
}

static void read_file(struct json_reader *json, bool copy_in, struct rest_file *file)
{
    struct file_keys keys = {0};
    struct json_text key;
    *file = (struct rest_file){.kind = REST_FILE_NULL};
    if (json_read_null(json)) {
        if (copy_in)
            json_fail(json, "file type is not valid for cmd: null");
        return;
    }
    if (!json_read_object(json))
        return;
    while (json_next_key(json, &key)) {
        int field = json_key_find(key, file_fields, FILE_FIELDS);
        if (field >= 0)
            read_file_key(json, (enum file_field)field, &keys);
    }
    if (!choose_file(&keys, copy_in, file))
        json_fail(json, "file type is not valid for cmd: %s",
                  keys.stream_in || keys.stream_out ? "streams are for /stream"
                  : keys.has[FILE_SYMLINK]          ? "symlink is for copyIn"
                                                    : "no src, content, fileId, or name and max");
}

static void read_files(struct json_reader *json, struct rest_command *command)
{
    command->file_count = 0;
    if (!json_read_array(json))
        return;
    while (json_next_item(json)) {
        struct rest_file *file = more(json, &command->files, &command->file_count,
                                      sizeof(*command->files), REST_FILES_MAX);
        if (file == NULL)
            return;
        read_file(json, false, file);
    }
}

/* ---- copies ---- */

static int by_name_and_place(const void *a, const void *b)
{
    const struct rest_copy_in *first = *(const struct rest_copy_in *const *)a;
    const struct rest_copy_in *second = *(const struct rest_copy_in *const *)b;
    int order = strcmp(first->name, second->name);
    return order != 0 ? order : first < second ? -1 : first > second;
}

/* Of a name that came several times the last one stays. */
static void keep_last(struct json_reader *json, struct rest_command *command)
{
    size_t count = command->copy_in_count;
    if (count < 2)
        return;
    struct rest_copy_in **sorted = malloc(count * sizeof(struct rest_copy_in *));
    if (sorted == NULL) {
        out_of_memory(json);
        return;
    }
    for (size_t i = 0; i < count; i++)
        sorted[i] = &command->copy_in[i];
    qsort(sorted, count, sizeof(struct rest_copy_in *), by_name_and_place);
    for (size_t i = 0; i + 1 < count; i++)
        if (strcmp(sorted[i]->name, sorted[i + 1]->name) == 0)
            sorted[i]->name = NULL;
    free(sorted);
    size_t kept = 0;
    for (size_t i = 0; i < count; i++)
        if (command->copy_in[i].name != NULL)
            command->copy_in[kept++] = command->copy_in[i];
    command->copy_in_count = kept;
}

static void read_copy_in(struct json_reader *json, struct rest_command *command)
{
    struct json_text key;
    command->copy_in_count = 0;
    if (!json_read_object(json))
        return;
    while (json_next_key(json, &key)) {
        struct rest_copy_in *item = more(json, &command->copy_in, &command->copy_in_count,
                                         sizeof(*command->copy_in), REST_NAMES_MAX);
        if (item == NULL || !no_nul(json, key))
            return;
        item->name = key.data;
        read_file(json, true, &item->file);
    }
    if (json->failure == JSON_OK)
        keep_last(json, command);
}

/* "name" or "name?". Cuts the mark off, in the body. */
static void read_copy_out(struct json_reader *json, struct exec_copy_out **items, size_t *count)
{
    *count = 0;
    if (!json_read_array(json))
        return;
    while (json_next_item(json)) {
        struct exec_copy_out *item = more(json, items, count, sizeof(**items), REST_NAMES_MAX);
        if (item == NULL)
            return;
        struct json_text text = {0};
        item->name = "";
        if (json_read_null(json) || !json_read_string(json, &text) || !no_nul(json, text))
            continue;
        item->optional = text.size > 0 && text.data[text.size - 1] == '?';
        if (item->optional) /* the body is ours, and so is what the reader copied of it */
            ((char *)(uintptr_t)text.data)[text.size - 1] = '\0';
        item->name = text.data;
    }
}

/* ---- commands ---- */

enum command_field {
    CMD_ARGS,
    CMD_ENV,
    CMD_FILES,
    CMD_TTY,
    CMD_CPU,
    CMD_REAL_CPU,
    CMD_CLOCK,
    CMD_MEMORY,
    CMD_STACK,
    CMD_PROCESSES,
    CMD_CPU_RATE,
    CMD_CPU_SET,
    CMD_COPY_IN,
    CMD_COPY_OUT,
    CMD_COPY_OUT_CACHED,
    CMD_COPY_OUT_MAX,
    CMD_COPY_OUT_DIR,
    CMD_COPY_OUT_TRUNCATE,
    CMD_STRICT_MEMORY,
    CMD_DATA_SEGMENT,
    CMD_ADDRESS_SPACE,
    CMD_ENCODING,
    CMD_WARM,
    CMD_FIELDS,
};

static const char *const command_fields[CMD_FIELDS] = {
    [CMD_ARGS] = "args",
    [CMD_ENV] = "env",
    [CMD_FILES] = "files",
    [CMD_TTY] = "tty",
    [CMD_CPU] = "cpuLimit",
    [CMD_REAL_CPU] = "realCpuLimit",
    [CMD_CLOCK] = "clockLimit",
    [CMD_MEMORY] = "memoryLimit",
    [CMD_STACK] = "stackLimit",
    [CMD_PROCESSES] = "procLimit",
    [CMD_CPU_RATE] = "cpuRateLimit",
    [CMD_CPU_SET] = "cpuSetLimit",
    [CMD_COPY_IN] = "copyIn",
    [CMD_COPY_OUT] = "copyOut",
    [CMD_COPY_OUT_CACHED] = "copyOutCached",
    [CMD_COPY_OUT_MAX] = "copyOutMax",
    [CMD_COPY_OUT_DIR] = "copyOutDir",
    [CMD_COPY_OUT_TRUNCATE] = "copyOutTruncate",
    [CMD_STRICT_MEMORY] = "strictMemoryLimit",
    [CMD_DATA_SEGMENT] = "dataSegmentLimit",
    [CMD_ADDRESS_SPACE] = "addressSpaceLimit",
    [CMD_ENCODING] = "encoding",
    [CMD_WARM] = "warm",
};

/* What two keys of a command decide together. */
struct aliases {
    uint64_t clock_ns, real_cpu_ns;
    bool strict_memory, data_segment;
};

static void read_cpu_set(struct json_reader *json, struct rest_command *command)
{
    read_word(json, &command->cpu_set);
    if (command->cpu_set[0] == '\0')
        command->cpu_set = NULL;
}

static void read_copy_out_dir(struct json_reader *json, struct rest_command *command)
{
    struct json_text text = {0};
    if (!json_read_null(json) && json_read_string(json, &text))
        command->copy_out_dir = text.size > 0;
}

static void read_warm(struct json_reader *json, enum rest_warm *warm)
{
    bool told;
    if (json_read_null(json))
        *warm = REST_WARM_UNSAID;
    else if (json_read_bool(json, &told))
        *warm = told ? REST_WARM_TOLD : REST_WARM_NEVER;
}

static void read_command_key(struct json_reader *json, enum command_field field,
                             struct rest_command *command, struct aliases *aliases)
{
    switch (field) {
    case CMD_ARGS:
        read_words(json, &command->args, &command->arg_count);
        break;
    case CMD_ENV:
        read_words(json, &command->env, &command->env_count);
        break;
    case CMD_FILES:
        read_files(json, command);
        break;
    case CMD_TTY:
        json_read_bool(json, &command->tty);
        break;
    case CMD_CPU:
        json_read_uint64(json, &command->cpu_ns);
        break;
    case CMD_REAL_CPU:
        json_read_uint64(json, &aliases->real_cpu_ns);
        break;
    case CMD_CLOCK:
        json_read_uint64(json, &aliases->clock_ns);
        break;
    case CMD_MEMORY:
        json_read_uint64(json, &command->memory_bytes);
        break;
    case CMD_STACK:
        json_read_uint64(json, &command->stack_bytes);
        break;
    case CMD_PROCESSES:
        json_read_uint64(json, &command->processes);
        break;
    case CMD_CPU_RATE:
        json_read_uint64(json, &command->cpu_rate);
        break;
    case CMD_CPU_SET:
        read_cpu_set(json, command);
        break;
    case CMD_COPY_IN:
        read_copy_in(json, command);
        break;
    case CMD_COPY_OUT:
        read_copy_out(json, &command->copy_out, &command->copy_out_count);
        break;
    case CMD_COPY_OUT_CACHED:
        read_copy_out(json, &command->copy_out_cached, &command->copy_out_cached_count);
        break;
    case CMD_COPY_OUT_MAX:
        json_read_uint64(json, &command->copy_out_max_bytes);
        break;
    case CMD_COPY_OUT_DIR:
        read_copy_out_dir(json, command);
        break;
    case CMD_COPY_OUT_TRUNCATE:
        json_read_bool(json, &command->copy_out_truncate);
        break;
    case CMD_STRICT_MEMORY:
        json_read_bool(json, &aliases->strict_memory);
        break;
    case CMD_DATA_SEGMENT:
        json_read_bool(json, &aliases->data_segment);
        break;
    case CMD_ADDRESS_SPACE:
        json_read_bool(json, &command->address_space);
        break;
    case CMD_ENCODING:
        read_encoding(json, &command->base64);
        break;
    case CMD_WARM:
        read_warm(json, &command->warm);
        break;
    case CMD_FIELDS:
        break;
    }
}

static void read_command(struct json_reader *json, struct rest_command *command)
{
    struct aliases aliases = {0};
    struct json_text key;
    bool present = !json_read_null(json);
    if (present && !json_read_object(json))
        return;
    while (present && json_next_key(json, &key)) {
        int field = json_key_find(key, command_fields, CMD_FIELDS);
        if (field >= 0)
            read_command_key(json, (enum command_field)field, command, &aliases);
    }
    command->wall_ns = aliases.real_cpu_ns > 0 ? aliases.real_cpu_ns : aliases.clock_ns;
    command->data_segment = aliases.strict_memory || aliases.data_segment;
    if (command->arg_count == 0)
        json_fail(json, "args: empty");
}

static void free_command(struct rest_command *command)
{
    free(command->args);
    free(command->env);
    free(command->files);
    free(command->copy_in);
    free(command->copy_out);
    free(command->copy_out_cached);
    *command = (struct rest_command){0};
}

static void read_commands(struct json_reader *json, struct rest_request *request)
{
    while (request->command_count > 0)
        free_command(&request->commands[--request->command_count]);
    if (!json_read_array(json))
        return;
    while (json_next_item(json)) {
        struct rest_command *command = more(json, &request->commands, &request->command_count,
                                            sizeof(*command), REST_COMMANDS_MAX);
        if (command == NULL)
            return;
        read_command(json, command);
    }
}

/* ---- pipes ---- */

enum pipe_field {
    PIPE_IN,
    PIPE_OUT,
    PIPE_PROXY,
    PIPE_NAME,
    PIPE_MAX,
    PIPE_COPYING,
    PIPE_ENCODING,
    PIPE_FIELDS
};

static const char *const pipe_fields[PIPE_FIELDS] = {
    [PIPE_IN] = "in",
    [PIPE_OUT] = "out",
    [PIPE_PROXY] = "proxy",
    [PIPE_NAME] = "name",
    [PIPE_MAX] = "max",
    [PIPE_COPYING] = "disableZeroCopy",
    [PIPE_ENCODING] = "encoding",
};

static void read_pipe_end(struct json_reader *json, struct rest_pipe_end *end)
{
    static const char *const fields[] = {"index", "fd"};
    struct json_text key;
    if (!json_read_object(json))
        return;
    while (json_next_key(json, &key)) {
        int field = json_key_find(key, fields, COUNT_OF(fields));
        if (field >= 0)
            json_read_int64(json, field == 0 ? &end->index : &end->fd);
    }
}

static void read_pipe_key(struct json_reader *json, enum pipe_field field, struct rest_pipe *pipe)
{
    int64_t max = 0;
    switch (field) {
    case PIPE_IN:
        read_pipe_end(json, &pipe->in);
        break;
    case PIPE_OUT:
        read_pipe_end(json, &pipe->out);
        break;
    case PIPE_PROXY:
        json_read_bool(json, &pipe->proxy);
        break;
    case PIPE_NAME:
        read_word(json, &pipe->name);
        break;
    case PIPE_MAX:
        json_read_int64(json, &max);
        pipe->max = max > 0 ? (uint64_t)max : 0;
        break;
    case PIPE_COPYING:
        json_read_bool(json, &pipe->disable_zero_copy);
        break;
    case PIPE_ENCODING:
        read_encoding(json, &pipe->base64);
        break;
    case PIPE_FIELDS:
        break;
    }
}

static void read_pipe(struct json_reader *json, struct rest_pipe *pipe)
{
    struct json_text key;
    pipe->name = "";
    if (json_read_null(json) || !json_read_object(json))
        return;
    while (json_next_key(json, &key)) {
        int field = json_key_find(key, pipe_fields, PIPE_FIELDS);
        if (field >= 0)
            read_pipe_key(json, (enum pipe_field)field, pipe);
    }
}

static void read_pipes(struct json_reader *json, struct rest_request *request)
{
    request->pipe_count = 0;
    if (!json_read_array(json))
        return;
    while (json_next_item(json)) {
        struct rest_pipe *pipe =
            more(json, &request->pipes, &request->pipe_count, sizeof(*pipe), REST_PIPES_MAX);
        if (pipe == NULL)
            return;
        read_pipe(json, pipe);
    }
}

/* ---- the request ---- */

static void read_request(struct json_reader *json, struct rest_request *request)
{
    enum { REQUEST_ID, REQUEST_COMMANDS, REQUEST_PIPES, REQUEST_ENCODING, REQUEST_FIELDS };
    static const char *const fields[REQUEST_FIELDS] = {
        [REQUEST_ID] = "requestId",
        [REQUEST_COMMANDS] = "cmd",
        [REQUEST_PIPES] = "pipeMapping",
        [REQUEST_ENCODING] = "encoding",
    };
    struct json_text key;
    bool base64 = false;
    request->request_id = "";
    if (!json_read_object(json))
        return;
    while (json_next_key(json, &key)) {
        switch (json_key_find(key, fields, COUNT_OF(fields))) {
        case REQUEST_ID:
            read_word(json, &request->request_id);
            break;
        case REQUEST_COMMANDS:
            read_commands(json, request);
            break;
        case REQUEST_PIPES:
            read_pipes(json, request);
            break;
        case REQUEST_ENCODING:
            read_encoding(json, &base64);
            break;
        default:
            break;
        }
    }
    for (size_t i = 0; base64 && i < request->command_count; i++)
        request->commands[i].base64 = true;
}

int rest_request_read(char *body, size_t size, struct rest_request *request, struct cj_error *err)
{
    *request = (struct rest_request){.body = body};
    json_reader_init(&request->reader, body, size, JSON_NULL_KEEPS);
    read_request(&request->reader, request);
    return json_reader_check(&request->reader, err);
}

void rest_request_free(struct rest_request *request)
{
    for (size_t i = 0; i < request->command_count; i++)
        free_command(&request->commands[i]);
    free(request->commands);
    free(request->pipes);
    json_reader_free(&request->reader);
    free(request->body);
    *request = (struct rest_request){0};
}
