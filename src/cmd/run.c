/* `cjudge run`: a judge's time(1). Runs one program in the sandbox; its output passes through, a summary
 * goes to stderr, and the exit status is one that scripts can use. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "answer.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/priority.h"
#include "command.h"
#include "exec/exec.h"
#include "run_copies.h"
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
    struct run_copies copies;
    int cancel_fd;   /* signalfd of ending_signals */
    int input_place; /* -in, or standard input when it is a file, safe to hand over; -1 */
    int input_fd;    /* the same file, opened for the present run; -1 */
    off_t input_offset;
};

static const int ending_signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};

static int fail(const struct cj_error *err)
{
    fprintf(stderr, "cjudge run: %s\n", err->message);
    return EXIT_OURS;
}

/* ---- set-up ---- */

/* A host that gives less than could be had is said at the start, once, and what to do about it. */
static void warn_of_less(const struct session *session)
{
    const struct sandbox_facts *facts = sandbox_facts(session->sandbox);
    if (facts->level == PROTECTION_FULL || session->options.quiet)
        return;
    const char *asked = protection_name((enum protection_level)session->options.highest);
    char mend[128] = "cjudge doctor names the command; -no-fallback refuses to run so";
    if (session->options.highest != PROTECTION_FULL)
        snprintf(mend, sizeof(mend), "it was asked for by -protection %s; cjudge doctor tells more",
                 asked);
    log_warn("protection is not full", log_text("level", protection_name(facts->level)),
             log_text("reason", facts->reason), log_text("mend", mend));
}

/* Who names a subtree wants it used, not something else or nothing. */
static int check_cgroup_root(const struct session *session, struct cj_error *err)
{
    const struct run_options *options = &session->options;
    const struct sandbox_facts *facts = sandbox_facts(session->sandbox);
    if (options->cgroup_root[0] == '\0' || options->highest != PROTECTION_FULL)
        return 0;
    if (facts->level != PROTECTION_FULL)
        return error_set(err, ERROR_CONFIG, 0, "-cgroup-root %.200s: %s", options->cgroup_root,
                         facts->reason);
    if (facts->cgroup.kind != CGROUP_V2)
        return error_set(
            err, ERROR_CONFIG, 0,
            "-cgroup-root %.200s: it names a subtree of cgroup v2, and the controllers "
            "of this host are in v1 hierarchies",
            options->cgroup_root);
    return 0;
}

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
    if (result < 0 || check_cgroup_root(session, err) < 0)
        return -1;
    warn_of_less(session);
    return container_new(session->sandbox, 0, -1, &session->container, err);
}

static bool is_ignored(int number)
{
    struct sigaction found;
    return sigaction(number, NULL, &found) == 0 && found.sa_handler == SIG_IGN;
}

/* Signals that would end us end the run first: nothing of it stays, and what it used is still said.
 * Blocked ones wait for us even where they are ignored: of those nohup(1) means SIGHUP, while a shell that
 * starts us in the background ignores SIGINT and SIGQUIT for the terminal's sake, and kill(1) still counts. */
static int catch_signals(struct session *session, struct cj_error *err)
{
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < COUNT_OF(ending_signals); i++)
        if (ending_signals[i] != SIGHUP || !is_ignored(SIGHUP))
            sigaddset(&set, ending_signals[i]);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    session->cancel_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (session->cancel_fd < 0)
        return error_errno(err, "signalfd");
    return 0;
}

static int find_input(struct session *session, struct cj_error *err)
{
    struct stat info;
    if (session->options.input[0] != '\0')
        return exec_open_input(session->options.input, &session->input_place, err);
    /* A file at standard input is handed over safely; pipes and terminals are fed. Its offset is
     * where the caller left it. A script is no input of its programs. */
    if (session->options.script[0] == '\0' && fstat(STDIN_FILENO, &info) == 0 &&
        S_ISREG(info.st_mode)) {
        session->input_offset = lseek(STDIN_FILENO, 0, SEEK_CUR);
        return exec_open_input("/proc/self/fd/0", &session->input_place, err);
    }
    return 0;
}

/* A new open file for every run: offset, flags, locks and signals' owner belong to it, and whatever the
 * program made of them would reach the next run. It comes through the same read-only mount. */
