/* `cjudge run`: a judge's time(1). Runs one program in the sandbox; its output passes through, a summary
 * goes to stderr, and the exit status is one that scripts can use. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/io.h"
#include "command.h"
#include "exec/exec.h"
#include "run_options.h"
#include "run_report.h"
#include "run_script.h"
#include "sandbox/container.h"
#include "sandbox/mount_config.h"
#include "sandbox/sandbox.h"

/* What one `cjudge run` holds. */
struct session {
    struct run_options options;
    struct exec_settings settings;
    struct sandbox *sandbox;
    struct container *container;
    int cancel_fd; /* signalfd: SIGINT, SIGTERM, SIGHUP, SIGQUIT */
    int input_fd;  /* -in, or standard input when it is a file; -1 */
    off_t input_offset;
};

static int fail(const struct cj_error *err)
{
    fprintf(stderr, "cjudge run: %s\n", err->message);
    return EXIT_OURS;
}

/* ---- set-up ---- */

static int open_sandbox(struct session *session, struct cj_error *err)
{
    const struct run_options *options = &session->options;
    struct mount_config mounts = {0};
    int result = options->mount_conf[0] != '\0'
                     ? mount_config_load(options->mount_conf, options->tmpfs_data, &mounts, err)
                     : mount_config_default(options->tmpfs_data, &mounts, err);
    if (result < 0)
        return -1;
    const struct sandbox_options sandbox_options = {
        .mounts = &mounts,
        .seccomp_file = options->seccomp_conf[0] != '\0' ? options->seccomp_conf : NULL,
        .cgroup_prefix = options->cgroup_prefix,
        .cgroup_root = options->cgroup_root[0] != '\0' ? options->cgroup_root : NULL,
        .id_base = (uint32_t)options->id_base,
        .share_net = options->share_net,
        .loopback = options->loopback,
        .required = (enum protection_level)options->required,
        .highest = (enum protection_level)options->highest,
    };
    result = sandbox_open(&sandbox_options, &session->sandbox, err);
    mount_config_free(&mounts);
    if (result < 0)
        return -1;
    return container_new(session->sandbox, 0, -1, &session->container, err);
}

/* Signals that would end us end the run first: nothing of it stays, and what it used is still said. */
static int catch_signals(struct session *session, struct cj_error *err)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGQUIT);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    session->cancel_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (session->cancel_fd < 0)
        return error_errno(err, "signalfd");
    return 0;
}

static int open_input(struct session *session, struct cj_error *err)
{
    struct stat info;
    if (session->options.input[0] != '\0')
        return exec_open_input(session->options.input, &session->input_fd, err);
    /* A file at standard input is handed over safely; pipes and terminals are fed. Its offset is
     * where the caller left it. */
    if (fstat(STDIN_FILENO, &info) == 0 && S_ISREG(info.st_mode)) {
        if (exec_open_input("/proc/self/fd/0", &session->input_fd, err) < 0)
            return -1;
        session->input_offset = lseek(STDIN_FILENO, 0, SEEK_CUR);
        if (lseek(session->input_fd, session->input_offset, SEEK_SET) < 0)
            return error_errno(err, "standard input");
    }
    return 0;
}

/* ---- the request ---- */

/* "SRC:PATH" or "SRC": the last colon counts, so that SRC may hold some. */
static struct exec_copy_in copy_in_of(char *item)
{
    char *colon = strrchr(item, ':');
    if (colon != NULL)
        *colon = '\0';
    const char *name = colon != NULL ? colon + 1 : strrchr(item, '/');
    if (colon == NULL)
        name = name != NULL ? name + 1 : item;
    return (struct exec_copy_in){.name = name, .kind = EXEC_COPY_PATH, .data = item};
}

/* "PATH", "PATH?", "PATH:DEST", "PATH?:DEST". */
static struct exec_copy_out copy_out_of(char *item, const char **destination)
{
    char *colon = strrchr(item, ':');
    *destination = colon != NULL ? colon + 1 : NULL;
    if (colon != NULL)
        *colon = '\0';
    size_t length = strlen(item);
    bool optional = length > 1 && item[length - 1] == '?';
    if (optional)
        item[length - 1] = '\0';
    return (struct exec_copy_out){.name = item, .optional = optional};
}

