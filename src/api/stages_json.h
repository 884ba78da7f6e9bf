/* What GET /v1/stages answers: where requests' time goes, and what the slots and kept builds do. */
#ifndef CJ_API_STAGES_JSON_H
#define CJ_API_STAGES_JSON_H

#include "base/buf.h"
#include "judge/build_cache.h"
#include "sched/sched.h"

/* builds: NULL: none are kept. */
void stages_json_write(struct buf *out, const struct sched_stats *slots,
                       struct build_cache *builds);

#endif
