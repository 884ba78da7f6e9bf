/* Writes JSON into a buffer, piece by piece.
 *
 *     struct json_writer json = json_writer_to(&buf, JSON_COMPACT);
 *     json_object_begin(&json);
 *     json_key(&json, "status");
 *     json_string(&json, "Accepted");
 *     json_object_end(&json);
 *
 * Commas, and line breaks when asked for, come by themselves. Strings are escaped as Go's
 * encoding/json does by default, because clients compare bytes: < > & U+2028 U+2029 as \uXXXX, each
 * byte that is not valid UTF-8 as the six characters \ufffd. Strings with a length may hold NUL.
 *
 * No call fails: what the buffer could not take is told by buf_check(). Ending what was not begun,
 * a key outside an object or a value without its key is a bug and ends the program (assert). */
#ifndef CJ_BASE_JSON_WRITER_H
#define CJ_BASE_JSON_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"

enum json_style {
    JSON_COMPACT,
    JSON_PRETTY,        /* for terminals: two spaces of indentation */
    JSON_COMPACT_PLAIN, /* strings with the escapes that JSON needs and no others, as FastAPI writes;
                           * what is no UTF-8 becomes U+FFFD */
};

enum { JSON_DEPTH_MAX = 64 };

struct json_writer {
    struct buf *buf; /* the caller's */
    enum json_style style;
    uint64_t objects; /* bit d: what is open at depth d is an object */
    unsigned depth;   /* objects and arrays that are open */
    bool has_items;   /* the innermost of them is not empty: a comma goes before the next */
    bool has_key;     /* a key waits for its value */
};

struct json_writer json_writer_to(struct buf *buf, enum json_style style) NONNULL(1);

void json_object_begin(struct json_writer *json);
void json_object_end(struct json_writer *json);
void json_array_begin(struct json_writer *json);
void json_array_end(struct json_writer *json);

void json_key(struct json_writer *json, const char *key);
void json_key_bytes(struct json_writer *json, const void *key, size_t size);

void json_string(struct json_writer *json, const char *text);
void json_string_bytes(struct json_writer *json, const void *data, size_t size);
/* A string that holds data as base64. */
void json_string_base64(struct json_writer *json, const void *data, size_t size);
void json_int(struct json_writer *json, int64_t value);
void json_uint(struct json_writer *json, uint64_t value);
void json_bool(struct json_writer *json, bool value);
void json_null(struct json_writer *json);
/* The shortest decimal that reads back as value, in Go's form (1, 0.1, 1e-7, 1e+21). JSON knows no
 * infinities and no NaN: they are written as null. */
void json_double(struct json_writer *json, double value);
/* A value that is JSON text already. */
void json_raw(struct json_writer *json, const void *data, size_t size);

/* Appends data with JSON's escapes, without quotes around it. */
void json_escape(struct buf *buf, const void *data, size_t size) NONNULL(1);

#endif
