/* Groups of programs in containers: pipes, relays, terminals, outputs. Needs root (skipped otherwise). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "exec_fixture.h"
#include "store/store.h"

#define MIB ((size_t)1 << 20)

/* A loop that spins shows in it. */
static long system_us(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_stime.tv_sec * 1000000 + usage.ru_stime.tv_usec;
}

/* ---- pipes ---- */

static void two_programs_play_ping_pong(void **state)
{
    (void)state;
    for (int proxy = 0; proxy < 2; proxy++) {
        struct trial trial;
        trial_begin(&trial);
        trial_victim(&trial, "ping", "1000", NULL);
        trial_victim(&trial, "pong", NULL, NULL);
        trial_pipe(&trial, 0, 1, 1, 0, proxy);
        trial_pipe(&trial, 1, 1, 0, 0, proxy);
        trial_run(&trial);
        assert_status(&trial.results[0], EXEC_ACCEPTED);
        assert_status(&trial.results[1], EXEC_ACCEPTED);
        assert_true(find_file(&trial.results[0], "stderr")->size > 0);
        assert_null(find_file(&trial.results[0], "stdout"));
        trial_end(&trial);
    }
}

/* Every byte once and in order, whatever the relay does with them. */
static void much_data_passes_unchanged(void **state)
{
    (void)state;
    static const struct {
        bool proxy, copy;
        const char *name;
        uint64_t max;
    } cases[] = {
        {false, false, NULL, 0},     {true, false, NULL, 0},        {true, true, NULL, 0},
        {true, false, "p", 5000000}, {true, false, "p", 100000000}, {true, true, "p", 100000000},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct trial trial;
        trial_begin(&trial);
        trial_shell(&trial, "seq 1 1500000");
        trial_shell(&trial, "md5sum");
        trial_shell(&trial, "seq 1 1500000 | md5sum");
        struct exec_pipe *pipe = trial_pipe(&trial, 0, 1, 1, 0, cases[i].proxy);
        pipe->copy = cases[i].copy;
        pipe->name = cases[i].name;
        pipe->max = cases[i].max;
        trial_run(&trial);
        for (int k = 0; k < 3; k++)
            assert_status(&trial.results[k], EXEC_ACCEPTED);
        const struct exec_output *sum = find_file(&trial.results[2], "stdout");
        assert_memory_equal(find_file(&trial.results[1], "stdout")->data, sum->data, sum->size);
        const struct exec_output *kept = find_file(&trial.results[0], "p");
        assert_int_equal(kept != NULL, cases[i].name != NULL);
        if (kept != NULL) {
            uint64_t all = 10888896;
            assert_int_equal(kept->size, cases[i].max < all ? cases[i].max : all);
            const char *line = kept->data;
            for (unsigned long n = 1; line < kept->data + kept->size - 10; n++) {
                char *end;
                assert_int_equal(strtoul(line, &end, 10), n);
                line = end + 1;
            }
        }
        trial_end(&trial);
    }
}

static void what_passed_comes_back_cut_and_without_an_error(void **state)
{
    (void)state;
    static const struct {
        uint64_t max;
        const char *kept;
    } cases[] = {{3, "012"}, {0, ""}, {10, "0123456789"}, {100, "0123456789"}};
    for (size_t i = 0; i < 2 * COUNT_OF(cases); i++) {
        struct trial trial;
        trial_begin(&trial);
        trial_shell(&trial, "printf 01234; sleep 0.05; printf 56789");
        trial_shell(&trial, "cat");
        struct exec_pipe *pipe = trial_pipe(&trial, 0, 1, 1, 0, true);
        pipe->name = "p";
        pipe->max = cases[i / 2].max;
        pipe->copy = i % 2 == 1;
        trial_run(&trial);
        assert_status(&trial.results[0], EXEC_ACCEPTED);
        assert_status(&trial.results[1], EXEC_ACCEPTED);
        assert_file(&trial.results[1], "stdout", "0123456789");
        assert_file(&trial.results[0], "p", cases[i / 2].kept);
        assert_null(find_file(&trial.results[1], "p"));
        trial_end(&trial);
    }
}

static void a_name_without_a_proxy_keeps_nothing(void **state)
{
    (void)state;
    struct trial trial;
    trial_begin(&trial);
    trial_shell(&trial, "echo x");
    trial_shell(&trial, "cat");
    struct exec_pipe *pipe = trial_pipe(&trial, 0, 1, 1, 0, false);
    pipe->name = "p";
    pipe->max = 100;
    trial_run(&trial);
    assert_null(find_file(&trial.results[0], "p"));
    trial_end(&trial);
}

/* go-judge: with a proxy the writer never notices, and what it wrote is kept without a hole; without one
 * it gets SIGPIPE. */
static void a_reader_may_leave_early(void **state)
{
    (void)state;
    static const char *const readers[] = {"exit 0", "exec 0<&-; sleep 0.3",
                                          "head -c 10 >/dev/null"};
    for (size_t i = 0; i < 4 * COUNT_OF(readers); i++) {
        struct trial trial;
        trial_begin(&trial);
        trial_shell(&trial, "head -c 3000000 /dev/zero | tr '\\0' x; echo end");
        trial_shell(&trial, readers[i / 4]);
        struct exec_pipe *pipe = trial_pipe(&trial, 0, 1, 1, 0, i % 4 != 0);
        pipe->copy = i % 4 == 2;
        pipe->name = i % 4 >= 2 ? "p" : NULL;
        pipe->max = 1 << 30;
        trial_run(&trial);
        assert_status(&trial.results[1], EXEC_ACCEPTED);
        if (i % 4 == 0) {
            assert_int_not_equal(trial.results[0].status, EXEC_ACCEPTED);
        } else {
            assert_status(&trial.results[0], EXEC_ACCEPTED);
            const struct exec_output *kept = find_file(&trial.results[0], "p");
            assert_int_equal(kept != NULL, i % 4 >= 2);
            if (kept != NULL) {
                assert_int_equal(kept->size, 3000004);
                for (size_t k = 0; k < 3000000; k++)
                    assert_int_equal(kept->data[k], 'x');
                assert_memory_equal(kept->data + 3000000, "end\n", 4);
            }
        }
        assert_true(trial.took_ns < 3 * NS_PER_S);
        trial_end(&trial);
    }
}

