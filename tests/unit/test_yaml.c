#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/fd.h"
#include "base/yaml.h"

static struct yml_document *parsed(const char *text)
{
    struct yml_document *document = NULL;
    struct cj_error err = {0};
    if (yml_parse("f.yaml", text, strlen(text), &document, &err) < 0)
        fail_msg("%s", err.message);
    return document;
}

static void assert_refused(const char *text, size_t size, const char *message)
{
    struct yml_document *document = NULL;
    struct cj_error err = {0};
    assert_int_equal(yml_parse("f.yaml", text, size, &document, &err), -1);
    assert_null(document);
    assert_string_equal(err.message, message);
    assert_int_equal(err.domain, ERROR_CONFIG);
}

static const char *text_of(const struct yml_node *node)
{
    const char *text = NULL;
    assert_non_null(node);
    assert_int_equal(yml_text(node, &text, NULL), 0);
    return text;
}

static void trees_keep_order_and_lines(void **state)
{
    (void)state;
    struct yml_document *document = parsed("# head\n"
                                           "b: [1, two, '3']\n"
                                           "a:\n"
                                           "  - x: 1\n"
                                           "    y: ~\n"
                                           "  -\n"
                                           "\"q k\": \"l\\n\"\n");
    const struct yml_node *root = yml_root(document);
    assert_int_equal(yml_kind(root), YML_MAP);
    assert_int_equal(yml_count(root), 3);
    assert_string_equal(yml_key(root, 0), "b");
    assert_string_equal(yml_key(root, 1), "a");
    assert_string_equal(yml_key(root, 2), "q k");
    const struct yml_node *list = yml_get(root, "b");
    assert_int_equal(yml_kind(list), YML_SEQUENCE);
    assert_int_equal(yml_count(list), 3);
    assert_string_equal(text_of(yml_item(list, 0)), "1");
    assert_string_equal(text_of(yml_item(list, 2)), "3");
    assert_int_equal(yml_line(yml_item(list, 2)), 2);
    const struct yml_node *items = yml_item(root, 1);
    assert_int_equal(yml_count(items), 2);
    assert_null(yml_get(yml_item(items, 0), "y"));
    assert_null(yml_item(items, 1));
    assert_int_equal(yml_line(yml_get(yml_item(items, 0), "x")), 4);
    assert_string_equal(text_of(yml_get(root, "q k")), "l\n");
    assert_null(yml_get(root, "absent"));
    assert_null(yml_get(NULL, "absent"));
    assert_null(yml_get(list, "absent"));
    assert_int_equal(yml_count(NULL), 0);
    assert_int_equal(yml_count(yml_item(list, 0)), 0);
    yml_free(document);
    yml_free(NULL);
}

static void empty_documents_have_no_root(void **state)
{
    (void)state;
    static const char *const empty[] = {"", "\n\n", "# only words\n", "---\n", "~", "null\n"};
    for (size_t i = 0; i < COUNT_OF(empty); i++) {
        struct yml_document *document = parsed(empty[i]);
        assert_null(yml_root(document));
        yml_free(document);
    }
}

static void what_is_no_yaml_is_refused_with_its_line(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"a: 1\nb: [1\n",
         "f.yaml:3: did not find expected ',' or ']' while parsing a flow sequence"},
        {"a: 1\nb: 2\na: 3\n", "f.yaml:3: a: given twice, first in line 1"},
        {"a: 1\n--- \nb: 2\n", "f.yaml:2: a second document; one is all that is read"},
        {"x:\n  ? [a]\n  : 1\n", "f.yaml:2: a key must be a word"},
        {"x:\n  ? {a: 1}\n  : 1\n", "f.yaml:2: a key must be a word"},
        {"\"a\\0b\": 1\n", "f.yaml:1: a key holds a NUL byte"},
        {"a: *b\n", "f.yaml:1: an alias without its anchor"},
        {"a: &b\n - *b\n", "f.yaml:2: an alias inside what it stands for"},
        {"x: &b {y: 1}\n*b : 2\n", "f.yaml:2: a key must be a word"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        assert_refused(cases[i].text, strlen(cases[i].text), cases[i].message);
}

