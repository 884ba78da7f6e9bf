/* Results grow, keep exact bytes, and give everything back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>

#include "result.h"

static void files_keep_their_bytes_and_order(void **state)
{
    (void)state;
    enum { FILES = 100 };
    struct exec_result result = {0};
    struct cj_error err = {0};
    char name[32], data[FILES + 1];
    for (int i = 0; i < FILES; i++) {
        struct keep keep = {.max = UINT64_MAX};
        memset(data, i, sizeof(data));
        keep_append(&keep, data, (size_t)i); /* the first one is empty; the bytes hold NUL */
        snprintf(name, sizeof(name), "file %d", i);
        assert_int_equal(result_add_file(&result, name, &keep, &err), 0);
        keep_free(&keep);
        assert_int_equal(result.file_count, i + 1);
    }
    for (int i = 0; i < FILES; i++) {
        snprintf(name, sizeof(name), "file %d", i);
        memset(data, i, sizeof(data));
        assert_string_equal(result.files[i].name, name);
        assert_int_equal(result.files[i].size, i);
        if (i > 0)
            assert_memory_equal(result.files[i].data, data, (size_t)i);
    }
    exec_result_free(&result);
    assert_null(result.files);
    assert_int_equal(result.file_count, 0);
}

static void an_empty_file_has_no_data(void **state)
{
    (void)state;
    struct exec_result result = {0};
    struct cj_error err = {0};
    struct keep keep = {.max = 1};
    assert_int_equal(result_add_file(&result, "empty", &keep, &err), 0);
    assert_int_equal(result.files[0].size, 0);
    assert_true(result.files[0].data == NULL || result.files[0].data[0] == '\0');
    exec_result_free(&result);
}

static void what_could_not_be_kept_is_an_error(void **state)
{
    (void)state;
    struct exec_result result = {0};
    struct cj_error err = {0};
    struct keep keep = {.max = 100, .small.limit = 4};
    keep_append(&keep, "too long", 8);
    assert_int_equal(result_add_file(&result, "cut", &keep, &err), -1);
    assert_int_equal(err.code, EFBIG);
    keep_free(&keep);
    exec_result_free(&result);
}

static void a_later_file_takes_the_place_of_one_with_its_name(void **state)
{
    (void)state;
    struct exec_result result = {0};
    struct cj_error err = {0};
    const struct {
        const char *name, *data;
    } files[] = {{"a", "first"}, {"b", "other"}, {"a", "again"}};
    for (size_t i = 0; i < COUNT_OF(files); i++) {
        struct keep keep = {.max = 100};
        keep_append(&keep, files[i].data, 5);
        assert_int_equal(result_replace_file(&result, files[i].name, &keep, &err), 0);
    }
    assert_int_equal(result.file_count, 2);
    assert_string_equal(result.files[0].name, "a");
    assert_memory_equal(result.files[0].data, "again", 5);
    assert_memory_equal(result.files[1].data, "other", 5);
    exec_result_free(&result);
}

static void file_errors_keep_kind_and_words(void **state)
{
    (void)state;
    struct exec_result result = {0};
    struct cj_error err = {0};
    for (int i = 0; i < 33; i++)
        assert_int_equal(result_add_file_error(&result, "n", (enum exec_file_error_kind)(i % 10),
                                               &err, "open %s: %d%%", "n", i),
                         0);
    assert_int_equal(result.file_error_count, 33);
    for (int i = 0; i < 33; i++) {
        char want[32];
        snprintf(want, sizeof(want), "open n: %d%%", i);
        assert_int_equal(result.file_errors[i].kind, i % 10);
        assert_string_equal(result.file_errors[i].name, "n");
        assert_string_equal(result.file_errors[i].message, want);
    }
    exec_result_free(&result);
    exec_result_free(&result); /* twice is fine */
}

static void the_first_error_stays(void **state)
{
    (void)state;
    struct exec_result result = {0};
    result_set_error(&result, "first %d", 1);
    result_set_error(&result, "second");
    assert_string_equal(result.error, "first 1");
    exec_result_free(&result);
    assert_null(result.error);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_keep_their_bytes_and_order),
        cmocka_unit_test(an_empty_file_has_no_data),
        cmocka_unit_test(what_could_not_be_kept_is_an_error),
        cmocka_unit_test(a_later_file_takes_the_place_of_one_with_its_name),
        cmocka_unit_test(file_errors_keep_kind_and_words),
        cmocka_unit_test(the_first_error_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
