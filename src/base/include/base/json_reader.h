/* Reads JSON (RFC 8259) out of a buffer, piece by piece, without building a tree.
 *
 *     struct json_reader json;
 *     json_reader_init(&json, body, size, JSON_NULL_KEEPS);
 *     json_read_object(&json);
 *     struct json_text key;
 *     while (json_next_key(&json, &key))
 *         if (json_key_is(key, "cpuLimit"))
 *             json_read_uint64(&json, &cpu_limit_ns);
 *     if (json_reader_check(&json, err) < 0) ...
 *     json_reader_free(&json);
 *
 * A value that nobody reads is skipped (and checked) by the next call, so unknown keys need nothing.
 * Reading a value where none is next, or a key outside an object, is a bug and ends the program.
 *
 * Failure sticks: the first one is kept, every later call does nothing and returns false, and
 * json_reader_check() tells at the end. Nothing that was read counts before that: as in Go's
 * encoding/json, whose words the messages use, an error of grammar anywhere in the first value
 * comes before every error of type.
 *
 * Strings are unescaped in place: the buffer is the caller's, is changed, and has to stay as long as
 * the texts are used. So a document costs its own size in memory; only strings with invalid UTF-8,
 * of which each byte becomes three, are copied (json_reader_free() frees them). json_read_bytes()
 * spares even that, where much text may come.
 *
 * One reader belongs to one thread; readers share nothing. */
#ifndef CJ_BASE_JSON_READER_H
#define CJ_BASE_JSON_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/error.h"

enum {
    JSON_READER_DEPTH_MAX = 512, /* arrays and objects inside each other */
    JSON_READER_PATH_MAX = 32,   /* how many of them an error of type can name */
};

enum json_reader_flags {
    /* Bytes in strings and keys that are no UTF-8 are an error; otherwise each becomes U+FFFD. */
    JSON_REJECT_INVALID_UTF8 = 1 << 0,
    /* So is a \uD800 to \uDFFF that is not half of a pair; otherwise each becomes U+FFFD. */
    JSON_REJECT_LONE_SURROGATES = 1 << 1,
    /* null is accepted wherever a value is read, and leaves the result as it was (Go's rule); as an
     * object or array it is an empty one. Otherwise it is an error of type. */
    JSON_NULL_KEEPS = 1 << 2,
};

/* Bytes in the reader's buffer. One NUL stands behind them, others may be in them. */
struct json_text {
    const char *data;
    size_t size;
    bool replaced; /* there is a U+FFFD that stands for invalid UTF-8 or a lone surrogate */
    bool invalid;  /* of json_read_bytes(): there is invalid UTF-8 */
};

enum json_kind {
    JSON_NONE, /* no value: the reader has failed */
    JSON_NULL,
    JSON_BOOL,
    JSON_NUMBER,
    JSON_STRING,
    JSON_ARRAY,
    JSON_OBJECT,
};

/* What went wrong, for a caller that has words of its own. */
enum json_failure {
    JSON_OK,
    JSON_EMPTY,         /* nothing but white space: "EOF" */
    JSON_TRUNCATED,     /* the end came inside the value: "unexpected EOF" */
    JSON_BAD_GRAMMAR,   /* "invalid character 'x' after array element at byte 17" */
    JSON_TOO_DEEP,      /* "exceeded max depth at byte 511" */
    JSON_BAD_TEXT,      /* "invalid UTF-8 in string literal at byte 17", or a lone surrogate */
    JSON_BAD_VALUE,     /* not what the caller asked for, by json_read_...() or json_fail() */
    JSON_OUT_OF_MEMORY, /* for a string with invalid UTF-8 */
};

/* The reader's own; read depth, offset and failure, change nothing. */
struct json_reader {
    char *data;
    size_t size;
    size_t offset;   /* bytes read so far; after a failure those before what is wrong */
    size_t value_at; /* where the value begins that was read last, or is next */
    unsigned depth;  /* arrays and objects that are open */
    unsigned flags;  /* enum json_reader_flags */
    uint8_t expect;  /* what has to come next */
    uint8_t failure; /* enum json_failure */
    uint64_t objects[JSON_READER_DEPTH_MAX / 64]; /* bit n: level n is an object, else an array */
    struct {
        const char *key; /* of the member being read; NULL in an array */
        size_t number;   /* size of the key, or index of the item */
    } path[JSON_READER_PATH_MAX];
    void *copies; /* of strings that grew */
    struct cj_error error;
};

