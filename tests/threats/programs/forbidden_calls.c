/* Calls that no judged program needs, natively and through the other entries of the CPU. Each in a child
 * of its own. Prints "NAME worked" or "NAME refused ERRNO". Arguments are such that a kernel that allowed
 * the call would say so with success or an error that differs from EPERM, ENOSYS, EACCES. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "sandboxed.h"

/* Allowed calls with bad arguments fail too, but otherwise: those count as "worked" (reached). */
static int denial(int error)
{
    return error == EPERM || error == ENOSYS || error == EACCES || error == EOPNOTSUPP;
}

static void report(const char *name, long result)
{
    if (result >= 0 && result < 0x7fffffff)
        printf("%s worked\n", name);
    else if (denial(errno))
        printf("%s refused %s\n", name, strerrorname_np(errno));
    else
        printf("%s reached %s\n", name, strerrorname_np(errno));
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

/* int 0x80: the 32-bit table. Pointers must lie below 4 GiB. */
static long i386(long number, long a, long b, long c, long d, long e)
{
    long result;
    __asm__ volatile("int $0x80"
                     : "=a"(result)
                     : "a"(number), "b"(a), "c"(b), "d"(c), "S"(d), "D"(e)
                     : "memory", "r8", "r9", "r10", "r11");
    if ((int)result < 0 && (int)result > -4096) {
        errno = -(int)result;
        return -1;
    }
    return result & 0x7fffffff;
}

static long x32(long number, long a, long b, long c)
{
    return syscall(0x40000000 | number, a, b, c);
}

/* sysenter from 64-bit code faults or is taken as a 32-bit call; either way nothing may come of it. */
static long sysenter(long number)
{
    long result;
    __asm__ volatile("push %%rbp\n mov %%rsp, %%rbp\n sysenter\n pop %%rbp"
                     : "=a"(result)
                     : "a"(number)
                     : "memory", "rcx", "rdx", "r11");
    if ((int)result < 0) {
        errno = -(int)result;
        return -1;
    }
    return result & 0x7fffffff;
}

int main(void)
{
    char *low = mmap((void *)0x10000000, 4096, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    strcpy(low, "tmpfs");
    strcpy(low + 64, "/tmp");
    long fs = (long)low, where = (long)(low + 64);
    unsigned long long zeros[64] = {0};
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);

    TRY("add_key", syscall(SYS_add_key, "user", "probe", "x", 1, -3));
    TRY("request_key", syscall(SYS_request_key, "user", "probe", NULL, -3));
    TRY("keyctl", syscall(SYS_keyctl, 0, -3, 1));
    TRY("bpf", syscall(SYS_bpf, 0, (unsigned[32]){2, 4, 4, 1}, 128));
    TRY("perf_event_open", syscall(SYS_perf_event_open, (unsigned[32]){1, 128, 1}, 0, -1, -1, 0));
    TRY("userfaultfd", syscall(SYS_userfaultfd, 1));
    TRY("io_uring_setup", syscall(425, 4, zeros));
    TRY("io_uring_enter", syscall(426, 0, 0, 0, 0, 0, 0));
    TRY("io_uring_register", syscall(427, -1, 0, 0, 0));
    TRY("init_module", syscall(SYS_init_module, zeros, 64, ""));
    TRY("finit_module", syscall(SYS_finit_module, 0, "", 0));
    TRY("delete_module", syscall(SYS_delete_module, "nothing", 0));
    TRY("kexec_load", syscall(SYS_kexec_load, 0, 0, 0, 0));
    TRY("kexec_file_load", syscall(SYS_kexec_file_load, 0, 0, 0, 0, 0));
    TRY("reboot", syscall(SYS_reboot, 0xfee1dead, 672274793, 0x89abcdef /* CAD_ON */, 0));
    TRY("swapon", syscall(SYS_swapon, "/tmp/none", 0));
    TRY("swapoff", syscall(SYS_swapoff, "/tmp/none"));
    TRY("acct", syscall(SYS_acct, NULL));
    TRY("settimeofday", syscall(SYS_settimeofday, (long[2]){now.tv_sec, now.tv_nsec / 1000}, 0));
    TRY("clock_settime", syscall(SYS_clock_settime, CLOCK_REALTIME, &now));
    TRY("clock_adjtime", syscall(SYS_clock_adjtime, CLOCK_REALTIME, (unsigned[64]){0x4000}));
    TRY("adjtimex", syscall(SYS_adjtimex, (unsigned[64]){0x4000}));
    TRY("iopl", syscall(SYS_iopl, 3));
    TRY("ioperm", syscall(SYS_ioperm, 0x80, 1, 1));
    TRY("modify_ldt", syscall(SYS_modify_ldt, 1, (unsigned[4]){0, 0, 0xfffff, 0x51}, 16));
    TRY("lookup_dcookie", syscall(SYS_lookup_dcookie, 0, low, 64));
    TRY("open_by_handle_at", syscall(SYS_open_by_handle_at, 0, zeros, 0));
    TRY("syslog", syscall(SYS_syslog, 3, low, 64));
    TRY("quotactl", syscall(SYS_quotactl, 0x800001, "/dev/null", 0, 0));
    TRY("nfsservctl", syscall(180, 0, 0, 0));
    TRY("vhangup", syscall(SYS_vhangup));
    TRY("uselib", syscall(134, "/bin/sh"));
    TRY("process_vm_readv", syscall(SYS_process_vm_readv, getppid(), (long[2]){(long)zeros, 8}, 1,
                                    (long[2]){(long)low, 8}, 1, 0));
    TRY("process_vm_writev", syscall(SYS_process_vm_writev, getppid(), (long[2]){(long)zeros, 8}, 1,
                                     (long[2]){(long)low + 128, 8}, 1, 0));
    TRY("ptrace_attach", syscall(SYS_ptrace, 0x4206 /* SEIZE */, getppid(), 0, 0));
    TRY("kcmp", syscall(SYS_kcmp, getppid(), getpid(), 0, 0, 0));
    TRY("pidfd_getfd", syscall(438, (int)syscall(434, getppid(), 0), 0, 0));
    TRY("fanotify_init", syscall(SYS_fanotify_init, 0x200 /* REPORT_FID */, 0));
    TRY("mbind", syscall(SYS_mbind, low, 4096, 0, NULL, 0, 0));
    TRY("move_pages", syscall(SYS_move_pages, getppid(), 0UL, NULL, NULL, NULL, 0));
    TRY("migrate_pages", syscall(SYS_migrate_pages, getppid(), 64, zeros, zeros));
    TRY("set_mempolicy", syscall(SYS_set_mempolicy, 0, NULL, 0));
    TRY("vm86", syscall(0x40000000 + 9999));
    TRY("mount", syscall(SYS_mount, "tmpfs", "/tmp", "tmpfs", 0, 0));
    TRY("umount2", syscall(SYS_umount2, "/tmp", 0));
    TRY("pivot_root", syscall(SYS_pivot_root, "/tmp", "/tmp"));
    TRY("chroot", syscall(SYS_chroot, "/tmp"));
    TRY("unshare", syscall(SYS_unshare, 0x10000000));
    TRY("setns", syscall(SYS_setns, open("/proc/self/ns/uts", O_RDONLY), 0));
    TRY("fsopen", syscall(430, "tmpfs", 0));
    TRY("open_tree", syscall(428, -100, "/usr", 1));
    TRY("move_mount", syscall(429, -100, "/tmp", -100, "/w", 0));
    TRY("mount_setattr", syscall(442, -100, "/usr", 0, zeros, 32));
    TRY("sethostname", syscall(SYS_sethostname, "evil", 4));
    TRY("setdomainname", syscall(SYS_setdomainname, "evil", 4));
    TRY("memfd_secret", syscall(447, 0));
    TRY("lsm_set_self_attr", syscall(460, 100, zeros, 64, 0));
    TRY("clone3", syscall(435, (unsigned long long[11]){0, 0, 0, 0, SIGCHLD}, 88));

    TRY("i386:mount", i386(21, fs, where, fs, 0, 0));
    TRY("i386:keyctl", i386(288, 0, -3, 1, 0, 0));
    TRY("i386:unshare", i386(310, 0x10000000, 0, 0, 0, 0));
    TRY("i386:bpf", i386(357, 0, fs, 128, 0, 0));
    TRY("i386:ptrace", i386(26, 16, getppid(), 0, 0, 0));
    TRY("i386:chroot", i386(61, where, 0, 0, 0, 0));
    TRY("i386:reboot", i386(88, (long)0xfee1dead, 672274793, (long)0x89abcdef, 0, 0));
    TRY("i386:init_module", i386(128, fs, 64, fs, 0, 0));
    TRY("i386:getpid", i386(20, 0, 0, 0, 0, 0));
    TRY("x32:mount", syscall(0x40000000 | SYS_mount, "tmpfs", "/tmp", "tmpfs", 0, 0));
    TRY("x32:keyctl", x32(SYS_keyctl, 0, -3, 1));
    TRY("x32:unshare", x32(SYS_unshare, 0x10000000, 0, 0));
    TRY("x32:bpf", x32(SYS_bpf, 0, fs, 128));
    TRY("x32:ptrace", x32(521, 0x4206, getppid(), 0));
    TRY("x32:chroot", x32(SYS_chroot, where, 0, 0));
    TRY("x32:reboot", x32(SYS_reboot, (long)0xfee1dead, 672274793, (long)0x89abcdef));
    TRY("x32:init_module", x32(SYS_init_module, fs, 64, fs));
    TRY("x32:getpid", x32(SYS_getpid, 0, 0, 0));
    TRY("i386_sysenter:mount", sysenter(21));
    TRY("i386_sysenter:keyctl", sysenter(288));
    TRY("i386_sysenter:unshare", sysenter(310));
    TRY("i386_sysenter:bpf", sysenter(357));
    TRY("i386_sysenter:ptrace", sysenter(26));
    TRY("i386_sysenter:chroot", sysenter(61));
    TRY("i386_sysenter:reboot", sysenter(88));
    TRY("i386_sysenter:init_module", sysenter(128));
    TRY("i386_sysenter:getpid", sysenter(20));
    return 0;
}
