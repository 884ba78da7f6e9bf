"""Warm interpreters: whatever a program prints, and however it ends, is what a cold start gives.

Each program of programs.txt runs cold, and twice warm, with a program in between that spoils all it can reach: stdout,
stderr, status, exit code and the process peak have to be the same. In the file "#<" is the input, "#@" arguments,
"#!" variables, before the program itself."""
import io
import os
import platform
import re
import shutil
import subprocess
import sys
import zipfile

import pytest

from service import MIB, Service

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: a warm interpreter has a uid of its own")

HERE = os.path.dirname(os.path.abspath(__file__))
SLOW = float(os.environ.get("CJUDGE_SLOW", "1")) # this machine is slower than one by that: limits on time are longer
ENVIRONMENT = ["PATH=/usr/local/bin:/usr/bin:/bin", "HOME=/w", "LANG=C.UTF-8", "OMP_NUM_THREADS=1"]

POISON = {
    "builtins": "import builtins, sys\n"
                "for n in ('print', 'len', 'open', 'input', 'set', 'map', 'type', '__import__', 'Exception'):\n"
                "    setattr(builtins, n, None)\n",
    "modules": "import sys, os, json, types\nsys.modules['heapq'] = 7\nsys.modules['zzz'] = types.ModuleType('zzz')\n"
               "os.getcwd = lambda: 'poisoned'\njson.loads = None\nsys.path[:] = ['/nowhere']\nsys.argv[:] = ['x']\n"
               "sys.meta_path.clear(); sys.path_hooks.clear()\n",
    "importlib": "import _frozen_importlib as b, _imp, _io\nb._load_unlocked = None; b._find_spec = None; "
                 "_imp.create_builtin = None\n_io.open = None\n",
    "descriptors": "import os\nos.dup2(os.open('/dev/null', os.O_RDWR), 1)\nos.closerange(0, 64)\n",
    "threads": "import threading, time\nfor i in range(20):\n"
               "    threading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n",
    "files": "import os\nfor d in ('.', '/tmp', '/dev/shm'):\n    for n in ('json.py', 'sitecustomize.py', "
             "'usercustomize.py', 'encodings.py', 'x'):\n        open(d + '/' + n, 'w').write('1/0')\n"
             "os.makedirs('.local/lib/python3.11/site-packages')\n"
             "open('.local/lib/python3.11/site-packages/p.pth', 'w').write('import zzz')\n",
    "environment": "import os\nos.environ.clear(); os.environ['PYTHONPATH'] = '/tmp'; os.putenv('LD_PRELOAD', '/w/x')\n"
                   "os.umask(0o777); os.chdir('/tmp')\n",
    "processes": "import os, time\nfor i in range(10):\n    if os.fork() == 0:\n        os.setsid(); time.sleep(60)\n",
    "signals": "import signal, os\nfor s in range(1, 32):\n    try: signal.signal(s, signal.SIG_IGN)\n"
               "    except Exception: pass\nfor p in range(2, 60):\n    for s in (9, 15, 19):\n"
               "        if p != os.getpid():\n            try: os.kill(p, s)\n            except OSError: pass\n"
               "os.kill(-1, 9)\n",
    "exits": "import os, atexit, sys\natexit.register(lambda: os._exit(9))\nsys.exit = None\n",
    "limits": "import resource\nfor n in dir(resource):\n    if n.startswith('RLIMIT_'):\n"
              "        try: resource.setrlimit(getattr(resource, n), (1, 1))\n        except Exception: pass\n",
    "gc": "import gc\ngc.disable(); gc.freeze(); gc.set_threshold(1); gc.callbacks.append(print)\n",
    "segfault": "import ctypes\nctypes.string_at(1)\n",
    "memory": "x = []\nwhile True: x.append(bytearray(1 << 22))\n",
}


