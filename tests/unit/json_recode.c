/* Copies a JSON value from a reader to a writer. Recursive: the writer's depth is its limit. */
#include "json_recode.h"

static void recode_raw(struct json_reader *in, struct json_writer *out)
{
    char *data;
    size_t size;
    if (json_read_raw(in, &data, &size))
        json_raw(out, data, size);
    else
        json_null(out);
}

static void recode_scalar(struct json_reader *in, struct json_writer *out)
{
    bool flag = false;
    struct json_text text = {0};
    if (json_read_null(in))
        json_null(out);
    else if (json_peek(in) == JSON_BOOL && json_read_bool(in, &flag))
        json_bool(out, flag);
    else if (json_peek(in) == JSON_STRING && json_read_string(in, &text))
        json_string_bytes(out, text.data, text.size);
    else
        recode_raw(in, out);
}

void json_recode(struct json_reader *in, struct json_writer *out)
{
    enum json_kind kind = json_peek(in);
    struct json_text key;
    if ((kind != JSON_ARRAY && kind != JSON_OBJECT) || out->depth == JSON_DEPTH_MAX) {
        recode_scalar(in, out);
    } else if (kind == JSON_ARRAY) {
        json_array_begin(out);
        (void)json_read_array(in);
        while (json_next_item(in))
            json_recode(in, out);
        json_array_end(out);
    } else {
        json_object_begin(out);
        (void)json_read_object(in);
        while (json_next_key(in, &key)) {
            json_key_bytes(out, key.data, key.size);
            json_recode(in, out);
        }
        json_object_end(out);
    }
}
