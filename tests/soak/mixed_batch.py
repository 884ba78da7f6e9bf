#!/usr/bin/env python3
"""Long batches of mixed submissions, a twentieth of them hostile, while both doors have other clients.

    python3 tests/soak/mixed_batch.py --cjudge build/cjudge [--submissions 2000] [--rounds 2]

Python and C++, honest (right, wrong, failing, not compiling) and hostile (fork bombs, memory, floods, sleeps, spies
that look for expected outputs and other submissions, compilers abused). Meanwhile two clients of :5050 compile
programs, keep them and run them, and single submissions are judged by a process that takes the time of each. Every
verdict, output and error is checked, in each round. Single ones may wait, in the 99th of 100 cases, twice as long as
without a batch and a job's own time. Leaves with 1 on a difference. Standard library only."""
import argparse
import collections
import contextlib
import http.client
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "../threats"), os.path.join(HERE, "../table"), os.path.join(HERE, "../e2e")]

import host  # noqa: E402
from mixed_requests import Client, Wrong, expect, quantiles, told  # noqa: E402
from service import SANITIZED, Service, collector, command  # noqa: E402

MIB = 1 << 20
HOSTILE_PART = 0.05
CPP_PART = 0.35
CLOSING = "Suicide from timeout.\n"
GROWTH_BYTES = 32 * MIB  # of the service, from one round to the next
TIMES_OUT = {"worker_timeout"}
KILLED = {"worker_timeout", ""}  # whichever limit comes first


class Case:
    """A submission, and what has to come of it. None: not looked at."""

    def __init__(self, kind, solution, *, given=None, expected=None, success=True, run=None, reasons=("",), printed=None,
                 said=None):
        self.kind, self.solution, self.given, self.expected = kind, solution, given, expected
        self.success, self.run = success, success if run is None else run
        self.reasons, self.printed, self.said = reasons, printed, said

    def check(self, result):
        wrong = []
        if (result["success"], result["run_success"]) != (self.success, self.run):
            wrong.append(f"(success, run_success) is not {(self.success, self.run)}")
        if result["reason"] not in self.reasons:
            wrong.append(f"the reason is none of {self.reasons}")
        if self.printed is not None and result["stdout"] != self.printed[:1000]:
            wrong.append(f"stdout is not {self.printed[:200]!r}")
        if self.said is not None and not any(text in (result["stderr"] or "") for text in self.said):
            wrong.append(f"stderr has none of {self.said}")
        return wrong


# ---- honest programs. Each gets (chance, mark); mark is a line of the source that nobody else may see ----

def adds(chance, _):
    numbers = [chance.randrange(-10**9, 10**9) for _ in range(chance.randrange(1, 50))]
    return Case("python", "print(sum(map(int, input().split())))", given=" ".join(map(str, numbers)),
                expected=f"{sum(numbers)}", printed=f"{sum(numbers)}\n")


def is_wrong(chance, _):
    number = chance.randrange(1000)
    return Case("python", "print(input())", given=f"{number}", expected=f"{number + 1}", success=False, run=True, printed=f"{number}\n")


def meets_the_end(_, __):
    return Case("python", "print(input())", given="", expected="a", success=False, said=["EOFError: EOF when reading a line"], printed="")


def exits(chance, _):
    code = chance.randrange(1, 256)
    return Case("python", f"import sys\nprint('out')\nprint('err', file=sys.stderr)\nsys.exit({code})", expected="out", success=False,
                printed="out\n", said=["err\n"])


def is_no_python(_, __):
    return Case("python", "print((1)\n", success=False, said=["SyntaxError"], printed="")


def speaks_unicode(chance, _):
    text = "".join(chance.choice("aé€𝄞 ") for _ in range(chance.randrange(1, 1500))).strip() + "."
    return Case("python", "import sys\nprint(sys.stdin.readline())", given=text, expected=text, printed=text + "\n")