class Program:
    def __init__(self, name, text):
        self.name = name
        self.stdin, self.args, self.env = "", [], []
        lines = text.split("\n")
        while lines and lines[0].startswith(("#< ", "#@ ", "#! ")):
            kind, value = lines[0][:2], lines.pop(0)[3:]
            if kind == "#<":
                self.stdin = value.encode("latin-1", "backslashreplace").decode("unicode_escape")
            elif kind == "#@":
                self.args = value.split()
            else:
                self.env.append(value)
        self.source = "\n".join(lines)
        if name == "bom":
            self.source = "\ufeff" + self.source
        if name == "crlf":
            self.source = self.source.replace("\n", "\r\n")
        if name == "no_newline_at_end":
            self.source = self.source.rstrip("\n")
        if name == "big_source":
            self.source += "# comment\n" * 30000

    def request(self, **limits):
        names = {entry.split("=")[0] for entry in self.env}
        env = [entry for entry in ENVIRONMENT if entry.split("=")[0] not in names] + self.env
        request = {"warm": True, "args": ["python3", "main.py", *self.args], "env": env,
                "files": [{"content": self.stdin}, {"name": "stdout", "max": MIB}, {"name": "stderr", "max": MIB}],
                "cpuLimit": 2_000_000_000, "clockLimit": 10_000_000_000, "memoryLimit": 256 * MIB, "procLimit": 30,
                "copyIn": {"main.py": {"content": self.source}}, **limits}
        for name in ("cpuLimit", "clockLimit"):
            request[name] = round(request[name] * SLOW)
        return request


def load(path):
    with open(path, encoding="utf-8") as file:
        parts = re.split(r"^### (\w+)\n", file.read(), flags=re.M)[1:]
    return [Program(name, text) for name, text in zip(parts[::2], parts[1::2])]


# Words that choose the interpreter without modules ahead (src/exec/warm_preload.c).
TELLING = re.compile(r"\b_*(imp|importlib|import__|frozen_importlib\w*|builtins|meta_path|modules|path_hooks|path_importer_cache|pkgutil|reload|"
                     r"runpy|subclasses__|gc|getallocatedblocks|getrefcount|tracemalloc|settrace|setprofile|environ|putenv|del__|atexit|"
                     r"weakref|setrlimit|run_exitfuncs|spec__|exec\w*|fork\w*|popen|spawn\w*|IOBase|savez\w*|testing|help|simplefilter|daemon)\b")
# Modules whose import does the same, in a statement.
USUAL_END = re.compile(r"(\b(?:import|from)|,) +(?=(?:_frozen_importlib|asyncio|atexit|builtins|bz2|concurrent|doctest|gc|gzip|imp|importlib|logging|lzma|"
                       r"multiprocessing|pickletools|pkgutil|runpy|secrets|shutil|socket|sqlite3|statistics|subprocess|tempfile|timeit|tracemalloc|"
                       r"unittest|weakref|xml|zipfile|zipimport)\b)")


def hidden(program):
    """The same names in letters that Python takes for these, and the service does not (NFKC, PEP 3131): what the text's look leaves to
    chance has to do as well. Names in a statement that imports stand in a line of their own, and "yield" cannot be hidden."""
    def disguise(match):
        word = match[0]
        at = re.search("[a-z]", word).start()
        return word[:at] + chr(0x1d5ba + ord(word[at]) - ord("a")) + word[at + 1:]
    other = Program(program.name + "_hidden", "")
    other.stdin, other.args, other.env = program.stdin, program.args, program.env
    other.source = TELLING.sub(disguise, USUAL_END.sub("\\g<1> \\\\\n", program.source))
    return other


def with_hidden(programs):
    both = [(program, hidden(program)) for program in programs if program.name.startswith("numpy_")]
    return programs + [other for program, other in both if other.source != program.source]


PROGRAMS = load(os.path.join(HERE, "programs.txt"))
WIDE = load(os.path.join(HERE, "numpy.txt"))  # whatever people do with numpy; each time some of them, unless all are wanted
if "CJUDGE_WARM_ALL" not in os.environ:
    WIDE = WIDE[os.getpid() % 6::6]
