/* judge/language.h: the file of languages and command templates. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/attr.h"
#include "base/io.h"
#include "judge/language.h"

static const struct command_value values[] = {
    {"source", "main.c"}, {"exe", "a b'c"}, {"empty", ""}, {"braces", "{source}"}};

static void commands_become_words(void **state)
{
    (void)state;
    static const struct {
        const char *template;
        const char *words; /* each in <> */
    } rows[] = {
        {"gcc -o {exe} {source}", "<gcc><-o><a b'c><main.c>"},
        {"  a\t b\n", "<a><b>"},
        {"'{exe}' \"x {source} y\"", "<a b'c><x main.c y>"},
        {"./{exe}", "<./a b'c>"},
        {"{{}} {{source}}", "<{}><{source}>"},
        {"{braces}", "<{source}>"},
        {"a '' {empty} \"\"", "<a><><><>"},
        {"a\\ b 'c\\d' \"e\\\"f\" \"g\\h\"", "<a b><c\\d><e\"f><g\\h>"},
        {"sh -c 'a && b'", "<sh><-c><a && b>"},
        {"a'b'c", "<abc>"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char **words, text[200] = "";
        size_t count, used = 0;
        struct cj_error err = {0};
        assert_int_equal(
            command_words(rows[i].template, values, COUNT_OF(values), &words, &count, &err), 0);
        for (size_t k = 0; k < count; k++)
            used += (size_t)snprintf(text + used, sizeof(text) - used, "<%s>", words[k]);
        assert_null(words[count]);
        assert_string_equal(text, rows[i].words);
        free(words);
    }
}

static void bad_commands_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *template, *message;
    } rows[] = {
        {"a {nosuch}", "{nosuch}: there is no such placeholder here"},
        {"a {source", "'{' without '}': write '{{' for a brace"},
        {"a }", "'}' without '{': write '}}' for a brace"},
        {"a 'b", "a ' is not closed"},
        {"a \"b", "a \" is not closed"},
        {"a \\", "nothing follows the last backslash"},
        {"   ", "an empty command"},
        {"", "an empty command"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char **words;
        size_t count;
        struct cj_error err = {0};
        assert_int_equal(
            command_words(rows[i].template, values, COUNT_OF(values), &words, &count, &err), -1);
        assert_string_equal(err.message, rows[i].message);
        assert_int_equal(err.domain, ERROR_CONFIG);
    }
}

