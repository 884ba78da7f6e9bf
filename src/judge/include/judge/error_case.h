/* Keeps submissions that did not succeed, as code-judge does: <folder>/<sub_id>/ gets submission.json,
 * solution.txt, and result.json or, where it could not be judged, exception.txt. */
#ifndef CJ_JUDGE_ERROR_CASE_H
#define CJ_JUDGE_ERROR_CASE_H

#include <stddef.h>

#include "base/attr.h"
#include "base/error.h"

/* A folder that exists or is made (with parents). *fd is the caller's. */
WARN_UNUSED int error_case_open(const char *folder, int *fd, struct cj_error *err);

struct error_case {
    const char *sub_id; /* a stranger's: what is not a plain file name is written otherwise */
    size_t sub_id_size;
    /* options (JSON), input, expected: NULL: null */
    const char *type, *options, *solution, *input, *expected_output;
    size_t options_size, solution_size, input_size, expected_size;
    const char *exception; /* why it could not be judged; NULL: it was, and this is how it ended: */
    const char *stdout_text, *stderr_text; /* the whole */
    size_t stdout_size, stderr_size;
    int exit_code; /* -n: signal n */
    double cost_s;
};

/* Failures are logged only. From any thread. */
void error_case_save(int folder_fd, const struct error_case *error_case);

/* The name of the folder that a sub_id gets: itself when it is letters, digits, '-', '_' and '.' (not first) and
 * at most 128 bytes, else such bytes as %XX, cut to 128. Pure. */
enum { ERROR_CASE_NAME_SIZE = 129 };
void error_case_name(const char *sub_id, size_t size, char name[static ERROR_CASE_NAME_SIZE]);

#endif
