/* Requests of `cjudge run --script`: what a line means, and what is said about a line that is wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/attr.h"
#include "run_script.h"

static const struct run_given given = {
    .limits =
        {
            .cpu_ns = 1,
            .wall_ns = 2,
            .memory_bytes = 3,
            .processes = 4,
            .stack_bytes = 5,
            .file_size_bytes = 6,
            .open_files = 7,
            .data_segment = true,
            .cpu_set = "0",
        },
    .output_bytes = 8,
    .input_fd = -1,
};

struct fixture {
    char path[32];
    struct run_script *script;
    struct exec_request request;
    struct cj_error err;
};

static void open_text(struct fixture *fixture, const char *text, size_t size)
{
    *fixture = (struct fixture){.path = "/tmp/test_run_script.XXXXXX"};
    int fd = mkstemp(fixture->path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, size), size);
    close(fd);
    assert_int_equal(run_script_open(fixture->path, &fixture->script, &fixture->err), 0);
}

static void open_script(struct fixture *fixture, const char *text)
{
    open_text(fixture, text, strlen(text));
}

static int next(struct fixture *fixture)
{
    return run_script_next(fixture->script, &given, &fixture->request, &fixture->err);
}

static void close_script(struct fixture *fixture)
{
    run_script_close(fixture->script);
    unlink(fixture->path);
}

/* ---- good lines ---- */

static void absent_keys_come_from_the_command_line(void **state)
{
    (void)state;
    struct fixture f;
    open_script(&f, "{\"args\": [\"/bin/true\"]}\n");
    assert_int_equal(next(&f), 1);
    assert_int_equal(f.request.arg_count, 1);
    assert_string_equal(f.request.args[0], "/bin/true");
    assert_memory_equal(&f.request.limits, &given.limits, sizeof(given.limits));
    assert_int_equal(f.request.file_count, 3);
    assert_int_equal(f.request.files[0].kind, EXEC_FILE_CONTENT);
    assert_int_equal(f.request.files[0].size, 0);
    for (int i = 1; i < 3; i++) {
        assert_int_equal(f.request.files[i].kind, EXEC_FILE_COLLECT);
        assert_string_equal(f.request.files[i].name, i == 1 ? "stdout" : "stderr");
        assert_int_equal(f.request.files[i].max, 8);
    }
    assert_int_equal(f.request.copy_in_count, 0);
    assert_int_equal(f.request.copy_out_count, 0);
    assert_true(f.request.env_count >= 3);
    assert_int_equal(next(&f), 0);
    assert_int_equal(next(&f), 0);
    close_script(&f);
}

static void every_key_reaches_the_request(void **state)
{
    (void)state;
    struct fixture f;
    open_script(
        &f,
        "{\"args\": [\"./a.out\", \"\", \"x y\"], \"stdin\": \"1 2\\n\\u00e9\", "
        "\"env\": [\"K=V\", \"PATH=/x\"], \"copyIn\": {\"a.out\": \"build/a.out\"}, "
        "\"copyOut\": [\"r.txt?\", \"s.txt\", \"?\"], \"cpu\": 1000000000, \"wall\": 3000000000, "
        "\"memory\": 67108864, \"procs\": 16, \"stack\": 0, \"output\": 65536, "
        "\"fileSize\": 16777216, \"openFiles\": 64}\n");
    assert_int_equal(next(&f), 1);
    assert_int_equal(f.request.arg_count, 3);
    assert_string_equal(f.request.args[1], "");
    assert_string_equal(f.request.args[2], "x y");
    assert_int_equal(f.request.files[0].size, strlen("1 2\n\xc3\xa9"));
    assert_memory_equal(f.request.files[0].data, "1 2\n\xc3\xa9", f.request.files[0].size);
    assert_string_equal(f.request.env[f.request.env_count - 2], "K=V");
    assert_string_equal(f.request.env[f.request.env_count - 1], "PATH=/x");
    for (size_t i = 0; i + 1 < f.request.env_count; i++)
        assert_true(strncmp(f.request.env[i], "PATH=", 5) != 0);
    assert_int_equal(f.request.copy_in_count, 1);
    assert_string_equal(f.request.copy_in[0].name, "a.out");
    assert_string_equal(f.request.copy_in[0].data, "build/a.out");
    assert_int_equal(f.request.copy_in[0].kind, EXEC_COPY_PATH);
    assert_int_equal(f.request.copy_out_count, 3);
    assert_string_equal(f.request.copy_out[0].name, "r.txt");
    assert_true(f.request.copy_out[0].optional);
    assert_string_equal(f.request.copy_out[1].name, "s.txt");
    assert_false(f.request.copy_out[1].optional);
    assert_string_equal(f.request.copy_out[2].name, "?");
    assert_false(f.request.copy_out[2].optional);
    assert_int_equal(f.request.limits.cpu_ns, 1000000000);
    assert_int_equal(f.request.limits.wall_ns, 3000000000);
    assert_int_equal(f.request.limits.memory_bytes, 67108864);
    assert_int_equal(f.request.limits.processes, 16);
    assert_int_equal(f.request.limits.stack_bytes, 0);
    assert_int_equal(f.request.files[1].max, 65536);
    assert_int_equal(f.request.files[2].max, 65536);
    assert_int_equal(f.request.limits.file_size_bytes, 16777216);
    assert_int_equal(f.request.limits.open_files, 64);
    assert_true(f.request.limits.data_segment);
    close_script(&f);
}

