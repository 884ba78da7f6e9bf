#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/io.h"
#include "host_fixture.h"
#include "sandbox/host_facts.h"
#include "sandbox/host_try.h"

/* A fixture's facts. */
static struct host_facts facts_of(enum fixture_host host)
{
    struct host_facts facts;
    memset(&facts, 0xa5, sizeof(facts)); /* collectors owe nothing to zeroed memory */
    char *path = NULL;
    int root_fd = fixture_open(host, &path);
    assert_true(root_fd >= 0);
    host_facts_read(root_fd, &facts);
    fixture_close(root_fd, path);
    return facts;
}

static void debian_user_session(void **state)
{
    (void)state;
    struct host_facts facts = facts_of(FIXTURE_DEBIAN);
    assert_string_equal(facts.identity.release, "5.10.0-28-amd64");
    assert_string_equal(facts.identity.system, "Debian GNU/Linux 11 (bullseye)");
    assert_string_equal(facts.identity.system_id, "debian");
    assert_string_equal(facts.identity.container, "");
    assert_string_equal(facts.identity.hypervisor, "");
    assert_int_equal(facts.process.uid, 1000);
    assert_int_equal(facts.process.capabilities, 0);
    assert_false(host_has_capability(&facts, CAP_SYS_ADMIN));
    assert_int_equal(facts.process.seccomp_mode, 0);
    assert_int_equal(facts.process.cpus_allowed, 5);
    assert_string_equal(facts.process.cpus_allowed_list, "0-3,6");
    assert_string_equal(facts.process.apparmor_profile, "unconfined");
    assert_int_equal(facts.process.initial_user_namespace, FACT_YES);
    assert_int_equal(facts.process.chrooted, FACT_NO);
    for (unsigned i = 0; i < HOST_NAMESPACES; i++)
        assert_int_equal(facts.rules.namespaces[i], FACT_YES);
    assert_int_equal(facts.rules.max_user_namespaces, 63432);
    assert_int_equal(facts.rules.unprivileged_userns_clone, 0);
    assert_int_equal(facts.rules.apparmor_restrict_userns, HOST_UNKNOWN);
    assert_int_equal(facts.rules.apparmor, FACT_YES);
    assert_int_equal(facts.rules.selinux, SELINUX_ABSENT);
    assert_int_equal(facts.rules.ptrace_scope, 1);
    assert_int_equal(facts.rules.memfd_noexec, HOST_UNKNOWN);
    assert_int_equal(facts.resources.cpus_online, 8);
    assert_int_equal(facts.resources.memory_bytes, 16384 * 1024);
    assert_int_equal(facts.resources.memory_available_bytes, 8192 * 1024);
    assert_int_equal(facts.resources.swap_bytes, 2048 * 1024);
    assert_int_equal(facts.resources.tmpfs, FACT_YES);
    assert_int_equal(facts.resources.overlay, FACT_YES);
    assert_string_equal(facts.resources.root.type, "ext4");
    assert_string_equal(facts.resources.tmp.type, "tmpfs");
    assert_int_equal(facts.resources.tmp.size_bytes, INT64_C(2) << 30);
    assert_true(host_has_option(facts.resources.tmp.options, "usrquota"));
    assert_int_equal(facts.resources.shm.size_bytes, 65536 * 1024);
    assert_int_equal(facts.resources.proc_masks, 0); /* binfmt_misc hides nothing */
    assert_int_equal(facts.cgroups.kind, CGROUP_V2);
    assert_true(facts.cgroups.nsdelegate);
    assert_true(facts.cgroups.memory_recursiveprot);
    assert_false(facts.cgroups.read_only);
    assert_false(facts.cgroups.at_root);
    assert_int_equal(facts.cgroups.available,
                     CGROUP_CPU | CGROUP_CPUACCT | CGROUP_CPUSET | CGROUP_MEMORY | CGROUP_PIDS);
    assert_int_equal(facts.cgroups.enabled,
                     CGROUP_CPU | CGROUP_CPUACCT | CGROUP_MEMORY | CGROUP_PIDS);
    assert_string_equal(facts.cgroups.path, "/user.slice/user-1000.slice/session-2.scope");
    assert_int_equal(facts.cgroups.memory_limit_bytes, HOST_UNKNOWN);
    assert_int_equal(facts.cgroups.processes_limit, 9000);
    assert_string_equal(facts.cgroups.cpu_limit, "");
}

