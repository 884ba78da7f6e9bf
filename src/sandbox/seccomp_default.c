/* The default filter: what ordinary programs use is allowed, what is known to be dangerous is
 * EPERM, and every other number, also those of kernels to come, is ENOSYS: the answer after which C
 * libraries and language runtimes fall back to an older call.
 *
 * The filter is the second wall. Namespaces, an unprivileged uid without capabilities and cgroups
 * stand before it; it takes away what those do not reach (what has no namespace, what is bounded
 * only for the whole machine) and most of the kernel code in which a bug could undo them. No denied
 * call kills: the program sees an errno, and its verdict stays its own.
 *
 * The tables are read in this order: the exception for clone3(2), calls that depend on arguments,
 * groups of names. Arguments that the kernel takes as int are compared by their low 32 bits, as it
 * does; the high half of the register is whatever the program wants it to be. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <seccomp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <linux/fs.h>
#include <linux/in.h>

#include "base/fd.h"
#include "sandbox/seccomp_filter.h"
#include "seccomp_rule.h"

#define ALLOW       SECCOMP_RET_ALLOW
#define DENY(error) (SECCOMP_RET_ERRNO | (error))

/* ---- Names, by purpose ---- */

struct syscall_group {
    const char *purpose; /* for denied groups: the reason */
    uint32_t action;
    const char *names; /* separated by spaces */
};