static void aliases_repeat_values(void **state)
{
    (void)state;
    struct yml_document *document = parsed("base: &b {x: 1, y: 2}\n"
                                           "same: *b\n"
                                           "more: {<<: *b, y: 3}\n"
                                           "list: {<<: [{z: 9}, *b], y: ~}\n");
    const struct yml_node *root = yml_root(document);
    assert_string_equal(text_of(yml_get(yml_get(root, "same"), "y")), "2");
    assert_string_equal(text_of(yml_get(yml_get(root, "more"), "x")), "1");
    assert_string_equal(text_of(yml_get(yml_get(root, "more"), "y")), "3");
    assert_string_equal(text_of(yml_get(yml_get(root, "list"), "z")), "9");
    assert_string_equal(text_of(yml_get(yml_get(root, "list"), "x")), "1");
    assert_null(yml_get(yml_get(root, "list"), "y"));
    yml_free(document);
}

static void a_billion_laughs_are_not_funny(void **state)
{
    (void)state;
    auto_buf struct buf text = {0};
    buf_append_text(&text, "l0: &l0 [x,x,x,x,x,x,x,x,x,x]\n");
    for (int i = 1; i < 10; i++) {
        buf_printf(&text, "l%d: &l%d [", i, i);
        for (int k = 0; k < 10; k++)
            buf_printf(&text, "%s*l%d", k > 0 ? "," : "", i - 1);
        buf_append_text(&text, "]\n");
    }
    assert_refused(text.data, text.size, "f.yaml:5: too many values");
}

static void nested(struct buf *text, unsigned levels)
{
    for (unsigned i = 0; i < levels; i++)
        buf_append_char(text, '[');
    for (unsigned i = 0; i < levels; i++)
        buf_append_char(text, ']');
}

static void depth_is_bounded(void **state)
{
    (void)state;
    auto_buf struct buf fits = {0};
    nested(&fits, YML_DEPTH_MAX);
    struct yml_document *document = NULL;
    assert_int_equal(yml_parse("f", fits.data, fits.size, &document, NULL), 0);
    yml_free(document);
    auto_buf struct buf deep = {0};
    nested(&deep, YML_DEPTH_MAX + 1);
    assert_refused(deep.data, deep.size, "f.yaml:1: nested too deeply");
    /* through an alias: 20 levels in 20 levels */
    auto_buf struct buf alias = {0};
    buf_append_text(&alias, "a: &a ");
    nested(&alias, 20);
    buf_append_text(&alias, "\nb: [[[[[[[[[[[[[[[[[[[[*a]]]]]]]]]]]]]]]]]]]]\n");
    assert_refused(alias.data, alias.size, "f.yaml:2: nested too deeply");
}

static void size_is_bounded(void **state)
{
    (void)state;
    auto_free char *large = calloc(1, YML_SIZE_MAX + 1);
    memset(large, ' ', YML_SIZE_MAX + 1);
    assert_refused(large, YML_SIZE_MAX + 1, "f.yaml: larger than 67108864 bytes");
    struct yml_document *document = NULL;
    assert_int_equal(yml_parse("f", large, YML_SIZE_MAX, &document, NULL), 0);
    yml_free(document);
}

static void scalars_are_converted_as_asked(void **state)
{
    (void)state;
    struct yml_document *document =
        parsed("{t: true, f: No, d: 42, x: 0xffFF, o: 0o17, z: 0, big: 18446744073709551615, "
               "s: 64m, w: 1m30s, plain: word}");
    const struct yml_node *root = yml_root(document);
    bool flag = false;
    uint64_t number;
    int64_t ns;
    assert_int_equal(yml_bool(yml_get(root, "t"), &flag, NULL), 0);
    assert_true(flag);
    assert_int_equal(yml_bool(yml_get(root, "f"), &flag, NULL), 0);
    assert_false(flag);
    static const struct {
        const char *key;
        uint64_t value;
    } numbers[] = {{"d", 42}, {"x", 65535}, {"o", 15}, {"z", 0}, {"big", UINT64_MAX}};
    for (size_t i = 0; i < COUNT_OF(numbers); i++) {
        number = 7;
        assert_int_equal(yml_uint(yml_get(root, numbers[i].key), UINT64_MAX, &number, NULL), 0);
        assert_true(number == numbers[i].value);
    }
    assert_int_equal(yml_size(yml_get(root, "s"), &number, NULL), 0);
    assert_true(number == 67108864);
    assert_int_equal(yml_duration(yml_get(root, "w"), &ns, NULL), 0);
    assert_true(ns == INT64_C(90000000000));
    yml_free(document);
}

