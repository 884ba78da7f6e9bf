/* The native judging API, beside the batch judging API on its server: POST /v1/judge, /v1/judge/batch,
 * /v1/build; DELETE /v1/artifacts/ID. docs/judge-api.md.
 *
 * On the loop's thread. */
#ifndef CJ_API_NATIVE_H
#define CJ_API_NATIVE_H

#include <stdbool.h>
#include <stdint.h>

#include "aside.h"
#include "base/attr.h"
#include "base/error.h"
#include "judge/program.h"
#include "net/http.h"
#include "sched/sched.h"
#include "store/store.h"

struct native;

/* Borrowed for its life. */
struct native_settings {
    struct net_loop *loop;
    struct sched *sched;
    struct store *store;
    struct aside *aside;
    const struct languages *languages;
    const struct judge_settings *judge;
    unsigned slots;
    uint64_t body_bytes;
    uint64_t output_bytes;   /* of stdout, and of stderr, when a request says nothing */
    uint64_t artifact_bytes; /* of all that are kept; the least used go first */
    const char *protection;  /* "full" */
    const char *accounting;  /* "cgroup v2" */
};

WARN_UNUSED int native_new(const struct native_settings *settings, struct native **out,
                           struct cj_error *err);

/* Takes the request if its path is one of this API's. */
bool native_head(struct native *native, struct http_request *request);

void native_cancel(struct native *native);
uint64_t native_at_work(const struct native *native);
void native_free(struct native *native);

#endif
