/* The file store, in each of its ways: a tmpfs of its own, memfds, a directory with and without O_TMPFILE
 * and with and without a read-only mount. Needs no privileges. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/io.h"
#include "store_private.h"

enum { KIB = 1024, MIB = 1024 * 1024 };

struct way {
    const char *name;
    bool directory;
    unsigned lacks;
};

static const struct way ways[] = {
    {"tmpfs", false, 0},
    {"memfds", false, SHELF_NO_MOUNTS},
    {"directory", true, 0},
    {"directory, named drafts", true, SHELF_NO_TMPFILE},
    {"directory, copies", true, SHELF_NO_MOUNTS},
};

struct fixture {
    struct store *store;
    char directory[64]; /* "": memory */
    unsigned lacks;
};

static struct store *open_at(const struct fixture *fixture, uint64_t max_bytes, int64_t expiry_ns)
{
    const struct store_settings settings = {
        .directory = fixture->directory, .max_bytes = max_bytes, .expiry_ns = expiry_ns};
    struct store *store = NULL;
    struct cj_error err;
    if (store_open_lacking(&settings, fixture->lacks, &store, &err) < 0)
        fail_msg("%s", err.message);
    return store;
}

static void set_up(struct fixture *fixture, const struct way *way)
{
    *fixture = (struct fixture){.lacks = way->lacks};
    if (way->directory) {
        strcpy(fixture->directory, "/var/tmp/cjudge-store-XXXXXX");
        assert_non_null(mkdtemp(fixture->directory));
    }
    fixture->store = open_at(fixture, 8 * MIB, 10 * NS_PER_S);
}

/* Only what is right inside the directory that set_up() made. */
static void empty_directory(const char *path)
{
    DIR *directory = opendir(path);
    assert_non_null(directory);
    for (const struct dirent *entry; (entry = readdir(directory)) != NULL;)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
            unlinkat(dirfd(directory), entry->d_name, 0) < 0)
            (void)unlinkat(dirfd(directory), entry->d_name, AT_REMOVEDIR);
    closedir(directory);
}

static void tear_down(struct fixture *fixture)
{
    store_free(fixture->store);
    if (fixture->directory[0] != '\0') {
        empty_directory(fixture->directory);
        assert_int_equal(rmdir(fixture->directory), 0);
    }
}

static int descriptor_count(void)
{
    DIR *directory = opendir("/proc/self/fd");
    int count = 0;
    assert_non_null(directory);
    while (readdir(directory) != NULL)
        count++;
    closedir(directory);
    return count;
}

/* Runs the test in every way, and compares the open descriptors. */
static void in_every_way(void (*test)(struct fixture *fixture))
{
    for (size_t i = 0; i < COUNT_OF(ways); i++) {
        struct fixture fixture;
        int before = descriptor_count();
        set_up(&fixture, &ways[i]);
        test(&fixture);
        tear_down(&fixture);
        if (descriptor_count() != before)
            fail_msg("%s: %d descriptors before, %d after", ways[i].name, before,
                     descriptor_count());
    }
}

static void put(struct store *store, const char *name, const void *data, size_t size,
                char id[static STORE_ID_SIZE])
{
    struct store_draft *draft;
    struct cj_error err;
    assert_int_equal(store_draft_new(store, &draft, &err), 0);
    assert_int_equal(store_draft_write(draft, data, size, &err), 0);
    if (store_draft_commit(draft, name, id, &err) < 0)
        fail_msg("%s", err.message);
}

static void expect_file(struct store *store, const char *id, const char *name, const void *data,
                        size_t size)
{
    auto_store_file struct store_file file;
    struct cj_error err;
    auto_free char *got = malloc(size + 1);
    if (store_get(store, id, &file, &err) < 0)
        fail_msg("%s", err.message);
    assert_string_equal(file.name, name);
    assert_int_equal(file.size, size);
    assert_int_equal(read_full(file.fd, got, size + 1), size);
    assert_memory_equal(got, data, size);
}

static void expect_absent(struct store *store, const char *id)
{
    struct store_file file;
    struct cj_error err;
    assert_int_equal(store_get(store, id, &file, &err), -1);
    assert_int_equal(err.code, ENOENT);
    assert_int_equal(err.domain, ERROR_REQUEST);
    assert_int_equal(file.fd, -1);
    assert_false(store_touch(store, id));
    assert_int_equal(store_remove(store, id, &err), -1);
    assert_int_equal(err.code, ENOENT);
}

