/* Installs filters of its own or makes itself hard to look at, then spins. */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sandboxed.h"

static void filter(unsigned action, unsigned flags)
{
    struct sock_filter code[] = {BPF_STMT(BPF_RET | BPF_K, action)};
    struct sock_fprog program = {1, code};
    syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
}

int main(int argc, char **argv)
{
    const char *how = argc > 1 ? argv[1] : "";
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (strcmp(how, "strict") == 0)
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT);
    else if (strcmp(how, "errno_all") == 0)
        filter(SECCOMP_RET_ERRNO | EPERM, 0);
    else if (strcmp(how, "trap") == 0)
        filter(SECCOMP_RET_ERRNO | ENOSYS, SECCOMP_FILTER_FLAG_SPEC_ALLOW);
    else if (strcmp(how, "user_notification") == 0)
        filter(SECCOMP_RET_USER_NOTIF, SECCOMP_FILTER_FLAG_NEW_LISTENER);
    else if (strcmp(how, "undumpable") == 0)
        prctl(PR_SET_DUMPABLE, 0);
    else if (strcmp(how, "kill_process") == 0 || strcmp(how, "kill_all") == 0) {
        filter(SECCOMP_RET_KILL_PROCESS, 0);
        getppid();
    }
    for (volatile unsigned long i = 0;; i++)
        ;
}
