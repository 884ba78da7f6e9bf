/* Ways to do nothing for ever. */
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sandboxed.h"

int main(int argc, char **argv)
{
    const char *how = argc > 1 ? argv[1] : "";
    int ends[2];
    char byte;
    if (strcmp(how, "stops") == 0)
        kill(0, SIGSTOP);
    if (strcmp(how, "blocks_on_pipe") == 0 && pipe(ends) == 0)
        return (int)read(ends[0], &byte, 1);
    if (strcmp(how, "waits_for_stopped_child") == 0) {
        pid_t pid = fork();
        if (pid == 0) {
            kill(getpid(), SIGSTOP);
            _exit(0);
        }
        waitpid(pid, 0, 0);
        return 0;
    }
    if (strcmp(how, "polls_for_ever") == 0)
        for (;;)
            poll(0, 0, 10);
    for (;;)
        sleep(3600);
}
