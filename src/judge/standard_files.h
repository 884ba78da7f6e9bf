/* The descriptors 0, 1 and 2 of every program that is judged, and of every compiler. */
#ifndef CJ_JUDGE_STANDARD_FILES_H
#define CJ_JUDGE_STANDARD_FILES_H

#include <stdint.h>

#include "exec/exec.h"

enum { STANDARD_FILES = 3 };

/* Nothing to read, and what is written comes back as "stdout" and "stderr", at most so many bytes of each. */
static inline void standard_files(struct exec_file files[static STANDARD_FILES],
                                  uint64_t stdout_bytes, uint64_t stderr_bytes)
{
    files[0] = (struct exec_file){.kind = EXEC_FILE_CONTENT, .fd = -1};
    files[1] = (struct exec_file){
        .kind = EXEC_FILE_COLLECT, .fd = -1, .name = "stdout", .max = stdout_bytes};
    files[2] = (struct exec_file){
        .kind = EXEC_FILE_COLLECT, .fd = -1, .name = "stderr", .max = stderr_bytes};
}

#endif
