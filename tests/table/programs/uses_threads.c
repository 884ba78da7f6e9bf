/* Four threads hand a token around under a condition variable. */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int token;

static void *player(void *arg)
{
    int id = (int)(intptr_t)arg;
    for (int round = 0; round < 100; round++) {
        pthread_mutex_lock(&lock);
        while (token % 4 != id)
            pthread_cond_wait(&changed, &lock);
        token++;
        pthread_cond_broadcast(&changed);
        pthread_mutex_unlock(&lock);
    }
    return NULL;
}

int main(void)
{
    pthread_t threads[4];
    for (intptr_t i = 0; i < 4; i++)
        if (pthread_create(&threads[i], NULL, player, (void *)i) != 0)
            return 3;
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    printf("%d\n", token);
    return 0;
}
