/* The options of `cjudge run`. Every one has a default that works. */
#include "run_options.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define AT(field) offsetof(struct run_options, field)

static const char *const levels[] = {"full", "no-cgroup", "no-userns", "none", NULL};

static const struct option_spec specs[] = {
    {.name = "cpu",
     .type = OPTION_DURATION,
     .offset = AT(cpu_ns),
     .default_text = "10s",
     .group = "Limits",
     .help = "CPU time of the whole process tree, user and system"},
    {.name = "wall",
     .type = OPTION_DURATION,
     .offset = AT(wall_ns),
     .default_note = "2 x cpu + 1s",
     .group = "Limits",
     .help = "time by the clock"},
    {.name = "memory",
     .type = OPTION_SIZE,
     .offset = AT(memory_bytes),
     .default_text = "256m",
     .group = "Limits",
     .help = "memory of the whole tree with its files in tmpfs, shared and kernel memory"},
    {.name = "procs",
     .type = OPTION_COUNT,
     .offset = AT(processes),
     .default_text = "64",
     .group = "Limits",
     .help = "processes and threads at once"},
    {.name = "stack",
     .type = OPTION_SIZE,
     .offset = AT(stack_bytes),
     .default_note = "that of cjudge itself",
     .group = "Limits",
     .help = "stack of a thread; never more than the memory limit"},
    {.name = "output",
     .type = OPTION_SIZE,
     .offset = AT(output_bytes),
     .default_text = "64m",
     .group = "Limits",
     .help = "bytes taken of each of standard output and error; more is Output Limit Exceeded"},
    {.name = "file-size",
     .type = OPTION_SIZE,
     .offset = AT(file_size_bytes),
     .default_text = "256m",
     .group = "Limits",
     .help = "size of a file that the program writes"},
    {.name = "open-files",
     .type = OPTION_COUNT,
     .offset = AT(open_files),
     .default_text = "256",
     .group = "Limits",
     .help = "descriptors open at once"},
    {.name = "data-segment",
     .type = OPTION_BOOL,
     .offset = AT(data_segment),
     .group = "Limits",
     .help = "let allocations beyond the memory limit fail (RLIMIT_DATA)"},
    {.name = "address-space",
     .type = OPTION_BOOL,
     .offset = AT(address_space),
     .group = "Limits",
     .help = "let reservations beyond the memory limit fail (RLIMIT_AS)"},
    {.name = "cpu-rate",
     .type = OPTION_COUNT,
     .offset = AT(cpu_rate),
     .group = "Limits",
     .help = "share of a CPU in thousandths; 500 is half a CPU"},
    {.name = "cpuset",
     .type = OPTION_STRING,
     .offset = AT(cpu_set),
     .metavar = "LIST",
     .group = "Limits",
     .help = "CPUs that may be used, such as 0 or 0-3,6"},

    {.name = "in",
     .type = OPTION_STRING,
     .offset = AT(input),
     .metavar = "FILE",
     .default_note = "standard input of cjudge",
     .group = "Files",
     .help = "file that the program reads as standard input, opened anew for every run"},
    {.name = "copy-in",
     .type = OPTION_REPEAT,
     .offset = AT(copy_in),
     .metavar = "SRC[:PATH]",
     .group = "Files",
     .help = "file to put into the work directory before the start, by its own name or as PATH; "
             "may be repeated"},
    {.name = "copy-out",
     .type = OPTION_REPEAT,
     .offset = AT(copy_out),
     .metavar = "PATH[:DEST]",
     .group = "Files",
     .help = "file to fetch after the end, into DEST or its own name here; with -json and -script "
             "without DEST into the answer; a '?' behind PATH: none is fine; may be repeated"},
    {.name = "copy-out-max",
     .type = OPTION_SIZE,
     .offset = AT(copy_out_max_bytes),
     .default_text = "256m",
     .group = "Files",
     .help = "size of a file that is fetched"},
    {.name = "copy-out-truncate",
     .type = OPTION_BOOL,
     .offset = AT(copy_out_truncate),
     .group = "Files",
     .help = "fetch the beginning of a file that is larger"},
    {.name = "env",
     .type = OPTION_REPEAT,
     .offset = AT(env),
     .metavar = "K=V",
     .group = "Files",
     .default_note = "PATH, HOME, LANG and LSAN_OPTIONS",
     .help = "variable of the program; nothing of the caller's environment is passed; may be "
             "repeated"},

    {.name = "json",
     .type = OPTION_BOOL,
     .offset = AT(json),
     .group = "Answer",
     .help = "print one JSON object on standard output, the program's output in it"},
    {.name = "quiet",
     .type = OPTION_BOOL,
     .offset = AT(quiet),
     .group = "Answer",
     .help = "print no summary, and no warning of less than full protection"},
    {.name = "repeat",
     .type = OPTION_COUNT,
     .offset = AT(repeat),
     .default_text = "1",
     .group = "Answer",
     .help = "run it so many times, one after the other, in one container; not with -script"},
    {.name = "script",
     .type = OPTION_STRING,
     .offset = AT(script),
     .metavar = "FILE",
     .group = "Answer",
     .help = "run each line of FILE (an object: args, stdin, env, copyIn, copyOut, cpu, wall, "
             "memory, procs, stack, output, fileSize, openFiles) in one container, one JSON answer "
             "a line; what a line does not say comes from the other options"},
    {.name = "help",
     .type = OPTION_BOOL,
     .offset = AT(help),
     .group = "Answer",
     .help = "print this"},

    {.name = "require",
     .type = OPTION_CHOICE,
     .offset = AT(required),
     .choices = levels,
     .default_text = "no-cgroup",
     .group = "Sandbox",
     .help = "refuse to run with less protection than this"},
    {.name = "no-fallback",
     .type = OPTION_BOOL,
     .offset = AT(no_fallback),
     .group = "Sandbox",
     .help = "the same as -require full"},
    {.name = "protection",
     .type = OPTION_CHOICE,
     .offset = AT(highest),
     .choices = levels,
     .default_text = "full",
     .group = "Sandbox",
     .help = "use no more protection than this"},
    {.name = "mount-conf",
     .type = OPTION_STRING,
     .offset = AT(mount_conf),
     .metavar = "FILE",
     .default_note = "built-in mounts",
     .group = "Sandbox",
     .help = "mount.yaml: what the container's file system looks like; has to be there"},
    {.name = "seccomp-conf",
     .type = OPTION_STRING,
     .offset = AT(seccomp_conf),
     .metavar = "FILE",
     .default_note = "built-in filter",
     .group = "Sandbox",
     .help = "seccomp.yaml: the system-call filter; has to be there"},
    {.name = "tmp-fs-param",
     .type = OPTION_STRING,
     .offset = AT(tmpfs_data),
     .metavar = "OPTIONS",
     .default_text = "size=128m,nr_inodes=4k",
     .group = "Sandbox",
     .help = "tmpfs options of /w, /tmp and /dev/shm when there is no mount.yaml"},
    {.name = "cgroup-prefix",
     .type = OPTION_STRING,
     .offset = AT(cgroup_prefix),
     .metavar = "NAME",
     .default_text = "cjudge",
     .group = "Sandbox",
     .help = "name of the cgroup directory that holds everything of cjudge"},
    {.name = "cgroup-root",
     .type = OPTION_STRING,
     .offset = AT(cgroup_root),
     .metavar = "DIR",
     .default_note = "found",
     .group = "Sandbox",
     .help = "cgroup v2 subtree that was delegated to cjudge; it has to be usable"},
    {.name = "container-cred-start",
     .type = OPTION_COUNT,
     .offset = AT(id_base),
     .metavar = "ID",
     .default_note = "1879048192",
     .group = "Sandbox",
     .help = "first host uid and gid of the range that containers take theirs from; 0: the "
             "default"},
    {.name = "net-share",
     .type = OPTION_BOOL,
     .offset = AT(share_net),
     .group = "Sandbox",
     .help = "keep the host's network: the program is not isolated from it"},
    {.name = "loopback",
     .type = OPTION_BOOL,
     .offset = AT(loopback),
     .group = "Sandbox",
     .help = "bring up a loopback device that is the container's own"},
};

