#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "http_parser.h"

#include "base/buf.h"

static const struct http_limits limits = {
    .head_bytes = 1000, .target_bytes = 100, .header_count = 10};

/* Feeds text, at most step new bytes at a time, and writes down what comes out. */
static void run(const char *text, size_t step, struct buf *log)
{
    struct http_parser parser = {.limits = limits};
    size_t size = strlen(text), start = 0, end = 0;
    for (;;) {
        size_t used, piece;
        enum http_event event = http_parser_next(&parser, text + start, end - start, &used, &piece);
        assert_true(used <= end - start && piece <= used);
        if (event == HTTP_EVENT_HEAD)
            buf_printf(log, "%s %s{", parser.head.method, parser.head.path);
        if (event == HTTP_EVENT_BODY)
            buf_append(log, text + start + used - piece, piece);
        if (event == HTTP_EVENT_END)
            buf_append_text(log, "}");
        start += used;
        if (event == HTTP_EVENT_BAD) {
            buf_printf(log, "!%d %s", parser.fault.status, parser.fault.reason);
            break;
        }
        if (event != HTTP_EVENT_MORE || (used > 0 && start < end))
            continue;
        if (end == size)
            break;
        end += size - end < step ? size - end : step;
    }
    http_parser_free(&parser);
}

static void expect(const char *text, const char *wanted)
{
    for (size_t step = 1; step <= strlen(text); step++) {
        auto_buf struct buf log = {0};
        run(text, step, &log);
        buf_append_char(&log, '\0');
        if (strcmp(log.data, wanted) != 0)
            fail_msg("in steps of %zu: %s\ninstead of %s", step, log.data, wanted);
    }
}

#define POST    "POST / HTTP/1.1\r\nHost: h\r\n"
#define CHUNKED POST "Transfer-Encoding: chunked\r\n\r\n"
#define GET     "GET /b HTTP/1.1\r\nHost: h\r\n\r\n"

static void bodies_of_known_length(void **state)
{
    (void)state;
    expect(POST "Content-Length: 5\r\n\r\nabcde", "POST /{abcde}");
    expect(POST "Content-Length: 5\r\n\r\nabcd", "POST /{abcd");
    expect(POST "Content-Length: 0\r\n\r\n" GET, "POST /{}GET /b{}");
    expect(POST "\r\n" GET, "POST /{}GET /b{}");
    expect(POST "Content-Length: 3\r\n\r\nabc" GET GET, "POST /{abc}GET /b{}GET /b{}");
}

static void chunked_bodies(void **state)
{
    (void)state;
    expect(CHUNKED "0\r\n\r\n" GET, "POST /{}GET /b{}");
    expect(CHUNKED "3\r\nabc\r\n0A\r\n0123456789\r\n0\r\n\r\n" GET,
           "POST /{abc0123456789}GET /b{}");
    expect(CHUNKED "3;a=\"b;c\"\r\nabc\r\n0;d\r\nE: f\r\nG:\r\n\r\n" GET, "POST /{abc}GET /b{}");
    expect(CHUNKED "3\r\nabc", "POST /{abc");
    expect(CHUNKED "0\r\nE: f\r\n", "POST /{");
}

static void bad_chunks(void **state)
{
    (void)state;
    expect(CHUNKED "\r\n", "POST /{!400 a chunk's size is not valid");
    expect(CHUNKED "3 \r\nabc\r\n", "POST /{!400 a chunk's size is not valid");
    expect(CHUNKED "3\nabc", "POST /{!400 a chunk's size is not valid");
    expect(CHUNKED "3\r\nabcd\r\n", "POST /{abc!400 a chunk's line does not end with CR LF");
    expect(CHUNKED "3\r\nabc\n", "POST /{abc!400 a chunk's line does not end with CR LF");
    expect(CHUNKED "00000000000000003\r\nabc", "POST /{!400 a chunk's size is not valid");
    expect(CHUNKED "0\r\n a: b\r\n\r\n", "POST /{!400 a trailer's name is not valid");
    expect(CHUNKED "0\r\na: b\n\r\n", "POST /{!400 a trailer has a control character");
    expect(CHUNKED "0\r\na: b\r\n\n", "POST /{!400 a trailer's name is not valid");
}

static void between_requests(void **state)
{
    (void)state;
    expect("\r\n" GET "\r\n\r\n" GET, "GET /b{}GET /b{}");
    expect("\r\n\r\n\r\n\r\n" GET, "GET /b{}");
    expect("\r\n\r\n\r\n\r\n\r\n" GET, "!400 empty lines before the request");
    expect("\rGET", "!400 CR without LF");
    expect("\n" GET, "!400 this is no HTTP request");
    expect("\x16\x03", "!400 this is no HTTP request");
    expect(GET " " GET, "GET /b{}!400 this is no HTTP request");
    expect("", "");
}

/* Extensions and trailers count together. */
static void what_is_thrown_away_is_bounded(void **state)
{
    (void)state;
    auto_buf struct buf text = {0}, log = {0};
    buf_append_text(&text, CHUNKED);
    for (int i = 0; i < 11; i++)
        buf_printf(&text, "1;%099d\r\na\r\n", 0);
    buf_append_char(&text, '\0');
    run(text.data, 7, &log);
    buf_append_char(&log, '\0');
    assert_string_equal(log.data, "POST /{aaaaaaaaaa!400 the chunks' extensions are too large");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bodies_of_known_length),
        cmocka_unit_test(chunked_bodies),
        cmocka_unit_test(bad_chunks),
        cmocka_unit_test(between_requests),
        cmocka_unit_test(what_is_thrown_away_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