PROGRAMS = with_hidden(PROGRAMS + WIDE)
# A part of them, where a machine is slow: every so many.
NUMBERS = range(int(os.environ.get("CJUDGE_WARM_FIRST", "0")), len(PROGRAMS), int(os.environ.get("CJUDGE_WARM_STEP", "1")))
# Not exactly an interpreter and its script, or a variable that what loads it might obey.
ALWAYS_COLD = {"optimize", "dev_mode"}
# They look at the clock.
NEED_SPEED = {"process_time"}
# A cold start of 3.13 orders these now so, now so.
VARY = {"order_of_instances"} if sys.version_info >= (3, 13) else set()
# Where classes lie after a cold start hangs on the length of the script, as long as that is short (docs/warm.md).
SHORT = {"order_of_classes", "order_after_imports"}
# What a process of init's knows of itself that one of an interpreter's does not, or the other way round.
KNOWN = {}


@pytest.fixture(scope="module")
def services(cjudge, tmp_path_factory):
    options = ("-parallelism", 1, "-no-pinning")
    with Service(cjudge, *options, "-warm-runs", 0, folder=str(tmp_path_factory.mktemp("cold"))) as cold, \
            Service(cjudge, *options, "-warm-runs", 500, folder=str(tmp_path_factory.mktemp("warm"))) as warm:
        if any("no interpreter is kept warm" in line.get("message", "") for line in warm.log()):
            pytest.skip("this host keeps no interpreter warm: " + warm.log_text())
        yield cold, warm
        assert warm.process.poll() is None, warm.log_text()
        assert "not kept warm" not in warm.log_text()


def plain(text):
    """Without addresses, which no two starts have in common."""
    return re.sub(r"0x[0-9a-f]{6,}|started \d+", "ADDRESS", text)


def facts(result):
    return {"status": result["status"], "exit": result["exitStatus"], "stdout": plain(result["files"]["stdout"]),
            "stderr": plain(result["files"]["stderr"]), "error": result.get("error"),
            "one": result.get("procPeak", 1) == 1}


def run(service, program, **limits):
    return service.run(program.request(**limits))


def warm_run(service, program):
    """Until an interpreter is there for it: it has to be wanted twice."""
    for _ in range(4):
        result = run(service, program)
        if result.get("warm"):
            break
    return result


def has_numpy():
    return subprocess.run(["/usr/bin/python3", "-c", "import numpy"], stderr=subprocess.DEVNULL, check=False).returncode == 0


@pytest.mark.parametrize("number", NUMBERS, ids=[PROGRAMS[number].name for number in NUMBERS])
def test_warm_is_cold(services, number):
    cold, warm = services
    program = PROGRAMS[number]
    if program.name.startswith("numpy_") and not has_numpy():
        pytest.skip("no numpy: apt-get install python3-numpy")
    if program.name in NEED_SPEED and SLOW > 1:
        pytest.skip("a slow machine")
    if program.name in VARY:
        pytest.skip("cold starts vary")
    if program.name in SHORT:
        program = Program(program.name, program.source + "#" * 1500 + "\n")
    expected = facts(run(cold, program))
    names = list(POISON)
    first = warm_run(warm, program)
    poison = Program("poison", POISON[names[number % len(names)]])
    run(warm, poison)
    second = warm_run(warm, program)
    assert facts(first) == expected
    assert facts(second) == expected
    wanted = program.name not in ALWAYS_COLD and not program.args
    assert (bool(first.get("warm")), bool(second.get("warm"))) == (wanted, wanted)


def zip_of(source):
    """An archive of nothing but ASCII, so that it can be the content of a file in JSON."""
    for number in range(100000):
        file, entry = io.BytesIO(), zipfile.ZipInfo("__main__.py", (1980, 1, 1, 0, 0, 0))
        entry.external_attr = 1
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr(entry, f"{source}\n# {number} ".ljust(300, "#"))
        if file.getvalue().isascii():
            return file.getvalue().decode()
    raise AssertionError("none found")