static struct exec_limits limits_of(const struct run_options *options)
{
    return (struct exec_limits){
        .cpu_ns = options->cpu_ns,
        .wall_ns = options->wall_ns,
        .memory_bytes = options->memory_bytes,
        .processes = options->processes,
        .stack_bytes = options->stack_bytes,
        .file_size_bytes = options->file_size_bytes,
        .open_files = options->open_files,
        .data_segment = options->data_segment,
        .address_space = options->address_space,
        .cpu_rate = options->cpu_rate,
        .cpu_set = options->cpu_set[0] != '\0' ? options->cpu_set : NULL,
    };
}

static void describe_streams(const struct session *session, struct exec_file files[3])
{
    const struct run_options *options = &session->options;
    if (session->input_fd >= 0)
        files[0] = (struct exec_file){.kind = EXEC_FILE_FD, .fd = session->input_fd};
    else
        files[0] = (struct exec_file){.kind = EXEC_FILE_FEED, .fd = STDIN_FILENO};
    static const char *const names[] = {NULL, "stdout", "stderr"};
    for (int i = 1; i < 3; i++)
        files[i] = (struct exec_file){
            .kind = options->json ? EXEC_FILE_COLLECT : EXEC_FILE_FORWARD,
            .fd = i,
            .name = names[i],
            .max = options->output_bytes,
        };
}

/* ---- the answer ---- */

static int write_out(const struct exec_output *file, const char *destination, struct cj_error *err)
{
    auto_fd int fd = open(destination, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0)
        return error_errno(err, "copy out to %s", destination);
    if (write_full(fd, file->data, file->size) < 0)
        return error_errno(err, "copy out to %s", destination);
    return 0;
}

/* Files go where they were wanted and leave the answer; without -json all of them go somewhere. */
static int deliver(const struct session *session, const struct exec_copy_out *wanted,
                   const char *const *destinations, struct exec_result *result,
                   struct cj_error *err)
{
    size_t kept = 0;
    for (size_t i = 0; i < result->file_count; i++) {
        struct exec_output *file = &result->files[i];
        const char *destination = NULL;
        for (size_t k = 0; k < session->options.copy_out.count; k++) {
            if (strcmp(file->name, wanted[k].name) != 0)
                continue;
            const char *slash = strrchr(wanted[k].name, '/');
            destination = destinations[k];
            if (destination == NULL && !session->options.json)
                destination = slash != NULL ? slash + 1 : wanted[k].name;
        }
        if (destination == NULL) {
            result->files[kept++] = *file;
            continue;
        }
        int written = write_out(file, destination, err);
        exec_output_free(file);
        if (written < 0) {
            while (++i < result->file_count)
                result->files[kept++] = result->files[i];
            result->file_count = kept;
            return -1;
        }
    }
    result->file_count = kept;
    return 0;
}

/* A cancelled run says by whom. Returns the signal; 0: it was not cancelled. */
static int take_signal(const struct session *session, struct exec_result *result)
{
    struct signalfd_siginfo info = {.ssi_signo = SIGTERM};
    if (!result->cancelled)
        return 0;
    (void)!read(session->cancel_fd, &info, sizeof(info));
    int number = (int)info.ssi_signo;
    if (result->error == NULL &&
        asprintf(&result->error, "cancelled by SIG%s", sigabbrev_np(number)) < 0)
        result->error = NULL;
    return number;
}

/* Quiet or not: when 125 is all that a script sees, the reason is said. */
static int report(const struct session *session, const struct exec_request *request,
                  const struct exec_result *result, struct cj_error *err)
{
    const struct sandbox_facts *facts = sandbox_facts(session->sandbox);
    if (session->options.json)
        return report_json(stdout, result, facts, err);
    if (!session->options.quiet || report_exit_status(result) == EXIT_OURS)
        report_summary(stderr, result, &request->limits, facts);
    return 0;
}

