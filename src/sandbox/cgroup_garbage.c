/* v1: kernel memory of earlier runs, which stands in the group until it is freed, and a run's memory beside it.
 *
 * The limit has to be raised by it, or a run could not have what it asked for; as it is freed, that room is the run's. So the
 * limit follows it down in small steps while the run lives, and the peak is measured anew from each step. */
#include <errno.h>
#include <unistd.h>

#include "base/clock.h"
#include "cgroup_group.h"

/* A run may take its limit's room within milliseconds. */
#define STEP_NS       (2 * NS_PER_MS)
#define SMALL_STEP_NS (8 * NS_PER_MS) /* when little is left */

enum {
    ROOM_LEAST_BYTES = 1024 * 1024, /* a dozen trivial runs just before */
    ROOM_MOST_BYTES = 8 * 1024 * 1024,
    ROOM_SHARE = 8,           /* of a limit */
    SMALL_BYTES = 256 * 1024, /* and that much of the limit: */
    SMALL_SHARE = 64,
    NOTHING_BYTES = CGROUP_SHARE_ROUNDING,
    OWN_KERNEL_BYTES = 128 * 1024, /* of a process with few pages */
    FLOOR_STEP_BYTES = 1024 * 1024,
    AWAIT_US = 2000,
    AWAIT_TRIES = 50,
    RECLAIM_AT = 4,
    RECLAIM_AGAIN_AT = 20,
};

static int read_now(const struct cgroup *cg, uint64_t *usage, uint64_t *kernel,
                    struct cj_error *err)
{
    return group_read(cg, CGROUP_MEMORY_USAGE, usage, err) < 0
               ? -1
               : group_read(cg, CGROUP_MEMORY_KERNEL, kernel, err);
}

static bool is_told(const struct cgroup *cg)
{
    return cg->host->facts.kind == CGROUP_V1 && group_has(cg, CGROUP_MEMORY_KERNEL);
}

/* ---- before a run ---- */

/* Garbage must not be taken for init's: for ever after it would be room for runs to hide in. Init itself, and each
 * interpreter that it keeps, takes a few hundred KiB. */
int group_measure_share(struct cgroup *cg, struct cj_error *err)
{
    const uint64_t most = cg->kernel_floor + FLOOR_STEP_BYTES;
    uint64_t usage, kernel;
    if (read_now(cg, &usage, &kernel, err) < 0)
        return -1;
    for (int i = 0; is_told(cg) && kernel > most && i < AWAIT_TRIES; i++) {
        usleep(AWAIT_US);
        if (read_now(cg, &usage, &kernel, err) < 0)
            return -1;
    }
    cg->share_bytes = cg->host->facts.kind == CGROUP_V2 ? 0 : minus(usage, kernel);
    bool known = false;
    if (group_read_user(cg, &cg->user_floor, &known, err) < 0)
        return -1;
    if (!known)
        cg->user_floor = cg->share_bytes;
    cg->kernel_floor = kernel < most ? kernel : most;
    return 0;
}

/* The most that a limit may be raised by: with hundreds of trivial runs a second some MiB always stand there. */
static uint64_t garbage_room(uint64_t limit_bytes)
{
    uint64_t room = limit_bytes / ROOM_SHARE;
    if (room < ROOM_LEAST_BYTES)
        return ROOM_LEAST_BYTES;
    return room < ROOM_MOST_BYTES ? room : ROOM_MOST_BYTES;
}

uint64_t group_garbage(const struct cgroup *cg)
{
    uint64_t most = cg->kernel_floor + garbage_room(cg->begin.limits.memory_bytes);
    return cg->begin.kernel_bytes < most ? cg->begin.kernel_bytes : most;
}

/* A bomb leaves so much on its way out that the next run could hide behind it: that one waits. What does not go by itself
 * is reclaimed. */
int group_await_garbage(struct cgroup *cg, uint64_t limit_bytes, bool *gone, struct cj_error *err)
{
    const uint64_t most = cg->kernel_floor + garbage_room(limit_bytes);
    uint64_t usage, kernel = cg->seen.kernel_bytes;
    *gone = true;
    if (!is_told(cg) || limit_bytes == 0)
        return 0;
    if (!cg->seen.valid && read_now(cg, &usage, &kernel, err) < 0)
        return -1;
    for (int i = 0; kernel > most && i < AWAIT_TRIES; i++) {
        if (i == RECLAIM_AT || i == RECLAIM_AGAIN_AT)
            group_reclaim(cg, 0);
        if (i > 0)
            usleep(AWAIT_US);
        cg->seen.undisturbed = false; /* time has passed */
        if (read_now(cg, &usage, &kernel, err) < 0)
            return -1;
    }
    *gone = kernel <= most;
    return 0;
}

