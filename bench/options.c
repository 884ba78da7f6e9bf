#include "options.h"

#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"

void bench_options_load(const struct option_table *table, int argc, char **argv, void *config,
                        const bool *help)
{
    struct cj_error err;
    int next;
    if (options_load(table, argc, argv, NULL, config, NULL, &next, &err) < 0) {
        fprintf(stderr, "%s\n", err.message);
        exit(2);
    }
    if (!*help)
        return;
    auto_buf struct buf text = {0};
    options_help(table, 100, &text);
    printf("usage: %s [OPTION]...\n%.*s", basename(argv[0]), (int)text.size, text.data);
    exit(0);
}
