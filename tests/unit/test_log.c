#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/io.h"
#include "base/log.h"

enum { TIME_TEXT_LENGTH = 24, TIME_JSON_HEAD = 35 };

/* What do() logs, in one pipe. */
static size_t logged(enum log_format format, enum log_level least, void (*act)(void), char *text,
                     size_t size)
{
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    auto_fd int in = ends[0];
    log_setup(ends[1], format, least);
    act();
    close(ends[1]);
    ssize_t length = read_full(in, text, size - 1);
    assert_true(length >= 0);
    text[length] = '\0';
    return (size_t)length;
}

static void one_of_each(void)
{
    struct cj_error err;
    error_set(&err, ERROR_CONFIG, 0, "it \"broke\"");
    log_info("all kinds", log_text("word", "plain"), log_text("words", "two words"),
             log_text("empty", ""), log_text("none", NULL), log_bytes("bytes", "a\0b", 3),
             log_int("low", INT64_MIN), log_uint("high", UINT64_MAX), log_bool("yes", true),
             log_duration("took", 1500000), log_size("room", 67108864), log_failure(&err));
}

static void people_get_fields_they_can_read(void **state)
{
    (void)state;
    char text[4096];
    logged(LOG_FORMAT_TEXT, LOG_LEVEL_INFO, one_of_each, text, sizeof(text));
    assert_string_equal(text + TIME_TEXT_LENGTH,
                        " info  all kinds word=plain words=\"two words\" empty=\"\" none=null "
                        "bytes=\"a\\x00b\" low=-9223372036854775808 high=18446744073709551615 "
                        "yes=true took=1.5ms room=64MiB error=\"it \\\"broke\\\"\"\n");
    assert_int_equal(text[TIME_TEXT_LENGTH - 1], 'Z');
    assert_int_equal(text[TIME_TEXT_LENGTH - 5], '.');
}

static void machines_get_typed_json(void **state)
{
    (void)state;
    char text[4096];
    logged(LOG_FORMAT_JSON, LOG_LEVEL_INFO, one_of_each, text, sizeof(text));
    assert_memory_equal(text, "{\"time\":\"20", 11);
    assert_string_equal(text + TIME_JSON_HEAD,
                        "Z\",\"level\":\"info\",\"message\":\"all kinds\",\"word\":\"plain\","
                        "\"words\":\"two words\",\"empty\":\"\",\"none\":null,"
                        "\"bytes\":\"a\\u0000b\",\"low\":-9223372036854775808,"
                        "\"high\":18446744073709551615,\"yes\":true,\"took_ns\":1500000,"
                        "\"room_bytes\":67108864,\"error\":\"it \\\"broke\\\"\"}\n");
}

static void at_every_level(void)
{
    log_debug("one");
    log_info("two");
    log_warn("three");
    log_error("four");
}

static void levels_below_the_least_are_left_out(void **state)
{
    (void)state;
    char text[1024];
    logged(LOG_FORMAT_TEXT, LOG_LEVEL_WARN, at_every_level, text, sizeof(text));
    assert_string_equal(text + TIME_TEXT_LENGTH + 13 + TIME_TEXT_LENGTH, " error four\n");
    text[TIME_TEXT_LENGTH + 13] = '\0';
    assert_string_equal(text + TIME_TEXT_LENGTH, " warn  three\n");
}

static void after_silence(void)
{
    log_silence();
    at_every_level();
    assert_false(log_enabled(LOG_LEVEL_ERROR));
}

static void silence_is_complete(void **state)
{
    (void)state;
    char text[64];
    assert_int_equal(logged(LOG_FORMAT_TEXT, LOG_LEVEL_DEBUG, after_silence, text, sizeof(text)),
                     0);
}

static void hostile(void)
{
    log_info("seen", log_text("name", "\x1b[2J\nx=\"1\"\\\x7f\xc2\x9b\xe2\x80\xae\xff\t\xc3\xa9"));
}

static void values_cannot_forge_lines_or_drive_terminals(void **state)
{
    (void)state;
    char text[1024];
    logged(LOG_FORMAT_TEXT, LOG_LEVEL_INFO, hostile, text, sizeof(text));
    assert_string_equal(text + TIME_TEXT_LENGTH,
                        " info  seen name=\"\\x1b[2J\\nx=\\\"1\\\"\\\\\\x7f\\u009b\\u202e\\xff\\t"
                        "\xc3\xa9\"\n");
}

