/* api/native_request.h: what is taken, and how what is wrong is named. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/clock.h"
#include "native_request.h"
#include "request_fixture.h"

static int parse(enum native_body_kind kind, const char *text, struct native_batch *batch,
                 struct cj_error *err)
{
    size_t size = strlen(text);
    char *body = malloc(size + 1);
    assert_non_null(body);
    memcpy(body, text, size + 1);
    return native_request_parse(languages, kind, body, size, batch, err);
}

static void a_request(void **state)
{
    (void)state;
    struct native_batch batch;
    struct cj_error err;
    const char *body =
        "{\"id\":\"i\",\"language\":\"c++20\",\"source\":\"int\\nmain\",\"limits\":{\"cpu_ms\":1,"
        "\"wall_ms\":2,\"memory_bytes\":3,\"stack_bytes\":4,\"processes\":5,\"file_bytes\":6,"
        "\"open_files\":7,\"output_bytes\":8},\"compare\":{\"mode\":\"floats\","
        "\"absolute_tolerance\":1e-6,\"relative_tolerance\":0.5,\"ignore_case\":true,"
        "\"line_end_blanks_count\":true,\"empty_lines_at_end_count\":true},\"stop\":\"first_"
        "failure\","
        "\"stream\":true,\"output\":{\"stdout_bytes\":0,\"stderr_bytes\":9,\"sha256\":true},"
        "\"deadline_ms\":10,\"cases\":[{\"id\":\"c\",\"input\":\"\",\"expected\":\"e\\u0000\"},"
        "{\"input_file\":\"f\",\"expected_file\":\"g\"},{}]}";
    if (parse(NATIVE_JUDGE, body, &batch, &err) < 0)
        fail_msg("%s", err.message);
    assert_int_equal(batch.count, 1);
    assert_true(batch.stream);
    const struct native_request *one = &batch.requests[0];
    assert_text(one->id, "i");
    assert_string_equal(one->language->id, "cpp20");
    assert_int_equal(one->file_count, 1);
    assert_memory_equal(one->files[0].data, "int\nmain", 9);
    assert_int_equal(one->limits.cpu_ns, NS_PER_MS);
    assert_int_equal(one->limits.wall_ns, 2 * NS_PER_MS);
    assert_int_equal(one->limits.memory_bytes, 3);
    assert_int_equal(one->limits.stack_bytes, 4);
    assert_int_equal(one->limits.processes, 5);
    assert_int_equal(one->limits.file_size_bytes, 6);
    assert_int_equal(one->limits.open_files, 7);
    assert_int_equal(one->output_bytes, 8);
    assert_int_equal(one->compare.mode, COMPARE_FLOATS);
    assert_true(one->compare.absolute_tolerance == 1e-6);
    assert_true(one->compare.relative_tolerance == 0.5);
    assert_true(one->compare.ignore_case && one->compare.line_end_blanks_count &&
                one->compare.empty_lines_at_end_count);
    assert_true(one->stop_at_first_failure && one->with_sha256);
    assert_int_equal(one->stdout_shown, 0);
    assert_int_equal(one->stderr_shown, 9);
    assert_int_equal(one->deadline_ns, 10 * NS_PER_MS);
    assert_int_equal(one->case_count, 3);
    assert_text(one->cases[0].id, "c");
    assert_text(one->cases[0].input, "");
    assert_int_equal(one->cases[0].expected.size, 2);
    assert_text(one->cases[1].input_file, "f");
    assert_text(one->cases[1].expected_file, "g");
    assert_text(one->cases[2].input, NULL);
    assert_text(one->cases[2].expected, NULL);
    native_batch_free(&batch);
}

static void what_is_left_out(void **state)
{
    (void)state;
    struct native_batch batch;
    struct cj_error err;
    assert_int_equal(parse(NATIVE_JUDGE, "{\"artifact\":\"a\",\"cases\":[{}]}", &batch, &err), 0);
    const struct native_request *one = &batch.requests[0];
    assert_null(one->language);
    assert_text(one->artifact, "a");
    assert_int_equal(one->file_count, 0);
    assert_int_equal(one->limits.cpu_ns, 0);
    assert_int_equal(one->output_bytes, 0);
    assert_int_equal(one->compare.mode, COMPARE_LINES);
    assert_int_equal(one->stdout_shown, 1000);
    assert_int_equal(one->stderr_shown, 1000);
    assert_false(one->stop_at_first_failure || one->stream || one->with_sha256);
    assert_int_equal(one->deadline_ns, 0);
    native_batch_free(&batch);
    assert_int_equal(parse(NATIVE_BUILD, "{\"language\":\"bash\",\"source\":\"\"}", &batch, &err),
                     0);
    assert_int_equal(batch.requests[0].case_count, 0);
    native_batch_free(&batch);
}

/* The main source is the one that is called as the language wants it, else the first. */
static void several_files(void **state)
{
    (void)state;
    struct native_batch batch;
    struct cj_error err;
    assert_int_equal(parse(NATIVE_BUILD,
                           "{\"language\":\"cpp\",\"files\":{\"a.h\":\"A\",\"main.cpp\":\"M\","
                           "\"b.h\":\"B\"}}",
                           &batch, &err),
                     0);
    assert_int_equal(batch.requests[0].file_count, 3);
    assert_string_equal(batch.requests[0].files[0].name, "main.cpp");
    assert_string_equal(batch.requests[0].files[0].data, "M");
    assert_string_equal(batch.requests[0].files[1].name, "a.h");
    native_batch_free(&batch);
    assert_int_equal(parse(NATIVE_BUILD,
                           "{\"language\":\"cpp\",\"files\":{\"x.cc\":\"X\",\"y.cc\":\"Y\"}}",
                           &batch, &err),
                     0);
    assert_string_equal(batch.requests[0].files[0].name, "x.cc");
    native_batch_free(&batch);
    assert_int_equal(parse(NATIVE_BUILD,
                           "{\"language\":\"cpp\",\"files\":{\"main.cpp\":\"\",\"a/b/..c\":\"\","
                           "\"a/b.h\":\"\",\"a.h\":\"\",\".x\":\"\",\"...\":\"\"}}",
                           &batch, &err),
                     0);
    assert_int_equal(batch.requests[0].file_count, 6);
    native_batch_free(&batch);
}

