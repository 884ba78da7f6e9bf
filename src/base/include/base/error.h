/* One error, with its story: what failed, outermost first.
 *
 * Fallible functions return 0 or -1, fill `struct cj_error` (last parameter) and hand results out
 * through pointers. Failing takes one line: `return error_errno(err, "open %s", path);`. Each layer
 * adds its words with error_wrap(), so an operator reads
 * "start container 7: limit memory: write '64M' to memory.max: Permission denied".
 *
 * The struct has a fixed size below PIPE_BUF, so that a process can send the very same object to
 * another in one atomic write (pipe(7)). Every function here accepts err == NULL (nobody asks). */
#ifndef CJ_BASE_ERROR_H
#define CJ_BASE_ERROR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"

/* Who can mend it. */
enum error_domain {
    ERROR_NONE,        /* no error */
    ERROR_SYSTEM,      /* a system call failed; code is its errno */
    ERROR_CONFIG,      /* the operator's settings */
    ERROR_REQUEST,     /* the caller's request */
    ERROR_UNSUPPORTED, /* the host lacks something; the message says how to get it */
    ERROR_INTERNAL,    /* a bug or a broken promise between our own processes */
};

enum { ERROR_MESSAGE_SIZE = 1008 };

struct cj_error {
    int32_t domain; /* enum error_domain */
    int32_t code;   /* errno, or 0 */
    char message[ERROR_MESSAGE_SIZE];
};

/* Sets err to the formatted message. code is an errno or 0. Returns -1. */
int error_set(struct cj_error *err, enum error_domain domain, int code, const char *format, ...)
    PRINTF(4, 5);

/* As error_set() with domain ERROR_SYSTEM and the current errno, whose text is appended:
 * "<message>: No such file or directory". Keeps errno. Returns -1. */
int error_errno(struct cj_error *err, const char *format, ...) PRINTF(2, 3);

/* Puts "<message>: " before what err says already; domain and code stay. Returns -1. */
int error_wrap(struct cj_error *err, const char *format, ...) PRINTF(2, 3);

/* Forgets what err says. */
void error_clear(struct cj_error *err);

/* The -1 for whoever reads one file at a time, such as clang-tidy: without it each `return error_...`
 * looks as if it could mean success, with the results not set. */
#ifdef __clang_analyzer__
#define error_set(...)   (error_set(__VA_ARGS__), -1)
#define error_errno(...) (error_errno(__VA_ARGS__), -1)
#define error_wrap(...)  (error_wrap(__VA_ARGS__), -1)
#endif

#endif
