#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#include "sandboxed.h"

static void *wait_for_ever(void *arg)
{
    for (;;)
        pause();
    return arg;
}

int main(void)
{
    pthread_attr_t attr;
    pthread_t thread;
    int made = 0;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, 65536);
    while (made < 200 && pthread_create(&thread, &attr, wait_for_ever, NULL) == 0)
        made++;
    printf("%d\n", made);
    return 0;
}
