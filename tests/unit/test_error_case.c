/* judge/error_case.h: folders whose names are strangers', and what stands in them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/attr.h"
#include "base/fd.h"
#include "base/io.h"
#include "judge/error_case.h"

static char folder[] = "/tmp/cjudge-error-case-XXXXXX";

static void names_are_safe(void **state)
{
    static const struct {
        const char *sub_id, *name;
    } cases[] = {
        {"plain-id_1.x", "plain-id_1.x"},
        {"", "%"},
        {"..", "%2E."},
        {".", "%2E"},
        {"../../etc", "%2E.%2F..%2Fetc"},
        {"/abs", "%2Fabs"},
        {"a b\n", "a%20b%0A"},
        {"\xc3\xa9%", "%C3%A9%25"},
    };
    char name[ERROR_CASE_NAME_SIZE];
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        error_case_name(cases[i].sub_id, strlen(cases[i].sub_id), name);
        assert_string_equal(name, cases[i].name);
    }
    error_case_name("a\0b", 3, name);
    assert_string_equal(name, "a%00b");
    char longest[1000];
    memset(longest, 'x', sizeof(longest));
    error_case_name(longest, sizeof(longest), name);
    assert_true(strlen(name) < ERROR_CASE_NAME_SIZE && strlen(name) > 100);
    memset(longest, '/', sizeof(longest));
    error_case_name(longest, sizeof(longest), name);
    assert_true(strlen(name) < ERROR_CASE_NAME_SIZE && strlen(name) % 3 == 0);
    assert_null(strchr(name, '/'));
}

static void assert_file(int dir_fd, const char *path, const char *expected)
{
    char *data;
    size_t size;
    struct cj_error err;
    if (read_file_alloc(dir_fd, path, 1 << 20, &data, &size, &err) < 0)
        fail_msg("%s: %s", path, err.message);
    assert_string_equal(data, expected);
    free(data);
}

static void a_wrong_answer(void **state)
{
    char path[200];
    auto_fd int fd = -1;
    struct cj_error err;
    const struct error_case one = {
        .sub_id = "one",
        .sub_id_size = 3,
        .type = "python",
        .options = "{\"k\":\"v\"}",
        .options_size = 9,
        .solution = "print(1)\n",
        .solution_size = 9,
        .input = "",
        .input_size = 0,
        .stdout_text = "1\n",
        .stdout_size = 2,
        .stderr_text = "",
        .stderr_size = 0,
        .exit_code = -9,
        .cost_s = 0.25,
    };
    (void)state;
    snprintf(path, sizeof(path), "%s/made/below", folder);
    assert_int_equal(error_case_open(path, &fd, &err), 0);
    for (int again = 0; again < 2; again++) { /* the second takes the first one's place */
        error_case_save(fd, &one);
        assert_file(fd, "one/solution.txt", "print(1)\n");
        assert_file(fd, "one/submission.json",
                    "{\n  \"sub_id\": \"one\",\n  \"type\": \"python\",\n  \"options\": "
                    "{\"k\":\"v\"},\n  \"solution\": \"print(1)\\n\",\n  \"input\": \"\",\n  "
                    "\"expected_output\": null\n}");
        assert_file(fd, "one/result.json",
                    "{\n  \"stdout\": \"1\\n\",\n  \"stderr\": \"\",\n  \"exit_code\": -9,\n  "
                    "\"cost\": 0.25,\n  \"success\": false\n}");
    }
    assert_int_equal(faccessat(fd, "one/exception.txt", F_OK, 0), -1);
}

static void one_that_could_not_be_judged(void **state)
{
    auto_fd int fd = -1;
    struct cj_error err;
    const struct error_case one = {
        .sub_id = "..",
        .sub_id_size = 2,
        .type = "math",
        .solution = "",
        .exception = "no judge knows it",
    };
    (void)state;
    assert_int_equal(error_case_open(folder, &fd, &err), 0);
    error_case_save(fd, &one);
    assert_file(fd, "%2E./exception.txt", "no judge knows it");
    assert_int_equal(faccessat(fd, "%2E./result.json", F_OK, 0), -1);
}

/* Whoever may write to the folder leads us nowhere. */
static void links_are_not_followed(void **state)
{
    auto_fd int fd = -1;
    struct cj_error err;
    char target[200];
    const struct error_case one = {.sub_id = "linked",
                                   .sub_id_size = 6,
                                   .type = "python",
                                   .solution = "x",
                                   .solution_size = 1};
    const struct error_case two = {.sub_id = "inside",
                                   .sub_id_size = 6,
                                   .type = "python",
                                   .solution = "x",
                                   .solution_size = 1};
    (void)state;
    snprintf(target, sizeof(target), "%s/target", folder);
    assert_int_equal(mkdir(target, 0700), 0);
    assert_int_equal(error_case_open(folder, &fd, &err), 0);
    assert_int_equal(symlinkat("target", fd, "linked"), 0);
    error_case_save(fd, &one);
    assert_int_equal(faccessat(fd, "target/solution.txt", F_OK, 0), -1);
    assert_int_equal(mkdirat(fd, "inside", 0700), 0);
    assert_int_equal(symlinkat("../target/escaped", fd, "inside/solution.txt"), 0);
    error_case_save(fd, &two);
    assert_int_equal(faccessat(fd, "target/escaped", F_OK, 0), -1);
}

static void a_folder_that_cannot_be(void **state)
{
    int fd;
    struct cj_error err;
    (void)state;
    assert_int_equal(error_case_open("/proc/nothing/here", &fd, &err), -1);
    assert_non_null(strstr(err.message, "/proc/nothing/here"));
}

static int set_up(void **state)
{
    (void)state;
    return mkdtemp(folder) == NULL ? -1 : 0;
}

static int tear_down(void **state)
{
    char command[200];
    (void)state;
    snprintf(command, sizeof(command), "rm -rf -- '%s'", folder);
    return system(command); /* NOLINT(cert-env33-c): our own folder */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_safe),
        cmocka_unit_test(a_wrong_answer),
        cmocka_unit_test(one_that_could_not_be_judged),
        cmocka_unit_test(links_are_not_followed),
        cmocka_unit_test(a_folder_that_cannot_be),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
