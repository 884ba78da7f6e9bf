/* The service's settings. */
#include "settings.h"

#include <errno.h>
#include <sched.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"

/* ---- the table ---- */

#define AT(field) .offset = offsetof(struct settings, field)

static const char *const protection_levels[] = {
    [PROTECTION_FULL] = "full",           [PROTECTION_NO_CGROUP] = "no-cgroup",
    [PROTECTION_NO_USERNS] = "no-userns", [PROTECTION_NONE] = "none",
    [PROTECTION_LEVELS] = NULL,
};

static const char *const template_sandboxes[] = {
    [TEMPLATE_AUTO] = "auto", [TEMPLATE_INSIDE] = "inside", [TEMPLATE_HOST] = "host", NULL};

static const char *const prepare_choices[] = {
    [PREPARE_AT_USE] = "use", [PREPARE_AT_START] = "start", [PREPARE_OFF] = "off", NULL};

static const struct option_spec specs[] = {
/* clang-format off */
#define GROUP .group = "Doors"
    {"http-addr", OPTION_STRING, AT(http_addr), "localhost:5050", .metavar = "HOST:PORT", GROUP,
     .help = "where the REST API listens, also unix:/PATH; as process 1: :5050"},
    {"judge-addr", OPTION_STRING, AT(judge_addr), "localhost:8000", .metavar = "HOST:PORT", GROUP,
     .help = "where the batch judging API listens (off: nowhere); as process 1: :8000"},
    {"enable-grpc", OPTION_BOOL, AT(enable_grpc), GROUP,
     .help = "open the gRPC API", .status = OPTION_PLANNED},
    {"grpc-addr", OPTION_STRING, AT(grpc_addr), "localhost:5051", .metavar = "HOST:PORT", GROUP,
     .help = "where the gRPC API listens; as process 1: :5051", .status = OPTION_PLANNED},
    {"grpc-msg-size", OPTION_SIZE, AT(grpc_message_bytes), "64m", GROUP,
     .help = "largest gRPC message taken", .status = OPTION_PLANNED},
    {"monitor-addr", OPTION_STRING, AT(monitor_addr), "localhost:5052", .metavar = "HOST:PORT",
     GROUP, .help = "where metrics are served, never asking for a token; as process 1: :5052",
     .status = OPTION_PLANNED},
    {"enable-metrics", OPTION_BOOL, AT(enable_metrics), GROUP,
     .help = "serve Prometheus metrics", .status = OPTION_PLANNED},
    {"auth-token", OPTION_STRING, AT(auth_token), .metavar = "TOKEN", GROUP,
     .help = "ask for this bearer token; better set as a variable, which other users cannot see"},
    {"max-body", OPTION_SIZE, AT(max_body_bytes), "1g", GROUP,
     .help = "largest request body; more is answered with 413"},
    {"max-connections", OPTION_COUNT, AT(max_connections), "4096", GROUP,
     .help = "clients that are connected at once; more wait"},
    {"header-timeout", OPTION_DURATION, AT(header_timeout_ns), "30s", GROUP,
     .help = "how long the head of a request may take"},
    {"idle-timeout", OPTION_DURATION, AT(idle_timeout_ns), "2m", GROUP,
     .help = "close a connection that sends no request for so long"},
    {"drain-timeout", OPTION_DURATION, AT(drain_timeout_ns), "8s", GROUP,
     .help = "at the end, how long requests that were taken may go on; docker stop waits 10s"},
#undef GROUP
#define GROUP .group = "Runs"
    {"parallelism", OPTION_COUNT, AT(parallelism), .default_note = "one for each CPU", GROUP,
     .help = "programs that run at once"},
    {"cpuset", OPTION_LIST, AT(cpuset), GROUP, .metavar = "CPUS,CPUS,...",
     .help = "one slot for each entry (2 or 0-3), bound to these CPUs; -parallelism then does not "
             "count"},
    {"default-cpu-limit", OPTION_DURATION, AT(default_cpu_ns), "10s", GROUP,
     .help = "CPU time of a run that says nothing itself"},
    {"default-clock-limit", OPTION_DURATION, AT(default_wall_ns), "0", GROUP,
     .default_note = "2 x CPU limit + 1 s", .help = "wall time of a run that says nothing itself"},
    {"default-memory-limit", OPTION_SIZE, AT(default_memory_bytes), "256m", GROUP,
     .help = "memory of a run that says nothing itself"},
    {"default-proc-limit", OPTION_COUNT, AT(default_processes), "64", GROUP,
     .help = "processes and threads of a run that says nothing itself"},
    {"extra-memory-limit", OPTION_SIZE, AT(extra_memory_bytes), "16k", GROUP,
     .help = "added to the memory limit that is enforced"},
    {"output-limit", OPTION_SIZE, AT(output_bytes), "256m", GROUP,
     .help = "largest file a program may write (RLIMIT_FSIZE)"},
    {"copy-out-limit", OPTION_SIZE, AT(copy_out_bytes), "256m", GROUP,
     .help = "largest file copied out when a request says nothing itself"},
    {"open-file-limit", OPTION_COUNT, AT(open_files), "256", GROUP,
     .help = "descriptors of a program (RLIMIT_NOFILE)"},
    {"enable-cpu-rate", OPTION_BOOL, AT(enable_cpu_rate), GROUP,
     .help = "honour cpuRateLimit of requests"},
    {"cpu-cfs-period", OPTION_DURATION, AT(cpu_period_ns), "100ms", GROUP,
     .help = "period of CPU rates"},
    {"pass-env", OPTION_LIST, AT(pass_env), .metavar = "NAME,NAME,...", GROUP,
     .help = "variables of the service that programs of the batch judging API see"},
    {"warm-runs", OPTION_COUNT, AT(warm_runs), "500", GROUP,
     .help = "interpreters are kept warm, and renewed after so many runs; 0: each run starts its own"},
    {"warm-preload", OPTION_BOOL, AT(warm_preload), "true", GROUP,
     .help = "such interpreters import ahead what preload of a language names (numpy)"},
    {"queue-length", OPTION_COUNT, AT(queue_length), "512", GROUP,
     .help = "requests that wait for a slot; more are answered with 503"},
    {"no-pinning", OPTION_BOOL, AT(no_pinning), GROUP,
     .help = "leave slots and their programs to the scheduler instead of binding each to a CPU"},
#undef GROUP
#define GROUP .group = "Batch judging"
    {"languages", OPTION_STRING, AT(languages), .metavar = "FILE", .default_note = "built in", GROUP,
     .help = "what can be judged and how; share/languages.yaml is the built-in one"},
    {"max-execution-time", OPTION_COUNT, AT(max_execution_s), "10", .env = "MAX_EXECUTION_TIME",
     .metavar = "SECONDS", GROUP, .help = "wall time, and CPU time, of a submission"},
    {"max-memory", OPTION_COUNT, AT(max_memory_mib), "256", .env = "MAX_MEMORY", .metavar = "MIB",
     GROUP, .help = "memory of a submission; Python gets 128 more; 0: a slot's share of the machine"},
    {"max-stdout-error-length", OPTION_COUNT, AT(max_text_characters), "1000",
     .env = "MAX_STDOUT_ERROR_LENGTH", GROUP,
     .help = "characters of stdout and of stderr that come back"},
    {"judge-output-limit", OPTION_SIZE, AT(judge_output_bytes), "64m", GROUP,
     .help = "what a submission may write to stdout, and to stderr"},
    {"artifact-limit", OPTION_SIZE, AT(artifact_bytes), "256m", GROUP,
     .help = "programs kept for /v1/build take no more; the least recently used go first"},
    {"build-cache", OPTION_SIZE, AT(build_cache_bytes), "256m", GROUP,
     .help = "what was built is kept up to this size, and not built again; the least recently used goes "
             "first; 0: each submission is built"},
    {"prepare", OPTION_CHOICE, AT(prepare), "use", .choices = prepare_choices, GROUP,
     .help = "what makes builds quick (precompiled headers and the like) is made when a build first wants it, "
             "from the start, or never"},
    {"prepare-dir", OPTION_STRING, AT(prepare_dir), "/var/tmp", .metavar = "DIRECTORY", GROUP,
     .help = "where that lies, in a folder of our own that is removed at exit; some 100 MB for each C++ standard"},
    {"max-workers", OPTION_COUNT, AT(max_workers), "0", .env = "MAX_WORKERS",
     .default_note = "as -parallelism", GROUP,
     .help = "code-judge's name for -parallelism, which comes first"},
    {"max-queue-work-life-time", OPTION_COUNT, AT(queue_life_s), "4",
     .env = "MAX_QUEUE_WORK_LIFE_TIME", .metavar = "SECONDS", GROUP,
     .help = "a submission that has not begun within it is a queue_timeout"},
    {"long-batch-max-queue-wait-time", OPTION_COUNT, AT(long_queue_life_s), "3615",
     .env = "LONG_BATCH_MAX_QUEUE_WAIT_TIME", .metavar = "SECONDS", GROUP,
     .help = "the same for those of a long batch"},
    {"error-case-save-path", OPTION_STRING, AT(error_case_path), .env = "ERROR_CASE_SAVE_PATH",
     .metavar = "DIRECTORY", .default_note = "none are kept", GROUP,
     .help = "keep submissions that did not succeed, and what they printed"},
    {"python-executor-path", OPTION_STRING, AT(python_executor), "python3",
     .env = "PYTHON_EXECUTOR_PATH", .metavar = "FILE", GROUP,
     .help = "interpreter of python; one outside of /usr is shown to programs with its packages"},
    {"cpp-compiler-path", OPTION_STRING, AT(cpp_compiler), "g++", .env = "CPP_COMPILER_PATH",
     .metavar = "FILE", GROUP, .help = "compiler of cpp"},
    {"python-execute-command", OPTION_STRING, AT(python_command), .env = "PYTHON_EXECUTE_COMMAND",
     .metavar = "TEMPLATE", .default_note = "PYTHON {source}", GROUP,
     .help = "how python runs; {source} and {workdir} are filled in"},
    {"cpp-compile-command", OPTION_STRING, AT(cpp_compile_command), .env = "CPP_COMPILE_COMMAND",
     .metavar = "TEMPLATE", .default_note = "COMPILER -O2 -o {exe} {source}", GROUP,
     .help = "how cpp is compiled; {source}, {exe} and {workdir} are filled in"},
    {"cpp-execute-command", OPTION_STRING, AT(cpp_command), "{exe}", .env = "CPP_EXECUTE_COMMAND",
     .metavar = "TEMPLATE", GROUP, .help = "how cpp runs; {exe} and {workdir} are filled in"},
    {"template-sandbox", OPTION_CHOICE, AT(template_sandbox), "auto",
     .choices = template_sandboxes, GROUP,
     .help = "where templates run: in our sandbox, or on the host, for those that start a sandbox of "
             "their own (docker, podman, firejail, bwrap, nsjail); auto tells by the command"},
#undef GROUP
#define GROUP .group = "Files"
    {"dir", OPTION_STRING, AT(dir), .metavar = "DIRECTORY", GROUP,
     .default_note = "our own in /dev/shm, removed at exit", .help = "where stored files live"},
    {"file-timeout", OPTION_DURATION, AT(file_timeout_ns), "0", .default_note = "never", GROUP,
     .help = "remove stored files after this time"},
    {"file-store-limit", OPTION_SIZE, AT(file_store_bytes), "0", GROUP,
     .default_note = "a quarter of the memory",
     .help = "stored files in memory take no more than this; without -dir only"},
    {"src-prefix", OPTION_LIST, AT(src_prefixes), .metavar = "PATH,PATH,...", GROUP,
     .default_note = "every path", .help = "host paths below which requests may name files as src"},
#undef GROUP
#define GROUP .group = "Containers"
    {"require", OPTION_CHOICE, AT(require), "no-userns", .choices = protection_levels, GROUP,
     .help = "do not start with less protection than this level"},
    {"no-fallback", OPTION_BOOL, AT(no_fallback), GROUP, .help = "the same as -require full"},
    {"mount-conf", OPTION_STRING, AT(mount_conf), "mount.yaml", .metavar = "FILE", GROUP,
     .help = "what containers see of the host; built-in mounts when there is no file of the default "
             "name"},
    {"seccomp-conf", OPTION_STRING, AT(seccomp_conf), "seccomp.yaml", .metavar = "FILE", GROUP,
     .help = "system calls programs may use; built-in filter when there is no file of the default "
             "name"},
    {"tmp-fs-param", OPTION_STRING, AT(tmpfs_data), "size=128m,nr_inodes=4k", .metavar = "OPTIONS",
     GROUP,
     .help = "options of the tmpfs at /w, /tmp and /dev/shm when there is no -mount-conf file"},
    {"net-share", OPTION_BOOL, AT(net_share), GROUP,
     .help = "leave programs in the host's network: they reach whatever the host reaches"},
    {"net-loopback", OPTION_BOOL, AT(net_loopback), GROUP,
     .help = "bring up a loopback of their own for programs; a run that used it costs a new "
             "namespace"},
    {"container-cred-start", OPTION_COUNT, AT(id_base), "1879048192", .metavar = "UID", GROUP,
     .help = "first of the host uids and gids that containers use, one for each; 0: the default; "
             "nobody else may own ids above it"},
    {"cgroup-prefix", OPTION_STRING, AT(cgroup_prefix), "cjudge", .metavar = "NAME", GROUP,
     .help = "directory of our cgroups (go-judge's is gojudge)"},
    {"cgroup-root", OPTION_STRING, AT(cgroup_root), .metavar = "DIRECTORY", GROUP,
     .default_note = "found", .help = "cgroup v2 subtree that was delegated to us"},
#undef GROUP
#define GROUP .group = "Log"
    {"release", OPTION_BOOL, AT(release), GROUP,
     .help = "JSON lines also on a terminal; as process 1: true"},
    {"silent", OPTION_BOOL, AT(silent), GROUP, .help = "log nothing"},
    {"enable-debug", OPTION_BOOL, AT(enable_debug), GROUP, .help = "log details"},
#undef GROUP
#define GROUP .group = "Accepted from go-judge's command lines", .status = OPTION_NO_EFFECT
    {"container-init-path", OPTION_STRING, AT(container_init_path), .metavar = "FILE", GROUP,
     .help = "containers start a program that is built in"},
    {"pre-fork", OPTION_COUNT, AT(pre_fork), "1", GROUP,
     .help = "every slot has its container from the start"},
    {"time-limit-checker-interval", OPTION_DURATION, AT(checker_interval_ns), "100ms", GROUP,
     .help = "a timer is set to the moment at which a limit can be passed"},
    {"force-gc-target", OPTION_SIZE, AT(force_gc_bytes), "20m", GROUP,
     .help = "there is no garbage collector"},
    {"force-gc-interval", OPTION_DURATION, AT(force_gc_interval_ns), "5s", GROUP,
     .help = "there is no garbage collector"},
#undef GROUP
#define GROUP .group = "Accepted from code-judge's environment", .status = OPTION_NO_EFFECT
    {"run-workers", OPTION_COUNT, AT(run_workers), "0", .env = "RUN_WORKERS", GROUP,
     .help = "slots are part of the service"},
    {"max-batch-chunk-size", OPTION_COUNT, AT(batch_chunk), "2", .env = "MAX_BATCH_CHUNK_SIZE",
     GROUP, .help = "a batch is fed to the slots one by one"},
    {"max-long-batch-chunk-size", OPTION_COUNT, AT(long_batch_chunk), "100",
     .env = "MAX_LONG_BATCH_CHUNK_SIZE", GROUP, .help = "a batch is fed to the slots one by one"},
    {"redis-uri", OPTION_STRING, AT(redis_uri), .env = "REDIS_URI", .metavar = "URI", GROUP,
     .help = "this service needs no Redis"},
    {"redis-key-prefix", OPTION_STRING, AT(redis_key_prefix), .env = "REDIS_KEY_PREFIX",
     .metavar = "PREFIX", GROUP, .help = "this service needs no Redis"},
    {"redis-result-queue-prefix", OPTION_STRING, AT(redis_result_queue_prefix), .env = "REDIS_RESULT_QUEUE_PREFIX",
     .metavar = "PREFIX", GROUP, .help = "this service needs no Redis"},
    {"redis-worker-id-prefix", OPTION_STRING, AT(redis_worker_id_prefix), .env = "REDIS_WORKER_ID_PREFIX",
     .metavar = "PREFIX", GROUP, .help = "this service needs no Redis"},
    {"redis-result-expire", OPTION_STRING, AT(redis_result_expire), .env = "REDIS_RESULT_EXPIRE",
     .metavar = "SECONDS", GROUP, .help = "this service needs no Redis"},
    {"redis-result-long-batch-expire", OPTION_STRING, AT(redis_result_long_batch_expire), .env = "REDIS_RESULT_LONG_BATCH_EXPIRE",
     .metavar = "SECONDS", GROUP, .help = "this service needs no Redis"},
    {"redis-work-queue-block-timeout", OPTION_STRING, AT(redis_work_queue_block_timeout), .env = "REDIS_WORK_QUEUE_BLOCK_TIMEOUT",
     .metavar = "SECONDS", GROUP, .help = "this service needs no Redis"},
    {"redis-worker-register-timeout", OPTION_STRING, AT(redis_worker_register_timeout), .env = "REDIS_WORKER_REGISTER_TIMEOUT",
     .metavar = "SECONDS", GROUP, .help = "this service needs no Redis"},
    {"redis-socket-timeout", OPTION_STRING, AT(redis_socket_timeout), .env = "REDIS_SOCKET_TIMEOUT",
     .metavar = "SECONDS", GROUP, .help = "this service needs no Redis"},
    {"work-queue-name", OPTION_STRING, AT(work_queue_name), .env = "WORK_QUEUE_NAME", .metavar = "NAME",
     GROUP, .help = "this service needs no Redis"},
#undef GROUP
#define GROUP .group = "Other", .not_in_environment = true
    {"version", OPTION_BOOL, AT(version), GROUP, .help = "print the version and exit"},
    {"help", OPTION_BOOL, AT(help), GROUP, .help = "print this and exit"},
#undef GROUP
    /* clang-format on */
};