/* Who has the pipe open by another name is a reader as well: nothing is taken from it. */
static void a_reader_that_opened_its_input_anew_gets_all_of_it(void **state)
{
    (void)state;
    for (int proxy = 0; proxy < 2; proxy++) {
        struct trial trial;
        trial_begin(&trial);
        trial_shell(&trial, "head -c 1000000 /dev/zero");
        trial_victim(&trial, "reopens", NULL, NULL);
        trial_pipe(&trial, 0, 1, 1, 0, proxy);
        trial_run(&trial);
        assert_status(&trial.results[0], EXEC_ACCEPTED);
        assert_status(&trial.results[1], EXEC_ACCEPTED);
        assert_int_equal(find_file(&trial.results[1], "stdout")->size, 1000000);
        trial_end(&trial);
    }
}

static void a_writer_that_opened_its_output_anew_is_drained_too(void **state)
{
    (void)state;
    static const char *const readers[] = {"exit 0",
                                          "cat /dev/stdin >/dev/null & sleep 0.2; exit 0"};
    for (size_t i = 0; i < COUNT_OF(readers); i++) {
        struct trial trial;
        trial_begin(&trial);
        trial_shell(&trial, "sleep 0.1; echo x >/dev/stdout; sleep 0.3; head -c 3000000 /dev/zero");
        trial_shell(&trial, readers[i]);
        trial_pipe(&trial, 0, 1, 1, 0, true);
        trial_run(&trial);
        assert_status(&trial.results[0], EXEC_ACCEPTED);
        assert_status(&trial.results[1], EXEC_ACCEPTED);
        assert_true(trial.took_ns < 2 * NS_PER_S);
        trial_end(&trial);
    }
}

static void without_a_proxy_the_writer_gets_sigpipe(void **state)
{
    (void)state;
    struct trial trial;
    trial_begin(&trial);
    trial_shell(&trial, "exec cat /dev/zero");
    trial_shell(&trial, "exit 0");
    trial_pipe(&trial, 0, 1, 1, 0, false);
    trial_run(&trial);
    assert_status(&trial.results[0], EXEC_SIGNALLED);
    assert_int_equal(trial.results[0].exit_status, 13);
    assert_status(&trial.results[1], EXEC_ACCEPTED);
    trial_end(&trial);
}

/* The end of file comes when the writer closes, not when it ends; so does the broken pipe. */
static void an_end_that_is_closed_is_seen_at_once(void **state)
{
    (void)state;
    for (int proxy = 0; proxy < 2; proxy++) {
        struct trial trial;
        trial_begin(&trial);
        trial_shell(&trial, "echo data; exec 1>&-; sleep 1.5");
        trial_shell(&trial, "cat");
        trial_pipe(&trial, 0, 1, 1, 0, proxy);
        trial_run(&trial);
        assert_status(&trial.results[0], EXEC_ACCEPTED);
        assert_status(&trial.results[1], EXEC_ACCEPTED);
        assert_file(&trial.results[1], "stdout", "data\n");
        assert_true(trial.results[0].wall_ns > 1500 * NS_PER_MS);
        assert_true(trial.results[1].wall_ns + 500 * NS_PER_MS < trial.results[0].wall_ns);
        trial_end(&trial);
    }
    struct trial trial;
    trial_begin(&trial);
    trial_shell(&trial, "exec cat /dev/zero");
    trial_shell(&trial, "exec 0<&-; sleep 1.5");
    trial_pipe(&trial, 0, 1, 1, 0, false);
    trial_run(&trial);
    assert_status(&trial.results[0], EXEC_SIGNALLED);
    assert_true(trial.results[0].wall_ns < 700 * NS_PER_MS);
    assert_status(&trial.results[1], EXEC_ACCEPTED);
    trial_end(&trial);
}

static void a_writer_that_has_ended_leaves_all_it_wrote(void **state)
{
    (void)state;
    for (int proxy = 0; proxy < 2; proxy++) {
        struct trial trial;
        trial_begin(&trial);
        trial_shell(&trial, "head -c 60000 /dev/zero");
        trial_shell(&trial, "sleep 0.5; wc -c");
        trial_pipe(&trial, 0, 1, 1, 0, proxy);
        trial_run(&trial);
        assert_status(&trial.results[0], EXEC_ACCEPTED);
        assert_true(trial.results[0].wall_ns < 400 * NS_PER_MS);
        assert_file(&trial.results[1], "stdout", "60000\n");
        trial_end(&trial);
    }
}

static void a_slow_reader_holds_its_writer_back_not_the_relay(void **state)
{
    (void)state;
    struct trial trial;
    trial_begin(&trial);
    trial_shell(&trial, "head -c 4000000 /dev/zero");
    trial_shell(&trial, "sleep 0.5; wc -c");
    trial_pipe(&trial, 0, 1, 1, 0, true);
    long before_us = system_us();
    trial_run(&trial);
    assert_file(&trial.results[1], "stdout", "4000000\n");
    assert_true(trial.results[0].wall_ns > 400 * NS_PER_MS);
    assert_true(system_us() - before_us < 200000); /* it slept meanwhile */
    trial_end(&trial);
}

static void a_ring_of_three_passes_a_token(void **state)
{
    (void)state;
    for (int proxy = 0; proxy < 2; proxy++) {
        struct trial trial;
        trial_begin(&trial);
        trial_shell(&trial, "echo 0; read x; echo got $x >&2");
        trial_shell(&trial, "read x; echo $((x + 1))");
        trial_shell(&trial, "read x; echo $((x + 1))");
        for (int i = 0; i < 3; i++)
            trial_pipe(&trial, i, 1, (i + 1) % 3, 0, proxy != 0 && i != 1);
        trial_run(&trial);
        for (int i = 0; i < 3; i++)
            assert_status(&trial.results[i], EXEC_ACCEPTED);
        assert_file(&trial.results[0], "stderr", "got 2\n");
        trial_end(&trial);
    }
}

static void eight_commands_and_descriptors_past_the_files(void **state)
{
    (void)state;
    struct trial trial;
    trial_begin(&trial);
    trial_shell(&trial, "for i in 3 4 5 6 7; do eval \"echo to $i >&$i\"; done; echo to 0");
    for (int i = 1; i < 8; i++)
        trial_shell(&trial, "cat");
    for (int i = 1; i < 6; i++)
        trial_pipe(&trial, 0, i + 2, i, 0, i % 2);
    trial_pipe(&trial, 0, 1, 6, 0, true);
    trial.commands[0].file_count = 3; /* 3 to 7 are past the end */
    trial_run(&trial);
    for (int i = 0; i < 8; i++)
        assert_status(&trial.results[i], EXEC_ACCEPTED);
    assert_file(&trial.results[1], "stdout", "to 3\n");
    assert_file(&trial.results[5], "stdout", "to 7\n");
    assert_file(&trial.results[6], "stdout", "to 0\n");
    assert_file(&trial.results[7], "stdout", "");
    trial_end(&trial);
}

