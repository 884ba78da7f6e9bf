/* cjudge doctor's real run: the sandbox as `cjudge run` opens it, with the best protection there is. */
#include <stdio.h>

#include "command.h"
#include "doctor.h"
#include "exec/exec.h"
#include "sandbox/container.h"
#include "sandbox/mount_config.h"
#include "sandbox/sandbox.h"

static int run_true(struct container *container, char *summary, size_t size, struct cj_error *err)
{
    static const char *const args[] = {"/bin/true"};
    const struct exec_file files[] = {
        {.kind = EXEC_FILE_CONTENT},
        {.kind = EXEC_FILE_COLLECT, .name = "stdout", .max = 4096},
        {.kind = EXEC_FILE_COLLECT, .name = "stderr", .max = 4096},
    };
    const struct exec_request request = {
        .args = args, .arg_count = 1, .files = files, .file_count = COUNT_OF(files)};
    struct exec_settings settings;
    struct exec_result result;
    exec_settings_default(&settings);
    exec_run(container, &settings, &request, -1, &result);
    snprintf(summary, size, "/bin/true: %s, %.1f ms CPU, %.1f ms wall, %.1f MiB, protection %s",
             exec_status_name(result.status), (double)result.cpu_ns / 1e6,
             (double)result.wall_ns / 1e6, (double)result.memory_bytes / (1024 * 1024),
             protection_name(container_facts(container)->level));
    int outcome = result.status == EXEC_ACCEPTED
                      ? 0
                      : error_set(err, ERROR_INTERNAL, 0, "/bin/true in the sandbox: %s%s%s",
                                  exec_status_name(result.status), result.error ? ": " : "",
                                  result.error ? result.error : "");
    exec_result_free(&result);
    return outcome;
}

static int try_run(enum protection_level expected, char *summary, char *cold, size_t size,
                   struct cj_error *err)
{
    struct mount_config mounts;
    if (mount_config_default("size=16m,nr_inodes=1k", &mounts, err) < 0)
        return -1;
    const struct sandbox_options options = {
        .mounts = &mounts, .warm_runs = 1, .required = expected, .highest = PROTECTION_FULL};
    struct sandbox *sandbox = NULL;
    struct container *container = NULL;
    int result = sandbox_open(&options, &sandbox, err);
    mount_config_free(&mounts);
    if (result == 0) {
        snprintf(cold, size, "%s", sandbox_facts(sandbox)->warm_reason);
        result = container_new(sandbox, 0, -1, &container, err);
    }
    if (result == 0)
        result = run_true(container, summary, size, err);
    container_free(container);
    sandbox_close(sandbox);
    return result;
}

int cmd_doctor(int argc, char **argv)
{
    static const struct doctor_hooks hooks = {.try_run = try_run};
    return cmd_doctor_with(argc, argv, &hooks);
}
