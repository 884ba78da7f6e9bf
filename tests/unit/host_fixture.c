#include "host_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/io.h"

const char *const fixture_names[FIXTURES] = {
    "debian", "ubuntu", "docker", "systemd", "v1", "hybrid", "bare", "empty",
};

#define STATUS_ROOT                                                                                \
    "Name:\tdoctor\nUid:\t0\t0\t0\t0\nGid:\t0\t0\t0\t0\nCapEff:\t000001ffffffffff\nNoNewPrivs:"    \
    "\t0\n"                                                                                        \
    "Seccomp:\t0\nSeccomp_filters:\t0\nCpus_allowed:\tff\nCpus_allowed_list:\t0-7\n"
#define STATUS_USER                                                                                \
    "Name:\tdoctor\nUid:\t1000\t1000\t1000\t1000\nCapEff:\t0000000000000000\nNoNewPrivs:\t0\n"     \
    "Seccomp:\t0\nCpus_allowed_list:\t0-3,6\n"
#define STATUS_DOCKER                                                                              \
    "Name:\tdoctor\nUid:\t0\t0\t0\t0\nCapEff:\t00000000a80425fb\nNoNewPrivs:\t0\nSeccomp:\t2\n"    \
    "Seccomp_filters:\t1\nCpus_allowed_list:\t0-1\n"
#define ALL_NAMESPACES                                                                             \
    {"proc/self/ns/user", ""}, {"proc/self/ns/mnt", ""}, {"proc/self/ns/pid", ""},                 \
        {"proc/self/ns/net", ""}, {"proc/self/ns/ipc", ""}, {"proc/self/ns/uts", ""},              \
        {"proc/self/ns/cgroup", ""},                                                               \
    {                                                                                              \
        "proc/self/ns/time", ""                                                                    \
    }
#define IDENTITY_MAP                                                                               \
    {                                                                                              \
        "proc/self/uid_map", "         0          0 4294967295\n"                                  \
    }
#define FILESYSTEMS                                                                                \
    {                                                                                              \
        "proc/filesystems", "nodev\tsysfs\nnodev\ttmpfs\nnodev\tproc\n\text4\nnodev\toverlay\n"    \
    }
#define MEMINFO                                                                                    \
    {                                                                                              \
        "proc/meminfo",                                                                            \
            "MemTotal:       16384 kB\nMemFree:         100 kB\nMemAvailable:    8192 kB\n"        \
            "SwapTotal:        2048 kB\n"                                                          \
    }
#define V2_MOUNT                                                                                   \
    "30 25 0:26 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:9 - cgroup2 cgroup2 "      \
    "rw,nsdelegate,memory_recursiveprot\n"
#define PLAIN_MOUNTS                                                                               \
    "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw,errors=remount-ro\n"                    \
    "23 22 0:21 / /proc rw,nosuid shared:12 - proc proc rw\n"                                      \
    "24 23 0:34 / /proc/sys/fs/binfmt_misc rw,relatime shared:14 - autofs systemd-1 rw,fd=29\n"    \
    "26 22 0:23 / /dev/shm rw,nosuid,nodev shared:3 - tmpfs tmpfs rw,size=65536k,inode64\n"        \
    "27 22 0:24 / /mnt/with\\040space rw - xfs /dev/sdb rw\n"

static const struct fixture_file debian[] = {
    {"proc/sys/kernel/osrelease", "5.10.0-28-amd64\n"},
    {"etc/os-release",
     "PRETTY_NAME=\"Debian GNU/Linux 11 (bullseye)\"\nNAME=\"Debian\"\nID=debian\n"},
    {"proc/self/status", STATUS_USER},
    ALL_NAMESPACES,
    IDENTITY_MAP,
    FILESYSTEMS,
    MEMINFO,
    {"proc/sys/user/max_user_namespaces", "63432\n"},
    {"proc/sys/kernel/unprivileged_userns_clone", "0\n"},
    {"proc/sys/kernel/yama/ptrace_scope", "1\n"},
    {"sys/kernel/security/lsm", "lockdown,capability,yama,apparmor\n"},
    {"proc/self/mountinfo",
     PLAIN_MOUNTS V2_MOUNT "31 22 0:27 / /tmp rw,nosuid - tmpfs tmpfs rw,size=2g,usrquota\n"},
    {"proc/self/cgroup", "0::/user.slice/user-1000.slice/session-2.scope\n"},
    {"sys/fs/cgroup/cgroup.controllers", "cpuset cpu io memory hugetlb pids rdma\n"},
    {"sys/fs/cgroup/cgroup.subtree_control", "cpu memory pids\n"},
    {"sys/fs/cgroup/user.slice/user-1000.slice/session-2.scope/memory.max", "max\n"},
    {"sys/fs/cgroup/user.slice/user-1000.slice/session-2.scope/pids.max", "9000\n"},
    {"sys/fs/cgroup/user.slice/user-1000.slice/session-2.scope/cpu.max", "max 100000\n"},
    {"sys/module/apparmor/parameters/enabled", "Y\n"},
    {"proc/self/attr/apparmor/current", "unconfined\n"},
    {"sys/fs/", NULL},
    {"sys/devices/system/cpu/online", "0-7\n"},
    {NULL, NULL},
};

