/* A sandbox with containers, and requests made of shell scripts, for the executor's live tests. */
#ifndef CJ_TESTS_EXEC_FIXTURE_H
#define CJ_TESTS_EXEC_FIXTURE_H

#include <stdbool.h>

#include "exec/exec.h"

enum { TRIAL_COMMANDS = 8, TRIAL_FILES = 8, TRIAL_PIPES = 16 };

struct trial {
    struct exec_request commands[TRIAL_COMMANDS];
    const char *args[TRIAL_COMMANDS][8];
    struct exec_file files[TRIAL_COMMANDS][TRIAL_FILES];
    struct exec_copy_in copy_in[TRIAL_COMMANDS];
    size_t count;
    struct exec_pipe pipes[TRIAL_PIPES];
    size_t pipe_count;
    size_t first_container;
    int cancel_fd;
    struct exec_settings settings;
    struct exec_result results[TRIAL_COMMANDS];
    int64_t took_ns;
};

/* cmocka's group fixtures. Sets up nothing when the caller is not root: see exec_fixture_missing(). */
int exec_fixture_open(void **state);
int exec_fixture_close(void **state);
bool exec_fixture_missing(void);

struct container *exec_fixture_container(size_t index);

/* Empty trial: 5 s of CPU, 10 s of wall time, 64 MiB, 16 processes for each command. */
void trial_begin(struct trial *trial);

/* Adds a command: the script, run by sh, or the victim (tests/victims/exec_victim.c) with its words. Descriptor
 * 0 is empty, 1 and 2 are collected as stdout and stderr. Returns the request, to be changed. */
struct exec_request *trial_shell(struct trial *trial, const char *script);
struct exec_request *trial_victim(struct trial *trial, const char *a, const char *b, const char *c);

/* From command writer's descriptor to the other's; makes them NULL where they are not. */
struct exec_pipe *trial_pipe(struct trial *trial, int writer, int writer_fd, int reader,
                             int reader_fd, bool proxy);

/* Runs it and makes the containers fresh. */
void trial_run_beside_others(struct trial *trial);

/* The same, and checks that no descriptor was left open: while nothing else goes on. */
void trial_run(struct trial *trial);
void trial_end(struct trial *trial);

/* The bytes collected under that name; fails the test unless they are these. */
void assert_file(const struct exec_result *result, const char *name, const char *text);
const struct exec_output *find_file(const struct exec_result *result, const char *name);
void assert_status(const struct exec_result *result, enum exec_status status);

size_t open_descriptors(void);

#endif
