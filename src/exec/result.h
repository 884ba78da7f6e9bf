/* Filling in a result. */
#ifndef CJ_EXEC_RESULT_H
#define CJ_EXEC_RESULT_H

#include "base/buf.h"
#include "exec/exec.h"

/* Moves the bytes into the result; data is left empty. */
WARN_UNUSED int result_add_file(struct exec_result *result, const char *name, struct buf *data,
                                struct cj_error *err);

WARN_UNUSED int result_add_file_error(struct exec_result *result, const char *name,
                                      enum exec_file_error_kind kind, struct cj_error *err,
                                      const char *format, ...) PRINTF(5, 6);

/* Sets result->error unless it says something already. */
void result_set_error(struct exec_result *result, const char *format, ...) PRINTF(2, 3);

#endif
