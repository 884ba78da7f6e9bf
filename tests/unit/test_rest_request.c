/* Bodies of POST /run: what is taken, and the words of what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "rest_request.h"

static int read_bytes(const char *body, size_t size, struct rest_request *request,
                      struct cj_error *err)
{
    char *copy = malloc(size + 1); /* not one byte behind that may be read: ASan sees it */
    assert_non_null(copy);
    memcpy(copy, body, size);
    char *exact = realloc(copy, size > 0 ? size : 1);
    *err = (struct cj_error){0};
    return rest_request_read(exact, size, request, err);
}

static void good(const char *body, struct rest_request *request)
{
    struct cj_error err;
    if (read_bytes(body, strlen(body), request, &err) < 0)
        fail_msg("%s: %s", body, err.message);
}

/* ---- what is refused ---- */

#define CMD(text) "{\"cmd\":[{" text "}]}"
#define A         "\"args\":[\"a\"]"

static void errors_name_the_field(void **state)
{
    (void)state;
    static const struct {
        const char *body, *words[3];
    } cases[] = {
        {"", {"EOF"}},
        {" \n", {"EOF"}},
        {"{", {"unexpected EOF"}},
        {"{\"cmd\":[{" A, {"unexpected EOF"}},
        {"hello", {"invalid character 'h'"}},
        {"[]", {"json: cannot unmarshal"}},
        {"7", {"json: cannot unmarshal"}},
        {"{\"cmd\":7}", {"json: cannot unmarshal", "cmd"}},
        {"{\"cmd\":[7]}", {"json: cannot unmarshal", "cmd[0]"}},
        {"{\"cmd\":[{}]}", {"cmd[0]", "args", "empty"}},
        {"{\"cmd\":[null]}", {"cmd[0]", "args", "empty"}},
        {"{\"cmd\":[{" A "},{\"args\":[]}]}", {"cmd[1]", "args", "empty"}},
        {CMD("\"args\":[\"a\\u0000b\"]"), {"cmd[0].args[0]", "NUL"}},
        {CMD("\"args\":[\"a\",5]"), {"json: cannot unmarshal", "cmd[0].args[1]"}},
        {CMD(A ",\"env\":[\"A=\\u0000\"]"), {"cmd[0].env[0]", "NUL"}},
        {CMD(A ",\"cpuLimit\":1e9"), {"json: cannot unmarshal", "cmd[0].cpuLimit"}},
        {CMD(A ",\"cpuLimit\":1.0"), {"json: cannot unmarshal", "cmd[0].cpuLimit"}},
        {CMD(A ",\"cpuLimit\":-1"), {"json: cannot unmarshal", "cmd[0].cpuLimit"}},
        {CMD(A ",\"cpuLimit\":\"5\""), {"json: cannot unmarshal", "cmd[0].cpuLimit"}},
        {CMD(A ",\"memoryLimit\":18446744073709551616"),
         {"json: cannot unmarshal", "cmd[0].memoryLimit"}},
        {CMD(A ",\"tty\":1"), {"json: cannot unmarshal", "cmd[0].tty"}},
        {CMD(A ",\"files\":[{}]"), {"cmd[0].files[0]", "file type is not valid for cmd"}},
        {CMD(A ",\"files\":[null,{\"name\":\"x\"}]"),
         {"cmd[0].files[1]", "file type is not valid for cmd"}},
        {CMD(A ",\"files\":[{\"max\":5}]"), {"cmd[0].files[0]", "not valid"}},
        {CMD(A ",\"files\":[{\"content\":null}]"), {"cmd[0].files[0]", "not valid"}},
        {CMD(A ",\"files\":[{\"symlink\":\"x\",\"content\":\"\"}]"),
         {"cmd[0].files[0]", "not valid", "symlink"}},
        {CMD(A ",\"files\":[{\"streamIn\":true}]"), {"cmd[0].files[0]", "not valid", "stream"}},
        {CMD(A ",\"files\":[{\"src\":\"/a\\u0000\"}]"), {"cmd[0].files[0].src", "NUL"}},
        {CMD(A ",\"files\":[{\"fileId\":\"\\u0000\"}]"), {"cmd[0].files[0].fileId", "NUL"}},
        {CMD(A ",\"files\":[{\"name\":\"\\u0000\",\"max\":1}]"), {"cmd[0].files[0].name", "NUL"}},
        {CMD(A ",\"files\":[{\"name\":\"a\",\"max\":1.5}]"), {"cmd[0].files[0].max"}},
        {CMD(A ",\"files\":[{\"name\":\"a\",\"max\":1,\"encoding\":\"hex\"}]"),
         {"cmd[0].files[0].encoding", "base64"}},
        {CMD(A ",\"files\":\"stdin\""), {"cmd[0].files"}},
        {CMD(A ",\"copyIn\":{\"a\":null}"), {"cmd[0].copyIn.a", "not valid"}},
        {CMD(A ",\"copyIn\":{\"a\":{}}"), {"cmd[0].copyIn.a", "not valid"}},
        {CMD(A ",\"copyIn\":{\"a\\u0000\":{\"content\":\"\"}}"), {"cmd[0].copyIn", "NUL"}},
        {CMD(A ",\"copyIn\":[]"), {"cmd[0].copyIn"}},
        {CMD(A ",\"copyOut\":[\"a\\u0000?\"]"), {"cmd[0].copyOut[0]", "NUL"}},
        {CMD(A ",\"copyOutCached\":[{}]"), {"cmd[0].copyOutCached[0]"}},
        {"{\"cmd\":[],\"pipeMapping\":{}}", {"pipeMapping"}},
        {"{\"cmd\":[],\"pipeMapping\":[{\"in\":{\"index\":\"0\"}}]}", {"pipeMapping[0].in.index"}},
        {"{\"cmd\":[],\"pipeMapping\":[{\"in\":{\"fd\":9223372036854775808}}]}",
         {"pipeMapping[0].in.fd"}},
        {"{\"cmd\":[],\"pipeMapping\":[{\"name\":\"\\u0000\"}]}", {"pipeMapping[0].name", "NUL"}},
        {"{\"cmd\":[],\"requestId\":5}", {"requestId"}},
        /* grammar comes before type, wherever it is */
        {"{\"cmd\":[{\"cpuLimit\":-1}],}", {"invalid character '}'"}},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct rest_request request;
        struct cj_error err;
        if (read_bytes(cases[i].body, strlen(cases[i].body), &request, &err) == 0)
            fail_msg("taken: %s", cases[i].body);
        assert_int_equal(err.domain, ERROR_REQUEST);
        for (size_t k = 0; k < COUNT_OF(cases[i].words) && cases[i].words[k] != NULL; k++)
            if (strstr(err.message, cases[i].words[k]) == NULL)
                fail_msg("%s: '%s' has no '%s'", cases[i].body, err.message, cases[i].words[k]);
        rest_request_free(&request);
    }
}