static void ubuntu_with_apparmor(void **state)
{
    (void)state;
    struct host_facts facts = facts_of(FIXTURE_UBUNTU);
    assert_string_equal(facts.identity.arch, "x86_64");
    assert_string_equal(facts.identity.system, "Ubuntu 24.04.1 LTS");
    assert_string_equal(facts.identity.hypervisor, "qemu");
    assert_int_equal(facts.rules.unprivileged_userns_clone, 1);
    assert_int_equal(facts.rules.apparmor_restrict_userns, 1);
    assert_int_equal(facts.rules.apparmor_restrict_unconfined, 0);
    assert_string_equal(facts.rules.lsm, "lockdown,capability,landlock,yama,apparmor");
    assert_int_equal(facts.resources.memory_bytes, HOST_UNKNOWN);
    assert_string_equal(facts.resources.tmp.type, "ext4"); /* of "/" */
}

static void docker_with_its_defaults(void **state)
{
    (void)state;
    struct host_facts facts = facts_of(FIXTURE_DOCKER);
    assert_string_equal(facts.identity.container, "docker");
    assert_string_equal(facts.identity.container_mark, "/.dockerenv");
    assert_int_equal(facts.process.uid, 0);
    assert_int_equal(facts.process.seccomp_mode, 2);
    assert_false(host_has_capability(&facts, CAP_SYS_ADMIN));
    assert_true(host_has_capability(&facts, CAP_SETUID));
    assert_string_equal(facts.process.apparmor_profile, "docker-default (enforce)");
    assert_string_equal(facts.resources.root.type, "overlay");
    assert_int_equal(facts.resources.shm.size_bytes, 64 << 20);
    assert_int_equal(facts.resources.proc_masks, 2);
    assert_string_equal(facts.resources.proc_mask, "/proc/kcore");
    assert_int_equal(facts.cgroups.kind, CGROUP_V2);
    assert_true(facts.cgroups.read_only);
    assert_true(facts.cgroups.at_root);
    assert_int_equal(facts.cgroups.enabled, CGROUP_CPUACCT);
    assert_int_equal(facts.cgroups.memory_limit_bytes, INT64_C(2) << 30);
    assert_int_equal(facts.cgroups.processes_limit, HOST_UNKNOWN);
    assert_string_equal(facts.cgroups.cpu_limit, "150000 100000");
}

static void systemd_host(void **state)
{
    (void)state;
    struct host_facts facts = facts_of(FIXTURE_SYSTEMD);
    assert_string_equal(facts.identity.system, "Debian GNU/Linux 13 (trixie)");
    assert_true(host_has_capability(&facts, CAP_SYS_ADMIN));
    assert_int_equal(facts.resources.swap_bytes, 0);
    assert_int_equal(facts.rules.memfd_noexec, 2);
    assert_int_equal(facts.resources.overcommit_memory, 2);
    assert_string_equal(facts.resources.core_pattern,
                        "|/usr/lib/systemd/systemd-coredump %P %u %g");
    assert_string_equal(facts.resources.clocksource, "hpet");
    assert_string_equal(facts.rules.seccomp_actions, "kill_process trap errno allow");
    assert_string_equal(facts.cgroups.path, "/system.slice/cjudge.service");
}

