#include "top_table.h"

#include <stdio.h>
#include <string.h>

#include "base/json_reader.h"

/* ---- reading ---- */

static bool read_name(struct json_reader *json, char name[static TOP_NAME_SIZE])
{
    struct json_text text;
    if (!json_read_string(json, &text))
        return false;
    snprintf(name, TOP_NAME_SIZE, "%.*s", (int)(text.size < TOP_NAME_SIZE ? text.size : 0),
             text.data);
    return true;
}

static void read_bucket(struct json_reader *json, struct top_stage *stage)
{
    double end_ms = 0;
    uint64_t count = 0;
    json_read_array(json);
    for (int i = 0; json_next_item(json); i++) {
        if (i == 0)
            json_read_double(json, &end_ms);
        else if (i == 1)
            json_read_uint64(json, &count);
        else
            json_skip(json);
    }
    if (stage->bucket_count == HISTOGRAM_BUCKETS)
        return;
    stage->buckets[stage->bucket_count].end_ms = end_ms;
    stage->buckets[stage->bucket_count++].count = count;
}

static void read_stage(struct json_reader *json, struct top_snapshot *out)
{
    static struct top_stage left_over;
    struct top_stage *stage =
        out->stage_count < TOP_STAGES_MAX ? &out->stages[out->stage_count++] : &left_over;
    struct json_text key;
    *stage = (struct top_stage){.name = ""};
    json_read_object(json);
    while (json_next_key(json, &key)) {
        if (json_text_equal(key, "name"))
            read_name(json, stage->name);
        else if (json_text_equal(key, "count"))
            json_read_uint64(json, &stage->count);
        else if (json_text_equal(key, "sum_ms"))
            json_read_double(json, &stage->sum_ms);
        else if (json_text_equal(key, "max_ms"))
            json_read_double(json, &stage->max_ms);
        else if (json_text_equal(key, "buckets")) {
            json_read_array(json);
            while (json_next_item(json))
                read_bucket(json, stage);
        } else
            json_skip(json);
    }
}

/* An object of numbers. */
static void read_figures(struct json_reader *json, const char *group, struct top_snapshot *out)
{
    struct json_text key;
    json_read_object(json);
    while (json_next_key(json, &key)) {
        uint64_t value = 0;
        if (json_peek(json) != JSON_NUMBER) {
            json_skip(json);
            continue;
        }
        char name[TOP_NAME_SIZE];
        snprintf(name, sizeof(name), "%.*s", (int)(key.size < sizeof(name) ? key.size : 0),
                 key.data);
        json_read_uint64(json, &value);
        if (out->figure_count == TOP_FIGURES_MAX)
            continue;
        struct top_figure *figure = &out->figures[out->figure_count++];
        snprintf(figure->name, sizeof(figure->name), "%s.%s", group, name);
        figure->value = value;
    }
}

int top_snapshot_read(char *body, size_t size, struct top_snapshot *out, struct cj_error *err)
{
    struct json_reader json;
    struct json_text key;
    out->figure_count = out->stage_count = 0;
    json_reader_init(&json, body, size, 0);
    json_read_object(&json);
    while (json_next_key(&json, &key)) {
        char group[TOP_NAME_SIZE];
        snprintf(group, sizeof(group), "%.*s", (int)(key.size < sizeof(group) ? key.size : 0),
                 key.data);
        if (json_text_equal(key, "stages")) {
            json_read_array(&json);
            while (json_next_item(&json))
                read_stage(&json, out);
        } else if (json_peek(&json) == JSON_OBJECT) {
            read_figures(&json, group, out);
        } else {
            json_skip(&json);
        }
    }
    json_read_end(&json);
    int done = json_reader_check(&json, err);
    json_reader_free(&json);
    return done;
}

uint64_t top_figure(const struct top_snapshot *snapshot, const char *name)
{
    for (size_t i = 0; i < snapshot->figure_count; i++)
        if (strcmp(snapshot->figures[i].name, name) == 0)
            return snapshot->figures[i].value;
    return 0;
}

/* ---- what came between ---- */

static const struct top_stage *find_stage(const struct top_snapshot *snapshot, const char *name)
{
    for (size_t i = 0; snapshot != NULL && i < snapshot->stage_count; i++)
        if (strcmp(snapshot->stages[i].name, name) == 0)
            return &snapshot->stages[i];
    return NULL;
}

