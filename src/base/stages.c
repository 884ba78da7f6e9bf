#include "base/stages.h"

#include "base/clock.h"

static struct histogram histograms[STAGE_COUNT];

const char *stage_name(enum stage stage)
{
    static const char *const names[STAGE_COUNT] = {
        [STAGE_READ] = "read",     [STAGE_QUEUE] = "queue",     [STAGE_PREPARE] = "prepare",
        [STAGE_RUN] = "run",       [STAGE_COLLECT] = "collect", [STAGE_BUILD] = "build",
        [STAGE_FOUND] = "found",   [STAGE_JUDGE] = "judge",     [STAGE_JOB] = "job",
        [STAGE_ANSWER] = "answer", [STAGE_RESET] = "reset",
    };
    return names[stage];
}

void stage_add(enum stage stage, int64_t ns)
{
    histogram_add(&histograms[stage], ns);
}

int64_t stage_since(enum stage stage, int64_t since_ns)
{
    int64_t now_ns = monotonic_ns();
    stage_add(stage, now_ns - since_ns);
    return now_ns;
}

struct histogram *stage_histogram(enum stage stage)
{
    return &histograms[stage];
}
