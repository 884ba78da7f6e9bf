/* What every benchmark's command line has. */
#ifndef CJ_BENCH_OPTIONS_H
#define CJ_BENCH_OPTIONS_H

#include <stdbool.h>

#include "base/options.h"

/* The last entries of a table whose struct config has bool json, goals, help. */
#define BENCH_OPTIONS                                                                              \
    {.name = "json",                                                                               \
     .type = OPTION_BOOL,                                                                          \
     .offset = offsetof(struct config, json),                                                      \
     .help = "one JSON object on standard output"},                                                \
        {.name = "goals",                                                                          \
         .type = OPTION_BOOL,                                                                      \
         .offset = offsetof(struct config, goals),                                                 \
         .help = "fail when a goal is missed"},                                                    \
    {                                                                                              \
        .name = "help", .type = OPTION_BOOL, .offset = offsetof(struct config, help),              \
        .help = "this text"                                                                        \
    }

/* options_load() into a zeroed *config, of which *help is a part. Ends the program after an error, with
 * status 2, and after the help that was asked for. */
void bench_options_load(const struct option_table *table, int argc, char **argv, void *config,
                        const bool *help);

#endif
