/* -copy-in and -copy-out of `cjudge run`: what they ask for, what is refused, and who gets a fetched file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "answer.h"
#include "base/attr.h"
#include "run_copies.h"

/* Options with texts that may be changed, as the table gives them. */
struct fixture {
    struct run_options options;
    char *in[4], *out[4];
    struct run_copies copies;
    struct cj_error err;
};

static void fill(struct option_list *list, char **items, const char *const *texts)
{
    list->items = items;
    for (; texts[list->count] != NULL; list->count++)
        items[list->count] = strdup(texts[list->count]);
}

static int read_options(struct fixture *f, bool json, const char *script, const char *const *in,
                        const char *const *out)
{
    *f = (struct fixture){.options = {.json = json, .script = (char *)(uintptr_t)script}};
    fill(&f->options.copy_in, f->in, in);
    fill(&f->options.copy_out, f->out, out);
    return run_copies_read(&f->options, &f->copies, &f->err);
}

static void end(struct fixture *f)
{
    run_copies_free(&f->copies);
    for (size_t i = 0; i < COUNT_OF(f->in); i++) {
        free(f->in[i]);
        free(f->out[i]);
    }
}

#define LIST(...) ((const char *const[]){__VA_ARGS__ __VA_OPT__(, ) NULL})

static void the_last_colon_splits(void **state)
{
    (void)state;
    struct fixture f;
    assert_int_equal(
        read_options(&f, false, "", LIST("a/b:c:d", "x/y"), LIST("a:b:c", "p/q?", "?", "r?:s")), 0);
    assert_int_equal(f.copies.in_count, 2);
    assert_string_equal(f.copies.in[0].data, "a/b:c");
    assert_string_equal(f.copies.in[0].name, "d");
    assert_string_equal(f.copies.in[1].data, "x/y");
    assert_string_equal(f.copies.in[1].name, "y");
    assert_int_equal(f.copies.out_count, 4);
    assert_int_equal(f.copies.delivery_count, 4);
    static const struct {
        const char *name, *destination;
        bool optional;
    } wanted[] = {{"a:b", "c", false}, {"p/q", "q", true}, {"?", "?", false}, {"r", "s", true}};
    for (size_t i = 0; i < COUNT_OF(wanted); i++) {
        assert_string_equal(f.copies.out[i].name, wanted[i].name);
        assert_int_equal(f.copies.out[i].optional, wanted[i].optional);
        assert_string_equal(f.copies.deliveries[i].name, wanted[i].name);
        assert_string_equal(f.copies.deliveries[i].destination, wanted[i].destination);
    }
    end(&f);
}

static void what_stays_in_the_answer_has_no_destination(void **state)
{
    (void)state;
    struct fixture f;
    assert_int_equal(read_options(&f, true, "", LIST(), LIST("a", "a?:b", "stdout:c", "./stderr")),
                     0);
    assert_int_equal(f.copies.out_count, 3);
    assert_false(f.copies.out[0].optional); /* one of the two needs it */
    assert_string_equal(f.copies.out[1].name, "./stdout");
    assert_null(f.copies.deliveries[0].destination);
    assert_string_equal(f.copies.deliveries[1].destination, "b");
    assert_string_equal(f.copies.deliveries[2].destination, "c");
    assert_null(f.copies.deliveries[3].destination);
    end(&f);
    assert_int_equal(read_options(&f, false, "lines", LIST(), LIST("a")), 0);
    assert_null(f.copies.deliveries[0].destination);
    end(&f);
}

