/* What is refused of a group before anything runs, and in which words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "group_check.h"

enum { COMMANDS = 3, FILES = 4 };

struct sample {
    struct exec_request commands[COMMANDS];
    struct exec_file files[COMMANDS][FILES];
    struct exec_pipe pipes[3];
    struct exec_group group;
};

/* Two commands, "a" and "b": 0 null, 1 and 2 collected; pipes a.3 -> b.0 and b.3 -> a.0. */
static void make_sample(struct sample *sample)
{
    static const char *const args[] = {"a"};
    memset(sample, 0, sizeof(*sample));
    for (size_t i = 0; i < COMMANDS; i++) {
        sample->files[i][0].kind = EXEC_FILE_NULL;
        for (size_t k = 1; k < 3; k++)
            sample->files[i][k] = (struct exec_file){.kind = EXEC_FILE_COLLECT, .name = "o"};
        sample->commands[i] = (struct exec_request){
            .args = args, .arg_count = 1, .files = sample->files[i], .file_count = 3};
    }
    sample->pipes[0] = (struct exec_pipe){.writer = {0, 3}, .reader = {1, 0}};
    sample->pipes[1] = (struct exec_pipe){.writer = {1, 3}, .reader = {0, 0}};
    sample->group = (struct exec_group){sample->commands, 2, sample->pipes, 2};
}

static void assert_refused(const struct sample *sample, const char *message)
{
    struct cj_error err = {0};
    assert_int_equal(exec_group_check(&sample->group, &err), -1);
    assert_string_equal(err.message, message);
    assert_int_equal(err.domain, ERROR_REQUEST);
}

static void assert_fine(const struct sample *sample)
{
    struct cj_error err = {0};
    if (exec_group_check(&sample->group, &err) < 0)
        fail_msg("%s", err.message);
}

static void a_group_that_fits_is_fine(void **state)
{
    (void)state;
    struct sample sample;
    make_sample(&sample);
    assert_fine(&sample);
    assert_int_equal(group_descriptor_count(&sample.group, 0), 4);
    assert_int_equal(group_descriptor_count(&sample.group, 1), 4);
    sample.pipes[0].reader = (struct exec_pipe_end){0, 0}; /* a writes to itself */
    sample.pipes[1].reader = (struct exec_pipe_end){1, 0};
    assert_fine(&sample);
    sample.commands[0].file_count = 0; /* 0 and 3 are pipes, 1 and 2 missing */
    assert_refused(&sample, "cmd[0].files[1]: missing, and no pipe covers it");
}