static void wrong_scalars_are_named_with_their_path(void **state)
{
    (void)state;
    struct yml_document *document = parsed("a:\n"
                                           "  - {}\n"
                                           "  - b: ja\n"
                                           "    c: -1\n"
                                           "    d: '5'\n"
                                           "    e: 010\n"
                                           "    f: 1.5m\n"
                                           "    g: \"a\\0b\"\n"
                                           "    h: 'true'\n"
                                           "    i: 99999999999999999999\n"
                                           "    j: 0x\n"
                                           "    k: 0o8\n");
    const struct yml_node *map = yml_item(yml_get(yml_root(document), "a"), 1);
    struct cj_error err;
    bool flag;
    uint64_t number;
    int64_t ns;
    const char *text;
    assert_int_equal(yml_bool(yml_get(map, "b"), &flag, &err), -1);
    assert_string_equal(err.message, "f.yaml:3: a[1].b: 'ja' is not true or false");
    assert_int_equal(yml_bool(yml_get(map, "h"), &flag, &err), -1);
    assert_string_equal(err.message, "f.yaml:9: a[1].h: 'true' is not true or false");
    static const char *const no_numbers[] = {"c", "d", "e", "i", "j", "k", "f"};
    for (size_t i = 0; i < COUNT_OF(no_numbers); i++)
        assert_int_equal(yml_uint(yml_get(map, no_numbers[i]), UINT64_MAX, &number, &err), -1);
    assert_int_equal(yml_uint(yml_get(map, "d"), UINT64_MAX, &number, &err), -1);
    assert_string_equal(err.message, "f.yaml:5: a[1].d: '5' is not a whole number");
    assert_int_equal(yml_uint(map, 1, &number, &err), -1);
    assert_string_equal(err.message, "f.yaml:3: a[1]: a single value is needed here, not a map");
    assert_int_equal(yml_size(yml_get(map, "f"), &number, &err), -1);
    assert_string_equal(err.message, "f.yaml:7: a[1].f: '1.5m' is not a size: write an integer and "
                                     "perhaps k, m or g, such as 64m");
    assert_int_equal(yml_duration(yml_get(map, "b"), &ns, &err), -1);
    assert_int_equal(yml_text(yml_get(map, "g"), &text, &err), -1);
    assert_string_equal(err.message, "f.yaml:8: a[1].g: a NUL byte is not allowed");
    assert_int_equal(yml_expect(yml_root(document), YML_SEQUENCE, &err), -1);
    assert_string_equal(err.message, "f.yaml:1: a list is needed here, not a map");
    yml_free(document);

    document = parsed("n: 65534");
    assert_int_equal(yml_uint(yml_get(yml_root(document), "n"), 65533, &number, &err), -1);
    assert_string_equal(err.message, "f.yaml:1: n: 65534 is above 65533");
    yml_free(document);
}

static void absent_files_are_told_apart(void **state)
{
    (void)state;
    struct yml_document *document;
    struct cj_error err;
    assert_int_equal(yml_load("/nonexistent/x.yaml", &document, &err), -1);
    assert_int_equal(err.domain, ERROR_SYSTEM);
    assert_int_equal(err.code, ENOENT);
    assert_int_equal(yml_load("/", &document, &err), -1);
    assert_int_equal(err.code, EISDIR);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(trees_keep_order_and_lines),
        cmocka_unit_test(empty_documents_have_no_root),
        cmocka_unit_test(what_is_no_yaml_is_refused_with_its_line),
        cmocka_unit_test(aliases_repeat_values),
        cmocka_unit_test(a_billion_laughs_are_not_funny),
        cmocka_unit_test(depth_is_bounded),
        cmocka_unit_test(size_is_bounded),
        cmocka_unit_test(scalars_are_converted_as_asked),
        cmocka_unit_test(wrong_scalars_are_named_with_their_path),
        cmocka_unit_test(absent_files_are_told_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
