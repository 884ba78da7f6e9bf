#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/options.h"

struct config {
    bool verbose, colour, help;
    char *name;
    char *empty;
    struct option_list paths;
    uint64_t workers;
    uint64_t room_bytes;
    int64_t grace_ns;
    int level;
};

static const char *const levels[] = {"full", "half", "none", NULL};

#define AT(field) .offset = offsetof(struct config, field)

static const struct option_spec specs[] = {
    {.name = "verbose", .type = OPTION_BOOL, AT(verbose), .help = "say more", .group = "Words"},
    {.name = "colour",
     .type = OPTION_BOOL,
     AT(colour),
     .default_text = "true",
     .help = "paint",
     .group = "Words",
     .status = OPTION_NO_EFFECT},
    {.name = "name",
     .type = OPTION_STRING,
     AT(name),
     .default_text = "localhost:5050",
     .metavar = "ADDR",
     .help = "where the door is and some more words to break the line after",
     .group = "Words"},
    {.name = "empty", .type = OPTION_STRING, AT(empty), .help = "nothing", .group = "Words"},
    {.name = "path-list",
     .type = OPTION_LIST,
     AT(paths),
     .default_text = "/a,/b",
     .help = "paths",
     .group = "Words",
     .status = OPTION_PLANNED},
    {.name = "workers",
     .type = OPTION_COUNT,
     AT(workers),
     .default_note = "one for each CPU",
     .help = "sandboxes",
     .group = "Numbers"},
    {.name = "room",
     .type = OPTION_SIZE,
     AT(room_bytes),
     .default_text = "16k",
     .help = "bytes",
     .group = "Numbers"},
    {.name = "grace",
     .type = OPTION_DURATION,
     AT(grace_ns),
     .default_text = "1m30s",
     .help = "wait\\",
     .group = "Numbers"},
    {.name = "an-option-with-a-very-long-name",
     .type = OPTION_CHOICE,
     AT(level),
     .choices = levels,
     .default_text = "half",
     .help = ".choose",
     .group = "Numbers"},
    {.name = "help",
     .type = OPTION_BOOL,
     AT(help),
     .help = "this",
     .group = "Numbers",
     .not_in_environment = true},
};

static const struct option_table table = {"ES_", specs, COUNT_OF(specs)};

enum { WORDS_MAX = 16 };

/* Loads words, split at spaces; environment too. */
static int load(const char *words, const char *environment, struct config *config, uint8_t *origins,
                int *next, struct cj_error *err)
{
    char text[2][512];
    char program[] = "program";
    char *lists[2][WORDS_MAX] = {{program}, {NULL}};
    const char *const sources[2] = {words, environment};
    int argc = 1;
    for (int k = 0; k < 2; k++) {
        int count = k == 0 ? 1 : 0;
        strcpy(text[k], sources[k]);
        char *rest = NULL;
        for (char *word = strtok_r(text[k], " ", &rest); word != NULL;
             word = strtok_r(NULL, " ", &rest))
            lists[k][count++] = word;
        lists[k][count] = NULL;
        argc = k == 0 ? count : argc;
    }
    *config = (struct config){0};
    *err = (struct cj_error){0};
    return options_load(&table, argc, lists[0], lists[1], config, origins, next, err);
}

static void defaults_fill_every_field(void **state)
{
    (void)state;
    struct config config;
    struct cj_error err;
    uint8_t origins[COUNT_OF(specs)];
    memset(origins, 9, sizeof(origins));
    int next = 0;
    assert_int_equal(load("", "", &config, origins, &next, &err), 0);
    assert_int_equal(next, 1);
    assert_false(config.verbose);
    assert_true(config.colour);
    assert_string_equal(config.name, "localhost:5050");
    assert_string_equal(config.empty, "");
    assert_int_equal(config.paths.count, 2);
    assert_string_equal(config.paths.items[0], "/a");
    assert_string_equal(config.paths.items[1], "/b");
    assert_int_equal(config.workers, 0);
    assert_int_equal(config.room_bytes, 16384);
    assert_true(config.grace_ns == INT64_C(90000000000));
    assert_int_equal(config.level, 1);
    for (size_t i = 0; i < COUNT_OF(specs); i++)
        assert_int_equal(origins[i], OPTION_FROM_DEFAULT);
    options_free(&table, &config);
    assert_null(config.name);
    assert_null(config.paths.items);
    assert_int_equal(config.paths.count, 0);
}