static void v1_host(void **state)
{
    (void)state;
    struct host_facts facts = facts_of(FIXTURE_V1);
    assert_int_equal(facts.cgroups.kind, CGROUP_V1);
    assert_false(facts.cgroups.hybrid);
    assert_int_equal(facts.cgroups.available,
                     CGROUP_CPU | CGROUP_CPUACCT | CGROUP_MEMORY | CGROUP_PIDS);
    assert_string_equal(facts.cgroups.v1_mounts[0], "/sys/fs/cgroup/cpu,cpuacct");
    assert_string_equal(facts.cgroups.v1_mounts[1], "/sys/fs/cgroup/cpu,cpuacct");
    assert_string_equal(facts.cgroups.v1_mounts[2], "");
    assert_string_equal(facts.cgroups.v1_mounts[3], "/sys/fs/cgroup/memory");
    assert_string_equal(facts.cgroups.memory_path, "/");
    assert_true(facts.cgroups.at_root);
    assert_int_equal(facts.cgroups.memory_limit_bytes, HOST_UNKNOWN);
    assert_string_equal(facts.cgroups.cpu_limit, "");
}

static void hybrid_in_a_container_and_chroot(void **state)
{
    (void)state;
    struct host_facts facts = facts_of(FIXTURE_HYBRID);
    assert_int_equal(facts.cgroups.kind, CGROUP_V1);
    assert_true(facts.cgroups.hybrid);
    assert_true(facts.cgroups.read_only);
    assert_string_equal(facts.cgroups.unified_mount, "/sys/fs/cgroup/unified");
    assert_string_equal(facts.cgroups.memory_path, "/");
    assert_string_equal(facts.cgroups.path, "/docker/abc");
    assert_int_equal(facts.cgroups.memory_limit_bytes, 1 << 30);
    assert_int_equal(facts.cgroups.processes_limit, 100);
    assert_string_equal(facts.cgroups.cpu_limit, "50000 100000");
    assert_string_equal(facts.identity.container, "docker");
    assert_string_equal(facts.identity.container_mark, "/proc/1/cgroup");
    assert_int_equal(facts.process.chrooted, FACT_YES);
}

static void nonsense_is_unknown(void **state)
{
    (void)state;
    struct host_facts facts = facts_of(FIXTURE_BARE);
    assert_int_equal(facts.rules.namespaces[HOST_NS_USER], FACT_NO);
    assert_int_equal(facts.rules.namespaces[HOST_NS_MOUNT], FACT_YES);
    assert_int_equal(facts.process.uid, HOST_UNKNOWN);
    assert_int_equal(facts.process.capabilities, HOST_UNKNOWN);
    assert_int_equal(facts.process.cpus_allowed, HOST_UNKNOWN);
    assert_int_equal(facts.process.initial_user_namespace, FACT_UNKNOWN);
    assert_int_equal(facts.resources.memory_bytes, HOST_UNKNOWN);
    assert_int_equal(facts.resources.pid_max, HOST_UNKNOWN);
    assert_int_equal(facts.resources.tmpfs, FACT_NO);
    assert_int_equal(facts.cgroups.kind, CGROUP_NONE);
    assert_int_equal(facts.cgroups.available, 0);
}

static void an_empty_root_is_unknown(void **state)
{
    (void)state;
    struct host_facts facts = facts_of(FIXTURE_EMPTY);
    assert_string_equal(facts.identity.release, "");
    assert_string_equal(facts.identity.container, "");
    assert_int_equal(facts.process.uid, HOST_UNKNOWN);
    assert_int_equal(facts.process.chrooted, FACT_UNKNOWN);
    assert_int_equal(facts.rules.namespaces[HOST_NS_USER], FACT_UNKNOWN);
    assert_int_equal(facts.rules.selinux, SELINUX_UNKNOWN);
    assert_int_equal(facts.rules.apparmor, FACT_UNKNOWN);
    assert_int_equal(facts.resources.tmpfs, FACT_UNKNOWN);
    assert_int_equal(facts.resources.proc_masks, HOST_UNKNOWN);
    assert_int_equal(facts.cgroups.kind, CGROUP_NONE);
    assert_false(host_has_capability(&facts, CAP_SYS_ADMIN));
}

/* ---- the parsers by themselves ---- */