_Static_assert(COUNT_OF(specs) <= SETTINGS_OPTIONS_MAX,
               "settings.origins has room for every option");

static const struct option_table table = {"ES_", specs, COUNT_OF(specs)};

const struct option_table *settings_table(void)
{
    return &table;
}

/* ---- defaults that depend on where we run ---- */

static enum option_origin origin_of(const struct settings *settings, const char *name)
{
    return settings->origins[options_find(&table, name) - specs];
}

static int set_unless_given(struct settings *settings, const char *name, const char *value,
                            struct cj_error *err)
{
    if (origin_of(settings, name) != OPTION_FROM_DEFAULT)
        return 0;
    return options_set(&table, settings, name, value, err);
}

static int set_first_process_defaults(struct settings *settings, struct cj_error *err)
{
    static const struct {
        const char *name, *value;
    } defaults[] = {
        {"release", "true"},    {"http-addr", ":5050"},    {"judge-addr", ":8000"},
        {"grpc-addr", ":5051"}, {"monitor-addr", ":5052"},
    };
    for (size_t i = 0; i < COUNT_OF(defaults); i++)
        if (set_unless_given(settings, defaults[i].name, defaults[i].value, err) < 0)
            return -1;
    return 0;
}

/* CPUs this process may use, which in a container are fewer than the machine has. */
static uint64_t cpu_count(void)
{
    cpu_set_t *set = NULL;
    int count = 0;
    /* EINVAL until the set is as large as the kernel's, sched_setaffinity(2) */
    for (int bits = CPU_SETSIZE; count == 0 && bits <= 1 << 20; bits *= 2) {
        size_t size = CPU_ALLOC_SIZE(bits);
        set = CPU_ALLOC(bits);
        if (set != NULL && sched_getaffinity(0, size, set) == 0)
            count = CPU_COUNT_S(size, set);
        CPU_FREE(set);
    }
    return count > 0 ? (uint64_t)count : 1;
}

