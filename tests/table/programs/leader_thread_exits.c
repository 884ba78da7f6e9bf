/* The first thread is gone while another works on, prints and ends the program. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void *work(void *arg)
{
    usleep(100000);
    puts("the other thread");
    exit(0);
    return arg;
}

int main(void)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, work, NULL) != 0)
        return 3;
    pthread_exit(NULL);
}