static void two_proxies_of_one_name_make_one_file(void **state)
{
    (void)state;
    struct trial trial;
    trial_begin(&trial);
    trial_shell(&trial, "echo a; echo b >&2");
    trial_shell(&trial, "cat");
    trial_shell(&trial, "cat");
    for (int i = 1; i < 3; i++) {
        struct exec_pipe *pipe = trial_pipe(&trial, 0, i, i, 0, true);
        pipe->name = "p";
        pipe->max = 100;
    }
    trial_run(&trial);
    assert_int_equal(trial.results[0].file_count, 1);
    assert_int_equal(find_file(&trial.results[0], "p")->size, 2);
    trial_end(&trial);
}

/* ---- groups ---- */

static void commands_without_pipes_do_not_wait_for_each_other(void **state)
{
    (void)state;
    struct trial trial;
    trial_begin(&trial);
    trial_shell(&trial, "exit 3");
    trial_shell(&trial, "sleep 0.5");
    trial_shell(&trial, "sleep 60")->limits.wall_ns = 300 * NS_PER_MS;
    trial_shell(&trial, "while :; do :; done")->limits.cpu_ns = 200 * NS_PER_MS;
    trial_shell(&trial, "kill -9 $$");
    trial_run(&trial);
    assert_status(&trial.results[0], EXEC_NONZERO_EXIT);
    assert_int_equal(trial.results[0].exit_status, 3);
    assert_true(trial.results[0].wall_ns < 300 * NS_PER_MS);
    assert_status(&trial.results[1], EXEC_ACCEPTED);
    assert_status(&trial.results[2], EXEC_TIME_LIMIT);
    assert_true(trial.results[2].wall_ns < 450 * NS_PER_MS);
    assert_status(&trial.results[3], EXEC_TIME_LIMIT);
    assert_true(trial.results[3].cpu_ns < 300 * NS_PER_MS);
    assert_status(&trial.results[4], EXEC_SIGNALLED);
    trial_end(&trial);
}

static void a_flood_ends_its_own_command_only(void **state)
{
    (void)state;
    struct trial trial;
    trial_begin(&trial);
    trial_shell(&trial, "exec cat /dev/zero");
    trial_shell(&trial, "sleep 0.5; echo fine");
    trial_run(&trial);
    assert_status(&trial.results[0], EXEC_OUTPUT_LIMIT);
    assert_int_equal(find_file(&trial.results[0], "stdout")->size, 1 << 20);
    assert_status(&trial.results[1], EXEC_ACCEPTED);
    assert_file(&trial.results[1], "stdout", "fine\n");
    trial_end(&trial);
}

/* In the work directory, where init makes it, and elsewhere. The memory it takes is the command's, and there is enough. */
static void a_flood_of_a_file_ends_its_command(void **state)
{
    (void)state;
    static const char *const names[] = {"made", "/tmp/opened"};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        struct trial trial;
        trial_begin(&trial);
        struct exec_request *request = trial_shell(&trial, "exec cat /dev/zero");
        trial.files[0][1].kind = EXEC_FILE_COLLECT_FILE;
        trial.files[0][1].name = names[i];
        request->limits.memory_bytes = 512 * MIB;
        trial_run(&trial);
        assert_status(&trial.results[0], EXEC_OUTPUT_LIMIT);
        assert_int_equal(find_file(&trial.results[0], names[i])->size, 1 << 20);
        assert_true(trial.results[0].wall_ns < NS_PER_S);
        trial_end(&trial);
    }
}

/* Its pipes close, so the others see it. */
static void a_command_that_cannot_start_leaves_the_others_alone(void **state)
{
    (void)state;
    for (int kind = 0; kind < 4; kind++) {
        struct trial trial;
        trial_begin(&trial);
        trial_shell(&trial, "exec cat /dev/zero");
        trial_shell(&trial, "cat >/dev/null; echo end of file");
        trial_shell(&trial, "cat");
        trial_pipe(&trial, 0, 1, 2, 0, kind % 2);
        trial_pipe(&trial, 2, 1, 1, 0, kind % 2);
        const struct exec_copy_in missing = {
            .name = "f", .kind = EXEC_COPY_PATH, .data = "/does/not/exist"};
        if (kind < 2) {
            trial.commands[2].copy_in = &missing;
            trial.commands[2].copy_in_count = 1;
        } else {
            trial.args[2][0] = "/does/not/exist";
        }
        trial.commands[0].limits.cpu_ns = 300 * NS_PER_MS;
        trial_run(&trial);
        if (kind < 2) {
            assert_status(&trial.results[2], EXEC_FILE_ERROR);
            assert_int_equal(trial.results[2].file_errors[0].kind, EXEC_COPY_IN_OPEN_FILE);
            assert_int_equal(trial.results[2].wall_ns, 0);
        } else {
            assert_status(&trial.results[2], EXEC_INTERNAL_ERROR);
            assert_string_equal(trial.results[2].error,
                                "start: /does/not/exist: execve: no such file or directory");
        }
        assert_status(&trial.results[1], EXEC_ACCEPTED);
        assert_file(&trial.results[1], "stdout", "end of file\n");
        assert_status(&trial.results[0], kind % 2 == 0 ? EXEC_SIGNALLED : EXEC_TIME_LIMIT);
        trial_end(&trial);
    }
}

static void *cancel_soon(void *argument)
{
    const struct timespec nap = {.tv_nsec = 300 * NS_PER_MS};
    uint64_t one = 1;
    nanosleep(&nap, NULL);
    assert_int_equal(write(*(int *)argument, &one, sizeof(one)), sizeof(one));
    return NULL;
}

static void a_group_is_cancelled_as_a_whole(void **state)
{
    (void)state;
    auto_fd int event = eventfd(0, EFD_CLOEXEC);
    for (int early = 0; early < 2; early++) {
        pthread_t thread;
        struct trial trial;
        trial_begin(&trial);
        trial_shell(&trial, early ? "sleep 60" : "exit 0");
        trial_shell(&trial, "sleep 60");
        trial_shell(&trial, "cat; cat /dev/zero");
        trial_pipe(&trial, 1, 1, 2, 0, true);
        trial.cancel_fd = event; /* readable from the beginning, the second time */
        if (!early)
            pthread_create(&thread, NULL, cancel_soon, &event);
        trial_run(&trial);
        if (!early)
            pthread_join(thread, NULL);
        assert_int_equal(trial.results[0].cancelled, early);
        assert_status(&trial.results[0], early ? EXEC_SIGNALLED : EXEC_ACCEPTED);
        for (int i = 1; i < 3; i++) {
            assert_true(trial.results[i].cancelled);
            assert_status(&trial.results[i], EXEC_SIGNALLED);
            assert_int_equal(trial.results[i].exit_status, 9);
        }
        assert_true(trial.took_ns < 2 * NS_PER_S);
        trial_end(&trial);
    }
}