static void numbers_out_of_range_are_named(void **state)
{
    (void)state;
    static const struct {
        struct exec_pipe_end writer, reader;
        const char *message;
    } cases[] = {
        {{9, 3}, {1, 0}, "pipeMapping[0].in.index: 9 is out of range: there are 2 commands"},
        {{-1, 3}, {1, 0}, "pipeMapping[0].in.index: -1 is out of range: there are 2 commands"},
        {{0, 3}, {2, 0}, "pipeMapping[0].out.index: 2 is out of range: there are 2 commands"},
        {{0, 3},
         {INT64_MAX, 0},
         "pipeMapping[0].out.index: 9223372036854775807 is out of range: there are 2 commands"},
        {{0, -1}, {1, 0}, "pipeMapping[0].in.fd: -1 is out of range: 0 to 249 are possible"},
        {{0, 250}, {1, 0}, "pipeMapping[0].in.fd: 250 is out of range: 0 to 249 are possible"},
        {{0, 3},
         {1, INT64_MIN},
         "pipeMapping[0].out.fd: -9223372036854775808 is out of range: 0 to 249 are possible"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct sample sample;
        make_sample(&sample);
        sample.pipes[0].writer = cases[i].writer;
        sample.pipes[0].reader = cases[i].reader;
        assert_refused(&sample, cases[i].message);
    }
}

static void a_descriptor_belongs_to_one(void **state)
{
    (void)state;
    struct sample sample;
    make_sample(&sample);
    sample.pipes[1].writer = (struct exec_pipe_end){1, 1};
    assert_refused(&sample, "pipeMapping[1].in: cmd[1].files[1] is not null");
    make_sample(&sample);
    sample.pipes[1].reader = (struct exec_pipe_end){1, 0};
    assert_refused(&sample,
                   "pipeMapping[1].out: cmd[1].files[0] belongs to pipeMapping[0] already");
    make_sample(&sample);
    sample.pipes[1].reader = sample.pipes[1].writer;
    assert_refused(&sample,
                   "pipeMapping[1].out: cmd[1].files[3] belongs to pipeMapping[1] already");
    make_sample(&sample);
    sample.files[1][0].kind = EXEC_FILE_CLOSED;
    assert_refused(&sample, "pipeMapping[0].out: cmd[1].files[0] is not null");
}

static void every_null_needs_a_pipe(void **state)
{
    (void)state;
    struct sample sample;
    make_sample(&sample);
    sample.files[1][2].kind = EXEC_FILE_NULL;
    assert_refused(&sample, "cmd[1].files[2]: null, and no pipe covers it");
    make_sample(&sample);
    sample.pipes[1].writer.fd = 5; /* leaves a gap */
    assert_refused(&sample, "cmd[1].files[3]: missing, and no pipe covers it");
    make_sample(&sample);
    sample.group.count = 3;
    assert_refused(&sample, "cmd[2].files[0]: null, and no pipe covers it");
}

static void one_command_has_no_pipes(void **state)
{
    (void)state;
    struct sample sample;
    make_sample(&sample);
    sample.group.count = 1;
    assert_refused(&sample, "cmd[0].files[0]: null, and no pipe covers it");
    sample.files[0][0].kind = EXEC_FILE_CONTENT;
    sample.pipes[0].writer.index = 77; /* nobody looks */
    assert_fine(&sample);
    assert_int_equal(group_descriptor_count(&sample.group, 0), 3);
}

static void commands_need_arguments_and_not_too_many_descriptors(void **state)
{
    (void)state;
    struct sample sample;
    make_sample(&sample);
    sample.commands[1].arg_count = 0;
    assert_refused(&sample, "cmd[1].args: empty");
    make_sample(&sample);
    sample.group.count = 0;
    assert_refused(&sample, "no cmd provided");
    static struct exec_file many[EXEC_DESCRIPTORS_MAX + 1]; /* closed */
    make_sample(&sample);
    sample.group.count = 1;
    sample.commands[0].files = many;
    sample.commands[0].file_count = EXEC_DESCRIPTORS_MAX;
    assert_fine(&sample);
    sample.commands[0].file_count++;
    assert_refused(&sample, "cmd[0].files: 251 of them, at most 250 are possible");
    static struct exec_request crowd[EXEC_GROUP_MAX + 1];
    for (size_t i = 0; i < COUNT_OF(crowd); i++)
        crowd[i] = (struct exec_request){.args = sample.commands[0].args, .arg_count = 1};
    sample.group = (struct exec_group){.commands = crowd, .count = EXEC_GROUP_MAX};
    assert_fine(&sample);
    sample.group.count++;
    assert_refused(&sample, "cmd: 129 of them, at most 128 can run together");
}

static void one_types_into_a_terminal(void **state)
{
    (void)state;
    struct sample sample;
    make_sample(&sample);
    sample.files[0][1].kind = EXEC_FILE_CONTENT;
    sample.files[0][2].kind = EXEC_FILE_FEED;
    assert_fine(&sample);
    sample.commands[0].tty = true;
    assert_refused(&sample, "cmd[0].files[2]: tty: multiple input not allowed");
    sample.files[0][2].kind = EXEC_FILE_FD;
    assert_fine(&sample);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_group_that_fits_is_fine),
        cmocka_unit_test(numbers_out_of_range_are_named),
        cmocka_unit_test(a_descriptor_belongs_to_one),
        cmocka_unit_test(every_null_needs_a_pipe),
        cmocka_unit_test(one_command_has_no_pipes),
        cmocka_unit_test(commands_need_arguments_and_not_too_many_descriptors),
        cmocka_unit_test(one_types_into_a_terminal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
