#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "net/multipart.h"

#define BYTES(literal) literal, sizeof(literal) - 1
#define FORM           "Content-Disposition: form-data; "

/* ---- what happens, as text: "[name|filename|type]data." for each part ---- */

struct log {
    struct buf text;
    const char *refused; /* the handler does not want a part of this name */
};

static int log_begin(const struct multipart_part *part, void *arg, struct cj_error *err)
{
    struct log *log = arg;
    if (log->refused != NULL && part->name != NULL && strcmp(part->name, log->refused) == 0)
        return error_set(err, ERROR_SYSTEM, 28, "disk full");
    buf_printf(&log->text, "[%s|%s|%s]", part->name == NULL ? "-" : part->name,
               part->filename == NULL ? "-" : part->filename,
               part->content_type == NULL ? "-" : part->content_type);
    return 0;
}

static int log_data(const void *data, size_t size, void *arg, struct cj_error *err)
{
    struct log *log = arg;
    (void)err;
    assert_true(size > 0);
    buf_append(&log->text, data, size);
    return 0;
}

static int log_end(void *arg, struct cj_error *err)
{
    struct log *log = arg;
    (void)err;
    buf_append_char(&log->text, '.');
    return 0;
}

static const struct multipart_handler log_handler = {log_begin, log_data, log_end};

/* Feeds the body in pieces of so many bytes, the first one of another size. Each piece is a heap block
 * of its own, for ASan. */
static int feed_pieces(struct multipart *multipart, const char *body, size_t size, size_t first,
                       size_t piece, struct cj_error *err)
{
    for (size_t at = 0; at < size;) {
        size_t next = at == 0 && first > 0 ? first : piece;
        next = next > size - at ? size - at : next;
        char *copy = malloc(next);
        assert_non_null(copy);
        memcpy(copy, body + at, next);
        int result = multipart_feed(multipart, copy, next, err);
        free(copy);
        if (result < 0)
            return -1;
        at += next;
    }
    return multipart_end(multipart, err);
}

static void assert_parts(const char *boundary, const char *body, size_t size, size_t first,
                         size_t piece, const char *expected, const char *message)
{
    struct log log = {0};
    struct multipart *multipart;
    struct cj_error err = {0};
    assert_int_equal(multipart_new(boundary, &log_handler, &log, &multipart, &err), 0);
    int result = feed_pieces(multipart, body, size, first, piece, &err);
    multipart_free(multipart);
    buf_append_char(&log.text, '\0');
    if (message != NULL)
        assert_string_equal(err.message, message);
    else if (result < 0)
        fail_msg("%s: %s", body, err.message);
    assert_int_equal(result, message == NULL ? 0 : -1);
    if (expected != NULL)
        assert_string_equal(log.text.data, expected);
    buf_free(&log.text);
}

/* However the body is cut. */
static void assert_any_parts(const char *boundary, const char *body, size_t size,
                             const char *expected, const char *message)
{
    for (size_t first = 1; first <= size; first++)
        assert_parts(boundary, body, size, first, size, expected, message);
    for (size_t piece = 1; piece < 8; piece++)
        assert_parts(boundary, body, size, 0, piece, expected, message);
}

/* ---- bodies ---- */

