/* Filling in a result. */
#ifndef CJ_EXEC_RESULT_H
#define CJ_EXEC_RESULT_H

#include "exec/exec.h"
#include "keep.h"

/* Moves the bytes into the result; keep is left empty. */
WARN_UNUSED int result_add_file(struct exec_result *result, const char *name, struct keep *keep,
                                struct cj_error *err);

/* As result_add_file(), in the place of a file of that name if there is one. */
WARN_UNUSED int result_replace_file(struct exec_result *result, const char *name, struct keep *keep,
                                    struct cj_error *err);

/* An output that is in the store. */
WARN_UNUSED int result_add_id(struct exec_result *result, const char *name, const char *id,
                              struct cj_error *err);

WARN_UNUSED int result_add_file_error(struct exec_result *result, const char *name,
                                      enum exec_file_error_kind kind, struct cj_error *err,
                                      const char *format, ...) PRINTF(5, 6);

/* Room for one more item behind count of them: the list, moved perhaps, or NULL. */
void *result_grow(void *items, size_t count, size_t item_size);

/* Sets result->error unless it says something already. */
void result_set_error(struct exec_result *result, const char *format, ...) PRINTF(2, 3);

#endif
