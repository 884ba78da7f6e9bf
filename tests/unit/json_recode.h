/* Copies a JSON value from a reader to a writer, by each kind's own functions. */
#ifndef CJ_JSON_RECODE_H
#define CJ_JSON_RECODE_H

#include "base/json_reader.h"
#include "base/json_writer.h"

/* Numbers, and what lies deeper than the writer goes, stay as they are written. After a failure the
 * writer holds some complete value. */
void json_recode(struct json_reader *in, struct json_writer *out);

#endif
