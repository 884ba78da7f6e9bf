/* Which runs may begin by the fork of a warm interpreter. */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/attr.h"
#include "warm_plan.h"

static const struct exec_warm_place places[] = {
    {"python3", "/usr/local/bin", false},
    {"python3", "/usr/bin", true},
    {"python3", "/bin", true},
    {"python", "/venv/bin", true},
};
static const struct exec_warm warm = {places, COUNT_OF(places), "/w", "numpy,re"};

static enum warm_answer plan(const struct exec_request *request, char *program)
{
    return warm_plan(&warm, request, NULL, 0, program);
}

static struct exec_request request_for(const char *const *args, size_t arg_count,
                                       const char *const *env, size_t env_count)
{
    return (struct exec_request){
        .args = args, .arg_count = arg_count, .env = env, .env_count = env_count};
}

static void interpreters_are_found_where_init_would_find_them(void **state)
{
    (void)state;
    static const struct {
        const char *command, *path;
        enum warm_answer answer;
        const char *program;
    } cases[] = {
        {"python3", "PATH=/usr/local/bin:/usr/bin:/bin", WARM_PLAN_YES, "/usr/bin/python3"},
        {"python3", "PATH=/bin:/usr/bin", WARM_PLAN_YES, "/bin/python3"},
        {"/usr/bin/python3", "HOME=/w", WARM_PLAN_YES, "/usr/bin/python3"},
        {"/venv/bin/python", "PATH=/bin", WARM_PLAN_YES, "/venv/bin/python"},
        {"python", "PATH=/venv/bin", WARM_PLAN_YES, "/venv/bin/python"},
        /* what is not known is not looked for */
        {"python3", "PATH=/opt/bin:/usr/bin", WARM_PLAN_NOT_KNOWN, ""},
        {"python3", "PATH=:/usr/bin", WARM_PLAN_NOT_KNOWN, ""},
        {"python3", "PATH=bin:/usr/bin", WARM_PLAN_NOT_KNOWN, ""},
        {"python3", "PATH=/usr/local/bin", WARM_PLAN_NOT_KNOWN, ""},
        {"python3", "HOME=/w", WARM_PLAN_NOT_KNOWN, ""},
        {"perl", "PATH=/usr/bin", WARM_PLAN_NOT_KNOWN, ""},
        {"/usr/local/bin/python3", "PATH=/usr/bin", WARM_PLAN_NOT_KNOWN, ""},
        {"/w/python3", "PATH=/usr/bin", WARM_PLAN_NOT_KNOWN, ""},
        {"./python3", "PATH=/usr/bin", WARM_PLAN_NOT_KNOWN, ""},
        {"/usr/bin/../bin/python3", "PATH=/usr/bin", WARM_PLAN_NOT_KNOWN, ""},
        {"/usr/bin/python3/", "PATH=/usr/bin", WARM_PLAN_NOT_KNOWN, ""},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char program[WARM_PATH_SIZE];
        const char *const args[] = {cases[i].command, "main.py"};
        struct exec_request request = request_for(args, 2, &cases[i].path, 1);
        assert_int_equal(plan(&request, program), cases[i].answer);
        assert_string_equal(program, cases[i].program);
    }
}

