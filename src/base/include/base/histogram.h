/* How often something took how long. From any thread, without a lock: a reader may see one value counted and
 * not yet summed.
 *
 * Buckets are a quarter of a power of two wide, so that a quantile is right within 25 %. */
#ifndef CJ_BASE_HISTOGRAM_H
#define CJ_BASE_HISTOGRAM_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

enum {
    HISTOGRAM_BUCKETS = 4 * 42
}; /* up to 2^42 ns, an hour; what took longer counts in the last */

struct histogram {
    atomic_uint_least64_t counts[HISTOGRAM_BUCKETS];
    atomic_uint_least64_t sum_ns, max_ns;
};

void histogram_add(struct histogram *histogram, int64_t ns); /* below 0 counts as 0 */

struct histogram_view {
    uint64_t count, sum_ns, max_ns;
    uint64_t counts[HISTOGRAM_BUCKETS];
};
void histogram_read(struct histogram *histogram, struct histogram_view *out);

/* Least time (ns) that at least so many of a thousand did not pass: the upper end of their bucket, or the
 * longest time. 0 when there are none. */
uint64_t histogram_quantile(const struct histogram_view *view, unsigned per_mille);

/* The upper end of a bucket, in ns: what lies in it took less. */
uint64_t histogram_bucket_end(size_t bucket);

#endif
