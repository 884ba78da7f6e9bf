#include "base/histogram.h"

/* 0, 1, 2, 3; then four for each power of two: 4, 5, 6, 7; 8, 10, 12, 14; 16, ... */
static size_t bucket_of(uint64_t ns)
{
    if (ns < 4)
        return (size_t)ns;
    unsigned power = 63 - (unsigned)__builtin_clzll(ns);
    size_t bucket = 4 * ((size_t)power - 1) + (size_t)(ns >> (power - 2) & 3);
    return bucket < HISTOGRAM_BUCKETS ? bucket : HISTOGRAM_BUCKETS - 1;
}

uint64_t histogram_bucket_end(size_t bucket)
{
    if (bucket < 4)
        return bucket + 1;
    return (UINT64_C(5) + bucket % 4) << (bucket / 4 - 1);
}

void histogram_add(struct histogram *histogram, int64_t ns)
{
    uint64_t value = ns > 0 ? (uint64_t)ns : 0;
    atomic_fetch_add_explicit(&histogram->counts[bucket_of(value)], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&histogram->sum_ns, value, memory_order_relaxed);
    uint64_t most = atomic_load_explicit(&histogram->max_ns, memory_order_relaxed);
    while (value > most &&
           !atomic_compare_exchange_weak_explicit(&histogram->max_ns, &most, value,
                                                  memory_order_relaxed, memory_order_relaxed))
        continue;
}

void histogram_read(struct histogram *histogram, struct histogram_view *out)
{
    out->count = 0;
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        out->counts[i] = atomic_load_explicit(&histogram->counts[i], memory_order_relaxed);
        out->count += out->counts[i];
    }
    out->sum_ns = atomic_load_explicit(&histogram->sum_ns, memory_order_relaxed);
    out->max_ns = atomic_load_explicit(&histogram->max_ns, memory_order_relaxed);
}

uint64_t histogram_quantile(const struct histogram_view *view, unsigned per_mille)
{
    uint64_t wanted = (view->count * per_mille + 999) / 1000, seen = 0;
    if (view->count == 0)
        return 0;
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += view->counts[i];
        if (seen >= wanted && seen > 0)
            return histogram_bucket_end(i) < view->max_ns ? histogram_bucket_end(i) : view->max_ns;
    }
    return view->max_ns;
}
