/* Whether anything of a CPython could be seen to end: looked for by reading its containers, which writes to none of them. To
 * have a list of them made (share/warm/python.py does, where this does not know) counts a reference to each, and the kernel
 * copies the pages of all.
 *
 * Who is seen has a finalizer of its type, be it one of C (a file, a generator) or a __del__, or is a weak reference that calls
 * somebody. A class with a finalizer counts as well: its objects may be unknown to the collector. What was there
 * when the interpreter was made ready does not count: a CPython that has not begun ends unseen.
 *
 * Part of stub.c, and under its rules. */
#ifndef CJ_INIT_STUB_END_H
#define CJ_INIT_STUB_END_H

/* Where things lie in objects of CPython 3.9 to 3.13 on 64 bits (Include/object.h, Include/cpython/object.h,
 * Include/cpython/weakrefobject.h, Include/cpython/dictobject.h, Include/cpython/bytesobject.h); that types are so is looked at
 * (end_knows_types()), the rest is older than any of these versions. */
enum {
    OBJECT_TYPE = 8,
    TYPE_FLAGS = 168,
    TYPE_BASE = 256,
    TYPE_DEL = 376,
    TYPE_FINALIZE = 392,
    REFERENCE_CALLBACK = 24,
    DICT_USED = 16,
    DICT_VERSION = 24, /* changes with the dictionary; until CPython 3.12 */
    DICT_KEYS = 32,
    KEYS_USABLE = 16, /* since CPython 3.11: until there is no room; how many there have been */
    KEYS_ENTRIES = 24,
    BYTES_DATA = 32,
};

#define TYPE_IS_METATYPE (UINT64_C(1) << 31) /* Py_TPFLAGS_TYPE_SUBCLASS */

enum {
    END_OBJECTS_MAX = 2000000,
    END_BASES_MAX = 32,
    END_CACHE = 32, /* a power of two */
};

enum end_kind { END_PLAIN, END_FINALIZES, END_IS_CLASS, END_REFERS };

INLINE uint64_t word_at(uint64_t address)
{
    return *FUNCTION(address, const volatile uint64_t *);
}

INLINE bool finalizes(uint64_t type)
{
    return word_at(type + TYPE_FINALIZE) != 0 || word_at(type + TYPE_DEL) != 0;
}

INLINE bool end_knows_types(const struct stub_python *python)
{
    return python->generator != 0 && python->list != 0 && python->type != 0 &&
           python->object != 0 && python->reference != 0 && finalizes(python->generator) &&
           !finalizes(python->list) && !finalizes(python->type) && !finalizes(python->reference) &&
           (word_at(python->type + TYPE_FLAGS) & TYPE_IS_METATYPE) != 0 &&
           (word_at(python->list + TYPE_FLAGS) & TYPE_IS_METATYPE) == 0 &&
           word_at(python->type + TYPE_BASE) == python->object &&
           word_at(python->object + TYPE_BASE) == 0;
}

INLINE enum end_kind kind_of(const struct stub_python *python, uint64_t type)
{
    if (finalizes(type))
        return END_FINALIZES;
    if ((word_at(type + TYPE_FLAGS) & TYPE_IS_METATYPE) != 0)
        return END_IS_CLASS;
    unsigned bases = 0;
    for (uint64_t base = type; base != 0; base = word_at(base + TYPE_BASE))
        if (base == python->reference || ++bases == END_BASES_MAX)
            return END_REFERS;
    return END_PLAIN;
}

/* ends: the bytes of that name in share/warm/python.py: how many were there, which, in order, where the streams, their buffers and
 * files have their dictionaries, and how often each generation has been collected. */
INLINE bool was_there(uint64_t ends, uint64_t object)
{
    uint64_t first = ends + BYTES_DATA + 8, low = 0, high = word_at(ends + BYTES_DATA);
    while (low < high) {
        uint64_t middle = (low + high) / 2, one = word_at(first + middle * 8);
        if (one == object)
            return true;
        if (one < object)
            low = middle + 1;
        else
            high = middle;
    }
    return false;
}