def finds_it_fresh(_, __):
    return Case("python", """
import os
found = sorted(os.listdir(".") + os.listdir("/tmp") + os.listdir("/dev/shm"))
# of this identity: init, and an interpreter that is kept warm (docs/warm.md), are none that a run has left
found += [pid for pid in os.listdir("/proc") if pid.isdigit() and pid != str(os.getpid()) and os.stat("/proc/" + pid).st_uid == os.getuid()]
print(found)
open("/tmp/a", "w").write("x"); open("/dev/shm/b", "w").write("x"); os.makedirs("c/d")
""", expected="['main.py']", printed="['main.py']\n")


def prints_much(chance, _):
    count = chance.randrange(10000, 60000)
    text = "".join(f"{i}\n" for i in range(count))
    return Case("python", f"for i in range({count}): print(i)", expected=text, printed=text)


def has_threads(_, __):
    return Case("python", """
import threading
sums = []
threads = [threading.Thread(target=lambda n=n: sums.append(sum(range(n)))) for n in range(8)]
for t in threads: t.start()
for t in threads: t.join()
print(sorted(sums))
""", expected=str(sorted(sum(range(n)) for n in range(8))))


def has_children(chance, _):
    number = chance.randrange(10**6)
    return Case("python", f"import subprocess\nprint(subprocess.run(['/bin/echo', '{number}'], capture_output=True, text=True).stdout)",
                expected=f"{number}", printed=f"{number}\n\n")


def takes_what_it_may(_, __):
    return Case("python", "b = bytearray(b'x') * (64 << 20)\nprint(len(b))", expected=f"{64 << 20}")


def naps(_, __):
    return Case("python", "import time\ntime.sleep(0.2)\nprint('awake')", expected=" awake\n\n", printed="awake\n")


def cpp_adds(chance, _):
    a, b, c = (chance.randrange(10**6) for _ in range(3))
    return Case("cpp", f"#include <cstdio>\nint main() {{ long a, b; if (scanf(\"%ld %ld\", &a, &b) != 2) return 1; "
                       f"printf(\"%ld\\n\", a + b + {c}); }}", given=f"{a} {b}", expected=f"{a + b + c}", printed=f"{a + b + c}\n")


def cpp_echoes(chance, _):
    text = " ".join(str(chance.randrange(10**6)) for _ in range(20))
    return Case("cpp", "#include <iostream>\n#include <string>\nint main() { std::string s; std::getline(std::cin, s); std::cout << s; }",
                given=text, expected=text, printed=text)


def cpp_is_wrong(chance, _):
    number = chance.randrange(10**6)
    return Case("cpp", f"#include <cstdio>\nint main() {{ puts(\"{number}\"); }}", expected=f"{number}0", success=False, run=True,
                printed=f"{number}\n")


def is_no_cpp(chance, _):
    return Case("cpp", f"int main() {{ stray{chance.randrange(10**6)} }}", expected="a", success=False, printed="", said=["error: ", "stray"])


def cpp_crashes(chance, _):
    how = chance.choice(("*(volatile int *)8 = 1;", "__builtin_trap();", "raise(SIGABRT);", "return 3;"))
    return Case("cpp", f"#include <csignal>\n#include <cstdio>\nint main() {{ puts(\"a\"); fflush(stdout); {how} }}", expected="a",
                success=False, printed="a\n")


def cpp_recurses(_, __):
    return Case("cpp", "#include <cstdio>\nint f(int n) { volatile char b[64]; b[0] = 1; return n == 0 ? 0 : f(n - 1) + b[0]; }\n"
                       "int main() { printf(\"%d\", f(20000)); }", expected="20000")


HONEST_PYTHON = [(12, adds), (3, is_wrong), (3, meets_the_end), (3, exits), (2, is_no_python), (2, speaks_unicode), (5, finds_it_fresh),
                 (2, prints_much), (2, has_threads), (2, has_children), (1, takes_what_it_may), (1, naps)]
HONEST_CPP = [(8, cpp_adds), (2, cpp_echoes), (3, cpp_is_wrong), (3, is_no_cpp), (4, cpp_crashes), (1, cpp_recurses)]


# ---- hostile programs ----

