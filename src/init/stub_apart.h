/* How the stub (stub.c) gets objects into a CPython that is none the wiser: a process that is forked from it makes them,
 * with an allocator whose memory both share, and ends. In that memory they refer to the interpreter's own objects, which lie
 * at the same addresses; nothing of the interpreter has been written to. So a program finds every list of free
 * memory, every count and every table as after a cold start: its objects get the addresses that they would get, relative to each other,
 * and sets of them their order; and the garbage collector counts what it would count.
 *
 * Rules for what lies apart: it is never freed, since the interpreter's allocator does not know it; what it refers to is
 * held from outside (held); and no code of it that is to run later may have run before, because it would remember numbers
 * of types that the interpreter has not given yet. share/warm/python.py sees to the last two.
 *
 * Part of stub.c, and under its rules. */
#ifndef CJ_INIT_STUB_APART_H
#define CJ_INIT_STUB_APART_H

enum {
    APART_SHIFT = 24, /* aligned to its size; share/warm/python.py tells by it what lies there */
    APART_SIZE = 1 << APART_SHIFT,
    APART_UNIT = 16,
    APART_KINDS = 33, /* sizes whose freed blocks are kept: up to 512 bytes */
    APART_DOMAINS = 3,
    APART_TUPLES = 20, /* lengths that have a list of freed ones */
    APART_TRIES = 4096,
};

/* PyMemAllocatorEx */
struct apart_allocator {
    void *context;
    void *(*malloc)(void *context, size_t size);
    void *(*calloc)(void *context, size_t count, size_t size);
    void *(*realloc)(void *context, void *block, size_t size);
    void (*free)(void *context, void *block);
};

struct apart;

struct apart_domain {
    struct apart *apart;
    struct apart_allocator own; /* of before */
};

/* Where its memory begins. */
struct apart {
    uint64_t next, end;
    uint64_t freed[APART_KINDS];
    struct apart_domain domains[APART_DOMAINS];
    uint64_t text, text_size; /* compiled */
    uint64_t space;           /* what was made */
};

INLINE bool apart_has(const struct apart *apart, const void *block)
{
    return (uint64_t)(uintptr_t)block >> APART_SHIFT == (uint64_t)(uintptr_t)apart >> APART_SHIFT;
}

/* In front of each block: its size. */
INLINE void *apart_take(struct apart *apart, size_t size)
{
    uint64_t whole = (size + APART_UNIT - 1) & ~(uint64_t)(APART_UNIT - 1);
    whole = whole == 0 ? APART_UNIT : whole;
    uint64_t kind = whole / APART_UNIT, block;
    if (kind < APART_KINDS && apart->freed[kind] != 0) {
        block = apart->freed[kind];
        apart->freed[kind] = *FUNCTION(block, const volatile uint64_t *);
        return FUNCTION(block, void *);
    }
    if (whole > apart->end - apart->next - APART_UNIT)
        return NULL;
    block = apart->next + APART_UNIT;
    FUNCTION(block, volatile uint64_t *)[-2] = whole;
    apart->next = block + whole;
    return FUNCTION(block, void *);
}

INLINE void apart_give(struct apart *apart, void *block)
{
    volatile uint64_t *words = block;
    uint64_t kind = words[-2] / APART_UNIT;
    if (kind >= APART_KINDS)
        return;
    words[0] = apart->freed[kind];
    apart->freed[kind] = (uint64_t)(uintptr_t)block;
}

#define APART_FUNCTION                                                                             \
    __attribute__((section("cj_stub"), used, noinline, no_stack_protector,                         \
                   target("general-regs-only"))) static

APART_FUNCTION void *apart_malloc(void *context, size_t size)
{
    const struct apart_domain *domain = context;
    return apart_take(domain->apart, size);
}

APART_FUNCTION void *apart_calloc(void *context, size_t count, size_t size)
{
    const struct apart_domain *domain = context;
    if (size != 0 && count > APART_SIZE / size)
        return NULL;
    volatile uint64_t *words = apart_take(domain->apart, count * size);
    for (uint64_t i = 0; words != NULL && i < words[-2] / sizeof(uint64_t); i++)
        words[i] = 0;
    return FUNCTION(words, void *);
}