/* Small bodies do not become large structures. */
static void counts_are_bounded(void **state)
{
    (void)state;
    static const struct {
        const char *before, *item, *after, *word;
        size_t count;
    } cases[] = {
        {"{\"cmd\":[{\"args\":[", "\"\"", "]}]}", "cmd[0].args", REST_WORDS_MAX},
        {"{\"cmd\":[{" A ",\"files\":[", "null", "]}]}", "cmd[0].files", REST_FILES_MAX},
        {"{\"cmd\":[{" A ",\"copyOut\":[", "\"\"", "]}]}", "cmd[0].copyOut", REST_NAMES_MAX},
        {"{\"cmd\":[", "{" A "}", "]}", "cmd", REST_COMMANDS_MAX},
        {"{\"pipeMapping\":[", "{}", "]}", "pipeMapping", REST_PIPES_MAX},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        for (size_t count = cases[i].count; count <= cases[i].count + 1; count++) {
            auto_buf struct buf body = {0};
            buf_append_text(&body, cases[i].before);
            for (size_t k = 0; k < count; k++) {
                buf_append_text(&body, k > 0 ? "," : "");
                buf_append_text(&body, cases[i].item);
            }
            buf_append_text(&body, cases[i].after);
            struct rest_request request;
            struct cj_error err = {0};
            int result = read_bytes(body.data, body.size, &request, &err);
            rest_request_free(&request);
            if (result != (count > cases[i].count ? -1 : 0))
                fail_msg("%s, %zu items: %s", cases[i].word, count, err.message);
            if (result < 0)
                assert_non_null(strstr(err.message, cases[i].word));
        }
    }
}

/* ---- what is taken ---- */