static void parts_are_read_however_the_body_is_cut(void **state)
{
    (void)state;
    static const struct {
        const char *body;
        size_t size;
        const char *expected;
    } cases[] = {
        {BYTES("--b--"), ""},
        {BYTES("--b--\r\n"), ""},
        {BYTES("--b\r\n" FORM "name=\"file\"; filename=\"a.txt\"\r\n\r\ntext\r\n--b--\r\n"),
         "[file|a.txt|-]text."},
        {BYTES("--b\r\n" FORM "name=a\r\nContent-Type: text/x; q=1\r\n\r\n1\r\n"
               "--b\r\n" FORM "name=c\r\n\r\n\r\n--b--"),
         "[a|-|text/x; q=1]1.[c|-|-]."},
        /* text around the parts */
        {BYTES("before\r\n--bx\nbefore\r\n--b\r\n\r\n1\r\n--b--\r\nafter\r\n--b\r\n"), "[-|-|-]1."},
        {BYTES("\r\n--b\r\n\r\n1\r\n--b--"), "[-|-|-]1."},
        {BYTES("\n--b\r\n\r\n1\r\n--b--"), "[-|-|-]1."},
        /* empty parts, with and without a line break of their own */
        {BYTES("--b\r\n\r\n\r\n--b--"), "[-|-|-]."},
        {BYTES("--b\r\n\r\n--b--"), "[-|-|-]."},
        {BYTES("--b\r\n\r\n--b\r\nA: b\r\n\r\n--b--"), "[-|-|-].[-|-|-]."},
        /* what looks like a boundary */
        {BYTES("--b\r\n\r\n\r\n--c\r\n--\r\n-\r\r\n\n--b\n--bb\r\n--b-x\r\n--b--"),
         "[-|-|-]\r\n--c\r\n--\r\n-\r\r\n\n--b\n--bb\r\n--b-x."},
        {BYTES("--b\r\n\r\n--bb\r\n-\r\n--b-\r\n--b--"), "[-|-|-]--bb\r\n-\r\n--b-."},
        {BYTES("--b\r\n\r\n-\r\n--b--"), "[-|-|-]-."},
        {BYTES("--b\r\n\r\n\r\r\n--b--"), "[-|-|-]\r."},
        {BYTES("--b\r\n\r\n\r\n\r\n--b--"), "[-|-|-]\r\n."},
        /* white space behind a boundary, headers that go on */
        {BYTES("--b \t\r\nA: 1\r\nCONTENT-disposition:form-data;\r\n\tname=x\r\n \r\n\r\n1\r\n"
               "--b-- "),
         "[x|-|-]1."},
        /* lines that end with LF alone */
        {BYTES("--b\n" FORM "name=a\n\n1\r\n-b\r\n2\r\n--b\n\n3\n--b--\n"),
         "[a|-|-]1\r\n-b\r\n2\r.[-|-|-]3."},
        {BYTES("--b\r\n" FORM "name=a\n\n1\n--b--\r\n--b--"), "[a|-|-]1\n--b--."},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        assert_any_parts("b", cases[i].body, cases[i].size, cases[i].expected, NULL);
}

static void any_byte_is_data(void **state)
{
    (void)state;
    char body[400] = "--b\r\n\r\n";
    char expected[400] = "[-|-|-]";
    size_t begin = strlen(body), size = begin;
    for (int round = 0; round < 256; round++)
        body[size++] = (char)round;
    memcpy(expected + 7, body + begin, 256);
    memcpy(body + size, "\r\n--b--", 7);
    struct log log = {0};
    struct multipart *multipart;
    assert_int_equal(multipart_new("b", &log_handler, &log, &multipart, NULL), 0);
    assert_int_equal(feed_pieces(multipart, body, size + 7, 0, 3, NULL), 0);
    assert_int_equal(log.text.size, 7 + 256 + 1);
    assert_memory_equal(log.text.data, expected, 7 + 256);
    multipart_free(multipart);
    buf_free(&log.text);
}

static void a_broken_body_is_refused_with_a_reason(void **state)
{
    (void)state;
    static const struct {
        const char *body;
        size_t size;
        const char *message;
    } cases[] = {
        {BYTES("x"), "no boundary in the body"},
        {BYTES("--bb--"), "no boundary in the body"},
        {BYTES("x--b--"), "no boundary in the body"},
        {BYTES("--b\r\n"), "the body ends before the closing boundary"},
        {BYTES("--b\r\n\r\ntext"), "the body ends before the closing boundary"},
        {BYTES("--b\r\n\r\ntext\r\n--b"), "the body ends before the closing boundary"},
        {BYTES("--b\r\n\r\ntext\r\n--b-"), "the body ends before the closing boundary"},
        {BYTES("--b x\r\n\r\n"), "text behind a boundary"},
        {BYTES("--b\r\n\r\n1\r\n--b\t--\r\n"), "text behind a boundary"},
        {BYTES("--b\rx\r\n\r\n"), "text behind a boundary"},
        {BYTES("--b\r\r\n\r\n"), "text behind a boundary"},
        {BYTES("--b--x\r\n--b--"), "text behind a boundary"},
        {BYTES("--b\r\n\r\n1\r\n--b-- \tx"), "text behind a boundary"},
        {BYTES("--b\r\n\t\r\nA: x\r\n\r\n"), "a header line that is none"},
        {BYTES("--b\r\nA: x\r\n\r\r\nB: x\r\n\r\n"), "a header line that is none"},
        {BYTES("--b\r\nA\"B: x\r\n\r\n"), "a header line that is none"},
        {BYTES("--b\r\nno colon\r\n\r\n"), "a header line that is none"},
        {BYTES("--b\r\n: x\r\n\r\n"), "a header line that is none"},
        {BYTES("--b\r\nA : x\r\n\r\n"), "a header line that is none"},
        {BYTES("--b\r\n A: x\r\n\r\n"), "a header line that is none"},
        {BYTES("--b\r\nA: x\ry\r\n\r\n"), "a header line that is none"},
        {BYTES("--b\r\nA: x\0y\r\n\r\n"), "a control character in a header"},
        {BYTES("--b\r\nA: \x7f\r\n\r\n"), "a control character in a header"},
        {BYTES("--b\r\n" FORM "name=a\r\n" FORM "name=b\r\n\r\n"),
         "two Content-Disposition headers in one part"},
        {BYTES("--b\r\nContent-Transfer-Encoding: Quoted-Printable\r\n\r\n"),
         "Content-Transfer-Encoding quoted-printable"},
        {BYTES("--b\r\n" FORM "name=\"a\r\n\r\n"), "Content-Disposition: a quote is missing"},
        {BYTES("--b\r\n" FORM "name=a; name=b\r\n\r\n"),
         "Content-Disposition: a parameter stands there twice"},
        {BYTES("--b\r\nContent-Disposition:\r\n\r\n"), "Content-Disposition: empty"},
        {BYTES("--b\r\n" FORM "name\r\n\r\n"),
         "Content-Disposition: a parameter without a name or value"},
        {BYTES("--b\r\n" FORM "name=\r\n\r\n"), "Content-Disposition: a parameter without a value"},
        {BYTES("--b\r\n" FORM "name=a b\r\n\r\n"), "Content-Disposition: a semicolon is missing"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char message[200] = "multipart: ";
        memcpy(message + strlen(message), cases[i].message, strlen(cases[i].message) + 1);
        assert_any_parts("b", cases[i].body, cases[i].size, NULL, message);
    }
}

static void headers_are_limited(void **state)
{
    (void)state;
    for (int over = 0; over < 2; over++) {
        char *body = calloc(1, MULTIPART_HEADERS_SIZE + 100);
        assert_non_null(body);
        size_t size = (size_t)(stpcpy(body, "--b\r\nA: ") - body);
        size_t fill = MULTIPART_HEADERS_SIZE - strlen("A: \r\n\r\n") + (size_t)over;
        memset(body + size, 'x', fill);
        size = (size_t)(stpcpy(body + size + fill, "\r\n\r\n1\r\n--b--") - body);
        assert_parts("b", body, size, 0, 1000, over == 0 ? "[-|-|-]1." : "",
                     over == 0 ? NULL : "multipart: headers are too long");
        free(body);
    }
}

static void the_handler_may_end_it(void **state)
{
    (void)state;
    static const char body[] = "--b\r\n" FORM "name=a\r\n\r\n1\r\n--b\r\n" FORM "name=c\r\n\r\n2";
    struct log log = {.refused = "c"};
    struct multipart *multipart;
    struct cj_error err;
    assert_int_equal(multipart_new("b", &log_handler, &log, &multipart, &err), 0);
    assert_int_equal(multipart_feed(multipart, body, strlen(body), &err), -1);
    assert_string_equal(err.message, "disk full");
    assert_int_equal(err.domain, ERROR_SYSTEM);
    assert_memory_equal(log.text.data, "[a|-|-]1.", log.text.size);
    multipart_free(multipart);
    buf_free(&log.text);
}

/* ---- names ---- */

static void names_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *disposition, *expected;
    } cases[] = {
        {"form-data; name=\"file\"; filename=\"a b.txt\"", "[file|a b.txt|-]."},
        {"FORM-DATA;NAME=file;FileName=A.txt;", "[file|A.txt|-]."},
        {"form-data; name=\"\"; filename=\"\"", "[||-]."},
        {"form-data ; name = \"x\" ; a=\"\"", "[x|-|-]."},
        {"form-data", "[-|-|-]."},
        {"attachment; name=x; filename=y", "[-|-|-]."},
        {"form-data; filename=\"a\\\"b\\\\c.txt\"", "[-|a\"b\\c.txt|-]."},
        {"form-data; filename=\"C:\\dev\\go.txt\"", "[-|C:\\dev\\go.txt|-]."},
        {"form-data; filename=\"../a/b\"", "[-|../a/b|-]."},
        {"form-data; filename=\"\xe4\xb8\xad;=\xff.txt\"", "[-|\xe4\xb8\xad;=\xff.txt|-]."},
        {"form-data; filename*=UTF-8''%e4%B8%ad%20x.txt", "[-|\xe4\xb8\xad x.txt|-]."},
        {"form-data; filename=\"a\"; filename*=utf-8'en'b%27", "[-|b'|-]."},
        {"form-data; filename*=utf-8'en'b; filename=\"a\"", "[-|b|-]."},
        /* an extended name that cannot be read does not count */
        {"form-data; filename=\"a\"; filename*=ISO-8859-1''b%e9", "[-|a|-]."},
        {"form-data; filename=\"a\"; filename*=UTF-8''b%e9", "[-|a|-]."},
        {"form-data; filename=\"a\"; filename*=UTF-8''b%0", "[-|a|-]."},
        {"form-data; filename=\"a\"; filename*=UTF-8''b%0a", "[-|a|-]."},
        {"form-data; filename=\"a\"; filename*=UTF-8''b%00", "[-|a|-]."},
        {"form-data; filename=\"a\"; filename*=UTF-8''b%7F", "[-|a|-]."},
        {"form-data; filename=\"a\"; filename*=UTF-8''b%g0", "[-|a|-]."},
        {"form-data; filename*=UTF-8'b", "[-|-|-]."},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        auto_buf struct buf body = {0};
        buf_printf(&body, "--b\r\nContent-Disposition: %s\r\n\r\n\r\n--b--", cases[i].disposition);
        assert_parts("b", body.data, body.size, 0, body.size, cases[i].expected, NULL);
    }
}