APART_FUNCTION void *apart_realloc(void *context, void *block, size_t size)
{
    const struct apart_domain *domain = context;
    if (block != NULL && !apart_has(domain->apart, block))
        return domain->own.realloc(domain->own.context, block, size); /* the interpreter's own */
    const volatile uint64_t *from = block;
    if (block != NULL && size <= from[-2])
        return block;
    volatile uint64_t *to = apart_take(domain->apart, size);
    if (to == NULL || block == NULL)
        return FUNCTION(to, void *);
    for (uint64_t i = 0; i < from[-2] / sizeof(uint64_t); i++)
        to[i] = from[i];
    apart_give(domain->apart, block);
    return FUNCTION(to, void *);
}

APART_FUNCTION void apart_free(void *context, void *block)
{
    const struct apart_domain *domain = context;
    if (block == NULL)
        return;
    if (apart_has(domain->apart, block))
        apart_give(domain->apart, block);
    else
        domain->own.free(domain->own.context, block);
}

/* ---- in the process that makes them ---- */

INLINE void apart_begin(const struct stub_python *python, struct apart *apart)
{
    for (unsigned i = 0; i < APART_DOMAINS; i++) {
        struct apart_domain *domain = &apart->domains[i];
        struct apart_allocator ours;
        FUNCTION(python->get_allocator, void (*)(int, struct apart_allocator *))
        ((int)i, &domain->own);
        domain->apart = apart;
        ours.context = domain;
        ours.malloc = apart_malloc;
        ours.calloc = apart_calloc;
        ours.realloc = apart_realloc;
        ours.free = apart_free;
        FUNCTION(python->set_allocator, void (*)(int, struct apart_allocator *))((int)i, &ours);
    }
}

/* Objects that were freed are taken before memory is: until there are none. */
INLINE void apart_drain(const struct stub_python *python, const struct apart *apart)
{
    enum { LIST, DICT, KEYS, FLOAT, TUPLE };
    volatile char key[2];
    key[0] = 'k';
    key[1] = '\0';
    for (unsigned kind = LIST; kind < TUPLE + APART_TUPLES; kind++)
        for (unsigned i = 0; i < APART_TRIES; i++) {
            void *one;
            if (kind == LIST) {
                one = FUNCTION(python->list_new, void *(*)(long))(0);
            } else if (kind == DICT || kind == KEYS) {
                one = FUNCTION(python->dict_new, void *(*)(void))();
            } else if (kind == FLOAT) { /* whatever stands in that register */
                one = FUNCTION(python->float_new, void *(*)(void))();
            } else {
                one = FUNCTION(python->tuple_new, void *(*)(long))((long)(kind - TUPLE) + 1);
            }
            if (kind == KEYS && one != NULL) {
                FUNCTION(python->set_item, int (*)(void *, volatile char *, void *))
                (one, key, FUNCTION(python->none, void *));
                one = ((void **)one)[4]; /* ma_keys */
            }
            if (one == NULL || apart_has(apart, one))
                break;
        }
}

/* By a process of its own: what compiling leaves in the interpreter, such as interned names, would be referred to. */
INLINE bool apart_compile(const struct stub_python *python, struct apart *apart)
{
    volatile char name[9];
    *(volatile uint64_t *)name = 0x3e676e697274733c; /* "<string>" */
    name[8] = '\0';
    void *code = FUNCTION(python->compile, void *(*)(const char *, volatile char *, int))(
        FUNCTION(python->text, const char *), name, 257 /* Py_file_input */);
    void *bytes = code == NULL ? NULL : FUNCTION(python->marshal, void *(*)(void *, int))(code, 4);
    if (bytes == NULL)
        return false;
    const volatile char *data =
        FUNCTION(python->bytes_data, const volatile char *(*)(void *))(bytes);
    apart->text_size = (uint64_t)FUNCTION(python->bytes_size, long (*)(void *))(bytes);
    apart->end -= (apart->text_size + APART_UNIT - 1) & ~(uint64_t)(APART_UNIT - 1);
    apart->text = apart->end;
    for (uint64_t i = 0; i < apart->text_size; i++)
        FUNCTION(apart->text, volatile char *)[i] = data[i];
    return true;
}