static void fill_in(struct settings *settings)
{
    if (settings->cpuset.count > 0)
        settings->parallelism = settings->cpuset.count;
    else if (origin_of(settings, "parallelism") == OPTION_FROM_DEFAULT)
        settings->parallelism = settings->max_workers > 0 ? settings->max_workers : cpu_count();
    if (settings->id_base == 0)
        settings->id_base = SETTINGS_ID_BASE;
    if (settings->no_fallback)
        settings->require = PROTECTION_FULL;
}

/* ---- checks ---- */

/* What the kernel or decisions.md 2 (never zero, never unlimited) ask of a value. */
static int check_range(const char *name, uint64_t value, uint64_t least, uint64_t most,
                       const char *why, struct cj_error *err)
{
    if (value >= least && value <= most)
        return 0;
    return error_set(err, ERROR_CONFIG, 0, "-%s: %s", name, why);
}

static int check_ranges(const struct settings *s, struct cj_error *err)
{
    enum { SLOTS_MAX = 4096, ID_LEAST = 1000 };
    const uint64_t ids_end = UINT32_MAX - 1; /* (uid_t)-1 means "no change" to the kernel */
    const struct {
        const char *name;
        uint64_t value, least, most;
        const char *why;
    } checks[] = {
        {"parallelism", s->parallelism, 1, SLOTS_MAX, "1 to 4096 programs can run at once"},
        {"container-cred-start", s->id_base, ID_LEAST, ids_end - SLOTS_MAX,
         "uids below 1000 are the system's, and 4096 must follow below 2^32"},
        {"default-cpu-limit", (uint64_t)s->default_cpu_ns, (uint64_t)NS_PER_MS, INT64_MAX,
         "at least 1ms is needed"},
        {"default-memory-limit", s->default_memory_bytes, 1 << 20, INT64_MAX,
         "at least 1m is needed"},
        {"default-proc-limit", s->default_processes, 1, INT32_MAX, "at least 1 is needed"},
        {"output-limit", s->output_bytes, 1, INT64_MAX, "at least 1b is needed"},
        {"copy-out-limit", s->copy_out_bytes, 1, INT64_MAX, "at least 1b is needed"},
        {"open-file-limit", s->open_files, 3, 1 << 20,
         "at least 3 (standard input, output, error) and at most 1048576"},
        {"extra-memory-limit", s->extra_memory_bytes, 0, INT64_MAX, "too large"},
        {"max-body", s->max_body_bytes, 1, INT64_MAX, "at least 1b is needed"},
        {"max-execution-time", s->max_execution_s, 1, 1 << 20, "1 to 1048576 seconds"},
        {"max-memory", s->max_memory_mib, 0, 1 << 30, "at most 1073741824 MiB"},
        {"max-queue-work-life-time", s->queue_life_s, 1, 1 << 30, "1 to 1073741824 seconds"},
        {"long-batch-max-queue-wait-time", s->long_queue_life_s, 1, 1 << 30,
         "1 to 1073741824 seconds"},
        {"judge-output-limit", s->judge_output_bytes, 1, INT64_MAX, "at least 1b is needed"},
        {"max-connections", s->max_connections, 1, 1 << 20, "1 to 1048576 can be connected"},
        {"header-timeout", (uint64_t)s->header_timeout_ns, (uint64_t)NS_PER_MS, INT64_MAX,
         "at least 1ms is needed"},
        {"idle-timeout", (uint64_t)s->idle_timeout_ns, (uint64_t)NS_PER_MS, INT64_MAX,
         "at least 1ms is needed"},
        {"queue-length", s->queue_length, 1, 1 << 24, "1 to 16777216 can wait"},
    };
    for (size_t i = 0; i < COUNT_OF(checks); i++)
        if (check_range(checks[i].name, checks[i].value, checks[i].least, checks[i].most,
                        checks[i].why, err) < 0)
            return -1;
    if (s->cpu_period_ns != 0) /* sched-bwc.rst: 1 ms to 1 s */
        return check_range("cpu-cfs-period", (uint64_t)s->cpu_period_ns, (uint64_t)NS_PER_MS,
                           (uint64_t)NS_PER_S, "the kernel takes 1ms to 1s", err);
    return 0;
}

