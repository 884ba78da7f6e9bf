/* Answers of POST /run, byte for byte, in one piece and in many. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/json_writer.h"
#include "rest_result.h"

static char *answer_of(const struct rest_request *request, const struct exec_result *results,
                       size_t *pieces)
{
    struct rest_answer *answer;
    struct cj_error err;
    struct buf text = {0};
    if (rest_answer_new(request, results, &answer, &err) < 0)
        fail_msg("%s", err.message);
    *pieces = 0;
    bool more = true;
    while (more) {
        size_t before = text.size;
        size_t rest = rest_answer_rest(answer);
        more = rest_answer_next(answer, &text);
        assert_true(rest - rest_answer_rest(answer) <= REST_ANSWER_PIECE);
        assert_true(text.size - before <= 6 * REST_ANSWER_PIECE);
        assert_true(text.size > before || !more);
        ++*pieces;
    }
    rest_answer_free(answer);
    char *taken = NULL;
    assert_int_equal(buf_take(&text, &taken, NULL, &err), 0);
    return taken;
}

/* The answer to one request is exactly this. */
static void answers(const struct rest_request *request, const struct exec_result *results,
                    const char *expected)
{
    size_t pieces;
    char *text = answer_of(request, results, &pieces);
    assert_string_equal(text, expected);
    free(text);
}

static char *text_of(const char *literal)
{
    return (char *)(uintptr_t)literal; /* never freed here */
}

static void what_is_empty_is_left_out(void **state)
{
    (void)state;
    struct rest_command command = {0};
    struct rest_request request = {.commands = &command, .command_count = 1};
    struct exec_result result = {.status = EXEC_ACCEPTED, .error = text_of("")};
    answers(&request, &result,
            "[{\"status\":\"Accepted\",\"exitStatus\":0,\"time\":0,\"memory\":0,\"runTime\":0}]\n");
    result.status = EXEC_FILE_ERROR;
    struct exec_file_error errors[] = {{text_of("a"), EXEC_COPY_OUT_OPEN, text_of("")},
                                       {text_of("b"), EXEC_SYMLINK, NULL}};
    result.file_errors = errors;
    result.file_error_count = 2;
    answers(&request, &result,
            "[{\"status\":\"File Error\",\"exitStatus\":0,\"time\":0,\"memory\":0,\"runTime\":0,"
            "\"fileError\":[{\"name\":\"a\",\"type\":\"CopyOutOpen\"},"
            "{\"name\":\"b\",\"type\":\"Symlink\"}]}]\n");
}

static void everything_has_its_place(void **state)
{
    (void)state;
    struct rest_command commands[2] = {{0}, {0}};
    struct rest_request request = {.commands = commands, .command_count = 2};
    struct exec_output files[] = {{text_of("stdout"), text_of("a<b>&\n\xff\"\0\x7f"), 10, 0},
                                  {text_of("Z"), NULL, 0, 0},
                                  {text_of("stderr"), text_of("\xe2\x80\xa8"), 3, 0}};
    struct exec_stored ids[] = {{text_of("b"), text_of("IDB")}, {text_of("a"), text_of("IDA")}};
    struct exec_file_error error = {text_of("f"), EXEC_COLLECT_SIZE_EXCEEDED,
                                    text_of("Output Limit Exceeded")};
    struct exec_result results[2] = {
        {.status = EXEC_SIGNALLED,
         .exit_status = 11,
         .error = text_of("why \"so\""),
         .cpu_ns = 1,
         .memory_bytes = UINT64_MAX,
         .wall_ns = 3,
         .process_peak = 4,
         .files = files,
         .file_count = 3,
         .file_ids = ids,
         .file_id_count = 2,
         .file_errors = &error,
         .file_error_count = 1},
        {.status = EXEC_NONZERO_EXIT, .exit_status = 255},
    };
    answers(&request, results,
            "[{\"status\":\"Signalled\",\"exitStatus\":11,\"error\":\"why \\\"so\\\"\",\"time\":1,"
            "\"memory\":18446744073709551615,\"runTime\":3,\"procPeak\":4,"
            "\"files\":{\"Z\":\"\",\"stderr\":\"\\u2028\","
            "\"stdout\":\"a\\u003cb\\u003e\\u0026\\n\\ufffd\\\"\\u0000\x7f\"},"
            "\"fileIds\":{\"a\":\"IDA\",\"b\":\"IDB\"},"
            "\"fileError\":[{\"name\":\"f\",\"type\":\"CollectSizeExceeded\","
            "\"message\":\"Output Limit Exceeded\"}]},"
            "{\"status\":\"Nonzero Exit Status\",\"exitStatus\":255,\"time\":0,\"memory\":0,"
            "\"runTime\":0}]\n");
}