static void expect_stats(struct store *store, uint64_t count, uint64_t bytes)
{
    struct store_stats stats;
    store_stats(store, &stats);
    assert_int_equal(stats.count, count);
    assert_int_equal(stats.bytes, bytes);
}

/* The ways are what they are called, so that all of them are tested. */
static void the_way_it_is(struct fixture *fixture)
{
    const struct store_facts *facts = store_facts(fixture->store);
    const struct shelf *shelf = &fixture->store->shelf;
    assert_int_equal(facts->in_memory, fixture->directory[0] == '\0');
    assert_int_equal(facts->directory == NULL, facts->in_memory);
    assert_int_equal(facts->max_bytes, facts->in_memory ? 8 * MIB : 0);
    if (fixture->lacks & SHELF_NO_MOUNTS)
        assert_int_equal(shelf->kind, facts->in_memory ? SHELF_MEMFDS : SHELF_DIRECTORY);
    if (fixture->lacks & SHELF_NO_MOUNTS)
        assert_false(facts->guarded);
    else if (!facts->guarded) /* the host may not let us; then it says why */
        print_message("no read-only view here: %s\n", facts->reason);
    assert_int_equal(facts->guarded, facts->reason[0] == '\0');
    if (fixture->lacks & SHELF_NO_TMPFILE)
        assert_true(shelf->named_drafts);
}

static void test_ways(void **state)
{
    (void)state;
    in_every_way(the_way_it_is);
}

/* ---- putting, getting, removing ---- */

