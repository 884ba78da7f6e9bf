/* What is kept of outputs: exact bytes, no more than was asked, and no more memory than that. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/fd.h"
#include "keep.h"

#define MIB ((size_t)1024 * 1024)

static size_t resident_bytes(void)
{
    unsigned long size, resident;
    FILE *file = fopen("/proc/self/statm", "re");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%lu %lu", &size, &resident), 2);
    fclose(file);
    return resident * (size_t)sysconf(_SC_PAGESIZE);
}

#ifdef __SANITIZE_THREAD__
enum { RESIDENT_IS_OURS = false }; /* its shadow of what was touched is resident, too */
#else
enum { RESIDENT_IS_OURS = true };
#endif

static void take(struct keep *keep, struct exec_output *output)
{
    struct cj_error err = {0};
    *output = (struct exec_output){0};
    assert_int_equal(keep_take(keep, output, &err), 0);
    keep_free(keep);
}

static char pattern(size_t at)
{
    return (char)(at * 7 + at / 251);
}

static void bytes_stay_exact_over_every_border(void **state)
{
    (void)state;
    static const size_t sizes[] = {
        0,           1,       4095,        KEEP_SMALL - 1, KEEP_SMALL, KEEP_SMALL + 1,
        4 * MIB - 1, 4 * MIB, 4 * MIB + 1, 9 * MIB};
    static const size_t pieces[] = {1021, 65536, 9 * MIB};
    char *data = malloc(9 * MIB);
    for (size_t i = 0; i < 9 * MIB; i++)
        data[i] = pattern(i);
    for (size_t i = 0; i < COUNT_OF(sizes); i++)
        for (size_t k = 0; k < COUNT_OF(pieces); k++) {
            struct keep keep = {.max = UINT64_MAX};
            for (size_t at = 0; at < sizes[i]; at += pieces[k])
                keep_append(&keep, data + at,
                            sizes[i] - at < pieces[k] ? sizes[i] - at : pieces[k]);
            assert_int_equal(keep.seen, sizes[i]);
            struct exec_output output;
            take(&keep, &output);
            assert_int_equal(output.size, sizes[i]);
            assert_int_equal(output.mapped > 0, sizes[i] > KEEP_SMALL);
            if (sizes[i] > 0)
                assert_int_equal(memcmp(output.data, data, sizes[i]), 0);
            exec_output_free(&output);
        }
    free(data);
}

static void no_more_than_max_is_kept_and_all_is_counted(void **state)
{
    (void)state;
    struct keep keep = {.max = 5};
    keep_append(&keep, "abc", 3);
    keep_append(&keep, "defg", 4);
    keep_append(&keep, "h", 1);
    assert_int_equal(keep.seen, 8);
    struct exec_output output;
    take(&keep, &output);
    assert_int_equal(output.size, 5);
    assert_memory_equal(output.data, "abcde", 5);
    exec_output_free(&output);
}

static int make_file(size_t size)
{
    int fd = memfd_create("test", MFD_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, (off_t)size), 0);
    return fd;
}

static void files_are_read_from_their_beginning_with_their_holes(void **state)
{
    (void)state;
    static const size_t sizes[] = {10, KEEP_SMALL, 3 * MIB, 8 * MIB + 3};
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        auto_fd int fd = make_file(sizes[i]);
        assert_int_equal(pwrite(fd, "begin", 5, 0), 5);
        assert_int_equal(pwrite(fd, "end", 3, (off_t)sizes[i] - 3), 3);
        lseek(fd, 7, SEEK_SET); /* does not matter */
        struct keep keep = {.max = UINT64_MAX};
        keep_file(&keep, fd, sizes[i]);
        struct exec_output output;
        take(&keep, &output);
        assert_int_equal(output.size, sizes[i]);
        assert_memory_equal(output.data, "begin", 5);
        assert_memory_equal(output.data + sizes[i] - 3, "end", 3);
        for (size_t k = 5; k < sizes[i] - 3; k++)
            assert_int_equal(output.data[k], 0);
        exec_output_free(&output);
    }
}

static void a_file_is_cut_to_max(void **state)
{
    (void)state;
    auto_fd int fd = make_file(5 * MIB);
    assert_int_equal(pwrite(fd, "x", 1, 2 * MIB), 1);
    struct keep keep = {.max = 2 * MIB + 1};
    keep_file(&keep, fd, 5 * MIB);
    assert_int_equal(keep.seen, 5 * MIB);
    struct exec_output output;
    take(&keep, &output);
    assert_int_equal(output.size, 2 * MIB + 1);
    assert_int_equal(output.data[2 * MIB], 'x');
    exec_output_free(&output);
}

static void a_file_that_is_shorter_than_it_was_ends_there(void **state)
{
    (void)state;
    static const size_t sizes[] = {4, 2 * MIB};
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        auto_fd int fd = make_file(4);
        struct keep keep = {.max = UINT64_MAX};
        keep_file(&keep, fd, sizes[i]);
        assert_int_equal(keep_check(&keep, NULL), 0);
        keep_free(&keep);
    }
}