static void many(void **state)
{
    (void)state;
    struct native_batch batch;
    struct cj_error err;
    struct buf body = {0};
    buf_append_text(&body, "{\"stream\":true,\"submissions\":[");
    for (int i = 0; i < 100; i++) {
        buf_printf(&body, "%s{\"language\":\"py\",\"source\":\"p%d\",\"cases\":[", i > 0 ? "," : "",
                   i);
        for (int k = 0; k <= i; k++)
            buf_printf(&body, "%s{\"input\":\"%d\"}", k > 0 ? "," : "", k);
        buf_append_text(&body, "]}");
    }
    buf_append(&body, "]}", 3); /* and the NUL */
    assert_int_equal(parse(NATIVE_BATCH, body.data, &batch, &err), 0);
    assert_true(batch.stream);
    assert_int_equal(batch.count, 100);
    for (size_t i = 0; i < 100; i++)
        assert_int_equal(batch.requests[i].case_count, i + 1);
    assert_text(batch.requests[99].cases[99].input, "99");
    native_batch_free(&batch);
    buf_free(&body);
}

static void what_is_wrong_is_named(void **state)
{
#define PROGRAM      "\"language\":\"c\",\"source\":\"\""
#define CASES        "\"cases\":[{}]"
#define FILES(files) "{\"language\":\"c\",\"files\":{" files "}," CASES "}"
#define HALF         "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define LONG         HALF HALF HALF "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde"
    static const struct {
        enum native_body_kind kind;
        const char *body, *words;
    } cases[] = {
        {NATIVE_JUDGE, "{" CASES "}", "language (or artifact) is missing"},
        {NATIVE_JUDGE, "{\"language\":\"c\"," CASES "}", "source (or files) is missing"},
        {NATIVE_JUDGE, "{" PROGRAM "}", "cases is missing or empty"},
        {NATIVE_JUDGE, "{" PROGRAM ",\"cases\":[]}", "cases is missing or empty"},
        {NATIVE_JUDGE, "{" PROGRAM ",\"artifact\":\"a\"," CASES "}", "artifact takes the place"},
        {NATIVE_JUDGE, "{\"language\":\"cobol9\"}", "language: there is no language 'cobol9'"},
        {NATIVE_JUDGE, "{\"language\":\"\"}", "language: must be a text"},
        {NATIVE_JUDGE, "{" PROGRAM ",\"files\":{\"a\":\"\"}}", "files: source and files exclude"},
        {NATIVE_JUDGE, "{\"files\":{\"a\":\"\"},\"source\":\"\"}",
         "source: source and files exclude"},
        {NATIVE_JUDGE, "{\"files\":{\"\":\"\"}}", "files"},
        {NATIVE_JUDGE, "{\"files\":{\"a\\u0000\":\"\"}}", "NUL"},
        {NATIVE_JUDGE, "{\"files\":{\"/a\":\"\"}}",
         "files./a: the name of a file must be relative"},
        {NATIVE_JUDGE, "{\"files\":{\"a/\":\"\"}}",
         "files.a/: the name of a file must be relative"},
        {NATIVE_JUDGE, "{\"files\":{\"a//b\":\"\"}}", "must be relative"},
        {NATIVE_JUDGE, "{\"files\":{\"../x\":\"\"}}",
         "files.../x: the name of a file must not have . or .."},
        {NATIVE_JUDGE, "{\"files\":{\"a/./x\":\"\"}}", ". or .."},
        {NATIVE_JUDGE, "{\"files\":{\"a/..\":\"\"}}", ". or .."},
        {NATIVE_JUDGE, "{\"files\":{\".\":\"\"}}", ". or .."},
        {NATIVE_JUDGE, "{\"files\":{\"a/" LONG "x\":\"\"}}", "more than 255 bytes"},
        {NATIVE_JUDGE, "{\"files\":{\"" LONG "/" LONG "/" LONG "/" LONG "/123456\":\"\"}}",
         "more than 1024 bytes"},
        {NATIVE_JUDGE, FILES("\"main.c\":\"\",\"main.c\":\"\""), "files.main.c: is there twice"},
        {NATIVE_JUDGE, FILES("\"main.c\":\"\",\"a\":\"\",\"a\":\"\""), "files.a: is there twice"},
        {NATIVE_JUDGE, FILES("\"a.c\":\"\",\"main.c/a\":\"\""),
         "files.main.c/a: 'main.c' is a file"},
        {NATIVE_JUDGE, FILES("\"main.c\":\"\",\"b/c\":\"\",\"b!\":\"\",\"b\":\"\""),
         "files.b/c: 'b' is a file"},
        {NATIVE_BATCH, "{\"submissions\":[{\"files\":{\"/\":\"\"}}]}", "submissions[0].files./: "},
        {NATIVE_JUDGE, "{\"cases\":[{},{\"input\":1}]}", "cases[1].input"},
        {NATIVE_JUDGE, "{\"cases\":[{\"input\":\"\",\"input_file\":\"x\"}]}",
         "cases[0]: input and input_file exclude each other"},
        {NATIVE_JUDGE, "{\"cases\":[{\"expected\":\"\",\"expected_file\":\"x\"}]}",
         "expected and expected_file exclude each other"},
        {NATIVE_JUDGE, "{\"cases\":[{\"inptu\":\"\"}]}", "cases[0].inptu: there is no such field"},
        {NATIVE_JUDGE, "{\"limits\":{\"cpu_ms\":0}}", "limits.cpu_ms: must be 1 or more"},
        {NATIVE_JUDGE, "{\"limits\":{\"cpu_ms\":-1}}", "limits.cpu_ms"},
        {NATIVE_JUDGE, "{\"limits\":{\"cpu_ms\":18446744073709551615}}",
         "limits.cpu_ms: is too large"},
        {NATIVE_JUDGE, "{\"limits\":{\"cpu\":1}}", "limits.cpu: there is no such field"},
        {NATIVE_JUDGE, "{\"compare\":\"fuzzy\"}",
         "compare: must be exact, strip, lines, tokens or floats"},
        {NATIVE_JUDGE, "{\"compare\":{\"absolute_tolerance\":-1}}", "must not be negative"},
        {NATIVE_JUDGE, "{\"stop\":\"always\"}", "stop: must be never or first_failure"},
        {NATIVE_JUDGE, "{\"nosuch\":1}", "nosuch: there is no such field"},
        {NATIVE_JUDGE, "{\"id\":\"\\ud800\"}", "lone surrogate"},
        {NATIVE_JUDGE, "{\"id\":\"\xff\"}", "UTF-8"},
        {NATIVE_JUDGE, "[]", ""},
        {NATIVE_JUDGE, "{", ""},
        {NATIVE_JUDGE, "", ""},
        {NATIVE_BUILD, "{" PROGRAM "," CASES "}", "cases: there is no such field"},
        {NATIVE_BUILD, "{\"source\":\"\"}", "language is missing"},
        {NATIVE_BATCH, "{}", "submissions is missing"},
        {NATIVE_BATCH, "{\"submissions\":[]}", "submissions: must not be empty"},
        {NATIVE_BATCH, "{\"submissions\":[{" PROGRAM "," CASES "},{" PROGRAM "}]}",
         "submissions[1]: cases is missing"},
        {NATIVE_BATCH, "{\"submissions\":[{\"stream\":true," PROGRAM "," CASES "}]}",
         "stream stands beside submissions"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct native_batch batch;
        struct cj_error err = {0};
        if (parse(cases[i].kind, cases[i].body, &batch, &err) == 0)
            fail_msg("%s: taken", cases[i].body);
        assert_int_equal(err.domain, ERROR_REQUEST);
        if (strstr(err.message, cases[i].words) == NULL || err.message[0] == '\0')
            fail_msg("%s: %s", cases[i].body, err.message);
        native_batch_free(&batch);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request),
        cmocka_unit_test(what_is_left_out),
        cmocka_unit_test(several_files),
        cmocka_unit_test(many),
        cmocka_unit_test(what_is_wrong_is_named),
    };
    return cmocka_run_group_tests(tests, languages_set_up, languages_tear_down);
}