/* ---- runs ---- */

static int run_once(struct session *session, const struct exec_request *request,
                    const char *const *destinations, int *exit_status, struct cj_error *err)
{
    struct exec_result result;
    exec_run(session->container, &session->settings, request, session->cancel_fd, &result);
    int number = take_signal(session, &result);
    int done = deliver(session, request->copy_out, destinations, &result, err);
    if (report(session, request, &result, done < 0 ? NULL : err) < 0)
        done = -1;
    *exit_status = number != 0 ? EXIT_SIGNAL_BASE + number : report_exit_status(&result);
    exec_result_free(&result);
    return done < 0 ? -1 : number != 0;
}

static int run_command(struct session *session, char **args, int arg_count, struct cj_error *err)
{
    struct run_options *options = &session->options;
    size_t in_count = options->copy_in.count, out_count = options->copy_out.count;
    auto_free struct exec_copy_in *copy_in = calloc(in_count + 1, sizeof(*copy_in));
    auto_free struct exec_copy_out *copy_out = calloc(out_count + 1, sizeof(*copy_out));
    auto_free const char **destinations = calloc(out_count + 1, sizeof(*destinations));
    size_t env_count;
    auto_free const char **env =
        run_environment((const char *const *)options->env.items, options->env.count, &env_count);
    if (copy_in == NULL || copy_out == NULL || destinations == NULL || env == NULL)
        return error_set(err, ERROR_SYSTEM, ENOMEM, "out of memory");
    for (size_t i = 0; i < in_count; i++)
        copy_in[i] = copy_in_of(options->copy_in.items[i]);
    for (size_t i = 0; i < out_count; i++)
        copy_out[i] = copy_out_of(options->copy_out.items[i], &destinations[i]);
    struct exec_file files[3];
    if (open_input(session, err) < 0)
        return -1;
    describe_streams(session, files);
    const struct exec_request request = {
        .args = (const char *const *)args,
        .arg_count = (size_t)arg_count,
        .env = env,
        .env_count = env_count,
        .files = files,
        .file_count = COUNT_OF(files),
        .copy_in = copy_in,
        .copy_in_count = in_count,
        .copy_out = copy_out,
        .copy_out_count = out_count,
        .copy_out_max_bytes = options->copy_out_max_bytes,
        .copy_out_truncate = options->copy_out_truncate,
        .limits = exec_limits_with_defaults(limits_of(options), &session->settings),
    };
    int exit_status = EXIT_OURS;
    for (uint64_t i = 0; i < options->repeat; i++) {
        if (i > 0 && session->input_fd >= 0 &&
            lseek(session->input_fd, session->input_offset, SEEK_SET) < 0)
            return error_errno(err, "rewind the input");
        int done = run_once(session, &request, destinations, &exit_status, err);
        if (done < 0)
            return -1;
        if (done > 0)
            break;
        if (i + 1 < options->repeat && container_reset(session->container, err) < 0)
            return -1;
    }
    return exit_status;
}

/* Each line of the script is one request; all run in one container. */
static int run_script(struct session *session, struct cj_error *err)
{
    struct run_script *script;
    if (run_script_open(session->options.script, &script, err) < 0)
        return -1;
    const struct exec_limits limits = limits_of(&session->options);
    int more, exit_status = 0;
    struct exec_request request;
    while ((more = run_script_next(script, &limits, session->options.output_bytes, &request, err)) >
           0) {
        struct exec_result result;
        exec_run(session->container, &session->settings, &request, session->cancel_fd, &result);
        int number = take_signal(session, &result);
        int reported = report_json(stdout, &result, sandbox_facts(session->sandbox), err);
        exec_result_free(&result);
        if (number != 0)
            exit_status = EXIT_SIGNAL_BASE + number;
        if (reported < 0 || (number == 0 && container_reset(session->container, err) < 0))
            more = -1;
        if (more < 0 || number != 0)
            break;
    }
    run_script_close(script);
    return more < 0 ? -1 : exit_status;
}

