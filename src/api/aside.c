#include "aside.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>

struct aside {
    struct net_loop *loop;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t some;
    struct aside_task *first, *last;
    bool stopping;
};

static struct aside_task *take(struct aside *aside)
{
    pthread_mutex_lock(&aside->lock);
    while (aside->first == NULL && !aside->stopping)
        pthread_cond_wait(&aside->some, &aside->lock);
    struct aside_task *task = aside->stopping ? NULL : aside->first;
    if (task != NULL)
        aside->first = task->next;
    pthread_mutex_unlock(&aside->lock);
    return task;
}

static void *work(void *arg)
{
    struct aside *aside = arg;
    struct aside_task *task;
    while ((task = take(aside)) != NULL) {
        task->work(task->arg);
        net_loop_post(aside->loop, task->done, task->arg);
    }
    return NULL;
}

int aside_new(struct net_loop *loop, struct aside **out, struct cj_error *err)
{
    struct aside *aside = calloc(1, sizeof(*aside));
    if (aside == NULL)
        return error_set(err, ERROR_SYSTEM, ENOMEM, "start a thread: out of memory");
    aside->loop = loop;
    pthread_mutex_init(&aside->lock, NULL);
    pthread_cond_init(&aside->some, NULL);
    sigset_t all, before; /* signals are the loop's */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failure = pthread_create(&aside->thread, NULL, work, aside);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failure != 0) {
        free(aside);
        errno = failure;
        return error_errno(err, "start a thread");
    }
    *out = aside;
    return 0;
}

void aside_do(struct aside *aside, struct aside_task *task)
{
    task->next = NULL;
    pthread_mutex_lock(&aside->lock);
    if (aside->first != NULL)
        aside->last->next = task;
    else
        aside->first = task;
    aside->last = task;
    pthread_cond_signal(&aside->some);
    pthread_mutex_unlock(&aside->lock);
}

void aside_free(struct aside *aside)
{
    if (aside == NULL)
        return;
    pthread_mutex_lock(&aside->lock);
    aside->stopping = true;
    pthread_cond_signal(&aside->some);
    pthread_mutex_unlock(&aside->lock);
    pthread_join(aside->thread, NULL);
    pthread_cond_destroy(&aside->some);
    pthread_mutex_destroy(&aside->lock);
    free(aside);
}
