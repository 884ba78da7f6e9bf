/* init's check of a run's request, and how offsets become argv and env. */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "base/attr.h"
#include "launch.h"

static char *arena;

static int make_arena(void **state)
{
    (void)state;
    arena = mmap(NULL, INIT_ARENA_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(arena, MAP_FAILED);
    self.arena = arena;
    return 0;
}

static int drop_arena(void **state)
{
    (void)state;
    return munmap(arena, INIT_ARENA_SIZE);
}

static uint64_t *slot(size_t i)
{
    return (uint64_t *)(void *)arena + i;
}

/* argv {"prog", ""}, env {"PATH=/bin"}: five slots, then the strings. */
enum {
    SLOTS = 5,
    PROG = SLOTS * 8,
    EMPTY = PROG + 5,
    PATH_ENTRY = EMPTY + 1,
    USED = PATH_ENTRY + 10
};

static void fill(void)
{
    memset(arena, 0, 4096);
    memset(self.kept, -1, sizeof(self.kept));
    memset(&run, 0, sizeof(run));
    *slot(0) = PROG;
    *slot(1) = EMPTY;
    *slot(3) = PATH_ENTRY;
    strcpy(arena + PROG, "prog");
    strcpy(arena + PATH_ENTRY, "PATH=/bin");
    run.request.magic = INIT_MAGIC;
    run.request.arg_count = 2;
    run.request.env_count = 1;
    run.request.arena_used = USED;
    run.request.path_offset = PATH_ENTRY + 5;
}

static void a_good_request_becomes_argv_and_env(void **state)
{
    (void)state;
    fill();
    assert_true(request_valid(0));
    assert_string_equal(run.args[0], "prog");
    assert_string_equal(run.args[1], "");
    assert_null(run.args[2]);
    assert_string_equal(run.environment[0], "PATH=/bin");
    assert_null(run.environment[1]);
    assert_string_equal(run.path, "/bin");
}

static void no_environment_is_fine(void **state)
{
    (void)state;
    fill();
    run.request.env_count = 0;
    *slot(3) = 0;
    run.request.path_offset = 0;
    assert_true(request_valid(0));
    assert_null(run.environment[0]);
    assert_null(run.path);
}

static void the_header_has_to_be_right(void **state)
{
    (void)state;
    fill();
    run.request.magic++;
    assert_false(request_valid(0));
    fill();
    run.request.arg_count = 0;
    assert_false(request_valid(0));
    fill();
    assert_false(request_valid(1));
    fill();
    run.request.passed_count = 1;
    assert_false(request_valid(0));
    assert_true(request_valid(1));
}

static void counts_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    static const struct {
        uint32_t args, env;
    } cases[] = {
        {UINT32_MAX, 0},
        {UINT32_MAX, UINT32_MAX},
        {2, UINT32_MAX},
        {2, UINT32_MAX - 3},
        {1U << 29, 1U << 29},
        {1, INIT_ARENA_SIZE / 8},
        {INIT_ARENA_SIZE / 8, 1},
        {2, 3},
        {4, 1},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        fill();
        run.request.arg_count = cases[i].args;
        run.request.env_count = cases[i].env;
        if (request_valid(0))
            fail_msg("%u arguments, %u variables", cases[i].args, cases[i].env);
    }
}

static void the_last_byte_has_to_be_a_nul_behind_the_tables(void **state)
{
    (void)state;
    for (uint32_t used = 0; used <= SLOTS * 8; used++) {
        fill();
        run.request.arena_used = used;
        assert_false(request_valid(0));
    }
    fill();
    arena[USED - 1] = 'x';
    assert_false(request_valid(0));
    fill();
    run.request.arena_used = INIT_MADE_OFFSET;
    assert_true(request_valid(0));
    static const uint32_t beyond[] = {INIT_MADE_OFFSET + 1, INIT_ARENA_SIZE, INIT_ARENA_SIZE + 1,
                                      UINT32_MAX};
    for (size_t i = 0; i < COUNT_OF(beyond); i++) {
        fill();
        run.request.arena_used = beyond[i];
        assert_false(request_valid(0));
    }
}

static void every_offset_points_below_the_end(void **state)
{
    (void)state;
    static const size_t slots[] = {0, 1, 3};
    static const uint64_t bad[] = {
        USED, USED + 1, INIT_ARENA_SIZE, UINT32_MAX, UINT64_C(1) << 32, UINT64_MAX, INT64_MIN};
    for (size_t i = 0; i < COUNT_OF(slots); i++) {
        for (size_t k = 0; k < COUNT_OF(bad); k++) {
            fill();
            *slot(slots[i]) = bad[k];
            assert_false(request_valid(0));
        }
        fill();
        *slot(slots[i]) = USED - 1; /* the last NUL: an empty string */
        assert_true(request_valid(0));
    }
}

