#include "native_result.h"

#include <math.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "judge/program.h"

/* Milliseconds to the microsecond. */
static void write_ms(struct json_writer *json, const char *key, int64_t ns)
{
    json_key(json, key);
    json_double(json, round((double)ns / 1000.0) / 1000.0);
}

static void write_sha256(struct json_writer *json, const struct exec_output *output)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    char text[2 * EVP_MAX_MD_SIZE + 1] = "";
    if (EVP_Digest(output != NULL && output->size > 0 ? output->data : "",
                   output != NULL ? output->size : 0, digest, &size, EVP_sha256(), NULL) != 1)
        return;
    for (unsigned i = 0; i < size; i++)
        snprintf(text + 2 * i, 3, "%02x", digest[i]);
    json_key(json, "stdout_sha256");
    json_string(json, text);
}

static void write_output(struct json_writer *json, const char *key, const char *size_key,
                         const struct exec_output *output, uint64_t shown)
{
    size_t size = output != NULL ? output->size : 0;
    json_key(json, size_key);
    json_uint(json, size);
    json_key(json, key);
    json_string_bytes(json, size > 0 ? output->data : "", size < shown ? size : (size_t)shown);
}

static void write_run(struct json_writer *json, const struct exec_result *run)
{
    bool by_signal = run->status == EXEC_SIGNALLED || run->status == EXEC_DANGEROUS_SYSCALL ||
                     run->status == EXEC_TIME_LIMIT || run->status == EXEC_MEMORY_LIMIT ||
                     run->status == EXEC_OUTPUT_LIMIT;
    write_ms(json, "cpu_ms", run->cpu_ns);
    write_ms(json, "wall_ms", run->wall_ns);
    json_key(json, "memory_bytes");
    json_uint(json, run->memory_bytes);
    if (run->process_peak > 0) {
        json_key(json, "process_peak");
        json_uint(json, run->process_peak);
    }
    json_key(json, by_signal && run->exit_status != 0 ? "signal" : "exit_code");
    json_int(json, run->exit_status);
}

static void write_status(struct json_writer *json, const struct evaluation_result *result)
{
    json_key(json, "status");
    json_string(json, evaluation_status_name(result));
}

static void write_message(struct json_writer *json, const struct evaluation_result *result)
{
    if (result->message[0] == '\0')
        return;
    json_key(json, "message");
    json_string(json, result->message);
}

void native_case_write(struct json_writer *json, const struct native_request *request, size_t index,
                       const struct evaluation_result *result)
{
    const struct native_case *asked = &request->cases[index];
    json_key(json, "index");
    json_uint(json, index);
    if (asked->id.size > 0) {
        json_key(json, "id");
        json_string_bytes(json, asked->id.data, asked->id.size);
    }
    write_status(json, result);
    if (result->cached) {
        json_key(json, "cached");
        json_bool(json, true);
    }
    if (result->run != NULL) {
        const struct exec_output *output = judge_output(result->run, "stdout");
        write_run(json, result->run);
        write_output(json, "stdout", "stdout_bytes", output, request->stdout_shown);
        write_output(json, "stderr", "stderr_bytes", judge_output(result->run, "stderr"),
                     request->stderr_shown);
        if (request->with_sha256)
            write_sha256(json, output);
    }
    write_message(json, result);
}

void native_build_write(struct json_writer *json, const struct evaluation_result *result)
{
    write_status(json, result);
    if (result->cached) {
        json_key(json, "cached");
        json_bool(json, true);
    }
    if (result->run != NULL && result->run->wall_ns > 0) {
        write_run(json, result->run);
        write_output(json, "stdout", "stdout_bytes", judge_output(result->run, "stdout"),
                     UINT64_MAX);
        write_output(json, "stderr", "stderr_bytes", judge_output(result->run, "stderr"),
                     UINT64_MAX);
    }
    write_message(json, result);
}

void native_summary_add(struct native_summary *summary, size_t index,
                        const struct evaluation_result *result)
{
    if (result->verdict == VERDICT_ACCEPTED)
        summary->accepted++;
    else if (result->verdict != VERDICT_SKIPPED &&
             (summary->verdict == NULL || index < summary->verdict_index)) {
        summary->verdict = evaluation_status_name(result);
        summary->verdict_index = index;
    }
    if (result->run == NULL)
        return;
    summary->cpu_ns_sum += result->run->cpu_ns;
    if (result->run->cpu_ns > summary->cpu_ns_max)
        summary->cpu_ns_max = result->run->cpu_ns;
    if (result->run->wall_ns > summary->wall_ns_max)
        summary->wall_ns_max = result->run->wall_ns;
    if (result->run->memory_bytes > summary->memory_bytes_max)
        summary->memory_bytes_max = result->run->memory_bytes;
}

void native_summary_write(struct json_writer *json, const struct native_summary *summary)
{
    json_key(json, "status");
    json_string(json, summary->verdict != NULL ? summary->verdict : "Accepted");
    json_key(json, "accepted");
    json_uint(json, summary->accepted);
    json_key(json, "cases");
    json_uint(json, summary->case_count);
    write_ms(json, "cpu_ms_max", summary->cpu_ns_max);
    write_ms(json, "cpu_ms_sum", summary->cpu_ns_sum);
    write_ms(json, "wall_ms_max", summary->wall_ns_max);
    json_key(json, "memory_bytes_max");
    json_uint(json, summary->memory_bytes_max);
}
