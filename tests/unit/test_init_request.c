/* The janitor's requests: paths in the arena, kept descriptors, operations that do not exist. The
 * janitor's static functions are reached by including its source. */
#include "files.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/attr.h"

static char *arena;
static struct init_setup setup = {.uid = 1000, .gid = 1000};

static int make_arena(void **state)
{
    (void)state;
    arena = malloc(INIT_ARENA_SIZE); /* ASan sees what is read beyond */
    assert_non_null(arena);
    memset(arena, 'x', INIT_ARENA_SIZE);
    self.arena = arena;
    self.setup = &setup;
    memset(self.kept, -1, sizeof(self.kept));
    return 0;
}

static int drop_arena(void **state)
{
    (void)state;
    free(arena);
    return 0;
}

static void a_path_is_copied_out_of_the_arena(void **state)
{
    (void)state;
    char copy[INIT_PATH_MAX];
    memcpy(arena + 100, "a/b", 3); /* without a NUL of its own: the length counts */
    assert_string_equal(request_path(100, 3, copy), "a/b");
    assert_string_equal(request_path(100, 1, copy), "a");
    assert_ptr_equal(request_path(0, INIT_PATH_MAX - 1, copy), copy);
    assert_int_equal(strlen(copy), INIT_PATH_MAX - 1);
}

static void a_path_lies_inside_the_arena_and_is_a_path(void **state)
{
    (void)state;
    static const struct {
        uint32_t offset, length;
        bool want;
    } cases[] = {
        {0, 0, false},
        {0, 1, true},
        {0, INIT_PATH_MAX - 1, true},
        {0, INIT_PATH_MAX, false},
        {0, UINT32_MAX, false},
        {INIT_ARENA_SIZE - 2, 1, true},
        {INIT_ARENA_SIZE - 1, 1, false}, /* no place for its NUL */
        {INIT_ARENA_SIZE, 1, false},
        {INIT_ARENA_SIZE + 1, 1, false},
        {UINT32_MAX, 1, false},
        {UINT32_MAX, UINT32_MAX, false},
        {UINT32_MAX - 4, 8, false}, /* the sum wraps */
        {INIT_ARENA_SIZE - INIT_PATH_MAX, INIT_PATH_MAX - 1, true},
        {INIT_ARENA_SIZE - INIT_PATH_MAX + 1, INIT_PATH_MAX - 1, false},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char copy[INIT_PATH_MAX];
        if ((request_path(cases[i].offset, cases[i].length, copy) != NULL) != cases[i].want)
            fail_msg("offset %u, length %u", cases[i].offset, cases[i].length);
    }
}

static void a_path_holds_no_nul(void **state)
{
    (void)state;
    for (uint32_t at = 0; at < 5; at++) {
        char copy[INIT_PATH_MAX];
        memset(arena + 200, 'y', 8);
        arena[200 + at] = '\0';
        assert_null(request_path(200, 5, copy));
        assert_non_null(request_path(201 + at, 5, copy));
    }
    memset(arena + 200, 'y', 8);
}

static struct init_answer answer_to(struct init_request request, int *fd, int *passed)
{
    struct init_answer answer = {0};
    int none = -1;
    *fd = serve(&request, passed != NULL ? passed : &none, &answer);
    return answer;
}

static void absolute_missing_and_bad_paths_are_refused(void **state)
{
    (void)state;
    static const uint32_t ops[] = {INIT_OP_OPEN_IN, INIT_OP_OPEN_OUT, INIT_OP_SYMLINK};
    strcpy(arena + 300, "/etc/passwd");
    strcpy(arena + 320, "target");
    for (size_t i = 0; i < COUNT_OF(ops); i++) {
        const struct init_request requests[] = {
            {.op = ops[i], .path_offset = 300, .path_length = 11, .target_offset = 320, .target_length = 6},
            {.op = ops[i], .path_length = 0, .target_offset = 320, .target_length = 6},
            {.op = ops[i], .path_offset = INIT_ARENA_SIZE, .path_length = 5, .target_offset = 320,
             .target_length = 6},
            {.op = ops[i], .path_offset = 301, .path_length = 11}, /* a NUL inside */
        };
        for (size_t k = 0; k < COUNT_OF(requests); k++) {
            int fd;
            assert_int_equal(answer_to(requests[k], &fd, NULL).error, EINVAL);
            assert_int_equal(fd, -1);
        }
    }
    int fd;
    const struct init_request no_target = {.op = INIT_OP_SYMLINK, .path_offset = 320, .path_length = 6};
    assert_int_equal(answer_to(no_target, &fd, NULL).error, EINVAL);
}

