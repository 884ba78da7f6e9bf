#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/fd.h"
#include "doctor.h"
#include "doctor_report.h"
#include "host_fixture.h"

/* ---- from a host to its remedies ---- */

/* What the tries find on a fixture: everything works but what a case says. */
static void all_works(struct host_tries *tries)
{
    memset(tries, 0, sizeof(*tries));
    for (unsigned i = 0; i < HOST_STEPS; i++)
        tries->steps[i].works = FACT_YES;
    tries->landlock_abi = 1;
    tries->cgroup = (struct host_cgroup_try){
        .mkdir = {.works = FACT_YES},
        .path = "/sys/fs/cgroup",
        .usable = CGROUP_CPU | CGROUP_CPUACCT | CGROUP_CPUSET | CGROUP_MEMORY | CGROUP_PIDS,
        .kill = FACT_YES,
        .memory_peak = FACT_YES,
        .pids_peak = FACT_YES,
        .swap_limit = FACT_YES,
        .kernel_memory = FACT_YES,
    };
}

static void deny(struct host_tries *tries, unsigned step, int error)
{
    tries->steps[step] = (struct host_try){.works = FACT_NO, .error = error};
}

static void fail_group(struct host_tries *tries, int error)
{
    tries->cgroup.mkdir = (struct host_try){.works = FACT_NO, .error = error};
    tries->cgroup.usable = 0;
    tries->cgroup.memory_peak = tries->cgroup.pids_peak = FACT_UNKNOWN;
}

/* From the id map on nothing is tried. */
static void fail_container(struct host_tries *tries, int error)
{
    deny(tries, TRY_NAMESPACE + HOST_NS_USER, error);
    deny(tries, TRY_ID_MAP, error);
    for (unsigned i = TRY_OWN_UID; i <= TRY_PIVOT_ROOT; i++)
        tries->steps[i] = (struct host_try){.works = FACT_UNKNOWN};
}

static void tries_debian(struct host_tries *tries)
{
    fail_container(tries, EPERM);
    fail_group(tries, EACCES);
}

/* unshare(2) works, but nothing can be done inside. */
static void tries_ubuntu(struct host_tries *tries)
{
    for (unsigned i = HOST_NS_MOUNT; i < HOST_NAMESPACES; i++)
        deny(tries, TRY_NAMESPACE + i, EPERM);
    deny(tries, TRY_OWN_UID, EPERM);
    deny(tries, TRY_ALL_NAMESPACES, EPERM);
    for (unsigned i = TRY_MOUNT_TMPFS; i <= TRY_PIVOT_ROOT; i++)
        tries->steps[i] = (struct host_try){.works = FACT_UNKNOWN};
}

static void tries_docker(struct host_tries *tries)
{
    fail_container(tries, EPERM);
    for (unsigned i = 0; i < HOST_NAMESPACES; i++)
        deny(tries, TRY_NAMESPACE + i, EPERM);
    fail_group(tries, EROFS);
}

/* docker run --security-opt seccomp=unconfined --security-opt apparmor=unconfined */
static void tries_docker_masked(struct host_tries *tries)
{
    deny(tries, TRY_MOUNT_PROC, EPERM);
    fail_group(tries, EROFS);
}

static void tries_systemd(struct host_tries *tries)
{
    deny(tries, TRY_MEMFD_EXEC, EACCES);
}

static void tries_v1(struct host_tries *tries)
{
    tries->cgroup.pids_peak = FACT_NO;
    tries->cgroup.swap_limit = FACT_NO;
    tries->cgroup.kernel_memory = FACT_NO;
}

static void tries_v1_partly(struct host_tries *tries)
{
    tries->cgroup.usable &= ~(unsigned)(CGROUP_PIDS | CGROUP_CPUACCT);
}

static void tries_chroot(struct host_tries *tries)
{
    fail_container(tries, EPERM);
    fail_group(tries, EROFS);
}

static void tries_old_kernel(struct host_tries *tries)
{
    fail_container(tries, EINVAL);
    deny(tries, TRY_SECCOMP, ENOSYS);
    deny(tries, TRY_LANDLOCK, ENOSYS);
    tries->landlock_abi = 0;
    fail_group(tries, 0);
    tries->cgroup.mkdir.works = FACT_UNKNOWN;
}

