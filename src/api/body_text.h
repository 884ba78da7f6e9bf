/* A text of a request's body, where it stands in it. */
#ifndef CJ_API_BODY_TEXT_H
#define CJ_API_BODY_TEXT_H

#include <stddef.h>

struct body_text {
    const char *data; /* NULL: null, or not there */
    size_t size;
};

#endif
