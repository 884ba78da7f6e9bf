/* The two forms of what `cjudge languages` found. */
#include "languages_report.h"

#include <stdio.h>
#include <string.h>

#include "api/language_json.h"
#include "base/clock.h"

#define MIB (1024.0 * 1024.0)

enum mark { MARK_ABSENT, MARK_GOOD, MARK_BAD };

static void put_mark(enum mark mark, bool colour, struct buf *out)
{
    static const char *const words[] = {"-   ", "ok  ", "FAIL"};
    static const char *const colours[] = {"", "\033[32m", "\033[31m"};
    bool coloured = colour && mark != MARK_ABSENT;
    buf_printf(out, "%s%s%s  ", coloured ? colours[mark] : "", words[mark],
               coloured ? "\033[0m" : "");
}

/* Columns are counted in bytes: ids and aliases are ASCII, and names are so but for a file's own. */
static void join(const struct language_texts *texts, const char *between, char *out, size_t size)
{
    size_t used = 0;
    out[0] = '\0';
    for (size_t i = 0; i < texts->count && used < size; i++)
        used += (size_t)snprintf(out + used, size - used, "%s%s", i > 0 ? between : "",
                                 texts->items[i]);
}

/* ---- the table ---- */

void languages_write_head(bool check, bool colour, struct buf *out)
{
    buf_append_text(out, colour ? "\033[1m" : "");
    if (check)
        buf_printf(out, "      %-12s %9s %8s  %8s %8s  %8s  %s", "LANGUAGE", "BUILD", "MEMORY",
                   "HELLO", "MEMORY", "CPU", "VERDICTS");
    else
        buf_printf(out, "      %-12s %-27s %-26s %s", "LANGUAGE", "NAME", "ALIASES", "VERSION");
    buf_append_text(out, colour ? "\033[0m\n" : "\n");
}

static void put_listed(const struct language_report *report, bool colour, struct buf *out)
{
    const struct language *language = report->language;
    char aliases[256], packages[256];
    join(&language->aliases, ", ", aliases, sizeof(aliases));
    join(&language->packages, " ", packages, sizeof(packages));
    put_mark(report->facts.installed ? MARK_GOOD : MARK_ABSENT, colour, out);
    buf_printf(out, "%-12s %-27s %-26s ", language->id, language->name, aliases);
    if (report->facts.installed)
        buf_printf(out, "%s\n", report->facts.version);
    else if (packages[0] != '\0')
        buf_printf(out, "no %s: apt-get install %s\n", report->facts.missing, packages);
    else
        buf_printf(out, "no %s, and no package of Debian's has it\n", report->facts.missing);
}

static void put_checked(const struct language_report *report, bool colour, struct buf *out)
{
    const struct language_check *check = &report->check;
    const struct language_step_result *hello = &check->steps[STEP_HELLO];
    put_mark(check->good ? MARK_GOOD : MARK_BAD, colour, out);
    buf_printf(out, "%-12s", report->language->id);
    if (hello->build_wall_ns > 0)
        buf_printf(out, " %6.0f ms %4.0f MiB ", (double)hello->build_wall_ns / NS_PER_MS,
                   (double)hello->build_memory_bytes / MIB);
    else
        buf_printf(out, " %9s %8s ", "-", "-");
    buf_printf(out, " %5.0f ms %4.0f MiB  %5.0f ms ", (double)hello->wall_ns / NS_PER_MS,
               (double)hello->memory_bytes / MIB, (double)hello->cpu_ns / NS_PER_MS);
    for (int i = 0; i < LANGUAGE_STEPS; i++)
        if (check->steps[i].done && check->steps[i].good)
            buf_printf(out, " %s", language_step_name((enum language_step)i));
    buf_append_char(out, '\n');
    for (int i = 0; i < LANGUAGE_STEPS; i++)
        if (check->steps[i].done && !check->steps[i].good)
            buf_printf(out, "        %s: %s\n", language_step_name((enum language_step)i),
                       check->steps[i].message);
}

void languages_write_row(const struct language_report *report, bool check, bool colour,
                         struct buf *out)
{
    char lack[TOOLCHAIN_LACK_SIZE];
    if (!check) {
        put_listed(report, colour, out);
    } else if (report->checked) {
        put_checked(report, colour, out);
    } else {
        toolchain_lack(report->language, report->facts.missing, lack);
        put_mark(MARK_ABSENT, colour, out);
        buf_printf(out, "%-12s  %s\n", report->language->id, lack);
    }
}

/* ---- JSON ---- */

static void put_number(struct json_writer *json, const char *key, uint64_t value)
{
    json_key(json, key);
    json_uint(json, value);
}

static void put_step(const struct language_step_result *step, struct json_writer *json)
{
    json_object_begin(json);
    json_key(json, "ok");
    json_bool(json, step->good);
    put_number(json, "build_wall_ns", (uint64_t)step->build_wall_ns);
    put_number(json, "build_memory_bytes", step->build_memory_bytes);
    put_number(json, "cpu_ns", (uint64_t)step->cpu_ns);
    put_number(json, "wall_ns", (uint64_t)step->wall_ns);
    put_number(json, "memory_bytes", step->memory_bytes);
    json_key(json, "message");
    json_string(json, step->message);
    json_object_end(json);
}

static void put_text(struct json_writer *json, const char *key, const char *text)
{
    json_key(json, key);
    if (text != NULL)
        json_string(json, text);
    else
        json_null(json);
}

static void put_examples(const struct language_examples *examples, struct json_writer *json)
{
    json_key(json, "examples");
    json_object_begin(json);
    put_text(json, "hello", examples->hello);
    put_text(json, "echo", examples->echo);
    put_text(json, "error", examples->error);
    put_text(json, "loop", examples->loop);
    json_object_end(json);
}

void languages_write_json(const struct language_report *report, struct json_writer *json)
{
    json_object_begin(json);
    language_json_write(json, report->language, &report->facts);
    put_examples(&report->language->examples, json);
    if (report->checked) {
        json_key(json, "check");
        json_object_begin(json);
        json_key(json, "ok");
        json_bool(json, report->check.good);
        for (int i = 0; i < LANGUAGE_STEPS; i++) {
            if (!report->check.steps[i].done)
                continue;
            json_key(json, language_step_name((enum language_step)i));
            put_step(&report->check.steps[i], json);
        }
        json_object_end(json);
    }
    json_object_end(json);
}