static void a_whole_command_is_read(void **state)
{
    (void)state;
    struct rest_request request;
    good("{\"requestId\":\"r\",\"cmd\":[{\"args\":[\"/bin/a\",\"-b\",null],\"env\":[\"A=1\",\"\"],"
         "\"files\":[null,{\"src\":\"/etc/x\"},{\"content\":\"a\\u0000b\"},{\"fileId\":\"ID\"},"
         "{\"name\":\"out\",\"max\":10,\"pipe\":true,\"encoding\":\"base64\"},"
         "{\"name\":\"neg\",\"max\":-1}],"
         "\"tty\":true,\"cpuLimit\":1,\"clockLimit\":2,\"memoryLimit\":18446744073709551615,"
         "\"stackLimit\":4,\"procLimit\":5,\"cpuRateLimit\":6,\"cpuSetLimit\":\"0-1\","
         "\"copyIn\":{\"in\":{\"content\":\"\"},\"l\":{\"symlink\":\"to\",\"content\":\"x\"},"
         "\"c\":{\"name\":\"n\",\"max\":1}},"
         "\"copyOut\":[\"a\",\"b?\",\"c??\",\"?\"],\"copyOutCached\":[\"d?\"],\"copyOutMax\":7,"
         "\"copyOutTruncate\":true,\"dataSegmentLimit\":true,\"addressSpaceLimit\":true,"
         "\"warm\":false}]}",
         &request);
    assert_string_equal(request.request_id, "r");
    assert_int_equal(request.command_count, 1);
    const struct rest_command *c = &request.commands[0];
    assert_int_equal(c->arg_count, 3);
    assert_string_equal(c->args[1], "-b");
    assert_string_equal(c->args[2], "");
    assert_int_equal(c->env_count, 2);
    assert_string_equal(c->env[1], "");
    assert_int_equal(c->file_count, 6);
    assert_int_equal(c->files[0].kind, REST_FILE_NULL);
    assert_int_equal(c->files[1].kind, REST_FILE_SRC);
    assert_string_equal(c->files[1].text.data, "/etc/x");
    assert_int_equal(c->files[2].kind, REST_FILE_CONTENT);
    assert_int_equal(c->files[2].text.size, 3);
    assert_memory_equal(c->files[2].text.data, "a\0b", 4);
    assert_int_equal(c->files[3].kind, REST_FILE_ID);
    assert_int_equal(c->files[4].kind, REST_FILE_COLLECTOR);
    assert_true(c->files[4].pipe && c->files[4].base64 && c->files[4].max == 10);
    assert_true(!c->files[5].pipe && !c->files[5].base64 && c->files[5].max == 0);
    assert_true(c->tty && c->cpu_ns == 1 && c->wall_ns == 2 && c->memory_bytes == UINT64_MAX);
    assert_true(c->stack_bytes == 4 && c->processes == 5 && c->cpu_rate == 6);
    assert_string_equal(c->cpu_set, "0-1");
    assert_int_equal(c->warm, REST_WARM_NEVER);
    assert_int_equal(c->copy_in_count, 3);
    assert_string_equal(c->copy_in[0].name, "in");
    assert_int_equal(c->copy_in[0].file.kind, REST_FILE_CONTENT);
    assert_int_equal(c->copy_in[1].file.kind, REST_FILE_SYMLINK);
    assert_string_equal(c->copy_in[1].file.text.data, "to");
    assert_int_equal(c->copy_in[2].file.kind, REST_FILE_COLLECTOR);
    assert_int_equal(c->copy_out_count, 4);
    assert_true(!c->copy_out[0].optional && c->copy_out[1].optional && c->copy_out[2].optional);
    assert_string_equal(c->copy_out[1].name, "b");
    assert_string_equal(c->copy_out[2].name, "c?");
    assert_string_equal(c->copy_out[3].name, "");
    assert_string_equal(c->copy_out_cached[0].name, "d");
    assert_true(c->copy_out_max_bytes == 7 && c->copy_out_truncate);
    assert_true(c->data_segment && c->address_space && !c->copy_out_dir && !c->base64);
    rest_request_free(&request);
}

static void absent_and_null_are_the_same(void **state)
{
    (void)state;
    static const char *const bodies[] = {
        CMD(A),
        CMD(A ",\"env\":null,\"files\":null,\"cpuLimit\":null,\"tty\":null,\"copyIn\":null,"
              "\"copyOut\":null,\"copyOutCached\":null,\"cpuSetLimit\":null,\"encoding\":null,"
              "\"copyOutDir\":null,\"realCpuLimit\":null"),
        CMD(A ",\"cpuSetLimit\":\"\",\"copyOutDir\":\"\",\"unknown\":{\"args\":[1,{}]}"),
    };
    for (size_t i = 0; i < COUNT_OF(bodies); i++) {
        struct rest_request request;
        good(bodies[i], &request);
        const struct rest_command *c = &request.commands[0];
        assert_true(c->env_count == 0 && c->file_count == 0 && c->copy_in_count == 0);
        assert_true(c->cpu_ns == 0 && c->wall_ns == 0 && c->memory_bytes == 0 && !c->tty);
        assert_true(c->cpu_set == NULL && !c->copy_out_dir && !c->base64);
        assert_string_equal(request.request_id, "");
        rest_request_free(&request);
    }
}

static void no_command_is_the_door_s_to_refuse(void **state)
{
    (void)state;
    static const char *const bodies[] = {"{}", "null", "{\"cmd\":null}", "{\"cmd\":[]}",
                                         "{\"cmd\":[]} garbage"};
    for (size_t i = 0; i < COUNT_OF(bodies); i++) {
        struct rest_request request;
        good(bodies[i], &request);
        assert_int_equal(request.command_count, 0);
        rest_request_free(&request);
    }
}

