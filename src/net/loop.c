#include "net/loop.h"

#include <errno.h>
#include <event2/event.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "loop_private.h"

struct task {
    void (*run)(void *arg);
    void *arg;
};

struct task_list {
    struct task *items;
    size_t count, capacity;
};

struct net_loop {
    struct event_base *base;
    int64_t now_ns;

    /* Of its own turn; the loop's thread only. */
    struct net_soon *soon_first, **soon_last;   /* at the end of the present callback */
    struct net_soon *later_first, **later_last; /* when the other sockets have had their turn */
    struct event *later_event;

    /* What other threads want. */
    pthread_mutex_t lock; /* guards posted, awake and stopped */
    struct task_list posted;
    bool awake;   /* the eventfd has been written to since the list was last taken */
    bool stopped; /* net_loop_run() shall return after the batch at hand */
    int wake_fd;
    struct event *wake_event;
    struct task_list running; /* the batch at hand; kept for its memory */
};

struct net_timer {
    struct net_loop *loop;
    struct event *event;
    int64_t deadline_ns;
    void (*ring)(void *arg);
    void *arg;
};

struct net_signal {
    struct net_loop *loop;
    struct event *event;
    int fd;
    void (*caught)(int number, void *arg);
    void *arg;
};

struct event_base *loop_base(struct net_loop *loop)
{
    return loop->base;
}

void loop_enter(struct net_loop *loop)
{
    loop->now_ns = monotonic_ns();
}

/* ---- what waits for the end of a callback, or of a turn ---- */

static void soon_clear(struct net_soon **first, struct net_soon ***last)
{
    *first = NULL;
    *last = first;
}

static void soon_append(struct net_soon ***last, struct net_soon *soon)
{
    soon->next = NULL;
    soon->queued = true;
    **last = soon;
    *last = &soon->next;
}

void loop_soon(struct net_loop *loop, struct net_soon *soon)
{
    if (!soon->queued)
        soon_append(&loop->soon_last, soon);
}

void loop_later(struct net_loop *loop, struct net_soon *soon)
{
    static const struct timeval at_once = {0};
    if (soon->queued)
        return;
    if (!loop->later_first)
        event_add(loop->later_event, &at_once);
    soon_append(&loop->later_last, soon);
}

static bool soon_remove(struct net_soon **first, struct net_soon ***last, struct net_soon *soon)
{
    for (struct net_soon **at = first; *at; at = &(*at)->next) {
        if (*at != soon)
            continue;
        *at = soon->next;
        if (*last == &soon->next)
            *last = at;
        return true;
    }
    return false;
}

void loop_forget(struct net_loop *loop, struct net_soon *soon)
{
    if (!soon->queued)
        return;
    if (!soon_remove(&loop->soon_first, &loop->soon_last, soon))
        soon_remove(&loop->later_first, &loop->later_last, soon);
    soon->queued = false;
}

void loop_leave(struct net_loop *loop)
{
    struct net_soon *soon;
    while ((soon = loop->soon_first)) {
        loop->soon_first = soon->next;
        if (!loop->soon_first)
            loop->soon_last = &loop->soon_first;
        soon->queued = false;
        soon->run(soon);
    }
}

/* A turn's worth only: what is put off again waits for the next turn. */
static void later_ready(evutil_socket_t fd, short what, void *arg)
{
    struct net_loop *loop = arg;
    (void)fd, (void)what;
    loop_enter(loop);
    *loop->soon_last = loop->later_first;
    if (loop->later_first)
        loop->soon_last = loop->later_last;
    soon_clear(&loop->later_first, &loop->later_last);
    loop_leave(loop);
}

/* ---- tasks of other threads ---- */

static void wake(struct net_loop *loop)
{
    uint64_t one = 1;
    while (write(loop->wake_fd, &one, sizeof(one)) < 0 && errno == EINTR)
        ; /* nothing else can fail: the counter is far from its end */
}

static void task_append(struct task_list *list, struct task task)
{
    if (list->count == list->capacity) {
        list->capacity = list->capacity ? 2 * list->capacity : 64;
        list->items = realloc(list->items, list->capacity * sizeof(list->items[0]));
        if (!list->items)
            abort();
    }
    list->items[list->count++] = task;
}

void net_loop_post(struct net_loop *loop, void (*task)(void *arg), void *arg)
{
    pthread_mutex_lock(&loop->lock);
    task_append(&loop->posted, (struct task){task, arg});
    bool asleep = !loop->awake;
    loop->awake = true;
    pthread_mutex_unlock(&loop->lock);
    if (asleep)
        wake(loop);
}

