/* api/judge_request.h: good bodies, and what FastAPI says of bad ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/attr.h"
#include "judge_request.h"
#include "request_fixture.h"

static enum judge_request_outcome parse(enum judge_body_kind kind, bool is_json, const char *text,
                                        size_t size, struct judge_request *request,
                                        struct buf *errors)
{
    char *body = malloc(size + 1);
    memcpy(body, text, size);
    return judge_request_parse(languages, kind, is_json, body, size, request, errors);
}

static void a_submission(void **state)
{
    (void)state;
    struct judge_request request;
    struct buf errors = {0};
    const char *body =
        "{\"type\":\"python\",\"solution\":\"a\\nb\",\"input\":null,\"expected_output\":\"\","
        "\"options\":{\"k\":\"v\"},\"sub_id\":\"x\",\"other\":[1,{}]}";
    assert_int_equal(parse(JUDGE_BODY_ONE, true, body, strlen(body), &request, &errors),
                     JUDGE_REQUEST_GOOD);
    assert_int_equal(request.count, 1);
    assert_string_equal(request.submissions[0].language->id, "python");
    assert_text(request.submissions[0].solution, "a\nb");
    assert_text(request.submissions[0].input, NULL);
    assert_text(request.submissions[0].expected_output, "");
    assert_text(request.submissions[0].sub_id, "x");
    judge_request_free(&request);
    body = "{\"type\":\"math\",\"solution\":\"\\ud800\"}";
    assert_int_equal(parse(JUDGE_BODY_ONE, true, body, strlen(body), &request, &errors),
                     JUDGE_REQUEST_GOOD);
    assert_null(request.submissions[0].language);
    assert_true(request.submissions[0].bad_text);
    judge_request_free(&request);
}

static void a_batch(void **state)
{
    (void)state;
    struct judge_request request;
    struct buf errors = {0}, body = {0};
    buf_append_text(&body, "{\"submissions\":[");
    for (int i = 0; i < 1000; i++)
        buf_printf(&body, "%s{\"type\":\"%s\",\"solution\":\"p%d\"}", i > 0 ? "," : "",
                   i % 2 != 0 ? "c++20" : "py", i);
    buf_append_text(&body, "]} \n");
    assert_int_equal(parse(JUDGE_BODY_BATCH, true, body.data, body.size, &request, &errors),
                     JUDGE_REQUEST_GOOD);
    assert_int_equal(request.count, 1000);
    assert_text(request.submissions[999].solution, "p999");
    assert_string_equal(request.submissions[999].language->id, "cpp20");
    judge_request_free(&request);
    buf_free(&body);
}

static const struct {
    enum judge_body_kind kind;
    const char *body, *errors;
} invalid[] = {
    {JUDGE_BODY_ONE, "",
     "{\"type\":\"missing\",\"loc\":[\"body\"],\"msg\":\"Field required\",\"input\":null}"},
    {JUDGE_BODY_ONE, "null",
     "{\"type\":\"missing\",\"loc\":[\"body\"],\"msg\":\"Field required\",\"input\":null}"},
    {JUDGE_BODY_ONE, "[1]",
     "{\"type\":\"model_attributes_type\",\"loc\":[\"body\"],\"msg\":\"Input should be a valid "
     "dictionary or object to "
     "extract fields from\",\"input\":[1]}"},
    {JUDGE_BODY_ONE, "{\"type\":\"python\"}",
     "{\"type\":\"missing\",\"loc\":[\"body\",\"solution\"],\"msg\":\"Field "
     "required\",\"input\":{\"type\":\"python\"}}"},
    {JUDGE_BODY_ONE, "{}",
     "{\"type\":\"missing\",\"loc\":[\"body\",\"type\"],\"msg\":\"Field required\",\"input\":{}},"
     "{\"type\":\"missing\",\"loc\":[\"body\",\"solution\"],\"msg\":\"Field "
     "required\",\"input\":{}}"},
    {JUDGE_BODY_ONE, "{\"solution\":1, \"type\":\"cobol9\",\"input\":[\"<\\u00e9\"]}",
     "{\"type\":\"literal_error\",\"loc\":[\"body\",\"type\"],\"msg\":\"Input should be 'python', "
     "'cpp' or "
     "'math'\",\"input\":\"cobol9\",\"ctx\":{\"expected\":\"'python', 'cpp' or 'math'\"}},"
     "{\"type\":\"string_type\",\"loc\":[\"body\",\"solution\"],\"msg\":\"Input should be a valid "
     "string\",\"input\":1},"
     "{\"type\":\"string_type\",\"loc\":[\"body\",\"input\"],\"msg\":\"Input should be a valid "
     "string\",\"input\":[\"<\xc3\xa9\"]}"},
    {JUDGE_BODY_ONE, "\xef\xbb\xbf{\"type\":\"p\\u0079thon\"}",
     "{\"type\":\"missing\",\"loc\":[\"body\",\"solution\"],\"msg\":\"Field "
     "required\",\"input\":{\"type\":\"python\"}}"},
    {JUDGE_BODY_ONE, "{\"type\":\"cpp\",\"solution\":null}",
     "{\"type\":\"string_type\",\"loc\":[\"body\",\"solution\"],\"msg\":\"Input should be a valid "
     "string\",\"input\":null}"},
    {JUDGE_BODY_ONE, "{\"type\":\"cpp\",\"solution\":\"\",\"options\":{\"a\":1}}",
     "{\"type\":\"string_type\",\"loc\":[\"body\",\"options\",\"a\"],\"msg\":\"Input should be a "
     "valid "
     "string\",\"input\":1}"},
    {JUDGE_BODY_ONE, "{\"type\":\"cpp\",}",
     "{\"type\":\"json_invalid\",\"loc\":[\"body\",14],\"msg\":\"JSON decode "
     "error\",\"input\":{},\"ctx\":{\"error\":\"Expecting property name enclosed in double "
     "quotes\"}}"},
    {JUDGE_BODY_ONE, "{} x",
     "{\"type\":\"json_invalid\",\"loc\":[\"body\",3],\"msg\":\"JSON decode "
     "error\",\"input\":{},\"ctx\":{\"error\":\"Extra data\"}}"},
    {JUDGE_BODY_BATCH, "{\"submissions\":[]}",
     "{\"type\":\"too_short\",\"loc\":[\"body\",\"submissions\"],\"msg\":\"List should have at "
     "least 1 item after "
     "validation, not "
     "0\",\"input\":[],\"ctx\":{\"field_type\":\"List\",\"min_length\":1,\"actual_length\":0}}"},
    {JUDGE_BODY_BATCH,
     "{\"type\":\"x\",\"submissions\":[{\"type\":\"cpp\",\"solution\":\"\"},{\"type\":\"cpp\","
     "\"solution\":2},3]}",
     "{\"type\":\"literal_error\",\"loc\":[\"body\",\"type\"],\"msg\":\"Input should be "
     "'batch'\",\"input\":\"x\",\"ctx\":{\"expected\":\"'batch'\"}},"
     "{\"type\":\"string_type\",\"loc\":[\"body\",\"submissions\",1,\"solution\"],\"msg\":\"Input "
     "should be a valid "
     "string\",\"input\":2},"
     "{\"type\":\"model_attributes_type\",\"loc\":[\"body\",\"submissions\",2],\"msg\":\"Input "
     "should be a valid "
     "dictionary or object to extract fields from\",\"input\":3}"},
    {JUDGE_BODY_BATCH, "{}",
     "{\"type\":\"missing\",\"loc\":[\"body\",\"submissions\"],\"msg\":\"Field "
     "required\",\"input\":{}}"},
    {JUDGE_BODY_BATCH, "{\"submissions\":{}}",
     "{\"type\":\"list_type\",\"loc\":[\"body\",\"submissions\"],\"msg\":\"Input should be a valid "
     "list\",\"input\":{}}"},
};

static void invalid_bodies(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(invalid); i++) {
        struct judge_request request;
        struct buf errors = {0}, expected = {0};
        assert_int_equal(parse(invalid[i].kind, true, invalid[i].body, strlen(invalid[i].body),
                               &request, &errors),
                         JUDGE_REQUEST_INVALID);
        buf_printf(&expected, "{\"detail\":[%s]}", invalid[i].errors);
        if (errors.size != expected.size || memcmp(errors.data, expected.data, errors.size) != 0)
            fail_msg("%s:\n%.*s", invalid[i].body, (int)errors.size, errors.data);
        buf_free(&errors);
        buf_free(&expected);
        judge_request_free(&request);
    }
}

/* Of a key that comes again only the last one counts, good or not. */
static void keys_that_come_again(void **state)
{
    static const struct {
        enum judge_body_kind kind;
        const char *body;
        bool good;
    } cases[] = {
        {JUDGE_BODY_ONE, "{\"type\":\"cobol9\",\"type\":\"cpp\",\"solution\":1,\"solution\":\"x\"}",
         true},
        {JUDGE_BODY_ONE, "{\"type\":\"cpp\",\"solution\":\"x\",\"type\":1}", false},
        {JUDGE_BODY_ONE,
         "{\"type\":\"cpp\",\"solution\":\"x\",\"options\":{\"a\":1},\"options\":null,\"input\":[],"
         "\"input\":\"\"}",
         true},
        {JUDGE_BODY_BATCH,
         "{\"type\":\"x\",\"submissions\":[1],\"type\":\"b\\u0061tch\",\"submissions\":[{\"type\":"
         "\"cpp\","
         "\"solution\":\"x\"}],\"sub_id\":1,\"sub_id\":\"\\ud800\"}",
         true},
        {JUDGE_BODY_BATCH,
         "{\"submissions\":[{\"type\":\"cpp\",\"solution\":\"x\"}],\"submissions\":[]}", false},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct judge_request request;
        struct buf errors = {0};
        enum judge_request_outcome outcome =
            parse(cases[i].kind, true, cases[i].body, strlen(cases[i].body), &request, &errors);
        if (outcome != (cases[i].good ? JUDGE_REQUEST_GOOD : JUDGE_REQUEST_INVALID))
            fail_msg("%s: %d %.*s", cases[i].body, outcome, (int)errors.size, errors.data);
        if (cases[i].good) {
            assert_int_equal(request.count, 1);
            assert_text(request.submissions[0].solution, "x");
        }
        buf_free(&errors);
        judge_request_free(&request);
    }
}