static void keys_fold_and_the_last_wins(void **state)
{
    (void)state;
    struct rest_request request;
    good(
        "{\"CMD\":[{" A "},{" A "}],\"cmd\":[{\"ARGS\":[\"x\"],\"args\":[\"y\",\"z\"],"
        "\"copyIn\":{\"old\":{\"content\":\"\"}},"
        "\"COPYIN\":{\"a\":{\"content\":\"1\"},\"b\":{\"content\":\"2\"},\"a\":{\"content\":\"3\"},"
        "\"A\":{\"content\":\"4\"}},"
        "\"files\":[{\"content\":\"x\",\"content\":null,\"SRC\":\"/p\"}]}]}",
        &request);
    assert_int_equal(request.command_count, 1);
    const struct rest_command *c = &request.commands[0];
    assert_int_equal(c->arg_count, 2);
    assert_string_equal(c->args[0], "y");
    assert_int_equal(c->copy_in_count, 3);
    assert_string_equal(c->copy_in[0].name, "b");
    assert_string_equal(c->copy_in[1].name, "a");
    assert_string_equal(c->copy_in[1].file.text.data, "3");
    assert_string_equal(c->copy_in[2].name, "A");
    assert_int_equal(c->files[0].kind, REST_FILE_SRC);
    rest_request_free(&request);
}

static void aliases_of_limits(void **state)
{
    (void)state;
    struct rest_request request;
    good(CMD(A ",\"realCpuLimit\":3,\"clockLimit\":2,\"strictMemoryLimit\":true"), &request);
    assert_true(request.commands[0].wall_ns == 3 && request.commands[0].data_segment);
    rest_request_free(&request);
    good(CMD(A ",\"realCpuLimit\":0,\"clockLimit\":2,\"dataSegmentLimit\":true,"
               "\"strictMemoryLimit\":false"),
         &request);
    assert_true(request.commands[0].wall_ns == 2 && request.commands[0].data_segment);
    rest_request_free(&request);
}

static void pipes_are_read(void **state)
{
    (void)state;
    struct rest_request request;
    good("{\"cmd\":[{" A "}],\"pipeMapping\":[{\"in\":{\"index\":0,\"fd\":1},\"out\":{\"index\":-1,"
         "\"fd\":9223372036854775807},\"proxy\":true,\"name\":\"p\",\"max\":3,"
         "\"disableZeroCopy\":true},null,{\"max\":-3}]}",
         &request);
    assert_int_equal(request.pipe_count, 3);
    const struct rest_pipe *p = request.pipes;
    assert_true(p->in.index == 0 && p->in.fd == 1 && p->out.index == -1 && p->out.fd == INT64_MAX);
    assert_true(p->proxy && p->disable_zero_copy && p->max == 3 && p[2].max == 0);
    assert_string_equal(p->name, "p");
    assert_string_equal(p[1].name, "");
    rest_request_free(&request);
}

static void invalid_text_is_replaced(void **state)
{
    (void)state;
    struct rest_request request;
    good(CMD("\"args\":[\"a\xff\",\"\\ud800x\"],\"files\":[{\"content\":\"\xc3(\"}]"), &request);
    assert_string_equal(request.commands[0].args[0], "a\xef\xbf\xbd");
    assert_string_equal(request.commands[0].args[1], "\xef\xbf\xbdx");
    assert_string_equal(request.commands[0].files[0].text.data, "\xef\xbf\xbd(");
    rest_request_free(&request);
}

static void encoding_of_the_request_is_everyone_s(void **state)
{
    (void)state;
    struct rest_request request;
    good("{\"encoding\":\"base64\",\"cmd\":[{" A "},{" A "}]}", &request);
    assert_true(request.commands[0].base64 && request.commands[1].base64);
    rest_request_free(&request);
    good("{\"cmd\":[{" A ",\"encoding\":\"base64\"},{" A ",\"encoding\":\"\"}]}", &request);
    assert_true(request.commands[0].base64 && !request.commands[1].base64);
    rest_request_free(&request);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errors_name_the_field),
        cmocka_unit_test(counts_are_bounded),
        cmocka_unit_test(a_whole_command_is_read),
        cmocka_unit_test(absent_and_null_are_the_same),
        cmocka_unit_test(no_command_is_the_door_s_to_refuse),
        cmocka_unit_test(keys_fold_and_the_last_wins),
        cmocka_unit_test(aliases_of_limits),
        cmocka_unit_test(pipes_are_read),
        cmocka_unit_test(invalid_text_is_replaced),
        cmocka_unit_test(encoding_of_the_request_is_everyone_s),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
