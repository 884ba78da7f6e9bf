#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "net/loop.h"

static struct net_loop *make_loop(void)
{
    struct cj_error err;
    struct net_loop *loop = NULL;
    if (net_loop_new(&loop, &err) < 0)
        fail_msg("%s", err.message);
    return loop;
}

static void run(struct net_loop *loop)
{
    struct cj_error err;
    if (net_loop_run(loop, &err) < 0)
        fail_msg("%s", err.message);
}

/* ---- posts ---- */

enum { THREADS = 4, POSTS = 20000 };

struct poster {
    struct net_loop *loop;
    pthread_t thread;
    int *threads_left;
    int posted, seen;
    bool ordered;
};

struct item {
    struct poster *poster;
    int number;
};

static void take_item(void *arg)
{
    struct item *item = arg;
    struct poster *poster = item->poster;
    poster->ordered &= item->number == poster->seen;
    if (++poster->seen == POSTS && --*poster->threads_left == 0)
        net_loop_stop(poster->loop);
    free(item);
}

static void *post_items(void *arg)
{
    struct poster *poster = arg;
    for (int i = 0; i < POSTS; i++) {
        struct item *item = malloc(sizeof(*item));
        *item = (struct item){.poster = poster, .number = i};
        net_loop_post(poster->loop, take_item, item);
        if (i % 1000 == 0)
            usleep(100); /* so that the loop falls asleep at times */
    }
    return NULL;
}

static void posts_of_threads_run_once_and_in_order(void **state)
{
    (void)state;
    struct net_loop *loop = make_loop();
    struct poster posters[THREADS];
    int threads_left = THREADS;
    for (int i = 0; i < THREADS; i++) {
        posters[i] = (struct poster){.loop = loop, .threads_left = &threads_left, .ordered = true};
        assert_int_equal(pthread_create(&posters[i].thread, NULL, post_items, &posters[i]), 0);
    }
    run(loop);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(posters[i].thread, NULL);
        assert_int_equal(posters[i].seen, POSTS);
        assert_true(posters[i].ordered);
    }
    net_loop_free(loop);
}

struct counter {
    struct net_loop *loop;
    int count;
    bool inside;
};

static void count_up(void *arg)
{
    struct counter *counter = arg;
    assert_false(counter->inside);
    counter->inside = true;
    if (++counter->count == 5)
        net_loop_stop(counter->loop);
    else
        net_loop_post(counter->loop, count_up, counter);
    counter->inside = false;
}

static void a_task_posts_the_next(void **state)
{
    (void)state;
    struct counter counter = {.loop = make_loop()};
    net_loop_post(counter.loop, count_up, &counter);
    run(counter.loop);
    assert_int_equal(counter.count, 5);
    net_loop_free(counter.loop);
}

static void just_count(void *arg)
{
    ++*(int *)arg;
}

static void what_was_posted_before_a_stop_has_run(void **state)
{
    (void)state;
    struct net_loop *loop = make_loop();
    int count = 0;
    for (int i = 0; i < 100; i++)
        net_loop_post(loop, just_count, &count);
    net_loop_stop(loop);
    run(loop);
    assert_int_equal(count, 100);
    net_loop_post(loop, just_count, &count);
    net_loop_stop(loop);
    run(loop); /* again */
    assert_int_equal(count, 101);
    net_loop_post(loop, just_count, &count); /* forgotten */
    net_loop_free(loop);
    assert_int_equal(count, 101);
}

static void *stop_later(void *arg)
{
    usleep(20000);
    net_loop_stop(arg);
    return NULL;
}

static void another_thread_stops_a_sleeping_loop(void **state)
{
    (void)state;
    struct net_loop *loop = make_loop();
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, stop_later, loop), 0);
    run(loop);
    pthread_join(thread, NULL);
    net_loop_free(loop);
}

/* ---- timers ---- */

struct alarm {
    struct net_loop *loop;
    struct net_timer *timer;
    struct net_timer *other;
    int rings;
    int64_t rang_ns;
};

static struct net_timer *make_timer(struct net_loop *loop, void (*ring)(void *arg), void *arg)
{
    struct net_timer *timer = NULL;
    assert_int_equal(net_timer_new(&timer, loop, ring, arg, NULL), 0);
    return timer;
}

static void ring_once(void *arg)
{
    struct alarm *alarm = arg;
    alarm->rings++;
    alarm->rang_ns = monotonic_ns();
    net_loop_stop(alarm->loop);
}