static uint64_t count_of(const struct top_stage *stage, double end_ms)
{
    for (size_t i = 0; stage != NULL && i < stage->bucket_count; i++)
        if (stage->buckets[i].end_ms == end_ms)
            return stage->buckets[i].count;
    return 0;
}

/* A service that was started anew in between has less than before: then all of now counts. */
static void subtract(struct top_stage *stage, const struct top_stage *before)
{
    if (before == NULL || before->count > stage->count)
        return;
    double longest_ms = 0;
    for (size_t i = 0; i < stage->bucket_count; i++) {
        uint64_t had = count_of(before, stage->buckets[i].end_ms);
        stage->buckets[i].count -= had < stage->buckets[i].count ? had : stage->buckets[i].count;
        if (stage->buckets[i].count > 0)
            longest_ms = stage->buckets[i].end_ms;
    }
    stage->count -= before->count;
    stage->sum_ms -= before->sum_ms;
    if (longest_ms < stage->max_ms)
        stage->max_ms = longest_ms;
}

static double quantile_ms(const struct top_stage *stage, unsigned per_mille)
{
    uint64_t all = 0, seen = 0;
    for (size_t i = 0; i < stage->bucket_count; i++)
        all += stage->buckets[i].count;
    for (size_t i = 0; i < stage->bucket_count; i++) {
        seen += stage->buckets[i].count;
        if (seen > 0 && seen >= (all * per_mille + 999) / 1000)
            return stage->buckets[i].end_ms < stage->max_ms ? stage->buckets[i].end_ms
                                                            : stage->max_ms;
    }
    return 0;
}

/* ---- writing ---- */

static void write_time(struct buf *out, double ms)
{
    if (ms < 0.9995)
        buf_printf(out, " %7.0fus", ms * 1000);
    else if (ms < 999.5)
        buf_printf(out, " %7.*fms", ms < 99.95 ? 1 : 0, ms);
    else
        buf_printf(out, " %8.1fs", ms / 1000);
}

static void write_stage(struct buf *out, const struct top_stage *stage, double seconds)
{
    buf_printf(out, "%-9s %9llu", stage->name, (unsigned long long)stage->count);
    if (seconds > 0)
        buf_printf(out, " %9.1f", (double)stage->count / seconds);
    if (stage->count > 0) {
        write_time(out, stage->sum_ms / (double)stage->count);
        write_time(out, quantile_ms(stage, 500));
        write_time(out, quantile_ms(stage, 900));
        write_time(out, quantile_ms(stage, 990));
        write_time(out, stage->max_ms);
        write_time(out, stage->sum_ms);
    }
    buf_append_char(out, '\n');
}

static unsigned long long figure(const struct top_snapshot *snapshot, const char *name)
{
    return top_figure(snapshot, name);
}

static void write_head(struct buf *out, const struct top_snapshot *now)
{
    buf_printf(
        out, "slots     %llu: %llu running, %llu waiting; %llu done, %llu dropped, %llu refused\n",
        figure(now, "slots.slots"), figure(now, "slots.running"), figure(now, "slots.waiting"),
        figure(now, "slots.done"), figure(now, "slots.dropped"), figure(now, "slots.refused"));
    buf_printf(out, "builds    %llu made, %llu found, %llu joined; %llu kept, %llu of %llu KiB\n",
               figure(now, "builds.made"), figure(now, "builds.hits"), figure(now, "builds.joined"),
               figure(now, "builds.entries"), figure(now, "builds.bytes") / 1024,
               figure(now, "builds.bytes_max") / 1024);
    buf_printf(out,
               "prepared  %llu made, %llu failed; %llu builds quick, %llu made again plain\n\n",
               figure(now, "prepared.made"), figure(now, "prepared.failed"),
               figure(now, "prepared.quick"), figure(now, "prepared.plain"));
}

void top_table_write(struct buf *out, const struct top_snapshot *now,
                     const struct top_snapshot *before, double seconds)
{
    write_head(out, now);
    buf_printf(out, "%-9s %9s", "STAGE", "COUNT");
    if (seconds > 0)
        buf_printf(out, " %9s", "PER S");
    buf_printf(out, " %9s %9s %9s %9s %9s %9s\n", "MEAN", "P50", "P90", "P99", "MAX", "SUM");
    for (size_t i = 0; i < now->stage_count; i++) {
        struct top_stage stage = now->stages[i];
        subtract(&stage, find_stage(before, stage.name));
        write_stage(out, &stage, seconds);
    }
}
