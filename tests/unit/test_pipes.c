/* Pipes of a group, with the test in the place of the programs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fd.h"
#include "pipes.h"
#include "reader_watch.h"

enum { MESSAGE = 1000, MESSAGES = 1000 };

static bool can_watch;

int __real_reader_watch_fd(void);
int __wrap_reader_watch_fd(void);
int __wrap_reader_watch_fd(void)
{
    return can_watch ? __real_reader_watch_fd() : -1;
}

/* From command 0's descriptor 1 to command 1's 0. */
struct line_of_two {
    struct exec_request commands[2];
    struct exec_file files[2];
    struct exec_pipe pipe;
    struct pipes *pipes;
    int writer, reader; /* as a program would have them, non-blocking */
};

static int take_end(int fd)
{
    int own = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    assert_true(own >= 0);
    assert_int_equal(fcntl(own, F_SETFL, O_NONBLOCK), 0);
    return own;
}

static void begin(struct line_of_two *line, struct exec_pipe pipe)
{
    static const char *const args[] = {"a"};
    struct container_descriptor first[2], second[1];
    struct cj_error err;
    memset(line, 0, sizeof(*line));
    line->files[0].kind = EXEC_FILE_CLOSED;
    line->files[1].kind = EXEC_FILE_NULL;
    line->commands[0] =
        (struct exec_request){.args = args, .arg_count = 1, .files = line->files, .file_count = 2};
    line->commands[1] = (struct exec_request){
        .args = args, .arg_count = 1, .files = &line->files[1], .file_count = 1};
    line->pipe = pipe;
    line->pipe.writer = (struct exec_pipe_end){0, 1};
    line->pipe.reader = (struct exec_pipe_end){1, 0};
    const struct exec_group group = {line->commands, 2, &line->pipe, 1};
    assert_int_equal(exec_group_check(&group, &err), 0);
    assert_int_equal(pipes_open(&group, NULL, &line->pipes, &err), 0);
    pipes_place(line->pipes, 0, first);
    pipes_place(line->pipes, 1, second);
    line->writer = take_end(first[1].fd);
    line->reader = take_end(second[0].fd);
    pipes_release(line->pipes, 0);
    pipes_release(line->pipes, 1);
}

/* Moves until nothing can be moved any more. Fails when that does not end. */
static void settle(struct line_of_two *line)
{
    struct pollfd fds[8];
    assert_true(pipes_poll_max(line->pipes) <= 8);
    for (int i = 0; i < 100000; i++) {
        size_t count = pipes_poll(line->pipes, fds);
        if (poll(fds, count, 0) == 0)
            return;
        pipes_move(line->pipes, fds, count);
    }
    fail_msg("there is always something to move");
}

static void end(struct line_of_two *line)
{
    fd_close(&line->writer);
    fd_close(&line->reader);
    pipes_close(line->pipes);
}

static void assert_kept(struct line_of_two *line, const char *bytes, size_t size)
{
    struct exec_result result = {0};
    struct outputs outputs = {.result = &result};
    struct cj_error err;
    pipes_finish(line->pipes);
    assert_int_equal(pipes_collect(line->pipes, 1, &outputs, &err), 0);
    assert_int_equal(result.file_count, 0);
    assert_int_equal(pipes_collect(line->pipes, 0, &outputs, &err), 0);
    assert_int_equal(result.file_count, 1);
    assert_int_equal(result.files[0].size, size);
    if (size > 0)
        assert_memory_equal(result.files[0].data, bytes, size);
    exec_result_free(&result);
}

static const struct exec_pipe kinds[] = {
    {.proxy = false},
    {.proxy = true},
    {.proxy = true, .copy = true},
    {.proxy = true, .name = "p", .max = UINT64_MAX},
    {.proxy = true, .name = "p", .max = 100500},
    {.proxy = true, .name = "p", .max = 100500, .copy = true},
};

static char *make_bytes(size_t size)
{
    char *bytes = malloc(size);
    assert_non_null(bytes);
    for (size_t i = 0; i < size; i++)
        bytes[i] = (char)(i * 31 + i / 1000);
    return bytes;
}

