#include "stages_json.h"

#include "base/clock.h"
#include "base/json_writer.h"
#include "base/stages.h"

static void write_number(struct json_writer *json, const char *key, uint64_t value)
{
    json_key(json, key);
    json_uint(json, value);
}

struct number {
    const char *key;
    uint64_t value;
};

static void write_numbers(struct json_writer *json, const char *key, const struct number *numbers,
                          size_t count)
{
    json_key(json, key);
    json_object_begin(json);
    for (size_t i = 0; i < count; i++)
        write_number(json, numbers[i].key, numbers[i].value);
    json_object_end(json);
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
    const struct number numbers[] = {
        {"slots", slots->slots},           {"running", slots->running},
        {"waiting", slots->waiting},       {"done", slots->done},
        {"dropped", slots->dropped},       {"refused", slots->refused},
        {"containers", slots->containers},
    };
    write_numbers(json, "slots", numbers, COUNT_OF(numbers));
}

static void write_builds(struct json_writer *json, struct build_cache *builds)
{
    struct build_cache_stats stats = {0};
    if (builds != NULL)
        build_cache_stats(builds, &stats);
    const struct number numbers[] = {
        {"made", stats.made},       {"hits", stats.hits},           {"joined", stats.joined},
        {"evicted", stats.evicted}, {"damaged", stats.damaged},     {"entries", stats.entries},
        {"bytes", stats.bytes},     {"bytes_max", stats.bytes_max},
    };
    write_numbers(json, "builds", numbers, COUNT_OF(numbers));
}

static void write_prepared(struct json_writer *json, struct prepared *prepared)
{
    struct prepared_stats stats = {0};
    if (prepared != NULL)
        prepared_stats(prepared, &stats);
    const struct number numbers[] = {
        {"made", stats.made},
        {"failed", stats.failed},
        {"quick", stats.quick},
        {"plain", stats.plain},
    };
    write_numbers(json, "prepared", numbers, COUNT_OF(numbers));
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
