/* Messages to init: whole ones are taken with their descriptors, anything else ends init. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/attr.h"
#include "init.h"
#include "init_fixture.h"

struct message {
    char bytes[64];
};

enum { FDS_MAX = 253 };

static void send_with(int socket, const void *bytes, size_t size, int fd_count)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(FDS_MAX * sizeof(int))];
    } control = {0};
    int fds[FDS_MAX];
    for (int i = 0; i < fd_count; i++)
        fds[i] = STDERR_FILENO;
    struct iovec part = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = size};
    struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1};
    if (fd_count > 0) {
        control.header.cmsg_level = SOL_SOCKET;
        control.header.cmsg_type = SCM_RIGHTS;
        control.header.cmsg_len = CMSG_LEN((size_t)fd_count * sizeof(int));
        memcpy(CMSG_DATA(&control.header), fds, (size_t)fd_count * sizeof(int));
        header.msg_control = &control;
        header.msg_controllen = CMSG_SPACE((size_t)fd_count * sizeof(int));
    }
    assert_int_equal(sendmsg(socket, &header, 0), size);
}

static int open_descriptors(void)
{
    int count = 0;
    DIR *dir = opendir("/proc/self/fd");
    while (readdir(dir) != NULL)
        count++;
    closedir(dir);
    return count;
}

static void whole_messages_are_taken_with_their_descriptors(void **state)
{
    (void)state;
    static const int counts[] = {0, 1, 2, 249, 250};
    int before = open_descriptors(), pair[2], fds[INIT_DESCRIPTORS_MAX];
    for (size_t i = 0; i < COUNT_OF(counts); i++) {
        struct message sent, got;
        memset(&sent, 'a' + (int)i, sizeof(sent));
        memset(&got, 0, sizeof(got));
        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
        send_with(pair[0], &sent, sizeof(sent), counts[i]);
        assert_int_equal(message_receive(pair[1], &got, sizeof(got), fds, INIT_DESCRIPTORS_MAX),
                         counts[i]);
        assert_memory_equal(&got, &sent, sizeof(sent));
        for (int k = 0; k < counts[i]; k++) {
            assert_true((fcntl(fds[k], F_GETFD) & FD_CLOEXEC) != 0);
            close(fds[k]);
        }
        close(pair[0]);
        close(pair[1]);
    }
    assert_int_equal(open_descriptors(), before);
}

static void the_end_of_the_service_is_told(void **state)
{
    (void)state;
    int pair[2], fds[1];
    struct message got;
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
    close(pair[0]);
    assert_int_equal(message_receive(pair[1], &got, sizeof(got), fds, 1), -1);
    assert_int_equal(message_receive(pair[1], &got, sizeof(got), NULL, 0), -1);
    close(pair[1]);
}

/* The service died with an answer of ours unread. */
static void a_reset_is_the_end_too(void **state)
{
    (void)state;
    int pair[2], fds[1];
    struct message got = {{0}};
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
    message_send(pair[1], &got, sizeof(got), -1);
    close(pair[0]);
    assert_int_equal(message_receive(pair[1], &got, sizeof(got), fds, 1), -1);
    close(pair[1]);
}

struct bad {
    const char *what;
    size_t size;
    int sent_fds, fd_max;
    const char *reason;
};

static void receive_bad(void *argument)
{
    const struct bad *bad = argument;
    static char bytes[256];
    struct message got;
    int pair[2], fds[INIT_DESCRIPTORS_MAX];
    CHILD_REQUIRE(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) == 0);
    send_with(pair[0], bytes, bad->size, bad->sent_fds);
    message_receive(pair[1], &got, sizeof(got), fds, bad->fd_max);
}

static void anything_else_ends_init(void **state)
{
    (void)state;
    static const struct bad cases[] = {
        {"short", sizeof(struct message) - 1, 0, 1, "wrong size"},
        {"one byte", 1, 0, 1, "wrong size"},
        {"long", sizeof(struct message) + 1, 0, 1, "wrong size"},
        {"long, with a descriptor", sizeof(struct message) + 1, 1, 1, "wrong size"},
        {"a descriptor where none is due", sizeof(struct message), 1, 0, "wrong size"},
        {"two where one is due", sizeof(struct message), 2, 1, "too many descriptors"},
        {"the most there can be", sizeof(struct message), FDS_MAX, 1, "too many descriptors"},
        {"one more than a program can have", sizeof(struct message), INIT_DESCRIPTORS_MAX + 1,
         INIT_DESCRIPTORS_MAX, "too many descriptors"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char text[512];
        struct bad bad = cases[i];
        int status = in_child(receive_bad, &bad, text, sizeof(text));
        if (status != INIT_GAVE_UP || strstr(text, bad.reason) == NULL)
            fail_msg("%s: status %d, '%s'", bad.what, status, text);
    }
}

static void answers_carry_a_descriptor_or_none(void **state)
{
    (void)state;
    for (int fd = -1; fd <= STDERR_FILENO; fd += 3) {
        int pair[2], fds[2];
        struct message sent = {"answer"}, got;
        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
        message_send(pair[0], &sent, sizeof(sent), fd);
        assert_int_equal(message_receive(pair[1], &got, sizeof(got), fds, 2), fd >= 0);
        assert_memory_equal(&got, &sent, sizeof(sent));
        if (fd >= 0)
            close(fds[0]);
        close(pair[0]);
        close(pair[1]);
    }
}

static void send_to_nobody(void *argument)
{
    (void)argument;
    int pair[2];
    struct message message = {{0}};
    CHILD_REQUIRE(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) == 0);
    close(pair[0]);
    message_send(pair[1], &message, sizeof(message), -1);
    _exit(3);
}

static void an_answer_to_nobody_ends_init_quietly(void **state)
{
    (void)state;
    char text[128];
    assert_int_equal(in_child(send_to_nobody, NULL, text, sizeof(text)), 0);
    assert_string_equal(text, "");
}

static void start_as_an_ordinary_process(void *argument)
{
    (void)argument;
    extern int init_main(void);
    _exit(init_main());
}

static void init_runs_as_pid_1_only(void **state)
{
    (void)state;
    char text[256];
    assert_int_equal(in_child(start_as_an_ordinary_process, NULL, text, sizeof(text)), 64);
    assert_non_null(strstr(text, "started by cjudge only"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_messages_are_taken_with_their_descriptors),
        cmocka_unit_test(the_end_of_the_service_is_told),
        cmocka_unit_test(a_reset_is_the_end_too),
        cmocka_unit_test(anything_else_ends_init),
        cmocka_unit_test(answers_carry_a_descriptor_or_none),
        cmocka_unit_test(an_answer_to_nobody_ends_init_quietly),
        cmocka_unit_test(init_runs_as_pid_1_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
