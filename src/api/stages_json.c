#include "stages_json.h"

#include "base/clock.h"
#include "base/json_writer.h"
#include "base/stages.h"

static void write_number(struct json_writer *json, const char *key, uint64_t value)
{
    json_key(json, key);
    json_uint(json, value);
}

static void write_ms(struct json_writer *json, const char *key, uint64_t ns)
{
    json_key(json, key);
    json_double(json, (double)ns / (double)NS_PER_MS);
}

/* [end in ms, how many]: of the buckets that hold something. */
static void write_buckets(struct json_writer *json, const struct histogram_view *view)
{
    json_key(json, "buckets");
    json_array_begin(json);
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        if (view->counts[i] == 0)
            continue;
        json_array_begin(json);
        json_double(json, (double)histogram_bucket_end(i) / (double)NS_PER_MS);
        json_uint(json, view->counts[i]);
        json_array_end(json);
    }
    json_array_end(json);
}

static void write_stage(struct json_writer *json, enum stage stage)
{
    struct histogram_view view;
    histogram_read(stage_histogram(stage), &view);
    json_object_begin(json);
    json_key(json, "name");
    json_string(json, stage_name(stage));
    write_number(json, "count", view.count);
    write_ms(json, "sum_ms", view.sum_ns);
    write_ms(json, "p50_ms", histogram_quantile(&view, 500));
    write_ms(json, "p90_ms", histogram_quantile(&view, 900));
    write_ms(json, "p99_ms", histogram_quantile(&view, 990));
    write_ms(json, "max_ms", view.max_ns);
    write_buckets(json, &view);
    json_object_end(json);
}

static void write_slots(struct json_writer *json, const struct sched_stats *slots)
{
    json_key(json, "slots");
    json_object_begin(json);
    write_number(json, "slots", slots->slots);
    write_number(json, "running", slots->running);
    write_number(json, "waiting", slots->waiting);
    write_number(json, "done", slots->done);
    write_number(json, "dropped", slots->dropped);
    write_number(json, "refused", slots->refused);
    write_number(json, "containers", slots->containers);
    json_object_end(json);
}

static void write_builds(struct json_writer *json, struct build_cache *builds)
{
    struct build_cache_stats stats = {0};
    if (builds != NULL)
        build_cache_stats(builds, &stats);
    json_key(json, "builds");
    json_object_begin(json);
    write_number(json, "made", stats.made);
    write_number(json, "hits", stats.hits);
    write_number(json, "joined", stats.joined);
    write_number(json, "evicted", stats.evicted);
    write_number(json, "damaged", stats.damaged);
    write_number(json, "entries", stats.entries);
    write_number(json, "bytes", stats.bytes);
    write_number(json, "bytes_max", stats.bytes_max);
    json_object_end(json);
}

static void write_prepared(struct json_writer *json, struct prepared *prepared)
{
    struct prepared_stats stats = {0};
    if (prepared != NULL)
        prepared_stats(prepared, &stats);
    json_key(json, "prepared");
    json_object_begin(json);
    write_number(json, "made", stats.made);
    write_number(json, "failed", stats.failed);
    write_number(json, "quick", stats.quick);
    write_number(json, "plain", stats.plain);
    json_object_end(json);
}

void stages_json_write(struct buf *out, const struct sched_stats *slots, struct build_cache *builds,
                       struct prepared *prepared)
{
    struct json_writer json = json_writer_to(out, JSON_COMPACT_PLAIN);
    json_object_begin(&json);
    write_slots(&json, slots);
    write_builds(&json, builds);
    write_prepared(&json, prepared);
    json_key(&json, "stages");
    json_array_begin(&json);
    for (int i = 0; i < STAGE_COUNT; i++)
        write_stage(&json, (enum stage)i);
    json_array_end(&json);
    json_object_end(&json);
}
