/* Takes argv[2] MiB of memory in the way argv[1]. Exit 3: refused. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sandboxed.h"

static const size_t mib = 1 << 20;

static char *map(size_t size, int flags)
{
    char *room = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | flags, -1, 0);
    if (room == MAP_FAILED)
        exit(3);
    return room;
}

static void fill_files(const char *folder, long count, int keep_name)
{
    static char block[1 << 20];
    memset(block, 'x', sizeof block);
    for (long i = 0; i < count; i += 8) {
        char path[256];
        snprintf(path, sizeof path, "%s/fill-%ld", folder, i);
        int fd = folder[0] == '\0' ? memfd_create("fill", 0)
                                   : open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
        if (fd < 0)
            exit(3);
        for (int j = 0; j < 8; j++)
            if (write(fd, block, sizeof block) != (ssize_t)sizeof block)
                exit(3);
        if (!keep_name)
            unlink(path);
        else if (folder[0] != '\0')
            close(fd);
    }
}

static int deep(long pages)
{
    volatile char frame[4096];
    frame[0] = (char)pages;
    return pages <= 0 ? 0 : deep(pages - 1) + frame[0];
}

static void *touch_stack(void *arg)
{
    volatile char frame[7 << 20];
    for (size_t i = 0; i < sizeof frame; i += 4096)
        frame[i] = 1;
    for (;;)
        pause();
    return arg;
}

static void hold_in_children(int count, size_t size)
{
    int ends[2];
    char byte = 0;
    if (pipe(ends) != 0)
        exit(3);
    for (int i = 0; i < count; i++)
        if (fork() == 0) {
            memset(map(size, MAP_PRIVATE), 1, size);
            if (write(ends[1], &byte, 1) != 1)
                _exit(1);
            for (;;)
                pause();
        }
    close(ends[1]);
    for (int i = 0; i < count && read(ends[0], &byte, 1) == 1; i++)
        ;
}

int main(int argc, char **argv)
{
    const char *how = argc > 1 ? argv[1] : "";
    long count = argc > 2 ? atol(argv[2]) : 0;
    size_t size = (size_t)count * mib;
    if (strcmp(how, "touching") == 0) {
        if (size > 0)
            memset(map(size, MAP_PRIVATE), 1, size);
    } else if (strcmp(how, "reserve") == 0) {
        map(size, MAP_PRIVATE | MAP_NORESERVE)[size / 2] = 1;
    } else if (strcmp(how, "populate") == 0) {
        map(size, MAP_PRIVATE | MAP_POPULATE);
    } else if (strcmp(how, "mlock") == 0) {
        char *room = map(size, MAP_PRIVATE);
        if (mlock(room, size) != 0)
            return 3;
    } else if (strcmp(how, "shared_anonymous") == 0) {
        memset(map(size, MAP_SHARED), 1, size);
    } else if (strcmp(how, "page_tables") ==
               0) { /* one page table (4 KiB) for each zero page read */
        size_t step = 2 * mib, tables = size / 4096;
        char *room = map(tables * step, MAP_PRIVATE | MAP_NORESERVE);
        volatile char sum = 0;
        madvise(room, tables * step, MADV_NOHUGEPAGE);
        for (size_t i = 0; i < tables; i++)
            sum = (char)(sum + room[i * step]);
    } else if (strcmp(how, "children") == 0) {
        hold_in_children(10, size / 10);
    } else if (strcmp(how, "one_child") == 0) {
        if (fork() == 0) {
            memset(map(size, MAP_PRIVATE), 1, size);
            _exit(0);
        }
        wait(NULL);
    } else if (strcmp(how, "threads_stacks") == 0) {
        for (int i = 0; i < 14; i++) {
            pthread_t thread;
            if (pthread_create(&thread, NULL, touch_stack, NULL) != 0)
                return 3;
        }
        sleep(1);
    } else if (strcmp(how, "dev_shm_files") == 0) {
        fill_files("/dev/shm", count, 1);
    } else if (strcmp(how, "tmp_files") == 0) {
        fill_files("/tmp", count, 1);
    } else if (strcmp(how, "work_files") == 0) {
        fill_files(".", count, 1);
    } else if (strcmp(how, "unlinked_open_files") == 0) {
        fill_files("/tmp", count, 0);
    } else if (strcmp(how, "memfd") == 0) {
        fill_files("", count, 1);
    } else if (strcmp(how, "sysv_shm") == 0) {
        for (long i = 0; i < count; i += 10) {
            int id = shmget(IPC_PRIVATE, 10 * mib, IPC_CREAT | 0600);
            char *room = id < 0 ? (char *)-1 : shmat(id, NULL, 0);
            if (room == (char *)-1)
                return 3;
            memset(room, 1, 10 * mib);
            shmdt(room);
        }
    } else if (strcmp(how, "stack") == 0) {
        return deep(count * 256) & 1 ? 1 : 0;
    } else if (strcmp(how, "brk") == 0) {
        char *start = sbrk((intptr_t)size);
        if (start == (char *)-1)
            return 3;
        memset(start, 1, size);
    } else if (strcmp(how, "mremap") == 0) {
        char *room = map(4096, MAP_PRIVATE);
        for (size_t now = 4096; now < size; now *= 2) {
            room = mremap(room, now, now * 2, MREMAP_MAYMOVE);
            if (room == MAP_FAILED)
                return 3;
            memset(room + now, 1, now);
        }
    } else if (strcmp(how, "exec_arguments") ==
               0) { /* 8 children with 5 MiB of arguments and a copy each */
        static char text[120000];
        char *args[48] = {"/bin/sh", "-c", "kill -STOP $$"};
        memset(text, 'a', sizeof text - 1);
        for (int i = 3; i < 45; i++)
            args[i] = text;
        for (int i = 0; i < 14; i++)
            if (fork() == 0) {
                execv(args[0], args);
                _exit(3);
            }
        sleep(1);
        memset(map(size, MAP_PRIVATE), 1, size);
    } else if (strcmp(how, "sparse_file_mapping") == 0) {
        int fd = memfd_create("sparse", 0);
        for (size_t done = 0; done < size; done += 8 * mib) {
            if (ftruncate(fd, (off_t)(8 * mib)) != 0)
                return 3;
            char *room = mmap(NULL, 8 * mib, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
            if (room == MAP_FAILED)
                return 3;
            memset(room, 1, 8 * mib);
            fd = memfd_create("sparse", 0);
        }
    } else if (strcmp(how, "oom_score") == 0) {
        for (const char *const *path =
                 (const char *const[]){"/proc/self/oom_score_adj", "/proc/1/oom_score_adj",
                                       "/proc/self/oom_adj", NULL};
             *path != NULL; path++) {
            int fd = open(*path, O_WRONLY);
            const char *value = strstr(*path, "/1/") != NULL ? "1000" : "-1000";
            if (fd >= 0 && write(fd, value, strlen(value)) > 0)
                printf("%s took %s\n", *path, value);
        }
        fflush(stdout);
        memset(map(size, MAP_PRIVATE), 1, size);
    } else {
        return 99;
    }
    return 0;
}
