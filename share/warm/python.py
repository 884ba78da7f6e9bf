# What a warm CPython is prepared with, once, when it has started and has come to its script. docs/warm.md
#
# A forked interpreter spends most of its time on its end, when it takes every object apart, on pages that it then
# writes to for the first time. So an end that nobody could see is left out: finish() says whether it can be.
#
# This namespace is nobody's module: nothing of it is in sys.modules, builtins or __main__. Names are taken from
# builtins here, once, because a program may put others there. Objects are few, and none is left for the garbage
# collector: what it has seen, and when it comes next, decides about the order of a program's last words.
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

getattr, id, len, map, set, type, vars = getattr, id, len, map, set, type, vars
modules, stdout, stderr = sys.modules, sys.stdout, sys.stderr
gettrace, getprofile = sys.gettrace, sys.getprofile
allocated = sys.getallocatedblocks
unfreeze = gc.unfreeze if came_ahead else None
get_objects, get_stats, callbacks = gc.get_objects, gc.get_stats, atexit._ncallbacks
threads = _thread._count
filters = _warnings.filters # unfinished things are told of where a program asks for it
plain = {"mode": "w"} # of a stream: nobody has given it a flush() of its own
mro_of = type.__dict__["__mro__"].__get__
dict_of = type.__dict__["__dict__"].__get__
reference = _weakref.ReferenceType

# Modules whose objects end unseen. Whatever else is imported that is not written in Python has the interpreter end as usual.
harmless = set("""
    __future__ _ast _bisect _posixsubprocess _signal _socket _uuid atexit fcntl gc grp mmap pwd select signal
    _bisect _blake2 _bz2 _collections _collections_abc _compat_pickle _compression _contextvars _csv
    _datetime _decimal _functools _hashlib _heapq _json _locale _lzma _md5 _opcode _operator _pickle _pydecimal _queue
    _random _sha1 _sha256 _sha3 _sha512 _sre _statistics _string _struct _typing _weakref _weakrefset abc argparse array
    ast base64 binascii bisect bz2 calendar cmath collections collections.abc contextlib contextvars copy copyreg csv
    dataclasses datetime decimal dis enum errno fnmatch fractions functools genericpath gettext hashlib heapq hmac importlib
    importlib._abc importlib._bootstrap importlib._bootstrap_external inspect io itertools json json.decoder
    json.encoder json.scanner keyword linecache locale lzma math numbers opcode operator os os.path pickle pprint queue random
    re re._casefix re._compiler re._constants re._parser reprlib resource secrets shutil sre_compile sre_constants sre_parse
    stat statistics string struct textwrap threading time timeit token tokenize traceback types typing typing.io typing.re
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
text_file = io.TextIOWrapper
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
    return vars(one).keys() <= plain.keys() and type(one.buffer) in buffers


def is_new_file(objects, kinds):
    """One that has more to do at its end than that."""
    for one in objects:
        if type(one) in kinds and id(one) not in old and not is_written_by_flush(one):
            return True
    return False


def has_other_filters():
    """By which unfinished things, such as open files, would be told of."""
    if filters == filters_at_start:
        return False
    return [one for one in filters if id(one) not in filters_ahead and (one[0] != "ignore" or one in filters_at_start)] != filters_at_start


def write_out(objects, kinds):
    """What files that are still open hold, in the order in which they were made. As at their end, errors are nobody's."""
    for one in objects:
        if type(one) in kinds and id(one) not in old:
            try:
                one.flush()
            except Exception:
                pass


def always(one):
    return True


def calls_back(one):
    callback = one.__callback__
    if type(callback) is function:
        return callback.__module__ not in ("weakref", "_weakrefset")
    return callback is not None and not (type(callback) is builtin and callback.__name__ == "_destroy") # _abc's


def is_python(module):
    """Loaded from its text: all that it has is among the objects below."""
    return type(module) is type(sys) and type(getattr(module.__spec__, "loader", None)) is SourceFileLoader


def has_callbacks_of_threads():
    return bool("threading" in modules and modules["threading"]._threading_atexits)


def is_unseen():
    """Whether nothing is left that could be seen to end; then what was printed has been written."""
    if callbacks() or threads() or has_callbacks_of_threads() or sys.stdout is not stdout or sys.stderr is not stderr:
        return False
    if vars(stdout) != plain or vars(stderr) != plain:
        return False
    for name in modules.keys() - known:
        if not is_python(modules[name]):
            return False
    if has_other_filters():
        return False
    if allocated() - blocks > 4 * MOST: # a list of the objects would be memory that the program has not asked for
        return False
    # What has come since the start is young as long as the collector has not been there.
    objects = get_objects(0) if collections() == collected else get_objects()
    if len(objects) > MOST:
        return False
    kinds = set(map(type, objects))
    open_files = kinds & files
    if is_new_file(objects, open_files):
        return False
    for kind in kinds - open_files:
        if has_end(kind):
            if is_new(objects, kind, always):
                return False
        elif type in mro_of(kind):
            if is_new(objects, kind, has_end):
                return False
        elif reference in mro_of(kind):
            if is_new(objects, kind, calls_back):
                return False
    stdout.flush()
    stderr.flush()
    write_out(objects, open_files)
    del objects
    return True


def collections():
    return [one["collections"] for one in get_stats()]


def finish():
    """1: the end can be left out. 0: the interpreter is to end as usual, and nothing is held here any more, unless modules
    came ahead: then it is to go on with what stands in calls. 2: all is to be taken apart."""
    try:
        if is_unseen():
            return 1
    except BaseException:
        pass
    if calls is not None:
        return prepare_end()
    space.clear()
    return 0


for name in list(modules):
    if name not in before:
        del modules[name]
known = harmless | set(modules)
filters_at_start = list(filters)
space = globals()
collected = collections()
blocks = allocated()
old = {id(one) for one in get_objects()
       if type in mro_of(type(one)) or reference in mro_of(type(one)) or has_end(type(one))}
del before, name, atexit, io, _thread, _warnings, _weakref
gc.enable()
del gc
