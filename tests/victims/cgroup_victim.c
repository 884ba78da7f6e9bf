/* A program with a known appetite, one word and one number at a time:
 *     touch BYTES   writes to that much memory
 *     spin MS       uses that much CPU
 *     fork N        has N children at once; prints how many there could be
 *     read PATH     reads a file to its end
 *     map PATH      maps a file
 *     grow BYTES    writes to that much memory, and looks at all of what it has mapped all the time, as a program does
 *                   at its code
 *     sleep MS
 *     hold 0        leaves a child behind
 * Built static and without sanitizers. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int touch(size_t bytes)
{
    volatile char *memory =
        mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return 2;
    for (size_t at = 0; at < bytes; at += 4096)
        memory[at] = 1;
    return 0;
}

static struct {
    const volatile char *bytes;
    size_t size;
} mapped;

static int map(const char *path)
{
    int fd = open(path, O_RDONLY);
    off_t size = fd >= 0 ? lseek(fd, 0, SEEK_END) : -1;
    if (size <= 0)
        return 2;
    mapped.size = (size_t)size;
    mapped.bytes = mmap(NULL, mapped.size, PROT_READ, MAP_PRIVATE, fd, 0);
    close(fd);
    return mapped.bytes != MAP_FAILED ? 0 : 2;
}

static int grow(size_t bytes)
{
    enum { PAGE = 4096, STEP = 4 * PAGE, APART = 16 * PAGE };
    volatile char *memory =
        mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    unsigned sum = 0;
    if (memory == MAP_FAILED)
        return 2;
    for (size_t at = 0; at < bytes; at += PAGE) {
        memory[at] = 1;
        for (size_t there = 0; at % STEP == 0 && there < mapped.size; there += APART)
            sum += (unsigned)mapped.bytes[there];
    }
    return sum == 1 ? 3 : 0;
}

static int spin(long ms)
{
    struct timespec now;
    do {
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    } while (now.tv_sec * 1000 + now.tv_nsec / 1000000 < ms);
    return 0;
}

static int fork_many(long count)
{
    pid_t pids[512];
    int children = 0;
    for (long i = 0; i < count && children < 512; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            for (;;)
                pause();
        }
        if (pid > 0)
            pids[children++] = pid;
    }
    for (int i = 0; i < children; i++)
        kill(pids[i], SIGKILL);
    while (wait(NULL) > 0)
        ;
    return children;
}

static void fill(int fd)
{
    static char block[65536];
    while (write(fd, block, sizeof(block)) > 0)
        ;
}

/* All large pipes that were inherited. Returns how many. */
static int fill_pipes(void)
{
    int count = 0;
    for (int fd = 3; fd < 256; fd++)
        if (fcntl(fd, F_GETPIPE_SZ) == 1 << 20 && (fcntl(fd, F_GETFL) & O_ACCMODE) == O_WRONLY) {
            fill(fd);
            count++;
        }
    return count;
}

/* Keeps so many MiB in pipes. */
static int keep_in_pipes(long mib)
{
    for (long i = 0; i < mib; i++) {
        int ends[2];
        if (pipe2(ends, O_NONBLOCK) < 0 || fcntl(ends[1], F_SETPIPE_SZ, 1 << 20) < 0)
            return 2;
        fill(ends[1]);
    }
    return 0;
}

static int read_all(const char *path)
{
    static char block[65536];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 2;
    while (read(fd, block, sizeof(block)) > 0)
        ;
    return 0;
}

int main(int argc, char **argv)
{
    for (int i = 1; i + 1 < argc; i += 2) {
        long number = atol(argv[i + 1]);
        int status = 0;
        if (strcmp(argv[i], "touch") == 0)
            status = touch((size_t)number);
        else if (strcmp(argv[i], "map") == 0)
            status = map(argv[i + 1]);
        else if (strcmp(argv[i], "grow") == 0)
            status = grow((size_t)number);
        else if (strcmp(argv[i], "spin") == 0)
            status = spin(number);
        else if (strcmp(argv[i], "fill") == 0)
            status = fill_pipes();
        else if (strcmp(argv[i], "pipe") == 0)
            status = keep_in_pipes(number);
        else if (strcmp(argv[i], "read") == 0)
            status = read_all(argv[i + 1]);
        else if (strcmp(argv[i], "sleep") == 0)
            status = usleep((useconds_t)number * 1000) == 0 ? 0 : 2;
        else if (strcmp(argv[i], "fork") == 0)
            status = fork_many(number);
        else if (strcmp(argv[i], "hold") == 0 && fork() == 0)
            for (;;)
                pause();
        if (status != 0)
            return status;
    }
    return 0;
}
