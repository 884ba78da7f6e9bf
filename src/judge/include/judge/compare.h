/* Is what a program printed the answer? Pure.
 *
 * Five ways, from strict to lenient:
 *   EXACT   byte for byte
 *   STRIP   after both lost their leading and trailing Unicode white space (code-judge's rule:
 *           Python's str.strip)
 *   LINES   line by line (Ana's comparer): blanks at a line's end and empty lines at the end of the
 *           file do not count, unless the options say so
 *   TOKENS  the words between blanks, in their order
 *   FLOATS  as TOKENS, and two words that are both numbers are equal within a tolerance
 *
 * A blank is a space, tab, line feed, carriage return or form feed (Ana's set). A line includes its
 * newline, so when blanks at its end count, so does a missing last newline. */
#ifndef CJ_JUDGE_COMPARE_H
#define CJ_JUDGE_COMPARE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/attr.h"

enum compare_mode {
    COMPARE_EXACT,
    COMPARE_STRIP,
    COMPARE_LINES,
    COMPARE_TOKENS,
    COMPARE_FLOATS,
};

struct compare_options {
    enum compare_mode mode;
    bool
        line_end_blanks_count; /* LINES; then the comparison is exact, and the next has no effect */
    bool empty_lines_at_end_count; /* LINES */
    bool ignore_case;              /* LINES, TOKENS, FLOATS: of ASCII letters */
    double absolute_tolerance;     /* FLOATS: equal when either tolerance is kept; 0: that one is */
    double relative_tolerance;     /* not asked. Relative to the answer's number */
};

enum { COMPARE_MESSAGE_SIZE = 256 };

/* Whether output is equal to answer. When it is not, message says where and what, in printable ASCII:
 * "line 3: expected '7', found '8'". When it is, message is "". */
bool compare_outputs(const struct compare_options *options, const char *output, size_t output_size,
                     const char *answer, size_t answer_size,
                     char message[static COMPARE_MESSAGE_SIZE]);

/* "exact", "strip", "lines", "tokens", "floats"; NULL-terminated, in the order of the enum. */
extern const char *const compare_mode_names[];

#endif