static void tables_end_with_a_zero(void **state)
{
    (void)state;
    static const size_t ends[] = {2, 4};
    for (size_t i = 0; i < COUNT_OF(ends); i++) {
        fill();
        *slot(ends[i]) = PROG;
        assert_false(request_valid(0));
    }
}

/* A string inside the tables would change while they become pointers. */
static void no_string_lies_in_the_tables(void **state)
{
    (void)state;
    static const size_t slots[] = {0, 1, 3};
    for (size_t i = 0; i < COUNT_OF(slots); i++) {
        for (uint64_t at = 0; at < SLOTS * 8; at++) {
            fill();
            *slot(slots[i]) = at;
            assert_false(request_valid(0));
        }
    }
    for (uint32_t at = 1; at < SLOTS * 8; at++) {
        fill();
        run.request.path_offset = at;
        assert_false(request_valid(0));
    }
}

static void the_search_path_lies_below_the_end(void **state)
{
    (void)state;
    static const uint32_t bad[] = {USED, USED + 1, UINT32_MAX};
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        fill();
        run.request.path_offset = bad[i];
        assert_false(request_valid(0));
    }
    fill();
    run.request.path_offset = USED - 1;
    assert_true(request_valid(0));
    assert_string_equal(run.path, "");
}

static void descriptors_come_from_somewhere(void **state)
{
    (void)state;
    static const struct {
        struct init_descriptor from;
        int passed, kept; /* kept: which number is there, -1 none */
        bool want;
    } cases[] = {
        {{INIT_SOURCE_CLOSED, 0}, 0, -1, true},
        {{INIT_SOURCE_CLOSED, UINT16_MAX}, 0, -1, true},
        {{INIT_SOURCE_PASSED, 0}, 0, -1, false},
        {{INIT_SOURCE_PASSED, 0}, 1, -1, true},
        {{INIT_SOURCE_PASSED, 1}, 1, -1, false},
        {{INIT_SOURCE_PASSED, UINT16_MAX}, 250, -1, false},
        {{INIT_SOURCE_PASSED, 249}, 250, -1, true},
        {{INIT_SOURCE_KEPT, 0}, 0, -1, false},
        {{INIT_SOURCE_KEPT, 0}, 0, 0, true},
        {{INIT_SOURCE_KEPT, 1}, 0, 0, false},
        {{INIT_SOURCE_KEPT, INIT_KEPT_COUNT - 1}, 0, INIT_KEPT_COUNT - 1, true},
        {{INIT_SOURCE_KEPT, INIT_KEPT_COUNT}, 0, 0, false},
        {{INIT_SOURCE_KEPT, UINT16_MAX}, 0, 0, false},
        {{INIT_SOURCE_KEPT + 1, 0}, 1, 0, false},
        {{UINT16_MAX, 0}, 1, 0, false},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        fill();
        if (cases[i].kept >= 0)
            self.kept[cases[i].kept] = 0;
        run.request.passed_count = (uint32_t)cases[i].passed;
        run.request.descriptor_count = INIT_DESCRIPTORS_MAX;
        run.request.descriptors[INIT_DESCRIPTORS_MAX - 1] = cases[i].from;
        if (request_valid(cases[i].passed) != cases[i].want)
            fail_msg("case %zu", i);
    }
}

/* Behind what fill() has laid out. */
static void add_made(const char *name)
{
    struct init_exec *request = &run.request;
    request->made_offsets[request->made_count++] = request->arena_used;
    strcpy(arena + request->arena_used, name);
    request->arena_used += (uint32_t)strlen(name) + 1;
}

static void made_files_have_names_in_the_work_directory(void **state)
{
    (void)state;
    static const char *const bad[] = {"", ".", "..", "/", "/w/a", "a/b", "a/", "../a"};
    char name[NAME_MAX + 2] = "";
    memset(name, 'a', NAME_MAX);
    fill();
    add_made("stdout");
    add_made(name);
    assert_true(request_valid(0));
    assert_string_equal(run.made[0], "stdout");
    assert_string_equal(run.made[1], name);
    name[NAME_MAX] = 'a';
    fill();
    add_made(name);
    assert_false(request_valid(0));
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        fill();
        add_made(bad[i]);
        assert_false(request_valid(0));
    }
}

