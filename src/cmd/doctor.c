/* cjudge doctor: collect, decide, advise, print. */
#include "doctor.h"

#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/io.h"
#include "doctor_report.h"

enum { EXIT_FULL = 0, EXIT_LESS = 1, EXIT_USAGE = 2 };

static const char usage[] =
    "usage: cjudge doctor [--json]\n"
    "\n"
    "Says what this host allows a sandbox, what its lacks cost, and the command that mends each.\n"
    "\n"
    "  --json   one JSON object instead of tables\n"
    "  --help   this text\n"
    "\n"
    "exit status: 0 a full sandbox is possible, 1 only a lesser one, 2 wrong usage\n";

enum parsed { PARSED_GO_ON, PARSED_HELP, PARSED_WRONG };

static enum parsed parse(int argc, char **argv, bool *json)
{
    static const struct option options[] = {
        {"json", no_argument, NULL, 'j'}, {"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
    optind = 0; /* glibc: start again, main() may have used getopt already */
    opterr = 0; /* it would call itself "doctor" */
    for (int c = 0; (c = getopt_long(argc, argv, "+h", options, NULL)) != -1;) {
        if (c == 'j')
            *json = true;
        else if (c == 'h')
            return PARSED_HELP;
        else {
            fprintf(stderr, "cjudge doctor: unknown option '%s'\n", argv[optind - 1]);
            return PARSED_WRONG;
        }
    }
    if (optind < argc) {
        fprintf(stderr, "cjudge doctor: unexpected argument '%s'\n", argv[optind]);
        return PARSED_WRONG;
    }
    return PARSED_GO_ON;
}

static void collect_tools(struct doctor_report *report)
{
    size_t count = 0;
    tools_table(&count);
    report->tools = calloc(count, sizeof(*report->tools));
    if (report->tools == NULL)
        return; /* the rest is still worth telling */
    const char *search = getenv("PATH");
    report->tool_count =
        tools_collect(search != NULL ? search : "/usr/local/bin:/usr/bin:/bin", report->tools);
}

/* What is not there is no lack of the sandbox; who judges in it wants to know. */
static void advise_languages(struct doctor_report *report)
{
    const struct language *missing[TOOLS_MISSING_MAX];
    struct mount_config mounts;
    struct cj_error err;
    if (mount_config_default("size=16m,nr_inodes=1k", &mounts, &err) < 0)
        return; /* the real run says why */
    size_t count = tools_missing(&mounts, missing);
    mount_config_free(&mounts);
    if (count == 0 || report->remedy_count == REMEDIES_MAX)
        return;
    struct remedy *remedy = &report->remedies[report->remedy_count++];
    *remedy = (struct remedy){.name = "languages"};
    auto_buf struct buf names = {0}, packages = {0};
    for (size_t i = 0; i < count; i++) {
        buf_printf(&names, "%s%s", i > 0 ? ", " : "", missing[i]->id);
        for (size_t k = 0; k < missing[i]->packages.count; k++)
            buf_printf(&packages, " %s", missing[i]->packages.items[k]);
    }
    if (names.data == NULL || packages.data == NULL)
        return;
    snprintf(remedy->problem, sizeof(remedy->problem), "not installed: %s", names.data);
    snprintf(remedy->cost, sizeof(remedy->cost),
             "submissions in these languages are answered by an internal error that says so");
    snprintf(remedy->command, sizeof(remedy->command), "apt-get install%s", packages.data);
}

static void try_run(struct doctor_report *report, const struct doctor_hooks *hooks)
{
    if (hooks->try_run == NULL)
        return;
    _Static_assert(sizeof(report->run_summary) == sizeof(report->cold), "one size for both");
    bool ran = hooks->try_run(report->decision.level, report->run_summary, report->cold,
                              sizeof(report->run_summary), &report->run_error) == 0;
    report->run = ran ? RUN_WENT_WELL : RUN_FAILED;
}

/* systemd marks what it gives away (CGROUP_DELEGATION.md). */
static enum fact find_delegation(const struct host_cgroups *cgroups)
{
    static const char *const marks[] = {"trusted.delegate", "user.delegate"};
    char path[sizeof(cgroups->unified_mount) + sizeof(cgroups->path)], value[8];
    if (cgroups->kind != CGROUP_V2 || cgroups->path[0] == '\0')
        return FACT_UNKNOWN;
    snprintf(path, sizeof(path), "%s%s", cgroups->unified_mount, cgroups->path);
    for (size_t i = 0; i < COUNT_OF(marks); i++)
        if (getxattr(path, marks[i], value, sizeof(value)) == 1 && value[0] == '1')
            return FACT_YES;
    return FACT_NO;
}

static void examine(struct doctor_report *report, const struct doctor_hooks *hooks)
{
    auto_fd int root_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    host_facts_read(root_fd, &report->facts);
    host_try_all(&report->facts, &report->tries);
    report->delegated = find_delegation(&report->facts.cgroups);
    if (hooks->cgroups != NULL)
        report->has_cgroup = hooks->cgroups(&report->cgroup, &report->cgroup_error) == 0;
    if (report->has_cgroup)
        host_ability_with_cgroups(&report->facts, &report->tries, &report->cgroup,
                                  &report->ability);
    else
        host_ability(&report->facts, &report->tries, &report->ability);
    protection_decide(&report->ability, &report->decision);
    report->remedy_count =
        advise(&report->facts, &report->tries, &report->decision, report->remedies);
    try_run(report, hooks);
    collect_tools(report);
    advise_languages(report);
}

static int print(const struct doctor_report *report, bool json)
{
    bool terminal = isatty(STDOUT_FILENO) != 0;
    const char *no_colour = getenv("NO_COLOR"); /* no-color.org */
    auto_buf struct buf out = {.data = NULL};
    if (json) {
        doctor_write_json(report, terminal ? JSON_PRETTY : JSON_COMPACT, &out);
        buf_append_char(&out, '\n');
    } else {
        doctor_write_text(report, terminal && (no_colour == NULL || no_colour[0] == '\0'), &out);
    }
    struct cj_error err;
    if (buf_check(&out, &err) < 0) {
        fprintf(stderr, "cjudge doctor: %s\n", err.message);
        return -1;
    }
    if (write_full(STDOUT_FILENO, out.data, out.size) < 0) {
        perror("cjudge doctor: write");
        return -1;
    }
    return 0;
}

int cmd_doctor_with(int argc, char **argv, const struct doctor_hooks *hooks)
{
    bool json = false;
    enum parsed parsed = parse(argc, argv, &json);
    if (parsed != PARSED_GO_ON) {
        fputs(usage, parsed == PARSED_HELP ? stdout : stderr);
        return parsed == PARSED_HELP ? EXIT_FULL : EXIT_USAGE;
    }
    auto_free struct doctor_report *report = calloc(1, sizeof(*report));
    if (report == NULL) {
        perror("cjudge doctor");
        return EXIT_LESS;
    }
    examine(report, hooks);
    int printed = print(report, json);
    free(report->tools);
    return printed == 0 && doctor_is_full(report) ? EXIT_FULL : EXIT_LESS;
}
