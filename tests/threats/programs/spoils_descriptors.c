/* Leaves descriptors 0, 1 and 2 in an odd state, in the way argv[1]. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sandboxed.h"

static int all;

static int chosen(const char *how, const char *name)
{
    return all || strcmp(how, name) == 0;
}

int main(int argc, char **argv)
{
    const char *how = argc > 1 ? argv[1] : "";
    char bytes[16];
    all = strcmp(how, "everything") == 0;
    signal(SIGIO, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    for (int fd = 0; fd < 3; fd++) {
        char path[32];
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        if (chosen(how, "nonblock"))
            fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
        if (chosen(how, "small_pipe"))
            fcntl(fd, F_SETPIPE_SZ, 4096);
        if (chosen(how, "large_pipe"))
            fcntl(fd, F_SETPIPE_SZ, 1 << 20);
        if (chosen(how, "owner")) {
            fcntl(fd, F_SETOWN, getpid());
            fcntl(fd, F_SETSIG, SIGUSR1);
        }
        if (chosen(how, "async")) {
            fcntl(fd, F_SETOWN, 1);
            ioctl(fd, FIOASYNC, &(int){1});
        }
        if (chosen(how, "lock")) {
            flock(fd, LOCK_EX | LOCK_NB);
            fcntl(fd, F_OFD_SETLK, &(struct flock){.l_type = fd == 0 ? F_RDLCK : F_WRLCK});
        }
        if (chosen(how, "lease"))
            fcntl(fd, F_SETLEASE, F_RDLCK);
        if (chosen(how, "notify"))
            fcntl(fd, F_NOTIFY, 0x8000003f);
        if (chosen(how, "append_direct"))
            fcntl(fd, F_SETFL, O_APPEND | O_DIRECT | O_NOATIME);
        if (chosen(how, "truncate") && ftruncate(fd, 0) != 0)
            lseek(fd, 0, SEEK_END);
        if (chosen(how, "seek"))
            lseek(fd, 1 << 30, SEEK_SET);
        if (chosen(how, "shutdown"))
            shutdown(fd, SHUT_RDWR);
        if (chosen(how, "reopen_reader")) { /* takes what the collector should get */
            int reader = open(path, O_RDONLY | O_NONBLOCK);
            if (write(fd, "stolen", 6) < 0 || read(reader, bytes, sizeof bytes) < 0)
                continue;
        }
        if (chosen(how, "reopen_rw")) {
            int both = open(path, O_RDWR | O_NONBLOCK);
            if (write(both, "both", 4) < 0)
                continue;
        }
        if (chosen(how, "packet_mode")) {
            fcntl(fd, F_SETFL, O_DIRECT);
            for (int i = 0; i < 10; i++)
                if (write(fd, "packet", 6) < 0)
                    break;
        }
    }
    if (chosen(how, "unread") && fork() == 0) /* still writing when the main process is gone */
        for (;;)
            if (write(1, "unread", 6) < 0)
                _exit(0);
    return 0;
}
