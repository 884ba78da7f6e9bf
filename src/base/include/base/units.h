/* Sizes, durations and counts as people write them in flags, environment and YAML files.
 *
 * Errors are ERROR_CONFIG and name the text: "'64x' is not a size: use an integer and b, k, m or
 * g". Whether zero makes sense is the caller's to say. */
#ifndef CJ_BASE_UNITS_H
#define CJ_BASE_UNITS_H

#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/error.h"

enum { UNITS_TEXT_SIZE = 48 }; /* enough for every size_format() and duration_format() */

/* An integer, then k, m or g (powers of 1024), then b, each optional and in any case: "64m", "5MB",
 * "10b", "4096". No sign, fraction or space. */
WARN_UNUSED int size_parse(const char *text, uint64_t *bytes, struct cj_error *err) NONNULL(1, 2);

/* As Go writes durations: numbers with a unit (ns, us, ms, s, m, h), one after the other and
 * perhaps with a fraction and one sign before all: "100ms", "1m30s", "1.5h", "-2s"; "0" needs no
 * unit. What is smaller than a nanosecond is cut off. */
WARN_UNUSED int duration_parse(const char *text, int64_t *ns, struct cj_error *err) NONNULL(1, 2);

/* Decimal digits only. */
WARN_UNUSED int count_parse(const char *text, uint64_t *count, struct cj_error *err) NONNULL(1, 2);

/* For people, and exact: the largest unit that needs at most three decimals ("64 MiB", "1.5 KiB",
 * "1000 B"). Writes at most UNITS_TEXT_SIZE bytes; returns text. */
const char *size_format(uint64_t bytes, char text[static UNITS_TEXT_SIZE]);

/* For people, and exact: "1.234 s", "2 h 30 min", "1 min 0.5 s", "250 us". Returns text. */
const char *duration_format(int64_t ns, char text[static UNITS_TEXT_SIZE]);

#endif
