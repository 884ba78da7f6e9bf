# What a warm CPython is prepared with, once, when it has started and has come to its script. docs/warm.md
#
# A forked interpreter spends most of its time on its end, when it takes every object apart, on pages that it then
# writes to for the first time. So an end that nobody could see is left out: finish() says whether it can be.
#
# This namespace is nobody's module: nothing of it is in sys.modules, builtins or __main__. Names are taken from
# builtins here, once, because a program may put others there. The garbage collector does not know its objects
# (stub_collector.h), so they cannot be taken to pieces: outside is what has to be let go.
# Mostly they are made apart (stub_apart.h): the interpreter knows nothing of them, none is ever freed, and they hold
# nothing; held is what they refer to.
# In front of it stands what came ahead: ahead.py, or a line that says nothing did.
import sys
before = list(sys.modules)
import gc
gc.disable()
import _thread
import _warnings
import _weakref
import atexit
import io
from _frozen_importlib_external import SourceFileLoader

below, next, reversed, id, len, list, map, set, type, vars = getattr, next, reversed, id, len, list, map, set, type, vars
references = sys.getrefcount
apart = calls is None and sys.version_info >= (3, 10)
names_of_sys = vars(sys)
tells_of_errors, reads_and_writes = sys.version_info >= (3, 13), {io.BufferedRandom}
outside = {"modules": sys.modules, "filters": _warnings.filters, "streams": (sys.__stdin__, sys.stdout, sys.stderr)}
gettrace, getprofile = sys.gettrace, sys.getprofile
allocated = sys.getallocatedblocks
unfreeze = gc.unfreeze if came_ahead else None
get_objects, get_stats, callbacks = gc.get_objects, gc.get_stats, atexit._ncallbacks
threads = _thread._count
mro_of = type.__dict__["__mro__"].__get__
dict_of = type.__dict__["__dict__"].__get__
reference = _weakref.ReferenceType