static void a_timer_rings_once_and_not_early(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++) {
        struct alarm alarm = {.loop = make_loop()};
        alarm.timer = make_timer(alarm.loop, ring_once, &alarm);
        int64_t start_ns = monotonic_ns();
        net_timer_set(alarm.timer, 7 * NS_PER_MS + i * 300 * NS_PER_US);
        while (monotonic_ns() < start_ns + 3 * NS_PER_MS)
            ; /* a coarse clock may step meanwhile */
        run(alarm.loop);
        assert_int_equal(alarm.rings, 1);
        assert_true(alarm.rang_ns - start_ns >= 7 * NS_PER_MS + i * 300 * NS_PER_US);
        net_timer_free(alarm.timer);
        net_loop_free(alarm.loop);
    }
}

static void ring_never(void *arg)
{
    (void)arg;
    fail_msg("a timer that was cancelled, moved or freed has rung");
}

static void ring_and_free(void *arg)
{
    struct alarm *alarm = arg;
    net_timer_free(alarm->other);
    net_timer_free(alarm->timer);
    net_loop_stop(alarm->loop);
}

static void a_timer_is_moved_cancelled_and_freed(void **state)
{
    (void)state;
    struct alarm alarm = {.loop = make_loop()};
    struct net_timer *cancelled = make_timer(alarm.loop, ring_never, NULL);
    net_timer_set(cancelled, NS_PER_MS);
    net_timer_cancel(cancelled);
    alarm.timer = make_timer(alarm.loop, ring_and_free, &alarm);
    alarm.other = make_timer(alarm.loop, ring_never, NULL);
    net_timer_set(alarm.other, 2 * NS_PER_MS);
    net_timer_set(alarm.other, 3600 * NS_PER_S);
    net_timer_set(alarm.timer, 10 * NS_PER_MS);
    run(alarm.loop);
    net_timer_free(cancelled);
    net_loop_free(alarm.loop);
}

/* ---- signals ---- */

struct catcher {
    struct net_loop *loop;
    struct net_signal *signal;
    int number, count;
};

static void caught(int number, void *arg)
{
    struct catcher *catcher = arg;
    catcher->number = number;
    catcher->count++;
    net_loop_stop(catcher->loop);
}

static void a_signal_is_caught(void **state)
{
    (void)state;
    struct catcher catcher = {.loop = make_loop()};
    assert_int_equal(net_signal_new(&catcher.signal, catcher.loop, SIGUSR1, caught, &catcher, NULL),
                     0);
    kill(getpid(), SIGUSR1);
    run(catcher.loop);
    assert_int_equal(catcher.number, SIGUSR1);
    assert_int_equal(catcher.count, 1);
    net_signal_free(catcher.signal);
    net_loop_free(catcher.loop);
}

static void no_such_signal(void **state)
{
    (void)state;
    struct cj_error err = {0};
    struct net_signal *signal = NULL;
    struct net_loop *loop = make_loop();
    assert_int_equal(net_signal_new(&signal, loop, 1000, caught, NULL, &err), -1);
    assert_string_equal(err.message, "watch signal 1000: Invalid argument");
    net_loop_free(loop);
}

static void raise_sigpipe(void *arg)
{
    (void)arg;
    raise(SIGPIPE);
}

/* The loop's thread does not die of a client that has gone; others see SIGPIPE as before. */
static void sigpipe_is_blocked_inside_only(void **state)
{
    (void)state;
    sigset_t before, after;
    struct net_loop *loop = make_loop();
    pthread_sigmask(SIG_SETMASK, NULL, &before);
    net_loop_post(loop, raise_sigpipe, NULL);
    net_loop_stop(loop);
    run(loop);
    pthread_sigmask(SIG_SETMASK, NULL, &after);
    assert_int_equal(sigismember(&before, SIGPIPE), 0);
    assert_int_equal(sigismember(&after, SIGPIPE), 0);
    net_loop_free(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(posts_of_threads_run_once_and_in_order),
        cmocka_unit_test(a_task_posts_the_next),
        cmocka_unit_test(what_was_posted_before_a_stop_has_run),
        cmocka_unit_test(another_thread_stops_a_sleeping_loop),
        cmocka_unit_test(a_timer_rings_once_and_not_early),
        cmocka_unit_test(a_timer_is_moved_cancelled_and_freed),
        cmocka_unit_test(a_signal_is_caught),
        cmocka_unit_test(no_such_signal),
        cmocka_unit_test(sigpipe_is_blocked_inside_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