static void tries_not_moved(struct host_tries *tries)
{
    tries->cgroup.usable = CGROUP_CPUACCT;
    tries->cgroup.other_processes = 3;
}

static void tries_landlock_off(struct host_tries *tries)
{
    tries_debian(tries);
    deny(tries, TRY_LANDLOCK, EOPNOTSUPP);
}

static void tries_covered_proc(struct host_tries *tries)
{
    deny(tries, TRY_MOUNT_PROC, EPERM);
}

static void tries_before_5_12(struct host_tries *tries)
{
    deny(tries, TRY_KERNEL_CALLS, ENOSYS);
}

struct scenario {
    const char *name;
    enum fixture_host host;
    void (*tries)(struct host_tries *tries);
    enum protection_level level;
    struct {
        const char *name;
        bool lowers_level;
        const char *command;
    } remedies[8];
};

static const struct scenario scenarios[] = {
    {"Debian with unprivileged_userns_clone=0",
     FIXTURE_DEBIAN,
     tries_debian,
     PROTECTION_NO_USERNS,
     {{"kernel.unprivileged_userns_clone", true,
       "sysctl -w kernel.unprivileged_userns_clone=1   (or run as root)"},
      {"cgroup-delegation", true,
       "systemd-run --user --scope -p Delegate=yes -- cjudge ...   (service: Delegate=yes in its "
       "unit; or run as root)"}}},
    {"Ubuntu with the AppArmor restriction, in a delegated scope",
     FIXTURE_UBUNTU,
     tries_ubuntu,
     PROTECTION_NO_USERNS,
     {{"kernel.apparmor_restrict_unprivileged_userns", true,
       "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0   (or run as root, or give cjudge "
       "an AppArmor profile with the rule 'userns,')"}}},
    {"Debian, Landlock not switched on",
     FIXTURE_DEBIAN,
     tries_landlock_off,
     PROTECTION_NONE,
     {{"kernel.unprivileged_userns_clone", true,
       "sysctl -w kernel.unprivileged_userns_clone=1   (or run as root)"},
      {"landlock", true, "kernel boot parameter: lsm=landlock,lockdown,capability,yama,apparmor"},
      {"cgroup-delegation", true,
       "systemd-run --user --scope -p Delegate=yes -- cjudge ...   (service: Delegate=yes in its "
       "unit; or run as root)"}}},
    {"docker with its defaults",
     FIXTURE_DOCKER,
     tries_docker,
     PROTECTION_NO_USERNS,
     {{"container", true,
       "docker run --security-opt seccomp=unconfined --security-opt apparmor=unconfined "
       "--security-opt systempaths=unconfined --security-opt writable-cgroups=true "
       "--cgroupns=private ...   (or, less safe: --privileged)"}}},
    {"docker with masked /proc and read-only cgroups only",
     FIXTURE_DOCKER,
     tries_docker_masked,
     PROTECTION_NO_USERNS,
     {{"container", true,
       "docker run --security-opt systempaths=unconfined --security-opt writable-cgroups=true "
       "--cgroupns=private ...   (or, less safe: --privileged)"}}},
    {"root on systemd v2",
     FIXTURE_SYSTEMD,
     tries_systemd,
     PROTECTION_FULL,
     {{"vm.memfd_noexec", false, "sysctl -w vm.memfd_noexec=1"},
      {"vm.overcommit_memory", false, "sysctl -w vm.overcommit_memory=0"},
      {"clocksource", false, "kernel boot parameters: tsc=reliable clocksource=tsc"}}},
    {"/proc cannot be mounted, nobody knows why",
     FIXTURE_DEBIAN,
     tries_covered_proc,
     PROTECTION_NO_USERNS,
     {{"proc", true, "strace -f cjudge doctor   (the cause is not known)"}}},
    {"a kernel of the wrong age",
     FIXTURE_DEBIAN,
     tries_before_5_12,
     PROTECTION_NO_USERNS,
     {{"kernel-calls", true, "boot Linux 5.12 or newer"}}},
    {"other processes in the group",
     FIXTURE_SYSTEMD,
     tries_not_moved,
     PROTECTION_NO_CGROUP,
     {{"cgroup-processes", true,
       "mkdir -p /sys/fs/cgroup/init && xargs -rn1 < /sys/fs/cgroup/cgroup.procs > "
       "/sys/fs/cgroup/init/cgroup.procs   (or start cjudge as the container's first process)"},
      {"vm.overcommit_memory", false, "sysctl -w vm.overcommit_memory=0"},
      {"clocksource", false, "kernel boot parameters: tsc=reliable clocksource=tsc"}}},
    {"v1",
     FIXTURE_V1,
     tries_v1,
     PROTECTION_FULL,
     {{"swap-limit", false, "swapoff -a   (or the kernel boot parameter swapaccount=1)"},
      {"kernel-memory", false, "kernel boot parameters: remove cgroup.memory=nokmem"},
      {"process-peak", false, "boot Linux 6.11 (or 6.1 with cgroup v2) or newer"}}},
    {"v1, two controllers mounted read-only",
     FIXTURE_V1,
     tries_v1_partly,
     PROTECTION_NO_CGROUP,
     {{"cgroup-read-only", true,
       "mount -o remount,rw /sys/fs/cgroup/cpu,cpuacct && mount -o remount,rw "
       "/sys/fs/cgroup/pids"}}},
    {"hybrid, in a container and a chroot",
     FIXTURE_HYBRID,
     tries_chroot,
     PROTECTION_NO_USERNS,
     {{"container", true,
       "docker run --security-opt writable-cgroups=true --cgroupns=private ...   (or, less safe: "
       "--privileged)"},
      {"chroot", true,
       "start cjudge outside of the chroot, or enter it by pivot_root(2): systemd-nspawn -D DIR"}}},
    {"a kernel without anything",
     FIXTURE_BARE,
     tries_old_kernel,
     PROTECTION_NONE,
     {{"kernel", true, "boot a kernel with CONFIG_USER_NS=y"},
      {"kernel", true, "boot a kernel with CONFIG_PID_NS=y"},
      {"kernel", true, "boot a kernel with CONFIG_NET_NS=y"},
      {"kernel", true, "boot a kernel with CONFIG_IPC_NS=y"},
      {"seccomp-filter", true, "boot a kernel with CONFIG_SECCOMP_FILTER=y"},
      {"landlock", true, "boot Linux 5.13 or newer with CONFIG_SECURITY_LANDLOCK=y"},
      {"cgroup-mount", true, "mount -t cgroup2 none /sys/fs/cgroup"}}},
};

