#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "http_head.h"

#include "base/attr.h"

static const struct http_limits wide = {
    .head_bytes = 64 * 1024, .target_bytes = 8 * 1024, .header_count = 100};

static int parse(struct http_head *head, const char *text, size_t size, struct http_fault *fault)
{
    struct http_scan scan = {0};
    ssize_t end = http_head_scan(&scan, text, size, &wide, fault);
    if (end < 0)
        return -1;
    assert_int_equal(end, size);
    return http_head_parse(head, text, size, &wide, fault);
}

static void good(struct http_head *head, const char *text)
{
    struct http_fault fault = {0};
    if (parse(head, text, strlen(text), &fault) < 0)
        fail_msg("%s: %d %s", text, fault.status, fault.reason);
}

static void bad(const char *text, int status)
{
    struct http_head head = {0};
    struct http_fault fault = {0};
    if (parse(&head, text, strlen(text), &fault) == 0)
        fail_msg("accepted: %s", text);
    if (fault.status != status)
        fail_msg("%s: %d %s", text, fault.status, fault.reason);
    assert_non_null(fault.reason);
    http_head_free(&head);
}

static void parts_are_told(void **state)
{
    (void)state;
    struct http_head head = {0};
    good(&head, "POST /a%2fB%41?c=%41 HTTP/1.1\r\nHost: h\r\nX-One:  \t a b \t\r\nEmpty:\r\n\r\n");
    assert_string_equal(head.method, "POST");
    assert_string_equal(head.target, "/a%2fB%41?c=%41");
    assert_string_equal(head.raw_path, "/a%2fB%41");
    assert_string_equal(head.path, "/a/BA");
    assert_string_equal(head.query, "c=%41");
    assert_int_equal(head.minor, 1);
    assert_int_equal(head.field_count, 3);
    assert_string_equal(head.fields[1].name, "X-One");
    assert_string_equal(head.fields[1].value, "a b");
    assert_string_equal(http_head_find(&head, "x-ONE"), "a b");
    assert_string_equal(http_head_find(&head, "empty"), "");
    assert_null(http_head_find(&head, "x-on"));
    assert_false(head.chunked);
    assert_int_equal(head.length, 0);
    http_head_free(&head);
}

/* The same struct reads one head after the other; nothing of the first is left. */
static void heads_are_read_one_after_the_other(void **state)
{
    (void)state;
    struct http_head head = {0};
    good(&head,
         "POST /a?b HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 7\r\n\r\n");
    assert_true(head.expects_continue);
    assert_int_equal(head.length, 7);
    good(&head, "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
    assert_true(head.chunked);
    good(&head, "GET / HTTP/1.0\r\n\r\n");
    assert_int_equal(head.minor, 0);
    assert_int_equal(head.field_count, 0);
    assert_null(head.query);
    assert_false(head.chunked);
    assert_false(head.expects_continue);
    assert_int_equal(head.length, 0);
    http_head_free(&head);
}

static void targets_have_paths(void **state)
{
    (void)state;
    static const struct {
        const char *line, *raw, *path, *query;
    } table[] = {
        {"GET / HTTP/1.1", "/", "/", NULL},
        {"GET /? HTTP/1.1", "/", "/", ""},
        {"GET //a/../b HTTP/1.1", "//a/../b", "//a/../b", NULL},
        {"GET /%e2%82%AC HTTP/1.1", "/%e2%82%AC", "/\xe2\x82\xac", NULL},
        {"GET /%25 HTTP/1.1", "/%25", "/%", NULL},
        {"GET /a%3Fb?c HTTP/1.1", "/a%3Fb", "/a?b", "c"},
        {"GET http://h/a?b HTTP/1.1", "/a", "/a", "b"},
        {"GET http://h HTTP/1.1", "/", "/", NULL},
        {"GET http://h?b HTTP/1.1", "/", "/", "b"},
        {"GET https://[::1]:8/a HTTP/1.1", "/a", "/a", NULL},
        {"OPTIONS * HTTP/1.1", "*", "*", NULL},
    };
    struct http_head head = {0};
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        char text[200];
        snprintf(text, sizeof(text), "%s\r\nHost: h\r\n\r\n", table[i].line);
        good(&head, text);
        assert_string_equal(head.raw_path, table[i].raw);
        assert_string_equal(head.path, table[i].path);
        if (table[i].query)
            assert_string_equal(head.query, table[i].query);
        else
            assert_null(head.query);
    }
    http_head_free(&head);
}

