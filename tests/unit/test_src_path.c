/* Host files that requests name, and the prefixes they must lie below. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/io.h"
#include "src_path.h"

static void prefixes_are_compared_part_by_part(void **state)
{
    (void)state;
    static const struct {
        const char *prefix, *path;
        bool below;
    } cases[] = {
        {"/data", "/data", true},
        {"/data", "/data/x", true},
        {"/data", "/database", false},
        {"/data", "/dat", false},
        {"/data", "/", false},
        {"/data/", "/data/x", true},
        {"/data/", "/data", true},
        {"/", "/", true},
        {"/", "/x", true},
        {"/data/a", "/data", false},
        {"/data/a", "/data/ab", false},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        if (src_path_below(cases[i].prefix, cases[i].path) != cases[i].below)
            fail_msg("%s, %s", cases[i].prefix, cases[i].path);
}

/* A folder with inside/file, outside/file, and links to and fro. */
struct fixture {
    char folder[64];
    char inside[80];
    char *prefix_items[1];
    struct option_list prefixes;
};

static void put(const struct fixture *fixture, const char *name)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/%s", fixture->folder, name);
    auto_fd int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    assert_true(fd >= 0 && write_full(fd, name, strlen(name)) == 0);
}

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    char path[128];
    snprintf(fixture->folder, sizeof(fixture->folder), "/tmp/test_src_path.XXXXXX");
    if (fixture == NULL || mkdtemp(fixture->folder) == NULL)
        return -1;
    snprintf(fixture->inside, sizeof(fixture->inside), "%s/inside", fixture->folder);
    mkdir(fixture->inside, 0755);
    snprintf(path, sizeof(path), "%s/outside", fixture->folder);
    mkdir(path, 0755);
    put(fixture, "inside/file");
    put(fixture, "outside/file");
    snprintf(path, sizeof(path), "%s/inside/away", fixture->folder);
    assert_int_equal(symlink("../outside/file", path), 0);
    snprintf(path, sizeof(path), "%s/outside/back", fixture->folder);
    assert_int_equal(symlink("../inside/file", path), 0);
    fixture->prefix_items[0] = fixture->inside;
    fixture->prefixes = (struct option_list){fixture->prefix_items, 1};
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    static const char *const names[] = {"inside/away",  "inside/file", "outside/back",
                                        "outside/file", "inside",      "outside"};
    char path[128];
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        snprintf(path, sizeof(path), "%s/%s", fixture->folder, names[i]);
        remove(path);
    }
    remove(fixture->folder);
    free(fixture);
    return 0;
}

static void what_is_meant_counts(void **state)
{
    struct fixture *fixture = *state;
    static const struct {
        const char *name, *content; /* content NULL: refused, with the word */
        const char *word;
    } cases[] = {
        {"inside/file", "inside/file", NULL},
        {"outside/back", "inside/file", NULL},
        {"outside/../inside/file", "inside/file", NULL},
        {"outside/file", NULL, "does not under (["},
        {"inside/away", NULL, "does not under (["},
        {"inside/../outside/file", NULL, "does not under (["},
        {"inside", NULL, "directory"},
        {"inside/nothing", NULL, "lstat"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char path[160];
        char text[64] = "";
        auto_fd int fd = -1;
        struct cj_error err = {0};
        snprintf(path, sizeof(path), "%s/%s", fixture->folder, cases[i].name);
        int opened = src_path_open_copy(&fixture->prefixes, path, &fd, &err);
        if (opened != (cases[i].content != NULL ? 0 : -1))
            fail_msg("%s: %s", cases[i].name, err.message);
        if (opened == 0) {
            assert_true(read_full(fd, text, sizeof(text) - 1) > 0);
            assert_string_equal(text, cases[i].content);
        } else {
            assert_int_equal(err.domain, ERROR_REQUEST);
            assert_non_null(strstr(err.message, cases[i].word));
            assert_non_null(strstr(err.message, path));
        }
    }
}

static void without_prefixes_everything_is_allowed(void **state)
{
    struct fixture *fixture = *state;
    const struct option_list none = {NULL, 0};
    char path[160];
    auto_fd int fd = -1;
    struct cj_error err = {0};
    snprintf(path, sizeof(path), "%s/inside/away", fixture->folder);
    assert_int_equal(src_path_open_copy(&none, path, &fd, &err), 0);
    snprintf(path, sizeof(path), "%s/nothing", fixture->folder);
    int missing = -1;
    assert_int_equal(src_path_open(&none, path, &missing, &err), -1);
    assert_int_equal(err.code, ENOENT);
    assert_non_null(strstr(err.message, ": no such file or directory"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prefixes_are_compared_part_by_part),
        cmocka_unit_test_setup_teardown(what_is_meant_counts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(without_prefixes_everything_is_allowed, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
