/* Compiler attributes that repeat a header's contract. */
#ifndef CJ_BASE_ATTR_H
#define CJ_BASE_ATTR_H

#define WARN_UNUSED      __attribute__((warn_unused_result))
#define NONNULL(...)     __attribute__((nonnull(__VA_ARGS__)))
#define NORETURN         __attribute__((noreturn))
#define PRINTF(fmt, arg) __attribute__((format(printf, fmt, arg)))
#define PURE             __attribute__((const))

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

#endif
