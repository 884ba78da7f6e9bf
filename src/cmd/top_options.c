/* The options of `cjudge top`. Every one has a default that works. */
#include "top_options.h"

#include <errno.h>

#include "base/clock.h"

#define AT(field) offsetof(struct top_options, field)

static const struct option_spec specs[] = {
    {.name = "addr",
     .type = OPTION_STRING,
     .offset = AT(addr),
     .metavar = "HOST:PORT",
     .default_text = "localhost:8000",
     .help = "the judging address of the service (-judge-addr of cjudge serve)"},
    {.name = "interval",
     .type = OPTION_DURATION,
     .offset = AT(interval_ns),
     .default_text = "1s",
     .help = "how often the table is drawn anew; it shows what happened since the last time"},
    {.name = "once",
     .type = OPTION_BOOL,
     .offset = AT(once),
     .help = "one table of all since the service began; so it is when stdout is no terminal"},
    {.name = "json",
     .type = OPTION_BOOL,
     .offset = AT(json),
     .help = "what GET /v1/stages answers, once, as it is"},
    {.name = "help",
     .type = OPTION_BOOL,
     .offset = AT(help),
     .help = "print this text",
     .not_in_environment = true},
};

const struct option_table top_option_table = {
    .env_prefix = NULL,
    .specs = specs,
    .count = COUNT_OF(specs),
};

int top_options_load(int argc, char *const *argv, struct top_options *options, struct cj_error *err)
{
    int next, checked = 0;
    if (options_load(&top_option_table, argc, argv, NULL, options, NULL, &next, err) < 0)
        return -1;
    if (next < argc)
        checked = error_set(err, ERROR_CONFIG, 0, "'%s' is no option", argv[next]);
    else if (options->interval_ns < NS_PER_S / 10)
        checked = error_set(err, ERROR_CONFIG, 0, "-interval: at least 100ms");
    if (checked < 0)
        options_free(&top_option_table, options);
    return checked;
}
