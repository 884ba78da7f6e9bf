/* Sizes, durations and counts, and JSON strings: what is read is written and read again. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/json_writer.h"
#include "base/units.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds)
        abort();
}

/* "2 h 30 min 1.5 s" as duration_parse() wants it: "2h30m1.5s". */
static void check_duration(int64_t ns)
{
    char text[UNITS_TEXT_SIZE];
    char compact[UNITS_TEXT_SIZE];
    size_t used = 0;
    duration_format(ns, text);
    for (const char *c = text; *c != '\0'; c++) {
        if (strncmp(c, "min", 3) == 0) {
            compact[used++] = 'm';
            c += 2;
        } else if (*c != ' ') {
            compact[used++] = *c;
        }
    }
    compact[used] = '\0';
    int64_t again;
    require(duration_parse(compact, &again, NULL) == 0 && again == ns);
}

/* Escaped text is printable, holds no byte that ends a string or a script, and is valid JSON. */
static void check_json(const uint8_t *data, size_t size)
{
    auto_buf struct buf buf = {0};
    json_escape(&buf, data, size);
    require(buf_check(&buf, NULL) == 0 && buf.size >= size && buf.size <= 6 * size);
    for (size_t i = 0; i < buf.size; i++) {
        unsigned char byte = (unsigned char)buf.data[i];
        require(byte >= 0x20 && byte != '"' && byte != '<' && byte != '>' && byte != '&');
        if (byte == '\\')
            require(++i < buf.size && strchr("u\"\\bfnrt", buf.data[i]) != NULL);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char text[4096];
    check_json(data, size);
    if (size >= sizeof(text))
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    struct cj_error err = {0};
    uint64_t number;
    int64_t ns;
    if (size_parse(text, &number, &err) == 0) {
        char shown[UNITS_TEXT_SIZE];
        require(strlen(size_format(number, shown)) > 2);
    }
    (void)!count_parse(text, &number, &err);
    if (duration_parse(text, &ns, &err) == 0)
        check_duration(ns);
    if (size >= sizeof(ns)) {
        memcpy(&ns, data, sizeof(ns));
        if (ns != INT64_MIN) /* its positive half does not fit */
            check_duration(ns);
    }
    return 0;
}