const struct option_table run_option_table = {
    .env_prefix = NULL,
    .specs = specs,
    .count = COUNT_OF(specs),
};

/* ---- checks ---- */

static bool is_given(const uint8_t *origins, const char *name)
{
    return origins[options_find(&run_option_table, name) - specs] != OPTION_FROM_DEFAULT;
}

/* 0 never means "none": a limit that was asked for has to limit something. */
static int check_zeros(const struct run_options *options, const uint8_t *origins,
                       struct cj_error *err)
{
    const struct {
        const char *name;
        uint64_t value;
    } positive[] = {
        {"cpu", (uint64_t)options->cpu_ns},  {"wall", (uint64_t)options->wall_ns},
        {"memory", options->memory_bytes},   {"procs", options->processes},
        {"stack", options->stack_bytes},     {"file-size", options->file_size_bytes},
        {"open-files", options->open_files}, {"cpu-rate", options->cpu_rate},
        {"repeat", options->repeat},         {"copy-out-max", options->copy_out_max_bytes},
    };
    for (size_t i = 0; i < COUNT_OF(positive); i++)
        if (positive[i].value == 0 && is_given(origins, positive[i].name))
            return error_set(err, ERROR_CONFIG, 0, "-%s 0: must be more than 0", positive[i].name);
    return 0;
}

