/* Builds that were made before: the same command on the same sources by the same compiler is done once.
 *
 *     claim ─► HIT:   here is what came of it
 *           ─► BUILD: it is yours to make; build_cache_finish() follows
 *           ─► WAIT:  another makes it now; the job is woken (sched_wake()) to claim again
 *
 * What is kept lies in this process's memory, where no program reaches; each run gets a copy of its own. It
 * is bounded: what was not used for longest goes first. From any thread. docs/builds.md. */
#ifndef CJ_JUDGE_BUILD_CACHE_H
#define CJ_JUDGE_BUILD_CACHE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/error.h"
#include "exec/exec.h"
#include "judge/digest.h"
#include "sched/sched.h"

struct build_cache;
struct build_record; /* what came of a build; shared, not changed after it was made */
struct build_flight; /* a build that goes on */
struct judge_artefact;

/* bytes: of all that is kept. sched: of the jobs that wait; borrowed. */
WARN_UNUSED int build_cache_new(uint64_t bytes, struct sched *sched, struct build_cache **out,
                                struct cj_error *err);
/* When no job waits any more. NULL is fine. */
void build_cache_free(struct build_cache *cache);

/* A job's part in it; zeroed at first, with job filled in, and in place as long as the job is. */
struct build_wait {
    struct sched_job *job; /* NULL: never waits */
    bool cached;           /* out: the last answer was made by another build */
    struct {               /* the cache's */
        struct build_flight *flight;
        struct build_wait *next, *previous;
        struct build_record *record; /* what the flight brought */
        bool alone; /* it brought nothing that holds for others: build without waiting */
    } own;
};

enum build_claim { BUILD_HIT, BUILD_TO_MAKE, BUILD_WAITS };

/* HIT: *record is the caller's to release. BUILD_TO_MAKE: *flight is to be finished (NULL: builds alone). WAITS: the
 * caller calls slot_park() and returns from run(). */
enum build_claim build_cache_claim(struct build_cache *cache, const struct digest *key,
                                   struct build_wait *wait, struct build_record **record,
                                   struct build_flight **flight);

/* What came of it; record NULL: nothing that holds for others (shared false: it was cut off, or is unsure).
 * Those who wait are woken: with a record they have it. Without one the first of them builds (cancelled), or
 * each builds alone. flight may be NULL. */
void build_cache_finish(struct build_cache *cache, struct build_flight *flight,
                        struct build_record *record, bool cancelled);

/* The job was dropped, or is over: nothing of it is referred to after this. cache may be NULL. */
void build_cache_leave(struct build_cache *cache, struct build_wait *wait);

/* ---- what is kept ---- */

/* artefact: shared (NULL: the build failed); result: its figures, stdout and stderr are copied. NULL when
 * memory is gone. */
struct build_record *build_record_new(struct judge_artefact *artefact,
                                      const struct exec_result *result);
void build_record_release(struct build_record *record); /* NULL is fine */

/* A share of the artefact (NULL: the build failed), and a copy of the result. -1 when memory is gone. */
WARN_UNUSED int build_record_get(const struct build_record *record,
                                 struct judge_artefact **artefact, struct exec_result *result);

struct build_cache_stats {
    uint64_t hits;    /* answered by what was kept */
    uint64_t joined;  /* answered by a build that went on */
    uint64_t made;    /* builds that had to be made */
    uint64_t evicted; /* for want of room */
    uint64_t damaged; /* did not hold any more what was put in */
    uint64_t entries, bytes, bytes_max;
};
void build_cache_stats(struct build_cache *cache, struct build_cache_stats *out);

#endif