static int open_input(struct session *session, struct cj_error *err)
{
    fd_close(&session->input_fd);
    if (session->input_place < 0)
        return 0;
    char link[64];
    snprintf(link, sizeof(link), "/proc/self/fd/%d", session->input_place);
    session->input_fd = open(link, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (session->input_fd < 0 || (session->input_offset > 0 &&
                                  lseek(session->input_fd, session->input_offset, SEEK_SET) < 0))
        return error_errno(err, "open the input anew");
    return 0;
}

/* ---- the request ---- */

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

/* The signal that wants us to end; 0: there is none. It stays in the queue, so that nothing after it
 * waits for anybody. */
static int waiting_signal(void)
{
    sigset_t pending;
    if (sigpending(&pending) < 0)
        return 0;
    for (size_t i = 0; i < COUNT_OF(ending_signals); i++)
        if (sigismember(&pending, ending_signals[i]) > 0)
            return ending_signals[i];
    return 0;
}

/* A cancelled run says by whom. */
static void explain_cancel(struct exec_result *result)
{
    if (result->cancelled && result->error == NULL &&
        asprintf(&result->error, "cancelled by SIG%s", sigabbrev_np(waiting_signal())) < 0)
        result->error = NULL;
}

static int answer_json(const struct session *session, const struct exec_result *result,
                       unsigned line, struct cj_error *err)
{
    auto_buf struct buf text = {0};
    report_json(result, sandbox_facts(session->sandbox), line, &text);
    if (buf_check(&text, err) < 0)
        return -1;
    if (answer_write(STDOUT_FILENO, text.data, text.size, session->cancel_fd, err) < 0)
        return error_wrap(err, "write the answer");
    return 0;
}

/* Nobody can be told that standard error does not take the summary. */
static void answer_summary(const struct session *session, const struct exec_request *request,
                           const struct exec_result *result)
{
    auto_buf struct buf text = {0};
    report_summary(result, &request->limits, sandbox_facts(session->sandbox),
                   isatty(STDERR_FILENO) != 0, &text);
    if (text.data != NULL)
        (void)!answer_write(STDERR_FILENO, text.data, text.size, session->cancel_fd, NULL);
}

/* Quiet or not: when 125 is all that a script sees, the reason is said. */
static int answer(const struct session *session, const struct exec_request *request,
                  const struct exec_result *result, unsigned line, struct cj_error *err)
{
    const struct run_options *options = &session->options;
    if (options->json || line != 0)
        return answer_json(session, result, line, err);
    if (!options->quiet || report_exit_status(result) == EXIT_OURS)
        answer_summary(session, request, result);
    return 0;
}

/* ---- runs ---- */

enum go_on { GO_ON_FAILED = -1, GO_ON_YES, GO_ON_NO };

/* One run and its answer. A signal, also one that came while the answer was written, ends what would
 * follow: *exit_status says which. */
static enum go_on run_once(struct session *session, const struct exec_request *request,
                           unsigned line, int *exit_status, struct cj_error *err)
{
    struct exec_result result;
    exec_run(session->container, &session->settings, request, session->cancel_fd, &result);
    explain_cancel(&result);
    int delivered = run_copies_deliver(&session->copies, &result, session->cancel_fd, err);
    int answered = answer(session, request, &result, line, delivered < 0 ? NULL : err);
    *exit_status = report_exit_status(&result);
    exec_result_free(&result);
    int number = waiting_signal();
    if (number != 0) {
        *exit_status = EXIT_SIGNAL_BASE + number;
        return GO_ON_NO;
    }
    return delivered < 0 || answered < 0 ? GO_ON_FAILED : GO_ON_YES;
}

/* The same program, -repeat times. */
static int run_command(struct session *session, const struct run_given *given, char **args,
                       int arg_count, struct cj_error *err)
{
    struct exec_file files[3];
    size_t env_count;
    auto_free const char **env = run_environment(given->env, given->env_count, NULL, 0, &env_count);
    if (env == NULL)
        return error_set(err, ERROR_SYSTEM, ENOMEM, "out of memory");
    const struct exec_request request = {
        .args = (const char *const *)args,
        .arg_count = (size_t)arg_count,
        .env = env,
        .env_count = env_count,
        .files = files,
        .file_count = COUNT_OF(files),
        .copy_in = given->copy_in,
        .copy_in_count = given->copy_in_count,
        .copy_out = given->copy_out,
        .copy_out_count = given->copy_out_count,
        .copy_out_max_bytes = given->copy_out_max_bytes,
        .copy_out_truncate = given->copy_out_truncate,
        .limits = exec_limits_with_defaults(given->limits, &session->settings),
    };
    int exit_status = EXIT_OURS;
    for (uint64_t i = 0; i < session->options.repeat; i++) {
        if ((i > 0 && container_reset(session->container, err) < 0) || open_input(session, err) < 0)
            return -1;
        describe_streams(session, files);
        enum go_on go_on = run_once(session, &request, 0, &exit_status, err);
        if (go_on != GO_ON_YES)
            return go_on == GO_ON_FAILED ? -1 : exit_status;
    }
    return exit_status;
}

/* The answer to a line that asks for nothing that could be run; standard error has it, too. */
static enum go_on refuse_line(const struct session *session, unsigned line, int *exit_status,
                              struct cj_error *err)
{
    struct exec_result result = {.status = EXEC_INVALID, .error = strdup(err->message)};
    auto_buf struct buf text = {0};
    buf_printf(&text, "cjudge run: %s\n", err->message);
    if (text.data != NULL)
        (void)!answer_write(STDERR_FILENO, text.data, text.size, session->cancel_fd, NULL);
    int answered = answer_json(session, &result, line, err);
    exec_result_free(&result);
    int number = waiting_signal();
    *exit_status = number != 0 ? EXIT_SIGNAL_BASE + number : EXIT_OURS;
    return number != 0 ? GO_ON_NO : answered < 0 ? GO_ON_FAILED : GO_ON_YES;
}

static int run_lines(struct session *session, struct run_script *script, struct run_given *given,
                     struct cj_error *err)
{
    int worst = 0;
    for (;;) {
        struct exec_request request;
        int exit_status;
        enum go_on go_on;
        if (open_input(session, err) < 0)
            return -1;
        given->input_fd = session->input_fd;
        int more = run_script_next(script, given, &request, err);
        if (more == 0)
            return worst;
        if (more < 0 && err->domain != ERROR_CONFIG)
            return -1;
        if (more < 0) {
            go_on = refuse_line(session, run_script_line(script), &exit_status, err);
            worst = EXIT_OURS;
        } else {
            go_on = run_once(session, &request, run_script_line(script), &exit_status, err);
            if (go_on == GO_ON_YES && container_reset(session->container, err) < 0)
                return -1;
        }
        if (go_on != GO_ON_YES)
            return go_on == GO_ON_FAILED ? -1 : exit_status;
    }
}

/* Each line of the script is one request; all run in one container. */
static int run_script(struct session *session, struct run_given *given, struct cj_error *err)
{
    struct run_script *script;
    if (run_script_open(session->options.script, &script, err) < 0)
        return -1;
    int exit_status = run_lines(session, script, given, err);
    run_script_close(script);
    return exit_status;
}

static void print_help(void)
{
    auto_buf struct buf text = {0};
    options_help(&run_option_table, 100, &text);
    printf(
        "usage: cjudge run [OPTION]... [--] PROGRAM [ARGUMENT]...\n"
        "       cjudge run --script FILE\n\n"
        "Runs PROGRAM in a fresh sandbox, in /w, with limits, and says on standard error what it "
        "used.\nOne of this directory or below, such as ./a.out, is copied in.\n\n"
        "Exit status: the program's own when it ended by itself; 124 time limit, 137 memory "
        "limit,\n128+n signal n, 153 output limit, 125 cjudge failed.\n%.*s",
        (int)text.size, text.data);
}

static struct run_given given_by(const struct session *session)
{
    const struct run_options *options = &session->options;
    return (struct run_given){
        .limits = limits_of(options),
        .output_bytes = options->output_bytes,
        .input_fd = -1,
        .env = (const char *const *)options->env.items,
        .env_count = options->env.count,
        .copy_in = session->copies.in,
        .copy_in_count = session->copies.in_count,
        .copy_out = session->copies.out,
        .copy_out_count = session->copies.out_count,
        .copy_out_max_bytes = options->copy_out_max_bytes,
        .copy_out_truncate = options->copy_out_truncate,
    };
}

static int run_session(struct session *session, char **args, int arg_count, struct cj_error *err)
{
    bool scripted = session->options.script[0] != '\0';
    if (arg_count == 0 && !scripted)
        return error_set(err, ERROR_CONFIG, 0, "no program given (see cjudge run --help)");
    if (arg_count != 0 && scripted)
        return error_set(err, ERROR_CONFIG, 0, "-script: the lines of the file name the programs");
    exec_settings_default(&session->settings);
    prctl(PR_SET_TIMERSLACK, 1UL);
    if (run_copies_read(&session->options, &session->copies, err) < 0)
        return -1;
    if (!scripted &&
        session->options.mount_conf[0] == '\0') /* of one's own, its files come first */
        run_copies_add_program(&session->copies, args[0]);
    if (open_sandbox(session, err) < 0 || catch_signals(session, err) < 0 ||
        find_input(session, err) < 0)
        return -1;
    priority_raise(0, -10); /* limits are watched by this thread */
    struct run_given given = given_by(session);
    return scripted ? run_script(session, &given, err)
                    : run_command(session, &given, args, arg_count, err);
}

int cmd_run(int argc, char **argv)
{
    struct session session = {.cancel_fd = -1, .input_place = -1, .input_fd = -1};
    struct cj_error err = {0};
    int next = 0, exit_status = 0;
    log_setup(STDERR_FILENO, LOG_FORMAT_TEXT, LOG_LEVEL_WARN); /* among lines for people */
    if (run_options_load(argc, argv, &session.options, &next, &err) < 0)
        return fail(&err);
    if (session.options.help)
        print_help();
    else
        exit_status = run_session(&session, argv + next, argc - next, &err);
    if (exit_status < 0)
        exit_status = fail(&err);
    container_free(session.container);
    sandbox_close(session.sandbox);
    fd_close(&session.input_fd);
    fd_close(&session.input_place);
    fd_close(&session.cancel_fd);
    run_copies_free(&session.copies);
    options_free(&run_option_table, &session.options);
    return exit_status;
}
