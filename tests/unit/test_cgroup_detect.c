/* What is found on hosts of every kind: trees of plain files stand for /sys/fs/cgroup. */
#include <fcntl.h>
#include <ftw.h>
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

#include "cgroup_detect.h"
#include "cgroup_tree.h"

static char root[64];
static struct cgroup_layout layout;

/* ---- the fixture ---- */

static int remove_entry(const char *path, const struct stat *info, int type, struct FTW *ftw)
{
    (void)info, (void)type, (void)ftw;
    return remove(path);
}

static int make_root(void **state)
{
    (void)state;
    snprintf(root, sizeof(root), "/tmp/cgroup-detect-XXXXXX");
    return mkdtemp(root) != NULL ? 0 : -1;
}

static int remove_root(void **state)
{
    (void)state;
    return nftw(root, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static void file(const char *path, const char *value)
{
    char whole[512];
    snprintf(whole, sizeof(whole), "%s%s", root, path);
    for (char *slash = whole + strlen(root) + 1; (slash = strchr(slash, '/')) != NULL; slash++) {
        *slash = '\0';
        mkdir(whole, 0755);
        *slash = '/';
    }
    FILE *stream = fopen(whole, "w");
    assert_non_null(stream);
    fputs(value, stream);
    fclose(stream);
}

static void procs(const char *group, const char *pids)
{
    char path[256];
    snprintf(path, sizeof(path), "%s/cgroup.procs", group);
    file(path, pids);
}

static void detect(const char *mountinfo, const char *own)
{
    static const char controllers[] = "#subsys_name\thierarchy\tnum_cgroups\tenabled\n"
                                      "cpuset\t3\t1\t1\ncpu\t1\t1\t1\ncpuacct\t2\t1\t1\n"
                                      "memory\t4\t15\t1\npids\t8\t1\t1\n";
    struct cgroup_sources sources = {
        .mountinfo = mountinfo,
        .controllers = controllers,
        .own = own,
        .cmdline = "quiet",
        .swaps = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n",
        .mount_root = root,
    };
    cgroup_detect(&sources, &layout);
}

static void assert_base(unsigned controller, const char *below)
{
    for (size_t i = 0; i < layout.count; i++) {
        if (!(layout.hierarchies[i].controllers & controller))
            continue;
        assert_memory_equal(layout.hierarchies[i].base, root, strlen(root));
        assert_string_equal(layout.hierarchies[i].base + strlen(root), below);
        return;
    }
    fail_msg("no hierarchy with controller %#x: %s", controller, layout.facts.reason);
}

enum { ALL = CGROUP_CPU | CGROUP_CPUACCT | CGROUP_CPUSET | CGROUP_MEMORY | CGROUP_PIDS };

static const char v1_mounts[] =
    "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n"
    "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct\n"
    "34 31 0:31 / /sys/fs/cgroup/cpuset rw,relatime - cgroup cgroup rw,cpuset\n"
    "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n"
    "39 31 0:36 / /sys/fs/cgroup/pids rw,relatime - cgroup cgroup rw,pids\n"
    "40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd\n";

static void v1_tree(void)
{
    procs("/cpu,cpuacct", "1\n");
    procs("/cpuset", "1\n");
    procs("/memory", "1\n");
    procs("/pids", "1\n");
}

/* ---- v1 ---- */

static void v1_plain(void **state)
{
    (void)state;
    v1_tree();
    detect(v1_mounts, "4:memory:/\n3:cpuset:/\n1:cpu,cpuacct:/\n8:pids:/\n");
    assert_int_equal(layout.facts.kind, CGROUP_V1);
    assert_int_equal(layout.facts.controllers, ALL);
    assert_int_equal(layout.count, 4);
    assert_false(layout.facts.hybrid);
    assert_true(layout.facts.limits_swap); /* none on the host */
    assert_true(layout.facts.limits_kernel_memory);
    assert_string_equal(layout.facts.reason, "");
    assert_base(CGROUP_CPUACCT, "/cpu,cpuacct");
    assert_base(CGROUP_MEMORY, "/memory");
}

static void v1_leaves_only_groups_without_limits(void **state)
{
    (void)state;
    v1_tree();
    procs("/memory/a", "");
    procs("/memory/a/b", "7\n");
    file("/memory/a/memory.limit_in_bytes", "9223372036854771712\n");
    file("/memory/a/b/memory.limit_in_bytes", "9223372036854771712\n");
    const char *own = "4:memory:/a/b\n8:pids:/\n";
    detect(v1_mounts, own);
    assert_base(CGROUP_MEMORY, "/memory");
    file("/memory/a/memory.limit_in_bytes", "1073741824\n");
    detect(v1_mounts, own);
    assert_base(CGROUP_MEMORY, "/memory/a");
    file("/memory/a/b/memory.limit_in_bytes", "536870912\n");
    detect(v1_mounts, own);
    assert_base(CGROUP_MEMORY, "/memory/a/b");
    assert_base(CGROUP_PIDS, "/pids");
}

static void v1_cpu_limits_are_kept_too(void **state)
{
    (void)state;
    v1_tree();
    procs("/cpu,cpuacct/slice", "");
    procs("/cpuset/set", "");
    file("/cpu,cpuacct/slice/cpu.cfs_quota_us", "50000\n");
    file("/cpuset/cpuset.cpus", "0-7\n");
    file("/cpuset/set/cpuset.cpus", "0-3\n");
    detect(v1_mounts, "1:cpu,cpuacct:/slice\n3:cpuset:/set\n");
    assert_base(CGROUP_CPU, "/cpu,cpuacct/slice");
    assert_base(CGROUP_CPUSET, "/cpuset/set");
    file("/cpu,cpuacct/slice/cpu.cfs_quota_us", "-1\n");
    file("/cpuset/set/cpuset.cpus", "0-7\n");
    detect(v1_mounts, "1:cpu,cpuacct:/slice\n3:cpuset:/set\n");
    assert_base(CGROUP_CPU, "/cpu,cpuacct");
    assert_base(CGROUP_CPUSET, "/cpuset");
}

/* A container that shares the host's cgroup namespace: its mount shows its own group only. */
static void v1_container_mount(void **state)
{
    (void)state;
    procs("/memory", "1\n");
    procs("/pids", "1\n");
    detect("35 31 0:32 /docker/abc /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
           "39 31 0:36 /docker/abc /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n",
           "4:memory:/docker/abc\n8:pids:/docker/abc\n");
    assert_base(CGROUP_MEMORY, "/memory");
    assert_int_equal(layout.facts.controllers, CGROUP_MEMORY | CGROUP_PIDS);
    assert_non_null(strstr(layout.facts.reason, "cpuacct controller not mounted: mkdir -p"));
}

/* A mount of another namespace: the names above are hidden. */
static void v1_foreign_mount(void **state)
{
    (void)state;
    procs("/memory", "1\n");
    procs("/memory/x", "1\n");
    detect("35 31 0:32 /../.. /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n",
           "4:memory:/x\n");
    assert_base(CGROUP_MEMORY, "/memory");
    detect("35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n", "4:memory:/../x\n");
    assert_base(CGROUP_MEMORY, "/memory");
}

static void hybrid_is_v1(void **state)
{
    (void)state;
    char mounts[2048];
    v1_tree();
    procs("/unified", "1\n");
    snprintf(mounts, sizeof(mounts),
             "%s41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n", v1_mounts);
    detect(mounts, "4:memory:/\n0::/\n");
    assert_int_equal(layout.facts.kind, CGROUP_V1);
    assert_true(layout.facts.hybrid);
}

static void missing_memory_says_what_to_boot_with(void **state)
{
    (void)state;
    procs("/pids", "1\n");
    struct cgroup_sources sources = {
        .mountinfo = "39 31 0:36 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n",
        .controllers = "#subsys_name\thierarchy\tnum_cgroups\tenabled\nmemory\t0\t1\t0\n"
                       "cpuacct\t0\t1\t0\npids\t8\t1\t1\n",
        .own = "8:pids:/\n",
        .cmdline = "cgroup.memory=nosocket,nokmem",
        .swaps = "Filename\n/dev/sda2 partition 1 0 -2\n",
        .mount_root = root,
    };
    cgroup_detect(&sources, &layout);
    assert_int_equal(layout.facts.kind, CGROUP_V1);
    assert_int_equal(layout.facts.controllers, CGROUP_PIDS);
    assert_non_null(strstr(layout.facts.reason,
                           "memory controller not enabled: boot with cgroup_enable=memory"));
    assert_false(layout.facts.limits_kernel_memory);
    assert_false(layout.facts.limits_swap);
}

/* ---- v2 ---- */

static const char v2_mounts[] = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 "
                                "rw,nsdelegate,memory_recursiveprot\n";

static void v2_group(const char *group, bool real_root)
{
    char path[256];
    procs(group, "");
    snprintf(path, sizeof(path), "%s/cgroup.controllers", group);
    file(path, "cpuset cpu io memory hugetlb pids rdma misc\n");
    snprintf(path, sizeof(path), "%s/cpu.stat", group);
    file(path, "usage_usec 1\n");
    snprintf(path, sizeof(path), "%s/cgroup.type", group);
    if (!real_root)
        file(path, "domain\n");
}

static void v2_climbs_to_the_root(void **state)
{
    (void)state;
    v2_group("", true);
    procs("", "1\n2\n");
    v2_group("/system.slice", false);
    v2_group("/system.slice/cjudge.service", false);
    file("/system.slice/cjudge.service/memory.max", "max\n");
    file("/system.slice/cjudge.service/cpu.max", "max 100000\n");
    file("/system.slice/cjudge.service/cpuset.cpus", "\n");
    file("/system.slice/cjudge.service/pids.max", "4915\n"); /* systemd's default */
    detect(v2_mounts, "0::/system.slice/cjudge.service\n");
    assert_int_equal(layout.facts.kind, CGROUP_V2);
    assert_int_equal(layout.facts.controllers, ALL);
    assert_true(layout.facts.nsdelegate);
    assert_base(CGROUP_MEMORY, "");
    assert_false(layout.hierarchies[0].base_has_processes_rule);
}

static void v2_keeps_the_service_limit(void **state)
{
    (void)state;
    v2_group("", true);
    v2_group("/system.slice", false);
    v2_group("/system.slice/cjudge.service", false);
    file("/system.slice/cjudge.service/memory.max", "8589934592\n");
    detect(v2_mounts, "0::/system.slice/cjudge.service\n");
    assert_base(CGROUP_MEMORY, "/system.slice/cjudge.service");
    assert_true(layout.hierarchies[0].base_has_processes_rule);
}

/* A group above that holds processes would have to be emptied: our own is better. */
static void v2_does_not_climb_into_company(void **state)
{
    (void)state;
    v2_group("", true);
    v2_group("/user.slice", false);
    v2_group("/user.slice/mine", false);
    procs("/user.slice", "55\n");
    detect(v2_mounts, "0::/user.slice/mine\n");
    assert_base(CGROUP_MEMORY, "/user.slice/mine");
}

/* In a container with a namespace of its own, its group looks like the root but is none. */
static void v2_container(void **state)
{
    (void)state;
    v2_group("", false);
    procs("", "1\n");
    detect(v2_mounts, "0::/\n");
    assert_int_equal(layout.facts.kind, CGROUP_V2);
    assert_base(CGROUP_MEMORY, "");
    assert_true(layout.hierarchies[0].base_has_processes_rule);
}

static void v2_takes_what_was_delegated(void **state)
{
    (void)state;
    char path[128];
    v2_group("", true);
    v2_group("/judge", false);
    snprintf(path, sizeof(path), "%s/judge", root);
    const char *const names[] = {"judge", "/judge", path};
    for (size_t i = 0; i < 3; i++) {
        struct cgroup_sources sources = {.mountinfo = v2_mounts,
                                         .controllers = "",
                                         .own = "0::/\n",
                                         .cmdline = "",
                                         .swaps = "",
                                         .mount_root = root,
                                         .delegated = names[i]};
        cgroup_detect(&sources, &layout);
        assert_base(CGROUP_MEMORY, "/judge");
    }
    struct cgroup_sources sources = {.mountinfo = v2_mounts,
                                     .controllers = "",
                                     .own = "0::/\n",
                                     .cmdline = "",
                                     .swaps = "",
                                     .mount_root = root,
                                     .delegated = "../etc"};
    cgroup_detect(&sources, &layout);
    assert_int_equal(layout.facts.kind, CGROUP_NONE);
    assert_non_null(strstr(layout.facts.reason, "../etc does not exist"));
}

static void v2_missing_controllers_are_named(void **state)
{
    (void)state;
    v2_group("", true);
    file("/cgroup.controllers", "cpu pids\n");
    detect(v2_mounts, "0::/\n");
    assert_int_equal(layout.facts.controllers, CGROUP_CPU | CGROUP_CPUACCT | CGROUP_PIDS);
    assert_non_null(strstr(layout.facts.reason, "memory controller not available in"));
    assert_non_null(strstr(layout.facts.reason, "Delegate=yes"));
}

/* ---- none ---- */

static void nothing_mounted(void **state)
{
    (void)state;
    detect("23 27 0:22 / /sys rw - sysfs sysfs rw\n", "");
    assert_int_equal(layout.facts.kind, CGROUP_NONE);
    assert_int_equal(layout.count, 0);
    assert_non_null(strstr(layout.facts.reason, "mount -t cgroup2"));
}

static void something_else_is_mounted_over_them(void **state)
{
    (void)state;
    static const char *const mounts[] = {
        "30 23 0:26 / /sys/fs/cgroup/unified-gone rw - cgroup2 cgroup2 rw\n",
        "35 31 0:32 / /sys/fs/cgroup/memory-gone rw - cgroup cgroup rw,memory\n"
        "30 23 0:26 / /sys/fs/cgroup/unified-gone rw - cgroup2 cgroup2 rw\n"};
    for (size_t i = 0; i < sizeof(mounts) / sizeof(mounts[0]); i++) {
        detect(mounts[i], "0::/\n");
        assert_int_equal(layout.facts.kind, CGROUP_NONE);
        assert_non_null(strstr(layout.facts.reason, "/unified-gone cannot be reached"));
    }
}

static void malformed_texts_are_ignored(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "\n\n",
        "1 2 3",
        "1 2 3 4 5 6 - cgroup",
        "- - - - - - -",
        "35 31 0:32 / /sys/fs/cgroup/memory rw cgroup cgroup rw,memory\n"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        detect(texts[i], texts[i]);
        assert_int_equal(layout.facts.kind, CGROUP_NONE);
    }
    char longest[8192];
    memset(longest, 'x', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = '\0';
    detect(longest, longest);
    assert_int_equal(layout.facts.kind, CGROUP_NONE);
}

static void no_write_access(void **state)
{
    (void)state;
    if (geteuid() == 0)
        skip(); /* root may write everywhere */
    v2_group("", true);
    chmod(root, 0555);
    detect(v2_mounts, "0::/\n");
    chmod(root, 0755);
    assert_int_equal(layout.facts.kind, CGROUP_NONE);
    assert_non_null(strstr(layout.facts.reason, "systemd-run --user --scope -p Delegate=yes"));
}

static void only_instances_look_like_instances(void **state)
{
    (void)state;
    static const char *const good[] = {"1-2-3", "123-456789-0badcafe"};
    static const char *const bad[] = {"",        "service", "1-2",   "1-2-",    "-1-2",
                                      "1-2-3-4", "1-2-x",   "box-1", "run-0.1", "1-2-3 "};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_true(tree_is_instance_name(good[i]));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(tree_is_instance_name(bad[i]));
}

#define fixture_test(name) cmocka_unit_test_setup_teardown(name, make_root, remove_root)

int main(void)
{
    const struct CMUnitTest tests[] = {
        fixture_test(v1_plain),
        fixture_test(v1_leaves_only_groups_without_limits),
        fixture_test(v1_cpu_limits_are_kept_too),
        fixture_test(v1_container_mount),
        fixture_test(v1_foreign_mount),
        fixture_test(hybrid_is_v1),
        fixture_test(missing_memory_says_what_to_boot_with),
        fixture_test(v2_climbs_to_the_root),
        fixture_test(v2_keeps_the_service_limit),
        fixture_test(v2_does_not_climb_into_company),
        fixture_test(v2_container),
        fixture_test(v2_takes_what_was_delegated),
        fixture_test(v2_missing_controllers_are_named),
        fixture_test(nothing_mounted),
        fixture_test(something_else_is_mounted_over_them),
        fixture_test(malformed_texts_are_ignored),
        fixture_test(no_write_access),
        cmocka_unit_test(only_instances_look_like_instances),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
