/* Container paths, resolved in text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>

#include "base/attr.h"
#include "path.h"

static void paths_are_made_absolute_and_clean(void **state)
{
    (void)state;
    static const struct {
        const char *work_dir, *name, *want;
    } cases[] = {
        {"/w", "a", "/w/a"},
        {"/w", "a/b", "/w/a/b"},
        {"/w", "/a/b", "/a/b"},
        {"/w", "./a", "/w/a"},
        {"/w", "a/.", "/w/a"},
        {"/w", "a/./b/.", "/w/a/b"},
        {"/w", "a//b", "/w/a/b"},
        {"/w", "//a///b//", "/a/b"},
        {"/w", "a/", "/w/a"},
        {"/w", "../a", "/a"},
        {"/w", "../../../a", "/a"},
        {"/w", "a/..", "/w"},
        {"/w", "a/../b", "/w/b"},
        {"/w", "a/b/../../c", "/w/c"},
        {"/w", "/../a", "/a"},
        {"/w", "/a/../../b", "/b"},
        {"/w", ".", "/w"},
        {"/w", "./", "/w"},
        {"/w", "..a", "/w/..a"},
        {"/w", "a..", "/w/a.."},
        {"/w", "...", "/w/..."},
        {"/w", ".a", "/w/.a"},
        {"/w", "a b\n\xff", "/w/a b\n\xff"},
        {"/w/", "a", "/w/a"},
        {"//w//x/", "a", "/w/x/a"},
        {"/w/../v", "a", "/v/a"},
        {"/w/x/y", "../a", "/w/x/a"},
        {"/", "a", "/a"},
        {"", "a", "/a"},
        {"/w", "~", "/w/~"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char out[EXEC_PATH_MAX];
        memset(out, 'x', sizeof(out));
        assert_int_equal(exec_path_resolve(cases[i].work_dir, cases[i].name, out), 0);
        assert_string_equal(out, cases[i].want);
    }
}

static void a_name_that_is_no_file_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *work_dir, *name;
        int code;
    } cases[] = {
        {"/w", "", ENOENT},        {"/w", "/", EISDIR},  {"/w", "..", EISDIR},
        {"/w", "//", EISDIR},      {"/w", "/.", EISDIR}, {"/w", "/..", EISDIR},
        {"/w", "a/../..", EISDIR}, {"/", ".", EISDIR},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char out[EXEC_PATH_MAX];
        errno = 0;
        assert_int_equal(exec_path_resolve(cases[i].work_dir, cases[i].name, out), -1);
        assert_int_equal(errno, cases[i].code);
    }
}

/* Writes exactly into EXEC_PATH_MAX bytes, with the NUL: ASan watches the edges. */
static void the_longest_path_fits_and_one_byte_more_does_not(void **state)
{
    (void)state;
    char out[EXEC_PATH_MAX], name[2 * EXEC_PATH_MAX];
    for (size_t length = EXEC_PATH_MAX - 8; length < EXEC_PATH_MAX + 8; length++) {
        memset(name, 'a', length);
        name[0] = '/';
        name[length] = '\0';
        errno = 0;
        int result = exec_path_resolve("/w", name, out);
        if (length <= EXEC_PATH_MAX - 1) {
            assert_int_equal(result, 0);
            assert_int_equal(strlen(out), length);
        } else {
            assert_int_equal(result, -1);
            assert_int_equal(errno, ENAMETOOLONG);
        }
    }
}

static void a_work_directory_counts_towards_the_length(void **state)
{
    (void)state;
    char out[EXEC_PATH_MAX], name[EXEC_PATH_MAX];
    memset(name, 'b', sizeof(name));
    name[EXEC_PATH_MAX - 4] = '\0'; /* "/w/" before it: one byte short of the end */
    assert_int_equal(exec_path_resolve("/w", name, out), 0);
    assert_int_equal(strlen(out), EXEC_PATH_MAX - 1);
    name[EXEC_PATH_MAX - 4] = 'b';
    name[EXEC_PATH_MAX - 3] = '\0';
    assert_int_equal(exec_path_resolve("/w", name, out), -1);
    assert_int_equal(errno, ENAMETOOLONG);
}

static void parts_that_vanish_do_not_count(void **state)
{
    (void)state;
    char out[EXEC_PATH_MAX], name[4 * EXEC_PATH_MAX] = "";
    for (size_t i = 0; i < EXEC_PATH_MAX / 2; i++)
        strcat(name, "a/../");
    strcat(name, "b");
    assert_int_equal(exec_path_resolve("/w", name, out), 0);
    assert_string_equal(out, "/w/b");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths_are_made_absolute_and_clean),
        cmocka_unit_test(a_name_that_is_no_file_is_refused),
        cmocka_unit_test(the_longest_path_fits_and_one_byte_more_does_not),
        cmocka_unit_test(a_work_directory_counts_towards_the_length),
        cmocka_unit_test(parts_that_vanish_do_not_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
