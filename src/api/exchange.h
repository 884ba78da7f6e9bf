/* One HTTP request of a door, from its head to its log line: what every route does alike.
 *
 * Whoever answers later than in the head callback keeps one in its own structure. */
#ifndef CJ_API_EXCHANGE_H
#define CJ_API_EXCHANGE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/error.h"
#include "net/http.h"

enum { EXCHANGE_ID_SIZE = 65 };

struct exchange {
    struct http_request *http; /* NULL once it is over */
    int64_t begun_ns;
    int status;                /* of the answer; 0: none yet */
    char id[EXCHANGE_ID_SIZE]; /* the client's X-Request-Id when it is sane, else ours */
};

/* Begins: finds the id, which every answer carries. */
void exchange_begin(struct exchange *exchange, struct http_request *http) NONNULL(1, 2);

/* Answers; each once for an exchange, and not when it is over. A JSON body is text's string. */
void exchange_empty(struct exchange *exchange, int status) NONNULL(1);
void exchange_plain(struct exchange *exchange, int status, const char *text) NONNULL(1, 3);
void exchange_string(struct exchange *exchange, int status, const char *text) NONNULL(1, 3);

/* JSON text that is there already; takes the bytes over and leaves json empty. */
void exchange_json(struct exchange *exchange, int status, struct buf *json) NONNULL(1, 3);

/* The same by a thread other than the loop's (http_direct_reply()), which may have only the id of it: returns whether
 * the answer is given. Borrows the text. */
WARN_UNUSED bool exchange_directly(const struct exchange *exchange, struct http_direct *direct,
                                   int status, const struct buf *json) NONNULL(1, 2, 4);

/* What went wrong: the request's fault is a 400, too much at once a 503 with Retry-After (EAGAIN,
 * ESHUTDOWN, EMFILE, ENFILE, ENOMEM), else it is ours, a 500 that is also logged. */
void exchange_failure(struct exchange *exchange, const struct cj_error *err) NONNULL(1, 2);

/* For answers that are written otherwise: notes the status and adds the id. */
void exchange_status(struct exchange *exchange, int status) NONNULL(1);

/* The request is gone: one line in the log (debug). */
void exchange_over(struct exchange *exchange, enum http_over how) NONNULL(1);

#endif
