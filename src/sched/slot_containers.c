/* The containers of a slot: the first always, more when a job wants them, some of those kept. */
#include <errno.h>

#include "base/clock.h"
#include "base/log.h"
#include "scheduler.h"

#define RETRY_FIRST_NS (100 * NS_PER_MS)
#define RETRY_MOST_NS  (10 * NS_PER_S)

/* ---- making and unmaking ---- */

/* Pauses double, and the log says it once. */
static void note_failure(struct slot *slot, const struct cj_error *cause)
{
    struct slot_set *set = &slot->containers;
    int64_t pause_ns = RETRY_FIRST_NS;
    for (unsigned i = 0; i < set->failures && pause_ns < RETRY_MOST_NS; i++)
        pause_ns *= 2;
    set->retry_ns = monotonic_ns() + (pause_ns < RETRY_MOST_NS ? pause_ns : RETRY_MOST_NS);
    set->failure = *cause;
    if (set->failures++ > 0)
        return;
    atomic_fetch_add(&slot->sched->broken_slots, 1);
    log_error("a slot has no working container, and tries again", log_int("slot", slot->index),
              log_failure(cause));
}

static void note_success(struct slot *slot)
{
    struct slot_set *set = &slot->containers;
    if (set->failures == 0)
        return;
    atomic_fetch_sub(&slot->sched->broken_slots, 1);
    log_info("a slot works again", log_int("slot", slot->index),
             log_uint("failures", set->failures));
    set->failures = 0;
}

static void unmake(struct slot *slot, size_t at)
{
    struct slot_set *set = &slot->containers;
    if (set->list[at] == NULL)
        return;
    container_free(set->list[at]);
    set->list[at] = NULL;
    atomic_fetch_sub(&slot->sched->containers, 1);
    while (set->made > 0 && set->list[set->made - 1] == NULL)
        set->made--;
}

/* Numbers are distinct among all slots. */
static int make(struct slot *slot, size_t at, struct cj_error *err)
{
    struct slot_set *set = &slot->containers;
    unsigned number = slot->index + (unsigned)at * slot->sched->slot_count;
    if (set->failures > 0 && monotonic_ns() < set->retry_ns) {
        *err = set->failure;
        return -1;
    }
    if (container_new(slot->sched->sandbox, number, slot->cpu, &set->list[at], err) < 0) {
        set->list[at] = NULL;
        note_failure(slot, err);
        return -1;
    }
    atomic_fetch_add(&slot->sched->containers, 1);
    if (at >= set->made)
        set->made = at + 1;
    note_success(slot);
    return 0;
}

/* Nothing is tried again at the start: the operator is to see why. */
int slot_set_open(struct slot *slot, struct cj_error *err)
{
    struct slot_set *set = &slot->containers;
    if (slot->sched->sandbox == NULL)
        return 0;
    if (container_new(slot->sched->sandbox, slot->index, slot->cpu, &set->list[0], err) < 0)
        return -1;
    set->made = 1;
    atomic_fetch_add(&slot->sched->containers, 1);
    return 0;
}

void slot_set_close(struct slot *slot)
{
    for (size_t i = slot->containers.made; i-- > 0;)
        unmake(slot, i);
}

/* ---- for jobs ---- */

int slot_containers(struct slot *slot, size_t count, struct container ***list, struct cj_error *err)
{
    struct slot_set *set = &slot->containers;
    if (slot->sched->sandbox == NULL)
        return error_set(err, ERROR_UNSUPPORTED, ENOTSUP, "these slots have no containers");
    if (count == 0 || count > SCHED_GROUP_MAX)
        return error_set(err, ERROR_REQUEST, E2BIG, "%zu containers at once: at most %d", count,
                         SCHED_GROUP_MAX);
    for (size_t i = 0; i < count; i++)
        if (set->list[i] == NULL && make(slot, i, err) < 0)
            return -1;
    if (count > set->used)
        set->used = count;
    if (count > 1 + (size_t)slot->sched->spare)
        set->crowd_ns = monotonic_ns();
    *list = set->list;
    return 0;
}

/* One that cannot be made fresh is given up; the next who needs it makes another. */
static int reset_used(struct slot *slot, struct cj_error *err)
{
    struct slot_set *set = &slot->containers;
    int result = 0;
    for (size_t i = 0; i < set->used; i++) {
        struct cj_error cause;
        if (set->list[i] == NULL || container_reset(set->list[i], &cause) == 0)
            continue;
        unmake(slot, i);
        note_failure(slot, &cause);
        *err = cause;
        result = -1;
    }
    return result;
}

int slot_reset(struct slot *slot, struct cj_error *err)
{
    struct slot_set *set = &slot->containers;
    if (reset_used(slot, err) == 0)
        return 0;
    for (size_t i = 0; i < set->used; i++)
        if (set->list[i] == NULL && make(slot, i, err) < 0)
            return -1;
    return 0;
}

/* ---- between jobs ---- */

static bool is_broken(const struct slot *slot)
{
    return slot->containers.failures > 0;
}

static bool is_crowded(const struct slot *slot)
{
    return slot->containers.made > 1 + (size_t)slot->sched->spare;
}

static int64_t crowd_end_ns(const struct slot *slot)
{
    return slot->containers.crowd_ns + slot->sched->spare_idle_ns;
}

static void thin_out(struct slot *slot, int64_t now_ns)
{
    if (!is_crowded(slot) || now_ns < crowd_end_ns(slot))
        return;
    for (size_t i = slot->containers.made; i-- > 1 + (size_t)slot->sched->spare;)
        unmake(slot, i);
}

void slot_set_tidy(struct slot *slot)
{
    struct cj_error logged;
    (void)!reset_used(slot, &logged);
    slot->containers.used = 0;
    if (is_crowded(slot))
        thin_out(slot, monotonic_ns());
}

int64_t slot_set_next_chore(const struct slot *slot)
{
    int64_t next_ns = INT64_MAX;
    if (is_broken(slot))
        next_ns = slot->containers.retry_ns;
    if (is_crowded(slot) && crowd_end_ns(slot) < next_ns)
        next_ns = crowd_end_ns(slot);
    return next_ns;
}

void slot_set_chores(struct slot *slot)
{
    struct slot_set *set = &slot->containers;
    struct cj_error logged;
    int64_t now_ns = monotonic_ns();
    thin_out(slot, now_ns);
    if (!is_broken(slot) || now_ns < set->retry_ns)
        return;
    if (set->list[0] == NULL)
        (void)!make(slot, 0, &logged);
    else
        note_success(slot); /* what failed was one that is not needed now */
}
