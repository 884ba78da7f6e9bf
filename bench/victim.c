/* A program with known needs: burns CPU time, sleeps, or touches memory, and says what it used.
 *
 *     spin THREADS           until killed
 *     sleep                  until killed
 *     cpu MS [THREADS]       burns MS of CPU time in each thread
 *     children MS COUNT      burns MS in each of COUNT children, and waits for them
 *     heap|file|shm MIB      touches MIB of heap, of a file in the work directory, of /dev/shm
 *
 * Prints the CPU time of itself and its children in ns. */
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int64_t clock_now_ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

static void burn(int64_t ns)
{
    while (clock_now_ns(CLOCK_THREAD_CPUTIME_ID) < ns)
        for (volatile int i = 0; i < 1000; i++)
            continue;
}

static void *burn_thread(void *ns)
{
    burn(*(int64_t *)ns);
    return NULL;
}

static void burn_threads(int64_t ns, int threads)
{
    pthread_t ids[64];
    for (int i = 1; i < threads && i < 64; i++)
        if (pthread_create(&ids[i], NULL, burn_thread, &ns) != 0)
            abort();
    burn(ns);
    for (int i = 1; i < threads && i < 64; i++)
        pthread_join(ids[i], NULL);
}

static void burn_children(int64_t ns, int count)
{
    for (int i = 0; i < count; i++) {
        if (fork() == 0) {
            burn(ns);
            _exit(0);
        }
    }
    while (wait(NULL) > 0)
        continue;
}

static void touch(const char *where, size_t size)
{
    char *memory;
    if (strcmp(where, "heap") == 0) {
        memory = malloc(size);
    } else {
        int fd = open(strcmp(where, "shm") == 0 ? "/dev/shm/bench" : "bench",
                      O_RDWR | O_CREAT | O_EXCL, 0600);
        if (fd < 0 || ftruncate(fd, (off_t)size) < 0)
            abort();
        if (strcmp(where, "file") == 0) { /* written, not mapped */
            static char page[4096];
            for (size_t done = 0; done < size; done += sizeof(page))
                if (write(fd, page, sizeof(page)) != sizeof(page))
                    abort();
            return;
        }
        memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    }
    if (memory == NULL || memory == MAP_FAILED)
        abort();
    for (size_t at = 0; at < size; at += 4096)
        ((volatile char *)memory)[at] = 1;
}

static void say_cpu_time(void)
{
    struct rusage children;
    getrusage(RUSAGE_CHILDREN, &children);
    int64_t ns = clock_now_ns(CLOCK_PROCESS_CPUTIME_ID) +
                 (children.ru_utime.tv_sec + children.ru_stime.tv_sec) * INT64_C(1000000000) +
                 (children.ru_utime.tv_usec + children.ru_stime.tv_usec) * INT64_C(1000);
    printf("%lld\n", (long long)ns);
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    long amount = argc > 2 ? atol(argv[2]) : 0;
    long count = argc > 3 ? atol(argv[3]) : 1;
    if (strcmp(what, "spin") == 0)
        burn_threads(INT64_MAX, (int)amount);
    else if (strcmp(what, "sleep") == 0)
        pause();
    else if (strcmp(what, "cpu") == 0)
        burn_threads(amount * 1000000, (int)count);
    else if (strcmp(what, "children") == 0)
        burn_children(amount * 1000000, (int)count);
    else
        touch(what, (size_t)amount << 20);
    say_cpu_time();
    return 0;
}
