/* Leaves a daemon in a session of its own behind, which closed everything and ignores signals. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sandboxed.h"

int main(void)
{
    pid_t pid = fork();
    if (pid == 0) {
        setsid();
        if (fork() > 0)
            _exit(0);
        for (int fd = 0; fd < 64; fd++)
            close(fd);
        for (int sig = 1; sig < 65; sig++)
            signal(sig, SIG_IGN);
        for (;;)
            sleep(3600);
    }
    waitpid(pid, NULL, 0);
    puts("left a daemon");
    return 0;
}
