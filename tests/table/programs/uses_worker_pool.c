/* Two processes share a semaphore and a counter by name in /dev/shm. */
#include <fcntl.h>
#include <semaphore.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

int main(void)
{
    sem_t *lock = sem_open("/probe-lock", O_CREAT | O_EXCL, 0600, 1);
    int fd = shm_open("/probe-count", O_CREAT | O_EXCL | O_RDWR, 0600);
    if (lock == SEM_FAILED || fd < 0 || ftruncate(fd, 4096) != 0)
        return 3;
    volatile int *count = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (count == MAP_FAILED)
        return 4;
    for (int i = 0; i < 2; i++)
        if (fork() == 0) {
            for (int j = 0; j < 1000; j++) {
                sem_wait(lock);
                ++*count;
                sem_post(lock);
            }
            _exit(0);
        }
    while (wait(NULL) > 0)
        ;
    printf("%d\n", *count);
    return 0;
}
