/* What GET /v1/stages answers, as a table. Pure. */
#ifndef CJ_CMD_TOP_TABLE_H
#define CJ_CMD_TOP_TABLE_H

#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/histogram.h"

enum { TOP_STAGES_MAX = 32, TOP_NAME_SIZE = 24, TOP_FIGURES_MAX = 64 };

struct top_stage {
    char name[TOP_NAME_SIZE];
    uint64_t count;
    double sum_ms, max_ms;
    size_t bucket_count;
    struct {
        double end_ms;
        uint64_t count;
    } buckets[HISTOGRAM_BUCKETS];
};

/* "slots.running" and the like. */
struct top_figure {
    char name[2 * TOP_NAME_SIZE];
    uint64_t value;
};

struct top_snapshot {
    size_t figure_count, stage_count;
    struct top_figure figures[TOP_FIGURES_MAX];
    struct top_stage stages[TOP_STAGES_MAX];
};

/* body is changed. What is unknown is skipped. */
WARN_UNUSED int top_snapshot_read(char *body, size_t size, struct top_snapshot *out,
                                  struct cj_error *err);

/* 0 when there is none of that name. */
uint64_t top_figure(const struct top_snapshot *snapshot, const char *name);

/* The table: of now alone (before NULL), or of what came between, in so many seconds. */
void top_table_write(struct buf *out, const struct top_snapshot *now,
                     const struct top_snapshot *before, double seconds);

#endif
