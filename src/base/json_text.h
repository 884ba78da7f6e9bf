/* The strings of JSON documents: checking and unescaping. The reader's own. */
#ifndef CJ_BASE_JSON_TEXT_H
#define CJ_BASE_JSON_TEXT_H

#include "base/json_reader.h"

enum text_result {
    TEXT_DONE,
    TEXT_TRUNCATED,
    TEXT_CONTROL,    /* a byte below 0x20 that is not escaped */
    TEXT_BAD_ESCAPE, /* what follows a backslash */
    TEXT_BAD_DIGIT,  /* in the four that follow \u */
    TEXT_BAD_UTF8,
    TEXT_LONE_SURROGATE,
    TEXT_NO_MEMORY,
};

/* Beside json_reader_flags: invalid UTF-8 stays as it is. */
enum { TEXT_KEEP_INVALID = 1 << 16 };

/* Reads from *next, behind the opening quote, to behind the closing one, which lies before end.
 * *next gets the place behind it, or that of what is wrong. flags are json_reader_flags.
 *
 * Unescapes in place, and puts a NUL where the closing quote was at the latest; a string that does
 * not fit there any more is copied and added to *copies. */
WARN_UNUSED enum text_result json_text_read(char **next, char *end, unsigned flags, void **copies,
                                            struct json_text *text);

/* Only checks. */
WARN_UNUSED enum text_result json_text_skip(char **next, char *end, unsigned flags);

void json_text_free_copies(void **copies);

#endif