static const struct syscall_group groups[] = {
    {"files: open, read, write, describe, name", ALLOW,
     "open openat openat2 creat close close_range read write readv writev pread64 pwrite64 preadv "
     "pwritev preadv2 pwritev2 lseek dup dup2 dup3 flock stat fstat lstat newfstatat statx "
     "statfs fstatfs access faccessat faccessat2 truncate ftruncate fallocate fsync fdatasync "
     "sync_file_range fadvise64 readahead sendfile copy_file_range splice tee vmsplice getdents "
     "getdents64 getcwd chdir fchdir mkdir mkdirat rmdir rename renameat link linkat symlink "
     "symlinkat readlink readlinkat unlink unlinkat chmod fchmod fchmodat fchmodat2 chown lchown "
     "fchown fchownat umask utime utimes futimesat utimensat setxattr lsetxattr fsetxattr "
     "getxattr lgetxattr fgetxattr listxattr llistxattr flistxattr removexattr lremovexattr "
     "fremovexattr setxattrat getxattrat listxattrat removexattrat"},
    {"memory of its own", ALLOW,
     "brk munmap mremap mprotect msync mincore madvise mlock mlock2 munlock mlockall munlockall "
     "pkey_mprotect pkey_alloc pkey_free mseal map_shadow_stack get_mempolicy set_mempolicy"},
    {"waiting: pipes, polls, events, timers", ALLOW,
     "pipe pipe2 select pselect6 poll ppoll epoll_create epoll_create1 epoll_ctl epoll_wait "
     "epoll_pwait epoll_pwait2 eventfd eventfd2 signalfd signalfd4 timerfd_create timerfd_settime "
     "timerfd_gettime nanosleep clock_nanosleep alarm getitimer setitimer timer_create "
     "timer_settime timer_gettime timer_getoverrun timer_delete pause"},
    {"reading clocks", ALLOW, "time gettimeofday clock_gettime clock_getres times"},
    {"processes and threads", ALLOW,
     "fork vfork execve execveat exit exit_group wait4 waitid getpid getppid gettid getpgid "
     "setpgid getpgrp getsid setsid set_tid_address set_robust_list get_robust_list futex "
     "futex_waitv "
     "futex_wake futex_wait futex_requeue rseq membarrier arch_prctl prctl sched_yield "
     "restart_syscall pidfd_open pidfd_send_signal"},
    {"signals", ALLOW,
     "rt_sigaction rt_sigprocmask rt_sigreturn rt_sigpending rt_sigsuspend rt_sigtimedwait "
     "rt_sigqueueinfo rt_tgsigqueueinfo sigaltstack kill tkill tgkill"},
    {"identity: without capabilities only what is its own already; init drops its rights here",
     ALLOW,
     "getuid geteuid getgid getegid getresuid getresgid getgroups setuid setgid setreuid setregid "
     "setresuid setresgid setgroups setfsuid setfsgid capget capset"},
    {"limits and scheduling: rlimits and the kernel refuse improvements", ALLOW,
     "getrlimit setrlimit getrusage getpriority setpriority sched_getparam "
     "sched_setparam sched_getscheduler sched_setscheduler sched_getattr sched_setattr "
     "sched_get_priority_max sched_get_priority_min sched_rr_get_interval sched_getaffinity "
     "sched_setaffinity ioprio_get getcpu"},
    {"the machine, as far as everybody may know it", ALLOW, "uname sysinfo getrandom"},
    {"sockets of the allowed families: see the arguments of socket(2)", ALLOW,
     "connect accept accept4 bind listen shutdown getsockname getpeername setsockopt getsockopt "
     "sendto recvfrom sendmsg recvmsg sendmmsg recvmmsg"},
    {"System V and POSIX IPC, inside an IPC namespace", ALLOW,
     "shmat shmdt shmctl semget semop semtimedop semctl msgget msgsnd msgrcv msgctl mq_open "
     "mq_unlink mq_timedsend mq_timedreceive mq_notify mq_getsetattr"},
    {"restricting itself further", ALLOW,
     "seccomp landlock_create_ruleset landlock_add_rule landlock_restrict_self"},

    {"mounts and roots: the view of files is fixed before the program starts; mount tables and "
     "namespace lists name host paths",
     DENY(EPERM),
     "mount umount2 pivot_root chroot fsopen fsconfig fsmount fspick move_mount open_tree "
     "open_tree_attr mount_setattr listmount statmount listns"},
    {"joining other namespaces", DENY(EPERM), "setns"},
    {"looking into other processes: their memory, descriptors and registers; init and warm "
     "interpreters live beside the program",
     DENY(EPERM),
     "ptrace process_vm_readv process_vm_writev kcmp pidfd_getfd process_madvise process_mrelease "
     "move_pages migrate_pages"},
    {"file handles open files past every directory and mount", DENY(EPERM),
     "open_by_handle_at name_to_handle_at"},
    {"keyrings have no namespace of their own and outlive processes", DENY(EPERM),
     "keyctl add_key request_key"},
    {"programs inside the kernel, its tracing and its rings: large, young, and past this filter "
     "(io_uring opens sockets and files by itself)",
     DENY(EPERM),
     "bpf perf_event_open userfaultfd io_uring_setup io_uring_enter io_uring_register "
     "lookup_dcookie"},
    {"policies of shared mappings: on a tmpfs they stay with the file, and the next run may have "
     "it, "
     "as the empty input",
     DENY(ENOSYS), "mbind set_mempolicy_home_node"},
    {"watching whole file systems", DENY(EPERM), "fanotify_init fanotify_mark"},
    {"watching files that other containers see, too: a channel between them, and a quota that "
     "containers share",
     DENY(ENOSYS), "inotify_init inotify_init1 inotify_add_watch inotify_rm_watch"},
    {"kernel modules and other kernels", DENY(EPERM),
     "init_module finit_module delete_module create_module get_kernel_syms query_module "
     "kexec_load kexec_file_load"},
    {"the machine's state: power, swap, accounting, quota, names, log, terminal", DENY(EPERM),
     "reboot swapon swapoff acct quotactl quotactl_fd sethostname setdomainname syslog vhangup "
     "nfsservctl"},
    {"the machine's clock", DENY(EPERM), "settimeofday clock_settime stime adjtimex clock_adjtime"},
    {"writing back the host's disks, not only the program's files, slows down everybody: fsync(2) "
     "stays",
     DENY(EPERM), "sync syncfs"},
    {"a better place in the disk's queue needs no capability", DENY(EPERM), "ioprio_set"},
    {"ports, segments and virtual 8086: hardware", DENY(EPERM),
     "ioperm iopl modify_ldt vm86 vm86old"},
    {"relics with a record of bugs", DENY(EPERM), "uselib ustat sysfs _sysctl"},
    {"memory that neither the kernel nor an operator can look at", DENY(EPERM), "memfd_secret"},

    {"left out on purpose, programs fall back: contexts of libaio are counted for the whole "
     "machine, cachestat tells what others read, remap_file_pages is emulated and logs",
     DENY(ENOSYS),
     "io_setup io_destroy io_submit io_cancel io_getevents io_pgetevents cachestat "
     "remap_file_pages clone3"},
};

