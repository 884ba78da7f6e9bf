/* One error, with its story. */
#include "base/error.h"

#undef error_set
#undef error_errno
#undef error_wrap

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

_Static_assert(sizeof(struct cj_error) <= PIPE_BUF, "an error is sent in one atomic write");

int error_set(struct cj_error *err, enum error_domain domain, int code, const char *format, ...)
{
    if (err == NULL)
        return -1;
    err->domain = domain;
    err->code = code;
    va_list args;
    va_start(args, format);
    vsnprintf(err->message, sizeof(err->message), format, args);
    va_end(args);
    return -1;
}

int error_errno(struct cj_error *err, const char *format, ...)
{
    int code = errno;
    if (err == NULL)
        return -1;
    err->domain = ERROR_SYSTEM;
    err->code = code;
    va_list args;
    va_start(args, format);
    vsnprintf(err->message, sizeof(err->message), format, args);
    va_end(args);
    size_t used = strlen(err->message);
    char text[128];
    snprintf(err->message + used, sizeof(err->message) - used, ": %s",
             strerror_r(code, text, sizeof(text)));
    errno = code;
    return -1;
}

int error_wrap(struct cj_error *err, const char *format, ...)
{
    if (err == NULL)
        return -1;
    char inner[ERROR_MESSAGE_SIZE];
    memcpy(inner, err->message, sizeof(inner));
    va_list args;
    va_start(args, format);
    vsnprintf(err->message, sizeof(err->message), format, args);
    va_end(args);
    size_t used = strlen(err->message);
    snprintf(err->message + used, sizeof(err->message) - used, ": %s", inner);
    return -1;
}

void error_clear(struct cj_error *err)
{
    if (err == NULL)
        return;
    err->domain = ERROR_NONE;
    err->code = 0;
    err->message[0] = '\0';
}
