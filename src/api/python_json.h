/* What Python's json module (3.11) says of a text that is no JSON: its clients see the words and the place. */
#ifndef CJ_API_PYTHON_JSON_H
#define CJ_API_PYTHON_JSON_H

#include <stdbool.h>
#include <stddef.h>

/* text: UTF-8. false when Python takes it (as it does NaN and Infinity), or when memory is gone: then *at and *words
 * stay. *at counts bytes. Pure. */
bool python_json_error(const char *text, size_t size, size_t *at, const char **words);

#endif
