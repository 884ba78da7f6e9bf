# Modules that a warm CPython has imported before its script: stands between a line that init writes: preload, has_looked =
# ["numpy"], 1, and python.py, whose namespace is the same. docs/warm.md
#
# They are taken out of sys.modules again, with all that came with them, and come back when the program imports
# them: one by one with what each of them needs, in the order in which they would have been loaded. So a program that
# imports none of them does not see them, and one that imports some finds these, and no others.
import gc
import sys
import _frozen_importlib as bootstrap
from _frozen_importlib_external import ExtensionFileLoader, FileFinder, PathFinder
import _thread
import _warnings
import atexit
import builtins
import posix

modules, finders, filters = sys.modules, sys.path_importer_cache, _warnings.filters
for name in ("atexit", "gc"): # a program that has not imported them does not have them
    modules.pop(name, None)
at_first = gc.get_objects()
started = {name: dict(vars(module)) for name, module in modules.items()}
finders_before, filters_before, path_before = set(finders), list(filters), sys.path[has_looked:]
recursion_limit, frame_here = sys.getrecursionlimit, sys._getframe
filters_mutated, path_importer, listdir = _warnings._filters_mutated, PathFinder._path_importer_cache, posix.listdir

# The function of the import system that finds and loads what is not in sys.modules: it stays, and gets other code.
find_and_load = bootstrap._find_and_load_unlocked
plain_import, plain_code = builtins.__import__, find_and_load.__code__
load = type(find_and_load)(plain_code, find_and_load.__globals__, find_and_load.__name__)


def hooked(by):
    def _find_and_load_unlocked(name, import_):
        hook = 1 << 40
        return hook(name, import_)
    code = _find_and_load_unlocked.__code__
    return code.replace(co_consts=tuple(by if one == 1 << 40 else one for one in code.co_consts),
                        co_filename=plain_code.co_filename)


# ---- importing, with a record of who needs whom ----

needs = {}   # of a module: what it imports while it is loaded, and what else it leaves in the two tables, in order
loading = [] # from the outermost
seen_modules, seen_finders = set(modules), set(finders)


def note():
    """What has come without being loaded is of who is being loaded now."""
    if loading:
        needs[loading[-1]] += [("module", name) for name in modules if name not in seen_modules and name not in needs]
        needs[loading[-1]] += [("finder", name) for name in finders if name not in seen_finders]
    seen_modules.update(modules)
    seen_finders.update(finders)


def logged_import(name, globals=None, locals=None, fromlist=(), level=0):
    if loading:
        note()
        full = bootstrap._resolve_name(name, bootstrap._calc___package__(globals), level) if level > 0 else name
        parts = full.split(".")
        needs[loading[-1]] += [("import", ".".join(parts[:i + 1])) for i in range(len(parts))]
        needs[loading[-1]] += [("import", full + "." + one) for one in fromlist or () if type(one) is str and one != "*"]
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
    needs[name] = []
    loading.append(name)
    try:
        module = load(name, import_)
        note()
        return module
    finally:
        loading.pop()


def import_all(roots):
    """Returns the filters of warnings that each brings. The modules lie side by side, each in a place that has been kept for it:
    when they come back, they are written to, and with each the page where it stands."""
    places = [bytes(sys.getsizeof(sys) - 33) for _ in range(256)]

    def new_module(name):
        if places:
            places.pop() # what is allocated next, of this size, comes here
        return plain_module(name)

    own_filters = {}
    plain_module, bootstrap._new_module = bootstrap._new_module, new_module
    builtins.__import__ = logged_import
    find_and_load.__code__ = hooked(logged_load)
    try:
        for name in roots:
            if name in modules:
                raise ImportError(name + " is there already")
            then = len(filters)
            plain_import(name)
            own_filters[name] = filters[:len(filters) - then]
    finally:
        builtins.__import__ = plain_import
        find_and_load.__code__ = plain_code
        bootstrap._new_module = plain_module
    return own_filters


whole_path, sys.path = sys.path, list(path_before) # when it has looked at what stood in for the script, its folder is the first
own_filters = import_all(preload)
if sys.path != path_before:
    raise ImportError("sys.path")
sys.path = whole_path
ahead = {name: module for name, module in modules.items() if name not in started}

# ---- what has changed ----


def check_state():
    """Only what is known to have none of the process's: each run is to have its own."""
    with_state = {"logging", "multiprocessing", "concurrent", "asyncio", "site", "readline", "rlcompleter"}
    for name in ahead:
        top = name.partition(".")[0]
        if top not in preload and (top in with_state or not (top in sys.stdlib_module_names or "cython" in top)):
            raise ImportError(name)
    if atexit._ncallbacks() or _thread._count():
        raise ImportError("something is to be done at the end")
    if filters[len(filters) - len(filters_before):] != filters_before:
        raise ImportError("warnings.filters")