void net_loop_stop(struct net_loop *loop)
{
    pthread_mutex_lock(&loop->lock);
    loop->stopped = true;
    bool asleep = !loop->awake;
    loop->awake = true;
    pthread_mutex_unlock(&loop->lock);
    if (asleep)
        wake(loop);
}

/* Runs one batch: what the tasks themselves post waits for the next turn. */
static void posted_ready(evutil_socket_t fd, short what, void *arg)
{
    struct net_loop *loop = arg;
    uint64_t ignored;
    (void)what;
    loop_enter(loop);
    /* Before the list is taken: a post that comes in between wakes the loop once too often. */
    if (read(fd, &ignored, sizeof(ignored)) < 0)
        ignored = 0;

    pthread_mutex_lock(&loop->lock);
    struct task_list batch = loop->posted;
    loop->posted = loop->running;
    loop->running = batch;
    loop->awake = false;
    bool stop = loop->stopped;
    loop->stopped = false;
    pthread_mutex_unlock(&loop->lock);

    for (size_t i = 0; i < batch.count; i++)
        batch.items[i].run(batch.items[i].arg);
    loop->running.count = 0;
    loop_leave(loop);
    if (stop)
        event_base_loopbreak(loop->base);
}

/* ---- the loop itself ---- */

static int loop_open(struct net_loop *loop, struct cj_error *err)
{
    struct event_config *config = event_config_new();
    if (!config)
        return error_errno(err, "make an event loop");
    /* Connections are edge-triggered and want EPOLLRDHUP, which is epoll(7) and nothing else. */
    event_config_require_features(config, EV_FEATURE_ET | EV_FEATURE_EARLY_CLOSE);
    event_config_set_flag(config, EVENT_BASE_FLAG_IGNORE_ENV | EVENT_BASE_FLAG_NOLOCK);
    loop->base = event_base_new_with_config(config);
    event_config_free(config);
    if (!loop->base)
        return error_set(err, ERROR_UNSUPPORTED, 0, "make an event loop: libevent has no epoll");
    loop->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (loop->wake_fd < 0)
        return error_errno(err, "eventfd");
    loop->wake_event =
        event_new(loop->base, loop->wake_fd, EV_READ | EV_PERSIST, posted_ready, loop);
    loop->later_event = event_new(loop->base, -1, 0, later_ready, loop);
    if (!loop->wake_event || !loop->later_event || event_add(loop->wake_event, NULL) < 0)
        return error_set(err, ERROR_SYSTEM, ENOMEM, "watch an eventfd: out of memory");
    return 0;
}

int net_loop_new(struct net_loop **loop, struct cj_error *err)
{
    struct net_loop *made = calloc(1, sizeof(*made));
    if (!made)
        return error_errno(err, "make an event loop");
    made->wake_fd = -1;
    soon_clear(&made->soon_first, &made->soon_last);
    soon_clear(&made->later_first, &made->later_last);
    pthread_mutex_init(&made->lock, NULL);
    loop_enter(made);
    if (loop_open(made, err) < 0) {
        net_loop_free(made);
        return -1;
    }
    *loop = made;
    return 0;
}

void net_loop_free(struct net_loop *loop)
{
    if (!loop)
        return;
    if (loop->wake_event)
        event_free(loop->wake_event);
    if (loop->later_event)
        event_free(loop->later_event);
    if (loop->base)
        event_base_free(loop->base);
    fd_close(&loop->wake_fd);
    pthread_mutex_destroy(&loop->lock);
    free(loop->posted.items);
    free(loop->running.items);
    free(loop);
}

/* Blocks SIGPIPE in this thread and afterwards puts the mask back, without one that came
 * meanwhile. */
static void pipe_signal_block(sigset_t *before)
{
    sigset_t pipe_only;
    sigemptyset(&pipe_only);
    sigaddset(&pipe_only, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe_only, before);
}

static void pipe_signal_restore(const sigset_t *before)
{
    static const struct timespec none = {0};
    sigset_t pipe_only;
    sigemptyset(&pipe_only);
    sigaddset(&pipe_only, SIGPIPE);
    if (!sigismember(before, SIGPIPE))
        while (sigtimedwait(&pipe_only, NULL, &none) == SIGPIPE)
            ;
    pthread_sigmask(SIG_SETMASK, before, NULL);
}