def fork_bomb(chance, _):
    if chance.random() < 0.5:
        return Case("cpp", "#include <unistd.h>\nint main() { for (;;) fork(); }", expected="a", success=False, reasons=KILLED)
    return Case("python", "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass", expected="a", success=False, reasons=KILLED)


def memory_bomb(chance, _):
    if chance.random() < 0.5:
        return Case("cpp", "#include <cstdlib>\n#include <cstring>\nint main() { for (;;) memset(malloc(1 << 20), 1, 1 << 20); }", expected="a",
                    success=False, said=["Memory limit of 256 MiB exceeded.\n"])
    return Case("python", "a = []\nwhile True: a.append(bytearray(b'x') * (1 << 20))", expected="a", success=False,
                said=["Memory limit of 384 MiB exceeded.\n"])


def floods(chance, _):
    if chance.random() < 0.5:
        return Case("cpp", "#include <unistd.h>\nstatic char b[65536];\nint main() { for (;;) write(2, b, sizeof b); }", expected="a",
                    success=False, reasons=KILLED, printed="")
    return Case("python", "while True: print('x' * 10000)", expected="a", success=False, reasons=KILLED, printed="x" * 1000)


def sleeps(chance, _):
    if chance.random() < 0.5:
        return Case("cpp", "#include <csignal>\n#include <unistd.h>\nint main() { for (int i = 1; i < 65; i++) signal(i, SIG_IGN); "
                           "for (;;) pause(); }", expected="a", success=False, reasons=TIMES_OUT, printed=CLOSING)
    return Case("python", "import time\nprint('a', flush=True)\ntime.sleep(1000)", expected="a", success=False, reasons=TIMES_OUT,
                printed="a\n" + CLOSING)


def spins(_, __):
    return Case("python", "while True: pass", expected="a", success=False, reasons=KILLED)


def fills_the_disk(_, __):
    return Case("python", """
import errno
try:
    with open("/tmp/f", "wb") as f:
        while True: f.write(bytes(1 << 20))
except OSError as error:
    print(errno.errorcode[error.errno])
""", expected="ENOSPC")


def kills_all(_, __):
    return Case("python", "import os\ntry: os.kill(-1, 9)\nexcept OSError: pass\nprint('alive')", expected="alive", printed="alive\n")


def leaves_a_daemon(_, __):
    return Case("python", """
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        time.sleep(0.2)
        while True:
            try: open("/tmp/late", "w").write("x"); open("/w/late", "w").write("x"); os.write(1, b"late")
            except OSError: pass
    os._exit(0)
os.wait()
print("left")
""", expected="left", printed="left\n")


SPY = r"""
import os, re, socket, sys
# what every source and every expected output of this batch has in it; not written here as one word
mark = re.compile(b"SEC" + b"RET-[0-9a-f]{16}")
own = set(mark.findall(open(sys.argv[0], "rb").read()))
found = set()

def look(path, size=1 << 22):
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return
    try:
        found.update(mark.findall(os.read(fd, size)))
    except OSError:
        pass
    os.close(fd)

for top in ("/w", "/w/../w", "/tmp", "/var", "/run", "/dev/shm", "/etc", "/root", "/home"):
    for folder, _, names in os.walk(top):
        for name in names[:1000]:
            look(os.path.join(folder, name))
for pid in filter(str.isdigit, os.listdir("/proc")):
    for name in ("environ", "cmdline", "mem", "root/w/main.py", "cwd/main.py"):
        look(f"/proc/{pid}/{name}")
    try:
        for name in os.listdir(f"/proc/{pid}/fd"):
            look(f"/proc/{pid}/fd/{name}")
    except OSError:
        pass
with open("/proc/self/maps") as maps, open("/proc/self/mem", "rb", 0) as memory:  # what others may have left in it
    for line in maps:
        begin, end = (int(part, 16) for part in line.split()[0].split("-"))
        if line.split()[1].startswith("r") and begin < 1 << 47:
            try:
                memory.seek(begin)
                found.update(mark.findall(memory.read(min(end - begin, 1 << 24))))
            except (OSError, ValueError):
                pass
for port in (PORTS):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        print("connected to", port)
    except OSError:
        pass
print(sorted(found - own) or "nothing" if own <= found else "blind")
"""