static void round_trip(struct fixture *fixture)
{
    char id[STORE_ID_SIZE], other[STORE_ID_SIZE];
    struct cj_error err;
    put(fixture->store, "a b\".txt", "hello\0world", 11, id);
    put(fixture->store, "", "", 0, other);
    assert_int_equal(strlen(id), 8);
    assert_int_equal(strspn(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"), 8);
    assert_string_not_equal(id, other);
    expect_file(fixture->store, id, "a b\".txt", "hello\0world", 11);
    expect_file(fixture->store, id, "a b\".txt", "hello\0world", 11); /* from offset 0 again */
    expect_file(fixture->store, other, "", "", 0);
    expect_stats(fixture->store, 2, 11);
    assert_int_equal(store_remove(fixture->store, id, &err), 0);
    expect_absent(fixture->store, id);
    expect_stats(fixture->store, 1, 0);
}

static void test_round_trip(void **state)
{
    (void)state;
    in_every_way(round_trip);
}

static void descriptor(struct fixture *fixture)
{
    char id[STORE_ID_SIZE];
    auto_store_file struct store_file first;
    auto_store_file struct store_file second;
    struct cj_error err;
    struct stat info;
    char byte;
    int64_t before = clock_ns(CLOCK_REALTIME);
    put(fixture->store, "x", "0123456789", 10, id);
    assert_int_equal(store_get(fixture->store, id, &first, &err), 0);
    assert_int_equal(store_get(fixture->store, id, &second, &err), 0);
    assert_int_equal(fcntl(first.fd, F_GETFL) & (O_ACCMODE | O_NONBLOCK), O_RDONLY);
    assert_int_equal(fcntl(first.fd, F_GETFD), FD_CLOEXEC);
    assert_int_equal(read(first.fd, &byte, 1), 1);
    assert_int_equal(lseek(second.fd, 0, SEEK_CUR), 0); /* a description of its own */
    assert_int_equal(fstat(first.fd, &info), 0);
    assert_int_equal(info.st_mode, S_IFREG | 0444);
    assert_true(first.mtime_ns > before - NS_PER_S && first.mtime_ns < before + 60 * NS_PER_S);
    /* Removing does not disturb readers. */
    assert_int_equal(store_remove(fixture->store, id, &err), 0);
    assert_int_equal(lseek(first.fd, 9, SEEK_SET), 9);
    assert_int_equal(read(first.fd, &byte, 1), 1);
    assert_int_equal(byte, '9');
}

static void test_descriptor(void **state)
{
    mode_t mask = umask(077); /* must not keep programs from reading */
    (void)state;
    in_every_way(descriptor);
    umask(mask);
}

static void test_ids(void **state)
{
    static const struct {
        const char *id;
        bool valid;
    } cases[] = {
        {"ABCD2345", true}, {"x", true},          {"..x", true},
        {"a b", true},      {".hidden", true},    {"", false},
        {".", false},       {"..", false},        {"../x", false},
        {"a/b", false},     {"/", false},         {"/etc/passwd", false},
        {"a/", false},      {"ABCD2345/", false}, {SHELF_DRAFT_PREFIX "1", false},
    };
    char longest[257];
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        if (store_id_valid(cases[i].id) != cases[i].valid)
            fail_msg("'%s'", cases[i].id);
    memset(longest, 'a', 256);
    longest[255] = '\0';
    assert_true(store_id_valid(longest));
    longest[255] = 'a';
    longest[256] = '\0';
    assert_false(store_id_valid(longest));
}

static void invalid_ids(struct fixture *fixture)
{
    static const char *const ids[] = {"", ".", "..", "../passwd", "/etc/passwd", "ABCD2345"};
    for (size_t i = 0; i < COUNT_OF(ids); i++)
        expect_absent(fixture->store, ids[i]);
}

static void test_invalid_ids(void **state)
{
    (void)state;
    in_every_way(invalid_ids);
}

static void drafts(struct fixture *fixture)
{
    struct store_draft *draft;
    struct cj_error err;
    char id[STORE_ID_SIZE];
    auto_free char *name = malloc(STORE_NAME_MAX + 2);
    assert_int_equal(store_draft_new(fixture->store, &draft, &err), 0);
    assert_int_equal(store_draft_write(draft, "secret", 6, &err), 0);
    expect_stats(fixture->store, 0, 0);
    store_draft_discard(draft);
    expect_stats(fixture->store, 0, 0);
    store_draft_discard(NULL);
    /* By the descriptor. */
    assert_int_equal(store_draft_new(fixture->store, &draft, &err), 0);
    assert_int_equal(pwrite(store_draft_fd(draft), "abc", 3, 0), 3);
    assert_int_equal(store_draft_commit(draft, "by fd", id, &err), 0);
    expect_file(fixture->store, id, "by fd", "abc", 3);
    /* A name that is too long. */
    memset(name, 'n', STORE_NAME_MAX + 1);
    name[STORE_NAME_MAX + 1] = '\0';
    assert_int_equal(store_draft_new(fixture->store, &draft, &err), 0);
    assert_int_equal(store_draft_commit(draft, name, id, &err), -1);
    assert_int_equal(err.code, ENAMETOOLONG);
    expect_stats(fixture->store, 1, 3);
    /* The longest. */
    name[STORE_NAME_MAX] = '\0';
    put(fixture->store, name, "x", 1, id);
    expect_file(fixture->store, id, name, "x", 1);
}

static void test_drafts(void **state)
{
    (void)state;
    in_every_way(drafts);
}

/* ---- copying in ---- */

static void fill(char *data, size_t size, unsigned seed)
{
    for (size_t i = 0; i < size; i++)
        data[i] = (char)((i * 31 + seed) >> (i % 7));
}

static void expect_copy(struct store *store, int fd, uint64_t limit, const char *data, size_t size)
{
    struct store_draft *draft;
    struct cj_error err;
    char id[STORE_ID_SIZE];
    uint64_t copied;
    assert_int_equal(store_draft_new(store, &draft, &err), 0);
    assert_int_equal(store_draft_copy(draft, fd, limit, &copied, &err), 0);
    assert_int_equal(copied, size);
    assert_int_equal(store_draft_commit(draft, "copy", id, &err), 0);
    expect_file(store, id, "copy", data, size);
}

static void copies(struct fixture *fixture)
{
    enum { SIZE = 3 * MIB / 2 + 17, PIPED = 40000 };
    auto_free char *data = malloc(SIZE);
    fill(data, SIZE, 1);
    auto_fd int file = memfd_create("test", MFD_CLOEXEC);
    assert_int_equal(write_full(file, data, SIZE), 0);
    lseek(file, 0, SEEK_SET);
    expect_copy(fixture->store, file, UINT64_MAX, data, SIZE);
    expect_copy(fixture->store, file, UINT64_MAX, "", 0); /* it stands at its end */
    lseek(file, 7, SEEK_SET);
    expect_copy(fixture->store, file, 100, data + 7, 100);
    expect_copy(fixture->store, file, MIB, data + 107, MIB);
    /* A pipe: until it would wait, until its end. */
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    assert_int_equal(write_full(ends[1], data, PIPED), 0);
    expect_copy(fixture->store, ends[0], 30000, data, 30000);
    expect_copy(fixture->store, ends[0], UINT64_MAX, data + 30000, PIPED - 30000);
    assert_int_equal(write_full(ends[1], data, 5), 0);
    close(ends[1]);
    expect_copy(fixture->store, ends[0], UINT64_MAX, data, 5);
    close(ends[0]);
}

static void test_copies(void **state)
{
    (void)state;
    in_every_way(copies);
}

static void copy_fails(struct fixture *fixture)
{
    struct store_draft *draft;
    struct cj_error err;
    auto_fd int write_only = open("/dev/null", O_WRONLY | O_CLOEXEC);
    assert_int_equal(store_draft_new(fixture->store, &draft, &err), 0);
    assert_int_equal(store_draft_copy(draft, write_only, 10, NULL, &err), -1);
    assert_int_equal(err.code, EBADF);
    store_draft_discard(draft);
    expect_stats(fixture->store, 0, 0);
}

static void test_copy_fails(void **state)
{
    (void)state;
    in_every_way(copy_fails);
}

/* ---- a full store ---- */

static void full(struct fixture *fixture)
{
    if (fixture->directory[0] != '\0')
        return; /* has no bound of its own; test_full_directory */
    struct cj_error err;
    struct store_draft *draft;
    char id[STORE_ID_SIZE], all[STORE_ID_SIZE];
    auto_free char *data = calloc(1, MIB);
    store_free(fixture->store);
    fixture->store = open_at(fixture, 4 * MIB, 0);
    assert_int_equal(store_facts(fixture->store)->max_bytes, 4 * MIB);
    for (int i = 0; i < 3; i++)
        put(fixture->store, "part", data, MIB, id);
    /* What does not fit leaves nothing: neither piece by piece nor at the commit. */
    for (int i = 0; i < 3; i++) {
        assert_int_equal(store_draft_new(fixture->store, &draft, &err), 0);
        assert_int_equal(store_draft_write(draft, data, MIB, &err), 0);
        assert_int_equal(store_draft_write(draft, data, 1, &err), -1);
        assert_int_equal(err.code, ENOSPC);
        assert_string_equal(err.message, "the file store is full: 4 MiB of 4 MiB are in use");
        store_draft_discard(draft);
        expect_stats(fixture->store, 3, 3 * MIB);
    }
    assert_int_equal(store_draft_new(fixture->store, &draft, &err), 0);
    int big = ftruncate(store_draft_fd(draft), 0) == 0 &&
              write_full(store_draft_fd(draft), data, MIB) == 0 &&
              write_full(store_draft_fd(draft), data, MIB) == 0;
    if (big) /* memfds: counted at the end */
        assert_int_equal(store_draft_commit(draft, "big", id, &err), -1);
    else /* the tmpfs refused */
        store_draft_discard(draft);
    expect_stats(fixture->store, 3, 3 * MIB);
    /* The last byte can be used, again and again. */
    for (int i = 0; i < 3; i++) {
        put(fixture->store, "rest", data, MIB, all);
        expect_stats(fixture->store, 4, 4 * MIB);
        assert_int_equal(store_remove(fixture->store, all, &err), 0);
    }
}

static void test_full(void **state)
{
    (void)state;
    in_every_way(full);
}

static void copy_fills(struct fixture *fixture)
{
    if (fixture->directory[0] != '\0')
        return;
    struct cj_error err;
    struct store_draft *draft;
    char id[STORE_ID_SIZE];
    auto_free char *data = calloc(1, MIB);
    auto_fd int file = memfd_create("test", MFD_CLOEXEC);
    assert_int_equal(ftruncate(file, 5 * MIB), 0);
    store_free(fixture->store);
    fixture->store = open_at(fixture, 4 * MIB, 0);
    assert_int_equal(store_draft_new(fixture->store, &draft, &err), 0);
    assert_int_equal(store_draft_copy(draft, file, UINT64_MAX, NULL, &err), -1);
    assert_int_equal(err.code, ENOSPC);
    store_draft_discard(draft);
    lseek(file, 0, SEEK_SET);
    assert_int_equal(store_draft_new(fixture->store, &draft, &err), 0);
    assert_int_equal(store_draft_copy(draft, file, 4 * MIB, NULL, &err), 0);
    assert_int_equal(store_draft_commit(draft, "all of it", id, &err), 0);
    expect_stats(fixture->store, 1, 4 * MIB);
}

static void test_copy_fills(void **state)
{
    (void)state;
    in_every_way(copy_fills);
}

/* ENOSPC of a directory, with a limit on file sizes in the disk's place is EFBIG; words only. */
static void test_error_words(void **state)
{
    struct fixture fixture;
    struct cj_error err;
    struct store_draft *draft;
    char text[256];
    (void)state;
    set_up(&fixture, &ways[2]);
    assert_int_equal(store_draft_new(fixture.store, &draft, &err), 0);
    assert_int_equal(store_draft_error(draft, ENOSPC, &err), -1);
    snprintf(text, sizeof(text), "the file store is full: no space is left in %s",
             fixture.directory);
    assert_string_equal(err.message, text);
    assert_int_equal(err.code, ENOSPC);
    store_draft_error(draft, EDQUOT, &err);
    assert_int_equal(err.code, ENOSPC);
    store_draft_error(draft, EIO, &err);
    assert_int_equal(err.code, EIO);
    assert_string_equal(err.message, "write to the file store: Input/output error");
    store_draft_discard(draft);
    tear_down(&fixture);
}

static void out_of_descriptors(struct fixture *fixture)
{
    struct rlimit limit, few;
    struct cj_error err = {0};
    struct store_draft *draft = NULL;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    few = (struct rlimit){.rlim_cur = 3, .rlim_max = limit.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    int result = store_draft_new(fixture->store, &draft, &err);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_int_equal(result, -1);
    assert_int_equal(err.code, EMFILE);
    assert_non_null(strstr(err.message, "raise the limit of descriptors"));
}

static void test_out_of_descriptors(void **state)
{
    (void)state;
    in_every_way(out_of_descriptors);
}

/* ---- listing and expiry ---- */

struct seen {
    struct store *store;
    size_t count;
    char ids[64][16];
    char names[64][16];
    uint64_t bytes;
};

static void see(void *arg, const struct store_info *info)
{
    struct seen *seen = arg;
    struct store_stats stats;
    snprintf(seen->ids[seen->count], 16, "%s", info->id);
    snprintf(seen->names[seen->count++], 16, "%s", info->name);
    seen->bytes += info->size;
    store_stats(seen->store, &stats); /* no lock is held */
}

static void list(struct store *store, struct seen *seen)
{
    struct cj_error err;
    *seen = (struct seen){.store = store};
    assert_int_equal(store_list(store, see, seen, &err), 0);
}

static void listing(struct fixture *fixture)
{
    enum { FILES = 40 };
    char ids[FILES][STORE_ID_SIZE], name[16];
    struct seen seen;
    struct store_draft *draft;
    struct cj_error err;
    list(fixture->store, &seen);
    assert_int_equal(seen.count, 0);
    for (int i = 0; i < FILES; i++) {
        snprintf(name, sizeof(name), "name-%d", i);
        put(fixture->store, name, "abc", 3, ids[i]);
    }
    assert_int_equal(store_draft_new(fixture->store, &draft, &err), 0); /* not to be seen */
    list(fixture->store, &seen);
    store_draft_discard(draft);
    assert_int_equal(seen.count, FILES);
    assert_int_equal(seen.bytes, 3 * FILES);
    for (int i = 1; i < FILES; i++)
        assert_true(strcmp(seen.ids[i - 1], seen.ids[i]) < 0);
    for (int i = 0; i < FILES; i++) {
        snprintf(name, sizeof(name), "name-%d", i);
        size_t at = 0;
        while (at < seen.count && strcmp(seen.ids[at], ids[i]) != 0)
            at++;
        assert_true(at < seen.count);
        assert_string_equal(seen.names[at], name);
    }
}

static void test_listing(void **state)
{
    (void)state;
    in_every_way(listing);
}

static void expiry(struct fixture *fixture)
{
    char got[STORE_ID_SIZE], touched[STORE_ID_SIZE], idle[STORE_ID_SIZE];
    auto_store_file struct store_file file;
    struct cj_error err;
    put(fixture->store, "a", "1", 1, idle);
    put(fixture->store, "b", "2", 1, got);
    put(fixture->store, "c", "3", 1, touched);
    int64_t before_use_ns = monotonic_ns();
    assert_int_equal(store_sweep(fixture->store, before_use_ns), 0);
    usleep(1000);
    assert_int_equal(store_get(fixture->store, got, &file, &err), 0);
    assert_true(store_touch(fixture->store, touched));
    assert_int_equal(store_sweep(fixture->store, before_use_ns + 10 * NS_PER_S), 1);
    expect_absent(fixture->store, idle);
    expect_stats(fixture->store, 2, 2);
    assert_int_equal(store_sweep(fixture->store, monotonic_ns() + 10 * NS_PER_S), 2);
    expect_stats(fixture->store, 0, 0);
    char byte;
    assert_int_equal(read(file.fd, &byte, 1), 1); /* who reads it goes on */
}

static void test_expiry(void **state)
{
    (void)state;
    in_every_way(expiry);
}

static void no_expiry(struct fixture *fixture)
{
    char id[STORE_ID_SIZE];
    store_free(fixture->store);
    fixture->store = open_at(fixture, MIB, 0);
    put(fixture->store, "stays", "1", 1, id);
    assert_int_equal(store_sweep(fixture->store, INT64_MAX), 0);
    expect_file(fixture->store, id, "stays", "1", 1);
}

static void test_no_expiry(void **state)
{
    (void)state;
    in_every_way(no_expiry);
}

static void sweeps_many(struct fixture *fixture)
{
    enum { FILES = 3000 }; /* some batches */
    char id[STORE_ID_SIZE];
    if (fixture->lacks == SHELF_NO_MOUNTS)
        return; /* a descriptor for each: not on every host */
    for (int i = 0; i < FILES; i++)
        put(fixture->store, "", "", 0, id);
    expect_stats(fixture->store, FILES, 0);
    assert_int_equal(store_sweep(fixture->store, monotonic_ns() + 60 * NS_PER_S), FILES);
    expect_stats(fixture->store, 0, 0);
}

static void test_sweeps_many(void **state)
{
    (void)state;
    in_every_way(sweeps_many);
}

/* ---- a directory ---- */

static void path_in(const struct fixture *fixture, const char *name, char path[static 128])
{
    snprintf(path, 128, "%s/%s", fixture->directory, name);
}

static void write_foreign(const struct fixture *fixture, const char *name, const char *text)
{
    char path[128];
    path_in(fixture, name, path);
    auto_fd int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(write_full(fd, text, strlen(text)), 0);
}

static void foreign_files(struct fixture *fixture)
{
    struct seen seen;
    struct cj_error err;
    char path[128];
    if (fixture->directory[0] == '\0')
        return;
    write_foreign(fixture, "input.txt", "by hand");
    path_in(fixture, "pipe", path);
    assert_int_equal(mkfifo(path, 0666), 0);
    path_in(fixture, "folder", path);
    assert_int_equal(mkdir(path, 0755), 0);
    path_in(fixture, "link", path);
    assert_int_equal(symlink("/etc/passwd", path), 0);
    /* Without being listed first. */
    expect_file(fixture->store, "input.txt", "", "by hand", 7);
    expect_absent(fixture->store, "pipe");
    expect_absent(fixture->store, "folder");
    expect_absent(fixture->store, "link");
    list(fixture->store, &seen);
    assert_int_equal(seen.count, 1);
    assert_string_equal(seen.ids[0], "input.txt");
    assert_string_equal(seen.names[0], "");
    assert_int_equal(seen.bytes, 7);
    /* It changes under our feet. */
    write_foreign(fixture, "input.txt", "changed by hand");
    expect_file(fixture->store, "input.txt", "", "changed by hand", 15);
    assert_int_equal(store_sweep(fixture->store, INT64_MAX), 0);
    path_in(fixture, "input.txt", path);
    assert_int_equal(unlink(path), 0);
    expect_absent(fixture->store, "input.txt");
    expect_stats(fixture->store, 0, 0);
    write_foreign(fixture, "input.txt", "again");
    list(fixture->store, &seen);
    assert_int_equal(seen.count, 1);
    assert_int_equal(store_remove(fixture->store, "input.txt", &err), 0);
    assert_int_equal(access(path, F_OK), -1);
}

static void test_foreign_files(void **state)
{
    (void)state;
    in_every_way(foreign_files);
}

static bool keeps_attributes(const char *path)
{
    return setxattr(path, "user.cjudge.test", "x", 1, 0) == 0;
}

static void restart(struct fixture *fixture)
{
    char id[STORE_ID_SIZE];
    struct stat before, after;
    if (fixture->directory[0] == '\0')
        return;
    put(fixture->store, "kept.txt", "content", 7, id);
    write_foreign(fixture, "foreign", "x");
    assert_int_equal(stat(fixture->directory, &before), 0);
    store_free(fixture->store);
    fixture->store = open_at(fixture, 0, 10 * NS_PER_S);
    assert_int_equal(stat(fixture->directory, &after), 0);
    assert_int_equal(before.st_ino, after.st_ino);
    expect_stats(fixture->store, 2, 8);
    bool named = keeps_attributes(fixture->directory);
    expect_file(fixture->store, id, named ? "kept.txt" : "", "content", 7);
    expect_file(fixture->store, "foreign", "", "x", 1);
    /* Ours expires as before, what others have put there does not. */
    assert_int_equal(store_sweep(fixture->store, monotonic_ns() + 11 * NS_PER_S), named);
    expect_file(fixture->store, "foreign", "", "x", 1);
}

static void test_restart(void **state)
{
    (void)state;
    in_every_way(restart);
}

static void test_directory_is_made(void **state)
{
    struct fixture fixture;
    struct cj_error err;
    struct stat info;
    char path[128], inner[128 + 8];
    (void)state;
    set_up(&fixture, &ways[2]);
    path_in(&fixture, "new", path);
    snprintf(inner, sizeof(inner), "%s/inner", path);
    const struct store_settings settings = {.directory = inner};
    struct store *store;
    mode_t mask = umask(0);
    assert_int_equal(store_open(&settings, &store, &err), 0);
    umask(mask);
    store_free(store);
    assert_int_equal(stat(inner, &info), 0);
    assert_int_equal(info.st_mode & 07777, 0755);
    assert_int_equal(rmdir(inner), 0);
    assert_int_equal(rmdir(path), 0);
    /* A file in its place. */
    write_foreign(&fixture, "new", "");
    const struct store_settings in_the_way = {.directory = path};
    assert_int_equal(store_open(&in_the_way, &store, &err), -1);
    assert_int_equal(err.code, ENOTDIR);
    assert_non_null(strstr(err.message, "open the file store: open the directory "));
    tear_down(&fixture);
}

/* ---- a crash ---- */

static size_t entries_in(const char *path)
{
    size_t count = 0;
    DIR *directory = opendir(path);
    assert_non_null(directory);
    for (const struct dirent *entry; (entry = readdir(directory)) != NULL;)
        count += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    closedir(directory);
    return count;
}

/* Makes drafts for ever, and commits each second one. */
static void crash_child(const struct fixture *fixture)
{
    struct store *store = open_at(fixture, 0, 0);
    char id[STORE_ID_SIZE], data[KIB] = {0};
    struct cj_error err;
    for (int i = 0;; i++) {
        struct store_draft *draft, *other;
        if (store_draft_new(store, &draft, &err) < 0 || store_draft_new(store, &other, &err) < 0 ||
            store_draft_write(draft, data, sizeof(data), &err) < 0 ||
            store_draft_write(other, data, sizeof(data), &err) < 0 ||
            store_draft_commit(draft, "whole", id, &err) < 0)
            _exit(1);
        if (i > 20 && store_remove(store, id, &err) < 0)
            _exit(1);
        store_draft_discard(other);
    }
}

static void crash(struct fixture *fixture)
{
    struct cj_error err;
    if (fixture->directory[0] == '\0')
        return;
    for (int round = 0; round < 10; round++) {
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0)
            crash_child(fixture);
        usleep((useconds_t)(20000 + round * 1777));
        assert_int_equal(kill(pid, SIGKILL), 0);
        int status;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status));
        /* Without names there is nothing to clean; with them the next start does it. */
        struct seen seen;
        store_free(fixture->store);
        fixture->store = NULL;
        size_t orphans = 0;
        if (!(fixture->lacks & SHELF_NO_TMPFILE))
            orphans = entries_in(fixture->directory);
        fixture->store = open_at(fixture, 0, 0);
        struct store_stats stats;
        store_stats(fixture->store, &stats);
        if (!(fixture->lacks & SHELF_NO_TMPFILE))
            assert_int_equal(orphans, stats.count);
        assert_int_equal(entries_in(fixture->directory), stats.count);
        assert_int_equal(stats.bytes, stats.count * KIB); /* nothing half-written has a name */
        assert_true(stats.count <= 64);
        list(fixture->store, &seen);
        for (size_t i = 0; i < seen.count; i++)
            assert_int_equal(store_remove(fixture->store, seen.ids[i], &err), 0);
    }
}