static char huge[100000];

static void with_huge_values(void)
{
    errno = ENOENT;
    log_info("big", log_text("a", huge), log_text("b", huge), log_bytes("c", huge, 5000),
             log_int("d", 4), log_text("e", huge), log_int("f", 5));
    assert_int_equal(errno, ENOENT);
}

static size_t count(const char *text, const char *part)
{
    size_t found = 0;
    for (const char *at = strstr(text, part); at != NULL; at = strstr(at + 1, part))
        found++;
    return found;
}

static void long_lines_fit_into_one_atomic_write(void **state)
{
    (void)state;
    static const int fills[] = {'a', 1, 0xe4};
    for (size_t i = 0; i < COUNT_OF(fills); i++) {
        memset(huge, fills[i], sizeof(huge) - 1);
        char text[3 * PIPE_BUF];
        size_t length =
            logged(LOG_FORMAT_JSON, LOG_LEVEL_INFO, with_huge_values, text, sizeof(text));
        assert_true(length <= PIPE_BUF && length > PIPE_BUF / 2);
        assert_int_equal(count(text, "\n"), 1);
        assert_int_equal(count(text, "\"d\":4"), 1);
        assert_string_equal(text + length - 19, ",\"truncated\":true}\n");
        length = logged(LOG_FORMAT_TEXT, LOG_LEVEL_INFO, with_huge_values, text, sizeof(text));
        assert_true(length <= PIPE_BUF && length > PIPE_BUF / 2);
        assert_int_equal(count(text, "\n"), 1);
        assert_string_equal(text + length - 16, " truncated=true\n");
    }
    huge[0] = '\0';
}

static void at_a_character(void)
{
    char text[1100];
    memset(text, 'a', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    memcpy(text + 1022, "\xf0\x9f\x98\x80", 4);
    log_info("cut", log_text("t", text));
}

static void texts_are_cut_between_characters(void **state)
{
    (void)state;
    char text[PIPE_BUF];
    logged(LOG_FORMAT_JSON, LOG_LEVEL_INFO, at_a_character, text, sizeof(text));
    assert_int_equal(count(text, "ufffd"), 0);
    assert_int_equal(count(text, "aa\",\"truncated\":true}\n"), 1);
}

static void a_lost_line_changes_nothing(void **state)
{
    (void)state;
    auto_fd int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    log_setup(fd, LOG_FORMAT_JSON, LOG_LEVEL_INFO);
    errno = ENOENT;
    log_info("cannot be written");
    assert_int_equal(errno, ENOENT);
    log_silence();
}

static void *log_many(void *unused)
{
    (void)unused;
    for (int i = 0; i < 200; i++)
        log_info("from a thread", log_int("i", i), log_text("fill", "0123456789"));
    return NULL;
}

static void from_threads(void)
{
    pthread_t threads[3];
    for (size_t i = 0; i < COUNT_OF(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, log_many, NULL), 0);
    for (size_t i = 0; i < COUNT_OF(threads); i++)
        pthread_join(threads[i], NULL);
}

static void lines_of_threads_do_not_mix(void **state)
{
    (void)state;
    static char text[1 << 17];
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_true(fcntl(ends[1], F_SETPIPE_SZ, (int)sizeof(text)) >= (int)sizeof(text));
    log_setup(ends[1], LOG_FORMAT_TEXT, LOG_LEVEL_INFO);
    from_threads();
    close(ends[1]);
    ssize_t length = read_full(ends[0], text, sizeof(text) - 1);
    close(ends[0]);
    assert_true(length > 0);
    text[length] = '\0';
    assert_int_equal(count(text, "\n"), 600);
    assert_int_equal(count(text, " info  from a thread i="), 600);
    assert_int_equal(count(text, " fill=0123456789\n"), 600);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(people_get_fields_they_can_read),
        cmocka_unit_test(machines_get_typed_json),
        cmocka_unit_test(levels_below_the_least_are_left_out),
        cmocka_unit_test(silence_is_complete),
        cmocka_unit_test(values_cannot_forge_lines_or_drive_terminals),
        cmocka_unit_test(long_lines_fit_into_one_atomic_write),
        cmocka_unit_test(texts_are_cut_between_characters),
        cmocka_unit_test(a_lost_line_changes_nothing),
        cmocka_unit_test(lines_of_threads_do_not_mix),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
