/* What `cjudge languages` says. */
#ifndef CJ_CMD_LANGUAGES_REPORT_H
#define CJ_CMD_LANGUAGES_REPORT_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/json_writer.h"
#include "judge/language.h"
#include "judge/language_check.h"
#include "judge/roster.h"

struct language_report {
    const struct language *language;
    struct language_facts facts;
    bool checked;
    struct language_check check; /* when checked */
};

/* A table: its head, and a row (and lines on what failed) for each language. */
void languages_write_head(bool check, bool colour, struct buf *out);
void languages_write_row(const struct language_report *report, bool check, bool colour,
                         struct buf *out);

/* An object of the array. */
void languages_write_json(const struct language_report *report, struct json_writer *json);

#endif
