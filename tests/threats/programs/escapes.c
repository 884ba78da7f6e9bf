/* Every way out of a container we know. Prints "GROUP:NAME refused ERRNO" or "GROUP:NAME worked". Each
 * attempt is a process of its own, so that one that kills or changes it does not stop the others. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sandboxed.h"

static void report(const char *name, long result)
{
    if (result >= 0)
        printf("%s worked\n", name);
    else
        printf("%s refused %s\n", name, strerrorname_np(errno));
    fflush(stdout);
}

#define TRY(name, call)                                                                            \
    do {                                                                                           \
        fflush(stdout);                                                                            \
        pid_t child = fork();                                                                      \
        if (child == 0) {                                                                          \
            errno = 0;                                                                             \
            report(name, (long)(call));                                                            \
            _exit(0);                                                                              \
        }                                                                                          \
        int status = 0;                                                                            \
        waitpid(child, &status, 0);                                                                \
        if (WIFSIGNALED(status))                                                                   \
            printf("%s refused signal-%d\n", name, WTERMSIG(status));                              \
    } while (0)

static long open_ns(const char *name, int type)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/1/ns/%s", name);
    int fd = open(path, O_RDONLY);
    return fd < 0 ? -1 : setns(fd, type);
}

static long setns_self(const char *name)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/self/ns/%s", name);
    int fd = open(path, O_RDONLY);
    return fd < 0 ? -1 : setns(fd, 0);
}

static long parent_ns(unsigned long request)
{
    int fd = open("/proc/self/ns/user", O_RDONLY);
    return fd < 0 ? -1 : ioctl(fd, request);
}

static long clone_with(unsigned long flags)
{
    long pid = syscall(SYS_clone, flags | SIGCHLD, 0, 0, 0, 0);
    if (pid == 0)
        _exit(0);
    return pid;
}

static long clone3_with(unsigned long long flags)
{
    unsigned long long args[11] = {flags, 0, 0, 0, SIGCHLD};
    long pid = syscall(435, args, sizeof args);
    if (pid == 0)
        _exit(0);
    return pid;
}

static long write_to(const char *path, const char *value)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    return fd < 0 ? -1 : write(fd, value, strlen(value));
}

static long overwrite(const char *path) /* through every link that proc has */
{
    int fd = open(path, O_PATH);
    char self[64];
    snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
    return fd < 0 ? -1 : open(self, O_WRONLY);
}

static long read_from(const char *path)
{
    char byte;
    int fd = open(path, O_RDONLY | O_NONBLOCK);
    if (fd < 0)
        return -1;
    ssize_t got = read(fd, &byte, 1);
    return got > 0 ? 0 : (errno = got == 0 ? ENODATA : errno, -1);
}

static long handle_open(void)
{
    struct {
        unsigned bytes;
        int type;
        unsigned char data[64];
    } handle = {8, 1, {2, 0, 0, 0, 0, 0, 0, 0}};
    for (const char *const *path =
             (const char *const[]){"/usr", "/w", "/tmp", "/", "/dev/null", NULL};
         *path; path++) {
        int fd = open(*path, O_RDONLY);
        if (fd >= 0 && syscall(SYS_open_by_handle_at, fd, &handle, O_RDONLY) >= 0)
            return 0;
    }
    return -1;
}

static long handle_of(const char *path)
{
    struct {
        unsigned bytes;
        int type;
        unsigned char data[128];
    } handle = {128, 0, {0}};
    int mount_id, mount_fd = open("/", O_RDONLY);
    if (syscall(SYS_name_to_handle_at, AT_FDCWD, path, &handle, &mount_id, 0) < 0)
        return -1;
    return syscall(SYS_open_by_handle_at, mount_fd, &handle, O_RDONLY);
}

static long device(mode_t type, int major_number, int minor_number)
{
    if (mknod("/tmp/device", type | 0666, makedev((unsigned)major_number, (unsigned)minor_number)) <
        0)
        return -1;
    return read_from("/tmp/device");
}

static long chroot_out(void)
{
    mkdir("/tmp/jail", 0700);
    if (chroot("/tmp/jail") < 0)
        return -1;
    for (int i = 0; i < 64; i++)
        if (chdir("..") < 0)
            return -1;
    return chroot(".");
}

