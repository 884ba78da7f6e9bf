/* Writes without end to where the way argv[1] says. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/uio.h>
#include <unistd.h>

#include "sandboxed.h"

static char block[1 << 16];

static void flood(int fd)
{
    for (;;)
        if (write(fd, block, sizeof block) < 0)
            usleep(100);
}

int main(int argc, char **argv)
{
    const char *how = argc > 1 ? argv[1] : "";
    int zero = open("/dev/zero", O_RDONLY), ends[2];
    memset(block, 'f', sizeof block);
    signal(SIGPIPE, SIG_IGN);
    if (strcmp(how, "stderr") == 0)
        flood(2);
    if (strcmp(how, "both") == 0)
        for (;;)
            if (write(1, block, 4096) < 0 || write(2, block, 4096) < 0)
                usleep(100);
    if (strcmp(how, "sendfile") == 0)
        for (;;)
            if (sendfile(1, zero, NULL, 1 << 20) <= 0)
                break;
    if (strcmp(how, "splice") == 0 && pipe(ends) == 0)
        for (;;) {
            if (write(ends[1], block, 4096) < 0 || splice(ends[0], NULL, 1, NULL, 4096, 0) <= 0)
                break;
        }
    if (strcmp(how, "vmsplice") == 0)
        for (;;)
            if (vmsplice(1, &(struct iovec){block, sizeof block}, 1, SPLICE_F_GIFT) <= 0)
                break;
    if (strcmp(how, "nonblocking") == 0) {
        fcntl(1, F_SETFL, O_NONBLOCK);
        fcntl(1, F_SETPIPE_SZ, 1 << 20);
    }
    if (strcmp(how, "background_child") == 0 && fork() == 0) {
        setsid();
        flood(1);
    }
    if (strcmp(how, "background_child") == 0)
        for (;;)
            pause();
    if (strcmp(how, "many_children") == 0)
        for (int i = 0; i < 10; i++)
            if (fork() == 0)
                break;
    if (strcmp(how, "ignoring_signals") == 0)
        for (int sig = 1; sig < 65; sig++)
            signal(sig, SIG_IGN);
    flood(1);
}