static void templates_that_start_sandboxes(void **state)
{
    static const struct {
        const char *template;
        bool starts;
    } cases[] = {
        {"bwrap --ro-bind / / -- python3 {source}", true},
        {"/usr/bin/docker run -i image {source}", true},
        {"firejail --quiet -- {exe}", true},
        {"podman run x", true},
        {"nsjail -- {exe}", true},
        {"sudo -n docker run x", true},
        {"env A=b timeout 10 bwrap -- {exe}", true},
        {"python3 {source}", false},
        {"python3 /opt/docker {source}", false},
        {"timeout 10 python3 {source} bwrap", false},
        {"timeout 10 {exe} docker", false},
        {"bwrapper {exe}", false},
        {"docker/run {exe}", false},
        {"'bwrap", false},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        if (command_starts_sandbox(cases[i].template) != cases[i].starts)
            fail_msg("%s", cases[i].template);
}

static void what_is_built_in(void **state)
{
    (void)state;
    struct languages *languages;
    struct cj_error err = {0};
    if (languages_load(NULL, &languages, &err) < 0)
        fail_msg("%s", err.message);
    assert_true(languages_count(languages) >= 40);
    static const char *const first_class[] = {"c",    "cpp",  "cpp17", "cpp20", "cpp23", "python",
                                              "pypy", "java", "node",  "go",    "rust",  "bash"};
    for (size_t i = 0; i < COUNT_OF(first_class); i++) {
        const struct language *language = languages_find(languages, first_class[i]);
        assert_non_null(language);
        assert_true(language->first_class);
    }
    /* decisions: the commands of code-judge */
    assert_string_equal(languages_find(languages, "cpp")->build, "g++ -O2 -o {exe} {source}");
    assert_string_equal(languages_find(languages, "python")->run, "python3 {source}");
    assert_ptr_equal(languages_find(languages, "c++20"), languages_find(languages, "cpp20"));
    assert_null(languages_find(languages, "nosuch"));
    for (size_t i = 0; i < languages_count(languages); i++) {
        const struct language *language = languages_at(languages, i);
        assert_non_null(language->version);
        assert_true(language->packages.count > 0 || !language->first_class);
        assert_true(language->examples.error != NULL && language->examples.loop != NULL);
        if (language->packages.count > 0)
            assert_true(language->examples.hello != NULL && language->examples.echo != NULL);
        assert_true(language->limits.time_factor >= 1);
    }
    languages_free(languages);
}

static void load_text(const char *text, struct languages **out, int expected, struct cj_error *err)
{
    char path[] = "/tmp/cjudge-languages-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
    int done = languages_load(path, out, err);
    unlink(path);
    if (done != expected)
        fail_msg("%s: %s", text, err->message);
}

static void a_file_takes_its_place(void **state)
{
    (void)state;
    struct languages *languages;
    struct cj_error err = {0};
    load_text(
        "languages:\n"
        "  - {id: x, aliases: [y, z], source: a.x, exe: b, build: 'xc {source}', run: './{exe}',\n"
        "     env: [A=b], mounts: [/opt/x], limits: {time_factor: 1.5, extra_memory: 8m, "
        "processes: 4}}\n",
        &languages, 0, &err);
    const struct language *x = languages_find(languages, "z");
    assert_non_null(x);
    assert_string_equal(x->name, "x");
    assert_true(x->limits.time_factor > 1.49 && x->limits.time_factor < 1.51);
    assert_int_equal(x->limits.extra_memory_bytes, 8 << 20);
    assert_int_equal(x->limits.processes, 4);
    assert_null(x->version);
    languages_free(languages);
}

static void bad_files_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
    } rows[] = {
        {"languages: []", "'languages' is not a list of languages"},
        {"", "'languages' is not a list of languages"},
        {"languages:\n  - {id: x, run: a}", "'source' is missing"},
        {"languages:\n  - {id: x, source: a}", "'run' is missing"},
        {"languages:\n  - {source: a, run: a}", "'id' is missing"},
        {"languages:\n  - {id: x, source: ../a, run: a}", "'../a' is not the name of a file"},
        {"languages:\n  - {id: x/y, source: a, run: a}", "'x/y' is no id"},
        {"languages:\n  - {id: x, source: a, run: 'a {exe}'}",
         "{exe}: there is no such placeholder"},
        {"languages:\n  - {id: x, source: a, run: a, rum: b}", "'rum' is no key of this"},
        {"languages:\n  - {id: x, source: a, run: a, build: b}", "'build' needs 'exe' or 'keep'"},
        {"languages:\n  - {id: x, source: a, run: a}\n  - {id: y, aliases: [x], source: a, run: a}",
         "'x' is a name of 'x' already"},
        {"languages:\n  - {id: x, source: a, run: a, env: [b]}", "'b' is not NAME=VALUE"},
        {"languages:\n  - {id: x, source: a, run: a, mounts: [b]}", "'b' does not begin with '/'"},
        {"languages:\n  - {id: x, source: a, run: a, limits: {time_factor: 0.5}}",
         "'0.5' is not a factor of 1 to 100"},
        {"languages:\n  - {id: x, source: a, run: a, limits: {tme: 2}}", "'tme' is no key of this"},
        {"languages:\n  - {id: x, source: a, run: a, aliases: [~]}", "entry 1 is empty"},
        {"languages:\n  - {id: x, source: a, run: a, build: b, exe: c, prepared: {keep: [a], "
         "build: b}}",
         "'command' is missing"},
        {"languages:\n  - {id: x, source: a, run: a, build: b, exe: c, prepared: {command: a, "
         "keep: [a]}}",
         "'build' is missing"},
        {"languages:\n  - {id: x, source: a, run: a, build: b, exe: c, prepared: {command: a, "
         "build: b}}",
         "'keep' is missing"},
        {"languages:\n  - {id: x, source: a, run: a, build: b, exe: c, prepared: {command: a, "
         "build: b, keep: [../a]}}",
         "'../a' is not a path below"},
        {"languages:\n  - {id: x, source: a, run: a, build: b, exe: c, prepared: {command: a, "
         "build: b, keep: [a//b]}}",
         "'a//b' is not a path below"},
        {"languages:\n  - {id: x, source: a, run: a, build: b, exe: c, prepared: {command: a, "
         "build: b, keep: [/a]}}",
         "'/a' is not a path below"},
        {"languages:\n  - {id: x, source: a, run: a, build: b, exe: c, prepared: {command: 'a "
         "{prepared}', build: b, keep: [a]}}",
         "{prepared}: there is no such placeholder"},
        {"languages:\n  - {id: x, source: a, run: a, build: b, exe: c, prepared: {command: a, "
         "build: b, keep: [a], wen: x}}",
         "'wen' is no key of this"},
        {"languages:\n  - {id: x, source: a, run: a, build: b, exe: c, prepared: {command: a, "
         "build: b, keep: [/]}}",
         "'/' is not a path below"},
        {"languages:\n  - {id: x, source: a, run: a, build: b, exe: c, prepared: {command: a, "
         "build: b, keep: [a//]}}",
         "'a//' is not a path below"},
        {"languages:\n  - {id: x, source: a, run: a, build: b, exe: c, prepared: {command: a, "
         "build: b, keep: [../]}}",
         "'../' is not a path below"},
        {"languages:\n  - {id: x, source: a, run: a, build: b, exe: c, prepared: {command: a, "
         "build: b, keep: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17]}}",
         "more than 16 entries"},
        {"languages:\n  - {id: x, source: a, run: a, build: b, exe: c, prepared: {command: a, "
         "build: b, keep: [a], env: [b]}}",
         "'b' is not NAME=VALUE"},
        {"languages:\n  - {id: x, source: a, run: a, build: b, exe: c, prepared: {command: a, "
         "build: b, keep: [a], env: ['A={workdir}']}}",
         "{workdir}: there is no such placeholder"},
        {"languages:\n  - {id: x, source: a, run: a, build: b, exe: c, prepared: {command: a, "
         "build: b, keep: [a], env: ['A=}']}}",
         "'}' without '{'"},
        {"languages:\n  - {id: x, source: a, run: a, warm: true, preload: [a.b]}",
         "'a.b' is not the name of a module"},
        {"languages:\n  - {id: x, source: a, run: a, warm: true, preload: [\"a'b\"]}",
         "'a'b' is not the name of a module"},
        {"languages:\n  - {id: x, source: a, run: a, build: b, exe: c, inputs: [b]}",
         "'b' does not begin with '/'"},
        {"languages:\n  - {id: x, source: a, run: a, prepared: {command: a, build: b, keep: [a]}}",
         "there is no 'build' that it could make quick"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct languages *languages;
        struct cj_error err = {0};
        load_text(rows[i].text, &languages, -1, &err);
        if (strstr(err.message, rows[i].message) == NULL)
            fail_msg("row %zu: %s", i, err.message);
    }
}