/* What Python 3.11 says of it, and at which character. */
static void bodies_that_are_no_json(void **state)
{
    static const struct {
        const char *body;
        int at;
        const char *words;
    } cases[] = {
        {"{", 1, "Expecting property name enclosed in double quotes"},
        {"{\"a\"", 4, "Expecting ':' delimiter"},
        {"{\"a\":", 5, "Expecting value"},
        {"{\"a\":1", 6, "Expecting ',' delimiter"},
        {"{\"a\":1,", 7, "Expecting property name enclosed in double quotes"},
        {"{\"a\":1]", 6, "Expecting ',' delimiter"},
        {"[1", 2, "Expecting ',' delimiter"},
        {"[1,", 3, "Expecting value"},
        {"[ ", 2, "Expecting value"},
        {"[1 2]", 3, "Expecting ',' delimiter"},
        {"{\"a\":tru}", 5, "Expecting value"},
        {"nul", 0, "Expecting value"},
        {"-", 0, "Expecting value"},
        {"1.", 1, "Extra data"},
        {"1e+", 1, "Extra data"},
        {"01", 1, "Extra data"},
        {"{\"a\":\"\\x\"}", 6, "Invalid \\\\escape"},
        {"{\"a\":\"\\u12\"}", 7, "Invalid \\\\uXXXX escape"},
        {"{\"a\":\"\\u12g4 \"}", 7, "Invalid \\\\uXXXX escape"},
        {"{\"a\":\"b", 5, "Unterminated string starting at"},
        {"{\"a\":\"b\\", 5, "Unterminated string starting at"},
        {"{\"a\":\"b\n\"}", 7, "Invalid control character at"},
        {"{\"\xc3\xa9\":x}", 5, "Expecting value"},
        {"[[{}, []], {\"k\": [{}]}] ]", 24, "Extra data"},
        {"{\"a\":NaN}", 5, "Expecting value"}, /* Python takes it */
        {"\xef\xbb\xbf{\"a\"", 4, "Expecting ':' delimiter"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct judge_request request;
        struct buf errors = {0}, expected = {0};
        assert_int_equal(
            parse(JUDGE_BODY_ONE, true, cases[i].body, strlen(cases[i].body), &request, &errors),
            JUDGE_REQUEST_INVALID);
        buf_printf(
            &expected,
            "{\"detail\":[{\"type\":\"json_invalid\",\"loc\":[\"body\",%d],\"msg\":\"JSON decode "
            "error\",\"input\":{},\"ctx\":{\"error\":\"%s\"}}]}",
            cases[i].at, cases[i].words);
        if (errors.size != expected.size || memcmp(errors.data, expected.data, errors.size) != 0)
            fail_msg("%s:\n%.*s", cases[i].body, (int)errors.size, errors.data);
        buf_free(&errors);
        buf_free(&expected);
        judge_request_free(&request);
    }
}

static void other_bodies(void **state)
{
    (void)state;
    struct judge_request request;
    struct buf errors = {0};
    assert_int_equal(parse(JUDGE_BODY_ONE, true, "{\"a\":\"\xff\"}", 9, &request, &errors),
                     JUDGE_REQUEST_UNREADABLE);
    judge_request_free(&request);
    assert_int_equal(parse(JUDGE_BODY_ONE, false, "{}", 2, &request, &errors),
                     JUDGE_REQUEST_INVALID);
    const char *expected =
        "{\"detail\":[{\"type\":\"model_attributes_type\",\"loc\":[\"body\"],\"msg\":\"Input "
        "should "
        "be a valid dictionary or object to extract fields from\",\"input\":\"{}\"}]}";
    assert_int_equal(errors.size, strlen(expected));
    assert_memory_equal(errors.data, expected, errors.size);
    buf_free(&errors);
    judge_request_free(&request);
}

static void content_types(void **state)
{
    (void)state;
    assert_true(judge_request_is_json(NULL));
    assert_true(judge_request_is_json(""));
    assert_true(judge_request_is_json("application/json"));
    assert_true(judge_request_is_json("Application/JSON; charset=utf-8"));
    assert_true(judge_request_is_json("application/vnd.api+json"));
    assert_false(judge_request_is_json("text/plain"));
    assert_false(judge_request_is_json("application/jsonp"));
    assert_false(judge_request_is_json("application/x-www-form-urlencoded"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_submission),         cmocka_unit_test(a_batch),
        cmocka_unit_test(invalid_bodies),       cmocka_unit_test(other_bodies),
        cmocka_unit_test(content_types),        cmocka_unit_test(bodies_that_are_no_json),
        cmocka_unit_test(keys_that_come_again),
    };
    return cmocka_run_group_tests(tests, languages_set_up, languages_tear_down);
}
