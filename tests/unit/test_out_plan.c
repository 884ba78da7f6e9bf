/* Which outputs are read from files: each name once, cached before not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "out_plan.h"

enum { NAMES_MAX = 8 };

/* Each character is a name; upper case: optional. */
static size_t items_of(const char *letters, char names[][2], struct exec_copy_out *items)
{
    size_t count = strlen(letters);
    for (size_t i = 0; i < count; i++) {
        names[i][0] = (char)(letters[i] | 0x20);
        names[i][1] = '\0';
        items[i] = (struct exec_copy_out){.name = names[i], .optional = letters[i] < 'a'};
    }
    return count;
}

static void each_name_is_read_once(void **state)
{
    (void)state;
    static const struct {
        const char *out, *cached, *want; /* upper case: cached */
    } cases[] = {
        {"", "", ""},         {"a", "", "a"},           {"", "a", "A"},    {"ba", "", "ba"},
        {"a", "a", "A"},      {"abc", "b", "acB"},      {"aba", "", "ab"}, {"", "bab", "BA"},
        {"ba", "dc", "baDC"}, {"cbabc", "dbd", "caDB"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char out_names[NAMES_MAX][2], cached_names[NAMES_MAX][2], got[2 * NAMES_MAX] = "";
        struct exec_copy_out out[NAMES_MAX], cached[NAMES_MAX];
        struct out_item items[2 * NAMES_MAX];
        const struct exec_request request = {
            .copy_out = out,
            .copy_out_count = items_of(cases[i].out, out_names, out),
            .copy_out_cached = cached,
            .copy_out_cached_count = items_of(cases[i].cached, cached_names, cached),
        };
        size_t count = out_plan(&request, items);
        for (size_t k = 0; k < count; k++)
            got[k] = (char)(items[k].item->name[0] - (items[k].cached ? 0x20 : 0));
        assert_string_equal(got, cases[i].want);
    }
}

static void the_first_of_equal_names_counts(void **state)
{
    (void)state;
    char names[2][2];
    struct exec_copy_out out[2];
    struct out_item items[2];
    const struct exec_request request = {.copy_out = out,
                                         .copy_out_count = items_of("Aa", names, out)};
    assert_int_equal(out_plan(&request, items), 1);
    assert_ptr_equal(items[0].item, &out[0]);
    assert_true(out_is_cached(
        &(struct exec_request){.copy_out_cached = out, .copy_out_cached_count = 2}, "a"));
    assert_false(out_is_cached(&request, "a"));
}

static void very_many_names_take_no_square_of_time(void **state)
{
    (void)state;
    enum { MANY = 300000 };
    struct exec_copy_out *out = calloc(MANY, sizeof(*out));
    struct out_item *items = calloc(MANY, sizeof(*items));
    char(*names)[16] = calloc(MANY, sizeof(*names));
    for (int i = 0; i < MANY; i++) {
        snprintf(names[i], sizeof(names[i]), "%d", i / 2);
        out[i].name = names[i];
    }
    const struct exec_request request = {.copy_out = out, .copy_out_count = MANY};
    int64_t begin_ns = monotonic_ns();
    assert_int_equal(out_plan(&request, items), MANY / 2);
    assert_true(monotonic_ns() - begin_ns < 5 * NS_PER_S);
    free(out);
    free(items);
    free(names);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_name_is_read_once),
        cmocka_unit_test(the_first_of_equal_names_counts),
        cmocka_unit_test(very_many_names_take_no_square_of_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
