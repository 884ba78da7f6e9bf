# What a warm CPython is prepared with, once, when it has started and has come to its script. docs/warm.md
#
# Two things cost a run most of its time: pages that it writes to for the first time, and the end of the interpreter,
# which takes every object apart. So what is there at the start is taken out of the garbage collector's sight
# (until somebody imports gc), and an end that nobody could see is left out: finish() says whether it can be.
#
# This namespace is nobody's module: nothing of it is in sys.modules, builtins or __main__. Names are taken from
# builtins here, once, because a program may put others there.
import sys
before = list(sys.modules)
import _frozen_importlib as bootstrap
import _thread
import _weakref
import atexit
import gc
import io

if sys.implementation.name != "cpython" or sys.version_info < (3, 8):
    raise SystemExit

frozenset, len, map, set, type = frozenset, len, map, set, type
modules, stdout, stderr = sys.modules, sys.stdout, sys.stderr
gettrace, getprofile = sys.gettrace, sys.getprofile
get_objects, unfreeze, callbacks = gc.get_objects, gc.unfreeze, atexit._ncallbacks
threads = _thread._count
mro_of = type.__dict__["__mro__"].__get__
dict_of = type.__dict__["__dict__"].__get__
reference = _weakref.ReferenceType

# Modules whose objects end unseen. Whatever else is imported has the interpreter end as usual.
harmless = frozenset("""
    __future__ _ast _bisect _blake2 _collections _collections_abc _contextvars _datetime _decimal _functools _hashlib _heapq
    _json _locale _md5 _opcode _operator _pydecimal _random _sha1 _sha256 _sha3 _sha512 _sre _statistics _string _struct
    _typing _weakref _weakrefset abc array ast base64 binascii bisect calendar cmath collections collections.abc copy
    copyreg dataclasses datetime decimal dis enum errno fractions functools genericpath hashlib heapq importlib
    importlib._abc importlib._bootstrap importlib._bootstrap_external inspect io itertools json json.decoder
    json.encoder json.scanner keyword linecache locale math numbers opcode operator os os.path pprint random re
    re._casefix re._compiler re._constants re._parser reprlib sre_compile sre_constants sre_parse stat statistics string
    struct textwrap time token tokenize traceback types typing typing.io typing.re unicodedata warnings weakref
    """.split())

def no_generator():
    yield

# Objects whose end can be seen: what a file still holds is written, what a generator still has to do is done.
seen_to_end = {type(no_generator()), io.TextIOWrapper, io.BufferedReader, io.BufferedWriter, io.BufferedRandom,
               io.BufferedRWPair, io.FileIO, io.IOBase, io.RawIOBase, io.BufferedIOBase, io.TextIOBase}
exec("async def f(): pass\nasync def g(): yield\n"
     "c = f(); kinds.add(type(c)); c.close(); kinds.add(type(g()))", {"kinds": seen_to_end, "type": type})
MOST = 50000 # objects; looking at more takes longer than ending them


def has_end(kind):
    for one in mro_of(kind):
        if "__del__" in dict_of(one) or one in seen_to_end:
            return True
    return False


def calls_back(one):
    callback = one.__callback__
    return callback is not None and type(callback) is type(no_generator) and \
        callback.__module__ not in ("weakref", "_weakrefset")


def finish():
    """1: nothing is left that could be seen to end, and what was printed is written. 0: end as usual."""
    if callbacks() or threads() or sys.stdout is not stdout or sys.stderr is not stderr:
        return 0
    if modules.keys() - at_start - harmless:
        return 0
    objects = get_objects()
    if len(objects) > MOST:
        return 0
    for kind in set(map(type, objects)):
        if has_end(kind):
            return 0
        if type in mro_of(kind):
            for one in objects:
                if type(one) is kind and has_end(one):
                    return 0
        elif reference in mro_of(kind):
            for one in objects:
                if type(one) is kind and calls_back(one):
                    return 0
    del objects
    stdout.flush()
    stderr.flush()
    return 1


def hook(load):
    def _load_unlocked(spec):
        if spec.name == "gc":
            unfreeze()
        return load(spec)
    # Tracebacks leave out what the import system does, by the name of its file.
    _load_unlocked.__code__ = _load_unlocked.__code__.replace(co_filename=load.__code__.co_filename)
    return _load_unlocked


bootstrap._load_unlocked = hook(bootstrap._load_unlocked)
for name in list(modules):
    if name not in before:
        del modules[name]
at_start = frozenset(modules)
gc.freeze()
