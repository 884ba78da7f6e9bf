/* The options of `cjudge languages`, from one table. */
#ifndef CJ_CMD_LANGUAGES_OPTIONS_H
#define CJ_CMD_LANGUAGES_OPTIONS_H

#include "base/options.h"

struct languages_options {
    bool check, first_class, json;
    char *languages;
    int64_t loop_ns;
    uint64_t parallelism;
    int highest; /* enum protection_level */
    char *mount_conf, *tmpfs_data, *cgroup_prefix;
    bool help;
};

extern const struct option_table languages_option_table;

/* Reads the command line and checks what a table cannot know: options_free() the result. *next is the
 * index of the first language in argv. */
WARN_UNUSED int languages_options_load(int argc, char *const *argv,
                                       struct languages_options *options, int *next,
                                       struct cj_error *err);

#endif