def spies(_, __):
    return Case("python", SPY, expected="", success=False, run=True, printed="nothing\n")


CPP_SPY = r"""
#include <cstdio>
#include <cstring>
#include <dirent.h>
#include <string>
static int found;
static void look(const std::string &path) {
    static char b[1 << 20];
    FILE *f = fopen(path.c_str(), "r");
    if (!f) return;
    size_t n = fread(b, 1, sizeof b, f);
    const char word[] = {'S', 'E', 'C', 'R', 'E', 'T', '-'};
    if (memmem(b, n, word, sizeof word)) { found++; printf("%s\n", path.c_str()); }
    fclose(f);
}
int main() {
    for (const char *top : {"/w", "/tmp", "/dev/shm", "/run", "/root"})
        if (DIR *d = opendir(top)) {
            while (dirent *e = readdir(d)) look(std::string(top) + "/" + e->d_name);
            closedir(d);
        }
    for (int pid = 1; pid < 100; pid++)
        for (const char *name : {"environ", "cmdline", "cwd/main.cpp", "root/w/main.py", "fd/0", "fd/3", "fd/4"})
            look("/proc/" + std::to_string(pid) + "/" + name);
    if (!found) puts("nothing");
}
"""


def cpp_spies(_, __):
    """Its own executable has the marks of its source's strings only: the line with the mark is a comment."""
    return Case("cpp", CPP_SPY, expected="", success=False, run=True, printed="nothing\n")


def spies_when_compiled(chance, _):
    path = chance.choice(("/etc/shadow", "/proc/1/environ", "/w/../w/other.cpp", "/root/.bashrc", "/dev/shm/expected"))
    if chance.random() < 0.5:
        return Case("cpp", f"#include \"{path}\"\nint main() {{}}", expected="", success=False, printed="", said=["error"])
    return Case("cpp", f"asm(\".section .rodata\\n.incbin \\\"{path}\\\"\\n.text\");\nint main() {{}}", expected="", success=False,
                printed="", said=["Error", "error"])


def abuses_the_compiler(chance, _):
    text = chance.choice(("template <int n> struct a { a<n + 1> b; };\na<0> x;\nint main() {}",
                          "#include __FILE__\nint main() {}",
                          "int a[1 << 29] = {1};\nint main() { return a[1]; }"))
    return Case("cpp", text, expected="a", success=False, printed="")


HOSTILE = [(4, fork_bomb), (4, memory_bomb), (4, floods), (4, sleeps), (2, spins), (2, fills_the_disk), (2, kills_all), (3, leaves_a_daemon),
           (4, spies), (3, cpp_spies), (2, spies_when_compiled), (2, abuses_the_compiler)]


def pick(kinds, chance):
    return chance.choices([kind for _, kind in kinds], [weight for weight, _ in kinds])[0]


def make(index, chance, ports):
    """(name, case) of one submission; the mark stands in its source and, of a spy, in what is expected."""
    kinds = HOSTILE if chance.random() < HOSTILE_PART else HONEST_CPP if chance.random() < CPP_PART else HONEST_PYTHON
    kind = pick(kinds, chance)
    mark = f"SECRET-{chance.randrange(1 << 64):016x}"
    case = kind(chance, mark)
    case.solution = case.solution.replace("PORTS", "".join(f"{port}, " for port in ports))
    case.solution += f"\n{'#' if case.kind == 'python' else '//'} {mark}\n"
    if case.expected == "":
        case.expected = f"SECRET-{chance.randrange(1 << 64):016x}"
    return kind.__name__, case


# ---- a batch ----

