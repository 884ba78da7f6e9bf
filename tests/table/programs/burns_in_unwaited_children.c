/* Children burn argv[1] ms of CPU each, one after another, and nobody waits for them. */
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static void burn(double seconds)
{
    struct timespec now;
    do
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    while ((double)now.tv_sec + (double)now.tv_nsec / 1e9 < seconds);
}

int main(int argc, char **argv)
{
    signal(SIGCHLD, SIG_IGN);
    for (int i = 0; i < 3; i++) {
        int done[2];
        char byte;
        if (pipe(done) != 0)
            return 3;
        if (fork() == 0) {
            close(done[0]);
            burn(argc > 1 ? atof(argv[1]) / 1000 : 0.3);
            _exit(0);
        }
        close(done[1]);
        if (read(done[0], &byte, 1) != 0)
            return 4;
        close(done[0]);
    }
    return 0;
}
