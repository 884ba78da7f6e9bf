/* cmd/top_table.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "top_table.h"

static struct top_snapshot first, second;

static void read_text(const char *text, struct top_snapshot *out)
{
    struct cj_error err;
    char *body = strdup(text);
    if (top_snapshot_read(body, strlen(body), out, &err) < 0)
        fail_msg("%s", err.message);
    free(body);
}

static const char before[] =
    "{\"slots\":{\"slots\":2,\"running\":1,\"new\":{}},\"later\":[1,{\"a\":2}],\"stages\":[{"
    "\"name\":\"run\",\"count\":3,"
    "\"sum_ms\":30,\"max_ms\":20,\"p50_ms\":1,\"buckets\":[[5,2],[20,1]]}]}";
static const char after[] = "{\"slots\":{\"slots\":2},\"builds\":{\"made\":7},\"stages\":[{"
                            "\"name\":\"run\",\"count\":7,\"sum_ms\":38,\"max_ms\":20,"
                            "\"buckets\":[[2,4],[5,2],[20,1]]},{\"name\":\"reset\",\"count\":0,"
                            "\"sum_ms\":0,\"max_ms\":0,\"buckets\":[]}]}";

static void figures_and_stages_are_read(void **state)
{
    (void)state;
    read_text(before, &first);
    assert_int_equal(top_figure(&first, "slots.slots"), 2);
    assert_int_equal(top_figure(&first, "slots.running"), 1);
    assert_int_equal(top_figure(&first, "slots.nosuch"), 0);
    assert_int_equal(first.stage_count, 1);
    assert_string_equal(first.stages[0].name, "run");
    assert_int_equal(first.stages[0].buckets[1].count, 1);
}

static void bad_answers_are_refused(void **state)
{
    static const char *const rows[] = {"", "[]", "{\"slots\":{\"a\":-1}}",
                                       "{\"stages\":[{\"name\":1}]}", "{} x"};
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct cj_error err;
        char *body = strdup(rows[i]);
        assert_int_equal(top_snapshot_read(body, strlen(body), &first, &err), -1);
        free(body);
    }
}

/* Only what came between counts: four runs of at most 2 ms. */
static void the_time_between_is_shown(void **state)
{
    (void)state;
    struct buf out = {0};
    read_text(before, &first);
    read_text(after, &second);
    top_table_write(&out, &second, &first, 2);
    buf_append_char(&out, '\0');
    assert_non_null(strstr(out.data, "builds    7 made"));
    assert_non_null(strstr(out.data, "run               4       2.0     2.0ms     2.0ms     2.0ms  "
                                     "   2.0ms     2.0ms     8.0ms\n"));
    assert_non_null(strstr(out.data, "reset             0       0.0\n"));
    buf_cut(&out, 0);
    top_table_write(&out, &second, NULL, 0);
    buf_append_char(&out, '\0');
    assert_non_null(strstr(
        out.data,
        "run               7     5.4ms     2.0ms    20.0ms    20.0ms    20.0ms    38.0ms\n"));
    assert_null(strstr(out.data, "PER S"));
    buf_cut(&out, 0);
    top_table_write(&out, &first, &second, 1); /* started anew: all of it counts */
    buf_append_char(&out, '\0');
    assert_non_null(strstr(out.data, "run               3       3.0    10.0ms"));
    buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(figures_and_stages_are_read),
        cmocka_unit_test(bad_answers_are_refused),
        cmocka_unit_test(the_time_between_is_shown),
    };
    return cmocka_run_group_tests_name("top_table", tests, NULL, NULL);
}