/* ---- Calls whose arguments decide ---- */

#define NAMESPACE_FLAGS                                                                            \
    (CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID |  \
     CLONE_NEWNET)

enum {
    SOCKET_TYPE_MASK = 0xf, /* the rest is SOCK_CLOEXEC and SOCK_NONBLOCK */
    PERSONALITY_QUERY = -1,
    HUGETLB_FILE = 0x4, /* MFD_HUGETLB */
};

#define INT_IS(number, wanted)                                                                     \
    {                                                                                              \
        .argument = (number), .operation = SECCOMP_MASKED_EQUAL, .mask = UINT32_MAX,               \
        .value = (uint32_t)(wanted)                                                                \
    }
#define INT_MASKED_IS(number, bits, wanted)                                                        \
    {                                                                                              \
        .argument = (number), .operation = SECCOMP_MASKED_EQUAL, .mask = (uint32_t)(bits),         \
        .value = (uint32_t)(wanted)                                                                \
    }
#define HAS_ANY(number, bits)                                                                      \
    {                                                                                              \
        .argument = (number), .operation = SECCOMP_BITS_SET, .value = (uint32_t)(bits)             \
    }
#define IS(number, wanted)                                                                         \
    {                                                                                              \
        .argument = (number), .operation = SECCOMP_EQUAL, .value = (wanted)                        \
    }

struct argument_rule {
    const char *name;
    uint32_t action;
    struct seccomp_condition conditions[3];
    size_t condition_count;
};