/* data may be NULL when size is 0. The reader begins with the first value of the buffer. */
void json_reader_init(struct json_reader *json, char *data, size_t size, unsigned flags);

/* Frees the copies; texts that were read are gone with them. */
void json_reader_free(struct json_reader *json);
#define auto_json_reader __attribute__((cleanup(json_reader_free)))

/* 0, or -1 with err: ERROR_REQUEST and the message of the failure (or ERROR_SYSTEM and ENOMEM).
 * Errors of grammar end with " at byte N" (N bytes stand before what is wrong), but for the two
 * that Go's clients know as they are: "EOF" and "unexpected EOF". Errors of type read
 * "json: cannot unmarshal number -1 into field cmd[0].cpuLimit of type uint64 at byte 33". */
WARN_UNUSED int json_reader_check(const struct json_reader *json, struct cj_error *err);

/* After the outermost value: fails unless only white space is left ("invalid character 'x' after
 * top-level value at byte 9"). Who does not ask takes what follows for nothing. */
bool json_read_end(struct json_reader *json);

/* ---- values: each reads the next one; false when the reader has failed ---- */

/* The kind of the next value, which stays unread. */
enum json_kind json_peek(struct json_reader *json);

/* Reads the next value when it is null, and says whether it was. */
bool json_read_null(struct json_reader *json);

bool json_read_bool(struct json_reader *json, bool *value);

/* Digits only, with a '-' before them for int64: exact, in range, or an error of type; 1.0 and 1e9
 * are as well. */
bool json_read_uint64(struct json_reader *json, uint64_t *value);
bool json_read_int64(struct json_reader *json, int64_t *value);

/* Any number, rounded correctly; one too large for a double is an error of type. */
bool json_read_double(struct json_reader *json, double *value);

bool json_read_string(struct json_reader *json, struct json_text *text);

/* As json_read_string(), but invalid UTF-8, unless it is rejected, stays as it is, so that a string
 * never costs memory of its own. Whoever passes it on writes U+FFFD for each such byte then: they are
 * where utf8_span() stops. */
bool json_read_bytes(struct json_reader *json, struct json_text *text);

/* Any value, as it is written: *size bytes of the buffer, without a NUL behind them, for another reader
 * to read. */
bool json_read_raw(struct json_reader *json, char **data, size_t *size);

/* Any value; only its grammar is checked. */
bool json_skip(struct json_reader *json);

/* Enters an object or an array. Go on with json_next_...() until that returns false; there is no
 * way out before. */
bool json_read_object(struct json_reader *json);
bool json_read_array(struct json_reader *json);

/* The next member of the innermost object, whose value can be read then; false at its end. */
bool json_next_key(struct json_reader *json, struct json_text *key);

/* Whether the innermost array has another item, which can be read then; false at its end. */
bool json_next_item(struct json_reader *json);

/* ---- the caller's own objections ---- */

/* Fails with the path of the value that was read last, or is next: "cmd[0].args: REASON at byte N".
 * Returns false. */
bool json_fail(struct json_reader *json, const char *format, ...) PRINTF(2, 3);

/* Where the reader is, "cmd[0].cpuLimit", cut to size bytes; "" in the outermost value. Returns
 * text. */
char *json_reader_path(const struct json_reader *json, char *text, size_t size);

/* ---- keys ---- */

/* The index of key among count names of a structure's fields, as Go's encoding/json looks them up:
 * the one that is equal, else the first that is equal but for case, else -1. The names are ASCII;
 * beside A to Z, U+017F counts as an 's' and U+212A as a 'k', for Go folds Unicode. A key that
 * comes again is looked up again, so that the last one wins. */
int json_key_find(struct json_text key, const char *const *names, size_t count);

/* The same for one name. Do not ask for two names one after the other that differ in case only. */
bool json_key_is(struct json_text key, const char *name);

/* Byte for byte, for maps and for doors that do not fold. */
bool json_text_equal(struct json_text text, const char *other);

#endif
