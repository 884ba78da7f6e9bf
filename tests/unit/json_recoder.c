/* For json_against_python.py: reads documents from standard input, each behind its size as eight
 * hexadecimal digits, and writes for each a line, "ok VALUE" or "error MESSAGE". */
#include <stdio.h>
#include <stdlib.h>

#include "json_recode.h"

static void answer(char *data, size_t size)
{
    auto_json_reader struct json_reader json;
    auto_buf struct buf buf = {0};
    struct json_writer writer = json_writer_to(&buf, JSON_COMPACT);
    struct cj_error err;
    json_reader_init(&json, data, size, 0);
    json_recode(&json, &writer);
    (void)json_read_end(&json);
    if (json_reader_check(&json, &err) < 0)
        printf("error %s\n", err.message);
    else
        printf("ok %.*s\n", (int)buf.size, buf.data);
}

int main(void)
{
    char digits[9] = "";
    while (fread(digits, 1, 8, stdin) == 8) {
        size_t size = strtoul(digits, NULL, 16);
        char *data = malloc(size + 1);
        if (data == NULL || fread(data, 1, size, stdin) != size)
            return 1;
        answer(data, size);
        free(data);
    }
    return 0;
}
