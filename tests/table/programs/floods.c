/* Writes to descriptor argv[1] for ever. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sandboxed.h"

int main(int argc, char **argv)
{
    static char block[4096];
    int fd = argc > 1 ? atoi(argv[1]) : 1;
    memset(block, 'f', sizeof block);
    signal(SIGPIPE, SIG_IGN);
    for (;;)
        if (write(fd, block, sizeof block) < 0)
            continue;
}