static void made_files_lie_behind_the_tables_and_below_the_end(void **state)
{
    (void)state;
    static const uint32_t bad[] = {0, SLOTS * 8 - 1, USED, USED + 1, INIT_ARENA_SIZE, UINT32_MAX};
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        fill();
        run.request.made_count = 1;
        run.request.made_offsets[0] = bad[i];
        assert_false(request_valid(0));
    }
    static const uint32_t bad_counts[] = {INIT_MADE_MAX + 1, UINT32_MAX};
    for (size_t i = 0; i < COUNT_OF(bad_counts); i++) {
        fill();
        for (size_t k = 0; k < INIT_MADE_MAX; k++)
            add_made("a");
        assert_true(request_valid(0));
        run.request.made_count = bad_counts[i];
        assert_false(request_valid(0));
    }
}

static void a_descriptor_is_of_a_file_that_is_made(void **state)
{
    (void)state;
    for (uint16_t index = 0; index < 4; index++) {
        fill();
        add_made("a");
        add_made("b");
        run.request.descriptor_count = 1;
        run.request.descriptors[0] = (struct init_descriptor){INIT_SOURCE_MADE, index};
        assert_int_equal(request_valid(0), index < 2);
    }
}

static void there_are_no_more_descriptors_than_places_for_them(void **state)
{
    (void)state;
    static const uint32_t bad[] = {INIT_DESCRIPTORS_MAX + 1, UINT32_MAX};
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        fill();
        run.request.descriptor_count = bad[i];
        assert_false(request_valid(0));
    }
}

static void a_message_ends_with_its_last_descriptor(void **state)
{
    (void)state;
    const size_t least = offsetof(struct init_exec, descriptors);
    fill();
    assert_true(request_whole(least));
    assert_false(request_whole(0));
    assert_false(request_whole(least - 1));
    assert_false(request_whole(least + 4));
    run.request.descriptor_count = 3;
    assert_true(request_whole(least + 12));
    assert_false(request_whole(least + 8));
    assert_false(request_whole(least + 11));
    assert_false(request_whole(sizeof(struct init_exec)));
    run.request.descriptor_count = INIT_DESCRIPTORS_MAX;
    assert_true(request_whole(sizeof(struct init_exec)));
    run.request.descriptor_count = INIT_DESCRIPTORS_MAX + 1;
    assert_false(request_whole(sizeof(struct init_exec)));
    assert_false(request_whole(sizeof(struct init_exec) + 4));
    run.request.descriptor_count = UINT32_MAX / 4 + 2;
    assert_false(request_whole(least + 4));
}

static void flags_and_limits_that_do_not_exist_are_refused(void **state)
{
    (void)state;
    fill();
    run.request.flags = RUN_FLAGS_END - 1;
    run.request.rlimit_mask = (1U << INIT_RLIMIT_COUNT) - 1;
    assert_true(request_valid(0));
    for (unsigned bit = 0; bit < 32; bit++) {
        fill();
        run.request.rlimit_mask = 1U << bit;
        assert_int_equal(request_valid(0), bit < INIT_RLIMIT_COUNT);
        fill();
        run.request.flags = 1U << bit;
        assert_int_equal(request_valid(0), 1U << bit < RUN_FLAGS_END);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_request_becomes_argv_and_env),
        cmocka_unit_test(no_environment_is_fine),
        cmocka_unit_test(the_header_has_to_be_right),
        cmocka_unit_test(counts_that_do_not_fit_are_refused),
        cmocka_unit_test(the_last_byte_has_to_be_a_nul_behind_the_tables),
        cmocka_unit_test(every_offset_points_below_the_end),
        cmocka_unit_test(tables_end_with_a_zero),
        cmocka_unit_test(no_string_lies_in_the_tables),
        cmocka_unit_test(the_search_path_lies_below_the_end),
        cmocka_unit_test(descriptors_come_from_somewhere),
        cmocka_unit_test(made_files_have_names_in_the_work_directory),
        cmocka_unit_test(made_files_lie_behind_the_tables_and_below_the_end),
        cmocka_unit_test(a_descriptor_is_of_a_file_that_is_made),
        cmocka_unit_test(there_are_no_more_descriptors_than_places_for_them),
        cmocka_unit_test(a_message_ends_with_its_last_descriptor),
        cmocka_unit_test(flags_and_limits_that_do_not_exist_are_refused),
    };
    return cmocka_run_group_tests(tests, make_arena, drop_arena);
}
