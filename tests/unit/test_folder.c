/* base/folder.h, base/remove_tree.h: what goes, and what stays. */
#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/folder.h"
#include "base/remove_tree.h"

static char parent[] = "/tmp/cjudge-test-folder-XXXXXX";
static int parent_fd;

static int set_up(void **state)
{
    (void)state;
    memcpy(strrchr(parent, '-') + 1, "XXXXXX", 6);
    if (mkdtemp(parent) == NULL)
        return -1;
    parent_fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return parent_fd < 0;
}

static int tear_down(void **state)
{
    (void)state;
    close(parent_fd);
    return rmdir(parent); /* each test has emptied it */
}

static void make(int dir_fd, const char *name)
{
    auto_fd int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
}

static bool is_there(int dir_fd, const char *name)
{
    return faccessat(dir_fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

/* ---- trees ---- */

static void make_deep(int dir_fd, const char *name, unsigned depth)
{
    auto_fd int at = fcntl(dir_fd, F_DUPFD_CLOEXEC, 0);
    for (unsigned i = 0; i < depth; i++) {
        const char *part = i == 0 ? name : "d";
        assert_int_equal(mkdirat(at, part, 0700), 0);
        int next = openat(at, part, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(next >= 0);
        make(next, "f");
        make(next, ".cjudge-0"); /* the names that what is moved up gets */
        close(at);
        at = next;
    }
}

static void a_deep_tree_goes(void **state)
{
    (void)state;
    make_deep(parent_fd, "deep", 3000);
    assert_int_equal(remove_tree(parent_fd, "deep"), 0);
    assert_false(is_there(parent_fd, "deep"));
    assert_int_equal(remove_tree(parent_fd, "deep"), 0); /* gone already */
}

static void a_wide_tree_goes(void **state)
{
    (void)state;
    char name[32];
    assert_int_equal(mkdirat(parent_fd, "wide", 0700), 0);
    auto_fd int wide = openat(parent_fd, "wide", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (int i = 0; i < 500; i++) {
        snprintf(name, sizeof(name), "d%d", i);
        make_deep(wide, name, 3);
    }
    assert_int_equal(remove_tree(parent_fd, "wide"), 0);
    assert_false(is_there(parent_fd, "wide"));
}

static void what_is_closed_to_its_owner_goes(void **state)
{
    (void)state;
    make_deep(parent_fd, "closed", 3);
    assert_int_equal(fchmodat(parent_fd, "closed/d/d", 0, 0), 0);
    assert_int_equal(fchmodat(parent_fd, "closed/d", 0500, 0), 0);
    assert_int_equal(fchmodat(parent_fd, "closed", 0, 0), 0);
    assert_int_equal(remove_tree(parent_fd, "closed"), 0);
    assert_false(is_there(parent_fd, "closed"));
}

static void links_are_not_followed(void **state)
{
    (void)state;
    make_deep(parent_fd, "other", 2);
    assert_int_equal(mkdirat(parent_fd, "tree", 0700), 0);
    assert_int_equal(mkdirat(parent_fd, "tree/below", 0700), 0);
    assert_int_equal(symlinkat("../other", parent_fd, "tree/link"), 0);
    assert_int_equal(symlinkat("../../other", parent_fd, "tree/below/link"), 0);
    assert_int_equal(symlinkat("other", parent_fd, "link"), 0);
    assert_int_equal(remove_tree_open(parent_fd, "link"), -1);
    assert_int_equal(remove_tree_open(parent_fd, "../tmp"), -1);
    assert_int_equal(remove_tree(parent_fd, "tree"), 0);
    assert_int_equal(remove_tree(parent_fd, "link"), 0);
    assert_true(is_there(parent_fd, "other/d/f"));
    assert_int_equal(remove_tree(parent_fd, "other"), 0);
}

static void but_one(void **state)
{
    (void)state;
    make_deep(parent_fd, "tree", 3);
    make_deep(parent_fd, "tree/kept", 2);
    auto_fd int tree = remove_tree_open(parent_fd, "tree");
    assert_int_equal(remove_tree_in(tree, "kept"), 0);
    assert_true(is_there(tree, "kept/d/f"));
    assert_false(is_there(tree, "f") || is_there(tree, "d"));
    assert_int_equal(remove_tree(parent_fd, "tree"), 0);
}

/* ---- folders ---- */

static struct folder make_folder(const char *prefix)
{
    struct folder folder;
    struct cj_error err;
    if (folder_make(parent, prefix, 0755, &folder, &err) < 0)
        fail_msg("%s", err.message);
    return folder;
}

static const char *name_of(const struct folder *folder)
{
    return strrchr(folder->path, '/') + 1;
}

/* As kill -9 leaves it. */
static void leave(struct folder *folder)
{
    fd_close(&folder->fd);
    fd_close(&folder->lock_fd);
}

static void an_owner_keeps_its_folder(void **state)
{
    (void)state;
    struct folder held = make_folder("ours-");
    struct stat info;
    assert_int_equal(stat(held.path, &info), 0);
    assert_int_equal(info.st_mode & 07777, 0755);
    make(held.fd, "file");
    folder_remove_left(parent, "ours-");
    assert_true(is_there(held.fd, "file"));
    folder_remove(&held);
    assert_int_equal(held.path[0], '\0');
    folder_remove(&held); /* there is none */
}

static void what_is_left_goes(void **state)
{
    (void)state;
    struct folder left = make_folder("ours-"), other = make_folder("theirs-");
    make_deep(left.fd, "deep", 100);
    leave(&left);
    leave(&other);
    folder_remove_left(parent, "ours-");
    assert_false(is_there(parent_fd, name_of(&left)));
    assert_true(is_there(parent_fd, name_of(&other)));
    folder_remove_left(parent, "theirs-");
    assert_false(is_there(parent_fd, name_of(&other)));
}

/* Each looks like what is left, but for one thing. */
static void what_only_looks_like_it_stays(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        mode_t mode;
        bool lock;
    } cases[] = {{"ours-abcdef", 0700, false}, {"ours-abcdefg", 0700, true},
                 {"ours-abcde", 0700, true},   {"ours-abc.ef", 0700, true},
                 {"ours-ABC123", 0777, true},  {"ours-ABC124", 0720, true},
                 {"other-abcde", 0700, true},  {"xours-abcdef", 0700, true}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        assert_int_equal(mkdirat(parent_fd, cases[i].name, 0700), 0);
        auto_fd int fd = openat(parent_fd, cases[i].name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        make(fd, cases[i].lock ? "lock" : "file");
        assert_int_equal(fchmod(fd, cases[i].mode), 0);
    }
    folder_remove_left(parent, "ours-");
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        if (!is_there(parent_fd, cases[i].name))
            fail_msg("%s is gone", cases[i].name);
        assert_int_equal(remove_tree(parent_fd, cases[i].name), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_deep_tree_goes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_wide_tree_goes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_closed_to_its_owner_goes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(links_are_not_followed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(but_one, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_owner_keeps_its_folder, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_left_goes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_only_looks_like_it_stays, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
