#include "init_fixture.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

void child_require(int holds, const char *condition, const char *file, int line)
{
    if (holds)
        return;
    dprintf(STDERR_FILENO, "%s:%d: %s does not hold (%s)\n", file, line, condition,
            strerror(errno));
    _exit(1);
}

int in_child(void (*body)(void *argument), void *argument, char *text, size_t size)
{
    int output[2];
    assert_int_equal(pipe(output), 0);
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        dup2(output[1], STDERR_FILENO);
        close(output[0]);
        close(output[1]);
        body(argument);
        _exit(0);
    }
    close(output[1]);
    size_t used = 0;
    ssize_t got;
    while ((got = read(output[0], text + used, size - 1 - used)) > 0)
        used += (size_t)got;
    text[used] = '\0';
    close(output[0]);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
