/* A child dies by SIGSEGV; the verdict is the parent's. */
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

int main(void)
{
    int status = 0;
    pid_t pid = fork();
    if (pid == 0) {
        kill(getpid(), SIGSEGV);
        _exit(0);
    }
    waitpid(pid, &status, 0);
    printf("child %d\n", WIFSIGNALED(status) ? WTERMSIG(status) : -1);
    return 0;
}