static void only_an_interpreter_with_its_script_is_one(void **state)
{
    (void)state;
    char too_long[PATH_MAX], fits[PATH_MAX];
    memset(too_long, 'x', sizeof(too_long)); /* with "/w/" in front of it */
    memset(fits, 'x', sizeof(fits));
    too_long[PATH_MAX - 3] = fits[PATH_MAX - 4] = '\0';
    const struct {
        const char *args[4];
        size_t count;
        enum warm_answer answer;
    } cases[] = {
        {{"python3", "main.py"}, 2, WARM_PLAN_YES},
        {{"python3", "a/b.py"}, 2, WARM_PLAN_YES},
        {{"python3", "a/b.py", "-c", "x"}, 4, WARM_PLAN_NOT_A_SCRIPT},
        {{"python3", "main.py", "secret"}, 3, WARM_PLAN_NOT_A_SCRIPT},
        {{"python3"}, 1, WARM_PLAN_NOT_A_SCRIPT},
        {{"python3", ""}, 2, WARM_PLAN_NOT_A_SCRIPT},
        {{"python3", "-"}, 2, WARM_PLAN_NOT_A_SCRIPT},
        {{"python3", "-c", "pass"}, 3, WARM_PLAN_NOT_A_SCRIPT},
        {{"python3", "-O", "main.py"}, 3, WARM_PLAN_NOT_A_SCRIPT},
        {{"python3", "/w/main.py"}, 2, WARM_PLAN_YES},
        {{"python3", "/w/a/main.py"}, 2, WARM_PLAN_YES},
        {{"python3", "/etc/ld.so.cache"}, 2, WARM_PLAN_NOT_A_SCRIPT},
        {{"python3", "/ww/main.py"}, 2, WARM_PLAN_NOT_A_SCRIPT},
        {{"python3", "/w"}, 2, WARM_PLAN_NOT_A_SCRIPT},
        {{"python3", "/w/../etc/ld.so.cache"}, 2, WARM_PLAN_NOT_A_SCRIPT},
        {{"python3", "../etc/ld.so.cache"}, 2, WARM_PLAN_NOT_A_SCRIPT},
        {{"python3", "a..b.py"}, 2, WARM_PLAN_YES},
        {{"python3", "a/.."}, 2, WARM_PLAN_NOT_A_SCRIPT},
        {{"python3", fits}, 2, WARM_PLAN_YES},
        {{"python3", too_long}, 2, WARM_PLAN_NOT_A_SCRIPT},
    };
    static const char *const env[] = {"PATH=/usr/bin"};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char program[WARM_PATH_SIZE];
        struct exec_request request = request_for(cases[i].args, cases[i].count, env, 1);
        assert_int_equal(plan(&request, program), cases[i].answer);
    }
}

static void variables_that_load_something_start_cold(void **state)
{
    (void)state;
    static const struct {
        const char *entry;
        enum warm_answer answer;
    } cases[] = {
        {"LANG=C.UTF-8", WARM_PLAN_YES},
        {"LC_ALL=C", WARM_PLAN_YES},
        {"TZ=Europe/Berlin", WARM_PLAN_YES},
        {"OMP_NUM_THREADS=1", WARM_PLAN_YES},
        {"PYTHONHASHSEED=0", WARM_PLAN_YES},
        {"PYTHONHASHSEED=random", WARM_PLAN_ENVIRONMENT},
        {"PYTHONHASHSEED=", WARM_PLAN_ENVIRONMENT},
        {"PYTHONIOENCODING=utf-8", WARM_PLAN_YES},
        {"LD_PRELOAD=/w/evil.so", WARM_PLAN_ENVIRONMENT},
        {"LD_LIBRARY_PATH=/w", WARM_PLAN_ENVIRONMENT},
        {"LD_AUDIT=/w/x.so", WARM_PLAN_ENVIRONMENT},
        {"GLIBC_TUNABLES=x", WARM_PLAN_ENVIRONMENT},
        {"GCONV_PATH=/w", WARM_PLAN_ENVIRONMENT},
        {"LOCPATH=/w", WARM_PLAN_ENVIRONMENT},
        {"PYTHONPATH=/w", WARM_PLAN_ENVIRONMENT},
        {"PYTHONHOME=/w", WARM_PLAN_ENVIRONMENT},
        {"PYTHONSTARTUP=/w/x", WARM_PLAN_ENVIRONMENT},
        {"PYTHONPLATLIBDIR=/w", WARM_PLAN_ENVIRONMENT},
        {"PYTHONHASHSEEDX=0", WARM_PLAN_ENVIRONMENT},
        {"PYTHONUSERBASE=/w", WARM_PLAN_ENVIRONMENT},
        {"TZ=/w/zone", WARM_PLAN_ENVIRONMENT},
        {"TZ=:zone", WARM_PLAN_ENVIRONMENT},
        {"TZ=../../../w/zone", WARM_PLAN_ENVIRONMENT},
        {"LANG=/w/locale", WARM_PLAN_ENVIRONMENT},
        {"LC_ALL=../../w/x", WARM_PLAN_ENVIRONMENT},
        {"FOO=bar", WARM_PLAN_ENVIRONMENT},
        {"PATHX=1", WARM_PLAN_ENVIRONMENT},
        {"=x", WARM_PLAN_ENVIRONMENT},
        {"", WARM_PLAN_ENVIRONMENT},
    };
    static const char *const args[] = {"python3", "main.py"};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char program[WARM_PATH_SIZE];
        const char *const env[] = {"PATH=/usr/bin", cases[i].entry};
        struct exec_request request = request_for(args, 2, env, 2);
        assert_int_equal(plan(&request, program), cases[i].answer);
        request.env_count = 1; /* those of /.env count as well */
        assert_int_equal(warm_plan(&warm, &request, env + 1, 1, program), cases[i].answer);
    }
}

