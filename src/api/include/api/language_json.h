/* A language as JSON, the same in GET /languages and in `cjudge languages --json`. */
#ifndef CJ_API_LANGUAGE_JSON_H
#define CJ_API_LANGUAGE_JSON_H

#include "base/json_writer.h"
#include "judge/language.h"
#include "judge/roster.h"

/* The members of an object that the caller begins and ends. */
void language_json_write(struct json_writer *json, const struct language *language,
                         const struct language_facts *facts);

#endif
