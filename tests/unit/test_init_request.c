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
    static const uint32_t ops[] = {INIT_OP_OPEN_IN, INIT_OP_OPEN_OUT, INIT_OP_SYMLINK, INIT_OP_HOLD,
                                   INIT_OP_OPEN_FOLDER};
    strcpy(arena + 300, "/etc/passwd");
    strcpy(arena + 320, "target");
    for (size_t i = 0; i < COUNT_OF(ops); i++) {
        const struct init_request requests[] = {
            {.op = ops[i],
             .path_offset = 300,
             .path_length = 11,
             .target_offset = 320,
             .target_length = 6},
            {.op = ops[i], .path_length = 0, .target_offset = 320, .target_length = 6},
            {.op = ops[i],
             .path_offset = INIT_ARENA_SIZE,
             .path_length = 5,
             .target_offset = 320,
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
    const struct init_request no_target = {
        .op = INIT_OP_SYMLINK, .path_offset = 320, .path_length = 6};
    assert_int_equal(answer_to(no_target, &fd, NULL).error, EINVAL);
}

static void unknown_operations_are_told_so(void **state)
{
    (void)state;
    static const uint32_t ops[] = {0, INIT_OP_MADE + 1, UINT32_MAX};
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

/* A directory of ours in the place of init's own file system of kept files. */
static void keep_in(char *directory)
{
    assert_non_null(mkdtemp(directory));
    self.kept_make_dir = self.kept_dir = open(directory, O_RDONLY | O_DIRECTORY);
    assert_true(self.kept_dir >= 0);
}

static void forget_kept(const char *directory)
{
    for (int i = 0; i < INIT_KEPT_COUNT; i++) {
        const char name[] = {(char)('0' + i), '\0'};
        unlinkat(self.kept_dir, name, 0);
        if (self.kept[i] >= 0)
            close(self.kept[i]);
        self.kept[i] = -1;
    }
    close(self.kept_dir);
    assert_int_equal(rmdir(directory), 0);
}

static void outputs_are_made_by_number(void **state)
{
    (void)state;
    char directory[] = "/tmp/kept-XXXXXX";
    keep_in(directory);
    int reader, again;
    struct init_request request = {.op = INIT_OP_OUTPUT, .index = INIT_KEPT_COUNT - 1};
    assert_int_equal(answer_to(request, &reader, NULL).error, 0);
    assert_true(reader >= 0);
    char byte;
    assert_int_equal(write(self.kept[INIT_KEPT_COUNT - 1], "x", 1), 1);
    assert_int_equal(read(reader, &byte, 1), 1);
    assert_int_equal(read(reader, &byte, 1), -1); /* no end of file: init holds a writer */
    assert_int_equal(errno, EAGAIN);
    assert_int_equal(answer_to(request, &again, NULL).error, 0); /* another pipe */
    assert_int_equal(write(self.kept[INIT_KEPT_COUNT - 1], "y", 1), 1);
    assert_int_equal(read(reader, &byte, 1), 0);
    assert_int_equal(read(again, &byte, 1), 1);
    close(reader);
    close(again);
    static const uint32_t outside[] = {INIT_KEPT_EMPTY, INIT_KEPT_COUNT, UINT32_MAX};
    for (size_t i = 0; i < COUNT_OF(outside); i++) {
        request.index = outside[i];
        assert_int_equal(answer_to(request, &reader, NULL).error, EINVAL);
        assert_int_equal(reader, -1);
    }
    forget_kept(directory);
}

static void a_pipe_of_another_size_is_seen(void **state)
{
    (void)state;
    char directory[] = "/tmp/kept-XXXXXX";
    keep_in(directory);
    int reader;
    const struct init_request request = {.op = INIT_OP_OUTPUT, .index = INIT_KEPT_OUTPUT};
    assert_int_equal(answer_to(request, &reader, NULL).error, 0);
    assert_false(kept_changed(INIT_KEPT_OUTPUT));
    int size = fcntl(reader, F_GETPIPE_SZ);
    assert_true(fcntl(reader, F_SETPIPE_SZ, 4096) >= 0);
    assert_true(kept_changed(INIT_KEPT_OUTPUT));
    assert_int_equal(fcntl(reader, F_SETPIPE_SZ, size), size);
    assert_false(kept_changed(INIT_KEPT_OUTPUT));
    close(reader);
    forget_kept(directory);
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
        cmocka_unit_test(outputs_are_made_by_number),
        cmocka_unit_test(a_pipe_of_another_size_is_seen),
    };
    return cmocka_run_group_tests(tests, make_arena, drop_arena);
}