/* A writer and a reader that go on as they like, the reader at its own pace. */
static void everything_arrives_in_order(void **state)
{
    (void)state;
    const size_t size = (size_t)MESSAGE * MESSAGES;
    char *sent = make_bytes(size), *got = malloc(size);
    for (size_t kind = 0; kind < COUNT_OF(kinds); kind++)
        for (size_t pace = 61; pace <= 300000; pace = pace * 17 + 40) {
            struct line_of_two line;
            size_t written = 0, read_bytes = 0;
            begin(&line, kinds[kind]);
            for (unsigned round = 0; read_bytes < size; round++) {
                size_t piece = round % 7 == 0 ? 1 : MESSAGE;
                for (int i = 0; i < 40 && written < size; i++) {
                    if (piece > size - written)
                        piece = size - written;
                    ssize_t done = write(line.writer, sent + written, piece);
                    if (done < 0) {
                        assert_int_equal(errno, EAGAIN);
                        break;
                    }
                    written += (size_t)done;
                }
                if (written == size)
                    fd_close(&line.writer);
                settle(&line);
                size_t want = round % 3 == 0 ? 1 : pace;
                ssize_t done = read(line.reader, got + read_bytes,
                                    want < size - read_bytes ? want : size - read_bytes);
                assert_true(done > 0 || errno == EAGAIN);
                read_bytes += done > 0 ? (size_t)done : 0;
                settle(&line);
            }
            char more;
            assert_int_equal(read(line.reader, &more, 1), 0); /* and the end is seen */
            assert_memory_equal(got, sent, size);
            if (kinds[kind].name != NULL)
                assert_kept(&line, sent, kinds[kind].max < size ? kinds[kind].max : size);
            end(&line);
        }
    free(sent);
    free(got);
}

static void write_all(struct line_of_two *line, const char *bytes, size_t size)
{
    for (size_t done = 0; done < size;) {
        ssize_t written = write(line->writer, bytes + done, size - done);
        if (written < 0)
            assert_int_equal(errno, EAGAIN); /* never EPIPE */
        done += written > 0 ? (size_t)written : 0;
        settle(line);
    }
}

/* Whether it is known before anything was written, in between, or with pipes that are full. */
static void a_reader_that_leaves_is_no_concern_of_its_writer(void **state)
{
    (void)state;
    const size_t size = (size_t)MESSAGE * MESSAGES;
    char *sent = make_bytes(size), got[MESSAGE];
    for (int watched = 0; watched < 2; watched++)
        for (size_t kind = 1; kind < COUNT_OF(kinds); kind++)
            for (size_t before = 0; before <= 2; before++) {
                struct line_of_two line;
                can_watch = watched;
                begin(&line, kinds[kind]);
                size_t first = before * 25000;
                write_all(&line, sent, first);
                if (before > 0)
                    assert_int_equal(read(line.reader, got, sizeof(got)), sizeof(got));
                fd_close(&line.reader);
                settle(&line);
                write_all(&line, sent + first, size - first);
                if (kinds[kind].name != NULL)
                    assert_kept(&line, sent, kinds[kind].max < size ? kinds[kind].max : size);
                end(&line);
            }
    can_watch = false;
    free(sent);
}

static void without_a_proxy_it_is(void **state)
{
    (void)state;
    struct line_of_two line;
    begin(&line, kinds[0]);
    fd_close(&line.reader);
    assert_int_equal(write(line.writer, "x", 1), -1);
    assert_int_equal(errno, EPIPE);
    end(&line);
}

static void what_a_writer_leaves_behind_is_kept(void **state)
{
    (void)state;
    struct line_of_two line;
    begin(&line, kinds[3]);
    assert_int_equal(write(line.writer, "last words", 10), 10);
    fd_close(&line.writer);
    assert_kept(&line, "last words", 10); /* nothing was moved before */
    end(&line);
}

static void a_relay_with_nothing_to_do_rests(void **state)
{
    (void)state;
    for (size_t kind = 0; kind < COUNT_OF(kinds); kind++) {
        struct line_of_two line;
        struct pollfd fds[8];
        begin(&line, kinds[kind]);
        settle(&line);
        char *much = calloc(1, 1 << 20);
        while (write(line.writer, much, 1 << 20) > 0) /* until everything is full */
            settle(&line);
        settle(&line);
        assert_int_equal(poll(fds, pipes_poll(line.pipes, fds), 0), 0);
        free(much);
        end(&line);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_arrives_in_order),
        cmocka_unit_test(a_reader_that_leaves_is_no_concern_of_its_writer),
        cmocka_unit_test(without_a_proxy_it_is),
        cmocka_unit_test(what_a_writer_leaves_behind_is_kept),
        cmocka_unit_test(a_relay_with_nothing_to_do_rests),
    };
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
