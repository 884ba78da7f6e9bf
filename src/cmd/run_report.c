/* What `cjudge run` says about a run. */
#include "run_report.h"

#include <signal.h>
#include <string.h>

#include "base/json_writer.h"
#include "base/units.h"
#include "command.h"

/* ---- JSON ---- */

static void put_files(struct json_writer *json, const struct exec_result *result)
{
    if (result->file_count == 0)
        return;
    json_key(json, "files");
    json_object_begin(json);
    for (size_t i = 0; i < result->file_count; i++) {
        json_key(json, result->files[i].name);
        json_string_bytes(json, result->files[i].data, result->files[i].size);
    }
    json_object_end(json);
}

static void put_file_errors(struct json_writer *json, const struct exec_result *result)
{
    if (result->file_error_count == 0)
        return;
    json_key(json, "fileError");
    json_array_begin(json);
    for (size_t i = 0; i < result->file_error_count; i++) {
        const struct exec_file_error *error = &result->file_errors[i];
        json_object_begin(json);
        json_key(json, "name");
        json_string(json, error->name);
        json_key(json, "type");
        json_string(json, exec_file_error_name(error->kind));
        if (error->message != NULL && error->message[0] != '\0') {
            json_key(json, "message");
            json_string(json, error->message);
        }
        json_object_end(json);
    }
    json_array_end(json);
}

static void put_protection(struct json_writer *json, const struct sandbox_facts *facts)
{
    static const char *const kinds[] = {
        [CGROUP_NONE] = "none", [CGROUP_V1] = "v1", [CGROUP_V2] = "v2"};
    json_key(json, "protection");
    json_object_begin(json);
    json_key(json, "level");
    json_string(json, protection_name(facts->level));
    json_key(json, "cgroup");
    json_string(json,
                facts->level == PROTECTION_FULL ? kinds[facts->cgroup.kind] : kinds[CGROUP_NONE]);
    if (facts->reason[0] != '\0') {
        json_key(json, "reason");
        json_string(json, facts->reason);
    }
    json_object_end(json);
}

void report_json(const struct exec_result *result, const struct sandbox_facts *facts, unsigned line,
                 struct buf *out)
{
    struct json_writer json = json_writer_to(out, JSON_COMPACT);
    json_object_begin(&json);
    json_key(&json, "status");
    json_string(&json, exec_status_name(result->status));
    json_key(&json, "exitStatus");
    json_int(&json, result->exit_status);
    if (result->error != NULL) {
        json_key(&json, "error");
        json_string(&json, result->error);
    }
    json_key(&json, "time");
    json_int(&json, result->cpu_ns);
    json_key(&json, "memory");
    json_uint(&json, result->memory_bytes);
    json_key(&json, "runTime");
    json_int(&json, result->wall_ns);
    if (result->process_peak != 0) {
        json_key(&json, "procPeak");
        json_uint(&json, result->process_peak);
    }
    put_files(&json, result);
    put_file_errors(&json, result);
    put_protection(&json, facts);
    if (line != 0) {
        json_key(&json, "line");
        json_uint(&json, line);
    }
    json_object_end(&json);
    buf_append_char(out, '\n');
}

/* ---- for people ---- */

static const char *colour_of(enum exec_status status)
{
    return status == EXEC_ACCEPTED         ? "\033[32m"
           : status == EXEC_INTERNAL_ERROR ? "\033[35m"
                                           : "\033[31m";
}

static bool ended_by_signal(const struct exec_result *result)
{
    return result->exit_status != 0 && result->status != EXEC_NONZERO_EXIT;
}

static void print_end(struct buf *out, const struct exec_result *result)
{
    if (ended_by_signal(result))
        buf_printf(out, "signal %d (%s)", result->exit_status,
                   sigabbrev_np(result->exit_status) ? sigabbrev_np(result->exit_status) : "?");
    else
        buf_printf(out, "exit %d", result->exit_status);
}

/* Milliseconds: what people compare limits in. */
static void print_time(struct buf *out, const char *name, int64_t ns, int64_t limit_ns)
{
    char limit[UNITS_TEXT_SIZE];
    buf_printf(out, "%s %.3f s of %s", name, (double)ns / 1e9, duration_format(limit_ns, limit));
}

void report_summary(const struct exec_result *result, const struct exec_limits *limits,
                    const struct sandbox_facts *facts, bool coloured, struct buf *out)
{
    char limit[UNITS_TEXT_SIZE];
    buf_printf(out, "%s%s%s, ", coloured ? colour_of(result->status) : "",
               exec_status_name(result->status), coloured ? "\033[0m" : "");
    print_end(out, result);
    if (result->error != NULL)
        buf_printf(out, ": %s", result->error);
    buf_printf(out, "\n  ");
    print_time(out, "CPU", result->cpu_ns, limits->cpu_ns);
    buf_printf(out, ", ");
    print_time(out, "wall", result->wall_ns, limits->wall_ns);
    buf_printf(out, ", memory %.1f MiB of %s", (double)result->memory_bytes / (1024 * 1024),
               size_format(limits->memory_bytes, limit));
    if (result->process_peak != 0)
        buf_printf(out, ", processes %llu of %llu", (unsigned long long)result->process_peak,
                   (unsigned long long)limits->processes);
    buf_printf(out, "\n");
    for (size_t i = 0; i < result->file_error_count; i++)
        buf_printf(out, "  %s: %s\n", exec_file_error_name(result->file_errors[i].kind),
                   result->file_errors[i].message);
    buf_printf(out, "  protection: %s%s%s\n", protection_name(facts->level),
               facts->reason[0] != '\0' ? ": " : "", facts->reason);
}

int report_exit_status(const struct exec_result *result)
{
    switch (result->status) {
    case EXEC_ACCEPTED:
    case EXEC_NONZERO_EXIT:
        return result->exit_status;
    case EXEC_TIME_LIMIT:
        return EXIT_TIME_LIMIT;
    case EXEC_MEMORY_LIMIT:
        return EXIT_MEMORY_LIMIT;
    case EXEC_OUTPUT_LIMIT:
        return EXIT_SIGNAL_BASE + SIGXFSZ;
    case EXEC_SIGNALLED:
    case EXEC_DANGEROUS_SYSCALL:
        return EXIT_SIGNAL_BASE + result->exit_status;
    default:
        return EXIT_OURS;
    }
}
