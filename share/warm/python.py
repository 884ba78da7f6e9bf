# What a warm CPython is prepared with, once, when it has started and has come to its script. docs/warm.md
#
# A forked interpreter spends most of its time on its end, when it takes every object apart, on pages that it then
# writes to for the first time. So an end that nobody could see is left out: finish() says whether it can be.
#
# This namespace is nobody's module: nothing of it is in sys.modules, builtins or __main__. Names are taken from
# builtins here, once, because a program may put others there. Objects are few, and none is left for the garbage
# collector: what it has seen, and when it comes next, decides about the order of a program's last words.
#
# In front of it stands a line that init writes: preload = ("numpy",), modules that are imported ahead.
import sys

# ---- modules imported ahead ----
#
# They are taken out of sys.modules again, with all that came with them, and come back when the program imports
# them: one by one with what each of them needs, in the order in which they would have been loaded. So a program that
# imports none of them does not see them, and one that imports some finds these, and no others.


def import_ahead(roots):
    import _frozen_importlib as bootstrap
    from _frozen_importlib_external import PathFinder
    import builtins
    import gc
    import posix
    import _warnings
    import atexit
    import _thread
    modules, finders, filters = sys.modules, sys.path_importer_cache, _warnings.filters
    if any(name in modules for name in roots):
        raise ImportError("it is there already")
    for name in ("atexit", "gc"): # a program that has not imported them does not have them
        modules.pop(name, None)
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

    orders = {}
    for name in roots:
        orders[name] = order_of(name, set(), [])
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
    gc.freeze() # a program's own collections leave it alone: to look at all of it would copy it
    return set(ahead), {id(one) for own in own_filters.values() for one in own}


came_ahead, filters_ahead = import_ahead(preload) if preload else (set(), set())

# ---- the end ----

before = list(sys.modules)
import gc
gc.disable()
import _thread
import _warnings
import _weakref
import atexit
import io

id, len, map, set, type, vars = id, len, map, set, type, vars
modules, stdout, stderr = sys.modules, sys.stdout, sys.stderr
gettrace, getprofile = sys.gettrace, sys.getprofile
allocated = sys.getallocatedblocks
get_objects, get_stats, callbacks = gc.get_objects, gc.get_stats, atexit._ncallbacks
threads = _thread._count
filters = _warnings.filters # unfinished things are told of where a program asks for it
plain = {"mode": "w"} # of a stream: nobody has given it a flush() of its own
mro_of = type.__dict__["__mro__"].__get__
dict_of = type.__dict__["__dict__"].__get__
reference = _weakref.ReferenceType

# Modules whose objects end unseen. Whatever else is imported has the interpreter end as usual.
harmless = set("""
    __future__ _ast _bisect _blake2 _collections _collections_abc _contextvars _datetime _decimal _functools _hashlib _heapq
    _json _locale _md5 _opcode _operator _pydecimal _random _sha1 _sha256 _sha3 _sha512 _sre _statistics _string _struct
    _typing _weakref _weakrefset abc array ast base64 binascii bisect calendar cmath collections collections.abc copy
    copyreg dataclasses datetime decimal dis enum errno fractions functools genericpath hashlib heapq importlib
    importlib._abc importlib._bootstrap importlib._bootstrap_external inspect io itertools json json.decoder
    json.encoder json.scanner keyword linecache locale math numbers opcode operator os os.path pprint random re
    re._casefix re._compiler re._constants re._parser reprlib sre_compile sre_constants sre_parse stat statistics string
    struct textwrap time token tokenize traceback types typing typing.io typing.re unicodedata warnings weakref
    """.split()) | came_ahead

def generator():
    yield

async def coroutine():
    pass

async def async_generator():
    yield

# Objects whose end can be seen: what a file still holds is written, what a generator still has to do is done.
waiting = coroutine()
seen_to_end = {type(generator()), type(waiting), type(async_generator()), io.TextIOWrapper, io.BufferedReader,
               io.BufferedWriter, io.BufferedRandom, io.BufferedRWPair, io.FileIO, io.IOBase, io.RawIOBase,
               io.BufferedIOBase, io.TextIOBase}
function, builtin = type(generator), type(gc.disable)
waiting.close()
del waiting, generator, coroutine, async_generator
MOST = 50000 # objects; looking at more takes longer than ending them


def has_end(kind):
    for one in mro_of(kind):
        if "__del__" in dict_of(one) or one in seen_to_end:
            return True
    return False


def is_new(objects, kind, seen):
    for one in objects:
        if type(one) is kind and id(one) not in old and seen(one):
            return True
    return False


def always(one):
    return True


def calls_back(one):
    callback = one.__callback__
    if type(callback) is function:
        return callback.__module__ not in ("weakref", "_weakrefset")
    return callback is not None and not (type(callback) is builtin and callback.__name__ == "_destroy") # _abc's


def is_unseen():
    """Whether nothing is left that could be seen to end; then what was printed has been written."""
    if callbacks() or threads() or sys.stdout is not stdout or sys.stderr is not stderr:
        return False
    if modules.keys() - at_start - harmless or vars(stdout) != plain or vars(stderr) != plain:
        return False
    if filters != filters_at_start and [one for one in filters if id(one) not in filters_ahead] != filters_at_start:
        return False
    if allocated() - blocks > 4 * MOST: # a list of the objects would be memory that the program has not asked for
        return False
    # What has come since the start is young as long as the collector has not been there.
    objects = get_objects(0) if collections() == collected else get_objects()
    if len(objects) > MOST:
        return False
    for kind in set(map(type, objects)):
        if has_end(kind):
            if is_new(objects, kind, always):
                return False
        elif type in mro_of(kind):
            if is_new(objects, kind, has_end):
                return False
        elif reference in mro_of(kind):
            if is_new(objects, kind, calls_back):
                return False
    del objects
    stdout.flush()
    stderr.flush()
    return True


def collections():
    return [one["collections"] for one in get_stats()]


def finish():
    """1: the end can be left out. 0: the interpreter is to end as usual, and nothing is held here any more."""
    try:
        if is_unseen():
            return 1
    except BaseException:
        pass
    space.clear()
    return 0


for name in list(modules):
    if name not in before:
        del modules[name]
at_start = set(modules)
filters_at_start = list(filters)
space = globals()
collected = collections()
blocks = allocated()
old = {id(one) for one in get_objects()
       if type in mro_of(type(one)) or reference in mro_of(type(one)) or has_end(type(one))}
del before, name, atexit, io, _thread, _warnings, _weakref
# A large request has malloc(3) merge all small pieces that were freed: here, once, or each program would, on pages of
# its own then.
bytearray(4096)
gc.enable()
del gc