static const struct fixture_file ubuntu[] = {
    {"proc/sys/kernel/osrelease", "6.8.0-45-generic\n"},
    {"proc/sys/kernel/arch", "x86_64\n"},
    {"etc/os-release", "PRETTY_NAME='Ubuntu 24.04.1 LTS'\nID=ubuntu\n"},
    {"proc/self/status", STATUS_USER},
    ALL_NAMESPACES,
    IDENTITY_MAP,
    {"proc/sys/user/max_user_namespaces", "127000\n"},
    {"proc/sys/kernel/unprivileged_userns_clone", "1\n"},
    {"proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1\n"},
    {"proc/sys/kernel/apparmor_restrict_unprivileged_unconfined", "0\n"},
    {"proc/self/attr/apparmor/current", "unconfined\n"},
    {"sys/module/apparmor/parameters/enabled", "Y\n"},
    {"sys/kernel/security/lsm", "lockdown,capability,landlock,yama,apparmor\n"},
    {"proc/self/mountinfo", PLAIN_MOUNTS V2_MOUNT},
    {"proc/self/cgroup", "0::/user.slice/user-1000.slice/user@1000.service/app.slice/x.scope\n"},
    {"sys/fs/cgroup/cgroup.controllers", "cpuset cpu io memory pids\n"},
    {"sys/fs/cgroup/cgroup.subtree_control", "cpu memory pids\n"},
    {"proc/cpuinfo", "processor\t: 0\nflags\t\t: fpu vme hypervisor lahf_lm\n"},
    {"sys/class/dmi/id/sys_vendor", "QEMU\n"},
    {NULL, NULL},
};

static const struct fixture_file docker[] = {
    {"proc/sys/kernel/osrelease", "6.1.0-18-amd64\n"},
    {"etc/os-release", "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nID=debian\n"},
    {".dockerenv", ""},
    {"proc/self/status", STATUS_DOCKER},
    ALL_NAMESPACES,
    IDENTITY_MAP,
    {"proc/sys/user/max_user_namespaces", "63432\n"},
    {"proc/sys/kernel/unprivileged_userns_clone", "1\n"},
    {"proc/self/attr/current", "docker-default (enforce)\n"},
    {"sys/module/apparmor/parameters/enabled", "Y\n"},
    {"proc/self/mountinfo",
     "600 500 0:60 / / rw,relatime master:1 - overlay overlay rw,lowerdir=/a:/b,upperdir=/c\n"
     "601 600 0:61 / /proc rw,nosuid,nodev,noexec,relatime - proc proc rw\n"
     "602 600 0:62 / /dev rw,nosuid - tmpfs tmpfs rw,size=65536k,mode=755\n"
     "603 602 0:63 / /dev/shm rw,nosuid,nodev,noexec,relatime - tmpfs shm rw,size=65536k\n"
     "604 605 0:26 / /sys/fs/cgroup ro,nosuid,nodev,noexec,relatime - cgroup2 cgroup "
     "rw,nsdelegate,memory_recursiveprot\n"
     "606 601 0:61 /bus /proc/bus ro,nosuid,nodev,noexec,relatime - proc proc rw\n"
     "607 601 0:62 /null /proc/kcore rw,nosuid - tmpfs tmpfs rw,size=65536k,mode=755\n"},
    {"proc/self/cgroup", "0::/\n"},
    {"proc/1/cgroup", "0::/\n"},
    {"sys/fs/cgroup/cgroup.controllers", "cpuset cpu io memory pids\n"},
    {"sys/fs/cgroup/cgroup.subtree_control", "\n"},
    {"sys/fs/cgroup/cgroup.type", "domain\n"},
    {"sys/fs/cgroup/memory.max", "2147483648\n"},
    {"sys/fs/cgroup/pids.max", "max\n"},
    {"sys/fs/cgroup/cpu.max", "150000 100000\n"},
    {NULL, NULL},
};

static const struct fixture_file systemd[] = {
    {"proc/sys/kernel/osrelease", "6.12.1-amd64\n"},
    {"usr/lib/os-release", "ID=debian\nPRETTY_NAME=\"Debian GNU/Linux 13 (trixie)\"\n"},
    {"proc/self/status", STATUS_ROOT},
    ALL_NAMESPACES,
    IDENTITY_MAP,
    FILESYSTEMS,
    {"proc/meminfo", "MemTotal: 1024 kB\nSwapTotal: 0 kB\n"},
    {"proc/sys/user/max_user_namespaces", "1000\n"},
    {"proc/self/mountinfo", PLAIN_MOUNTS V2_MOUNT},
    {"proc/self/cgroup", "0::/system.slice/cjudge.service\n"},
    {"sys/fs/cgroup/cgroup.controllers", "cpuset cpu io memory hugetlb pids rdma misc\n"},
    {"sys/fs/cgroup/cgroup.subtree_control", "cpuset cpu memory pids\n"},
    {"proc/sys/kernel/core_pattern", "|/usr/lib/systemd/systemd-coredump %P %u %g\n"},
    {"proc/sys/vm/memfd_noexec", "2\n"},
    {"proc/sys/vm/overcommit_memory", "2\n"},
    {"proc/sys/kernel/seccomp/actions_avail", "kill_process trap errno allow\n"},
    {"sys/devices/system/clocksource/clocksource0/current_clocksource", "hpet\n"},
    {NULL, NULL},
};