static void each_host_has_its_level_and_remedies(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(scenarios); i++) {
        const struct scenario *s = &scenarios[i];
        print_message("  %s\n", s->name);
        char *path = NULL;
        int root_fd = fixture_open(s->host, &path);
        assert_true(root_fd >= 0);
        struct host_facts facts;
        host_facts_read(root_fd, &facts);
        fixture_close(root_fd, path);
        struct host_tries tries;
        all_works(&tries);
        s->tries(&tries);
        struct protection_ability ability;
        struct protection_decision decision;
        host_ability(&facts, &tries, &ability);
        protection_decide(&ability, &decision);
        assert_int_equal(decision.level, s->level);
        struct remedy remedies[REMEDIES_MAX];
        size_t count = advise(&facts, &tries, &decision, remedies);
        for (size_t k = 0; k < COUNT_OF(s->remedies) && s->remedies[k].name != NULL; k++) {
            assert_true(k < count);
            assert_string_equal(remedies[k].name, s->remedies[k].name);
            assert_string_equal(remedies[k].command, s->remedies[k].command);
            assert_int_equal(remedies[k].lowers_level, s->remedies[k].lowers_level);
            assert_true(strlen(remedies[k].problem) > 0 && strlen(remedies[k].cost) > 0);
        }
        assert_true(count == COUNT_OF(s->remedies) || s->remedies[count].name == NULL);
    }
}

