/* What a program can do with the descriptor of a stored file: read. Each try is made by a child under several
 * uids: the file's owner without capabilities, and another. As an ordinary user the owner's is the only
 * one. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/io.h"
#include "store_private.h"

#define CONTENT "the expected answer\n"

enum { OTHER_UID = 54321, SIZE = sizeof(CONTENT) - 1 };

static bool writes_through_map(int fd)
{
    char *map = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED)
        return false;
    map[0] = '#';
    return true;
}

static bool raises_map(int fd)
{
    char *map = mmap(NULL, SIZE, PROT_READ, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED || mprotect(map, SIZE, PROT_READ | PROT_WRITE) < 0)
        return false;
    map[0] = '#';
    return true;
}

/* Opening may succeed for a sealed copy; writing through it must not. */
static bool opens_anew(int fd, int flags)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    auto_fd int again = open(path, flags);
    return again >= 0 && (write(again, "#", 1) == 1 || ftruncate(again, 0) == 0 ||
                          fallocate(again, 0, 0, 4096) == 0 || writes_through_map(again));
}

static bool truncates(int fd)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    return truncate(path, 0) == 0;
}

/* Everything that would change the content. Returns the first that worked; 0: none. */
static int try_to_change(int fd)
{
    const bool changed[] = {
        write(fd, "#", 1) == 1,
        pwrite(fd, "#", 1, 0) == 1,
        ftruncate(fd, 0) == 0,
        truncates(fd),
        fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, SIZE) == 0,
        writes_through_map(fd),
        raises_map(fd),
        opens_anew(fd, O_WRONLY),
        opens_anew(fd, O_RDWR),
        opens_anew(fd, O_RDWR | O_APPEND),
        opens_anew(fd, O_RDWR | O_TRUNC),
    };
    for (size_t i = 0; i < COUNT_OF(changed); i++)
        if (changed[i])
            return (int)i + 1;
    return 0;
}

/* Everything about it. What works on a copy is nobody else's matter: the parent looks at the store. */
static void try_to_alter(int fd)
{
    char path[64];
    const struct timespec times[2] = {{.tv_sec = 1}, {.tv_sec = 1}};
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    (void)!fchmod(fd, 0);
    (void)!fchown(fd, OTHER_UID, OTHER_UID);
    (void)!futimens(fd, times);
    (void)!fsetxattr(fd, "user.cjudge.name", "fake", 4, 0);
    (void)!fremovexattr(fd, "user.cjudge.name");
    (void)!chmod(path, 0666);
    (void)!fchmod(fd, 0666);
}

/* The owner without capabilities, as a program is: root loses its own by an exec with an empty bounding set
 * (capabilities(7)), and main() goes on. */
static void exec_without_capabilities(int fd)
{
    char number[16];
    snprintf(number, sizeof(number), "%d", fd);
    for (int capability = 0; prctl(PR_CAPBSET_DROP, capability) == 0; capability++)
        continue;
    (void)fcntl(fd, F_SETFD, 0);
    execl("/proc/self/exe", "test_store_hostile", "--try", number, NULL);
    _exit(100);
}

static int try_everything(int fd)
{
    int worked = try_to_change(fd);
    try_to_alter(fd);
    return worked != 0 ? worked : try_to_change(fd);
}

static void child(int fd, uid_t uid)
{
    if (uid == 0)
        exec_without_capabilities(fd);
    if (geteuid() == 0 && (setresgid(uid, uid, uid) < 0 || setresuid(uid, uid, uid) < 0))
        _exit(101);
    _exit(try_everything(fd));
}

static void expect_harmless(int fd, uid_t uid)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        child(fd, uid);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (status != 0)
        fail_msg("uid %u: try %d changed the file (wait status %#x)", uid, WEXITSTATUS(status),
                 (unsigned)status);
}