static long climb(const char *start)
{
    struct stat here, root;
    int fd = open(start, O_RDONLY | O_DIRECTORY);
    if (fd < 0)
        return -1;
    for (int i = 0; i < 64; i++)
        fd = openat(fd, "..", O_RDONLY | O_DIRECTORY);
    if (fstat(fd, &here) < 0 || stat("/", &root) < 0)
        return -1;
    return here.st_ino == root.st_ino && here.st_dev == root.st_dev ? (errno = EXDEV, -1) : 0;
}

int main(void)
{
    TRY("mount:tmpfs", mount("tmpfs", "/tmp", "tmpfs", 0, NULL));
    TRY("mount:proc", mount("proc", "/tmp", "proc", 0, NULL));
    TRY("mount:bind", mount("/usr", "/tmp", NULL, MS_BIND, NULL));
    TRY("mount:remount_rw", mount(NULL, "/usr", NULL, MS_REMOUNT | MS_BIND, NULL));
    TRY("mount:remount_root", mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND, NULL));
    TRY("mount:remount_proc", mount(NULL, "/proc", NULL, MS_REMOUNT | MS_BIND, NULL));
    TRY("mount:shared", mount(NULL, "/", NULL, MS_SHARED | MS_REC, NULL));
    TRY("mount:cgroup", mount("cgroup", "/tmp", "cgroup", 0, "memory"));
    TRY("mount:cgroup2", mount("cgroup2", "/tmp", "cgroup2", 0, NULL));
    TRY("mount:mqueue", mount("mqueue", "/tmp", "mqueue", 0, NULL));
    TRY("mount:overlay",
        mount("overlay", "/tmp", "overlay", 0, "lowerdir=/usr,upperdir=/w,workdir=/w"));
    TRY("mount:umount", umount2("/proc", MNT_DETACH));
    TRY("mount:umount_tmp", umount2("/tmp", 0));
    TRY("mount:umount_mask", umount2("/proc/kcore", MNT_DETACH));
    TRY("mount:open_tree",
        syscall(SYS_open_tree, AT_FDCWD, "/", 1 | 0x8000 /* CLONE, RECURSIVE */));
    TRY("mount:open_tree_plain", syscall(SYS_open_tree, AT_FDCWD, "/usr", 1));
    TRY("mount:fsopen", syscall(SYS_fsopen, "tmpfs", 0));
    TRY("mount:fspick", syscall(SYS_fspick, AT_FDCWD, "/tmp", 0));
    TRY("mount:fsmount", syscall(SYS_fsmount, 0, 0, 0));
    TRY("mount:move_mount", syscall(SYS_move_mount, AT_FDCWD, "/tmp", AT_FDCWD, "/w", 0));
    TRY("mount:mount_setattr",
        syscall(SYS_mount_setattr, AT_FDCWD, "/usr", 0, (unsigned long long[4]){0, 1, 0, 0}, 32));
    TRY("mount:swapon", syscall(SYS_swapon, "/tmp/x", 0));
    TRY("mount:quotactl", syscall(SYS_quotactl, 0x800001, "/dev/null", 0, 0));

    TRY("namespace:user", unshare(CLONE_NEWUSER));
    TRY("namespace:mnt", unshare(CLONE_NEWNS));
    TRY("namespace:pid", unshare(CLONE_NEWPID));
    TRY("namespace:net", unshare(CLONE_NEWNET));
    TRY("namespace:ipc", unshare(CLONE_NEWIPC));
    TRY("namespace:uts", unshare(CLONE_NEWUTS));
    TRY("namespace:cgroup", unshare(0x02000000));
    TRY("namespace:time", unshare(0x00000080));
    TRY("namespace:user_mnt", unshare(CLONE_NEWUSER | CLONE_NEWNS));
    TRY("namespace:clone_user", clone_with(CLONE_NEWUSER));
    TRY("namespace:clone_user_mnt", clone_with(CLONE_NEWUSER | CLONE_NEWNS));
    TRY("namespace:clone_net", clone_with(CLONE_NEWNET));
    TRY("namespace:clone_pid", clone_with(CLONE_NEWPID));
    TRY("namespace:clone3_user", clone3_with(CLONE_NEWUSER));
    TRY("namespace:clone3_plain_user_mnt", clone3_with(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID));
    TRY("namespace:setns_mnt", open_ns("mnt", 0));
    TRY("namespace:setns_user", open_ns("user", CLONE_NEWUSER));
    TRY("namespace:setns_pid", open_ns("pid", 0));
    TRY("namespace:setns_cgroup", open_ns("cgroup", 0));
    TRY("namespace:setns_own_user", setns_self("user"));
    TRY("namespace:setns_own_mnt", setns_self("mnt"));
    TRY("namespace:setns_own_net", setns_self("net"));
    TRY("namespace:parent", parent_ns(0xb702 /* NS_GET_PARENT */));
    TRY("namespace:owner", parent_ns(0xb701 /* NS_GET_USERNS */));
    TRY("namespace:max_user", write_to("/proc/sys/user/max_user_namespaces", "1000"));
    TRY("namespace:uid_map", write_to("/proc/self/uid_map", "0 0 1"));
    TRY("namespace:sethostname", sethostname("evil", 4));
    TRY("namespace:setdomainname", setdomainname("evil", 4));

    TRY("root:chroot", chroot("/tmp"));
    TRY("root:chroot_proc_1", chroot("/proc/1/root"));
    TRY("root:chroot_twice", chroot_out());
    TRY("root:pivot_root", syscall(SYS_pivot_root, "/tmp", "/tmp"));
    TRY("root:pivot_root_dot", syscall(SYS_pivot_root, ".", "."));
    TRY("root:climb_root", climb("/"));
    TRY("root:climb_work", climb("/w"));
    TRY("root:climb_shm", climb("/dev/shm"));
    TRY("root:climb_proc", climb("/proc/self/task"));
    TRY("root:proc_1_root", climb("/proc/1/root"));
    TRY("root:proc_1_cwd", climb("/proc/1/cwd"));

    TRY("handle:shocker", handle_open());
    TRY("handle:passwd", handle_of("/etc/passwd"));
    TRY("handle:own", handle_of("/w"));
    TRY("handle:proc", handle_of("/proc/self"));

    TRY("cgroup:procs", write_to("/sys/fs/cgroup/cgroup.procs", "0"));
    TRY("cgroup:memory_max", write_to("/sys/fs/cgroup/memory.max", "max"));
    TRY("cgroup:memory_limit", write_to("/sys/fs/cgroup/memory/memory.limit_in_bytes", "-1"));
    TRY("cgroup:pids_max", write_to("/sys/fs/cgroup/pids/pids.max", "max"));
    TRY("cgroup:freeze", write_to("/sys/fs/cgroup/cgroup.freeze", "1"));
    TRY("cgroup:release_agent", write_to("/sys/fs/cgroup/memory/release_agent", "/tmp/x"));
    TRY("cgroup:kill", write_to("/sys/fs/cgroup/cgroup.kill", "1"));
    TRY("cgroup:mkdir", mkdir("/sys/fs/cgroup/evil", 0755));

    const char *const settings[] = {"kernel/core_pattern",     "kernel/hostname",
                                    "kernel/modprobe",         "kernel/sysrq",
                                    "kernel/pid_max",          "kernel/randomize_va_space",
                                    "kernel/shmmax",           "kernel/sem",
                                    "kernel/msgmax",           "kernel/ns_last_pid",
                                    "vm/overcommit_memory",    "vm/drop_caches",
                                    "vm/max_map_count",        "fs/file-max",
                                    "fs/mqueue/msg_max",       "fs/mqueue/queues_max",
                                    "net/ipv4/ip_forward",     "net/ipv4/ping_group_range",
                                    "net/core/somaxconn",      "user/max_inotify_watches",
                                    "kernel/keys/maxbytes",    "kernel/printk",
                                    "fs/suid_dumpable",        "fs/binfmt_misc/register",
                                    "kernel/yama/ptrace_scope"};
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
        char path[128], name[128];
        snprintf(path, sizeof path, "/proc/sys/%s", settings[i]);
        snprintf(name, sizeof name, "proc:%s", settings[i]);
        TRY(name, write_to(path, "1"));
    }
    TRY("proc:sysrq-trigger", write_to("/proc/sysrq-trigger", "h"));
    TRY("proc:kcore", read_from("/proc/kcore"));
    TRY("proc:kmsg", read_from("/proc/kmsg"));
    TRY("proc:timer_list", read_from("/proc/timer_list"));
    TRY("proc:sched_debug", read_from("/proc/sched_debug"));
    TRY("proc:kallsyms", write_to("/proc/kallsyms", "x"));
    TRY("proc:oom_score_adj_1", write_to("/proc/1/oom_score_adj", "1000"));
    TRY("proc:oom_score_adj_low", write_to("/proc/self/oom_score_adj", "-500"));
    TRY("proc:mtrr", write_to("/proc/mtrr", "x"));
    TRY("proc:irq", write_to("/proc/irq/0/smp_affinity", "1"));
    TRY("proc:latency_stats", write_to("/proc/latency_stats", "x"));
    TRY("proc:acpi", read_from("/proc/acpi/wakeup"));
    TRY("proc:scsi", read_from("/proc/scsi/scsi"));

    TRY("device:mem", read_from("/dev/mem"));
    TRY("device:kmsg", read_from("/dev/kmsg"));
    TRY("device:port", read_from("/dev/port"));
    TRY("device:vda", read_from("/dev/vda"));
    TRY("device:sda", read_from("/dev/sda"));
    TRY("device:loop", read_from("/dev/loop-control"));
    TRY("device:fuse", open("/dev/fuse", O_RDWR));
    TRY("device:net_tun", open("/dev/net/tun", O_RDWR));
    TRY("device:kvm", open("/dev/kvm", O_RDWR));
    TRY("device:ptmx", open("/dev/ptmx", O_RDWR));
    TRY("device:tty", open("/dev/tty", O_RDWR));
    TRY("device:console", open("/dev/console", O_RDWR));
    TRY("device:tty0", open("/dev/tty0", O_RDWR));
    TRY("device:vsock", open("/dev/vsock", O_RDWR));
    TRY("device:userfaultfd", open("/dev/userfaultfd", O_RDWR));
    TRY("device:hwrng", open("/dev/hwrng", O_RDWR));
    TRY("device:snapshot", open("/dev/snapshot", O_RDWR));
    TRY("device:mknod_mem", device(S_IFCHR, 1, 1));
    TRY("device:mknod_null", device(S_IFCHR, 1, 5));
    TRY("device:mknod_disk", device(S_IFBLK, 254, 0));
    TRY("device:mknod_sda", device(S_IFBLK, 8, 0));

    TRY("write:usr", overwrite("/usr/bin/env"));
    TRY("write:shell", overwrite("/bin/sh"));
    TRY("write:libc", overwrite("/usr/lib/x86_64-linux-gnu/libc.so.6"));
    TRY("write:init_exe", overwrite("/proc/1/exe"));
    TRY("write:passwd", overwrite("/etc/passwd"));
    TRY("write:root", mkdir("/evil", 0700));
    TRY("write:etc", open("/etc/evil", O_CREAT | O_WRONLY, 0600));
    TRY("write:dev", open("/dev/evil", O_CREAT | O_WRONLY, 0600));
    TRY("write:var_tmp", open("/var/tmp/evil", O_CREAT | O_WRONLY, 0600));
    TRY("write:run_lock", open("/run/lock/evil", O_CREAT | O_WRONLY, 0600));
    TRY("write:proc", open("/proc/evil", O_CREAT | O_WRONLY, 0600));
    TRY("write:null_mode", chmod("/dev/null", 0));
    TRY("write:null_owner", chown("/dev/null", getuid(), getgid()));
    TRY("write:null_times", utimensat(AT_FDCWD, "/dev/null", NULL, 0));
    TRY("write:urandom_entropy", ({
            int fd = open("/dev/urandom", O_RDWR);
            fd < 0 ? -1 : ioctl(fd, 0x5204 /* RNDZAPENTCNT */);
        }));
    TRY("write:usr_times", utimensat(AT_FDCWD, "/usr/bin/env", NULL, 0));
    TRY("write:usr_link", link("/usr/bin/env", "/tmp/env"));
    TRY("write:usr_lock", ({
            int fd = open("/usr/bin/env", O_RDONLY);
            fcntl(fd, F_SETLEASE, F_RDLCK);
        }));
    return 0;
}
