#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

static void *leave(void *arg)
{
    exit(7);
    return arg;
}

int main(void)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, leave, NULL) != 0)
        return 3;
    for (;;)
        pause();
}