static void test_crash(void **state)
{
    (void)state;
    in_every_way(crash);
}

/* A draft of a living store is none of a starting one's business. */
static void test_living_drafts_stay(void **state)
{
    struct fixture fixture;
    struct cj_error err;
    struct store_draft *draft;
    char id[STORE_ID_SIZE];
    (void)state;
    set_up(&fixture, &ways[3]);
    assert_int_equal(store_draft_new(fixture.store, &draft, &err), 0);
    assert_int_equal(store_draft_write(draft, "mine", 4, &err), 0);
    assert_int_equal(entries_in(fixture.directory), 1);
    struct store *other = open_at(&fixture, 0, 0);
    assert_int_equal(entries_in(fixture.directory), 1);
    expect_stats(other, 0, 0);
    assert_int_equal(store_draft_commit(draft, "x", id, &err), 0);
    expect_file(other, id, keeps_attributes(fixture.directory) ? "x" : "", "mine", 4);
    assert_int_equal(entries_in(fixture.directory), 1);
    store_free(other);
    tear_down(&fixture);
}

/* ---- threads ---- */

enum { THREADS = 6, ROUNDS = 150, KEPT = 8 };

struct worker {
    struct store *store;
    unsigned number;
    const char *failure;
};

static bool worker_step(struct worker *worker, char ids[KEPT][STORE_ID_SIZE], int round)
{
    char data[512], got[512], name[32];
    struct cj_error err;
    struct store_draft *draft;
    struct store_file file;
    size_t slot = (size_t)round % KEPT, size = (size_t)(round * 37 + 1) % sizeof(data);
    memset(data, (int)(worker->number * 16 + slot), sizeof(data));
    snprintf(name, sizeof(name), "%u-%zu", worker->number, slot);
    if (ids[slot][0] != '\0' && store_remove(worker->store, ids[slot], &err) < 0)
        return false;
    if (store_draft_new(worker->store, &draft, &err) < 0 ||
        store_draft_write(draft, data, size, &err) < 0 ||
        store_draft_commit(draft, name, ids[slot], &err) < 0)
        return false;
    if (store_get(worker->store, ids[slot], &file, &err) < 0)
        return false;
    bool same = strcmp(file.name, name) == 0 && file.size == size &&
                read_full(file.fd, got, sizeof(got)) == (ssize_t)size &&
                memcmp(got, data, size) == 0;
    store_file_close(&file);
    return same;
}

