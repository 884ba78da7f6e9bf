/* How a stored file is answered: type, name, and which part of it. Pure functions; nothing is opened.
 *
 * Sources: RFC 9110 (conditions 13, ranges 14), RFC 6266 (Content-Disposition), and what go-judge's
 * server did with them. */
#ifndef CJ_API_CONTENT_H
#define CJ_API_CONTENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "base/attr.h"
#include "base/buf.h"

enum {
    CONTENT_SNIFF_SIZE = 512, /* bytes of a file that content_type() looks at */
    CONTENT_DATE_SIZE = 64,   /* room for content_date() */
};

/* The media type that the extension of name stands for; without one that is known: text or binary,
 * from the first bytes of the file (size at most CONTENT_SNIFF_SIZE). Static text. */
const char *content_type(const char *name, const void *head, size_t size) NONNULL(1);

/* The value of Content-Disposition: `attachment; filename="NAME"` for ASCII, otherwise
 * `attachment; filename*=UTF-8''` and the escaped name. Control characters never get through. */
void content_disposition(const char *name, struct buf *out) NONNULL(1, 2);

/* "Mon, 02 Jan 2006 15:04:05 GMT". Returns text. */
const char *content_date(time_t time, char text[static CONTENT_DATE_SIZE]);

/* The three forms of RFC 9110 5.6.7. Returns -1 when text is none of them. */
WARN_UNUSED int content_date_parse(const char *text, time_t *time) NONNULL(1, 2);

/* Headers of a request, as they came; NULL: absent. */
struct content_request {
    const char *if_match;
    const char *if_unmodified_since;
    const char *if_none_match;
    const char *if_modified_since;
    const char *if_range;
    const char *range;
};

struct content_part {
    int status; /* 200, 206, 304, 412 or 416 */
    uint64_t first;
    uint64_t length; /* bytes of the answer's body; 0 for 304, 412 and 416 */
};

/* What is sent of a file with this size and this time of its last change (there are no entity tags).
 * Of several ranges none is: RFC 9110 14.2 lets the whole file be sent. */
struct content_part content_choose(const struct content_request *request, uint64_t size,
                                   time_t modified) NONNULL(1);

#endif