/* In order: the first line that matches decides, a line without conditions decides the rest. */
static const struct argument_rule argument_rules[] = {
    /* New namespaces bring capabilities over themselves, and with them most of the kernel's past
     * holes. clone3 hides its flags in memory, so it is ENOSYS (see the groups). */
    {"clone", DENY(EPERM), {HAS_ANY(0, NAMESPACE_FLAGS)}, 1},
    {"clone", ALLOW, {}, 0},
    /* Init's child unshares the cgroup namespace after it joined its group; a program cannot, that
     * takes CAP_SYS_ADMIN. */
    {"unshare", ALLOW, {IS(0, CLONE_NEWCGROUP)}, 1},
    {"unshare", DENY(EPERM), {}, 0},

    /* AF_VSOCK, AF_ALG, AF_BLUETOOTH, ... have no namespace; AF_NETLINK and AF_PACKET administer
     * one; an unusual protocol makes the kernel load its module. Types: libraries ask IPv6 and IPv4
     * for streams and datagrams only, raw sockets take a capability. */
    {"socket", ALLOW, {INT_IS(0, AF_UNIX)}, 1},
#define INTERNET_SOCKET(family, type, protocol)                                                    \
    {                                                                                              \
        "socket", ALLOW,                                                                           \
            {INT_IS(0, family), INT_MASKED_IS(1, SOCKET_TYPE_MASK, type), INT_IS(2, protocol)}, 3  \
    }
    INTERNET_SOCKET(AF_INET, SOCK_STREAM, 0),
    INTERNET_SOCKET(AF_INET, SOCK_STREAM, IPPROTO_TCP),
    INTERNET_SOCKET(AF_INET, SOCK_DGRAM, 0),
    INTERNET_SOCKET(AF_INET, SOCK_DGRAM, IPPROTO_UDP),
    INTERNET_SOCKET(AF_INET6, SOCK_STREAM, 0),
    INTERNET_SOCKET(AF_INET6, SOCK_STREAM, IPPROTO_TCP),
    INTERNET_SOCKET(AF_INET6, SOCK_DGRAM, 0),
    INTERNET_SOCKET(AF_INET6, SOCK_DGRAM, IPPROTO_UDP),
#undef INTERNET_SOCKET
    {"socket", DENY(EPROTONOSUPPORT), {INT_IS(0, AF_INET)}, 1},
    {"socket", DENY(EPROTONOSUPPORT), {INT_IS(0, AF_INET6)}, 1},
    {"socket", DENY(EAFNOSUPPORT), {}, 0},
    {"socketpair", ALLOW, {INT_IS(0, AF_UNIX)}, 1},
    {"socketpair", DENY(EAFNOSUPPORT), {}, 0},

    /* Typing into a terminal that others read, pasting on the console; line disciplines are drivers
     * that anyone with a terminal may load. */
    {"ioctl", DENY(EPERM), {INT_IS(1, TIOCSTI)}, 1},
    {"ioctl", DENY(EPERM), {INT_IS(1, TIOCLINUX)}, 1},
    {"ioctl", DENY(EPERM), {INT_IS(1, TIOCSETD)}, 1},
    {"ioctl", ALLOW, {}, 0},

    /* Huge pages come from the host's pool and are not counted against the memory limit.
     * Transparent huge pages are, and stay. The errors are those of an empty pool. */
    {"mmap", DENY(ENOMEM), {HAS_ANY(3, MAP_HUGETLB)}, 1},
    {"mmap", ALLOW, {}, 0},
    {"shmget", DENY(ENOMEM), {HAS_ANY(2, SHM_HUGETLB)}, 1},
    {"shmget", ALLOW, {}, 0},
    {"memfd_create", DENY(ENOMEM), {HAS_ANY(1, HUGETLB_FILE)}, 1},
    {"memfd_create", ALLOW, {}, 0},

    /* Leases and notices on files that other containers see, too. Locks stay, although two containers
     * that agree on a file of /usr can signal with them: the JVM and SQLite do not do without. */
    {"fcntl", DENY(EPERM), {INT_IS(1, F_SETLEASE)}, 1},
    {"fcntl", DENY(EPERM), {INT_IS(1, F_NOTIFY)}, 1},
    {"fcntl", ALLOW, {}, 0},

    /* Its own limits, and reading those of others: of an ordinary user's container init has the same
     * uid, and every later run begins with init's limits. */
    {"prlimit64", ALLOW, {INT_IS(0, 0)}, 1},
    {"prlimit64", ALLOW, {IS(2, 0)}, 1},
    {"prlimit64", DENY(EPERM), {}, 0},

    /* Only what makes addresses predictable (debuggers, ThreadSanitizer) and asking; the others
     * imitate systems of the past. */
    {"personality", ALLOW, {INT_IS(0, 0)}, 1},
    {"personality", ALLOW, {INT_IS(0, ADDR_NO_RANDOMIZE)}, 1},
    {"personality", ALLOW, {INT_IS(0, PERSONALITY_QUERY)}, 1},
    {"personality", DENY(EPERM), {}, 0},

    /* FIFOs, sockets and files. The kernel refuses devices without a capability, all but 0:0, the
     * whiteout of overlay file systems, which renameat2 makes as well. */
    {"mknod", DENY(EPERM), {INT_MASKED_IS(1, S_IFMT, S_IFCHR)}, 1},
    {"mknod", DENY(EPERM), {INT_MASKED_IS(1, S_IFMT, S_IFBLK)}, 1},
    {"mknod", ALLOW, {}, 0},
    {"mknodat", DENY(EPERM), {INT_MASKED_IS(2, S_IFMT, S_IFCHR)}, 1},
    {"mknodat", DENY(EPERM), {INT_MASKED_IS(2, S_IFMT, S_IFBLK)}, 1},
    {"mknodat", ALLOW, {}, 0},
    {"renameat2", DENY(EPERM), {HAS_ANY(4, RENAME_WHITEOUT)}, 1},
    {"renameat2", ALLOW, {}, 0},
};