static void print_help(void)
{
    auto_buf struct buf text = {0};
    options_help(&run_option_table, 100, &text);
    printf(
        "usage: cjudge run [OPTION]... [--] PROGRAM [ARGUMENT]...\n"
        "       cjudge run --script FILE\n\n"
        "Runs PROGRAM in a fresh sandbox, in /w, with limits, and says on standard error what it "
        "used.\n\n"
        "Exit status: the program's own when it ended by itself; 124 time limit, 137 memory "
        "limit,\n128+n signal n, 153 output limit, 125 cjudge failed.\n%.*s",
        (int)text.size, text.data);
}

/* 0 never means "none": a limit that was asked for has to limit something. */
static int check_zeros(const struct run_options *options, const uint8_t *origins,
                       struct cj_error *err)
{
    const struct {
        const char *name;
        uint64_t value;
    } positive[] = {
        {"cpu", (uint64_t)options->cpu_ns},
        {"wall", (uint64_t)options->wall_ns},
        {"memory", options->memory_bytes},
        {"procs", options->processes},
        {"stack", options->stack_bytes},
        {"file-size", options->file_size_bytes},
        {"open-files", options->open_files},
        {"repeat", options->repeat},
        {"copy-out-max", options->copy_out_max_bytes},
    };
    for (size_t i = 0; i < COUNT_OF(positive); i++) {
        const struct option_spec *spec = options_find(&run_option_table, positive[i].name);
        if (positive[i].value == 0 && origins[spec - run_option_table.specs] != OPTION_FROM_DEFAULT)
            return error_set(err, ERROR_CONFIG, 0, "-%s 0: must be more than 0", positive[i].name);
    }
    return 0;
}

/* What the option table cannot know. */
static int check_options(const struct run_options *options, struct cj_error *err)
{
    for (size_t i = 0; i < options->env.count; i++)
        if (strchr(options->env.items[i], '=') == NULL || options->env.items[i][0] == '=')
            return error_set(err, ERROR_CONFIG, 0, "-env %.200s: write NAME=VALUE",
                             options->env.items[i]);
    if (options->id_base > UINT32_MAX)
        return error_set(err, ERROR_CONFIG, 0, "-container-cred-start %ju: ids end at %u",
                         (uintmax_t)options->id_base, UINT32_MAX);
    return 0;
}

static int run_session(struct session *session, char **args, int arg_count, struct cj_error *err)
{
    bool scripted = session->options.script[0] != '\0';
    if (arg_count == 0 && !scripted)
        return error_set(err, ERROR_CONFIG, 0, "no program given (see cjudge run --help)");
    if (arg_count != 0 && scripted)
        return error_set(err, ERROR_CONFIG, 0, "-script: the lines of the file name the programs");
    if (check_options(&session->options, err) < 0)
        return -1;
    exec_settings_default(&session->settings);
    prctl(PR_SET_TIMERSLACK, 1UL);
    if (open_sandbox(session, err) < 0 || catch_signals(session, err) < 0)
        return -1;
    (void)setpriority(PRIO_PROCESS, 0, -10); /* limits are watched by this thread; root only */
    return scripted ? run_script(session, err) : run_command(session, args, arg_count, err);
}

int cmd_run(int argc, char **argv)
{
    struct session session = {.cancel_fd = -1, .input_fd = -1};
    struct cj_error err = {0};
    int next = 0;
    auto_free uint8_t *origins = calloc(run_option_table.count, sizeof(*origins));
    if (origins == NULL)
        return EXIT_OURS;
    if (options_load(&run_option_table, argc, argv, NULL, &session.options, origins, &next, &err) <
        0)
        return fail(&err);
    int exit_status = 0;
    if (session.options.help)
        print_help();
    else if (check_zeros(&session.options, origins, &err) < 0)
        exit_status = -1;
    else
        exit_status = run_session(&session, argv + next, argc - next, &err);
    if (exit_status < 0)
        exit_status = fail(&err);
    container_free(session.container);
    sandbox_close(session.sandbox);
    fd_close(&session.input_fd);
    fd_close(&session.cancel_fd);
    options_free(&run_option_table, &session.options);
    return exit_status;
}