/* A slot's thread: groups of two, now and then one that is stopped. */
static void *play(void *argument)
{
    for (int i = 0; i < 25; i++) {
        struct trial trial;
        trial_begin(&trial);
        trial.first_container = *(size_t *)argument;
        trial_victim(&trial, "ping", i % 5 == 0 ? "1000000000" : "200", NULL);
        trial_victim(&trial, "pong", NULL, NULL);
        trial_pipe(&trial, 0, 1, 1, 0, i % 2);
        trial_pipe(&trial, 1, 1, 0, 0, i % 3)->name = "p";
        if (i % 5 == 0)
            trial.commands[0].limits.wall_ns = 20 * NS_PER_MS;
        trial_run_beside_others(&trial);
        assert_status(&trial.results[0], i % 5 == 0 ? EXEC_TIME_LIMIT : EXEC_ACCEPTED);
        if (i % 5 != 0)
            assert_status(&trial.results[1], EXEC_ACCEPTED);
        trial_end(&trial);
    }
    return NULL;
}

static void slots_run_groups_at_the_same_time(void **state)
{
    (void)state;
    static size_t first[] = {0, 2, 4};
    pthread_t threads[COUNT_OF(first)];
    size_t before = open_descriptors();
    for (size_t i = 0; i < COUNT_OF(first); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, play, &first[i]), 0);
    for (size_t i = 0; i < COUNT_OF(first); i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(open_descriptors(), before);
}