/* ---- From tables to rules ---- */

enum { RULES_MAX = 640, NAME_SIZE = 32 };

struct rule_list {
    uint32_t arch;
    struct seccomp_rule rules[RULES_MAX];
    size_t count;
};

/* Calls that arch does not have are passed over: its libraries use their successors. */
static int add_rule(struct rule_list *list, const char *name, uint32_t action,
                    const struct seccomp_condition *conditions, size_t condition_count,
                    struct cj_error *err)
{
    int number = seccomp_syscall_number(list->arch, name);
    if (number == SYSCALL_ABSENT)
        return 0;
    if (number < 0)
        return error_set(err, ERROR_UNSUPPORTED, 0,
                         "libseccomp does not know the system call %s; 2.5.4 or later does", name);
    if (list->count == RULES_MAX)
        return error_set(err, ERROR_INTERNAL, 0, "more than %d default rules", RULES_MAX);
    struct seccomp_rule *rule = &list->rules[list->count++];
    *rule = (struct seccomp_rule){
        .number = (uint32_t)number,
        .action = action,
        .condition_count = condition_count,
    };
    for (size_t i = 0; i < condition_count; i++)
        rule->conditions[i] = conditions[i];
    return 0;
}

static int add_group(struct rule_list *list, const struct syscall_group *group,
                     struct cj_error *err)
{
    for (const char *next = group->names; *next != '\0';) {
        char name[NAME_SIZE];
        size_t length = strcspn(next, " ");
        if (length >= sizeof(name))
            return error_set(err, ERROR_INTERNAL, 0, "system call name too long: %s", next);
        memcpy(name, next, length);
        name[length] = '\0';
        if (add_rule(list, name, group->action, NULL, 0, err) < 0)
            return -1;
        next += length;
        next += strspn(next, " ");
    }
    return 0;
}

static int add_all(struct rule_list *list, uint64_t clone3_args_address, struct cj_error *err)
{
    struct seccomp_condition launcher[] = {IS(0, clone3_args_address)};
    if (clone3_args_address != 0 && add_rule(list, "clone3", ALLOW, launcher, 1, err) < 0)
        return -1;
    for (size_t i = 0; i < COUNT_OF(argument_rules); i++) {
        const struct argument_rule *rule = &argument_rules[i];
        if (add_rule(list, rule->name, rule->action, rule->conditions, rule->condition_count, err) <
            0)
            return -1;
    }
    for (size_t i = 0; i < COUNT_OF(groups); i++)
        if (add_group(list, &groups[i], err) < 0)
            return error_wrap(err, "%s", groups[i].purpose);
    return 0;
}

int seccomp_default_compile(uint32_t arch, uint64_t clone3_args_address, struct seccomp_filter *out,
                            struct cj_error *err)
{
    auto_free struct rule_list *list = calloc(1, sizeof(*list));
    if (list == NULL)
        return error_set(err, ERROR_SYSTEM, ENOMEM, "default system-call filter: out of memory");
    list->arch = arch;
    if (add_all(list, clone3_args_address, err) < 0)
        return error_wrap(err, "default system-call filter");
    /* The CPU's other conventions (int 0x80, x32, aarch32) know the same calls by other numbers. */
    const struct seccomp_policy policy = {
        .arch = arch,
        .default_action = DENY(ENOSYS),
        .foreign_action = DENY(ENOSYS),
        .x32_action = DENY(ENOSYS),
        .rules = list->rules,
        .rule_count = list->count,
    };
    if (seccomp_filter_compile(&policy, out, err) < 0)
        return error_wrap(err, "default system-call filter");
    out->inherited = true;
    return 0;
}

int seccomp_filter_default(uint64_t clone3_args_address, struct seccomp_filter *out,
                           struct cj_error *err)
{
    return seccomp_default_compile(seccomp_arch_native(), clone3_args_address, out, err);
}
