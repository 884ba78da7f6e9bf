/* A run's memory limit kept exact while the run lives: garbage that goes (cgroup_garbage.c), and page cache.
 *
 * Who reads a file's pages first is charged for them, and at the limit they go before the OOM killer is asked. Those that a
 * program needs at once (its code, its libraries, when nobody had them in memory) are read again and again then: it crawls, for
 * seconds, where another that found them in memory is killed, or just fits. So the limit of one that crawls is raised by what
 * of its memory is page cache, and what is not is held against the limit here: the kernel sees it as soon as the program's own
 * fills that. */
#include <errno.h>

#include "base/clock.h"
#include "cgroup_group.h"

/* A look costs 1 us, or 10 to 40 us when it reads memory.stat. */
#define CACHE_STEP_NS (20 * NS_PER_MS)
#define CACHE_NEAR_NS (2 * NS_PER_MS) /* the limit was raised just now; longer from look to look */

enum {
    NEAR_BYTES =
        1024 * 1024, /* the kernel reclaims somewhat more than it needs, and each CPU has a stock */
    ROOM_BYTES = 2 * NEAR_BYTES, /* for page cache to come back into */
    STALE_BYTES = 2 * ROOM_BYTES,
    CACHE_LEAST_MOST_BYTES = 256 * 1024 * 1024,
    CRAWL_PAGES = 64, /* read again from one look to the next; what nobody needs goes once */
    STAT_LATE_PAGES =
        64, /* for each CPU: memory.stat may be behind by so much (MEMCG_CHARGE_BATCH) */
};

static uint64_t larger(uint64_t left, uint64_t right)
{
    return left > right ? left : right;
}

static int64_t smaller(int64_t left, int64_t right)
{
    return left < right ? left : right;
}

/* What the limit would be without page cache. */
static uint64_t limit_beside_cache(const struct cgroup *cg)
{
    return minus(cg->begin.limit_bytes, cg->mark.cache_bytes);
}

/* No more than the run may have itself: a program that reads all files there are would have them all. */
static uint64_t cache_most(const struct cgroup *cg)
{
    return larger(cg->begin.limits.memory_bytes, CACHE_LEAST_MOST_BYTES);
}

/* v1 reclaims what it can, and refuses to lower the limit below what is used then. */
static int write_cache(struct cgroup *cg, uint64_t cache, bool *refused_lower, struct cj_error *err)
{
    *refused_lower = false;
    const struct cgroup_written written = cg->written;
    const uint64_t before = cg->mark.cache_bytes;
    struct cj_error refused;
    error_clear(&refused);
    cg->mark.cache_bytes = cache;
    if (group_write_beside(cg, cg->mark.beside_bytes, &refused) == 0)
        return 0;
    cg->mark.cache_bytes = before;
    cg->written = written;
    cg->written.memory_known = false; /* one of the two files may have it */
    *refused_lower = refused.code == EBUSY;
    if (*refused_lower)
        return 0;
    if (err != NULL)
        *err = refused;
    return -1;
}

/* A room that was filled at once is made larger each time. */
static uint64_t next_room(const struct cgroup *cg, bool crawls)
{
    return crawls ? larger(2 * cg->mark.cache_room_bytes, ROOM_BYTES) : ROOM_BYTES;
}

/* What a look may take for the run's own and is not, or has gone meanwhile. */
static uint64_t unsure_bytes(const struct cgroup *cg)
{
    uint64_t cpus = cg->host->cpu_count;
    return group_stock_bytes(cg, cpus) + STAT_LATE_PAGES * cpus * cg->host->page_bytes +
           CGROUP_SHARE_ROUNDING;
}

/* Who crawls changes so much that memory.stat is not behind. */
static bool has_more_than_it_may(const struct cgroup *cg, const struct group_stat *stat)
{
    return stat->own_bytes > limit_beside_cache(cg) + 2 * CGROUP_SHARE_ROUNDING;
}

/* What is not page cache may be kernel objects that can be reclaimed, or that are kept (pipes, sockets). */
static bool fits_beside_cache(const struct cgroup *cg, const struct group_stat *stat,
                              uint64_t usage)
{
    return minus(usage, stat->cache_bytes) <= limit_beside_cache(cg) + unsure_bytes(cg);
}