#define V1_MOUNTS                                                                                  \
    "40 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct\n"         \
    "41 31 0:30 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n"                   \
    "42 31 0:31 / /sys/fs/cgroup/pids rw,relatime - cgroup cgroup rw,pids\n"                       \
    "43 31 0:32 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd\n"

static const struct fixture_file v1[] = {
    {"proc/sys/kernel/osrelease", "4.19.0-26-amd64\n"},
    {"proc/self/status", STATUS_ROOT},
    ALL_NAMESPACES,
    IDENTITY_MAP,
    MEMINFO,
    {"proc/cmdline", "root=/dev/sda1 cgroup.memory=nosocket,nokmem quiet\n"},
    {"proc/self/mountinfo", PLAIN_MOUNTS V1_MOUNTS},
    {"proc/self/cgroup", "9:name=systemd:/\n8:pids:/\n4:memory:/\n3:cpu,cpuacct:/\n"},
    {"sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"},
    {"sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "-1\n"},
    {"sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n"},
    {"sys/fs/cgroup/pids/", NULL},
    {NULL, NULL},
};

/* A docker container of the v1 days, without a cgroup namespace, in a chroot. */
static const struct fixture_file hybrid[] = {
    {"proc/sys/kernel/osrelease", "5.4.0-1-generic\n"},
    {"proc/self/status", STATUS_ROOT},
    ALL_NAMESPACES,
    IDENTITY_MAP,
    {"proc/self/mountinfo",
     "40 31 0:29 /docker/abc /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu,cpuacct\n"
     "41 31 0:30 /docker/abc /sys/fs/cgroup/memory ro,relatime - cgroup cgroup rw,memory\n"
     "42 31 0:31 /docker/abc /sys/fs/cgroup/pids rw,relatime - cgroup cgroup rw,pids\n"
     "44 31 0:33 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n"
     "this line is no mount\n"},
    {"proc/self/cgroup", "4:memory:/docker/abc\n3:cpu,cpuacct:/docker/abc\n0::/docker/abc\n"},
    {"proc/1/cgroup", "4:memory:/docker/abc\n"},
    {"sys/fs/cgroup/memory/memory.limit_in_bytes", "1073741824\n"},
    {"sys/fs/cgroup/pids/pids.max", "100\n"},
    {"sys/fs/cgroup/cpu/cpu.cfs_quota_us", "50000\n"},
    {"sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n"},
    {"sys/fs/cgroup/unified/", NULL},
    {NULL, NULL},
};

static const struct fixture_file bare[] = {
    {"proc/sys/kernel/osrelease", "3.10.0\n"},
    {"proc/self/ns/mnt", ""},
    {"proc/self/ns/uts", ""},
    {"proc/self/status", "Name:\tdoctor\nUid:\nCapEff:\tzz\nCpus_allowed_list:\t3-1\n"},
    {"proc/self/mountinfo", "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n"},
    {"proc/self/cgroup", "nonsense\n"},
    {"proc/self/uid_map", "0 1000\n"},
    {"proc/meminfo", "MemTotal: 99999999999999999999 kB\n"},
    {"proc/filesystems", "nodev\ttmpfs2\nnodev\tproc\n"},
    {"proc/sys/kernel/pid_max", "many\n"},
    {NULL, NULL},
};

static const struct fixture_file empty[] = {{NULL, NULL}};

static const struct fixture_file *const fixtures[FIXTURES] = {
    debian, ubuntu, docker, systemd, v1, hybrid, bare, empty,
};

static void make_parents(int root_fd, const char *path)
{
    char part[512];
    for (const char *slash = strchr(path, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        snprintf(part, sizeof(part), "%.*s", (int)(slash - path), path);
        mkdirat(root_fd, part, 0755);
    }
}

static int make_file(int root_fd, const struct fixture_file *file)
{
    make_parents(root_fd, file->path);
    if (file->text == NULL)
        return 0;
    auto_fd int fd = openat(root_fd, file->path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    return fd < 0 ? -1 : write_full(fd, file->text, strlen(file->text));
}

int fixture_open(enum fixture_host host, char **path)
{
    *path = strdup("/tmp/cjudge-fixture-XXXXXX");
    if (*path == NULL || mkdtemp(*path) == NULL)
        return -1;
    int root_fd = open(*path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (const struct fixture_file *file = fixtures[host]; root_fd >= 0 && file->path != NULL;
         file++)
        if (make_file(root_fd, file) < 0)
            return -1;
    return root_fd;
}

static int remove_entry(const char *path, const struct stat *file, int kind, struct FTW *at)
{
    (void)file, (void)kind, (void)at;
    return remove(path);
}

void fixture_close(int root_fd, char *path)
{
    close(root_fd);
    nftw(path, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    free(path);
}
