/* The state of CPython's garbage collector, put back as it was: what the stub (stub.c) makes in an interpreter is neither
 * counted, listed nor collected. So the collections of a program, and the last words of what they find, come when they come
 * in an interpreter that has started cold.
 *
 * CPython counts a container when it is allocated, and not when it comes from a list of freed ones; so these lists have to be as
 * they were, too: all that is in them is taken out before, and given back after, in the same order.
 *
 * Part of stub.c, and under its rules. */
#ifndef CJ_INIT_STUB_COLLECTOR_H
#define CJ_INIT_STUB_COLLECTOR_H

/* As CPython 3.9 to 3.13 has it (struct _gc_runtime_state), and looked for (collector_find()): other versions have others. */
struct collector {
    int32_t debug, padding;
    struct {
        uint64_t next, previous; /* of the circle that begins here */
        int32_t threshold, count;
    } generations[3];
    uint64_t first; /* &generations[0] */
    uint64_t permanent[3];
    struct {
        uint64_t collections, collected, uncollectable;
    } stats[3];
};

enum {
    COLLECTOR_SEARCH = 8192,                /* bytes of the interpreter's state, */
    COLLECTOR_SEARCH_MORE = 65536,          /* since CPython 3.12 */
    COLLECTOR_HEADER = 16,                  /* in front of each object */
    COLLECTOR_TUPLES = 20,                  /* lengths that have a list of freed ones */
    COLLECTOR_KINDS = 2 + COLLECTOR_TUPLES, /* lists, dictionaries, tuples */
    COLLECTOR_HELD = 16384,
    COLLECTOR_ROOM = COLLECTOR_HELD * (int)sizeof(uint64_t),
};

/* What was there before. */
struct collector_before {
    volatile uint64_t *held; /* COLLECTOR_HELD objects; NULL: none can be held */
    unsigned count;
    int32_t counted;
    uint64_t last; /* of the youngest */
};

/* young: how many of these are collected; 700 before CPython 3.13. */
INLINE bool collector_is(uint64_t at, int32_t young)
{
    const volatile struct collector *seen = FUNCTION(at, const volatile struct collector *);
    if (*FUNCTION(at - 4, const volatile int32_t *) != 1 || seen->debug != 0)
        return false;
    for (unsigned i = 0; i < 3; i++) {
        int32_t threshold = i == 0 ? young : 10;
        uint64_t head =
            at + offsetof(struct collector, generations) + i * sizeof(seen->generations[0]);
        if (seen->generations[i].threshold != threshold || seen->generations[i].count < 0 ||
            seen->generations[i].count > threshold + 1 || seen->generations[i].next == 0 ||
            FUNCTION(seen->generations[i].next, const volatile uint64_t *)[1] != head)
            return false;
    }
    return true;
}

/* NULL: this version has another one, or its thresholds have been changed. */
INLINE volatile struct collector *collector_find(const struct stub_python *python)
{
    if (python->interpreter == 0)
        return NULL;
    uint64_t state = (uint64_t)(uintptr_t)FUNCTION(python->interpreter, void *(*)(void))();
    uint64_t size = python->watch != 0 ? COLLECTOR_SEARCH_MORE : COLLECTOR_SEARCH;
    for (uint64_t at = state + 8; at < state + size; at += 8)
        if (collector_is(at, 700) || collector_is(at, 2000))
            return FUNCTION(at, volatile struct collector *);
    return NULL;
}

/* Returns whether it was on. */
INLINE int32_t collector_switch(volatile struct collector *collector, int32_t on)
{
    volatile int32_t *enabled = (volatile int32_t *)collector - 1;
    int32_t was = *enabled;
    *enabled = on;
    return was;
}

INLINE void *collector_make(const struct stub_python *python, unsigned kind)
{
    if (kind == 0)
        return FUNCTION(python->list_new, void *(*)(long))(0);
    if (kind == 1)
        return FUNCTION(python->dict_new, void *(*)(void))();
    return FUNCTION(python->tuple_new, void *(*)(long))((long)kind - 1);
}

/* Takes all that has been freed, and for each kind one that has not; that one is never given back. Returns how many objects
 * are in held. */
INLINE unsigned collector_take_freed(const struct stub_python *python,
                                     volatile struct collector *collector, volatile uint64_t *held)
{
    unsigned count = 0;
    for (unsigned kind = 0; kind < COLLECTOR_KINDS; kind++)
        for (;;) {
            int32_t counted = collector->generations[0].count;
            void *object = collector_make(python, kind);
            if (object == NULL || collector->generations[0].count != counted)
                break;
            if (count < COLLECTOR_HELD)
                held[count++] = (uint64_t)(uintptr_t)object;
        }
    return count;
}

INLINE void collector_begin(const struct stub_python *python, volatile struct collector *collector,
                            struct collector_before *before)
{
    before->held = NULL;
    before->count = 0;
    before->counted = 0;
    before->last = 0;
    if (collector == NULL)
        return;
    collector_switch(collector, 0);
    before->counted = collector->generations[0].count;
    before->last = collector->generations[0].previous;
    long room = call6(SYS_mmap, 0, 2 * COLLECTOR_ROOM, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (room < 0)
        return;
    before->held = FUNCTION(room, volatile uint64_t *);
    before->count = collector_take_freed(python, collector, before->held);
}

/* None where the youngest from before is not among the young any more. */
INLINE void collector_forget_new(const struct stub_python *python,
                                 volatile struct collector *collector, uint64_t last)
{
    uint64_t head = (uint64_t)(uintptr_t)&collector->generations[0], one = head;
    while (one != last) {
        one = *FUNCTION(one, const volatile uint64_t *);
        if (one == head)
            return;
    }
    while ((one = *FUNCTION(last, const volatile uint64_t *)) != head)
        FUNCTION(python->untrack, void (*)(void *))(FUNCTION(one + COLLECTOR_HEADER, void *));
}

INLINE void collector_end(const struct stub_python *python, volatile struct collector *collector,
                          const struct collector_before *before)
{
    if (collector == NULL)
        return;
    collector_switch(collector, 0); /* the text has put it on */
    if (before->held != NULL) {
        collector_take_freed(python, collector, before->held + COLLECTOR_HELD);
        for (unsigned i = before->count; i > 0; i--)
            FUNCTION(python->drop, void (*)(void *))(FUNCTION(before->held[i - 1], void *));
        call3(SYS_munmap, PTR(before->held), 2 * COLLECTOR_ROOM, 0);
    }
    collector_forget_new(python, collector, before->last);
    collector->generations[0].count = before->counted;
    collector_switch(collector, 1);
}

#endif