# Modules whose objects end unseen. Whatever else is imported that is not written in Python has the interpreter end as usual.
harmless = set("""
    __future__ _ast _bisect _blake2 _bz2 _collections _collections_abc _compat_pickle _compression _contextvars _csv
    _datetime _decimal _functools _hashlib _heapq _json _locale _lzma _md5 _opcode _operator _pickle _posixsubprocess
    _pydecimal _queue _random _sha1 _sha256 _sha3 _sha512 _signal _socket _sre _statistics _string _struct _typing _uuid
    _weakref _weakrefset abc argparse array ast atexit base64 binascii bisect bz2 calendar cmath collections
    collections.abc contextlib contextvars copy copyreg csv dataclasses datetime decimal dis enum errno fcntl fnmatch
    fractions functools genericpath gettext grp hashlib heapq hmac importlib importlib._abc importlib._bootstrap
    importlib._bootstrap_external inspect io itertools json json.decoder json.encoder json.scanner keyword linecache
    locale lzma math mmap numbers opcode operator os os.path pickle pprint pwd queue random re re._casefix re._compiler
    re._constants re._parser reprlib resource secrets select shutil signal sre_compile sre_constants sre_parse stat
    statistics string struct textwrap threading time timeit token tokenize traceback types typing typing.io typing.re
    unicodedata warnings weakref zlib
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
files = {io.TextIOWrapper, io.BufferedReader, io.BufferedWriter, io.BufferedRandom, io.FileIO, io.BytesIO, io.StringIO}
buffers = files - {io.TextIOWrapper}
text_file, of_open, module = io.TextIOWrapper, {"mode"}, type(sys)
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


def is_written_by_flush(one):
    """A file as open() makes it, and nobody's own: its end is to write what it still holds, whoever has it."""
    if type(one) is not text_file:
        return True
    return vars(one).keys() <= of_open and type(one.buffer) in buffers


def is_new_file(objects, kinds):
    """One that has more to do at its end than that."""
    for one in objects:
        if type(one) in kinds and id(one) not in old and not is_written_by_flush(one):
            return True
    return False


def has_other_filters(filters):
    """By which unfinished things, such as open files, would be told of."""
    if filters == filters_at_start:
        return False
    return [one for one in filters if id(one) not in filters_ahead and (one[0] != "ignore" or one in filters_at_start)] != filters_at_start


def write_out(left):
    """What they hold, in the order in which they were made. Returns whether all is said: errors at their end are nobody's before
    CPython 3.13. One who reads, too, makes an error once."""
    if tells_of_errors and reads_and_writes & set(map(type, left)):
        return False
    for one in left:
        try:
            one.flush()
        except Exception:
            if tells_of_errors:
                return False
    return True


def always(one):
    return True


def calls_back(one):
    callback = one.__callback__
    if type(callback) is function:
        return callback.__module__ not in ("weakref", "_weakrefset")
    return callback is not None and not (type(callback) is builtin and callback.__name__ == "_destroy") # _abc's


def names_of_ends():
    """More of them: somebody has put one on a class, maybe on one that was there before."""
    return references("__del__")


def and_below(stream):
    found = []
    while stream is not None:
        found.append(stream)
        stream = below(stream, "buffer", None) or below(stream, "raw", None)
    return found


def attributes(stream):
    """Of a stream and what is below it: a program may have given it a flush() of its own."""
    return [list(vars(one).items()) for one in and_below(stream)]


def is_python(one):
    """A module that is loaded from its text: all that it has is among the objects that are looked at."""
    return type(one) is module and type(below(one.__spec__, "loader", None)) is SourceFileLoader


def is_harmless(modules):
    """What is imported comes last, and only that is looked at: a page is copied with each name that is taken."""
    left = len(modules) - modules_at_start
    for name in reversed(modules):
        if left <= 0 and name == last_module:
            break
        left -= 1
        if name not in known and not is_python(modules[name]):
            return False
    return left >= 0 and not ("threading" in modules and modules["threading"]._threading_atexits)


def is_quiet():
    """Whether nobody waits for the end, and the streams are those of the start."""
    modules, filters, (_, stdout, stderr) = outside["modules"], outside["filters"], outside["streams"]
    if callbacks() or threads() or names_of_sys["stdout"] is not stdout or names_of_sys["stderr"] is not stderr:
        return False
    if has_other_filters(filters):
        return False
    return (apart or names_of_ends() == ends_at_start) and is_harmless(modules)


def files_left():
    """Those that hold something yet; None: more could be seen to end."""
    if list(map(attributes, outside["streams"])) != attributes_at_start:
        return None
    if allocated() - blocks > 4 * MOST: # a list of the objects would be memory that the program has not asked for
        return None
    # What has come since the start is young as long as the collector has not been there.
    objects = get_objects(0) if collections() == collected else get_objects()
    if len(objects) > MOST:
        return None
    kinds = set(map(type, objects))
    if is_new_file(objects, kinds & files):
        return None
    for kind in kinds - files:
        if has_end(kind):
            if is_new(objects, kind, always):
                return None
        elif type in mro_of(kind):
            if is_new(objects, kind, has_end):
                return None
        elif reference in mro_of(kind):
            if is_new(objects, kind, calls_back):
                return None
    return [one for one in objects if type(one) in files and id(one) not in old]


def collections():
    return [one["collections"] for one in get_stats()]


def finish(looked=False):
    """1: the end can be left out, and what was printed has been written. 0: the interpreter is to end as usual, and nothing is
    held here any more, unless modules came ahead: then it is to go on with what stands in calls. looked: no object could
    be seen to end (stub_end.h)."""
    try:
        left = None
        if is_quiet():
            left = [] if looked else files_left()
        if left is not None:
            for stream in outside["streams"][1:]:
                stream.flush()
            if write_out(left):
                return 1
    except BaseException:
        pass
    left = None
    if not apart:
        outside.clear()
    return 0


def stays(one):
    """As long as the interpreter, whoever refers to it, such as None: it needs no reference of ours, and a program that looks at
    their number finds that of a cold start."""
    if type(one) is type:
        return not one.__flags__ & 1 << 9 # Py_TPFLAGS_HEAPTYPE
    return one is None or one is True or one is False or one is ... or one == () or references(one) > 100000000


def referred_to(first):
    """What is not apart, and may end, and is referred to from there: beginning with an object that is."""
    here, met, found, left = id(first) >> 24, set(), [], [first]
    while left:
        one = left.pop()
        if id(one) in met:
            continue
        met.add(id(one))
        if id(one) >> 24 != here:
            if not stays(one):
                found.append(one)
            continue
        left += gc.get_referents(one)
        if type(one) is code:
            left += [one.co_consts, one.co_names, *one.co_varnames, *one.co_cellvars, *one.co_freevars]
            left += [one.co_filename, one.co_name, one.co_code, getattr(one, "co_qualname", None)]
    return found


for name in list(sys.modules):
    if name not in before:
        del sys.modules[name]
known, modules_at_start, last_module = harmless | set(sys.modules), len(sys.modules), next(reversed(sys.modules))
filters_at_start, attributes_at_start = list(_warnings.filters), list(map(attributes, outside["streams"]))
ends_at_start = names_of_ends()
space = globals()
collected = collections()
blocks = allocated()
old = {id(one) for one in get_objects()
       if type in mro_of(type(one)) or reference in mro_of(type(one)) or has_end(type(one))}
looked = (True,)
places = [id(one) + type(one).__dictoffset__ for stream in outside["streams"] for one in and_below(stream)]
ends = b"".join([one.to_bytes(8, "little") for one in (len(old), *sorted(old), *places, *collected)]) if len(places) == 9 else None
unended = [id(one) for one in get_objects() if type in mro_of(type(one)) and one.__flags__ & 1 << 9 and not has_end(one)]
unended = b"".join([one.to_bytes(8, "little") for one in (len(unended), *unended)])
held, end_name, code = [], "__del__", type(finish.__code__)
del before, name, atexit, io, _thread, _warnings, _weakref
if apart: # code that has never run, in place of what has: it would remember types by the numbers that they have got here
    for one in [one for one in space.values() if type(one) is function]:
        one.__code__ = one.__code__.replace()
    del sys
    held += referred_to(space)
else:
    gc.enable()
    del gc, held, code, referred_to