static void a_boundary_is_found(void **state)
{
    (void)state;
#define SEVENTY "0123456789012345678901234567890123456789012345678901234567890123456789"
    static const struct {
        const char *content_type, *boundary, *message;
    } cases[] = {
        {"multipart/form-data; boundary=b", "b", NULL},
        {"Multipart/Form-Data;charset=utf-8;BOUNDARY=\"----=_Part 1:2\"", "----=_Part 1:2", NULL},
        {"multipart/form-data; boundary=" SEVENTY, SEVENTY, NULL},
        {"multipart/form-data; boundary=x" SEVENTY, NULL,
         "Content-Type: a boundary that cannot be one"},
        {"multipart/form-data; boundary=\"b \"", NULL,
         "Content-Type: a boundary that cannot be one"},
        {"multipart/form-data; boundary=\"\"", NULL, "Content-Type: a boundary that cannot be one"},
        {"multipart/form-data; boundary=\"a\\\"b\"", NULL,
         "Content-Type: a boundary that cannot be one"},
        {"multipart/form-data; boundary=\"a\nb\"", NULL,
         "Content-Type: a boundary that cannot be one"},
        {"multipart/form-data; boundary=a=b", NULL, "Content-Type: a semicolon is missing"},
        {"multipart/form-data", NULL, "Content-Type: no boundary"},
        {"multipart/mixed; boundary=b", NULL, "Content-Type is not multipart/form-data"},
        {"application/json", NULL, "Content-Type is not multipart/form-data"},
        {"", NULL, "Content-Type: empty"},
        {NULL, NULL, "no Content-Type"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char boundary[MULTIPART_BOUNDARY_SIZE];
        struct cj_error err = {0};
        int result = multipart_boundary(cases[i].content_type, boundary, &err);
        assert_int_equal(result, cases[i].boundary == NULL ? -1 : 0);
        if (result == 0)
            assert_string_equal(boundary, cases[i].boundary);
        else
            assert_string_equal(err.message, cases[i].message);
    }
}

static void long_boundaries_work(void **state)
{
    (void)state;
    static const char body[] =
        "--" SEVENTY "\r\n\r\n--" SEVENTY "9\r\n" SEVENTY "\r\n--" SEVENTY "--";
    assert_any_parts(SEVENTY, body, strlen(body), "[-|-|-]--" SEVENTY "9\r\n" SEVENTY ".", NULL);
}

static void too_many_parameters_are_refused(void **state)
{
    (void)state;
    auto_buf struct buf body = {0};
    buf_append_text(&body, "--b\r\nContent-Disposition: form-data");
    for (int i = 0; i < 33; i++)
        buf_printf(&body, "; a%d=1", i);
    buf_append_text(&body, "\r\n\r\n");
    assert_parts("b", body.data, body.size, 0, body.size, NULL,
                 "multipart: Content-Disposition: too many parameters");
    buf_cut(&body, 0);
    buf_append_text(&body, "--b\r\nContent-Disposition: form-data; name=\"");
    for (int i = 0; i < 8192; i++)
        buf_append_char(&body, 'x');
    buf_append_text(&body, "\"\r\n\r\n");
    assert_parts("b", body.data, body.size, 0, body.size, NULL,
                 "multipart: Content-Disposition: too long");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_are_read_however_the_body_is_cut),
        cmocka_unit_test(any_byte_is_data),
        cmocka_unit_test(a_broken_body_is_refused_with_a_reason),
        cmocka_unit_test(headers_are_limited),
        cmocka_unit_test(the_handler_may_end_it),
        cmocka_unit_test(names_are_read),
        cmocka_unit_test(a_boundary_is_found),
        cmocka_unit_test(long_boundaries_work),
        cmocka_unit_test(too_many_parameters_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