/* An empty text is what a shell makes of a variable that is not set, and no choice of anyone. */
static int check_texts(const struct run_options *options, const uint8_t *origins,
                       struct cj_error *err)
{
    for (size_t i = 0; i < COUNT_OF(specs); i++) {
        if (specs[i].type != OPTION_STRING || origins[i] == OPTION_FROM_DEFAULT)
            continue;
        const char *const *text = (const void *)((const char *)options + specs[i].offset);
        if ((*text)[0] == '\0')
            return error_set(err, ERROR_CONFIG, 0, "-%s '': the value is empty", specs[i].name);
    }
    for (size_t i = 0; i < options->env.count; i++)
        if (strchr(options->env.items[i], '=') == NULL || options->env.items[i][0] == '=')
            return error_set(err, ERROR_CONFIG, 0, "-env %.200s: write NAME=VALUE",
                             options->env.items[i]);
    return 0;
}

/* Without a name the built-in one counts; one that was named and is not there may be a slip of the
 * pen, and nobody would notice that other rules hold. */
static int check_files(const struct run_options *options, struct cj_error *err)
{
    const struct {
        const char *name, *path;
    } files[] = {{"mount-conf", options->mount_conf}, {"seccomp-conf", options->seccomp_conf}};
    for (size_t i = 0; i < COUNT_OF(files); i++)
        if (files[i].path[0] != '\0' && access(files[i].path, R_OK) < 0)
            return error_set(err, ERROR_CONFIG, errno, "-%s %.400s: %s", files[i].name,
                             files[i].path, strerror(errno));
    return 0;
}

static int check_numbers(const struct run_options *options, const uint8_t *origins,
                         struct cj_error *err)
{
    /* uids below are the system's (Debian Policy 9.2.2); (uid_t)-1 is none */
    enum { ID_LEAST = 1000, STANDARD_DESCRIPTORS = 3 };
    if (options->open_files < STANDARD_DESCRIPTORS)
        return error_set(err, ERROR_CONFIG, 0,
                         "-open-files %ju: at least 3 (standard input, output, error)",
                         (uintmax_t)options->open_files);
    if (options->id_base != 0 && (options->id_base < ID_LEAST || options->id_base >= UINT32_MAX))
        return error_set(err, ERROR_CONFIG, 0,
                         "-container-cred-start %ju: ids of containers are between %d and %u",
                         (uintmax_t)options->id_base, ID_LEAST, UINT32_MAX - 1);
    if (options->script[0] != '\0' && is_given(origins, "repeat"))
        return error_set(err, ERROR_CONFIG, 0,
                         "-repeat: not with -script, whose lines may be repeated in the file");
    return 0;
}

int run_options_load(int argc, char *const *argv, struct run_options *options, int *next,
                     struct cj_error *err)
{
    uint8_t origins[COUNT_OF(specs)];
    if (options_load(&run_option_table, argc, argv, NULL, options, origins, next, err) < 0)
        return -1;
    if (options->no_fallback)
        options->required = PROTECTION_FULL;
    if (options->help)
        return 0;
    if (check_zeros(options, origins, err) < 0 || check_texts(options, origins, err) < 0 ||
        check_numbers(options, origins, err) < 0 || check_files(options, err) < 0) {
        options_free(&run_option_table, options);
        return -1;
    }
    return 0;
}
