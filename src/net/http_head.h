/* The head of a request: where it ends, and what it says. Pure; RFC 9112 sections 2 to 6, read
 * strictly.
 *
 * A head is first found (http_head_scan(), as its bytes come in) and then read as a whole
 * (http_head_parse()), so what is decided never depends on how the bytes were split. */
#ifndef CJ_NET_HTTP_HEAD_H
#define CJ_NET_HTTP_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/attr.h"

struct http_limits {
    uint64_t head_bytes;
    uint64_t target_bytes;
    uint64_t header_count;
};

/* Why a request is refused. */
struct http_fault {
    int status;
    const char *reason; /* static */
};

struct http_field {
    const char *name;
    const char *value;
};

/* Strings point into text, or are static. A zeroed one is empty; http_head_free() frees. */
struct http_head {
    const char *method;
    const char *target;
    const char *raw_path;
    const char *path;  /* decoded */
    const char *query; /* or NULL */
    int minor;         /* of HTTP/1.x */
    struct http_field *fields;
    size_t field_count;

    bool chunked;
    uint64_t length; /* of the body when it is not chunked */
    bool keep_alive;
    bool expects_continue;

    char *text; /* kept for the next request, as fields is */
    size_t text_capacity;
    size_t field_capacity;
};

void http_head_free(struct http_head *head) NONNULL(1);

/* How far a head was looked through. Zeroed at its start. */
struct http_scan {
    size_t line; /* where the present line begins */
    size_t seen; /* no LF before this */
};

/* Looks for the empty line that ends the head, in the size bytes that have come so far; data
 * begins with the request line and is the same at each call, but longer. Returns the size of the
 * head, the empty line included; 0: not there yet; -1 with fault filled in: bare CR or LF, or too
 * large. */
WARN_UNUSED ssize_t http_head_scan(struct http_scan *scan, const char *data, size_t size,
                                   const struct http_limits *limits, struct http_fault *fault);

/* Reads a head that http_head_scan() has found, over what head held before. Returns 0, or -1 with
 * fault filled in. */
WARN_UNUSED int http_head_parse(struct http_head *head, const char *data, size_t size,
                                const struct http_limits *limits, struct http_fault *fault);

/* The value of the first field of that name, or NULL. */
const char *http_head_find(const struct http_head *head, const char *name);
/* See http_header_has(). */
bool http_head_has(const struct http_head *head, const char *name, const char *token);

/* RFC 9110 5.6.2. */
bool http_is_token_char(unsigned char c);
/* What a field's value may hold: visible, space, tab, and bytes above 0x7f. */
bool http_is_value_char(unsigned char c);

/* Fills in fault. Returns -1. */
int http_fault_set(struct http_fault *fault, int status, const char *reason);

#endif