static void every_spelling_of_a_flag_is_read(void **state)
{
    (void)state;
    static const struct {
        const char *words;
        int next;
        uint64_t workers;
        bool verbose;
        const char *name;
    } cases[] = {
        {"-workers 4", 3, 4, false, "localhost:5050"},
        {"-workers=4", 2, 4, false, "localhost:5050"},
        {"--workers 4", 3, 4, false, "localhost:5050"},
        {"--workers=4 -verbose", 3, 4, true, "localhost:5050"},
        {"-workers 4 -workers 5", 5, 5, false, "localhost:5050"},
        {"-verbose -workers 1", 4, 1, true, "localhost:5050"},
        {"-verbose -verbose=false", 3, 0, false, "localhost:5050"},
        {"-verbose=T", 2, 0, true, "localhost:5050"},
        {"-verbose=0", 2, 0, false, "localhost:5050"},
        {"-verbose false -workers 4", 2, 0, true, "localhost:5050"}, /* stops at a word */
        {"-- -workers 4", 2, 0, false, "localhost:5050"},
        {"-verbose -- x", 3, 0, true, "localhost:5050"},
        {"word -workers 4", 1, 0, false, "localhost:5050"},
        {"- -workers 4", 1, 0, false, "localhost:5050"},
        {"-name -verbose", 3, 0, false, "-verbose"}, /* a value may look like an option */
        {"-name=", 2, 0, false, ""},
        {"-name=a=b", 2, 0, false, "a=b"},
        {"-name --", 3, 0, false, "--"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct config config;
        struct cj_error err;
        int next = 0;
        if (load(cases[i].words, "", &config, NULL, &next, &err) < 0)
            fail_msg("%s: %s", cases[i].words, err.message);
        if (next != cases[i].next)
            fail_msg("%s: stopped at %d", cases[i].words, next);
        assert_int_equal(config.workers, cases[i].workers);
        assert_int_equal(config.verbose, cases[i].verbose);
        assert_string_equal(config.name, cases[i].name);
        options_free(&table, &config);
    }
}

static void help_has_a_short_name(void **state)
{
    (void)state;
    struct config config;
    struct cj_error err;
    int next;
    assert_int_equal(load("-h", "", &config, NULL, &next, &err), 0);
    assert_true(config.help);
    options_free(&table, &config);
}

static void flags_beat_the_environment(void **state)
{
    (void)state;
    struct config config;
    struct cj_error err;
    uint8_t origins[COUNT_OF(specs)];
    int next;
    assert_int_equal(load("-workers 4 -path-list=",
                          "ES_WORKERS=3 ES_ROOM=1m ES_NAME= ES_VERBOSE=1 "
                          "ES_PATH_LIST=/x,/y,/z ES_HELP=1 ES_WORKERSX=9 XES_ROOM=2m",
                          &config, origins, &next, &err),
                     0);
    assert_int_equal(config.workers, 4);
    assert_int_equal(config.room_bytes, 1048576);
    assert_string_equal(config.name, "localhost:5050"); /* empty counts as unset */
    assert_true(config.verbose);
    assert_false(config.help);
    assert_int_equal(config.paths.count, 0);
    static const uint8_t expected[] = {OPTION_FROM_ENVIRONMENT,  OPTION_FROM_DEFAULT,
                                       OPTION_FROM_DEFAULT,      OPTION_FROM_DEFAULT,
                                       OPTION_FROM_COMMAND_LINE, OPTION_FROM_COMMAND_LINE,
                                       OPTION_FROM_ENVIRONMENT,  OPTION_FROM_DEFAULT,
                                       OPTION_FROM_DEFAULT,      OPTION_FROM_DEFAULT};
    assert_memory_equal(origins, expected, sizeof(expected));
    options_free(&table, &config);
}

static void errors_name_option_value_and_reason(void **state)
{
    (void)state;
    static const struct {
        const char *words, *environment, *message;
    } cases[] = {
        {"-nope", "", "-nope: no such option"},
        {"--nope=1", "", "-nope: no such option"},
        {"-=1", "", "-: no such option"},
        {"---workers 1", "", "--workers: no such option"},
        {"-workers", "", "-workers: a value is missing"},
        {"-workers four", "", "-workers four: 'four' is not a count: write a whole number"},
        {"-workers=", "", "-workers : '' is not a count: write a whole number"},
        {"-verbose=maybe", "", "-verbose=maybe: 'maybe' is not true or false"},
        {"-verbose=", "", "-verbose=: '' is not true or false"},
        {"-grace -1s", "", "-grace -1s: '-1s' is negative"},
        {"-path-list /a,,/b", "", "-path-list /a,,/b: an item of the list is empty"},
        {"-path-list /a,", "", "-path-list /a,: an item of the list is empty"},
        {"-an-option-with-a-very-long-name most", "",
         "-an-option-with-a-very-long-name most: 'most' is none of full, half, none"},
        {"", "ES_WORKERS=four", "ES_WORKERS=four: 'four' is not a count: write a whole number"},
        {"-workers 4", "ES_ROOM=x",
         "ES_ROOM=x: 'x' is not a size: write an integer and perhaps k, m or g, such as 64m"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct config config;
        struct cj_error err;
        int next = 77;
        assert_int_equal(load(cases[i].words, cases[i].environment, &config, NULL, &next, &err),
                         -1);
        assert_string_equal(err.message, cases[i].message);
        assert_int_equal(err.domain, ERROR_CONFIG);
        assert_int_equal(next, 77);
        assert_null(config.name);
    }
}

static void the_program_can_set_one(void **state)
{
    (void)state;
    struct config config;
    struct cj_error err;
    int next;
    assert_int_equal(load("", "", &config, NULL, &next, &err), 0);
    assert_int_equal(options_set(&table, &config, "name", ":5050", &err), 0);
    assert_string_equal(config.name, ":5050");
    assert_int_equal(options_set(&table, &config, "nope", "1", &err), -1);
    assert_int_equal(err.domain, ERROR_INTERNAL);
    options_free(&table, &config);
}

static void assert_text(struct buf *buf, const char *expected)
{
    assert_int_equal(buf_check(buf, NULL), 0);
    if (buf->size != strlen(expected) || memcmp(buf->data, expected, buf->size) != 0)
        fail_msg("got\n%.*sexpected\n%s", (int)buf->size, buf->data, expected);
}

static void help_is_grouped_and_wrapped(void **state)
{
    (void)state;
    auto_buf struct buf out = {0};
    options_help(&table, 60, &out);
    assert_text(&out, "Words:\n"
                      "  -verbose                    say more\n"
                      "  -colour                     paint (default: true)\n"
                      "                              [accepted, no effect here]\n"
                      "  -name ADDR                  where the door is and some\n"
                      "                              more words to break the line\n"
                      "                              after (default:\n"
                      "                              localhost:5050)\n"
                      "  -empty TEXT                 nothing\n"
                      "  -path-list A,B,...          paths (default: /a,/b)\n"
                      "                              [accepted, not built yet]\n"
                      "\n"
                      "Numbers:\n"
                      "  -workers N                  sandboxes (default: one for\n"
                      "                              each CPU)\n"
                      "  -room SIZE                  bytes (default: 16k)\n"
                      "  -grace TIME                 wait\\ (default: 1m30s)\n"
                      "  -an-option-with-a-very-long-name full|half|none\n"
                      "                              .choose (default: half)\n"
                      "  -help                       this\n");
}

static void documents_come_from_the_table(void **state)
{
    (void)state;
    auto_buf struct buf markdown = {0};
    options_markdown(&table, &markdown);
    static const char markdown_end[] =
        "\n### Numbers\n\n"
        "| option | variable | default | |\n"
        "|---|---|---|---|\n"
        "| `-workers N` | `ES_WORKERS` | one for each CPU | sandboxes |\n"
        "| `-room SIZE` | `ES_ROOM` | 16k | bytes |\n"
        "| `-grace TIME` | `ES_GRACE` | 1m30s | wait\\ |\n"
        "| `-an-option-with-a-very-long-name full\\|half\\|none` | "
        "`ES_AN_OPTION_WITH_A_VERY_LONG_NAME` | half | .choose |\n"
        "| `-help` |  |  | this |\n";
    size_t length = strlen(markdown_end);
    assert_true(markdown.size > length);
    assert_memory_equal(markdown.data + markdown.size - length, markdown_end, length);
    auto_buf struct buf mdoc = {0};
    options_mdoc(&table, &mdoc);
    assert_text(&mdoc, ".Ss Words\n.Bl -tag -width Ds\n"
                       ".It Fl verbose\nsay more\n"
                       ".It Fl colour\npaint\n(default: true)\n[accepted, no effect here]\n"
                       ".It Fl name Ar ADDR\nwhere the door is and some more words to break the "
                       "line after\n(default: localhost:5050)\n"
                       ".It Fl empty Ar TEXT\nnothing\n"
                       ".It Fl path\\-list Ar A,B,...\npaths\n(default: /a,/b)\n"
                       "[accepted, not built yet]\n.El\n"
                       ".Ss Numbers\n.Bl -tag -width Ds\n"
                       ".It Fl workers Ar N\nsandboxes\n(default: one for each CPU)\n"
                       ".It Fl room Ar SIZE\nbytes\n(default: 16k)\n"
                       ".It Fl grace Ar TIME\nwait\\e\n(default: 1m30s)\n"
                       ".It Fl an\\-option\\-with\\-a\\-very\\-long\\-name Ar full|half|none\n"
                       "\\&.choose\n(default: half)\n"
                       ".It Fl help\nthis\n.El\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_fill_every_field),
        cmocka_unit_test(every_spelling_of_a_flag_is_read),
        cmocka_unit_test(help_has_a_short_name),
        cmocka_unit_test(flags_beat_the_environment),
        cmocka_unit_test(errors_name_option_value_and_reason),
        cmocka_unit_test(the_program_can_set_one),
        cmocka_unit_test(help_is_grouped_and_wrapped),
        cmocka_unit_test(documents_come_from_the_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
