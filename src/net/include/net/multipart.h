/* Reads multipart/form-data (RFC 7578, RFC 2046) as it comes in: pure, nothing is kept but the headers
 * of one part, and what belongs to a part is handed on in pieces of the very bytes that were fed.
 *
 *     char boundary[MULTIPART_BOUNDARY_SIZE];
 *     multipart_boundary(content_type, boundary, err);
 *     multipart_new(boundary, &handler, arg, &multipart, err);
 *     for each piece of the body: multipart_feed(multipart, data, size, err);
 *     multipart_end(multipart, err);
 *
 * How a body was cut into pieces changes nothing but how its data is cut. Lenient where Go's
 * mime/multipart is, because clients were written against it: lines may all end with LF alone, text
 * may stand before the first boundary and behind the last, and a backslash in a quoted file name that
 * escapes nothing is a backslash.
 *
 * Errors are ERROR_REQUEST. After one, the only thing left to do is multipart_free(). */
#ifndef CJ_NET_MULTIPART_H
#define CJ_NET_MULTIPART_H

#include <stddef.h>

#include "base/attr.h"
#include "base/error.h"

enum {
    MULTIPART_BOUNDARY_SIZE = 71,       /* 70 characters, RFC 2046 section 5.1.1, and a NUL */
    MULTIPART_HEADERS_SIZE = 16 * 1024, /* of one part, in bytes */
};

/* The headers of a part. Texts hold no NUL and are valid in part_begin() only. */
struct multipart_part {
    const char *name;         /* NULL: not form-data, or without a name */
    const char *filename;     /* as the client gave it, with all its slashes; NULL: a plain field */
    const char *content_type; /* NULL: none was given */
};

/* What is done with the parts. A function that returns -1 (with err filled in) ends the reading. */
struct multipart_handler {
    int (*part_begin)(const struct multipart_part *part, void *arg, struct cj_error *err);
    int (*part_data)(const void *data, size_t size, void *arg, struct cj_error *err);
    int (*part_end)(void *arg, struct cj_error *err);
};

struct multipart;

/* Takes the boundary out of the value of a Content-Type header (NULL: there was none). Fails when
 * that is not multipart/form-data. */
WARN_UNUSED int multipart_boundary(const char *content_type,
                                   char boundary[static MULTIPART_BOUNDARY_SIZE],
                                   struct cj_error *err);

/* boundary is copied; handler and arg stay the caller's and have to outlive *out. */
WARN_UNUSED int multipart_new(const char *boundary, const struct multipart_handler *handler,
                              void *arg, struct multipart **out, struct cj_error *err);

/* NULL is fine. */
void multipart_free(struct multipart *multipart);

/* The next size bytes of the body. */
WARN_UNUSED int multipart_feed(struct multipart *multipart, const void *data, size_t size,
                               struct cj_error *err);

/* The body is over: fails unless the closing boundary has come. */
WARN_UNUSED int multipart_end(struct multipart *multipart, struct cj_error *err);

#endif