static void what_a_line_does_not_say_comes_from_the_options(void **state)
{
    (void)state;
    static const char *const env[] = {"A=1", "B=2"};
    static const struct exec_copy_in in[] = {{.name = "f", .kind = EXEC_COPY_PATH, .data = "x"},
                                             {.name = "g", .kind = EXEC_COPY_PATH, .data = "y"}};
    static const struct exec_copy_out out[] = {{.name = "o"}, {.name = "p", .optional = true}};
    struct run_given all = given;
    all.env = env;
    all.env_count = COUNT_OF(env);
    all.copy_in = in;
    all.copy_in_count = COUNT_OF(in);
    all.copy_out = out;
    all.copy_out_count = COUNT_OF(out);
    all.copy_out_max_bytes = 9;
    all.copy_out_truncate = true;
    all.input_fd = 77;
    struct fixture f;
    open_script(&f,
                "{args: [a]}\n"
                "{args: [a], stdin: '', env: [B=3, C=4], copyIn: {g: z}, copyOut: [p, 'o?', q]}");
    assert_int_equal(run_script_next(f.script, &all, &f.request, &f.err), 1);
    assert_int_equal(run_script_line(f.script), 1);
    assert_int_equal(f.request.files[0].kind, EXEC_FILE_FD);
    assert_int_equal(f.request.files[0].fd, 77);
    assert_string_equal(f.request.env[f.request.env_count - 2], "A=1");
    assert_string_equal(f.request.env[f.request.env_count - 1], "B=2");
    assert_int_equal(f.request.copy_in_count, 2);
    assert_string_equal(f.request.copy_in[1].data, "y");
    assert_int_equal(f.request.copy_out_count, 2);
    assert_true(f.request.copy_out[1].optional);
    assert_int_equal(f.request.copy_out_max_bytes, 9);
    assert_true(f.request.copy_out_truncate);

    assert_int_equal(run_script_next(f.script, &all, &f.request, &f.err), 1);
    assert_int_equal(run_script_line(f.script), 2);
    assert_int_equal(f.request.files[0].kind, EXEC_FILE_CONTENT);
    assert_string_equal(f.request.env[f.request.env_count - 3], "A=1");
    assert_string_equal(f.request.env[f.request.env_count - 2], "B=3");
    assert_string_equal(f.request.env[f.request.env_count - 1], "C=4");
    assert_int_equal(f.request.copy_in_count, 2);
    assert_string_equal(f.request.copy_in[0].data, "z");
    assert_string_equal(f.request.copy_in[1].data, "x");
    assert_int_equal(f.request.copy_out_count, 3);
    const struct exec_copy_out *got = f.request.copy_out;
    assert_string_equal(got[0].name, "p");
    assert_false(got[0].optional); /* the line wants it whatever the options say */
    assert_string_equal(got[1].name, "o");
    assert_false(got[1].optional);
    assert_string_equal(got[2].name, "q");
    close_script(&f);
}

static void the_rest_goes_on_behind_a_bad_line(void **state)
{
    (void)state;
    struct fixture f;
    open_script(&f, "{args: [a\n\n{args: [a], cpus: 1}\n{args: [b]}\n");
    assert_int_equal(next(&f), -1);
    assert_int_equal(f.err.domain, ERROR_CONFIG);
    assert_int_equal(run_script_line(f.script), 1);
    assert_int_equal(next(&f), -1);
    assert_int_equal(run_script_line(f.script), 3);
    assert_int_equal(next(&f), 1);
    assert_int_equal(run_script_line(f.script), 4);
    assert_string_equal(f.request.args[0], "b");
    assert_int_equal(next(&f), 0);
    close_script(&f);
}

