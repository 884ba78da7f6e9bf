/* Whether a class that was there before the program has been changed: it may have got a __del__, and then the end of its objects
 * can be seen. Before CPython 3.12 the references to that name tell (stub.c, has_no_new_end()); from then on they are not counted, but
 * it can be asked to tell of changes (Doc/c-api/type.rst, PyType_Watch()).
 *
 * Part of stub.c, and under its rules. */
#ifndef CJ_INIT_STUB_TYPES_H
#define CJ_INIT_STUB_TYPES_H

/* CPython's PyType_WatchCallback, but for the argument (warm_start.c, make_entry()). */
__attribute__((section("cj_stub"), used, noinline, no_stack_protector,
               target("general-regs-only"))) static int
stub_type_changed(struct stub_page *page)
{
    page->type_has_changed = 1;
    return 0;
}

/* addresses: bytes, of classes without an end. Returns 0 or -errno. */
INLINE long watch_types(const struct stub_page *page, uint64_t addresses)
{
    const struct stub_python *python = &page->python;
    if (python->add_watcher == 0 || python->watch == 0)
        return 0;
    if (addresses == 0 || addresses == python->none)
        return -EPROTO;
    int watcher = FUNCTION(python->add_watcher, int (*)(uint64_t))(page->on_type_change);
    if (watcher < 0)
        return -EPROTO;
    uint64_t count = word_at(addresses + BYTES_DATA);
    for (uint64_t i = 1; i <= count; i++)
        if (FUNCTION(python->watch,
                     int (*)(int, uint64_t))(watcher, word_at(addresses + BYTES_DATA + 8 * i)) < 0)
            return -EPROTO;
    return 0;
}

#endif