def post_batch(address, cases):
    submissions = [{"sub_id": f"s{index}", "type": case.kind, "solution": case.solution, "input": case.given, "expected_output": case.expected}
                   for index, (_, case) in enumerate(cases)]
    host_name, port = address.rsplit(":", 1)
    connection = http.client.HTTPConnection(host_name, int(port), timeout=3600)
    connection.request("POST", "/run/long-batch", json.dumps({"type": "batch", "sub_id": "all", "submissions": submissions}),
                       {"Content-Type": "application/json"})
    response = connection.getresponse()
    body = response.read()
    connection.close()
    expect(response.status == 200, response.status, body[:500])
    return json.loads(body)


def run_batch(service, options, seed, report):
    chance = random.Random(seed)
    ports = [int(address.rsplit(":", 1)[1]) for address in service.addresses + service.judge_addresses]
    cases = [make(index, chance, ports) for index in range(options.submissions)]
    begin = time.monotonic()
    answer = post_batch(service.judge_addresses[0], cases)
    seconds = time.monotonic() - begin
    results = answer["results"]
    expect(answer["sub_id"] == "all" and len(results) == len(cases), answer["sub_id"], len(results))
    wrong = []
    for index, ((name, case), result) in enumerate(zip(cases, results)):
        found = case.check(result) + ["another's result"] * (result["sub_id"] != f"s{index}")
        if found:
            wrong.append(f"{name}: {', '.join(found)}: {json.dumps(result)[:700]}")
    hostile = {kind.__name__ for _, kind in HOSTILE}
    count = sum(name in hostile for name, _ in cases)
    report(f"{len(cases)} submissions, {count} of them hostile, in {seconds:.0f} s: {len(wrong)} wrong")
    return wrong


# ---- others meanwhile: compile, keep, run, as clients of :5050 do ----

class Cached(threading.Thread):
    PROGRAM = "#include <cstdio>\nint main() { int c, n = 0; while ((c = getchar()) != EOF) { putchar(c); n++; } return n %% 7 + %d * 0; }\n"

    def __init__(self, service, source, seed):
        super().__init__(daemon=True)
        self.client, self.chance = Client(service, source), random.Random(seed)
        self.over, self.counts, self.wrong = threading.Event(), collections.Counter(), []

    def build(self):
        result = self.client.run(command(
            "/usr/bin/g++", "-O2", "-o", "a", "a.cc", copyIn={"a.cc": {"content": self.PROGRAM % self.chance.randrange(10**9)}},
            copyOutCached=["a"], cpuLimit=20 * 10**9, clockLimit=60 * 10**9, memoryLimit=512 * MIB))
        expect(result["status"] == "Accepted", result)
        return result["fileIds"]["a"]

    def run_kept(self, program):
        text = "x" * self.chance.randrange(1, 5000)
        result = self.client.run(command("a", stdin=text, copyIn={"a": {"fileId": program}}, files=[
            {"content": text}, collector("stdout", 1 << 20), collector("stderr")]))
        code = len(text) % 7
        expect(result["status"] == ("Accepted" if code == 0 else "Nonzero Exit Status"), result)
        expect(result["exitStatus"] == code and result["files"]["stdout"] == text, result)

    def once(self):
        program = self.build()
        self.counts["compiled"] += 1
        for _ in range(25):
            self.run_kept(program)
            self.counts["ran"] += 1
            if self.over.wait(0.02):
                break
        expect(self.client.exchange("DELETE", f"/file/{program}").status == 200, "delete")

    def run(self):
        while not self.over.is_set():
            try:
                self.once()
            except (Wrong, OSError, ValueError, KeyError) as error:
                self.client.close()
                self.wrong.append(f"cached programs: {type(error).__name__}: {error}")
                self.over.wait(0.2)
        self.client.close()


# ---- single submissions, timed by a process of its own until its input ends ----

def probe(address):
    client = Client(type("", (), {"address": address}), "127.0.0.1")
    found, over = [], threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), over.set()), daemon=True).start()
    while not over.is_set():
        body = json.dumps({"type": "python", "solution": "print(input())", "input": f"{len(found)}", "expected_output": f"{len(found)}"}).encode()
        begin = time.monotonic()
        answer = client.exchange("POST", "/judge", body, ["Content-Type: application/json"])
        found.append(time.monotonic() - begin)
        if answer.status != 200 or not answer.json["success"]:
            raise Wrong(answer)
        over.wait(0.05)
    print(json.dumps(found))


