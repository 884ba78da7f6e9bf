/* Ways to get privileges back. Prints "NAME worked" or "NAME refused". */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sandboxed.h"

static void report(const char *name, long result)
{
    printf("%s %s\n", name, result < 0 ? "refused" : "worked");
    fflush(stdout);
}

static void by_program(const char *name, const char *const *args)
{
    fflush(stdout);
    pid_t pid = fork();
    int status = 0;
    if (pid == 0) {
        int null = open("/dev/null", O_RDWR);
        dup2(null, 0);
        dup2(null, 1);
        dup2(null, 2);
        execvp(args[0], (char *const *)(unsigned long)args);
        _exit(127);
    }
    waitpid(pid, &status, 0);
    report(name, WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -1);
}

int main(void)
{
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2] = {{~0U, ~0U, ~0U}, {~0U, ~0U, ~0U}};
    report("setuid", setuid(0));
    report("seteuid", seteuid(0));
    report("setreuid", setreuid(0, 0));
    report("setresuid", setresuid(0, 0, 0));
    report("setgid", setgid(0));
    report("setresgid", setresgid(0, 0, 0));
    report("setuid:other", setuid(1001));
    report("setuid:nobody", setuid(65534));
    report("setgroups", setgroups(1, &(gid_t){0}));
    report("setgroups:none", setgroups(0, NULL));
    setfsuid(0);
    report("setfsuid", setfsuid(0) == 0 ? 0 : -1);
    report("capset", syscall(SYS_capset, &header, data));
    report("ambient", prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_SYS_ADMIN, 0, 0));
    report("securebits", prctl(PR_SET_SECUREBITS, 0, 0, 0, 0));
    report("keepcaps",
           prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) == 0 && prctl(PR_CAPBSET_READ, CAP_SYS_ADMIN) == 1
               ? 0
               : -1);
    report("no_new_privs off", prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0));
    report("seccomp off", prctl(PR_SET_SECCOMP, 0, 0, 0, 0));
    by_program("su", (const char *const[]){"su", "-c", "true", NULL});
    by_program("sudo", (const char *const[]){"sudo", "-n", "true", NULL});
    by_program("mount", (const char *const[]){"mount", "-t", "tmpfs", "tmpfs", "/tmp", NULL});
    by_program("newgrp", (const char *const[]){"newgrp", "root", NULL});
    by_program("passwd", (const char *const[]){"passwd", "-d", "root", NULL});
    by_program("unshare", (const char *const[]){"unshare", "-Urm", "true", NULL});
    by_program("bwrap", (const char *const[]){"bwrap", "--ro-bind", "/", "/", "true", NULL});
    by_program("ping", (const char *const[]){"ping", "-c1", "-W1", "127.0.0.1", NULL});
    by_program("dmesg", (const char *const[]){"dmesg", NULL});
    by_program("chsh", (const char *const[]){"chsh", "-s", "/bin/sh", NULL});
    by_program("set-id copy",
               (const char *const[]){
                   "sh", "-c",
                   "cp /bin/sh /tmp/s && chmod 6755 /tmp/s && test \"$(/tmp/s -p -c 'id -u')\" = 0",
                   NULL});
    return 0;
}