/* "2" or "0-3"; numbers of up to four digits. */
static bool is_cpu_range(const char *text)
{
    size_t first = strspn(text, "0123456789");
    if (first == 0 || first > 4 || (text[first] != '\0' && text[first] != '-'))
        return false;
    if (text[first] == '\0')
        return true;
    const char *second = text + first + 1;
    size_t length = strspn(second, "0123456789");
    return length > 0 && length <= 4 && second[length] == '\0' && atoi(text) <= atoi(second);
}

static int check_cpuset(const struct option_list *cpuset, struct cj_error *err)
{
    for (size_t i = 0; i < cpuset->count; i++)
        if (!is_cpu_range(cpuset->items[i]))
            return error_set(err, ERROR_CONFIG, 0,
                             "-cpuset: '%s' is no CPU or range of CPUs: write 2 or 0-3",
                             cpuset->items[i]);
    return 0;
}

/* One name in the file system, so that nothing but our own cgroups is ever removed. */
static int check_cgroup_prefix(const char *prefix, struct cj_error *err)
{
    static const char allowed[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-.";
    size_t length = strlen(prefix);
    if (length > 0 && length <= 100 && prefix[0] != '.' && strspn(prefix, allowed) == length)
        return 0;
    return error_set(
        err, ERROR_CONFIG, 0,
        "-cgroup-prefix: '%s' is not a name of 1 to 100 letters, digits, '_', '-', '.'", prefix);
}

/* Only the default names may be missing: who names a file counts on what is in it, and nobody would
 * notice that built-in rules hold instead. */
static int check_named_files(const struct settings *settings, struct cj_error *err)
{
    const struct {
        const char *name, *path;
    } files[] = {{"mount-conf", settings->mount_conf}, {"seccomp-conf", settings->seccomp_conf}};
    for (size_t i = 0; i < COUNT_OF(files); i++)
        if (origin_of(settings, files[i].name) != OPTION_FROM_DEFAULT &&
            access(files[i].path, R_OK) < 0)
            return error_set(err, ERROR_CONFIG, errno, "-%s: '%.400s': %s", files[i].name,
                             files[i].path, strerror(errno));
    return 0;
}

static int check_words(int argc, char *const *argv, int next, struct cj_error *err)
{
    if (next >= argc)
        return 0;
    bool looks_boolean = strcmp(argv[next], "true") == 0 || strcmp(argv[next], "false") == 0;
    return error_set(err, ERROR_CONFIG, 0, "'%s' is no option%s", argv[next],
                     looks_boolean ? "; booleans are written -name=false" : "");
}

static int complete(struct settings *settings, bool is_first_process, struct cj_error *err)
{
    if (is_first_process && set_first_process_defaults(settings, err) < 0)
        return -1;
    fill_in(settings);
    if (check_ranges(settings, err) < 0 || check_cpuset(&settings->cpuset, err) < 0 ||
        check_cgroup_prefix(settings->cgroup_prefix, err) < 0 ||
        check_named_files(settings, err) < 0)
        return -1;
    return 0;
}

/* ---- public ---- */

int settings_load(int argc, char *const *argv, char *const *environment, bool is_first_process,
                  struct settings *out, struct cj_error *err)
{
    struct settings settings = {0};
    int next;
    if (options_load(&table, argc, argv, environment, &settings, settings.origins, &next, err) < 0)
        return -1;
    if (check_words(argc, argv, next, err) < 0 || complete(&settings, is_first_process, err) < 0) {
        settings_free(&settings);
        return -1;
    }
    *out = settings;
    return 0;
}

unsigned settings_warn(const struct settings *settings)
{
    unsigned warned = 0;
    for (size_t i = 0; i < table.count; i++) {
        if (specs[i].status == OPTION_WORKS || settings->origins[i] == OPTION_FROM_DEFAULT)
            continue;
        if (specs[i].status == OPTION_PLANNED)
            log_warn("option is not built yet", log_text("option", specs[i].name));
        else
            log_warn("option has no effect here", log_text("option", specs[i].name),
                     log_text("because", specs[i].help));
        warned++;
    }
    if (settings->enable_debug) { /* go-judge's opens /debug/pprof/ at -monitor-addr as well */
        log_warn("option does less here", log_text("option", "enable-debug"),
                 log_text("because", "details are logged; there is no pprof"));
        warned++;
    }
    return warned;
}

void settings_free(struct settings *settings)
{
    options_free(&table, settings);
}
