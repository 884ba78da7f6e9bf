/* One table of options feeds the command line, the environment, --help, the manual and the docs.
 *
 *     struct config { char *listen; uint64_t workers; int64_t grace_ns; };
 *     static const struct option_spec specs[] = {
 *         {.name = "listen", .type = OPTION_STRING, .offset = offsetof(struct config, listen),
 *          .default_text = "localhost:80", .metavar = "ADDR", .help = "address of the HTTP API"},
 *         ...
 *
 * Precedence: default < environment < command line; the last of equals wins. Errors are
 * ERROR_CONFIG and say which option, which value and why:
 *     "-grace 5: '5' is not a duration: write numbers with ..."
 *     "ES_WORKERS=four: 'four' is not a count: write a whole number"
 *
 * The command line is read as Go's flag package reads it: -x v, -x=v, --x v, --x=v; booleans -x and
 * -x=false only; reading stops at the first word that is no option, and behind "--". */
#ifndef CJ_BASE_OPTIONS_H
#define CJ_BASE_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/error.h"

enum option_type {                /* what is at the offset: */
                   OPTION_BOOL,   /* bool */
                   OPTION_STRING, /* char *, heap, never NULL */
                   OPTION_LIST,   /* struct option_list; separated by commas, no escaping, no empty
                                     items */
                   OPTION_REPEAT, /* struct option_list; each occurrence adds one item, as it is */
                   OPTION_COUNT,  /* uint64_t */
                   OPTION_SIZE,   /* uint64_t, bytes */
                   OPTION_DURATION, /* int64_t, ns; not negative */
                   OPTION_CHOICE,   /* int, the index in choices */
};

struct option_list {
    char **items; /* heap, each item too */
    size_t count;
};

/* Whether setting an option does anything (yet). */
enum option_status {
    OPTION_WORKS,
    OPTION_PLANNED,   /* accepted; what it asks for is not built yet */
    OPTION_NO_EFFECT, /* accepted for the sake of old command lines; has no meaning here */
};

enum option_origin { OPTION_FROM_DEFAULT, OPTION_FROM_ENVIRONMENT, OPTION_FROM_COMMAND_LINE };

struct option_spec {
    const char *name; /* lower case and '-' */
    enum option_type type;
    size_t offset;              /* in the config */
    const char *default_text;   /* as a user would write it; NULL: the type's zero */
    const char *default_note;   /* what help shows in its place ("one for each CPU"), or NULL */
    const char *metavar;        /* of the value in help; NULL: by type */
    const char *const *choices; /* OPTION_CHOICE: NULL-terminated */
    const char
        *help; /* one sentence or more, without a capital letter or a full stop at the ends */
    const char *group; /* heading in help; specs of a group stand together */
    enum option_status status;
    bool not_in_environment; /* -help, -version */
    const char *env;         /* full name of its variable where it is not prefix and name; NULL */
};

struct option_table {
    const char *env_prefix; /* "ES_": -http-addr is ES_HTTP_ADDR; NULL: no environment */
    const struct option_spec *specs;
    size_t count;
};

/* Fills every option's place in *config (all of it zero before), from the table, the environment
 * ("NAME=value" texts up to a NULL, or NULL: none) and argv (argv[0] is skipped). *next gets the
 * index of the first word that was not read. origins, when not NULL, holds table->count and is told
 * where each value came from (enum option_origin). After a failure options_free() has been done. */
WARN_UNUSED int options_load(const struct option_table *table, int argc, char *const *argv,
                             char *const *environment, void *config, uint8_t *origins, int *next,
                             struct cj_error *err) NONNULL(1, 5, 7);

/* Sets one option as if it were a default: for values that only the program knows. */
WARN_UNUSED int options_set(const struct option_table *table, void *config, const char *name,
                            const char *value, struct cj_error *err);

/* Frees the strings and lists in *config and leaves them NULL and empty. */
void options_free(const struct option_table *table, void *config);

/* NULL when there is no such option. */
const struct option_spec *options_find(const struct option_table *table, const char *name);

/* "ES_HTTP_ADDR" into name. */
void options_env_name(const struct option_table *table, const struct option_spec *spec, char *name,
                      size_t size);

/* The table for people, at most width columns wide where words allow it; as Markdown, a table for
 * each group; as mdoc(7) source, a list below a .Ss for each group. */
void options_help(const struct option_table *table, unsigned width, struct buf *out);
void options_markdown(const struct option_table *table, struct buf *out);
void options_mdoc(const struct option_table *table, struct buf *out);

#endif
