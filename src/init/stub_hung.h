/* What a program has hung on modules that came ahead.
 *
 * At its end these are not taken apart. But what they have that is the program's is to end as ever: a file in a
 * function that is json.JSONEncoder.default now. To find that, all objects that came ahead are asked whom they have:
 * who is not among those that were there before is the program's, and then asked the same. What
 * answers are the types of whatever is found so, in a list of the text's: share/warm/ahead.py knows whose end
 * can be seen. The kernel copies no page for that, since nothing is written but what is found.
 *
 * Part of stub.c, and under its rules. */
#ifndef CJ_INIT_STUB_HUNG_H
#define CJ_INIT_STUB_HUNG_H

enum {
    FOUND_MAX = 4096,  /* more of the program's: whatever they are, all is taken apart */
    SLOT_TRAVERSE = 71 /* Py_tp_traverse, typeslots.h */
};

INLINE uint64_t *slot_of(const struct stub_hung *hung, uint64_t object)
{
    uint64_t *table = FUNCTION(hung->table, uint64_t *);
    uint64_t at = (object >> 4) * UINT64_C(0x9e3779b97f4a7c15) >> 32;
    while (table[at & hung->mask] != 0 && table[at & hung->mask] != object)
        at++;
    return &table[at & hung->mask];
}

/* CPython's visitproc. */
__attribute__((section("cj_stub"), used, noinline, no_stack_protector,
               target("general-regs-only"))) static int
stub_visit(void *object, void *argument)
{
    struct stub_page *page = argument;
    struct stub_hung *hung = &page->hung;
    uint64_t *slot = slot_of(hung, (uint64_t)(uintptr_t)object);
    if (*slot != 0 || FUNCTION(page->python.is_tracked, int (*)(void *))(object) == 0)
        return 0;
    if (hung->found_count == FOUND_MAX)
        return 1;
    *slot = FUNCTION(hung->found, uint64_t *)[hung->found_count++] = (uint64_t)(uintptr_t)object;
    return 0;
}

INLINE uint64_t type_of(uint64_t object)
{
    return FUNCTION(object, const uint64_t *)[1];
}

INLINE long ask_for_held(struct stub_page *page, uint64_t object)
{
    void *traverse =
        FUNCTION(page->python.slot, void *(*)(uint64_t, int))(type_of(object), SLOT_TRAVERSE);
    if (traverse == NULL)
        return 0;
    return FUNCTION(traverse, int (*)(uint64_t, uint64_t, void *))(object, page->hung.visit, page);
}

/* Leaves in the list what types they are of, and None when they are too many. */
INLINE void find_hung(struct stub_page *page, void *types)
{
    struct stub_hung *hung = &page->hung;
    long (*append)(void *, uint64_t) = FUNCTION(page->python.append, long (*)(void *, uint64_t));
    uint64_t last = 0;
    long many = 0;
    for (uint64_t i = 0; many == 0 && i < hung->count; i++)
        many = ask_for_held(page, FUNCTION(hung->objects, const uint64_t *)[i]);
    for (uint64_t i = 0; many == 0 && i < hung->found_count; i++) {
        uint64_t object = FUNCTION(hung->found, const uint64_t *)[i];
        if (type_of(object) != last)
            append(types, last = type_of(object));
        many = ask_for_held(page, object);
    }
    if (many != 0)
        append(types, page->python.none);
}

/* A PyListObject: behind its head (reference count, type, size) the address of what it has. */
INLINE uint64_t list_size(const void *list)
{
    return ((const uint64_t *)list)[2];
}

INLINE uint64_t list_items(const void *list)
{
    return ((const uint64_t *)list)[3];
}

INLINE void remember(struct stub_hung *hung, const void *list)
{
    for (uint64_t i = 0; i < list_size(list); i++) {
        uint64_t object = FUNCTION(list_items(list), const uint64_t *)[i];
        *slot_of(hung, object) = object;
    }
}

/* ahead: what came so, and lives as long as the interpreter; before: what had been there. Returns 0 or -errno. */
INLINE long prepare_hung(struct stub_page *page, const void *ahead, void *before)
{
    struct stub_hung *hung = &page->hung;
    uint64_t size = 1024, needed = 2 * (list_size(ahead) + list_size(before) + FOUND_MAX);
    while (size < needed)
        size *= 2;
    long base = call6(SYS_mmap, 0, (long)((size + FOUND_MAX) * sizeof(uint64_t)),
                      PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base < 0)
        return base;
    hung->objects = list_items(ahead);
    hung->count = list_size(ahead);
    hung->table = (uint64_t)base;
    hung->found = (uint64_t)base + size * sizeof(uint64_t);
    hung->mask = size - 1;
    remember(hung, ahead);
    remember(hung, before);
    return FUNCTION(page->python.set_slice, int (*)(void *, long, long, void *))(
               before, 0, (long)list_size(before), NULL) == 0
               ? 0
               : -EPROTO;
}

INLINE void *call_of(const struct stub_page *page, enum stub_call which)
{
    return FUNCTION(list_items(FUNCTION(page->calls, const void *)), void *const *)[which];
}

/* What it says; 2 when it fails. */
INLINE long ask_python(const struct stub_page *page, const void *function)
{
    long answer = 2;
    void *said = FUNCTION(page->python.call, call_object)((void *)(uintptr_t)function, NULL);
    if (said != NULL)
        answer = FUNCTION(page->python.as_long, long (*)(void *))(said);
    FUNCTION(page->python.clear, void (*)(void))();
    return answer;
}

/* What Py_FinalizeEx() begins with, and will find done: both may still import what came ahead. No frame is below them. */
INLINE void do_last_things(const struct stub_page *page)
{
    const struct stub_python *python = &page->python;
    call_object call = FUNCTION(python->call, call_object);
    void *wait = call_of(page, CALL_WAIT);
    if (wait != FUNCTION(python->none, void *) && call(wait, NULL) == NULL)
        FUNCTION(python->write_unraisable, void (*)(void *))(call_of(page, CALL_THREADING));
    if (call(call_of(page, CALL_AT_EXIT), NULL) == NULL)
        FUNCTION(python->clear, void (*)(void))();
}

/* At an end as usual, which nobody watches. 0: what came ahead is out of it; else all is to be taken apart. */
INLINE long leave_ahead_out(struct stub_page *page)
{
    long answer = ask_python(page, call_of(page, CALL_PREPARE));
    if (answer != 0)
        return answer;
    do_last_things(page);
    find_hung(page, call_of(page, CALL_TYPES));
    return ask_python(page, call_of(page, CALL_LEAVE_OUT));
}

#endif