/* Returns the namespace of the text, or NULL. */
INLINE void *apart_run(const struct stub_python *python, struct apart *apart)
{
    volatile char name[16];
    int (*set)(void *, volatile char *, void *) =
        FUNCTION(python->set_item, int (*)(void *, volatile char *, void *));
    FUNCTION(python->collector_off, int (*)(void))();
    apart_begin(python, apart);
    apart_drain(python, apart);
    void *code = FUNCTION(python->unmarshal, void *(*)(const char *, long))(
        FUNCTION(apart->text, const char *), (long)apart->text_size);
    void *space = FUNCTION(python->dict_new, void *(*)(void))();
    if (code == NULL || space == NULL)
        return NULL;
    *(volatile uint64_t *)name = 0x69746c6975625f5f; /* "__builtins__" */
    *(volatile uint64_t *)(name + 8) = 0x5f5f736e;
    set(space, name, FUNCTION(python->builtins, void *(*)(void))());
    return FUNCTION(python->eval, void *(*)(void *, void *, void *))(code, space, space) != NULL
               ? space
               : NULL;
}

/* ---- in the interpreter ---- */

/* Returns memory of that size that is aligned to it, or -errno. */
INLINE long apart_map(long flags)
{
    long got = call6(SYS_mmap, 0, 2L * APART_SIZE, PROT_READ | PROT_WRITE,
                     flags | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (got < 0)
        return got;
    long begin = (got + APART_SIZE - 1) & ~(APART_SIZE - 1L);
    if (begin > got)
        call3(SYS_munmap, got, begin - got, 0);
    call3(SYS_munmap, begin + APART_SIZE, got + APART_SIZE - begin, 0);
    return begin;
}

/* Each run has its own copy of it, as of all else. */
INLINE long apart_make_private(struct apart *apart)
{
    long used = (long)(apart->next - (uint64_t)(uintptr_t)apart + 4095) & ~4095L;
    long copy =
        call6(SYS_mmap, 0, used, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (copy < 0)
        return copy;
    const volatile uint64_t *from = FUNCTION(apart, const volatile uint64_t *);
    for (long i = 0; i < used / 8; i++)
        FUNCTION(copy, volatile uint64_t *)[i] = from[i];
    call3(SYS_munmap, PTR(apart), APART_SIZE, 0);
    long moved = call6(SYS_mremap, copy, used, used, MREMAP_MAYMOVE | MREMAP_FIXED, PTR(apart), 0);
    return moved < 0 ? moved : 0;
}

/* One reference more, or less, to all that is referred to from apart. */
INLINE void apart_hold(const struct stub_python *python, uint64_t held, uint64_t change)
{
    long count = FUNCTION(python->list_size, long (*)(void *))(FUNCTION(held, void *));
    for (long i = 0; i < count; i++)
        FUNCTION(change, void (*)(void *))
    (FUNCTION(python->list_item, void *(*)(void *, long))(FUNCTION(held, void *), i));
}

/* In a process that is forked from the interpreter. Returns whether it was done. */
INLINE bool apart_make(const struct stub_python *python, struct apart *apart)
{
    if (apart->text == 0)
        return apart_compile(python, apart);
    apart->space = (uint64_t)(uintptr_t)apart_run(python, apart);
    return apart->space != 0;
}

__attribute__((noreturn)) INLINE void apart_end(bool made)
{
    for (;;)
        call3(SYS_exit_group, made ? 0 : 1, 0, 0);
}

/* Runs the text. Returns 0 with its namespace in *space, or -errno. */
INLINE long apart_prepare(const struct stub_python *python, uint64_t *space)
{
    long at = apart_map(MAP_SHARED);
    if (at < 0)
        return at;
    struct apart *apart = FUNCTION(at, struct apart *);
    apart->next = (uint64_t)at + ((sizeof(struct apart) + APART_UNIT - 1) & ~(APART_UNIT - 1UL));
    apart->end = (uint64_t)at + APART_SIZE;
    for (int i = 0; i < 2; i++) { /* first it is compiled, then run */
        volatile int status = -1;
        long pid = call6(SYS_clone, SIGCHLD, 0, 0, 0, 0, 0);
        if (pid < 0)
            return pid;
        if (pid == 0)
            apart_end(apart_make(python, apart));
        while (call4(SYS_wait4, pid, PTR(&status), 0, 0) == AGAIN)
            continue;
        if (status != 0)
            return -EPROTO;
    }
    *space = apart->space;
    return apart_make_private(apart);
}

#endif