/* Whatever fails, alone or in pairs, on whatever host: a level below full comes with a command. */
static void no_lack_is_left_without_a_command(void **state)
{
    (void)state;
    for (unsigned host = 0; host < FIXTURES; host++) {
        char *path = NULL;
        int root_fd = fixture_open((enum fixture_host)host, &path);
        struct host_facts facts;
        host_facts_read(root_fd, &facts);
        fixture_close(root_fd, path);
        for (unsigned step = 0; step < HOST_STEPS * (HOST_STEPS + 2); step++) {
            struct host_tries tries;
            all_works(&tries);
            deny(&tries, step % HOST_STEPS, EPERM);
            if (step / HOST_STEPS < HOST_STEPS)
                deny(&tries, step / HOST_STEPS, EACCES);
            else
                fail_group(&tries, EACCES);
            struct protection_ability ability;
            struct protection_decision decision;
            struct remedy remedies[REMEDIES_MAX];
            host_ability(&facts, &tries, &ability);
            protection_decide(&ability, &decision);
            size_t count = advise(&facts, &tries, &decision, remedies);
            size_t lowering = 0;
            for (size_t i = 0; i < count; i++) {
                assert_true(strlen(remedies[i].command) > 0);
                lowering += remedies[i].lowers_level;
            }
            assert_int_equal(decision.level != PROTECTION_FULL, lowering > 0);
        }
    }
}

static void the_services_groups_stand_above_the_try(void **state)
{
    (void)state;
    struct host_facts facts;
    struct host_tries tries;
    memset(&facts, 0, sizeof(facts));
    all_works(&tries);
    struct cgroup_facts groups = {
        .kind = CGROUP_V2, .controllers = CGROUP_MEMORY | CGROUP_CPUACCT, .has_memory_peak = true};
    struct protection_ability ability;
    facts.resources.swap_bytes = 1;
    host_ability_with_cgroups(&facts, &tries, &groups, &ability);
    assert_true(ability.cgroup_memory);
    assert_true(ability.cgroup_cpu);
    assert_false(ability.cgroup_pids);
    assert_true(ability.memory_peak);
    assert_false(ability.process_peak);
    assert_false(ability.swap_limited);
    facts.resources.swap_bytes = 0; /* no swap, nothing to limit */
    host_ability_with_cgroups(&facts, &tries, &groups, &ability);
    assert_true(ability.swap_limited);
}

/* ---- tools ---- */

static void mount_directories(void **state)
{
    (void)state;
    static const struct {
        const char *target, *mount;
    } cases[] = {
        {"/root/.pyenv/shims/python3", "/root/.pyenv"},
        {"/home/a/.cargo/bin/rustc", "/home/a/.cargo"},
        {"/opt/miniconda3/envs/x/bin/python3", "/opt/miniconda3"},
        {"/nix/store/abc-gcc/bin/gcc", "/nix/store"},
        {"/opt/jdk/bin/java", "/opt/jdk"},
        {"/opt/tool", "/opt"},
        {"/home/a/x.cargo-like/bin/y", "/home/a/x.cargo-like"},
        {"/tool", "/tool"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char out[TOOL_PATH_SIZE];
        tool_mount_directory(cases[i].target, out, sizeof(out));
        assert_string_equal(out, cases[i].mount);
    }
}

static void make_program(const char *path, const char *text)
{
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    assert_int_equal(chmod(path, 0755), 0);
}

static const struct tool_facts *find_tool(const struct tool_facts *tools, size_t count,
                                          const char *command)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(tools[i].tool->command, command) == 0)
            return &tools[i];
    return NULL;
}