static void a_line_knows_nothing_of_the_one_before(void **state)
{
    (void)state;
    struct fixture f;
    open_script(&f, "{args: [a, b], cpu: 9, stdin: x, copyIn: {p: q}, copyOut: [r], env: [K=V]}\n"
                    "{args: [c]}\n");
    assert_int_equal(next(&f), 1);
    size_t env_count = f.request.env_count;
    assert_int_equal(next(&f), 1);
    assert_int_equal(f.request.arg_count, 1);
    assert_string_equal(f.request.args[0], "c");
    assert_int_equal(f.request.limits.cpu_ns, 1);
    assert_int_equal(f.request.files[0].size, 0);
    assert_int_equal(f.request.copy_in_count + f.request.copy_out_count, 0);
    assert_int_equal(f.request.env_count, env_count - 1);
    close_script(&f);
}

static void empty_lines_and_comments_are_no_requests(void **state)
{
    (void)state;
    struct fixture f;
    open_script(&f, "\n  \t\r\n# nothing\n\xef\xbb\xbf # nor here\nnull\n\n{args: [a]}");
    assert_int_equal(next(&f), -1); /* null: a client waits for its answer */
    assert_non_null(strstr(f.err.message, "line 5: a map is needed here"));
    assert_int_equal(next(&f), 1);
    assert_string_equal(f.request.args[0], "a");
    assert_int_equal(next(&f), 0);
    close_script(&f);
}

static void the_largest_numbers_are_exact(void **state)
{
    (void)state;
    struct fixture f;
    open_script(&f,
                "{args: [a], cpu: 9223372036854775807, memory: 18446744073709551615, output: 0}\n");
    assert_int_equal(next(&f), 1);
    assert_int_equal(f.request.limits.cpu_ns, INT64_MAX);
    assert_true(f.request.limits.memory_bytes == UINT64_MAX);
    assert_int_equal(f.request.files[1].max, 0);
    close_script(&f);
}

/* ---- bad lines ---- */

static void a_bad_line_is_named_with_file_line_and_key(void **state)
{
    (void)state;
    static const struct {
        const char *line, *key, *reason;
    } cases[] = {
        {"{}", "args", "missing or empty"},
        {"{args: []}", "args", "missing or empty"},
        {"{args: null}", "args", "missing or empty"},
        {"{args: /bin/true}", "args", "a list is needed"},
        {"{args: {a: b}}", "args", "a list is needed"},
        {"{args: [[a]]}", "args[0]", "a single value is needed"},
        {"{args: [a, null]}", "args", "item 1 is null"},
        {"{args: [\"a\\0b\"]}", "args[0]", "NUL"},
        {"{args: [a], env: K=V}", "env", "a list is needed"},
        {"{args: [a], env: [null]}", "env", "item 0 is null"},
        {"{args: [a], env: [A=1, B]}", "env[1]", "'B': write NAME=VALUE"},
        {"{args: [a], env: [=1]}", "env[0]", "'=1': write NAME=VALUE"},
        {"{args: [a], stdin: [x]}", "stdin", "a single value is needed"},
        {"{args: [a], copyIn: [x]}", "copyIn", "a map is needed"},
        {"{args: [a], copyIn: {x: null}}", "copyIn.x", "is null"},
        {"{args: [a], copyIn: {x: [y]}}", "copyIn.x", "a single value is needed"},
        {"{args: [a], copyOut: {x: y}}", "copyOut", "a list is needed"},
        {"{args: [a], copyOut: [null]}", "copyOut[0]", "is null"},
        {"{args: [a], cpu: 1s}", "cpu", "'1s' is not a whole number"},
        {"{args: [a], cpu: -1}", "cpu", "'-1' is not a whole number"},
        {"{args: [a], cpu: 1.5}", "cpu", "'1.5' is not a whole number"},
        {"{args: [a], cpu: \"1\"}", "cpu", "'1' is not a whole number"},
        {"{args: [a], cpu: 9223372036854775808}", "cpu", "above"},
        {"{args: [a], wall: 9223372036854775808}", "wall", "above"},
        {"{args: [a], memory: 18446744073709551616}", "memory", "not a whole number"},
        {"{args: [a], memory: 64m}", "memory", "'64m'"},
        {"{args: [a], procs: x}", "procs", "'x'"},
        {"{args: [a], stack: x}", "stack", "'x'"},
        {"{args: [a], output: x}", "output", "'x'"},
        {"{args: [a], fileSize: x}", "fileSize", "'x'"},
        {"{args: [a], openFiles: x}", "openFiles", "'x'"},
        {"{args: [a], cpus: 1}", "cpus", "unknown key"},
        {"{args: [a], Cpu: 1}", "Cpu", "unknown key"},
        {"{args: [a], args: [b]}", "args", "twice"},
        {"[a]", "", "a map is needed"},
        {"a", "", "a map is needed"},
        {"{args: [a]", "", ""},
        {"{args: [a]} {args: [b]}", "", ""},
        {"{args: [\"\xff\"]}", "", ""},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char text[512];
        snprintf(text, sizeof(text), "{args: [a]}\n\n%s\n", cases[i].line);
        struct fixture f;
        open_script(&f, text);
        assert_int_equal(next(&f), 1);
        if (next(&f) != -1)
            fail_msg("accepted: %s", cases[i].line);
        const char *parts[] = {f.path, "line 3", cases[i].key, cases[i].reason};
        for (size_t k = 0; k < COUNT_OF(parts); k++)
            if (strstr(f.err.message, parts[k]) == NULL)
                fail_msg("%s: '%s' is not in '%s'", cases[i].line, parts[k], f.err.message);
        assert_int_equal(f.err.domain, ERROR_CONFIG);
        close_script(&f);
    }
}