static void mount_lines(void **state)
{
    (void)state;
    char text[] = "1 2 3:4 / / rw - ext4 /dev/sda rw\n"
                  "broken\n"
                  "1 2 3:4 /a /b\\040c\\011d rw,ro shared:1 master:2 - xfs - rw,x=-\n"
                  "1 2 3:4 / /e rw -\n"
                  "1 2 3:4 / /f rw - tmpfs none";
    char *next = text;
    struct host_mount_line line;
    assert_true(host_mount_next(&next, &line));
    assert_string_equal(line.target, "/");
    assert_string_equal(line.super, "rw");
    assert_true(host_mount_next(&next, &line));
    assert_string_equal(line.target, "/b c\td");
    assert_string_equal(line.root, "/a");
    assert_string_equal(line.type, "xfs");
    assert_string_equal(line.source, "-");
    assert_string_equal(line.super, "rw,x=-");
    assert_true(host_mount_next(&next, &line));
    assert_string_equal(line.target, "/f");
    assert_string_equal(line.super, "");
    assert_false(host_mount_next(&next, &line));
}

static void options_are_whole_words(void **state)
{
    (void)state;
    assert_true(host_has_option("rw,ro,size=1k", "ro"));
    assert_true(host_has_option("ro", "ro"));
    assert_false(host_has_option("rw,root,xro", "ro"));
    assert_false(host_has_option("", "ro"));
}

static void controllers_as_text(void **state)
{
    (void)state;
    char text[64];
    assert_string_equal(host_controllers_text(CGROUP_MEMORY | CGROUP_CPU, text, sizeof(text)),
                        "cpu,memory");
    assert_string_equal(host_controllers_text(0, text, sizeof(text)), "");
    char small[6];
    assert_string_equal(host_controllers_text(CGROUP_CPU | CGROUP_PIDS, small, sizeof(small)),
                        "cpu,p"); /* cut, not overrun */
}

static void namespaces_have_names_and_flags(void **state)
{
    (void)state;
    assert_string_equal(host_namespace_name(HOST_NS_CGROUP), "cgroup");
    assert_int_equal(host_namespace_flag(HOST_NS_NET), CLONE_NEWNET);
    assert_string_equal(host_namespace_name(HOST_NAMESPACES), "unknown");
    for (unsigned i = 0; i < HOST_STEPS; i++)
        assert_string_not_equal(host_step_name(i), "unknown");
    assert_string_equal(host_step_name(HOST_STEPS), "unknown");
    assert_string_equal(host_step_name(TRY_MEMFD_EXEC), "memfd-exec");
    assert_string_equal(host_step_name(TRY_ID_MAP), "id-map");
}

/* ---- tries that a fixture can answer ---- */

static void groups_of_a_v2_fixture(void **state)
{
    (void)state;
    char *path = NULL;
    int root_fd = fixture_open(FIXTURE_SYSTEMD, &path);
    assert_true(root_fd >= 0);
    struct host_facts facts;
    host_facts_read(root_fd, &facts);
    struct host_cgroup_try tried;
    host_cgroup_try(root_fd, &facts, &tried);
    assert_int_equal(tried.mkdir.works, FACT_YES);
    assert_string_equal(tried.path, "/sys/fs/cgroup");
    /* A plain directory has no cgroup.controllers, so it is what the parent could give. */
    assert_int_equal(tried.usable,
                     CGROUP_CPU | CGROUP_CPUACCT | CGROUP_CPUSET | CGROUP_MEMORY | CGROUP_PIDS);
    assert_int_equal(tried.other_processes, 0);
    assert_int_equal(tried.kill, FACT_NO);
    assert_int_equal(tried.memory_peak, FACT_YES); /* by the kernel's version, 6.12 */
    assert_int_equal(tried.pids_peak, FACT_YES);
    assert_int_equal(tried.swap_limit, FACT_UNKNOWN);
    assert_int_equal(tried.kernel_memory, FACT_YES);
    char left[64];
    snprintf(left, sizeof(left), "sys/fs/cgroup/cjudge-doctor-%d", (int)getpid());
    assert_int_equal(faccessat(root_fd, left, F_OK, 0), -1);
    fixture_close(root_fd, path);
}