static void programs_on_a_path_are_asked(void **state)
{
    (void)state;
    char directory[] = "/tmp/cjudge-tools-XXXXXX";
    char path[128], search[256];
    assert_non_null(mkdtemp(directory));
    snprintf(path, sizeof(path), "%s/gcc", directory);
    make_program(path, "#!/bin/sh\necho; echo \"gcc\t(fake) $1\"; echo second >&2\n");
    snprintf(path, sizeof(path), "%s/node", directory);
    make_program(path, "#!/bin/sh\nprintf '\\033[31mred' >&2\nexit 3\n");
    snprintf(path, sizeof(path), "%s/nasm", directory);
    make_program(path, "#!/nonexistent\n");
    snprintf(path, sizeof(path), "%s/perl", directory);
    make_program(path, "#!/bin/sh\nyes too much | head -c 100000\n");
    snprintf(path, sizeof(path), "%s/ruby", directory); /* a directory is no program */
    assert_int_equal(mkdir(path, 0755), 0);
    snprintf(search, sizeof(search), "relative::/nonexistent:%s", directory);

    size_t count = 0;
    tools_table(&count);
    struct tool_facts *tools = calloc(count, sizeof(*tools));
    assert_int_equal(tools_collect(search, tools), count);
    const struct tool_facts *gcc = find_tool(tools, count, "gcc");
    assert_int_equal(gcc->place, TOOL_OUTSIDE);
    assert_string_equal(gcc->version, "gcc(fake) --version"); /* control characters are taken out */
    assert_string_equal(gcc->problem, "");
    assert_string_equal(gcc->mount, directory);
    const struct tool_facts *node = find_tool(tools, count, "node");
    assert_string_equal(node->version, "[31mred");
    assert_string_equal(node->problem, "exit status 3");
    assert_string_equal(find_tool(tools, count, "nasm")->problem,
                        "cannot be started: No such file or directory");
    assert_string_equal(find_tool(tools, count, "perl")->version, "too much");
    assert_int_equal(find_tool(tools, count, "ruby")->place, TOOL_MISSING);
    assert_int_equal(find_tool(tools, count, "clang")->place, TOOL_MISSING);

    char hint[2048];
    doctor_tool_hint(gcc, hint, sizeof(hint));
    snprintf(path, sizeof(path), "source: %s, target: %s,", directory, directory);
    assert_non_null(strstr(hint, path));

    /* In a container that sees nothing else Node.js is there, and C has a compiler but no headers. */
    char target[] = "usr/bin";
    struct mount_item mount = {.kind = MOUNT_BIND, .source = directory, .target = target};
    const struct mount_config mounts = {.mounts = &mount, .mount_count = 1};
    const struct language *missing[TOOLS_MISSING_MAX];
    size_t absent = tools_missing(&mounts, missing), seen = 0;
    for (size_t i = 0; i < absent; i++) {
        assert_true(missing[i]->first_class);
        assert_string_not_equal(missing[i]->id, "node");
        seen += strcmp(missing[i]->id, "rust") == 0 || strcmp(missing[i]->id, "c") == 0;
    }
    assert_int_equal(seen, 2);
    doctor_tool_hint(find_tool(tools, count, "ruby"), hint, sizeof(hint));
    assert_string_equal(hint, "");
    free(tools);

    static const char *const made[] = {"gcc", "node", "nasm", "perl", "ruby"};
    for (size_t i = 0; i < COUNT_OF(made); i++) {
        snprintf(path, sizeof(path), "%s/%s", directory, made[i]);
        assert_int_equal(remove(path), 0);
    }
    assert_int_equal(rmdir(directory), 0);
}

/* Two that never answer, one of which leaves a child holding the pipe: five seconds, together. */
static void silent_tools_are_given_up(void **state)
{
    (void)state;
    char directory[] = "/tmp/cjudge-tools-XXXXXX";
    char first[128], second[128];
    assert_non_null(mkdtemp(directory));
    snprintf(first, sizeof(first), "%s/gcc", directory);
    make_program(first, "#!/bin/sh\necho started\nexec /bin/sleep 60\n");
    snprintf(second, sizeof(second), "%s/clang", directory);
    make_program(second, "#!/bin/sh\n/bin/sleep 60 &\nexit 0\n");
    size_t count = 0;
    tools_table(&count);
    struct tool_facts *tools = calloc(count, sizeof(*tools));

    int64_t before = monotonic_ns();
    tools_collect(directory, tools);
    int64_t took = monotonic_ns() - before;
    assert_true(took >= 5 * NS_PER_S && took < 8 * NS_PER_S);
    assert_string_equal(find_tool(tools, count, "gcc")->version, "started");
    assert_string_equal(find_tool(tools, count, "gcc")->problem, "did not answer in 5 s");
    assert_string_equal(find_tool(tools, count, "clang")->problem, "did not answer in 5 s");
    free(tools);
    unlink(first);
    unlink(second);
    rmdir(directory);
}

/* ---- the two forms ---- */

static struct doctor_report *report_of(enum fixture_host host)
{
    struct doctor_report *report = calloc(1, sizeof(*report));
    char *path = NULL;
    int root_fd = fixture_open(host, &path);
    host_facts_read(root_fd, &report->facts);
    fixture_close(root_fd, path);
    all_works(&report->tries);
    deny(&report->tries, TRY_OWN_UID, EPERM);
    host_ability(&report->facts, &report->tries, &report->ability);
    protection_decide(&report->ability, &report->decision);
    report->remedy_count =
        advise(&report->facts, &report->tries, &report->decision, report->remedies);
    return report;
}