/* Content, mode, owner, times and name are as before, for the next reader. */
static void expect_as_before(struct store *store, const char *id, const struct store_file *before,
                             const struct stat *info)
{
    auto_store_file struct store_file after;
    struct cj_error err;
    struct stat now;
    char got[SIZE + 1];
    assert_int_equal(store_get(store, id, &after, &err), 0);
    assert_int_equal(fstat(after.fd, &now), 0);
    assert_string_equal(after.name, before->name);
    assert_int_equal(after.size, SIZE);
    assert_int_equal(after.mtime_ns, before->mtime_ns);
    assert_int_equal(now.st_mode, info->st_mode);
    assert_int_equal(now.st_uid, info->st_uid);
    assert_int_equal(read_full(after.fd, got, sizeof(got)), SIZE);
    assert_memory_equal(got, CONTENT, SIZE);
}

static void expect_harmless_in(const char *directory, unsigned lacks)
{
    const struct store_settings settings = {.directory = directory, .max_bytes = 1 << 20};
    struct store *store;
    struct store_draft *draft;
    struct cj_error err;
    struct stat info;
    char id[STORE_ID_SIZE];
    if (store_open_lacking(&settings, lacks, &store, &err) < 0)
        fail_msg("%s", err.message);
    assert_int_equal(store_draft_new(store, &draft, &err), 0);
    assert_int_equal(store_draft_write(draft, CONTENT, SIZE, &err), 0);
    assert_int_equal(store_draft_commit(draft, "answer", id, &err), 0);
    const uid_t uids[] = {geteuid(), OTHER_UID};
    for (size_t i = 0; i < (geteuid() == 0 ? COUNT_OF(uids) : 1); i++) {
        /* A memfd of root's is guarded by its owner, and no program is root on the host. */
        if (uids[i] == 0 && store->shelf.kind == SHELF_MEMFDS)
            continue;
        auto_store_file struct store_file file;
        assert_int_equal(store_get(store, id, &file, &err), 0);
        assert_int_equal(fstat(file.fd, &info), 0);
        expect_harmless(file.fd, uids[i]);
        expect_as_before(store, id, &file, &info);
    }
    assert_int_equal(store_remove(store, id, &err), 0);
    store_free(store);
}

static void test_memory(void **state)
{
    (void)state;
    expect_harmless_in(NULL, 0);
}

static void test_memfds(void **state)
{
    (void)state;
    expect_harmless_in(NULL, SHELF_NO_MOUNTS);
}

static void test_directory(void **state)
{
    static const unsigned lacks[] = {0, SHELF_NO_MOUNTS, SHELF_NO_TMPFILE};
    char directory[] = "/var/tmp/cjudge-store-XXXXXX";
    (void)state;
    assert_non_null(mkdtemp(directory));
    assert_int_equal(chmod(directory, 0777), 0);
    for (size_t i = 0; i < COUNT_OF(lacks); i++)
        expect_harmless_in(directory, lacks[i]);
    assert_int_equal(rmdir(directory), 0);
}

/* What these tests rest on: a plain descriptor of a plain file does not stand the same tries. */
static void test_tries_can_succeed(void **state)
{
    char path[] = "/var/tmp/cjudge-store-XXXXXX";
    (void)state;
    auto_fd int writable = mkstemp(path);
    assert_int_equal(write_full(writable, CONTENT, SIZE), 0);
    assert_int_equal(fchmod(writable, 0666), 0);
    auto_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
    pid_t pid = fork();
    if (pid == 0)
        child(fd, geteuid() == 0 ? OTHER_UID : geteuid());
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) > 0 && WEXITSTATUS(status) < 100);
    unlink(path);
}

int main(int argc, char **argv)
{
    if (argc == 3 &&
        strcmp(argv[1], "--try") == 0) { /* the child of root's, without capabilities */
        return try_everything(atoi(argv[2]));
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_memfds),
        cmocka_unit_test(test_directory),
        cmocka_unit_test(test_tries_can_succeed),
    };
    return cmocka_run_group_tests_name("store_hostile", tests, NULL, NULL);
}
