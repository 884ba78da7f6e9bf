# Modules that a warm CPython has imported before its script: stands between the line preload = ("numpy",), which init
# writes, and python.py, whose namespace is the same. docs/warm.md
#
# They are taken out of sys.modules again, with all that came with them, and come back when the program imports
# them: one by one with what each of them needs, in the order in which they would have been loaded. So a program that
# imports none of them does not see them, and one that imports some finds these, and no others.
import gc
import sys


def freeze_but(these, ctypes):
    """A program's collections leave alone what came ahead, since to look at all of it would copy it; what was there before
    they see as ever."""
    untrack, track = ctypes.pythonapi["PyObject_GC_UnTrack"], ctypes.pythonapi["PyObject_GC_Track"]
    untrack.restype = track.restype = None
    these = [one for one in these if gc.is_tracked(one)]
    for one in these:
        untrack(ctypes.py_object(one))
    gc.freeze()
    for one in these:
        track(ctypes.py_object(one))
    gc.collect(1) # and they are as old as they were


def holders_of(stream, ours):
    """Who came ahead and has it, as (function, None) or (object, attribute); None: somebody else, too."""
    found = []
    for one in gc.get_referrers(stream):
        if one is vars(sys) or one is globals() or one is ours or type(one) is type(sys._getframe()):
            continue
        known = len(found)
        if type(one) is tuple:
            for by in gc.get_referrers(one):
                if getattr(by, "__defaults__", None) is one:
                    found.append((by, None))
        else:
            for name, value in getattr(one, "__dict__", {}).items(): # no comprehension: it would have the stream, too
                if value is stream:
                    found.append((one, name))
        if len(found) == known:
            return None
    return found


