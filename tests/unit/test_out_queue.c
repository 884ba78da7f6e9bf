#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "out_queue.h"

#include "base/attr.h"
#include "base/buf.h"

struct pair {
    int ours, theirs;
};

static struct pair make_pair(void)
{
    int fds[2], size = 4096;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
    return (struct pair){fds[0], fds[1]};
}

static void close_pair(struct pair *pair)
{
    close(pair->ours);
    close(pair->theirs);
}

static int make_file(const char *text)
{
    int fd = memfd_create("file", MFD_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    return fd;
}

static int released;

static void count_release(void *data, void *arg)
{
    assert_ptr_equal(arg, &released);
    free(data);
    released++;
}

/* Reads whatever is there. */
static void take(int fd, struct buf *taken)
{
    char block[777];
    ssize_t got;
    while ((got = read(fd, block, sizeof(block))) > 0)
        buf_append(taken, block, (size_t)got);
}

static void what_is_added_comes_out_in_order(void **state)
{
    (void)state;
    struct pair pair = make_pair();
    struct out_queue queue;
    auto_buf struct buf model = {0}, taken = {0};
    out_init(&queue);
    released = 0;
    srandom(7);
    for (int i = 0; i < 300; i++) {
        size_t size = (size_t)random() % (i % 10 == 0 ? 20000 : 100);
        char *data = malloc(size + 1);
        memset(data, 'a' + i % 26, size);
        data[size] = '\0';
        if (i % 3 == 0) {
            out_add_copy(&queue, data, size);
            free(data);
        } else if (i % 3 == 1) {
            out_add_owned(&queue, data, size, count_release, &released);
        } else {
            size /= 2;
            out_add_file(&queue, make_file(data), size, strlen(data) - size);
            size = strlen(data) - size;
            free(data);
        }
        char *room = buf_extend(&model, size);
        memset(room, 'a' + i % 26, size);
    }
    assert_int_equal(queue.waiting, model.size);
    uint64_t sent = 0;
    while (!out_is_empty(&queue)) {
        bool blocked;
        uint64_t written;
        assert_int_equal(out_write(&queue, pair.ours, 10000, &blocked, &written), 0);
        sent += written;
        assert_int_equal(queue.waiting, model.size - sent);
        take(pair.theirs, &taken);
    }
    assert_int_equal(taken.size, model.size);
    assert_memory_equal(taken.data, model.data, model.size);
    assert_int_equal(released, 100);
    close_pair(&pair);
}

static void a_full_socket_blocks(void **state)
{
    (void)state;
    struct pair pair = make_pair();
    struct out_queue queue;
    bool blocked;
    uint64_t written;
    char *data = calloc(1, 1 << 20);
    out_init(&queue);
    released = 0;
    out_add_owned(&queue, data, 1 << 20, count_release, &released);
    assert_int_equal(out_write(&queue, pair.ours, UINT64_MAX, &blocked, &written), 0);
    assert_true(blocked);
    assert_true(written > 0 && written < 1 << 20);
    assert_int_equal(queue.waiting, (1 << 20) - written);
    assert_int_equal(out_write(&queue, pair.ours, UINT64_MAX, &blocked, &written), 0);
    assert_true(blocked);
    assert_int_equal(written, 0);
    assert_int_equal(released, 0);
    out_clear(&queue);
    assert_int_equal(released, 1);
    assert_int_equal(queue.waiting, 0);
    close_pair(&pair);
}

static void nothing_is_released_when_its_turn_comes(void **state)
{
    (void)state;
    struct pair pair = make_pair();
    struct out_queue queue;
    bool blocked;
    uint64_t written;
    out_init(&queue);
    released = 0;
    out_add_owned(&queue, NULL, 0, count_release, &released);
    out_add_copy(&queue, NULL, 0);
    out_add_file(&queue, make_file(""), 0, 0);
    assert_int_equal(released, 0);
    assert_int_equal(out_write(&queue, pair.ours, UINT64_MAX, &blocked, &written), 0);
    assert_int_equal(released, 1);
    assert_int_equal(written, 0);
    assert_true(out_is_empty(&queue));
    close_pair(&pair);
}

static void a_short_file_is_an_error(void **state)
{
    (void)state;
    struct pair pair = make_pair();
    struct out_queue queue;
    bool blocked;
    uint64_t written;
    out_init(&queue);
    out_add_file(&queue, make_file("12345"), 2, 4);
    assert_int_equal(out_write(&queue, pair.ours, UINT64_MAX, &blocked, &written), -1);
    assert_int_equal(errno, ENODATA);
    assert_int_equal(written, 3);
    out_clear(&queue);
    close_pair(&pair);
}

static void a_closed_socket_is_an_error_and_no_signal(void **state)
{
    (void)state;
    struct pair pair = make_pair();
    struct out_queue queue;
    bool blocked;
    uint64_t written;
    out_init(&queue);
    close(pair.theirs);
    out_add_copy(&queue, "abc", 3);
    assert_int_equal(out_write(&queue, pair.ours, UINT64_MAX, &blocked, &written), -1);
    assert_int_equal(errno, EPIPE);
    out_clear(&queue);
    close(pair.ours);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_added_comes_out_in_order),
        cmocka_unit_test(a_full_socket_blocks),
        cmocka_unit_test(nothing_is_released_when_its_turn_comes),
        cmocka_unit_test(a_short_file_is_an_error),
        cmocka_unit_test(a_closed_socket_is_an_error_and_no_signal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
