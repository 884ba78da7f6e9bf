/* Which collector files can be made when the run starts: those that nobody else means. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/attr.h"
#include "made_plan.h"

enum { NAMES_MAX = 8 };

/* Names with spaces between them; a collector with '|' in front is one by a pipe. */
struct names {
    char text[1024];
    const char *items[NAMES_MAX];
    size_t count;
};

static const struct names *split(struct names *names, const char *text)
{
    strcpy(names->text, text);
    names->count = 0;
    for (char *rest = names->text, *item; (item = strsep(&rest, " ")) != NULL;)
        if (*item != '\0')
            names->items[names->count++] = item;
    return names;
}

static bool plan(const char *collectors, const char *in, const char *out, const char *cached,
                 bool tty)
{
    struct names names[4];
    struct exec_file files[NAMES_MAX] = {0};
    struct exec_copy_in copy_in[NAMES_MAX] = {0};
    struct exec_copy_out copy_out[NAMES_MAX] = {0}, copy_cached[NAMES_MAX] = {0};
    split(&names[0], collectors);
    split(&names[1], in);
    split(&names[2], out);
    split(&names[3], cached);
    for (size_t i = 0; i < names[0].count; i++) {
        bool pipe = names[0].items[i][0] == '|';
        files[i].kind = pipe ? EXEC_FILE_COLLECT : EXEC_FILE_COLLECT_FILE;
        files[i].name = names[0].items[i] + pipe;
    }
    for (size_t i = 0; i < names[1].count; i++)
        copy_in[i].name = names[1].items[i];
    for (size_t i = 0; i < names[2].count; i++)
        copy_out[i].name = names[2].items[i];
    for (size_t i = 0; i < names[3].count; i++)
        copy_cached[i].name = names[3].items[i];
    const struct exec_request request = {
        .files = files,
        .file_count = names[0].count,
        .copy_in = copy_in,
        .copy_in_count = names[1].count,
        .copy_out = copy_out,
        .copy_out_count = names[2].count,
        .copy_out_cached = copy_cached,
        .copy_out_cached_count = names[3].count,
        .tty = tty,
    };
    return made_plan(&request, "/w");
}

static void few_plain_names_are_made(void **state)
{
    (void)state;
    assert_true(plan("", "", "", "", false));
    assert_true(plan("stdout stderr", "", "", "", false));
    assert_true(plan("a b c d", "", "", "", false));
    assert_true(plan("a a b b c c d", "", "", "", false));
    assert_true(plan("...", "", "", "", false));
    assert_false(plan("a b c d e", "", "", "", false));
    assert_false(plan("stdout", "", "", "", true));
}

static void paths_are_not(void **state)
{
    (void)state;
    static const char *const names[] = {"./a", "a/b", "/w/a", ".", "..", "/tmp/a"};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        assert_false(plan(names[i], "", "", "", false));
        char with_pipe[32] = "|";
        assert_true(plan(strcat(with_pipe, names[i]), "", "", "", false)); /* needs no file */
    }
    char longest[256 + 1] = "", longer[257 + 1] = "";
    memset(longest, 'a', 255);
    memset(longer, 'a', 256);
    assert_true(plan(longest, "", "", "", false));
    assert_false(plan(longer, "", "", "", false));
}

static void what_is_copied_in_there_comes_behind_them(void **state)
{
    (void)state;
    assert_true(plan("o", "p ./p o2 d/o /tmp/o x/../p", "", "", false));
    static const char *const names[] = {"o", "./o", "/w/o", "o/p", "x/../o", "p o", "//w//o"};
    for (size_t i = 0; i < COUNT_OF(names); i++)
        assert_false(plan("q o", names[i], "", "", false));
    assert_true(plan("|o", "o", "", "", false));
}

static void what_is_copied_out_there_has_to_stay(void **state)
{
    (void)state;
    assert_true(plan("o", "", "o p", "o q", false)); /* its own name is the collector's output */
    static const char *const names[] = {"./o", "/w/o", "o/p", "x/../o", "p ./o"};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        assert_false(plan("q o", "", names[i], "", false));
        assert_false(plan("q o", "", "", names[i], false));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(few_plain_names_are_made),
        cmocka_unit_test(paths_are_not),
        cmocka_unit_test(what_is_copied_in_there_comes_behind_them),
        cmocka_unit_test(what_is_copied_out_there_has_to_stay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
