/* Structured log lines: a time, a level, a message that never varies, and typed fields.
 *
 *     log_info("container started", log_int("slot", slot), log_duration("after", ns));
 *
 * People get   2026-01-31T12:00:00.000Z info  container started slot=3 after=1.5ms
 * machines get {"time":"2026-01-31T12:00:00.000000Z","level":"info","message":"container started",
 *               "slot":3,"after_ns":1500000}
 *
 * A line is one write(2) of at most PIPE_BUF bytes, so lines of many threads and processes never
 * mix (pipe(7)); values that do not fit are cut and the line then says truncated=true. Values from
 * outside are escaped in both forms: nothing in them ends a line or talks to a terminal.
 *
 * Any thread may log; errno is kept. A line that cannot be written is lost. */
#ifndef CJ_BASE_LOG_H
#define CJ_BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/error.h"

/* <syslog.h> owns the short names. */
enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR };

enum log_format {
    LOG_FORMAT_AUTO, /* text when the descriptor is a terminal, JSON otherwise */
    LOG_FORMAT_TEXT,
    LOG_FORMAT_JSON,
};

/* Before threads exist. fd is borrowed. Without this call: info and above to stderr,
 * LOG_FORMAT_AUTO. */
void log_setup(int fd, enum log_format format, enum log_level least);

/* Nothing at all is logged from here on. */
void log_silence(void);

bool log_enabled(enum log_level level);

enum log_field_kind {
    LOG_FIELD_END,
    LOG_FIELD_TEXT,
    LOG_FIELD_INT,
    LOG_FIELD_UINT,
    LOG_FIELD_BOOL,
    LOG_FIELD_DURATION,
    LOG_FIELD_SIZE,
};

struct log_field {
    enum log_field_kind kind;
    const char *name;
    union {
        struct {
            const char *data; /* NULL is written as null */
            size_t size;
        } text;
        int64_t integer;
        uint64_t natural;
        bool flag;
    } value;
};

struct log_field log_text(const char *name, const char *text);
struct log_field log_bytes(const char *name, const char *data, size_t size);
struct log_field log_int(const char *name, int64_t value);
struct log_field log_uint(const char *name, uint64_t value);
struct log_field log_bool(const char *name, bool value);
/* "name=1.5ms" or "name_ns":1500000. */
struct log_field log_duration(const char *name, int64_t ns);
/* "name=64MiB" or "name_bytes":67108864. */
struct log_field log_size(const char *name, uint64_t bytes);
/* "error", with the whole story. */
struct log_field log_failure(const struct cj_error *err);

/* fields end with one of kind LOG_FIELD_END. */
void log_write(enum log_level level, const char *message, const struct log_field *fields);

#define LOG_AT(level, message, ...)                                                                \
    do {                                                                                           \
        if (log_enabled(level))                                                                    \
            log_write(                                                                             \
                level, message,                                                                    \
                (const struct log_field[]){__VA_ARGS__ __VA_OPT__(, ){.kind = LOG_FIELD_END}});    \
    } while (0)

#define log_debug(message, ...) LOG_AT(LOG_LEVEL_DEBUG, message, ##__VA_ARGS__)
#define log_info(message, ...)  LOG_AT(LOG_LEVEL_INFO, message, ##__VA_ARGS__)
#define log_warn(message, ...)  LOG_AT(LOG_LEVEL_WARN, message, ##__VA_ARGS__)
#define log_error(message, ...) LOG_AT(LOG_LEVEL_ERROR, message, ##__VA_ARGS__)

#endif