def find_parents():
    """Modules that stand in a package's namespace since they have been imported."""
    found = {}
    for name, module in ahead.items():
        parent, _, child = name.rpartition(".")
        if parent and vars(modules[parent]).get(child) is module:
            found[name] = (modules[parent], child)
    return found


def find_changes():
    """Of what was there before: importlib gives two modules other names, and nothing else may be changed."""
    found = {}
    for name, then in started.items():
        now = vars(modules[name])
        for key in [*now, *then]:
            if name == "__main__" or name + "." + key in parents or key in now and key in then and now[key] is then[key]:
                continue
            if not name.startswith("_frozen_importlib"):
                raise ImportError(name + "." + key)
            found[name, key] = now[key]
    return found


check_state()
parents = find_parents()
changes = find_changes()

# ---- and back ----


def order_of(name, seen, order):
    """What comes back with a module, each behind what it needs: (table, name, value)."""
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


def put_away():
    for (name, key), _ in changes.items():
        if key in started[name]:
            setattr(modules[name], key, started[name][key])
        else:
            delattr(modules[name], key)
    filters[:] = filters_before
    filters_mutated()
    for name in ahead:
        del modules[name]
    for name, (parent, child) in list(parents.items()):
        over = parent.__name__
        if over in ahead and name in {key for _, key, _ in order_of(over, set(), [])}:
            del parents[name] # it is there whenever its package is
        else:
            delattr(parent, child)


found = {name: finders.pop(name) for name in list(finders) if name not in finders_before}
renamed = [(modules[name], key, value) for (name, key), value in changes.items()]
put_away()
orders = {name: close_together(order_of(name, set(), [])) for name in preload}
if {name for order in orders.values() for _, name, _ in order} < set(ahead):
    raise ImportError("some came from nowhere")
tops = {name for name in ahead if "." not in name and getattr(ahead[name].__spec__, "has_location", False)}
meta_path, path_hooks, back = list(sys.meta_path), list(sys.path_hooks), set()
mixed, again = False, set()

# ---- coming back ----


def is_found_in(entry):
    """Whether any of them would be another file's, in an entry of the path that is looked into first."""
    if not isinstance(entry, str):
        return isinstance(entry, bytes) and sys.version_info < (3, 11) # others are passed over
    finder = path_importer(entry)
    if finder is None:
        return False
    names = tops
    if type(finder) is FileFinder:
        try:
            names = {one.partition(".")[0] for one in listdir(finder.path)} & tops
        except OSError:
            return False
    for name in names:
        spec = finder.find_spec(name)
        if spec is not None and spec.loader is not None and spec.origin != ahead[name].__spec__.origin:
            return True
    return False


def is_shadowed():
    """As the path is now."""
    now = sys.path
    if sys.meta_path != meta_path or sys.path_hooks != path_hooks or builtins.__import__ is not plain_import:
        return True
    first = 0
    while now[first:first + len(path_before)] != path_before:
        if first == len(now):
            return True
        first += 1
    for entry in now[:first]:
        if is_found_in(entry):
            return True
    return False


def is_overridden(name):
    """Whether the program has put another module in the place of one that would come back, or taken one away again."""
    for table, key, value in order_for(name):
        if table is modules and (key in table or key in back) and table.get(key) is not value:
            return True
    return False


def filters_now():
    return vars(modules["warnings"])["filters"] if "warnings" in modules else filters


def add_filters(own):
    """As warnings.filterwarnings() does, whose list a program may have replaced."""
    for one in reversed(own):
        try:
            filters_now().remove(one)
        except ValueError:
            pass
        filters_now().insert(0, one)
    filters_mutated()


def fresh(name, module):
    """What each process has for its own."""
    if name == "random":
        module._inst.seed()
    elif name == "threading":
        module._main_thread._set_native_id()
    elif name == "numpy.random.mtrand":
        module._rand.seed()
    elif name == "importlib":
        for one, key, value in renamed:
            setattr(one, key, value)


special = {"random", "threading", "numpy.random.mtrand", "importlib"}


def order_for(name):
    return orders[name] if name in orders else order_of(name, set(), [])


def come_back(name):
    for table, key, value in order_for(name):
        if key in table:
            continue
        table[key] = value
        if table is not modules:
            continue
        back.add(key)
        if key in parents:
            parent, child = parents[key]
            setattr(parent, child, value)
        if key in special:
            fresh(key, value)
        if key in own_filters:
            add_filters(own_filters[key])
    if len(back) == len(ahead):
        find_and_load.__code__ = plain_code


def import_needs(name):
    """An extension is not executed a second time: what it imports then, it would not."""
    if name in again or type(ahead[name].__spec__.loader) is not ExtensionFileLoader:
        return
    again.add(name)
    for kind, need in needs[name]:
        if kind == "import" and need in ahead and need not in modules:
            plain_import(need)