static int raise_or_lower(struct cgroup *cg, uint64_t cache, bool crawls, struct cj_error *err)
{
    bool stale = cache + STALE_BYTES < cg->mark.cache_bytes;
    if (!crawls && !stale)
        return 0;
    cg->mark.cache_room_bytes = next_room(cg, crawls);
    uint64_t wanted = cache + cg->mark.cache_room_bytes, most = cache_most(cg);
    if (wanted > most)
        wanted = most;
    if (crawls && wanted > cg->mark.cache_bytes)
        cg->mark.cache_look_ns = CACHE_NEAR_NS;
    bool refused; /* it has grown since it was read: not now, then */
    return wanted != cg->mark.cache_bytes ? write_cache(cg, wanted, &refused, err) : 0;
}

/* The kernel tells by what it can reclaim. */
static int take_room_back(struct cgroup *cg, struct group_stat *stat, bool *over,
                          struct cj_error *err)
{
    bool refused;
    uint64_t usage;
    if (write_cache(cg, stat->cache_bytes, &refused, err) < 0)
        return -1;
    cg->mark.cache_look_ns = CACHE_NEAR_NS;
    if (!refused)
        return 0;
    if (group_read(cg, CGROUP_MEMORY_USAGE, &usage, err) < 0 || group_read_stat(cg, stat, err) < 0)
        return -1;
    *over = !fits_beside_cache(cg, stat, usage);
    return 0;
}

/* The first look only says where to count from. */
static bool has_read_again(struct cgroup *cg, uint64_t pages)
{
    uint64_t before = cg->mark.read_again_pages;
    if (before == UINT64_MAX)
        cg->mark.cache_look_ns = CACHE_NEAR_NS;
    cg->mark.read_again_pages = pages;
    return before != UINT64_MAX && pages >= before + CRAWL_PAGES;
}

/* usage: read before. */
static int look_at_cache(struct cgroup *cg, uint64_t usage, bool *over, struct cj_error *err)
{
    struct group_stat stat;
    uint64_t usage_later;
    if (group_read_stat(cg, &stat, err) < 0 ||
        group_read(cg, CGROUP_MEMORY_USAGE, &usage_later, err) < 0)
        return -1;
    bool raised = cg->mark.cache_bytes > 0; /* else the kernel sees to the limit */
    bool fits = fits_beside_cache(cg, &stat, usage < usage_later ? usage : usage_later);
    bool full = usage_later + NEAR_BYTES >= cg->begin.limit_bytes;
    bool crawls = has_read_again(cg, stat.read_again_pages) && full;
    *over = raised && has_more_than_it_may(cg, &stat);
    if (*over)
        return 0;
    return raised && !fits ? take_room_back(cg, &stat, over, err)
                           : raise_or_lower(cg, stat.cache_bytes, crawls && fits, err);
}

static int settle_cache(struct cgroup *cg, struct cgroup_settled *settled, struct cj_error *err)
{
    uint64_t usage;
    if (!group_has(cg, CGROUP_MEMORY_STAT) || !group_has(cg, CGROUP_MEMORY_USAGE))
        return 0;
    if (group_read(cg, CGROUP_MEMORY_USAGE, &usage, err) < 0)
        return -1;
    bool near = usage + NEAR_BYTES >= cg->begin.limit_bytes;
    if ((near || cg->mark.cache_bytes > 0) && look_at_cache(cg, usage, &settled->over, err) < 0)
        return -1;
    settled->next_ns = cg->mark.cache_look_ns;
    cg->mark.cache_look_ns = smaller(2 * cg->mark.cache_look_ns, CACHE_STEP_NS);
    return 0;
}

bool group_was_over(const struct cgroup *cg, uint64_t figure, uint64_t left)
{
    return cg->mark.cache_bytes > 0 &&
           minus(figure, left) > cg->begin.limits.memory_bytes + CGROUP_SHARE_ROUNDING;
}

void group_mark_cache(struct cgroup *cg)
{
    cg->mark.cache_bytes = cg->mark.cache_room_bytes = 0;
    cg->mark.cache_look_ns = CACHE_STEP_NS;
    cg->mark.read_again_pages = UINT64_MAX;
}

int64_t group_settle_ns(const struct cgroup *cg)
{
    if (cg->begin.limits.memory_bytes == 0)
        return INT64_MAX;
    return smaller(group_garbage_ns(cg), CACHE_STEP_NS);
}

int group_settle(struct cgroup *cg, struct cgroup_settled *settled, struct cj_error *err)
{
    struct cgroup_settled garbage = {.next_ns = INT64_MAX}, cache = garbage;
    *settled = cache;
    if (cg->begin.limits.memory_bytes == 0)
        return 0;
    if (group_settle_garbage(cg, &garbage, err) < 0 || settle_cache(cg, &cache, err) < 0)
        return -1;
    settled->over = garbage.over || cache.over;
    settled->next_ns = smaller(garbage.next_ns, cache.next_ns);
    return 0;
}
