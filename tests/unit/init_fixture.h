/* What tests of cjudge-init share: its code is linked in with main() renamed, see meson.build. */
#ifndef CJ_TESTS_INIT_FIXTURE_H
#define CJ_TESTS_INIT_FIXTURE_H

#include <stddef.h>

/* Runs body(argument) in a child process and returns its exit status, 128 + n for a signal; what it
 * writes to stderr ends up in text, NUL-terminated. For code that ends its process. */
int in_child(void (*body)(void *argument), void *argument, char *text, size_t size);

/* In such a child: says what does not hold and ends it with 1. */
#define CHILD_REQUIRE(condition) child_require((condition), #condition, __FILE__, __LINE__)
void child_require(int holds, const char *condition, const char *file, int line);

/* give_up()'s status. */
enum { INIT_GAVE_UP = 70 };

#endif