def import_ahead(roots):
    import _frozen_importlib as bootstrap
    from _frozen_importlib_external import PathFinder
    import builtins
    import posix
    import _warnings
    import atexit
    import _thread
    modules, finders, filters = sys.modules, sys.path_importer_cache, _warnings.filters
    if any(name in modules for name in roots):
        raise ImportError("it is there already")
    for name in ("atexit", "gc"): # a program that has not imported them does not have them
        modules.pop(name, None)
    at_first = [one for one in gc.get_objects() if type(one) in (dict, list, set, tuple, type) or hasattr(type(one), "__dict__")]
    started = {name: dict(vars(module)) for name, module in modules.items()}
    finders_before, filters_before, path = set(finders), list(filters), list(sys.path)
    needs = {}  # of a module: what it imports while it is loaded, and what else it leaves in these two tables, in order
    loading = [] # from the outermost
    seen_modules, seen_finders = set(modules), set(finders)
    find_and_load, function = bootstrap._find_and_load_unlocked, type(import_ahead)
    plain_import, plain_code = builtins.__import__, find_and_load.__code__
    load = function(plain_code, find_and_load.__globals__, find_and_load.__name__)

    def note():
        """What has come without being loaded is of who is being loaded now."""
        if loading:
            needs[loading[-1]] += [("module", name) for name in modules if name not in seen_modules and name not in needs]
            needs[loading[-1]] += [("finder", name) for name in finders if name not in seen_finders]
        seen_modules.update(modules)
        seen_finders.update(finders)

    def logged_import(name, globals=None, locals=None, fromlist=(), level=0):
        if not loading:
            return plain_import(name, globals, locals, fromlist, level)
        note()
        full = name
        if level > 0:
            full = bootstrap._resolve_name(name, bootstrap._calc___package__(globals), level)
        wanted = needs[loading[-1]]
        parts = full.split(".")
        wanted += [("import", ".".join(parts[:i + 1])) for i in range(len(parts))]
        wanted += [("import", full + "." + one) for one in fromlist or () if type(one) is str and one != "*"]
        return plain_import(name, globals, locals, fromlist, level)

    def leave_openssl():
        """At the end of a process OpenSSL frees all that it has, piece by piece. Nobody sees it left out."""
        foreign = modules["_ctypes"]
        handle = foreign.dlopen(bootstrap._find_spec("_hashlib", None).origin, 2)
        foreign.call_function(foreign.dlsym(handle, "OPENSSL_init_crypto"), (0x80000, None)) # OPENSSL_INIT_NO_ATEXIT

    def logged_load(name, import_):
        note()
        if name == "_hashlib" and "_ctypes" in modules:
            try:
                leave_openssl()
            except (OSError, AttributeError, TypeError):
                pass # it is another library, or none
        if loading:
            needs[loading[-1]].append(("import", name))
        needs[name] = [("import", name.rpartition(".")[0])] if "." in name else []
        loading.append(name)
        try:
            module = load(name, import_)
            note()
            return module
        finally:
            loading.pop()

    def hooked(by):
        def _find_and_load_unlocked(name, import_):
            hook = 1 << 40
            return hook(name, import_)
        code = _find_and_load_unlocked.__code__
        return code.replace(co_consts=tuple(by if one == 1 << 40 else one for one in code.co_consts),
                            co_filename=plain_code.co_filename)

    builtins.__import__ = logged_import
    find_and_load.__code__ = hooked(logged_load)
    own_filters = {} # of warnings: of each root
    try:
        for name in roots:
            then = len(filters)
            plain_import(name)
            own_filters[name] = filters[:len(filters) - then]
    finally:
        builtins.__import__ = plain_import
        find_and_load.__code__ = plain_code

    # ---- what has changed, and back ----

    ahead = {name: module for name, module in modules.items() if name not in started}
    lengths = {name: len(vars(module)) for name, module in ahead.items()}
    keeps_state = {"logging", "multiprocessing", "concurrent", "asyncio", "site", "readline", "rlcompleter"}
    for name in ahead:
        top = name.partition(".")[0]
        if top not in roots and (top in keeps_state or not (top in sys.stdlib_module_names or "cython" in top)):
            raise ImportError(name)
    if atexit._ncallbacks() or _thread._count():
        raise ImportError("something is to be done at the end")
    parents = {} # modules that stand in a namespace since they have been imported
    for name, module in ahead.items():
        parent, _, child = name.rpartition(".")
        if parent and vars(modules[parent]).get(child) is module:
            parents[name] = (modules[parent], child)
    renamed = [] # importlib gives the two that were there before it other names
    for name, module in modules.items():
        if name in ahead or name == "__main__":
            continue
        now, then = vars(module), started[name]
        for key in [*now, *then]:
            if key in now and key in then and now[key] is then[key]:
                continue
            if name + "." + key in parents:
                continue
            if not name.startswith("_frozen_importlib"):
                raise ImportError(name + "." + key)
            if (now, key, now[key]) not in renamed:
                renamed.append((now, key, now[key]))
    for space, key, value in renamed:
        then = next(started[name] for name, module in modules.items() if vars(module) is space and name in started)
        if key in then:
            space[key] = then[key]
        else:
            del space[key]
    found = {name: finders.pop(name) for name in list(finders) if name not in finders_before}
    if filters[len(filters) - len(filters_before):] != filters_before:
        raise ImportError("warnings.filters")
    filters[:] = filters_before
    _warnings._filters_mutated()
    for name in ahead:
        del modules[name]

    def order_of(name, seen, order):
        if name in seen or name not in ahead:
            return order
        order_of(name.rpartition(".")[0], seen, order)
        if name in seen:
            return order
        seen.add(name)
        for kind, need in needs.get(name, ()):
            if kind == "import":
                order_of(need, seen, order)
            elif kind == "finder" and need in found:
                order.append((finders, need, found[need]))
            elif kind == "module" and need in ahead and need not in seen:
                seen.add(need)
                order.append((modules, need, ahead[need]))
        order.append((modules, name, ahead[name]))
        return order

    def close_together(order):
        """Names of their own, since to take one is to write to the page where it stands."""
        names = [bytes(name, "utf-8").decode() for _, name, _ in order]
        any(hash(name) == 0 for name in names) # each knows its own from here on
        return [(table, name, value) for name, (table, _, value) in zip(names, order)]

    orders = {}
    for name in roots:
        orders[name] = close_together(order_of(name, set(), []))
    if {name for order in orders.values() for _, name, _ in order} < set(ahead):
        raise ImportError("some came from nowhere")
    for name, (parent, child) in parents.items():
        over = vars(parent).get("__name__")
        if over not in ahead or name not in {key for _, key, _ in order_of(over, set(), [])}:
            delattr(parent, child)
        else:
            parents[name] = None
    tops = {name for name in ahead if "." not in name and getattr(ahead[name].__spec__, "has_location", False)}

    def is_shadowed():
        """As the path is now: whether any of them would be another file's."""
        now = sys.path
        if sys.meta_path != meta_path or sys.path_hooks != path_hooks or builtins.__import__ is not plain_import:
            return True
        first = len(now)
        for i in range(len(now)):
            if now[i:i + len(path)] == path:
                first = i
                break
        else:
            return True
        for entry in now[:first]:
            if PathFinder._path_importer_cache(entry) is None:
                continue
            try:
                names = posix.listdir(entry)
            except OSError:
                continue
            for one in names:
                if one.partition(".")[0] in tops:
                    return True
        return False

    def fresh(name, module):
        """What each process has for its own."""
        if name == "random":
            module._inst.seed()
        elif name == "threading":
            module._main_thread._set_native_id()
        elif name == "numpy.random.mtrand":
            module._rand.seed()
        elif name == "importlib":
            for space, key, value in renamed:
                space[key] = value

    special = {"random", "threading", "numpy.random.mtrand", "importlib"}
    back = set()

    def come_back(name):
        for table, key, value in orders[name] if name in orders else order_of(name, set(), []):
            if key in table:
                continue
            table[key] = value
            if table is not modules:
                continue
            back.add(key)
            if parents.get(key) is not None:
                parent, child = parents[key]
                setattr(parent, child, value)
            if key in special:
                fresh(key, value)
            if key in own_filters:
                filters[:0] = own_filters[key]
                _warnings._filters_mutated()
        if len(back) == len(ahead):
            find_and_load.__code__ = plain_code

    def find_or_load(name, import_):
        if name in ahead and name not in back and not is_shadowed():
            come_back(name)
            return modules[name]
        return load(name, import_)

    meta_path, path_hooks = list(sys.meta_path), list(sys.path_hooks)
    for one in (find_or_load, come_back, order_of, fresh, is_shadowed, load):
        one.__code__ = one.__code__.replace(co_filename=plain_code.co_filename)
    find_and_load.__code__ = hooked(find_or_load)
    gc.collect()
    started.clear()
    holders = {}
    for name in ("stdout", "stderr"):
        holders[name] = holders_of(getattr(sys, name), at_first)
    freeze_but(at_first, ahead["ctypes"])
    needed = {"threading", "warnings", "linecache"} # by the end itself

    def leave_out():
        """At an end as usual: what came ahead is not taken apart, unless the program has put something into it. Returns
        whether it is to be."""
        for name in back:
            if len(vars(ahead[name])) > lengths[name]:
                return True
        if None in holders.values():
            return True
        for stream, found in holders.items(): # which is written to the end when nobody has it any more
            for one, name in found:
                if name is not None:
                    setattr(one, name, None)
                else:
                    one.__defaults__ = None # the program does not call it any more
        for name in back:
            if name not in needed and modules.get(name) is ahead[name]:
                del modules[name]
        return False

    return set(ahead), {id(one) for own in own_filters.values() for one in own}, leave_out


came_ahead, filters_ahead, leave_out = import_ahead(preload)