static void files_in_its_way_start_cold(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        enum warm_answer answer;
    } cases[] = {
        {"main.py", WARM_PLAN_YES},
        {"./main.py", WARM_PLAN_YES},
        {"data/x.txt", WARM_PLAN_YES},
        {"python3", WARM_PLAN_SHADOWED},
        {"./python3", WARM_PLAN_SHADOWED},
        {"/w/python3", WARM_PLAN_SHADOWED},
        {".local/lib/python3.11/site-packages/x.pth", WARM_PLAN_FILES},
        {"/w/.local/x", WARM_PLAN_FILES},
        {"a/../.local/x", WARM_PLAN_FILES},
        {"a//.local/x", WARM_PLAN_FILES},
    };
    static const char *const args[] = {"python3", "main.py"}, *const env[] = {"PATH=/usr/bin"};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char program[WARM_PATH_SIZE];
        const struct exec_copy_in copy = {.name = cases[i].name, .fd = -1};
        struct exec_request request = request_for(args, 2, env, 1);
        request.copy_in = &copy;
        request.copy_in_count = 1;
        assert_int_equal(plan(&request, program), cases[i].answer);
    }
    char program[WARM_PATH_SIZE];
    const struct exec_file file = {.kind = EXEC_FILE_COLLECT_FILE, .fd = -1, .name = "python3"};
    struct exec_request request = request_for(args, 2, env, 1);
    request.files = &file;
    request.file_count = 1;
    assert_int_equal(plan(&request, program), WARM_PLAN_SHADOWED);
}

static void terminals_and_switched_off_start_cold(void **state)
{
    (void)state;
    static const char *const args[] = {"python3", "main.py"}, *const env[] = {"PATH=/usr/bin"};
    char program[WARM_PATH_SIZE];
    struct exec_request request = request_for(args, 2, env, 1);
    assert_int_equal(warm_plan(NULL, &request, NULL, 0, program), WARM_PLAN_OFF);
    request.tty = true;
    assert_int_equal(plan(&request, program), WARM_PLAN_TERMINAL);
    request = request_for(args, 2, env, 1);
    assert_int_equal(plan(&request, program), WARM_PLAN_YES);
    request.cold = true;
    assert_int_equal(plan(&request, program), WARM_PLAN_OFF);
}

static void only_a_plain_text_in_the_work_directory_is_one(void **state)
{
    (void)state;
    static const struct exec_copy_in text = {"main.py", EXEC_COPY_CONTENT, "print(1)\n", 9, -1, 0},
                                     empty = {"main.py", EXEC_COPY_CONTENT, "", 0, -1, 0},
                                     archive = {"main.py", EXEC_COPY_CONTENT, "..PK\5\6...", 9, -1,
                                                0},
                                     link = {"main.py", EXEC_COPY_SYMLINK, "x", 1, -1, 0},
                                     path = {"main.py", EXEC_COPY_PATH, "/x", 2, -1, 0},
                                     below = {"sub/main.py", EXEC_COPY_CONTENT, "1\n", 2, -1, 0},
                                     other = {"other.py", EXEC_COPY_CONTENT, "1\n", 2, -1, 0};
    const struct {
        const char *script;
        struct exec_copy_in files[2];
        size_t count;
        bool is_text;
    } cases[] = {
        {"main.py", {text}, 1, true},          {"/w/main.py", {text}, 1, true},
        {"main.py", {other, text}, 2, true},   {"main.py", {empty}, 1, true},
        {"main.py", {archive}, 1, false},      {"main.py", {link}, 1, false},
        {"main.py", {path}, 1, false},         {"main.py", {other}, 1, false},
        {"main.py", {{0}}, 0, false},          {"main.py", {text, archive}, 2, false},
        {"sub/main.py", {below}, 1, false},    {"./main.py", {text}, 1, false},
        {"/w/sub/main.py", {below}, 1, false},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        const char *args[] = {"python3", cases[i].script};
        struct exec_request request = request_for(args, 2, NULL, 0);
        request.copy_in = cases[i].files;
        request.copy_in_count = cases[i].count;
        assert_int_equal(warm_text(&warm, &request), cases[i].is_text);
    }
}

