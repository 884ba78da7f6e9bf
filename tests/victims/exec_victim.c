/* Programs for the executor's live tests and its benchmark: what a shell would take too long for.
 *
 *     ping COUNT [SIZE]   writes SIZE bytes to 1 and reads as many from 0, COUNT times; says on 2 how long
 *                         a round took, in ns
 *     pong                writes to 1 what it reads from 0, until the end
 *     fill MIB PATH       writes a file of so many MiB
 *     reopens             closes 0 after opening /dev/stdin anew, sleeps, copies to 1 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static char block[1024 * 1024];

static void read_all(int fd, size_t size)
{
    for (size_t done = 0; done < size;) {
        ssize_t got = read(fd, block, size - done);
        if (got <= 0)
            exit(3);
        done += (size_t)got;
    }
}

static void write_all(int fd, size_t size)
{
    for (size_t done = 0; done < size;) {
        ssize_t written = write(fd, block, size - done);
        if (written <= 0)
            exit(4);
        done += (size_t)written;
    }
}

static long long now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static int ping(long count, size_t size)
{
    write_all(1, size); /* the other one may be starting yet */
    read_all(0, size);
    long long begin = now_ns();
    for (long i = 0; i < count; i++) {
        write_all(1, size);
        read_all(0, size);
    }
    dprintf(2, "%lld\n", (now_ns() - begin) / count);
    return 0;
}

static int pong(void)
{
    for (;;) {
        ssize_t got = read(0, block, sizeof(block));
        if (got <= 0)
            return got < 0;
        write_all(1, (size_t)got);
    }
}

static int fill(long mib, const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    memset(block, 'x', sizeof(block));
    for (long i = 0; i < mib; i++)
        write_all(fd, sizeof(block));
    return close(fd);
}

static int reopens(void)
{
    int again = open("/dev/stdin", O_RDONLY | O_CLOEXEC);
    if (again < 0 || close(0) < 0)
        return 5;
    const struct timespec nap = {.tv_nsec = 300000000};
    nanosleep(&nap, NULL);
    for (;;) {
        ssize_t got = read(again, block, sizeof(block));
        if (got <= 0)
            return got < 0;
        write_all(1, (size_t)got);
    }
}

int main(int argc, char **argv)
{
    if (argc >= 3 && strcmp(argv[1], "ping") == 0)
        return ping(atol(argv[2]), argc > 3 ? (size_t)atol(argv[3]) : 1);
    if (argc == 2 && strcmp(argv[1], "pong") == 0)
        return pong();
    if (argc == 4 && strcmp(argv[1], "fill") == 0)
        return fill(atol(argv[2]), argv[3]);
    if (argc == 2 && strcmp(argv[1], "reopens") == 0)
        return reopens();
    return 2;
}
