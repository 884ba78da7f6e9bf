/* What the benchmarks share: a sandbox with the build's programs in it, and order statistics. */
#ifndef CJ_BENCH_SUPPORT_H
#define CJ_BENCH_SUPPORT_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/json_writer.h"
#include "sandbox/sandbox.h"

/* Where the directory of this program is seen in containers. */
#define BENCH_INSIDE "/bench"

/* As `cjudge run` opens it by default, with the build's programs mounted on BENCH_INSIDE. Call before
 * threads exist. */
WARN_UNUSED int bench_open(struct sandbox **out, struct cj_error *err);

/* The host's path of a program that was built beside this one. The caller frees. */
char *bench_host_path(const char *name);

/* Makes the calling thread what a slot's is in the service: bound to its container's CPU, woken by the microsecond, before
 * the programs that it watches. */
void bench_be_slot(int cpu);

/* Ends the program. */
NORETURN void bench_fail(const struct cj_error *err);

/* A set of measurements that grows. A zeroed struct is empty. */
struct samples {
    int64_t *values;
    size_t count, capacity;
};

void samples_add(struct samples *samples, int64_t value);
void samples_join(struct samples *into, const struct samples *from);
void samples_free(struct samples *samples);
/* Nearest rank; sorts. q in [0, 1]; 0 when there are none. */
int64_t samples_quantile(struct samples *samples, double q);

/* "name": value / 1000 (microseconds of nanoseconds). */
void json_us(struct json_writer *json, const char *key, int64_t ns);

#endif