/* As far behind the end as a comment may be long. */
static void archives_are_looked_for_at_the_end(void **state)
{
    (void)state;
    static char content[200000];
    memset(content, '#', sizeof(content));
    const char *args[] = {"python3", "main.py"};
    struct exec_request request = request_for(args, 2, NULL, 0);
    const struct exec_copy_in file = {"main.py", EXEC_COPY_CONTENT, content, sizeof(content), -1,
                                      0};
    request.copy_in = &file;
    request.copy_in_count = 1;
    char *const last = content + sizeof(content) - (65536 + 22);
    memcpy(last - 1, "PK\5\6", 4);
    assert_true(warm_text(&warm, &request));
    memset(last - 1, '#', 4);
    memcpy(last, "PK\5\6", 4);
    assert_false(warm_text(&warm, &request));
}

static void statements_that_import_are_found(void **state)
{
    (void)state;
    static const char *const args[] = {"python3", "main.py"};
    static const struct {
        const char *text, *preload;
    } cases[] = {
        {"import numpy", "numpy"},
        {"import numpy as np\nprint(1)", "numpy"},
        {"x = 1\n\timport  numpy.linalg\r\n", "numpy"},
        {"from numpy import array", "numpy"},
        {"from numpy.linalg import det", "numpy"},
        {"import sys, numpy", "numpy"},
        {"import sys;import re, numpy as np", "numpy,re"},
        {"try: import numpy\nexcept ImportError: pass", "numpy"},
        {"def f():\n    import re", "re"},
        {"# it's\nimport re", "re"},
        {"import numpy_like", NULL},
        {"import numpy\xc3\xa9", NULL},
        {"import my.numpy", NULL},
        {"from . import numpy", NULL},
        {"fromnumpy import x", NULL},
        {"# import numpy", NULL},
        {"print('import numpy')", NULL},
        {"x = 'numpy'", NULL},
        {"", NULL},
        {"import", NULL},
        {"from", NULL},
        {"import numpy,", "numpy"},
        {"importnumpy", NULL},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char out[WARM_PRELOAD_SIZE];
        const struct exec_copy_in file = {.name = "main.py",
                                          .kind = EXEC_COPY_CONTENT,
                                          .data = cases[i].text,
                                          .size = strlen(cases[i].text)};
        struct exec_request request = request_for(args, 2, NULL, 0);
        request.copy_in = &file;
        request.copy_in_count = 1;
        const char *found = warm_preload(&warm, &request, out);
        if (cases[i].preload == NULL)
            assert_null(found);
        else
            assert_string_equal(found, cases[i].preload);
    }
}

static const char *preload_of(const char *text, size_t size, char *out)
{
    static const char *const args[] = {"python3", "main.py"};
    const struct exec_copy_in file = {
        .name = "main.py", .kind = EXEC_COPY_CONTENT, .data = text, .size = size};
    struct exec_request request = request_for(args, 2, NULL, 0);
    request.copy_in = &file;
    request.copy_in_count = 1;
    return warm_preload(&warm, &request, out);
}

static void programs_that_might_tell_preload_nothing(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool preloads;
    } cases[] = {
        {"import numpy\nprint(numpy.trace(a), 'module', gcd(1, 2))", true},
        {"import numpy, os.path\nopen('x').close()", true},
        {"import numpy, gc", false},
        {"import numpy; x = sys.modules", false},
        {"import numpy # gc", false},
        {"import numpy; print('gc')", false},
        {"gc", false},
        {"import os; os.environ['A'] = 'b'\nimport numpy", false},
        {"import numpy\nx = 'NPY_DISABLE_CPU_FEATURES'", false},
        {"import importlib.util, numpy", false},
        {"import numpy\nclass A:\n    def __del__(self): pass", false},
        {"import numpy\nmy__del__ = del__ = modules_ = 1", true},
        {"import numpy, sys; sys.setrecursionlimit(10**6)", true},
    };
    char out[WARM_PRELOAD_SIZE];
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        assert_int_equal(preload_of(cases[i].text, strlen(cases[i].text), out) != NULL,
                         cases[i].preloads);
}

/* An end as usual takes apart, and copies, more than a cold one: its figures would be too high. */
static void programs_that_might_end_as_usual_preload_nothing(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool preloads;
    } cases[] = {
        {"import numpy as np, sys, heapq as h", true},
        {"import sys\nfrom collections import deque\nimport numpy.linalg as la", true},
        {"import numpy\nfrom os.path import join; import collections.abc", true},
        {"import numpy # import sqlite3", true},
        {"import numpy, sqlite3", false},
        {"import numpy\ndef f():\n    import logging.handlers as h", false},
        {"import numpy\ntry: import scipy.sparse\nexcept ImportError: pass", false},
        {"from concurrent.futures import ThreadPoolExecutor\nimport numpy", false},
        {"import numpy\nfrom . import x", false},
        {"import numpy, sysx", false},
        {"import numpy, os, numpyx", false},
        {"import numpy,", true},
        {"import numpy.testing", false},
        {"import numpy as np; np.savez('x')", false},
        {"import numpy, os\nif os.fork() == 0: pass", false},
        {"import numpy\ndef g(): yield 1", false},
        {"import numpy; import re", true},
    };
    char out[WARM_PRELOAD_SIZE];
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        assert_int_equal(preload_of(cases[i].text, strlen(cases[i].text), out) != NULL,
                         cases[i].preloads);
}

