/* The values of Content-Type and Content-Disposition: a word, and parameters behind semicolons
 * (RFC 2045 section 5.1, RFC 2183, RFC 8187). Pure. */
#ifndef CJ_NET_MIME_PARAMS_H
#define CJ_NET_MIME_PARAMS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/attr.h"

enum {
    MIME_PARAMS_MAX = 32,
    MIME_VALUE_SIZE = 8192, /* of a whole header value, without a NUL */
};

struct mime_param {
    const char *name; /* in lower case */
    const char *value;
};

/* Texts point into text. */
struct mime_value {
    const char *word; /* in lower case: "multipart/form-data" */
    struct mime_param params[MIME_PARAMS_MAX];
    size_t count;
    char text[2 * MIME_VALUE_SIZE + 2];
};

/* The characters at text that a token (a name, a word) may have. */
size_t mime_token_span(const char *text);

/* Reads the value of a header. Returns NULL, or why it cannot be read. A parameter may stand there
 * once. */
WARN_UNUSED const char *mime_value_parse(struct mime_value *value, const char *header);

/* NULL when there is no such parameter; name is in lower case. */
const char *mime_param(const struct mime_value *value, const char *name);

/* Decodes an extended value (UTF-8'en'na%C3%AFve) in place. Returns the text, or NULL when it is none
 * or of a charset other than UTF-8 and US-ASCII. It may be the caller's copy only. */
char *mime_decode_extended(char *value);

#endif