static void of_equal_names_the_last_counts(void **state)
{
    (void)state;
    struct rest_command command = {0};
    struct rest_request request = {.commands = &command, .command_count = 1};
    struct exec_output files[] = {{text_of("x"), text_of("1"), 1, 0},
                                  {text_of("x"), text_of("2"), 1, 0}};
    struct exec_stored ids[] = {{text_of("y"), text_of("1")}, {text_of("y"), text_of("2")}};
    struct exec_result result = {.status = EXEC_ACCEPTED,
                                 .files = files,
                                 .file_count = 2,
                                 .file_ids = ids,
                                 .file_id_count = 2};
    answers(&request, &result,
            "[{\"status\":\"Accepted\",\"exitStatus\":0,\"time\":0,\"memory\":0,\"runTime\":0,"
            "\"files\":{\"x\":\"2\"},\"fileIds\":{\"y\":\"2\"}}]\n");
}

static void base64_where_it_was_asked_for(void **state)
{
    (void)state;
    struct rest_file collectors[] = {
        {.kind = REST_FILE_COLLECTOR, .text = {"out", 3}, .base64 = true},
        {.kind = REST_FILE_COLLECTOR, .text = {"err", 3}},
    };
    struct rest_command command = {.files = collectors, .file_count = 2};
    struct rest_pipe pipe = {.name = "p", .base64 = true};
    struct rest_request request = {
        .commands = &command, .command_count = 1, .pipes = &pipe, .pipe_count = 1};
    struct exec_output files[] = {{text_of("out"), text_of("\xff\0"), 2, 0},
                                  {text_of("err"), text_of("\xff"), 1, 0},
                                  {text_of("p"), text_of("abc"), 3, 0}};
    struct exec_result result = {.status = EXEC_ACCEPTED, .files = files, .file_count = 3};
#define BEGIN "[{\"status\":\"Accepted\",\"exitStatus\":0,\"time\":0,\"memory\":0,\"runTime\":0,"
    answers(&request, &result,
            BEGIN "\"files\":{\"err\":\"\\ufffd\",\"out\":\"/wA=\",\"p\":\"YWJj\"}}]\n");
    command.base64 = true;
    answers(&request, &result,
            BEGIN "\"files\":{\"err\":\"/w==\",\"out\":\"/wA=\",\"p\":\"YWJj\"}}]\n");
}

/* However it is cut, it is what escaping the whole would have given. */
static void large_outputs_come_in_pieces(void **state)
{
    (void)state;
    enum { SIZE = 1000003 };
    static const char *const patterns[] = {
        "a",
        "\xc3\xa4",
        "\xe2\x82\xac",
        "\xf0\x9f\x98\x80",
        "\xff",
        "\xf0\x9f",
        "\x80",
        "\xe2\x82",
        "<",
        "a\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\n\xc3",
        "\xe2\x80\xa8",
    };
    char *data = malloc(SIZE);
    assert_non_null(data);
    for (size_t i = 0; i < COUNT_OF(patterns); i++) {
        size_t length = strlen(patterns[i]);
        for (size_t k = 0; k < SIZE; k++)
            data[k] = patterns[i][k % length];
        for (int base64 = 0; base64 < 2; base64++) {
            struct rest_command command = {.base64 = base64 == 1};
            struct rest_request request = {.commands = &command, .command_count = 1};
            struct exec_output file = {text_of("f"), data, SIZE, 0};
            struct exec_result result = {.status = EXEC_ACCEPTED, .files = &file, .file_count = 1};
            auto_buf struct buf expected = {0};
            struct json_writer json = json_writer_to(&expected, JSON_COMPACT);
            if (base64)
                json_string_base64(&json, data, SIZE);
            else
                json_string_bytes(&json, data, SIZE);
            size_t pieces;
            char *text = answer_of(&request, &result, &pieces);
            assert_true(pieces > SIZE / REST_ANSWER_PIECE);
            const char *value = strstr(text, "{\"f\":");
            assert_non_null(value);
            value += 5;
            assert_true(strlen(value) == expected.size + 4);
            assert_memory_equal(value, expected.data, expected.size);
            assert_string_equal(value + expected.size, "}}]\n");
            free(text);
        }
    }
    free(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_empty_is_left_out),
        cmocka_unit_test(everything_has_its_place),
        cmocka_unit_test(of_equal_names_the_last_counts),
        cmocka_unit_test(base64_where_it_was_asked_for),
        cmocka_unit_test(large_outputs_come_in_pieces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
