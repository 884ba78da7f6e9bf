#include <pthread.h>
#include <stddef.h>

#include "sandboxed.h"

static void *spin(void *arg)
{
    for (volatile unsigned long i = 0;; i++)
        ;
    return arg;
}

int main(void)
{
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        if (pthread_create(&threads[i], NULL, spin, NULL) != 0)
            return 3;
    pthread_join(threads[0], NULL);
    return 0;
}