static void what_cannot_be_prepared_is_refused_as_a_whole(void **state)
{
    (void)state;
    static const struct {
        const char *name, *error;
    } cases[] = {
        {"no/such/dir", "container: no/such/dir: open no/such/dir: no such file or directory"},
        {"/usr/x", "container: /usr/x: open /usr/x: read-only file system"},
        {"/tmp", "container: /tmp: /tmp is not a regular file"},
        {"/dev/fd", "container: /dev/fd: /dev/fd is not a regular file"},
        {"", "container: : open : no such file or directory"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct trial trial;
        trial_begin(&trial);
        trial_shell(&trial, "echo ran");
        trial_shell(&trial, "echo ran");
        trial.files[1][1].kind = EXEC_FILE_COLLECT_FILE;
        trial.files[1][1].name = cases[i].name;
        trial_run(&trial);
        for (int k = 0; k < 2; k++) {
            assert_true(trial.results[k].refused);
            assert_status(&trial.results[k], EXEC_INTERNAL_ERROR);
            assert_string_equal(trial.results[k].error, cases[i].error);
            assert_int_equal(trial.results[k].file_count, 0);
        }
        trial_end(&trial);
    }
    struct trial trial;
    trial_begin(&trial);
    trial_shell(&trial, "echo ran");
    trial.files[0][0].kind = EXEC_FILE_NULL;
    trial_run(&trial);
    assert_true(trial.results[0].refused);
    assert_string_equal(trial.results[0].error, "cmd[0].files[0]: null, and no pipe covers it");
    trial_end(&trial);
}

/* ---- collectors ---- */

static void one_name_is_one_open_file(void **state)
{
    (void)state;
    for (int file = 0; file < 4; file++) {
        struct trial trial;
        trial_begin(&trial);
        trial_shell(&trial, "echo a; echo b >&2; echo c; ls /w");
        for (int i = 1; i < 3; i++) {
            bool is_file = i == 1 ? file / 2 : file % 2; /* the first one counts */
            trial.files[0][i].kind = is_file ? EXEC_FILE_COLLECT_FILE : EXEC_FILE_COLLECT;
            trial.files[0][i].name = "o";
            trial.files[0][i].max = i == 1 ? 100 : 1;
        }
        trial_run(&trial);
        assert_status(&trial.results[0], EXEC_ACCEPTED);
        assert_int_equal(trial.results[0].file_count, 1);
        assert_file(&trial.results[0], "o", file / 2 ? "a\nb\nc\no\n" : "a\nb\nc\n");
        trial_end(&trial);
    }
}

static void a_collector_file_is_a_file_of_the_program(void **state)
{
    (void)state;
    static const struct {
        const char *name, *script;
        uint64_t max;
        enum exec_status status;
        const char *bytes;
    } cases[] = {
        {"o", "echo hi; stat -c '%s %U' o", 100, EXEC_ACCEPTED, NULL},
        {"o", "echo hi; rm o", 100, EXEC_ACCEPTED, "hi\n"},
        {"./x/../o", "echo hi; test -e o", 100, EXEC_ACCEPTED, "hi\n"},
        {"/tmp/o", "echo hi; cat /tmp/o >&2", 100, EXEC_ACCEPTED, "hi\n"},
        {"o", "echo hello!", 4, EXEC_OUTPUT_LIMIT, "hell"},
        {"o", "echo hello!; exit 3", 4, EXEC_NONZERO_EXIT, "hell"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct trial trial;
        trial_begin(&trial);
        trial_shell(&trial, cases[i].script);
        trial.files[0][1].kind = EXEC_FILE_COLLECT_FILE;
        trial.files[0][1].name = cases[i].name;
        trial.files[0][1].max = cases[i].max;
        trial_run(&trial);
        assert_status(&trial.results[0], cases[i].status);
        if (cases[i].bytes != NULL)
            assert_file(&trial.results[0], cases[i].name, cases[i].bytes);
        assert_int_equal(trial.results[0].file_error_count, cases[i].max < 100);
        trial_end(&trial);
    }
}

static void forwards_that_stand_still_are_given_up(void **state)
{
    (void)state;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    struct trial trial;
    trial_begin(&trial);
    trial_shell(&trial, "head -c 100000 /dev/zero; echo ended >&2");
    trial.files[0][1] =
        (struct exec_file){.kind = EXEC_FILE_FORWARD, .fd = ends[1], .max = 1 << 20};
    trial.settings.forward_grace_ns = 300 * NS_PER_MS;
    trial_run(&trial);
    close(ends[0]);
    close(ends[1]);
    assert_status(&trial.results[0], EXEC_INTERNAL_ERROR);
    assert_string_equal(trial.results[0].error, "pass output on: connection timed out");
    assert_true(trial.took_ns < 2 * NS_PER_S);
    trial_end(&trial);
}

/* ---- terminals ---- */

static struct exec_request *with_terminal(struct trial *trial, const char *script,
                                          const char *typed)
{
    struct exec_request *request = trial_shell(trial, script);
    request->tty = true;
    trial->files[0][0].data = typed;
    trial->files[0][0].size = strlen(typed);
    return request;
}

static void a_terminal_echoes_and_is_one(void **state)
{
    (void)state;
    struct trial trial;
    trial_begin(&trial);
    with_terminal(&trial, "test -t 0 && test -t 1 && test -t 2 && read x && echo \"<$x>\"",
                  "hello\n");
    trial_run(&trial);
    assert_status(&trial.results[0], EXEC_ACCEPTED);
    assert_file(&trial.results[0], "stdout", "hello\r\n<hello>\r\n");
    assert_null(find_file(&trial.results[0],
                          "stderr")); /* it is the terminal as well, but collects nothing */
    trial_end(&trial);
}

/* Many times: the echo, the last output and the end of the program race. */
static void what_a_terminal_showed_last_is_not_lost(void **state)
{
    (void)state;
    for (int i = 0; i < 30; i++) {
        struct trial trial;
        trial_begin(&trial);
        with_terminal(&trial, "stty -echo; read x; seq 1 300; echo end", "\n");
        trial.files[0][2] = (struct exec_file){.kind = EXEC_FILE_CLOSED};
        trial_run(&trial);
        assert_status(&trial.results[0], EXEC_ACCEPTED);
        const struct exec_output *shown = find_file(&trial.results[0], "stdout");
        assert_true(shown->size > 1000);
        assert_memory_equal(shown->data + shown->size - 5, "end\r\n", 5);
        trial_end(&trial);
    }
}

static void a_terminal_is_controlling_and_can_be_opened_anew(void **state)
{
    (void)state;
    struct trial trial;
    trial_begin(&trial);
    with_terminal(&trial, "echo again >/proc/self/fd/1; sleep 60 & kill -INT $$; wait", "");
    trial_run(&trial);
    assert_file(&trial.results[0], "stdout", "again\r\n");
    assert_status(&trial.results[0], EXEC_SIGNALLED);
    assert_int_equal(trial.results[0].exit_status, 2);
    trial_end(&trial);
}

static void *interrupt_soon(void *argument)
{
    const struct timespec nap = {.tv_nsec = 300 * NS_PER_MS};
    nanosleep(&nap, NULL);
    assert_int_equal(write(*(int *)argument, "\003", 1), 1);
    return NULL;
}

/* ^C reaches who has the terminal in the foreground. */
static void what_is_fed_is_typed(void **state)
{
    (void)state;
    int ends[2];
    pthread_t thread;
    assert_int_equal(pipe(ends), 0);
    struct trial trial;
    trial_begin(&trial);
    with_terminal(&trial, "sleep 60", "");
    trial.files[0][0] = (struct exec_file){.kind = EXEC_FILE_FEED, .fd = ends[0]};
    pthread_create(&thread, NULL, interrupt_soon, &ends[1]);
    trial_run(&trial);
    pthread_join(thread, NULL);
    close(ends[0]);
    close(ends[1]);
    assert_status(&trial.results[0], EXEC_SIGNALLED);
    assert_int_equal(trial.results[0].exit_status, 2);
    assert_file(&trial.results[0], "stdout", "^C");
    assert_true(trial.took_ns < 2 * NS_PER_S);
    trial_end(&trial);
}

static void no_end_of_file_is_typed(void **state)
{
    (void)state;
    struct trial trial;
    trial_begin(&trial);
    with_terminal(&trial, "cat", "x\n")->limits.wall_ns = 400 * NS_PER_MS;
    trial_run(&trial);
    assert_status(&trial.results[0], EXEC_TIME_LIMIT);
    assert_file(&trial.results[0], "stdout", "x\r\nx\r\n");
    trial_end(&trial);
    trial_begin(&trial);
    with_terminal(&trial, "cat", "x\n\004");
    trial_run(&trial);
    assert_status(&trial.results[0], EXEC_ACCEPTED);
    assert_file(&trial.results[0], "stdout", "x\r\nx\r\n");
    trial_end(&trial);
}

static void much_is_typed_and_shown(void **state)
{
    (void)state;
    enum { LINES = 5000 };
    char *typed = malloc(LINES * 40), *at = typed;
    for (int i = 0; i < LINES; i++)
        at += sprintf(at, "line number %d\n", i);
    memcpy(at, "\004", sizeof("\004"));
    struct trial trial;
    trial_begin(&trial);
    with_terminal(&trial, "stty -echo; wc -l; yes | head -n 100000", typed);
    trial.files[0][1].max = 1 << 22;
    trial_run(&trial);
    assert_status(&trial.results[0], EXEC_ACCEPTED);
    const struct exec_output *shown = find_file(&trial.results[0], "stdout");
    assert_true(shown->size >= 300000 && memcmp(shown->data + shown->size - 3, "y\r\n", 3) == 0);
    trial_end(&trial);
    free(typed);
}

static void a_terminal_nobody_looks_at_does_not_hold_its_program(void **state)
{
    (void)state;
    struct trial trial;
    trial_begin(&trial);
    with_terminal(&trial, "yes | head -n 100000", "")->file_count = 1;
    trial.files[0][1] = trial.files[0][2] = (struct exec_file){.kind = EXEC_FILE_CLOSED};
    trial.args[0][2] = "exec 1>&0 2>&0; yes | head -n 100000";
    trial_run(&trial);
    assert_status(&trial.results[0], EXEC_ACCEPTED);
    assert_int_equal(trial.results[0].file_count, 0);
    trial_end(&trial);
}

static void a_closed_terminal_costs_no_time(void **state)
{
    (void)state;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    for (int fed = 0; fed < 2; fed++) {
        struct trial trial;
        trial_begin(&trial);
        with_terminal(&trial, "exec <&- >&- 2>&-; sleep 0.5", "typed\n");
        if (fed) /* and there might still come something */
            trial.files[0][0] = (struct exec_file){.kind = EXEC_FILE_FEED, .fd = ends[0]};
        long before_us = system_us();
        trial_run(&trial);
        assert_status(&trial.results[0], EXEC_ACCEPTED);
        assert_true(system_us() - before_us < 100000);
        trial_end(&trial);
    }
    close(ends[0]);
    close(ends[1]);
}

static void a_file_at_0_is_no_terminal(void **state)
{
    (void)state;
    struct cj_error err;
    struct trial trial;
    trial_begin(&trial);
    trial_shell(&trial, "true")->tty = true;
    auto_fd int fd = -1;
    assert_int_equal(exec_open_input("/dev/null", &fd, &err), 0);
    trial.files[0][0] = (struct exec_file){.kind = EXEC_FILE_FD, .fd = fd};
    trial_run(&trial);
    assert_status(&trial.results[0], EXEC_INTERNAL_ERROR);
    assert_string_equal(trial.results[0].error,
                        "start: /bin/sh: ioctl: inappropriate ioctl for device");
    trial_end(&trial);
}

/* ---- inputs and limits ---- */

static void inputs_opened_anew_have_offsets_of_their_own(void **state)
{
    (void)state;
    char path[] = "/tmp/cjudge-test-XXXXXX";
    auto_fd int file = mkstemp(path);
    assert_int_equal(write(file, "0123456789", 10), 10);
    struct cj_error err;
    auto_fd int input = -1;
    assert_int_equal(exec_open_input(path, &input, &err), 0);
    unlink(path);
    struct trial trial;
    trial_begin(&trial);
    int opened[3];
    for (int i = 0; i < 3; i++) {
        trial_shell(&trial, "cat; (: >>/dev/stdin) 2>/dev/null || echo no");
        assert_int_equal(exec_reopen_input(input, 3 * i, &opened[i], &err), 0);
        trial.files[i][0] = (struct exec_file){.kind = EXEC_FILE_FD, .fd = opened[i]};
    }
    trial_run(&trial);
    assert_file(&trial.results[0], "stdout", "0123456789no\n");
    assert_file(&trial.results[1], "stdout", "3456789no\n");
    assert_file(&trial.results[2], "stdout", "6789no\n");
    for (int i = 0; i < 3; i++)
        close(opened[i]);
    trial_end(&trial);
}

static void limits_reach_the_program(void **state)
{
    (void)state;
    struct trial trial;
    trial_begin(&trial);
    struct exec_request *request = trial_shell(&trial, "ulimit -d; ulimit -v; ulimit -s");
    request->limits.data_segment = true;
    request->limits.stack_bytes = 32 * MIB;
    request = trial_shell(&trial, "ulimit -d; ulimit -v; ulimit -s");
    request->limits.address_space = true;
    request->limits.stack_bytes = 1024 * MIB; /* cut to the memory limit */
    request = trial_shell(&trial, "grep Cpus_allowed_list /proc/self/status");
    request->limits.cpu_set = "0";
    request = trial_shell(&trial, "true");
    request->limits.cpu_set = "none such";
    request = trial_shell(&trial, "while :; do :; done");
    request->limits.cpu_rate = 200;
    request->limits.cpu_ns = 10 * NS_PER_S;
    request->limits.wall_ns = 1000 * NS_PER_MS;
    trial_run(&trial);
    assert_file(&trial.results[0], "stdout", "65536\nunlimited\n32768\n");
    if (container_facts(exec_fixture_container(0))->level == PROTECTION_FULL) {
        assert_file(&trial.results[1], "stdout", "unlimited\n65536\n65536\n");
        assert_file(&trial.results[2], "stdout", "Cpus_allowed_list:\t0\n");
        assert_status(&trial.results[3], EXEC_INTERNAL_ERROR);
        assert_string_equal(trial.results[3].error, "cgroup: failed to set cpuset limit: CPU set "
                                                    "'none such' is not a list such as 0-3,8");
        assert_status(&trial.results[4], EXEC_TIME_LIMIT);
        assert_in_range(trial.results[4].cpu_ns, 50 * NS_PER_MS, 350 * NS_PER_MS);
    }
    trial_end(&trial);
}

/* ---- the store ---- */

static struct store *make_store(uint64_t max_bytes)
{
    const struct store_settings settings = {.max_bytes = max_bytes};
    struct store *store;
    struct cj_error err;
    if (store_open(&settings, &store, &err) < 0)
        fail_msg("%s", err.message);
    return store;
}

static uint64_t stored_count(struct store *store)
{
    struct store_stats stats;
    store_stats(store, &stats);
    return stats.count;
}

static void assert_stored(struct store *store, const struct exec_result *result, const char *name,
                          const char *text)
{
    struct cj_error err;
    char bytes[64] = "";
    for (size_t i = 0; i < result->file_id_count; i++) {
        if (strcmp(result->file_ids[i].name, name) != 0)
            continue;
        struct store_file file;
        assert_int_equal(store_get(store, result->file_ids[i].id, &file, &err), 0);
        assert_string_equal(file.name, name);
        assert_int_equal(read(file.fd, bytes, sizeof(bytes)), strlen(text));
        assert_memory_equal(bytes, text, strlen(text));
        store_file_close(&file);
        return;
    }
    fail_msg("%s was not stored", name);
}

static void outputs_go_into_the_store(void **state)
{
    (void)state;
    static const struct exec_copy_out out[] = {{.name = "a"}, {.name = "b"}, {.name = "a"}};
    static const struct exec_copy_out cached[] = {{.name = "b"},
                                                  {.name = "stdout"},
                                                  {.name = "p"},
                                                  {.name = "c"},
                                                  {.name = "d", .optional = true},
                                                  {.name = "b"}};
    struct trial trial;
    trial_begin(&trial);
    trial.settings.store = make_store(0);
    struct exec_request *request =
        trial_shell(&trial, "echo A >a; echo B >b; echo C >c; echo out; echo piped >&3");
    request->copy_out = out;
    request->copy_out_count = COUNT_OF(out);
    request->copy_out_cached = cached;
    request->copy_out_cached_count = COUNT_OF(cached);
    trial_shell(&trial, "cat");
    struct exec_pipe *pipe = trial_pipe(&trial, 0, 3, 1, 0, true);
    pipe->name = "p";
    pipe->max = 3;
    trial_run(&trial);
    const struct exec_result *result = &trial.results[0];
    assert_status(result, EXEC_ACCEPTED);
    assert_int_equal(result->file_count, 2); /* a and stderr */
    assert_file(result, "a", "A\n");
    assert_file(result, "stderr", "");
    assert_int_equal(result->file_id_count, 4);
    assert_stored(trial.settings.store, result, "b", "B\n");
    assert_stored(trial.settings.store, result, "c", "C\n");
    assert_stored(trial.settings.store, result, "stdout", "out\n");
    assert_stored(trial.settings.store, result, "p", "pip");
    assert_int_equal(stored_count(trial.settings.store), 4);
    assert_file(&trial.results[1], "stdout", "piped\n");
    trial_end(&trial);
    store_free(trial.settings.store);
}

static void stored_outputs_have_limits_too(void **state)
{
    (void)state;
    static const struct exec_copy_out cached[] = {{.name = "f"}, {.name = "stdout"}};
    for (int truncate = 0; truncate < 2; truncate++) {
        struct trial trial;
        trial_begin(&trial);
        trial.settings.store = make_store(0);
        struct exec_request *request = trial_shell(&trial, "printf 0123456789 | tee f; exit 2");
        request->copy_out_cached = cached;
        request->copy_out_cached_count = COUNT_OF(cached);
        request->copy_out_max_bytes = 5;
        request->copy_out_truncate = truncate;
        trial.files[0][1].max = 4;
        trial_run(&trial);
        const struct exec_result *result = &trial.results[0];
        assert_status(result, EXEC_NONZERO_EXIT);
        assert_int_equal(result->file_error_count, 2);
        assert_int_equal(result->file_errors[0].kind, EXEC_COLLECT_SIZE_EXCEEDED);
        assert_int_equal(result->file_errors[1].kind, EXEC_COPY_OUT_SIZE_EXCEEDED);
        assert_stored(trial.settings.store, result, "stdout", "0123");
        if (truncate)
            assert_stored(trial.settings.store, result, "f", "01234");
        assert_int_equal(result->file_id_count, 1 + truncate);
        trial_end(&trial);
        store_free(trial.settings.store);
    }
}

struct looker {
    struct store *store;
    uint64_t seen;
    int event;
};

static void *look_and_cancel(void *argument)
{
    struct looker *looker = argument;
    const struct timespec nap = {.tv_nsec = 300 * NS_PER_MS};
    uint64_t one = 1;
    nanosleep(&nap, NULL);
    looker->seen = stored_count(looker->store);
    assert_int_equal(write(looker->event, &one, sizeof(one)), sizeof(one));
    return NULL;
}

static void a_cancelled_group_stores_nothing_and_shows_nothing_meanwhile(void **state)
{
    (void)state;
    static const struct exec_copy_out cached[] = {{.name = "stdout"}, {.name = "f"}};
    auto_fd int event = eventfd(0, EFD_CLOEXEC);
    struct looker looker = {.store = make_store(0), .seen = 99, .event = event};
    pthread_t thread;
    struct trial trial;
    trial_begin(&trial);
    trial.settings.store = looker.store;
    trial.cancel_fd = event;
    for (int i = 0; i < 2; i++) {
        struct exec_request *request =
            trial_shell(&trial, i == 0 ? "echo x | tee f" : "echo x | tee f; sleep 60");
        request->copy_out_cached = cached;
        request->copy_out_cached_count = COUNT_OF(cached);
    }
    pthread_create(&thread, NULL, look_and_cancel, &looker);
    trial_run(&trial);
    pthread_join(thread, NULL);
    assert_status(&trial.results[0], EXEC_ACCEPTED);
    assert_true(trial.results[1].cancelled);
    assert_int_equal(looker.seen, 0);
    for (int i = 0; i < 2; i++)
        assert_int_equal(trial.results[i].file_id_count, 0);
    assert_int_equal(stored_count(looker.store), 0);
    trial_end(&trial);
    store_free(looker.store);
}

static void a_full_store_is_a_file_error(void **state)
{
    (void)state;
    static const struct exec_copy_out cached[] = {{.name = "stdout"}, {.name = "f"}};
    for (int code = 0; code < 2; code++) {
        struct trial trial;
        trial_begin(&trial);
        trial.settings.store = make_store(1 << 20);
        struct exec_request *request =
            trial_shell(&trial, code ? "cat /dev/zero | head -c 4000000; echo small >f; exit 1"
                                     : "cat /dev/zero | head -c 4000000; echo small >f");
        request->copy_out_cached = cached;
        request->copy_out_cached_count = COUNT_OF(cached);
        trial.files[0][1].max = 8 << 20;
        trial_run(&trial);
        const struct exec_result *result = &trial.results[0];
        assert_status(result, code ? EXEC_NONZERO_EXIT : EXEC_FILE_ERROR);
        assert_int_equal(result->file_errors[0].kind, EXEC_COPY_OUT_COPY_CONTENT);
        assert_string_equal(result->file_errors[0].name, "stdout");
        assert_non_null(strstr(result->file_errors[0].message, "full"));
        assert_int_equal(result->file_id_count, 1);
        assert_stored(trial.settings.store, result, "f", "small\n");
        trial_end(&trial);
        store_free(trial.settings.store);
    }
}

static void without_a_store_nothing_can_be_stored(void **state)
{
    (void)state;
    static const struct exec_copy_out cached[] = {{.name = "f"}};
    struct trial trial;
    trial_begin(&trial);
    struct exec_request *request = trial_shell(&trial, "true");
    request->copy_out_cached = cached;
    request->copy_out_cached_count = 1;
    trial_run(&trial);
    assert_true(trial.results[0].refused);
    assert_string_equal(trial.results[0].error, "cmd[0].copyOutCached: there is no file store");
    trial_end(&trial);
}

/* Stored files as input: read only, at an offset of their own. */
static void stored_files_are_inputs(void **state)
{
    (void)state;
    static const struct exec_copy_out cached[] = {{.name = "stdout"}};
    struct cj_error err;
    struct trial trial;
    trial_begin(&trial);
    struct store *store = trial.settings.store = make_store(0);
    struct exec_request *request = trial_shell(&trial, "echo '#!/bin/sh'; echo echo hi");
    request->copy_out_cached = cached;
    request->copy_out_cached_count = 1;
    trial_run(&trial);
    const char *id = trial.results[0].file_ids[0].id;
    struct trial next;
    trial_begin(&next);
    struct store_file files[3];
    for (int i = 0; i < 3; i++)
        assert_int_equal(store_get(store, id, &files[i], &err), 0);
    const struct exec_copy_in in = {.name = "d/script", .kind = EXEC_COPY_FD, .fd = files[2].fd};
    request = trial_shell(&next, "(: >/dev/stdin) 2>/dev/null || head -n 1; cat <&3; d/script");
    request->copy_in = &in;
    request->copy_in_count = 1;
    request->file_count = 4;
    next.files[0][0] = (struct exec_file){.kind = EXEC_FILE_FD, .fd = files[0].fd};
    next.files[0][3] = (struct exec_file){.kind = EXEC_FILE_FD, .fd = files[1].fd};
    trial_run(&next);
    assert_status(&next.results[0], EXEC_ACCEPTED);
    assert_file(&next.results[0], "stdout", "#!/bin/sh\n#!/bin/sh\necho hi\nhi\n");
    for (int i = 0; i < 3; i++)
        store_file_close(&files[i]);
    trial_end(&next);
    trial_end(&trial);
    store_free(store);
}

/* ---- large outputs ---- */

static size_t resident_bytes(void)
{
    unsigned long size, resident;
    FILE *file = fopen("/proc/self/statm", "re");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%lu %lu", &size, &resident), 2);
    fclose(file);
    return resident * (size_t)sysconf(_SC_PAGESIZE);
}

#ifdef __SANITIZE_THREAD__
enum { RESIDENT_IS_OURS = false }; /* its shadow of what was touched is resident, too */
#else
enum { RESIDENT_IS_OURS = true };
#endif

static void a_large_file_comes_out_once(void **state)
{
    (void)state;
    const struct exec_copy_out wanted = {.name = "big"};
    struct trial trial;
    trial_begin(&trial);
    struct exec_request *request = trial_victim(&trial, "fill", "256", "big");
    request->limits.memory_bytes = 512 * MIB;
    request->limits.file_size_bytes = 512 * MIB;
    request->copy_out = &wanted;
    request->copy_out_count = 1;
    request->copy_out_max_bytes = 512 * MIB;
    size_t before = resident_bytes();
    trial_run(&trial);
    assert_status(&trial.results[0], EXEC_ACCEPTED);
    const struct exec_output *big = find_file(&trial.results[0], "big");
    assert_int_equal(big->size, 256 * MIB);
    for (size_t i = 0; i < big->size; i += 4096)
        assert_int_equal(big->data[i], 'x');
    assert_true(!RESIDENT_IS_OURS || resident_bytes() - before < 260 * MIB);
    trial_end(&trial);
    assert_true(!RESIDENT_IS_OURS || resident_bytes() < before + 4 * MIB);
}

static void a_sparse_file_costs_what_it_holds(void **state)
{
    (void)state;
    const struct exec_copy_out wanted = {.name = "sparse"};
    struct trial trial;
    trial_begin(&trial);
    struct exec_request *request = trial_shell(&trial, "truncate -s 60M sparse; echo x >>sparse");
    request->copy_out = &wanted;
    request->copy_out_count = 1;
    size_t before = resident_bytes();
    trial_run(&trial);
    const struct exec_output *sparse = find_file(&trial.results[0], "sparse");
    assert_int_equal(sparse->size, 60 * MIB + 2);
    assert_memory_equal(sparse->data + 60 * MIB, "x\n", 2);
    assert_true(resident_bytes() - before < 4 * MIB);
    trial_end(&trial);
}

/* Its sockets close before it is dead for good: the kernel ends the others of its namespace in between. */
static void a_run_whose_init_is_dying_can_be_killed(void **state)
{
    (void)state;
    struct container *container = exec_fixture_container(0);
    const char *const args[] = {"/bin/sh", "-c", "for i in 1 2 3 4 5 6 7; do sleep 9 & done; wait"};
    for (int round = 0; round < 20; round++) {
        struct container_run run = {.args = args, .arg_count = COUNT_OF(args)};
        struct cj_error err = {0};
        run.limits.memory_bytes = 64 * MIB;
        run.limits.processes = 16;
        if (container_start(container, &run, &err) < 0)
            fail_msg("start: %s", err.message);
        usleep(5000);
        kill(container_init_pid(container), SIGKILL);
        usleep((unsigned)round * 20);
        if (container_kill(container, &err) < 0)
            fail_msg("round %d: %s", round, err.message);
        if (container_reset(container, &err) < 0)
            fail_msg("reset: %s", err.message);
    }
}

#define TEST(name) cmocka_unit_test(name)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(two_programs_play_ping_pong),
        TEST(much_data_passes_unchanged),
        TEST(what_passed_comes_back_cut_and_without_an_error),
        TEST(a_name_without_a_proxy_keeps_nothing),
        TEST(a_reader_may_leave_early),
        TEST(a_reader_that_opened_its_input_anew_gets_all_of_it),
        TEST(a_writer_that_opened_its_output_anew_is_drained_too),
        TEST(without_a_proxy_the_writer_gets_sigpipe),
        TEST(an_end_that_is_closed_is_seen_at_once),
        TEST(a_writer_that_has_ended_leaves_all_it_wrote),
        TEST(a_slow_reader_holds_its_writer_back_not_the_relay),
        TEST(a_ring_of_three_passes_a_token),
        TEST(eight_commands_and_descriptors_past_the_files),
        TEST(two_proxies_of_one_name_make_one_file),
        TEST(commands_without_pipes_do_not_wait_for_each_other),
        TEST(a_flood_ends_its_own_command_only),
        TEST(a_flood_of_a_file_ends_its_command),
        TEST(a_command_that_cannot_start_leaves_the_others_alone),
        TEST(a_group_is_cancelled_as_a_whole),
        TEST(slots_run_groups_at_the_same_time),
        TEST(what_cannot_be_prepared_is_refused_as_a_whole),
        TEST(one_name_is_one_open_file),
        TEST(a_collector_file_is_a_file_of_the_program),
        TEST(forwards_that_stand_still_are_given_up),
        TEST(a_terminal_echoes_and_is_one),
        TEST(what_a_terminal_showed_last_is_not_lost),
        TEST(a_terminal_is_controlling_and_can_be_opened_anew),
        TEST(what_is_fed_is_typed),
        TEST(no_end_of_file_is_typed),
        TEST(much_is_typed_and_shown),
        TEST(a_terminal_nobody_looks_at_does_not_hold_its_program),
        TEST(a_closed_terminal_costs_no_time),
        TEST(a_file_at_0_is_no_terminal),
        TEST(inputs_opened_anew_have_offsets_of_their_own),
        TEST(limits_reach_the_program),
        TEST(outputs_go_into_the_store),
        TEST(stored_outputs_have_limits_too),
        TEST(a_cancelled_group_stores_nothing_and_shows_nothing_meanwhile),
        TEST(a_full_store_is_a_file_error),
        TEST(without_a_store_nothing_can_be_stored),
        TEST(stored_files_are_inputs),
        TEST(a_large_file_comes_out_once),
        TEST(a_sparse_file_costs_what_it_holds),
        TEST(a_run_whose_init_is_dying_can_be_killed),
    };
    if (argc > 1)
        setenv("EXEC_VICTIM", argv[1], 1);
    if (argc > 2)
        cmocka_set_test_filter(argv[2]);
    if (geteuid() != 0)
        return 77;
    return cmocka_run_group_tests_name("exec_live", tests, exec_fixture_open, exec_fixture_close);
}