static void a_sparse_file_costs_no_memory_and_a_full_one_its_size(void **state)
{
    (void)state;
    enum { SIZE = 60 };
    auto_fd int fd = make_file(SIZE * MIB);
    size_t before = resident_bytes();
    struct keep keep = {.max = UINT64_MAX};
    keep_file(&keep, fd, SIZE * MIB);
    struct exec_output output;
    take(&keep, &output);
    unsigned sum = 0;
    for (size_t i = 0; i < output.size; i++)
        sum += (unsigned char)output.data[i];
    assert_int_equal(sum, 0);
    assert_int_equal(output.size, SIZE * MIB);
    /* reading maps the one page of zeros; page tables and the sanitizers' shadow are not counted */
    assert_true(!RESIDENT_IS_OURS || resident_bytes() - before < 4 * MIB);
    exec_output_free(&output);

    char *piece = malloc(MIB);
    memset(piece, 'x', MIB);
    before = resident_bytes();
    keep = (struct keep){.max = UINT64_MAX};
    for (int i = 0; i < SIZE; i++)
        keep_append(&keep, piece, MIB);
    take(&keep, &output);
    assert_true(!RESIDENT_IS_OURS || resident_bytes() - before < (SIZE + 4) * MIB);
    exec_output_free(&output);
    assert_true(!RESIDENT_IS_OURS || resident_bytes() < before + 4 * MIB); /* all of it went back */
    free(piece);
}

static void what_cannot_be_read_is_an_error_that_stays(void **state)
{
    (void)state;
    static const size_t sizes[] = {10, 2 * MIB};
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        struct keep keep = {.max = UINT64_MAX};
        struct cj_error err = {0};
        struct exec_output output = {0};
        keep_file(&keep, -1, sizes[i]);
        keep_append(&keep, "more", 4);
        assert_int_equal(keep_check(&keep, &err), -1);
        assert_int_equal(err.code, EBADF);
        assert_int_equal(keep_take(&keep, &output, &err), -1);
        assert_null(output.data);
        keep_free(&keep);
    }
}

static void memory_that_is_not_there_is_an_error_not_a_hole(void **state)
{
    (void)state;
    struct rlimit usual, little;
    assert_int_equal(getrlimit(RLIMIT_AS, &usual), 0);
    char *piece = calloc(1, MIB);
    struct keep keep = {.max = UINT64_MAX};
    struct cj_error err = {0};
    keep_append(&keep, piece, MIB);
    little = (struct rlimit){.rlim_cur = 1, .rlim_max = usual.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_AS, &little), 0);
    for (int i = 0; i < 8; i++)
        keep_append(&keep, piece, MIB);
    assert_int_equal(setrlimit(RLIMIT_AS, &usual), 0);
    keep_append(&keep, piece, MIB); /* room again, but what is missing is missing */
    assert_int_equal(keep.seen, 10 * MIB);
    assert_int_equal(keep_check(&keep, &err), -1);
    assert_int_equal(err.code, ENOMEM);
    keep_free(&keep);
    free(piece);
}

/* What came after the mark is forgotten, on the heap and in a mapping. */
static void a_mark_cuts(void **state)
{
    (void)state;
    static const size_t sizes[] = {3, KEEP_SMALL + 5};
    char *data = calloc(1, KEEP_SMALL + 5);
    for (size_t i = 0; i < 2; i++) {
        struct keep keep = {.max = UINT64_MAX};
        struct exec_output output = {0};
        struct cj_error err;
        keep_append(&keep, data, sizes[i]);
        keep_cut_to_mark(&keep); /* there is none yet */
        keep_mark(&keep);
        keep_append(&keep, "late", 4);
        keep_mark(&keep); /* the first one counts */
        keep_append(&keep, data, KEEP_SMALL);
        keep_cut_to_mark(&keep);
        assert_int_equal(keep.seen, sizes[i]);
        assert_int_equal(keep_take(&keep, &output, &err), 0);
        assert_int_equal(output.size, sizes[i]);
        exec_output_free(&output);
        keep_free(&keep);
    }
    struct keep capped = {.max = 2};
    keep_append(&capped, "abc", 3);
    keep_mark(&capped);
    keep_append(&capped, "d", 1);
    keep_cut_to_mark(&capped);
    assert_int_equal(capped.seen, 3);
    assert_int_equal(capped.small.size, 2);
    keep_free(&capped);
    free(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_mark_cuts),
        cmocka_unit_test(bytes_stay_exact_over_every_border),
        cmocka_unit_test(no_more_than_max_is_kept_and_all_is_counted),
        cmocka_unit_test(files_are_read_from_their_beginning_with_their_holes),
        cmocka_unit_test(a_file_is_cut_to_max),
        cmocka_unit_test(a_file_that_is_shorter_than_it_was_ends_there),
        cmocka_unit_test(a_sparse_file_costs_no_memory_and_a_full_one_its_size),
        cmocka_unit_test(what_cannot_be_read_is_an_error_that_stays),
        cmocka_unit_test(memory_that_is_not_there_is_an_error_not_a_hole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