static void count_one(void *arg, const struct store_info *info)
{
    (void)info;
    ++*(size_t *)arg;
}

static void *work(void *arg)
{
    struct worker *worker = arg;
    char ids[KEPT][STORE_ID_SIZE] = {{0}};
    struct cj_error err;
    for (int round = 0; round < ROUNDS; round++) {
        size_t count = 0;
        if (!worker_step(worker, ids, round))
            worker->failure = "a file is not what it was";
        if (round % 16 == 0 && store_list(worker->store, count_one, &count, &err) < 0)
            worker->failure = "list";
        if (round % 32 == 0 && store_sweep(worker->store, monotonic_ns()) != 0)
            worker->failure = "something expired";
    }
    return NULL;
}

static void threads(struct fixture *fixture)
{
    struct worker workers[THREADS];
    pthread_t ids[THREADS];
    for (unsigned i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){.store = fixture->store, .number = i};
        assert_int_equal(pthread_create(&ids[i], NULL, work, &workers[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(ids[i], NULL);
        if (workers[i].failure != NULL)
            fail_msg("thread %u: %s", i, workers[i].failure);
    }
    struct store_stats stats;
    store_stats(fixture->store, &stats);
    assert_int_equal(stats.count, THREADS * KEPT);
}

static void test_threads(void **state)
{
    (void)state;
    in_every_way(threads);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ways),
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_descriptor),
        cmocka_unit_test(test_ids),
        cmocka_unit_test(test_invalid_ids),
        cmocka_unit_test(test_drafts),
        cmocka_unit_test(test_copies),
        cmocka_unit_test(test_copy_fails),
        cmocka_unit_test(test_full),
        cmocka_unit_test(test_copy_fills),
        cmocka_unit_test(test_error_words),
        cmocka_unit_test(test_out_of_descriptors),
        cmocka_unit_test(test_listing),
        cmocka_unit_test(test_expiry),
        cmocka_unit_test(test_no_expiry),
        cmocka_unit_test(test_sweeps_many),
        cmocka_unit_test(test_foreign_files),
        cmocka_unit_test(test_restart),
        cmocka_unit_test(test_directory_is_made),
        cmocka_unit_test(test_crash),
        cmocka_unit_test(test_living_drafts_stay),
        cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
