/* The options of `cjudge top`, from one table. */
#ifndef CJ_CMD_TOP_OPTIONS_H
#define CJ_CMD_TOP_OPTIONS_H

#include "base/options.h"

struct top_options {
    char *addr;
    int64_t interval_ns;
    bool once, json;
    bool help;
};

extern const struct option_table top_option_table;

/* options_free() the result. */
WARN_UNUSED int top_options_load(int argc, char *const *argv, struct top_options *options,
                                 struct cj_error *err);

#endif