def load_again(name, import_):
    """From disk, though it is in memory: numpy would warn of that, and means somebody who has imported it twice."""
    import_needs(name)
    if name not in own_filters:
        return load(name, import_)
    unheard, now = ("ignore", None, UserWarning, None, 0), filters_now()
    now.insert(0, unheard)
    filters_mutated()
    try:
        return load(name, import_)
    finally:
        now[:] = [one for one in now if one is not unheard]
        filters_mutated()


def has_room():
    """For as many calls, one in the other, as it takes to load them from disk: numpy's need 90."""
    left, frame = recursion_limit() - 100, frame_here()
    while frame is not None and left > 0:
        left, frame = left - 1, frame.f_back
    return left > 0


def can_come_back(name):
    try:
        return has_room() and not is_overridden(name) and not is_shadowed()
    except BaseException: # what a program may have put into these tables, or no room to look at them
        return False


def find_or_load(name, import_):
    """Once one is loaded from disk, all are, that they do not mix."""
    global mixed
    if name not in ahead or name in back and name not in own_filters:
        return load(name, import_)
    if name in back or mixed or not can_come_back(name):
        mixed = True
        return load_again(name, import_)
    come_back(name)
    return modules[name]


# ---- what is left alone ----


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


def fill_pools():
    """What the program makes is to lie on pages of its own, not in gaps between what came ahead, each of which would be a page
    copied. Returns what fills them: one size after another, until many in a row come from a pool in its order, as from one
    that is new."""
    fillers = [None] * 400000
    count = 0
    for size in range(16, 513, 16):
        in_a_row, last = 0, 0
        while in_a_row < 16:
            one = object() if size == 16 else float(size) if size == 32 else bytes(size - 33)
            at = id(one)
            in_a_row = in_a_row + 1 if last < at < last + 4 * size and last >> 14 == at >> 14 else 0
            fillers[count] = one
            count, last = count + 1, at
    del fillers[count:]
    return fillers


def holders_of(stream):
    """Who came ahead and has it, as (function, None) or (object, attribute); None: somebody else, too."""
    found = []
    for one in gc.get_referrers(stream):
        if one is vars(sys) or one is globals() or one is at_first or type(one) is type(sys._getframe()):
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


needed = {"threading", "warnings", "linecache"} # by the end itself


def prepare_end():
    """Before an end as usual."""
    threading = modules.get("threading")
    if threading is not None:
        if threading is not ahead["threading"] or threading._shutdown is not shutdown:
            return 2 # it would be called twice
        calls[:2] = threading, shutdown
    return 0


def ends_unseen(types):
    for one in types:
        if one is None or has_end(one):
            return False
    return True


def leave_out():
    """When threads and callbacks have ended: what came ahead is not taken apart, nor what we have, unless somebody could see
    it. Returns whether it is to be."""
    find_and_load.__code__ = plain_code
    try:
        left = not threads() and None not in holders and ends_unseen(calls[3])
    except BaseException:
        left = False
    calls[3].clear()
    if not left:
        space.clear()
        return 2
    for found in holders: # of a stream, which is written to the end when nobody has it any more
        for one, name in found:
            if name is not None:
                setattr(one, name, None)
            else:
                one.__defaults__ = None # the program does not call it any more
    for name in back:
        if name not in needed and modules.get(name) is ahead[name]:
            del modules[name]
    outside.clear()
    return 0


for one in (find_or_load, can_come_back, has_room, come_back, import_needs, load_again, order_for, order_of, fresh, is_shadowed, is_overridden, is_found_in,
            filters_now, add_filters, load):
    one.__code__ = one.__code__.replace(co_filename=plain_code.co_filename)
gc.collect()
for name in ("random", "threading", "numpy.random.mtrand"): # now, or nobody could
    if name in ahead:
        fresh(name, ahead[name])
started.clear()
holders = [holders_of(sys.stdout), holders_of(sys.stderr)]
find_and_load.__code__ = hooked(find_or_load)
first = {id(one) for one in at_first}
first.update(id(one) for one in gc.get_referrers(sys.stdout, sys.stderr) if type(one) is tuple)
shutdown = ahead["threading"]._shutdown if "threading" in ahead else None
calls = [None, None, atexit._run_exitfuncs, [], prepare_end, leave_out, [one for one in gc.get_objects() if id(one) not in first and one is not at_first],
         [one for one in at_first if one is not vars(modules["__main__"])]]
kept = [ahead, needs, orders, found, own_filters, calls, fill_pools()]
kept.append(kept) # and never collected, since it is frozen: what is left out of the end stays as it is
freeze_but(at_first, ahead["ctypes"])
came_ahead, filters_ahead = set(ahead), {id(one) for own in own_filters.values() for one in own}
del at_first, first, started, one, name, posix, changes, whole_path
