/* A reader that leaves is told, and so is one that comes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#include "base/attr.h"
#include "reader_watch.h"

struct told {
    int watch;
    int opened, closed, others;
};

static void note(void *arg, int watch, bool opened)
{
    struct told *told = arg;
    if (watch != told->watch)
        told->others++;
    else if (opened)
        told->opened++;
    else
        told->closed++;
}

static int open_anew(int fd, int flags)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    int again = open(path, flags | O_CLOEXEC);
    assert_true(again >= 0);
    return again;
}

static size_t open_descriptors(void)
{
    size_t count = 0;
    DIR *dir = opendir("/proc/self/fd");
    assert_non_null(dir);
    while (readdir(dir) != NULL)
        count++;
    closedir(dir);
    return count;
}

static void the_last_of_a_reader_is_told_once(void **state)
{
    (void)state;
    int ends[2], fd = reader_watch_fd();
    if (fd < 0)
        skip();
    assert_int_equal(reader_watch_fd(), fd);
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    int spare = open_anew(ends[0], O_RDONLY | O_NONBLOCK);
    struct told told = {.watch = reader_watch_add(fd, spare)};
    assert_true(told.watch >= 0);
    int same = dup(ends[0]);
    assert_int_equal(write(ends[1], "x", 1), 1);
    close(ends[0]);
    reader_watch_take(fd, note, &told);
    assert_int_equal(told.closed + told.opened, 0); /* another descriptor of it is there */
    close(same);
    reader_watch_take(fd, note, &told);
    assert_int_equal(told.closed, 1);
    assert_int_equal(told.opened, 0);
    close(open_anew(spare, O_RDONLY | O_NONBLOCK));
    close(open_anew(ends[1], O_WRONLY | O_NONBLOCK));
    reader_watch_take(fd, note, &told);
    assert_int_equal(told.closed, 2);
    assert_int_equal(told.opened, 2);
    reader_watch_remove(fd, told.watch);
    close(spare);
    close(ends[1]);
    reader_watch_take(fd, note, &told);
    assert_int_equal(told.closed + told.opened + told.others, 4);
}

static void what_was_told_before_is_not_told_again(void **state)
{
    (void)state;
    int ends[2], fd = reader_watch_fd();
    if (fd < 0)
        skip();
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    struct told told = {.watch = reader_watch_add(fd, ends[1])};
    close(ends[0]);
    reader_watch_remove(fd, told.watch);
    close(ends[1]);
    assert_int_equal(reader_watch_fd(), fd);
    reader_watch_take(fd, note, &told);
    assert_int_equal(told.opened + told.closed + told.others, 0);
}

static void *use_one(void *argument)
{
    *(int *)argument = reader_watch_fd();
    return NULL;
}

static void each_thread_has_its_own_and_takes_it_along(void **state)
{
    (void)state;
    int mine = reader_watch_fd(), other = -1;
    if (mine < 0)
        skip();
    size_t before = open_descriptors();
    pthread_t thread;
    pthread_create(&thread, NULL, use_one, &other);
    pthread_join(thread, NULL);
    assert_true(other >= 0 && other != mine);
    assert_int_equal(open_descriptors(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_last_of_a_reader_is_told_once),
        cmocka_unit_test(what_was_told_before_is_not_told_again),
        cmocka_unit_test(each_thread_has_its_own_and_takes_it_along),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