static void a_nul_byte_does_not_hide_the_rest_of_a_line(void **state)
{
    (void)state;
    static const char text[] = "\0 {args: [a]}\n{args: [a\0b]}\n";
    struct fixture f;
    open_text(&f, text, sizeof(text) - 1);
    assert_int_equal(next(&f), -1);
    assert_non_null(strstr(f.err.message, "line 1"));
    close_script(&f);
}

static void a_script_that_is_not_there_is_named(void **state)
{
    (void)state;
    struct run_script *script = NULL;
    struct cj_error err = {0};
    assert_int_equal(run_script_open("/no/such/script", &script, &err), -1);
    assert_string_equal(err.message, "open /no/such/script: No such file or directory");
    assert_null(script);
    run_script_close(NULL);
}

static void a_folder_is_no_script(void **state)
{
    (void)state;
    struct run_script *script = NULL;
    struct exec_request request;
    struct cj_error err = {0};
    int result = run_script_open("/tmp", &script, &err);
    if (result == 0)
        result = run_script_next(script, &given, &request, &err);
    assert_int_equal(result, -1);
    assert_int_not_equal(err.domain, ERROR_CONFIG); /* no line of it could be read on */
    assert_non_null(strstr(err.message, "/tmp"));
    run_script_close(script);
}

/* ---- the environment ---- */

static bool contains(const char **env, size_t count, const char *entry)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(env[i], entry) == 0)
            return true;
    return false;
}

static void a_given_variable_replaces_its_default(void **state)
{
    (void)state;
    static const char *const mine[] = {"HOME=/h", "PATHX=1", "LANG", "A=1", "A=2"};
    size_t count = 0;
    const char **env = run_environment(mine, COUNT_OF(mine), NULL, 0, &count);
    assert_non_null(env);
    assert_true(contains(env, count, "HOME=/h"));
    assert_false(contains(env, count, "HOME=/tmp"));
    assert_true(contains(env, count, "LANG=C.UTF-8")); /* "LANG" sets nothing */
    assert_true(contains(env, count, "A=1") && contains(env, count, "A=2"));
    int paths = 0;
    for (size_t i = 0; i < count; i++)
        paths += strncmp(env[i], "PATH=", 5) == 0;
    assert_int_equal(paths, 1);
    assert_null(env[count]);
    free(env);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(absent_keys_come_from_the_command_line),
        cmocka_unit_test(every_key_reaches_the_request),
        cmocka_unit_test(what_a_line_does_not_say_comes_from_the_options),
        cmocka_unit_test(the_rest_goes_on_behind_a_bad_line),
        cmocka_unit_test(a_line_knows_nothing_of_the_one_before),
        cmocka_unit_test(empty_lines_and_comments_are_no_requests),
        cmocka_unit_test(the_largest_numbers_are_exact),
        cmocka_unit_test(a_bad_line_is_named_with_file_line_and_key),
        cmocka_unit_test(a_nul_byte_does_not_hide_the_rest_of_a_line),
        cmocka_unit_test(a_script_that_is_not_there_is_named),
        cmocka_unit_test(a_folder_is_no_script),
        cmocka_unit_test(a_given_variable_replaces_its_default),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