SEES = "import sys\nprint(sys.path[0], sys.argv, __file__, __spec__, sorted(sys.path_importer_cache.items(), key=str)[-1], sys.path_importer_cache.get('/w/main.py', 0))\n"
SCRIPTS = {  # what is the script, what is copied in, whether it can be warm
    "absolute": ("/w/main.py", {"main.py": SEES}, True),
    "here": ("./main.py", {"main.py": SEES}, True),
    "below": ("sub/main.py", {"sub/main.py": SEES}, True),
    "other name": ("x", {"x": SEES}, True),
    "empty": ("main.py", {"main.py": ""}, True),
    "short": ("main.py", {"main.py": "print(1)"}, True),
    "archive": ("main.py", {"main.py": zip_of(SEES)}, True),
    "archive behind a text": ("main.py", {"main.py": "#!/usr/bin/python3\n" + zip_of(SEES)}, True),
    "almost an archive": ("main.py", {"main.py": SEES + "# PK\x05\x06 and no more than that, but long enough\n"}, True),
    "folder": ("main.py", {"main.py/__main__.py": SEES}, True),
    "missing": ("main.py", {"other.py": SEES}, True),
    "link": ("main.py", {"real/other.py": SEES, "main.py": {"symlink": "real/other.py"}}, True),
    "syntax error": ("main.py", {"main.py": "print(1\n"}, True),
    "null byte": ("main.py", {"main.py": "print(1)\0\n"}, True),
    "no right encoding": ("main.py", {"main.py": "# coding: nonsense\n"}, True),
    "compiled, by its name": ("main.pyc", {"main.pyc": SEES}, True),
    "stands in the way of a module": ("main.py", {"main.py": "import heapq\nprint(heapq.x)\n", "heapq.py": "x = 7\n"}, True),
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_scripts_of_all_kinds(services, name):
    script, files, can_be_warm = SCRIPTS[name]
    request = Program("script", "").request()
    request["args"] = ["python3", script]
    request["copyIn"] = {path: text if isinstance(text, dict) else {"content": text} for path, text in files.items()}
    cold, warm = services
    expected = facts(cold.run(request))
    results = [warm.run(request) for _ in range(4)]
    assert [facts(result) for result in results] == [expected] * 4
    assert bool(results[-1].get("warm")) == can_be_warm


def test_there_are_enough_programs():
    assert len(PROGRAMS) >= 150 and len({program.name for program in PROGRAMS}) == len(PROGRAMS)


def test_results_say_it_only_to_who_asks(services):
    _, warm = services
    hello = next(program for program in PROGRAMS if program.name == "hello")
    assert warm_run(warm, hello)["warm"]
    assert "warm" not in warm.run(hello.request(warm=None))
    assert "warm" not in warm.run(hello.request(warm=False))
    assert [run(warm, hello)["warm"] for _ in range(2)] == [True, True]


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the stub is written for x86-64")
@pytest.mark.skipif(not shutil.which("gcc") or not shutil.which("objdump"), reason="no gcc and objdump")
def test_the_stub_stands_alone(tmp_path):
    """It runs at another address, in a process whose C library and vector registers are not its own."""
    source = os.path.join(HERE, "..", "..", "src", "init")
    compiled = str(tmp_path / "stub.o")
    subprocess.run(["gcc", "-std=gnu17", "-D_GNU_SOURCE", "-O2", "-fno-strict-aliasing", "-fstack-protector-strong", "-I",
                    source, "-I", os.path.join(source, "include"), "-c", os.path.join(source, "stub.c"), "-o", compiled],
                   check=True)
    text = subprocess.run(["objdump", "-dr", "-j", "cj_stub", compiled], check=True, capture_output=True, text=True).stdout
    assert len(text.splitlines()) > 300
    assert re.findall(r".*(?:R_X86_64|[xyz]mm\d|%fs).*", text) == []
    assert re.findall(r"\scall +[^*\s].*", text) == [] # but what it was given an address of
