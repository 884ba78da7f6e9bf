/* One thread for what would hold up the loop. */
#include "aside.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

struct aside {
    struct net_loop *loop;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct aside_task *first, **end; /* waiting */
    bool closed;
};

/* The next task, waited for; NULL at the end. */
static struct aside_task *take(struct aside *aside)
{
    pthread_mutex_lock(&aside->lock);
    while (aside->first == NULL && !aside->closed)
        pthread_cond_wait(&aside->changed, &aside->lock);
    struct aside_task *task = aside->first;
    if (task != NULL) {
        aside->first = task->next;
        if (aside->first == NULL)
            aside->end = &aside->first;
    }
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
        return error_errno(err, "make a thread for large requests");
    aside->loop = loop;
    aside->end = &aside->first;
    pthread_mutex_init(&aside->lock, NULL);
    pthread_cond_init(&aside->changed, NULL);
    int failed = pthread_create(&aside->thread, NULL, work, aside);
    if (failed != 0) {
        free(aside);
        return error_set(err, ERROR_SYSTEM, failed, "make a thread for large requests");
    }
    pthread_setname_np(aside->thread, "aside");
    *out = aside;
    return 0;
}

void aside_submit(struct aside *aside, struct aside_task *task)
{
    task->next = NULL;
    pthread_mutex_lock(&aside->lock);
    *aside->end = task;
    aside->end = &task->next;
    pthread_cond_signal(&aside->changed);
    pthread_mutex_unlock(&aside->lock);
}

void aside_free(struct aside *aside)
{
    if (aside == NULL)
        return;
    pthread_mutex_lock(&aside->lock);
    aside->closed = true;
    pthread_cond_signal(&aside->changed);
    pthread_mutex_unlock(&aside->lock);
    pthread_join(aside->thread, NULL);
    pthread_mutex_destroy(&aside->lock);
    pthread_cond_destroy(&aside->changed);
    free(aside);
}