static void a_text_is_one_word(void **state)
{
    (void)state;
    const struct command_value texts[] = {{"prepared", "/a b"}};
    static const struct {
        const char *template, *text;
    } rows[] = {
        {"K={prepared}/c", "K=/a b/c"},
        {"K=", "K="},
        {"K=a 'b' \\ \"c\"", "K=a 'b' \\ \"c\""},
        {"K={{x}} {prepared}{prepared}", "K={x} /a b/a b"},
        {"K={prepared", NULL},
        {"K={other}", NULL},
        {"K=}", NULL},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char *text = NULL;
        struct cj_error err;
        int done = command_text(rows[i].template, texts, COUNT_OF(texts), &text, &err);
        assert_int_equal(done, rows[i].text != NULL ? 0 : -1);
        if (done == 0)
            assert_string_equal(text, rows[i].text);
        free(text);
    }
}

/* What is prepared is for the command of the file, however that is quoted, and for no other. */
static void another_command_is_not_prepared(void **state)
{
    static const char text[] =
        "languages:\n  - {id: x, source: a, run: r, exe: e, build: 'cc -o {exe} {source}', "
        "prepared: {command: p, keep: [f], build: 'cc -I{prepared}'}}";
    static const struct {
        struct language_command build;
        bool is_prepared;
    } rows[] = {
        {{NULL, COMMAND_OURS}, true},
        {{"'cc'  -o {exe} \"{source}\"", COMMAND_OURS}, true},
        {{"cc -o {exe} {source}", COMMAND_TEMPLATE}, false}, /* its {source} is absolute */
        {{"cc -o {exe} {source} -g", COMMAND_OURS}, false},
        {{"cc -o {exe}", COMMAND_OURS}, false},
        {{"gcc -o {exe} {source}", COMMAND_OURS}, false},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct languages *languages;
        struct cj_error err = {0};
        load_text(text, &languages, 0, &err);
        assert_int_equal(
            languages_override(languages, "x", rows[i].build, (struct language_command){0}, &err),
            0);
        assert_int_equal(languages_at(languages, 0)->prepared.command != NULL, rows[i].is_prepared);
        languages_free(languages);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(commands_become_words),
        cmocka_unit_test(bad_commands_are_named),
        cmocka_unit_test(what_is_built_in),
        cmocka_unit_test(a_file_takes_its_place),
        cmocka_unit_test(bad_files_are_named),
        cmocka_unit_test(a_text_is_one_word),
        cmocka_unit_test(another_command_is_not_prepared),
        cmocka_unit_test(templates_that_start_sandboxes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