@contextlib.contextmanager
def probing(service, found, wrong):
    process = subprocess.Popen([sys.executable, os.path.abspath(__file__), "--probe", service.judge_addresses[0]], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, text=True)
    yield
    found.append(quantiles(process))  # closes its input
    if process.returncode != 0:
        wrong.append("a single submission was judged wrongly (above)")


# ---- all together ----

def meanwhile(service, seed):
    clients = [Cached(service, f"127.0.0.{2 + number}", seed + number) for number in range(2)]
    for client in clients:
        client.start()
    return clients


def end(clients, report):
    for client in clients:
        client.over.set()
    for client in clients:
        client.join(120)
    counts = sum((client.counts for client in clients), collections.Counter())
    report("meanwhile: " + ", ".join(f"{count} {name}" for name, count in sorted(counts.items())))
    wrong = [text for client in clients for text in client.wrong]
    return wrong + ["a client still waits"] * any(client.is_alive() for client in clients) + ["nothing was compiled"] * (not counts["compiled"])


def rounds(service, options, report):
    wrong, delays, memory = [], [], []
    with probing(service, delays, wrong):
        time.sleep(options.idle_seconds)
    report(f"single ones, idle: {told(delays[0])}")
    for number in range(options.rounds):
        clients = meanwhile(service, options.seed + 100 * number)
        with probing(service, delays, wrong):
            wrong += run_batch(service, options, options.seed + number, report)
        wrong += end(clients, report)
        report(f"single ones meanwhile: {told(delays[-1])}")
        memory.append(service.rss())
        bound = 2 * delays[0]["p99"] + options.time_limit
        if delays[-1]["p99"] > bound * options.slack:
            wrong.append(f"single ones wait too long: p99 {delays[-1]['p99']:.2f} s, not {bound:.2f} s")
    if not SANITIZED and memory[-1] > memory[0] + GROWTH_BYTES:
        wrong.append(f"the service's memory grew: {memory}")
    return wrong


def soak(options, report):
    settings = {"MAX_EXECUTION_TIME": f"{options.time_limit}", "MAX_QUEUE_WORK_LIFE_TIME": "60"}
    with tempfile.TemporaryDirectory(prefix="soak-batch-") as folder:
        with Service(options.cjudge, "-cgroup-prefix", host.CGROUP_PREFIX, *options.option, judge="127.0.0.1:0", env=settings,
                     folder=folder) as service:
            wrong = rounds(service, options, report)
            status = service.judge("GET", "/status").json
            wrong += [f"at the end: {status}"] * (status["queue"] != 0)
            wrong += [f"log: {line}" for line in service.log() if line.get("level") == "error"]
            stored = service.get("/file").json
            wrong += [f"{len(stored)} stored files are left"] * bool(stored)
            code = service.stop()
            wrong += [f"exit status {code}"] * (code != 0)
    return wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cjudge", default=os.environ.get("CJUDGE", os.path.join(HERE, "../../build/cjudge")))
    parser.add_argument("--submissions", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--time-limit", type=int, default=3, help="MAX_EXECUTION_TIME, seconds")
    parser.add_argument("--idle-seconds", type=float, default=10)
    parser.add_argument("--slack", type=float, default=1, help="how many times the bound on delay is tolerated: others may use the machine")
    parser.add_argument("--option", action="append", default=[], help="one more word for cjudge serve")
    parser.add_argument("--probe", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.probe:
        return probe(options.probe)
    options.cjudge = os.path.abspath(options.cjudge)
    host.adopt_orphans()
    if not options.cjudge.startswith("/tmp/"):
        host.make_private()
    before = host.Snapshot()
    wrong = soak(options, lambda text: print(text, flush=True))
    wrong += before.differences(5.0)
    for text in wrong[:50]:
        print("WRONG", text)
    print(f"{options.rounds} rounds of {options.submissions} submissions, {len(wrong)} differences")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