static void processes_in_the_way_are_counted(void **state)
{
    (void)state;
    char *path = NULL;
    int root_fd = fixture_open(FIXTURE_DOCKER, &path);
    struct host_facts facts;
    host_facts_read(root_fd, &facts);
    char procs[64];
    snprintf(procs, sizeof(procs), "1\n%d\n0\n", (int)getpid());
    auto_fd int fd = openat(root_fd, "sys/fs/cgroup/cgroup.procs", O_WRONLY | O_CREAT, 0644);
    assert_int_equal(write_full(fd, procs, strlen(procs)), 0);
    struct host_cgroup_try tried;
    host_cgroup_try(root_fd, &facts, &tried);
    assert_int_equal(tried.mkdir.works, FACT_YES);
    assert_int_equal(tried.other_processes, 2);
    assert_int_equal(tried.usable, CGROUP_CPUACCT);
    fixture_close(root_fd, path);
}

static void groups_of_a_v1_fixture(void **state)
{
    (void)state;
    char *path = NULL;
    int root_fd = fixture_open(FIXTURE_V1, &path);
    struct host_facts facts;
    host_facts_read(root_fd, &facts);
    struct host_cgroup_try tried;
    host_cgroup_try(root_fd, &facts, &tried);
    assert_int_equal(tried.mkdir.works, FACT_YES);
    assert_string_equal(tried.path, "/sys/fs/cgroup/memory");
    assert_int_equal(tried.usable, CGROUP_CPU | CGROUP_CPUACCT | CGROUP_MEMORY | CGROUP_PIDS);
    assert_int_equal(tried.memory_peak, FACT_NO);   /* a plain directory has no such file */
    assert_int_equal(tried.kernel_memory, FACT_NO); /* cgroup.memory=nosocket,nokmem */
    fixture_close(root_fd, path);
}

static void no_groups_no_directory(void **state)
{
    (void)state;
    char *path = NULL;
    int root_fd = fixture_open(FIXTURE_EMPTY, &path);
    struct host_facts facts;
    host_facts_read(root_fd, &facts);
    struct host_cgroup_try tried;
    host_cgroup_try(root_fd, &facts, &tried);
    assert_int_equal(tried.mkdir.works, FACT_UNKNOWN);
    assert_int_equal(tried.usable, 0);
    fixture_close(root_fd, path);
}

/* The real tries need no privileges and must come back, whatever they find. */
static void real_tries_come_back(void **state)
{
    (void)state;
    auto_fd int root_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    struct host_facts facts;
    struct host_tries tries;
    host_facts_read(root_fd, &facts);
    int before = dup(0);
    close(before);
    host_try_all(&facts, &tries);
    int after = dup(0);
    close(after);
    assert_int_equal(after, before); /* no descriptor is left open */
    for (unsigned i = 0; i < HOST_STEPS; i++)
        if (tries.steps[i].works == FACT_NO)
            assert_int_not_equal(tries.steps[i].error, 0);
    assert_int_not_equal(tries.steps[TRY_NAMESPACE].works, FACT_UNKNOWN);
    assert_int_not_equal(tries.steps[TRY_ID_MAP].works, FACT_UNKNOWN);
    assert_int_not_equal(tries.steps[TRY_SECCOMP].works, FACT_UNKNOWN);
    assert_true(tries.tick_ns > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(debian_user_session),
        cmocka_unit_test(ubuntu_with_apparmor),
        cmocka_unit_test(docker_with_its_defaults),
        cmocka_unit_test(systemd_host),
        cmocka_unit_test(v1_host),
        cmocka_unit_test(hybrid_in_a_container_and_chroot),
        cmocka_unit_test(nonsense_is_unknown),
        cmocka_unit_test(an_empty_root_is_unknown),
        cmocka_unit_test(mount_lines),
        cmocka_unit_test(options_are_whole_words),
        cmocka_unit_test(controllers_as_text),
        cmocka_unit_test(namespaces_have_names_and_flags),
        cmocka_unit_test(groups_of_a_v2_fixture),
        cmocka_unit_test(processes_in_the_way_are_counted),
        cmocka_unit_test(groups_of_a_v1_fixture),
        cmocka_unit_test(no_groups_no_directory),
        cmocka_unit_test(real_tries_come_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