int net_loop_run(struct net_loop *loop, struct cj_error *err)
{
    sigset_t before;
    pipe_signal_block(&before);
    loop_enter(loop);
    loop_leave(loop); /* what calls from outside have put off */
    int result = event_base_dispatch(loop->base);
    pipe_signal_restore(&before);
    if (result < 0)
        return error_errno(err, "wait for events");
    return 0;
}

int64_t net_loop_now_ns(const struct net_loop *loop)
{
    return loop->now_ns;
}

/* ---- timers ---- */

static void timer_start(struct net_timer *timer)
{
    int64_t after_ns = timer->deadline_ns - monotonic_ns();
    int64_t us = after_ns > 0 ? (after_ns + NS_PER_US - 1) / NS_PER_US : 0;
    struct timeval after = {.tv_sec = us / 1000000, .tv_usec = us % 1000000};
    event_add(timer->event, &after);
}

static void timer_ready(evutil_socket_t fd, short what, void *arg)
{
    struct net_timer *timer = arg;
    struct net_loop *loop = timer->loop;
    (void)fd, (void)what;
    loop_enter(loop);
    /* libevent's clock is CLOCK_MONOTONIC_COARSE, a tick behind: its timers can be early by one.
     */
    if (loop->now_ns < timer->deadline_ns)
        timer_start(timer);
    else
        timer->ring(timer->arg); /* may free it */
    loop_leave(loop);
}

int net_timer_new(struct net_timer **timer, struct net_loop *loop, void (*ring)(void *arg),
                  void *arg, struct cj_error *err)
{
    struct net_timer *made = malloc(sizeof(*made));
    if (!made)
        return error_errno(err, "make a timer");
    *made = (struct net_timer){.loop = loop, .ring = ring, .arg = arg};
    made->event = event_new(loop->base, -1, 0, timer_ready, made);
    if (!made->event) {
        free(made);
        return error_set(err, ERROR_SYSTEM, ENOMEM, "make a timer: out of memory");
    }
    *timer = made;
    return 0;
}

void net_timer_set(struct net_timer *timer, int64_t after_ns)
{
    timer->deadline_ns = monotonic_ns() + after_ns;
    timer_start(timer);
}

void net_timer_cancel(struct net_timer *timer)
{
    event_del(timer->event);
}

void net_timer_free(struct net_timer *timer)
{
    if (!timer)
        return;
    event_free(timer->event);
    free(timer);
}

/* ---- signals ---- */

static void signal_ready(evutil_socket_t fd, short what, void *arg)
{
    struct net_signal *signal = arg;
    struct net_loop *loop = signal->loop;
    struct signalfd_siginfo info;
    (void)what;
    loop_enter(loop);
    if (read(fd, &info, sizeof(info)) == sizeof(info))
        signal->caught((int)info.ssi_signo, signal->arg); /* may free it; more is a new event */
    loop_leave(loop);
}

static int signal_open(struct net_signal *signal, int number, struct cj_error *err)
{
    sigset_t only;
    sigemptyset(&only);
    if (sigaddset(&only, number) < 0)
        return error_errno(err, "watch signal %d", number);
    int failure = pthread_sigmask(SIG_BLOCK, &only, NULL);
    if (failure) {
        errno = failure;
        return error_errno(err, "block signal %d", number);
    }
    signal->fd = signalfd(-1, &only, SFD_CLOEXEC | SFD_NONBLOCK);
    if (signal->fd < 0)
        return error_errno(err, "signalfd");
    signal->event =
        event_new(signal->loop->base, signal->fd, EV_READ | EV_PERSIST, signal_ready, signal);
    if (!signal->event || event_add(signal->event, NULL) < 0)
        return error_set(err, ERROR_SYSTEM, ENOMEM, "watch a signalfd: out of memory");
    return 0;
}

int net_signal_new(struct net_signal **signal, struct net_loop *loop, int number,
                   void (*caught)(int number, void *arg), void *arg, struct cj_error *err)
{
    struct net_signal *made = malloc(sizeof(*made));
    if (!made)
        return error_errno(err, "watch signal %d", number);
    *made = (struct net_signal){.loop = loop, .fd = -1, .caught = caught, .arg = arg};
    if (signal_open(made, number, err) < 0) {
        net_signal_free(made);
        return -1;
    }
    *signal = made;
    return 0;
}

void net_signal_free(struct net_signal *signal)
{
    if (!signal)
        return;
    if (signal->event)
        event_free(signal->event);
    fd_close(&signal->fd);
    free(signal);
}