/* Beside the interpreter's own memory lie tables for what is ahead, which are used by nobody but are counted there. */
static void limits_on_address_space_preload_nothing(void **state)
{
    (void)state;
    static const char *const args[] = {"python3", "main.py"};
    const struct exec_copy_in file = {
        .name = "main.py", .kind = EXEC_COPY_CONTENT, .data = "import numpy", .size = 12};
    struct exec_request request = request_for(args, 2, NULL, 0);
    char out[WARM_PRELOAD_SIZE];
    request.copy_in = &file;
    request.copy_in_count = 1;
    assert_non_null(warm_preload(&warm, &request, out));
    request.limits.address_space = true;
    assert_null(warm_preload(&warm, &request, out));
    request.limits.address_space = false;
    request.limits.data_segment = true;
    assert_null(warm_preload(&warm, &request, out));
}

/* What is not looked at to its end might tell there. */
static void long_programs_preload_nothing(void **state)
{
    (void)state;
    enum { MOST = 1024 * 1024 };
    static char text[MOST + 1] = "import numpy\n";
    char out[WARM_PRELOAD_SIZE];
    memset(text + 13, '\n', sizeof(text) - 13);
    assert_non_null(preload_of(text, MOST, out));
    assert_null(preload_of(text, MOST + 1, out));
}

static void files_that_could_be_imported_instead_preload_nothing(void **state)
{
    (void)state;
    static const char *const args[] = {"python3", "/w/main.py"};
    static const struct {
        const char *name;
        enum exec_copy_kind kind;
        bool preloads;
    } cases[] = {
        {"input.txt", EXEC_COPY_CONTENT, true},  {"data", EXEC_COPY_FD, true},
        {"random.py", EXEC_COPY_CONTENT, false}, {"numpy/x", EXEC_COPY_CONTENT, false},
        {"re.so", EXEC_COPY_PATH, false},        {"numpy", EXEC_COPY_SYMLINK, false},
        {"re.pyc", EXEC_COPY_FD, false},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char out[WARM_PRELOAD_SIZE];
        struct exec_copy_in files[] = {
            {.name = cases[i].name, .kind = cases[i].kind},
            {.name = "main.py", .kind = EXEC_COPY_CONTENT, .data = "import re", .size = 9},
        };
        struct exec_request request = request_for(args, 2, NULL, 0);
        request.copy_in = files;
        request.copy_in_count = COUNT_OF(files);
        assert_int_equal(warm_preload(&warm, &request, out) != NULL, cases[i].preloads);
    }
    /* a script that is not at hand is not looked into */
    char out[WARM_PRELOAD_SIZE];
    const struct exec_copy_in stored = {.name = "main.py", .kind = EXEC_COPY_FD, .fd = -1};
    struct exec_request request = request_for(args, 2, NULL, 0);
    assert_null(warm_preload(&warm, &request, out));
    request.copy_in = &stored;
    request.copy_in_count = 1;
    assert_null(warm_preload(&warm, &request, out));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(interpreters_are_found_where_init_would_find_them),
        cmocka_unit_test(only_an_interpreter_with_its_script_is_one),
        cmocka_unit_test(variables_that_load_something_start_cold),
        cmocka_unit_test(files_in_its_way_start_cold),
        cmocka_unit_test(terminals_and_switched_off_start_cold),
        cmocka_unit_test(only_a_plain_text_in_the_work_directory_is_one),
        cmocka_unit_test(archives_are_looked_for_at_the_end),
        cmocka_unit_test(statements_that_import_are_found),
        cmocka_unit_test(programs_that_might_tell_preload_nothing),
        cmocka_unit_test(programs_that_might_end_as_usual_preload_nothing),
        cmocka_unit_test(limits_on_address_space_preload_nothing),
        cmocka_unit_test(long_programs_preload_nothing),
        cmocka_unit_test(files_that_could_be_imported_instead_preload_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
