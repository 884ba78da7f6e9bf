/* The filters on top of the other one, as the kernel takes them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "init.h"

/* What a process that has the filter is answered: 0 or errno. */
static int answer_of(long result)
{
    return result < 0 ? errno : 0;
}

static bool can_fork(void)
{
    int status = 0;
    pid_t pid = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    if (pid == 0)
        syscall(SYS_exit_group, 7);
    return pid > 0 && waitpid(pid, &status, 0) == pid && WEXITSTATUS(status) == 7;
}

/* Ends the process: 0, or the line of what was not as expected. */
static void try_calls(const struct sock_filter *filter, unsigned short count, int clone3_answer)
{
    const struct sock_fprog program = {.len = count,
                                       .filter = (struct sock_filter *)(uintptr_t)filter};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
        syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0)
        _exit(__LINE__);
    if (answer_of(syscall(SYS_clone3, NULL, 0)) != clone3_answer)
        _exit(__LINE__);
    if (answer_of(syscall(SYS_clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0)) != EPERM)
        _exit(__LINE__);
    if (getppid() <= 0 || !can_fork())
        _exit(__LINE__);
    _exit(0);
}

static void calls_are_answered(void **state)
{
    (void)state;
    static const struct {
        const struct sock_filter *filter;
        unsigned short count;
        int clone3; /* EINVAL is the kernel's own answer */
    } cases[] = {{no_siblings, NO_SIBLINGS_COUNT, EINVAL}, {no_clone3, NO_CLONE3_COUNT, ENOSYS}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int status = -1;
        pid_t pid = fork();
        if (pid == 0)
            try_calls(cases[i].filter, cases[i].count, cases[i].clone3);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(calls_are_answered)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
