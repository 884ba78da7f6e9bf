/* Descriptors that programs may read and never change. */
#ifndef CJ_EXEC_INPUT_H
#define CJ_EXEC_INPUT_H

#include <stddef.h>

#include "base/attr.h"
#include "base/error.h"

/* As exec_open_input(), from an O_PATH descriptor. */
WARN_UNUSED int exec_input_from_place(int place, int *out, struct cj_error *err);

/* A sealed memfd with these bytes, at offset 0. *out is the caller's. */
WARN_UNUSED int exec_input_from_bytes(const char *data, size_t size, int *out,
                                      struct cj_error *err);

/* Seals a filled memfd and opens it read-only. Returns the new descriptor, or -1 with errno. */
int exec_seal_input(int memfd);

#endif