static void what_cannot_be_meant_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *in, *out, *second;
        bool json;
        const char *script, *words;
    } cases[] = {
        {"a:", NULL, NULL, false, "", "-copy-in a:: "},
        {":a", NULL, NULL, false, "", "-copy-in :a: "},
        {"a/", NULL, NULL, false, "", "-copy-in a/: "},
        {"a:b/", NULL, NULL, false, "", "-copy-in a:b/: "},
        {NULL, "a:", NULL, false, "", "-copy-out a:: "},
        {NULL, ":a", NULL, false, "", "-copy-out :a: "},
        {NULL, "a/", NULL, true, "", "-copy-out a/: "},
        {NULL, "a:b/", NULL, false, "", "-copy-out a:b/: "},
        {NULL, "a:x", "b:x", false, "", "-copy-out b:x: 'x' is already where a goes"},
        {NULL, "p/a", "q/a", false, "", "-copy-out q/a:a: 'a' is already where p/a goes"},
        {NULL, "stdout", NULL, true, "", "write ./stdout"},
        {NULL, "stderr?", NULL, false, "lines", "write ./stderr"},
        {NULL, "a:x", NULL, false, "lines", "-copy-out a:x: each line of a script"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct fixture f;
        if (read_options(&f, cases[i].json, cases[i].script, LIST(cases[i].in),
                         LIST(cases[i].out, cases[i].second)) != -1)
            fail_msg("accepted: %s", cases[i].words);
        if (strstr(f.err.message, cases[i].words) == NULL)
            fail_msg("'%s' is not in '%s'", cases[i].words, f.err.message);
        assert_int_equal(f.err.domain, ERROR_CONFIG);
        end(&f);
    }
}

/* ---- delivering ---- */

static struct exec_output output(const char *name, const char *data)
{
    return (struct exec_output){.name = strdup(name), .data = strdup(data), .size = strlen(data)};
}

static void assert_file(const char *path, const char *wanted)
{
    char text[64] = "";
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    assert_int_equal(fread(text, 1, sizeof(text) - 1, file), strlen(wanted));
    assert_string_equal(text, wanted);
    fclose(file);
    unlink(path);
}

static void everyone_gets_the_file_and_a_failure_stops_nobody(void **state)
{
    (void)state;
    char folder[] = "/tmp/test_run_copies.XXXXXX";
    assert_non_null(mkdtemp(folder));
    assert_int_equal(chdir(folder), 0);
    struct fixture f;
    assert_int_equal(
        read_options(&f, true, "", LIST(), LIST("a:no/such/folder", "a:d1", "b:d2", "a:d3")), 0);
    struct exec_result result = {.files = calloc(3, sizeof(*result.files)), .file_count = 3};
    result.files[0] = output("stdout", "said");
    result.files[1] = output("a", "A");
    result.files[2] = output("b", "B");
    assert_int_equal(run_copies_deliver(&f.copies, &result, -1, &f.err), -1);
    assert_string_equal(f.err.message, "copy out to no/such/folder: No such file or directory");
    assert_int_equal(result.file_count, 1);
    assert_string_equal(result.files[0].name, "stdout");
    assert_file("d1", "A");
    assert_file("d2", "B");
    assert_file("d3", "A");
    free(result.files[0].name);
    free(result.files[0].data);
    free(result.files);
    end(&f);
    assert_int_equal(chdir("/"), 0);
    assert_int_equal(rmdir(folder), 0);
}

/* ---- writing to somebody who may never read ---- */

static void a_full_pipe_is_given_up_when_asked_to(void **state)
{
    (void)state;
    int answer[2], stop[2];
    struct cj_error err = {0};
    static char data[1 << 20];
    assert_int_equal(pipe(answer), 0);
    assert_int_equal(pipe(stop), 0);
    assert_int_equal(write(stop[1], "", 1), 1);
    assert_int_equal(answer_write(answer[1], "fits", 4, stop[0], &err), 0);
    assert_int_equal(answer_write(answer[1], data, sizeof(data), stop[0], &err), -1);
    assert_int_equal(err.code, ECANCELED);
    assert_int_equal(read(answer[0], data, 4), 4);
    assert_memory_equal(data, "fits", 4);
    for (int i = 0; i < 2; i++) {
        close(answer[i]);
        close(stop[i]);
    }
}

static void a_file_that_takes_nothing_is_an_error(void **state)
{
    (void)state;
    struct cj_error err = {0};
    int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(answer_write(fd, "x", 1, -1, &err), -1);
    assert_int_equal(err.code, ENOSPC);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_last_colon_splits),
        cmocka_unit_test(what_stays_in_the_answer_has_no_destination),
        cmocka_unit_test(what_cannot_be_meant_is_refused),
        cmocka_unit_test(everyone_gets_the_file_and_a_failure_stops_nobody),
        cmocka_unit_test(a_full_pipe_is_given_up_when_asked_to),
        cmocka_unit_test(a_file_that_takes_nothing_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