/* ---- beside a run ---- */

void group_mark(struct cgroup *cg)
{
    cg->mark.time_ns = cg->begin.time_ns;
    cg->mark.usage_bytes = cg->begin.usage_bytes;
    cg->mark.kernel_bytes = cg->begin.kernel_bytes;
    cg->mark.beside_bytes =
        minus(cg->begin.limit_bytes, cg->begin.limits.memory_bytes + cg->share_bytes);
    cg->mark.figure_bytes = cg->mark.own_bytes = cg->mark.refused_bytes = 0;
    cg->mark.seen_bytes = cg->begin.kernel_bytes;
    cg->mark.again = false;
    group_mark_cache(cg);
    cg->mark.garbage_due_ns = group_garbage_ns(cg);
    cg->settle_again_ns = CGROUP_GARBAGE_NS / 2;
}

int group_read_since_mark(const struct cgroup *cg, uint64_t tasks, bool ended,
                          struct cgroup_memory_readings *readings, struct cj_error *err)
{
    int64_t now_ns = monotonic_ns(), age_ns = now_ns - cg->begin.time_ns;
    *readings = (struct cgroup_memory_readings){
        .usage_before = cg->mark.usage_bytes,
        .kernel_before = cg->mark.kernel_bytes,
        .share = cg->user_floor,
        .share_known = group_tells_user(cg),
        .kernel_floor = cg->kernel_floor,
        .stock_max = group_stock_bytes(cg, tasks),
        .limit = cg->begin.limit_bytes,
        .elapsed_ns = age_ns < CGROUP_GARBAGE_NS ? now_ns - cg->mark.time_ns : age_ns,
    };
    if (group_read(cg, CGROUP_MEMORY_PEAK, &readings->peak, err) < 0 ||
        group_read(cg, CGROUP_MEMORY_USAGE, &readings->usage_after, err) < 0 ||
        group_read(cg, CGROUP_MEMORY_KERNEL, &readings->kernel_after, err) < 0)
        return -1;
    /* Some of the garbage that stood there at the mark may be gone since: before the peak, or after. */
    if (ended && cg->mark.again && age_ns < CGROUP_GARBAGE_NS) {
        uint64_t gone = minus(readings->kernel_before, readings->kernel_after);
        readings->kernel_before -= gone / 2;
        readings->usage_before -= gone / 2;
        readings->elapsed_ns = 0;
    }
    return 0;
}

/* The counter's peak may be that of garbage and little else: what was measured beside it is put down, and the peak begins
 * again. The kernel's part then is the run's own as well; that is not garbage. */
static int mark_again(struct cgroup *cg, uint64_t kernel, struct cj_error *err)
{
    struct cgroup_memory_readings readings;
    if (!cg->host->facts.can_reset_memory_peak || !group_has(cg, CGROUP_MEMORY_PEAK) ||
        kernel + SMALL_BYTES > cg->mark.kernel_bytes)
        return 0;
    if (group_read_since_mark(cg, 0, false, &readings, err) < 0)
        return -1;
    uint64_t figure = cgroup_memory_peak(&readings);
    uint64_t user = minus(readings.usage_after, readings.kernel_after);
    uint64_t own = OWN_KERNEL_BYTES + minus(user, cg->share_bytes) / 512; /* page tables */
    if (own < cg->mark.own_bytes)
        own = cg->mark.own_bytes;
    uint64_t garbage = minus(kernel, own);
    if (garbage < cg->kernel_floor)
        garbage = cg->kernel_floor;
    if (figure > cg->mark.figure_bytes)
        cg->mark.figure_bytes = figure;
    cg->mark.usage_bytes = minus(cg->mark.usage_bytes, cg->mark.kernel_bytes) + garbage;
    cg->mark.kernel_bytes = garbage;
    cg->mark.time_ns = monotonic_ns();
    cg->mark.again = true;
    if (group_write(cg, CGROUP_MEMORY_PEAK, "0") < 0)
        return error_errno(err, "reset %s",
                           cgroup_file_name(cg->host->facts.kind, CGROUP_MEMORY_PEAK));
    return 0;
}

/* v1 refuses a limit below what is used. Whether that is the run's, or garbage that is still there, tells the part that is
 * not the kernel's; read between two readings of the latter, as both go on changing. What the kernel's part adds is the
 * run's as well when it has not become less between two looks, long after garbage should have gone. */