/* Of an object that may have none. Another when something has been put into it. */
INLINE uint64_t dict_version(uint64_t place)
{
    const uint64_t factor = UINT64_C(0x9e3779b97f4a7c15);
    uint64_t dict = word_at(place);
    if (dict == 0)
        return 0;
    uint64_t keys = word_at(dict + DICT_KEYS);
    uint64_t sum = word_at(dict + DICT_VERSION) * factor + word_at(dict + DICT_USED);
    sum = sum * factor + keys;
    sum = sum * factor + word_at(keys + KEYS_USABLE);
    return sum * factor + word_at(keys + KEYS_ENTRIES);
}

INLINE uint64_t after_ends(uint64_t ends, unsigned i)
{
    return word_at(ends + BYTES_DATA + 8 + (word_at(ends + BYTES_DATA) + i) * 8);
}

INLINE bool streams_are_as_they_were(const struct stub_page *page)
{
    for (unsigned i = 0; i < STUB_STREAM_DICTS; i++)
        if (dict_version(after_ends(page->ends, i)) != page->stream_versions[i])
            return false;
    return true;
}

INLINE bool was_collected(const struct stub_page *page, unsigned generation)
{
    return FUNCTION(page->collector, const volatile struct collector *)
               ->stats[generation]
               .collections != after_ends(page->ends, STUB_STREAM_DICTS + generation);
}

/* What a start leaves, 5,000 objects, is in the middle generation, and nothing is in the old one. They stand there in front
 * of all that comes until it is collected: two collections of the young one later, at the earliest. We hold the last of them, so
 * that nobody else can come to lie in its place. */
INLINE void end_remember(struct stub_page *page)
{
    for (unsigned i = 0; i < STUB_STREAM_DICTS; i++)
        page->stream_versions[i] = dict_version(after_ends(page->ends, i));
    const volatile struct collector *collector =
        FUNCTION(page->collector, const volatile struct collector *);
    uint64_t head = (uint64_t)(uintptr_t)&collector->generations[1];
    uint64_t last = collector->generations[1].previous & ~UINT64_C(3);
    page->last_middle_aged = 0;
    if (collector->first != (uint64_t)(uintptr_t)&collector->generations[0] || last == head ||
        was_collected(page, 0) || was_collected(page, 1) || was_collected(page, 2))
        return;
    page->last_middle_aged = last + COLLECTOR_HEADER;
    FUNCTION(page->python.take, void (*)(void *))(FUNCTION(page->last_middle_aged, void *));
}

INLINE void end_let_last_go(struct stub_page *page)
{
    if (page->last_middle_aged != 0)
        FUNCTION(page->python.drop, void (*)(void *))(FUNCTION(page->last_middle_aged, void *));
}

/* True: nothing of what the collector knows could be seen to end, and no stream has got a method of the program's.
 * False: something may. */
INLINE bool end_is_unseen(const struct stub_page *page)
{
    const struct stub_python *python = &page->python;
    const volatile struct collector *collector =
        FUNCTION(page->collector, const volatile struct collector *);
    volatile uint64_t types[END_CACHE];
    volatile uint8_t kinds[END_CACHE];
    if (page->ends == 0 || !streams_are_as_they_were(page))
        return false;
    for (unsigned i = 0; i < END_CACHE; i++)
        types[i] = 0;
    unsigned seen = 0;
    bool as_it_was =
        page->last_middle_aged != 0 && !was_collected(page, 1) && !was_collected(page, 2);
    for (unsigned i = 0; i < (as_it_was ? 2U : 3U); i++) {
        uint64_t stop = (uint64_t)(uintptr_t)&collector->generations[i];
        uint64_t one = collector->generations[i].previous;
        if (as_it_was && i == 1)
            stop = page->last_middle_aged - COLLECTOR_HEADER;
        for (; one != stop; one = word_at(one + 8) & ~UINT64_C(3)) { /* two bits are flags */
            uint64_t object = one + COLLECTOR_HEADER, type = word_at(object + OBJECT_TYPE);
            unsigned place = (unsigned)(type >> 5) % END_CACHE;
            if (types[place] != type) {
                types[place] = type;
                kinds[place] = (uint8_t)kind_of(python, type);
            }
            if (++seen > END_OBJECTS_MAX)
                return false;
            uint8_t kind = kinds[place];
            if (kind == END_PLAIN || (kind == END_IS_CLASS && !finalizes(object)) ||
                (kind == END_REFERS && word_at(object + REFERENCE_CALLBACK) == 0))
                continue;
            if (!was_there(page->ends, object))
                return false;
        }
    }
    return true;
}

#endif
