/* What GET /v1/stages answers: where requests' time goes, and what the slots and kept builds do. */
#ifndef CJ_API_STAGES_JSON_H
#define CJ_API_STAGES_JSON_H

#include "base/buf.h"
#include "judge/build_cache.h"
#include "judge/prepared.h"
#include "sched/sched.h"

/* builds, prepared: NULL: none are kept, nothing is prepared. */
void stages_json_write(struct buf *out, const struct sched_stats *slots, struct build_cache *builds,
                       struct prepared *prepared);

#endif
