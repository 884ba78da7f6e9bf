/* The options of `cjudge languages`. Every one has a default that works. */
#include "languages_options.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"

#define AT(field) offsetof(struct languages_options, field)

static const char *const levels[] = {"full", "no-cgroup", "no-userns", "none", NULL};

static const struct option_spec specs[] = {
    {.name = "check",
     .type = OPTION_BOOL,
     .offset = AT(check),
     .help = "build and run the examples of each language in the sandbox, and say which work"},
    {.name = "first-class",
     .type = OPTION_BOOL,
     .offset = AT(first_class),
     .help = "the languages that ./test installs and checks, as if they were named"},
    {.name = "json", .type = OPTION_BOOL, .offset = AT(json), .help = "answer with a JSON array"},
    {.name = "languages",
     .type = OPTION_STRING,
     .offset = AT(languages),
     .metavar = "FILE",
     .default_note = "built in",
     .help = "the file of languages, as for cjudge serve"},
    {.name = "loop-limit",
     .type = OPTION_DURATION,
     .offset = AT(loop_ns),
     .default_text = "1s",
     .help = "CPU time after which the example that loops has to be ended"},
    {.name = "parallelism",
     .type = OPTION_COUNT,
     .offset = AT(parallelism),
     .metavar = "N",
     .default_note = "one for each CPU",
     .help = "languages looked at at once"},
    {.name = "protection",
     .type = OPTION_CHOICE,
     .offset = AT(highest),
     .choices = levels,
     .metavar = "LEVEL",
     .default_text = "full",
     .help = "use no more than this level, to see how the languages do there: full, no-cgroup"},
    {.name = "mount-conf",
     .type = OPTION_STRING,
     .offset = AT(mount_conf),
     .metavar = "FILE",
     .default_note = "built in",
     .help = "what containers see of the host, as for cjudge serve"},
    {.name = "tmp-fs-param",
     .type = OPTION_STRING,
     .offset = AT(tmpfs_data),
     .metavar = "OPTIONS",
     .default_text = "size=128m,nr_inodes=4k",
     .help = "options of the tmpfs at /w, /tmp and /dev/shm when there is no -mount-conf file"},
    {.name = "cgroup-prefix",
     .type = OPTION_STRING,
     .offset = AT(cgroup_prefix),
     .metavar = "NAME",
     .default_text = "cjudge",
     .help = "name of the cgroup directory that holds everything of cjudge"},
    {.name = "help",
     .type = OPTION_BOOL,
     .offset = AT(help),
     .help = "print this text",
     .not_in_environment = true},
};

const struct option_table languages_option_table = {
    .env_prefix = NULL,
    .specs = specs,
    .count = COUNT_OF(specs),
};

static int check_file(const char *name, const char *path, struct cj_error *err)
{
    if (path[0] != '\0' && access(path, R_OK) < 0)
        return error_set(err, ERROR_CONFIG, errno, "-%s %.400s: %s", name, path, strerror(errno));
    return 0;
}

int languages_options_load(int argc, char *const *argv, struct languages_options *options,
                           int *next, struct cj_error *err)
{
    if (options_load(&languages_option_table, argc, argv, NULL, options, NULL, next, err) < 0)
        return -1;
    int checked = 0;
    if (options->loop_ns < NS_PER_S / 10)
        checked = error_set(err, ERROR_CONFIG, 0, "-loop-limit: at least 100ms");
    if (options->parallelism > 1024)
        checked = error_set(err, ERROR_CONFIG, 0, "-parallelism: at most 1024");
    if (checked < 0 || check_file("languages", options->languages, err) < 0 ||
        check_file("mount-conf", options->mount_conf, err) < 0) {
        options_free(&languages_option_table, options);
        return -1;
    }
    return 0;
}
