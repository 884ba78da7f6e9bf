/* The JSON reader's own parts: its place in the text, the grammar, and how it fails. */
#ifndef CJ_BASE_JSON_SCAN_H
#define CJ_BASE_JSON_SCAN_H

#include "base/json_reader.h"
#include "json_text.h"

/* What comes next, beside white space: json_reader.expect. */
enum {
    EXPECT_VALUE,
    EXPECT_FIRST,   /* a key or an item, or the end of the object or array just begun */
    EXPECT_AFTER,   /* what goes behind a value: a comma or the end of what it stands in */
    EXPECT_NOTHING, /* null was entered as an object or array: its end, which is not in the text */
};

/* ---- grammar (json_scan.c): each reads on, or fails and returns false ---- */

/* The first byte that is no white space, which stays unread; -1 at the end of the text. */
int json_scan_byte(struct json_reader *json);

/* Reads "true", "false" or "null", whose first byte is next. */
bool json_scan_literal(struct json_reader *json, const char *literal);

/* The end of the number that is next, which stays unread. */
bool json_scan_number(struct json_reader *json, size_t *end);

/* Reads a value that is no object or array. */
bool json_scan_scalar(struct json_reader *json, enum json_kind kind);

/* Whether the innermost level is an object. */
bool json_scan_in_object(const struct json_reader *json);

/* Enters the object or array whose bracket is next. */
bool json_scan_open(struct json_reader *json, bool object);

/* Goes on inside the innermost object or array, from EXPECT_FIRST or EXPECT_AFTER, to a key (its
 * quote is next) or an item. false at its end, too, which is read then. */
bool json_scan_member(struct json_reader *json);

/* Reads what stands between a key and its value. */
bool json_scan_colon(struct json_reader *json);

/* Reads on until a value has ended and no more than depth levels are open. A loop, for a text
 * decides how deep it goes. */
bool json_scan_to_depth(struct json_reader *json, unsigned depth);

/* ---- failing (json_error.c): each returns false ---- */

bool json_fail_at(struct json_reader *json, enum json_failure failure, size_t offset,
                  const char *reason);

/* The byte at offset, or the end of the text, is not what grammar allows. */
bool json_fail_grammar(struct json_reader *json, size_t offset, const char *where);

/* The string that was being read, at offset. */
bool json_fail_string(struct json_reader *json, enum text_result result, size_t offset);

bool json_fail_memory(struct json_reader *json);

/* The value that is next is none of type. number (of size bytes, or NULL) is how it is written. */
bool json_fail_type(struct json_reader *json, enum json_kind kind, const char *type,
                    const char *number, size_t size);

#endif