/* tests/e2e/test_http.py has a longer table. */
static void bad_heads_are_refused(void **state)
{
    (void)state;
    bad("GET / HTTP/1.1\r\n\r\n", 400);
    bad("GET / HTTP/1.1\nHost: h\r\n\r\n", 400);
    bad("GET / HTTP/1.1\r\nHost: h\r\nA: b\rc\r\n\r\n", 400);
    bad("GET / HTTP/1.1\r\nHost: h\r\nA : b\r\n\r\n", 400);
    bad("GET / HTTP/1.1\r\nHost: h\r\nA: b\r\n c\r\n\r\n", 400);
    bad("GET / HTTP/1.1\r\nHost: h\r\nA\r\n\r\n", 400);
    bad("GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 01x\r\n\r\n", 400);
    bad("GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 9223372036854775808\r\n\r\n", 413);
    bad("GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        400);
    bad("GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding:\r\n\r\n", 501);
    bad("GET / HTTP/3.0\r\nHost: h\r\n\r\n", 505);
    bad("GET / HTTP/1.1\r\nHost: h\r\nExpect: x\r\n\r\n", 417);
    bad("GET /%0 HTTP/1.1\r\nHost: h\r\n\r\n", 400);
    bad("GET /%00 HTTP/1.1\r\nHost: h\r\n\r\n", 400);
    bad("GET * HTTP/1.1\r\nHost: h\r\n\r\n", 400);
    bad("CONNECT h:1 HTTP/1.1\r\nHost: h\r\n\r\n", 501);
    bad("\r\n", 400);
}

static void large_lengths_are_exact(void **state)
{
    (void)state;
    struct http_head head = {0};
    good(&head, "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 922337203685477579\r\n\r\n");
    assert_int_equal(head.length, INT64_C(922337203685477579));
    good(&head, "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 000000000000000000000000010\r\n\r\n");
    assert_int_equal(head.length, 10);
    http_head_free(&head);
}

static void lists_have_tokens(void **state)
{
    (void)state;
    struct http_head head = {0};
    good(&head,
         "GET / HTTP/1.1\r\nHost: h\r\nA: one, TWO;q=1 ,,three\tfour\r\na: five\r\nB: one\r\n\r\n");
    assert_true(http_head_has(&head, "a", "one"));
    assert_true(http_head_has(&head, "a", "two"));
    assert_true(http_head_has(&head, "a", "three"));
    assert_true(http_head_has(&head, "A", "Five"));
    assert_false(http_head_has(&head, "a", "tw"));
    assert_false(http_head_has(&head, "a", "twos"));
    assert_false(http_head_has(&head, "a", "q=1"));
    assert_false(http_head_has(&head, "c", "one"));
    http_head_free(&head);
}

/* However the bytes are cut into two, the end is found at the same place, or the same is refused. */
static void the_end_is_found_in_pieces(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "GET / HTTP/1.1\r\nHost: h\r\n\r\nrest\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\n\n",
        "GET / HTTP/1.1\r\nA: \r\r\nHost: h\r\n\r\n",
        "GET /aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nA: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\rb\r\n\r\n",
    };
    const struct http_limits narrow = {.head_bytes = 40, .target_bytes = 40, .header_count = 9};
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        struct http_fault whole_fault = {0};
        struct http_scan whole = {0};
        size_t size = strlen(texts[i]);
        ssize_t wanted = http_head_scan(&whole, texts[i], size, &narrow, &whole_fault);
        for (size_t cut = 0; cut < size; cut++) {
            struct http_fault fault = {0};
            struct http_scan scan = {0};
            ssize_t found = http_head_scan(&scan, texts[i], cut, &narrow, &fault);
            if (found == 0)
                found = http_head_scan(&scan, texts[i], size, &narrow, &fault);
            assert_int_equal(found, wanted);
            assert_int_equal(fault.status, whole_fault.status);
            assert_ptr_equal(fault.reason, whole_fault.reason);
        }
    }
}

static void limits_are_exact(void **state)
{
    (void)state;
    static const char text[] = "GET /12 HTTP/1.1\r\nHost: h\r\n\r\n";
    struct http_limits limits = {
        .head_bytes = sizeof(text) - 1, .target_bytes = 3, .header_count = 1};
    for (int tight = 0; tight < 4; tight++) {
        struct http_scan scan = {0};
        struct http_head head = {0};
        struct http_fault fault = {0};
        struct http_limits now = limits;
        now.head_bytes -= tight == 1;
        now.target_bytes -= tight == 2;
        now.header_count -= tight == 3;
        ssize_t end = http_head_scan(&scan, text, sizeof(text) - 1, &now, &fault);
        int result = end > 0 ? http_head_parse(&head, text, (size_t)end, &now, &fault) : -1;
        assert_int_equal(result, tight ? -1 : 0);
        assert_int_equal(fault.status, tight == 0 ? 0 : tight == 2 ? 414 : 431);
        http_head_free(&head);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_are_told),
        cmocka_unit_test(heads_are_read_one_after_the_other),
        cmocka_unit_test(targets_have_paths),
        cmocka_unit_test(bad_heads_are_refused),
        cmocka_unit_test(large_lengths_are_exact),
        cmocka_unit_test(lists_have_tokens),
        cmocka_unit_test(the_end_is_found_in_pieces),
        cmocka_unit_test(limits_are_exact),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