static int look_whether_over(struct cgroup *cg, bool late, struct cgroup_settled *settled,
                             struct cj_error *err)
{
    const uint64_t most = cg->share_bytes + cg->begin.limits.memory_bytes + cg->mark.cache_bytes +
                          CGROUP_SHARE_ROUNDING;
    uint64_t kernel, usage, kernel_later;
    if (group_read(cg, CGROUP_MEMORY_KERNEL, &kernel, err) < 0 ||
        group_read(cg, CGROUP_MEMORY_USAGE, &usage, err) < 0 ||
        group_read(cg, CGROUP_MEMORY_KERNEL, &kernel_later, err) < 0)
        return -1;
    settled->over = minus(usage, kernel > kernel_later ? kernel : kernel_later) > most;
    if (late && minus(usage, cg->kernel_floor) > most) {
        bool stays = cg->mark.refused_bytes > 0 &&
                     kernel_later + OWN_KERNEL_BYTES / 4 >= cg->mark.refused_bytes;
        settled->over = settled->over || stays;
        cg->mark.refused_bytes = kernel_later;
    }
    return 0;
}

static int lower_limit(struct cgroup *cg, uint64_t beside, bool late,
                       struct cgroup_settled *settled, struct cj_error *err)
{
    const struct cgroup_written written = cg->written;
    struct cj_error refused;
    error_clear(&refused);
    if (group_write_beside(cg, beside, &refused) == 0) {
        cg->mark.beside_bytes = beside;
        return 0;
    }
    if (refused.code != EBUSY) {
        if (err != NULL)
            *err = refused;
        return -1;
    }
    cg->written = written;
    cg->written.memory_known = false; /* one of the two files may have it */
    return look_whether_over(cg, late, settled, err);
}

/* Until the limit is looked after again, garbage standing in it. */
static int64_t step_ns(const struct cgroup *cg, uint64_t garbage)
{
    if (!is_told(cg) || garbage <= NOTHING_BYTES)
        return CGROUP_GARBAGE_NS;
    bool small = garbage <= SMALL_BYTES + cg->begin.limits.memory_bytes / SMALL_SHARE;
    return small ? SMALL_STEP_NS : STEP_NS;
}

int64_t group_garbage_ns(const struct cgroup *cg)
{
    return step_ns(cg, minus(cg->mark.beside_bytes, cg->kernel_floor));
}

/* By now all of it is gone, unless the machine is very busy. */
static int settle_for_good(struct cgroup *cg, struct cgroup_settled *settled, struct cj_error *err)
{
    if (cg->host->facts.kind == CGROUP_V2) {
        cg->mark.beside_bytes = 0;
        return group_write_beside(cg, 0, err);
    }
    if (lower_limit(cg, cg->kernel_floor, true, settled, err) < 0)
        return -1;
    if (cg->mark.beside_bytes > cg->kernel_floor && !settled->over) {
        settled->next_ns = cg->settle_again_ns;
        cg->settle_again_ns *= 2;
    }
    return 0;
}

static int settle(struct cgroup *cg, int64_t age_ns, struct cgroup_settled *settled,
                  struct cj_error *err)
{
    uint64_t kernel;
    if (!is_told(cg) || age_ns >= CGROUP_GARBAGE_NS)
        return settle_for_good(cg, settled, err);
    if (group_read(cg, CGROUP_MEMORY_KERNEL, &kernel, err) < 0)
        return -1;
    cg->mark.own_bytes += minus(kernel, cg->mark.seen_bytes); /* garbage only becomes less */
    cg->mark.seen_bytes = kernel;
    if (mark_again(cg, kernel, err) < 0)
        return -1;
    uint64_t beside = kernel > cg->kernel_floor ? kernel : cg->kernel_floor;
    if (beside + NOTHING_BYTES <= cg->mark.beside_bytes &&
        lower_limit(cg, beside, false, settled, err) < 0)
        return -1;
    int64_t next_ns = group_garbage_ns(cg);
    int64_t rest_ns = CGROUP_GARBAGE_NS - age_ns;
    settled->next_ns = next_ns < rest_ns ? next_ns : rest_ns;
    return 0;
}

int group_settle_garbage(struct cgroup *cg, struct cgroup_settled *settled, struct cj_error *err)
{
    int64_t age_ns = monotonic_ns() - cg->begin.time_ns;
    *settled = (struct cgroup_settled){.next_ns = INT64_MAX};
    if (age_ns < cg->mark.garbage_due_ns) {
        if (cg->mark.garbage_due_ns != INT64_MAX)
            settled->next_ns = cg->mark.garbage_due_ns - age_ns;
        return 0;
    }
    if (settle(cg, age_ns, settled, err) < 0)
        return -1;
    cg->mark.garbage_due_ns = settled->next_ns == INT64_MAX ? INT64_MAX : age_ns + settled->next_ns;
    return 0;
}
