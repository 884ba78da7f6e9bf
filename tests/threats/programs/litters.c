/* Fills the writable directories with what is hard to remove, in the way argv[1]; argv[2] names one
 * directory. Prints how much it made and what stopped it. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "sandboxed.h"

static long made, deadline_ms = 1500;
static int why;

static long now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int touch(const char *name)
{
    int fd = open(name, O_CREAT | O_WRONLY, 0600);
    if (fd < 0)
        return -1;
    close(fd);
    return 0;
}

static int one(const char *how, long i)
{
    char name[512], other[1024];
    snprintf(name, sizeof name, "l-%ld", i);
    if (strcmp(how, "empty_files") == 0)
        return touch(name);
    if (strcmp(how, "wide_directories") == 0)
        return mkdir(name, 0700);
    if (strcmp(how, "deep_directories") == 0)
        return mkdir("deep", 0700) < 0 ? -1 : chdir("deep");
    if (strcmp(how, "mode_zero_nest") == 0) { /* every level closed behind us */
        if (mkdir("deep", 0700) < 0 || chdir("deep") < 0)
            return -1;
        chmod("..", i % 2 ? 0 : 01000);
        return 0;
    }
    if (strcmp(how, "unreadable") == 0) {
        if (mkdir(name, 0700) < 0)
            return -1;
        snprintf(other, sizeof other, "%s/inside", name);
        return touch(other) < 0 ? -1 : chmod(name, 0);
    }
    if (strcmp(how, "hard_links") == 0)
        return i == 0 ? touch("l-0") : link("l-0", name);
    if (strcmp(how, "symlinks") == 0)
        return symlink(i % 2 ? "/proc/self/root/etc/passwd" : "/proc/1/root", name);
    if (strcmp(how, "fifos") == 0)
        return mkfifo(name, 0600);
    if (strcmp(how, "sockets") == 0) {
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        int fd = socket(AF_UNIX, SOCK_STREAM, 0);
        snprintf(address.sun_path, sizeof address.sun_path, "%.90s", name);
        int result = bind(fd, (struct sockaddr *)&address, sizeof address);
        close(fd);
        return result;
    }
    if (strcmp(how, "odd_names") == 0) {
        memset(name, 0, sizeof name);
        int length = 1 + (int)(i % 200);
        for (int j = 0; j < length; j++) {
            unsigned char c = (unsigned char)(i * 7 + j * 31 + 1);
            name[j] = c == '/' || c == 0 ? '\n' : (char)c;
        }
        snprintf(other, sizeof other, "%s\x1b[%ld", name, i);
        return i > 600 ? (errno = EDOM, -1) : touch(other);
    }
    if (strcmp(how, "long_names") == 0) {
        memset(name, 'n', 255);
        snprintf(name + 240, 16, "%015ld", i);
        return touch(name);
    }
    if (strcmp(how, "sparse") == 0) {
        int fd = open(name, O_CREAT | O_WRONLY, 0600);
        int result = fd < 0 ? -1 : ftruncate(fd, 15 << 20);
        close(fd);
        return result;
    }
    if (strcmp(how, "fallocated") == 0) {
        int fd = open(name, O_CREAT | O_WRONLY, 0600);
        int result = fd < 0 ? -1 : fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 1 << 20);
        close(fd);
        return result;
    }
    if (strcmp(how, "renames") == 0) {
        snprintf(other, sizeof other, "l-%ld", i - 1);
        return i == 0 ? touch(name) : rename(other, name);
    }
    if (strcmp(how, "swapped_directories") == 0) {
        snprintf(other, sizeof other, "l-%ld", i - 1);
        if (mkdir(name, 0700) < 0)
            return -1;
        return i == 0
                   ? 0
                   : (int)syscall(SYS_renameat2, AT_FDCWD, name, AT_FDCWD, other, 2 /* EXCHANGE */);
    }
    if (strcmp(how, "busy_files") == 0) { /* open, mapped and running when the main process ends */
        int fd = open(name, O_CREAT | O_RDWR, 0700);
        if (fd < 0 || ftruncate(fd, 4096) < 0)
            return -1;
        char *room = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (room != MAP_FAILED)
            *room = 1;
        return 0;
    }
    if (strcmp(how, "space") == 0) {
        static char block[1 << 20];
        int fd = open(name, O_CREAT | O_WRONLY, 0600);
        ssize_t got = fd < 0 ? -1 : write(fd, block, sizeof block);
        close(fd);
        return got == (ssize_t)sizeof block ? 0 : got < 0 ? -1 : (errno = ENOSPC, -1);
    }
    return errno = EINVAL, -1;
}

int main(int argc, char **argv)
{
    const char *how = argc > 1 ? argv[1] : "";
    const char *folders[] = {"/w", "/tmp", "/dev/shm"};
    for (int i = 0; i < 3; i++) {
        if (argc > 2 && strcmp(argv[2], folders[i]) != 0)
            continue;
        if (chdir(folders[i]) < 0)
            return 3;
        long deadline = now_ms() + deadline_ms / 2;
        for (long j = 0; now_ms() < deadline || strcmp(how, "space") == 0; j++, made++)
            if (one(how, j) < 0) {
                why = errno;
                break;
            }
    }
    printf("made %ld\nstopped %s\n", made,
           why == ENOSPC   ? "ENOSPC"
           : why == EDQUOT ? "EDQUOT"
           : why == EMLINK ? "EMLINK"
                           : strerror(why));
    return 0;
}