/* Every host can be printed; colour appears only when asked for. */
static void every_host_has_both_forms(void **state)
{
    (void)state;
    for (unsigned host = 0; host < FIXTURES; host++) {
        struct doctor_report *report = report_of((enum fixture_host)host);
        auto_buf struct buf plain = {.data = NULL};
        auto_buf struct buf colour = {.data = NULL};
        auto_buf struct buf json = {.data = NULL};
        doctor_write_text(report, false, &plain);
        doctor_write_text(report, true, &colour);
        doctor_write_json(report, JSON_COMPACT, &json);
        assert_int_equal(buf_check(&plain, NULL), 0);
        assert_int_equal(buf_check(&json, NULL), 0);
        assert_null(memchr(plain.data, '\033', plain.size));
        assert_non_null(memchr(colour.data, '\033', colour.size));
        assert_int_equal(json.data[0], '{');
        assert_int_equal(json.data[json.size - 1], '}');
        free(report);
    }
}

static void a_failed_run_is_not_full(void **state)
{
    (void)state;
    struct doctor_report *report = report_of(FIXTURE_SYSTEMD);
    assert_true(doctor_is_full(report));
    report->run = RUN_WENT_WELL;
    assert_true(doctor_is_full(report));
    report->run = RUN_FAILED;
    assert_false(doctor_is_full(report));
    free(report);
}

static enum protection_level expected_of_run = PROTECTION_LEVELS;

/* A sandbox that gives less than what is expected of it. */
static int gives_less(enum protection_level expected, char *summary, char *cold, size_t size,
                      struct cj_error *err)
{
    snprintf(cold, size, "as it gives less");
    expected_of_run = expected;
    snprintf(summary, size, "less");
    return error_set(err, ERROR_UNSUPPORTED, 0, "this host gives less");
}

/* No cgroups that could be used: the level that follows is the same on every host that runs this. */
static int no_cgroups(struct cgroup_facts *out, struct cj_error *err)
{
    (void)err;
    *out = (struct cgroup_facts){.kind = CGROUP_NONE};
    return 0;
}

static void the_run_is_to_give_what_was_decided(void **state)
{
    (void)state;
    char name[] = "doctor", json[] = "--json";
    char *arguments[] = {name, json, NULL};
    const struct doctor_hooks hooks = {.try_run = gives_less, .cgroups = no_cgroups};
    fflush(stdout);
    auto_fd int real = dup(STDOUT_FILENO), nothing = open("/dev/null", O_WRONLY | O_CLOEXEC);
    assert_true(real >= 0 && dup2(nothing, STDOUT_FILENO) >= 0);
    int status = cmd_doctor_with(2, arguments, &hooks);
    assert_true(dup2(real, STDOUT_FILENO) >= 0);
    assert_int_equal(status, 1);
    assert_true(expected_of_run > PROTECTION_FULL && expected_of_run < PROTECTION_LEVELS);
}

static void wrong_usage_is_two(void **state)
{
    (void)state;
    char name[] = "doctor", wrong[] = "--wrong", extra[] = "extra", help[] = "--help";
    char *bad_option[] = {name, wrong, NULL};
    char *bad_argument[] = {name, extra, NULL};
    char *asks_help[] = {name, help, NULL};
    assert_int_equal(cmd_doctor_with(2, bad_option, NULL), 2);
    assert_int_equal(cmd_doctor_with(2, bad_argument, NULL), 2);
    assert_int_equal(cmd_doctor_with(2, asks_help, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_host_has_its_level_and_remedies),
        cmocka_unit_test(no_lack_is_left_without_a_command),
        cmocka_unit_test(the_services_groups_stand_above_the_try),
        cmocka_unit_test(mount_directories),
        cmocka_unit_test(programs_on_a_path_are_asked),
        cmocka_unit_test(silent_tools_are_given_up),
        cmocka_unit_test(every_host_has_both_forms),
        cmocka_unit_test(a_failed_run_is_not_full),
        cmocka_unit_test(the_run_is_to_give_what_was_decided),
        cmocka_unit_test(wrong_usage_is_two),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