static void unknown_operations_are_told_so(void **state)
{
    (void)state;
    static const uint32_t ops[] = {0, INIT_OP_CPU_TIME + 1, UINT32_MAX};
    for (size_t i = 0; i < COUNT_OF(ops); i++) {
        int fd;
        assert_int_equal(answer_to((struct init_request){.op = ops[i]}, &fd, NULL).error, ENOSYS);
        assert_int_equal(fd, -1);
    }
}

static void a_ping_is_answered(void **state)
{
    (void)state;
    int fd;
    assert_int_equal(answer_to((struct init_request){.op = INIT_OP_PING}, &fd, NULL).error, 0);
}

static void descriptors_are_kept_by_number(void **state)
{
    (void)state;
    int pair[2], fd;
    assert_int_equal(pipe(pair), 0);
    struct init_request request = {.op = INIT_OP_KEEP, .index = INIT_KEPT_MAX - 1};
    int passed = pair[0];
    assert_int_equal(answer_to(request, &fd, &passed).error, 0);
    assert_int_equal(passed, -1); /* taken */
    assert_int_equal(self.kept[INIT_KEPT_MAX - 1], pair[0]);
    passed = pair[1];
    assert_int_equal(answer_to(request, &fd, &passed).error, 0);
    assert_int_equal(self.kept[INIT_KEPT_MAX - 1], pair[1]);
    assert_int_equal(fcntl(pair[0], F_GETFD), -1); /* the one before is closed */

    static const uint32_t outside[] = {INIT_KEPT_MAX, UINT32_MAX};
    for (size_t i = 0; i < COUNT_OF(outside); i++) {
        passed = STDERR_FILENO;
        request.index = outside[i];
        assert_int_equal(answer_to(request, &fd, &passed).error, EBADF);
        assert_int_equal(passed, STDERR_FILENO); /* the caller closes it */
    }
    request.index = 0;
    assert_int_equal(answer_to(request, &fd, NULL).error, EBADF);
    assert_int_equal(self.kept[0], -1);
    close(pair[1]);
    self.kept[INIT_KEPT_MAX - 1] = -1;
}

static void a_kept_descriptor_that_changed_is_seen(void **state)
{
    (void)state;
    int pair[2];
    struct init_answer answer = {0};
    assert_int_equal(pipe(pair), 0);
    keep(3, pair[1], &answer);
    assert_int_equal(answer.error, 0);
    assert_false(kept_changed(3) || hint_changed(3));
    assert_int_equal(fchmod(pair[1], 0), 0);
    assert_true(kept_changed(3));
    assert_int_equal(fchmod(pair[1], 0600), 0);
    assert_false(kept_changed(3));
    int size = fcntl(pair[0], F_GETPIPE_SZ);
    assert_true(fcntl(pair[0], F_SETPIPE_SZ, 4096) >= 0);
    assert_true(kept_changed(3));
    assert_int_equal(fcntl(pair[0], F_SETPIPE_SZ, size), size);
    assert_false(kept_changed(3));
    uint64_t hint = 5; /* RWH_WRITE_LIFE_EXTREME */
    if (fcntl(pair[0], 1024 + 12 /* F_SET_RW_HINT */, &hint) == 0)
        assert_true(hint_changed(3));
    close(pair[0]);
    close(pair[1]);
    assert_true(kept_changed(3)); /* gone */
    self.kept[3] = -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_path_is_copied_out_of_the_arena),
        cmocka_unit_test(a_path_lies_inside_the_arena_and_is_a_path),
        cmocka_unit_test(a_path_holds_no_nul),
        cmocka_unit_test(absolute_missing_and_bad_paths_are_refused),
        cmocka_unit_test(unknown_operations_are_told_so),
        cmocka_unit_test(a_ping_is_answered),
        cmocka_unit_test(descriptors_are_kept_by_number),
        cmocka_unit_test(a_kept_descriptor_that_changed_is_seen),
    };
    return cmocka_run_group_tests(tests, make_arena, drop_arena);
}
