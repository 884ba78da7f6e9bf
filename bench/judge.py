#!/usr/bin/env python3
"""What judging costs, as ratios to loops that do the same without any service, sandbox or limit.

    python3 bench/judge.py [--cjudge build/cjudge] [--rows echo,distinct] [--pairs 5] [--json] [--goals cold|warm]

A baseline is a process on each CPU that runs `python3 file` or `g++ -O2` and what that made, one after another, with
posix_spawn(3); served is one request with all submissions. They take turns (bare, served, served, bare, ...), and each
pair of neighbours gives one ratio of their rates: 1 is free of charge, more is saved work. Beside it stands the ratio of
the CPU time that one submission takes of everybody concerned (bare / served; columns in ms), which others disturb less. No
program is seen twice, but where the row says so. Then what a submission costs when few or many of them wait, in a language whose programs
do nothing, and what memory each that waits takes. Standard library only; root."""
import argparse
import http.client
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../tests/e2e"))

from service import Service  # noqa: E402

CPUS = sorted(os.sched_getaffinity(0))
ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
PYTHON, GXX = "/usr/bin/python3", "/usr/bin/g++"
FLAT_GOAL = 1.10     # dearest / cheapest submission, whatever the queue
MEMORY_GOAL = 300    # bytes for one that waits, beside its text
NOTHING = "languages:\n  - {id: nothing, source: main.txt, run: 'true'}\n  - {id: sleeper, source: main.txt, run: sleep 1000}\n"


# ---- the programs ----

ECHO = "print(input())\n"
NUMPY = "import numpy\nprint(int(numpy.arange(int(input()) + 1).sum()))\n"


def plain_cpp(number):
    """Headers as they are used, without the one that has them all."""
    return (f"#include <algorithm>\n#include <iostream>\n#include <vector>\nint main() {{ std::vector<long> v; for (long n; std::cin >> n;) "
            f"v.push_back(n + {number}); std::sort(v.begin(), v.end()); for (long n : v) std::cout << n - {number} << '\\n'; }}\n")


def whole_cpp(number):
    return (f"#include <bits/stdc++.h>\nusing namespace std;\nint main() {{ map<long, int> m; long n; while (cin >> n) m[n + {number}]++; "
            f"for (auto &p : m) cout << p.first - {number} << '\\n'; }}\n")


class Work:
    """n submissions: (source, input, expected output) each."""

    def __init__(self, language, items):
        self.language, self.items = language, items

    def batch(self):
        return {"type": "batch", "submissions": [
            {"type": self.language, "solution": source, "input": given, "expected_output": expected} for source, given, expected in self.items]}

    def task(self, items):
        return {"language": self.language, "source": items[0][0], "compare": "strip",
                "cases": [{"input": given, "expected": expected} for _, given, expected in items]}


def fresh():
    return random.randrange(10**9)


def inputs(count):
    numbers = [fresh() for _ in range(count)]
    return [(f"{number}\n", f"{number}") for number in numbers]


def echo_work(count):
    return Work("python", [(ECHO, *pair) for pair in inputs(count)])


def numpy_work(count):
    return Work("python", [(NUMPY, f"{n}\n", f"{n * (n + 1) // 2}") for n in range(count)])


def distinct(make):
    return lambda count: Work("cpp", [(make(fresh()), *pair) for pair in inputs(count)])


def one_program(make):
    def work(count):
        source = make(fresh())
        return Work("cpp", [(source, *pair) for pair in inputs(count)])
    return work


# ---- baselines ----

def spawn(arguments, given, out):
    actions = [(os.POSIX_SPAWN_OPEN, 0, given, os.O_RDONLY, 0), (os.POSIX_SPAWN_OPEN, 1, out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)]
    _, status = os.waitpid(os.posix_spawn(arguments[0], arguments, ENVIRONMENT, file_actions=actions), 0)
    if status != 0:
        raise SystemExit(f"{arguments}: wait status {status}")


def bare_one(language, folder):
    given, out = f"{folder}/in", f"{folder}/out"
    if language == "python":
        spawn([PYTHON, f"{folder}/main.py"], given, out)
    else:
        spawn([GXX, "-O2", "-o", f"{folder}/main", f"{folder}/main.cpp"], "/dev/null", out)
        spawn([f"{folder}/main"], given, out)


def lay_out(work, folder):
    """A directory for each item."""
    folders = []
    for number, (source, given, _) in enumerate(work.items):
        place = f"{folder}/{number}"
        os.makedirs(place, exist_ok=True)
        for name, text in (("main.py" if work.language == "python" else "main.cpp", source), ("in", given)):
            with open(f"{place}/{name}", "w", encoding="ascii") as file:
                file.write(text)
        folders.append(place)
    return folders


def wait_all(pids):
    """CPU seconds of these and of the children that they waited for."""
    cpu = 0.0
    for pid in pids:
        _, status, usage = os.wait4(pid, 0)
        cpu += usage.ru_utime + usage.ru_stime
        if status != 0:
            raise SystemExit("a baseline failed")
    return cpu


def on_all_cpus(action):
    """action(index) in a process on each CPU; (seconds until the last has ended, CPU seconds of all and their children)."""
    begin = time.monotonic()
    pids = []
    for index, cpu in enumerate(CPUS):
        pid = os.fork()
        if pid == 0:
            os.sched_setaffinity(0, {cpu})
            action(index)
            os._exit(0)
        pids.append(pid)
    cpu = wait_all(pids)
    return time.monotonic() - begin, cpu


def bare_rate(work, folder):
    folders = lay_out(work, folder)
    seconds, cpu = on_all_cpus(lambda index: [bare_one(work.language, place) for place in folders[index::len(CPUS)]])
    for (_, _, expected), place in zip(work.items, folders):
        with open(f"{place}/out", encoding="ascii") as file:
            if file.read().strip() != expected:
                raise SystemExit(f"{place}: a wrong output")
    return len(work.items) / seconds, cpu / len(work.items)


WARM_FORKS = """
import os, sys
os.sched_setaffinity(0, {int(sys.argv[1])})
for _ in range(int(sys.argv[2])):
    pid = os.fork()
    if pid == 0: {end}(0)
    os.waitpid(pid, 0)
"""


def rate_of_forks(end):
    """Of an interpreter that has started: a child that is born and ends. 400 on each CPU."""
    begin = time.monotonic()
    program = WARM_FORKS.replace("{end}", end)
    cpu = wait_all([os.posix_spawn(PYTHON, [PYTHON, "-c", program, str(cpu), "400"], ENVIRONMENT) for cpu in CPUS])
    count = 400 * len(CPUS)
    return count / (time.monotonic() - begin), cpu / count


def warm_fork_rate(_, __):
    return rate_of_forks("os._exit")


def warm_end_rate(_, __):
    """The end of an interpreter is most of what a fork costs."""
    return rate_of_forks("sys.exit")


# ---- served ----

class Client:
    def __init__(self, service):
        self.host, self.port = service.judge_addresses[0].rsplit(":", 1)
        self.pid = service.process.pid

    def begin(self, path, body):
        connection = http.client.HTTPConnection(self.host, int(self.port), timeout=3600)
        connection.request("POST", path, body, {"Content-Type": "application/json"})
        return connection

    def post(self, path, body):
        """(seconds, the answer)"""
        body = body if isinstance(body, (bytes, str)) else json.dumps(body)
        begin = time.monotonic()
        connection = self.begin(path, body)
        response = connection.getresponse()
        answer = response.read()
        seconds = time.monotonic() - begin
        connection.close()
        if response.status != 200:
            raise SystemExit(f"{path}: {response.status} {answer[:500]!r}")
        return seconds, json.loads(answer)


def through_batch(client, work):
    seconds, answer = client.post("/judge/long-batch", work.batch())
    wrong = [result for result in answer["results"] if not result["success"]]
    return seconds, wrong


def through_tasks(client, work):
    """Each item a program of its own."""
    seconds, answer = client.post("/v1/judge/batch", {"submissions": [work.task([item]) for item in work.items]})
    return seconds, [result for result in answer["results"] if result["summary"]["status"] != "Accepted"]


def through_cases(client, work):
    """All items are cases of the first one's program."""
    seconds, answer = client.post("/v1/judge", work.task(work.items))
    return seconds, [] if answer["summary"]["status"] == "Accepted" else [answer["summary"]]


def served_rate(client, door, work):
    """The client's CPU time counts as well."""
    cpu = cpu_seconds(client.pid) + time.process_time()
    seconds, wrong = door(client, work)
    cpu = cpu_seconds(client.pid) + time.process_time() - cpu
    if wrong:
        raise SystemExit(f"a served submission failed: {wrong[0]}")
    return len(work.items) / seconds, cpu / len(work.items)


# ---- the rows ----

class Row:
    def __init__(self, name, what, door, work, count, baseline=None, bare_count=None, cold=None, warm=None):
        self.name, self.what, self.door, self.work, self.count = name, what, door, work, count
        self.baseline, self.bare_count = baseline or bare_rate, bare_count or count
        self.goals = {"cold": cold, "warm": warm}


ROWS = [
    Row("echo", "Python echo, /judge/long-batch", through_batch, echo_work, 500, cold=0.9, warm=6),
    Row("echo-cases", "Python echo, cases of /v1/judge", through_cases, echo_work, 500, cold=0.9),
    Row("echo-forks", "the same / fork+exit of a warm one", through_batch, echo_work, 500, baseline=warm_fork_rate, warm=0.6),
    Row("echo-ends", "the same / fork+usual end of a warm one", through_batch, echo_work, 500, baseline=warm_end_rate),
    Row("numpy", "Python with numpy, /judge/long-batch", through_batch, numpy_work, 100, bare_count=40, cold=0.9, warm=40),
    Row("distinct", "C++ distinct, /judge/long-batch", through_batch, distinct(plain_cpp), 12, cold=0.9),
    Row("distinct-v1", "C++ distinct, /v1/judge/batch", through_tasks, distinct(plain_cpp), 12, cold=0.9),
    Row("stdc++", "C++ with bits/stdc++.h, distinct", through_batch, distinct(whole_cpp), 12, cold=0.9, warm=4),
    Row("one-50", "one C++ program, 50 cases", through_cases, one_program(plain_cpp), 50, bare_count=12),
    Row("one-batch", "one C++ program 50 times, long-batch", through_batch, one_program(plain_cpp), 50, bare_count=12),
    Row("one-100", "the same, bits/stdc++.h, 100 cases", through_cases, one_program(whole_cpp), 100, bare_count=12, warm=100),
]


def quartiles(values):
    values = sorted(values)
    return statistics.median(values), values[len(values) // 4], values[len(values) * 3 // 4]


def measure(row, client, pairs, most, folder):
    rates = {"bare": [], "served": []}
    count, bare_count = min(row.count, most), min(row.bare_count, most)
    actions = {"bare": lambda: row.baseline(row.work(bare_count), folder),
               "served": lambda: served_rate(client, row.door, row.work(count))}
    actions["served"]()  # warms up
    for number in range(pairs):
        for name in (("bare", "served"), ("served", "bare"))[number % 2]:
            rates[name].append(actions[name]())
    pairs = list(zip(rates["served"], rates["bare"]))
    ratio, low, high = quartiles([served[0] / bare[0] for served, bare in pairs])
    return {"row": row.name, "what": row.what, "count": count, "ratio": ratio, "ratio_q1": low, "ratio_q3": high,
            "thrift": statistics.median(bare[1] / served[1] for served, bare in pairs), "goals": row.goals,
            **{f"{name}_{figure}": statistics.median(pair[place] for pair in rates[name])
               for name in rates for place, figure in enumerate(("per_s", "cpu_s"))}}


# ---- what a submission costs when many wait ----

def family(pid):
    """A process and all below it."""
    found = [pid]
    for parent in found:
        for task in os.listdir(f"/proc/{parent}/task"):
            with open(f"/proc/{parent}/task/{task}/children", encoding="ascii") as file:
                found += map(int, file.read().split())
    return found


def cpu_seconds(pid):
    """Of the service, its helpers and every program that has ended."""
    ticks = 0
    for one in family(pid):
        with open(f"/proc/{one}/stat", encoding="ascii", errors="replace") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        ticks += sum(map(int, fields[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


def batch_of(language, count, text=""):
    one = json.dumps({"type": language, "solution": text, "expected_output": ""})
    return '{"type":"batch","submissions":[' + ",".join([one] * count) + "]}"


def cost(service, client, queued, total):
    """(wall, CPU) seconds of a submission: batches of queued, one after another, total of them in all."""
    body = batch_of("nothing", queued)
    cpu, seconds = cpu_seconds(service.process.pid), 0.0
    for _ in range(max(total // queued, 1)):
        took, answer = client.post("/judge/long-batch", body)
        seconds += took
        if len(answer["results"]) != queued or not all(result["success"] for result in answer["results"]):
            raise SystemExit("a submission that does nothing failed")
    count = max(total // queued, 1) * queued
    return seconds / count, (cpu_seconds(service.process.pid) - cpu) / count


def cost_of_some(service, client, queued, some):
    """The same of some in the middle of a batch, which is then given up: without what it takes to read it all."""
    connection = client.begin("/judge/long-batch", batch_of("nothing", queued))
    response = connection.getresponse()
    marks, told, tail = [], 0, b""
    while len(marks) < 2:
        data = tail + response.read1(65536)
        told += data.count(b'"reason"')
        tail = data[-7:]  # shorter than what is counted
        if told >= 200 + some * len(marks):
            marks.append((told, time.monotonic(), cpu_seconds(service.process.pid)))
    connection.close()
    while service.judge("GET", "/status").json["queue"] > 0:
        time.sleep(0.05)
    count, seconds, cpu = (after - before for before, after in zip(*marks))
    return seconds / count, cpu / count


def measure_queue(service, client, options):
    sizes = [size for size in (100, 1000, 10000, 100000) if size <= options.queued]
    found = {size: [] for size in sizes}
    cost(service, client, 100, 500)
    for number in range(options.queue_rounds):
        for size in sizes if number % 2 == 0 else reversed(sizes):
            whole = options.some == 0 or size <= options.some + 1000
            found[size].append(cost(service, client, size, options.queue_least) if whole else cost_of_some(service, client, size, options.some))
    rows = [{"queued": size, "wall_us": statistics.median(wall for wall, _ in found[size]) * 1e6,
             "cpu_us": statistics.median(cpu for _, cpu in found[size]) * 1e6} for size in sizes]
    cheapest, dearest = (pick(row["cpu_us"] for row in rows) for pick in (min, max))
    return {"sizes": rows, "cpu_dearest_to_cheapest": dearest / cheapest,
            "wall_dearest_to_cheapest": max(row["wall_us"] for row in rows) / min(row["wall_us"] for row in rows)}


def measure_memory(service, client, count):
    """All slots sleep while a batch waits."""
    text = "x" * 200
    sleepers = client.begin("/judge/long-batch", batch_of("sleeper", 2 * len(CPUS)))
    time.sleep(1)
    before = service.rss()
    service.reset_peak()
    waiting = client.begin("/judge/long-batch", batch_of("nothing", count, text))
    end = time.monotonic() + 120
    while service.judge("GET", "/status").json["queue"] < count and time.monotonic() < end:
        time.sleep(0.1)
    time.sleep(0.5)
    queued = service.judge("GET", "/status").json["queue"]
    now, peak = service.rss(), service.peak()
    waiting.close()
    sleepers.close()
    if queued < count:
        raise SystemExit(f"{queued} of {count} wait")
    return {"queued": count, "text_bytes": len(text), "bytes_beside_text": (now - before) / count - len(text),
            "peak_beside_text": (peak - before) / count - len(text)}


# ---- telling ----

def goal_text(row):
    return "/".join("-" if goal is None else f"{goal:g}" for goal in row["goals"].values())


def print_row(row):
    ratio = f"{row['ratio']:.2f} ({row['ratio_q1']:.2f}-{row['ratio_q3']:.2f})"
    print(f"{row['what']:38} {row['count']:>4}  {ratio:22} {row['thrift']:6.2f} {goal_text(row):>8} {row['bare_per_s']:9.1f} {row['served_per_s']:9.1f} "
          f"{row['bare_cpu_s'] * 1000:9.2f} {row['served_cpu_s'] * 1000:9.2f}", flush=True)


def print_queue(queue):
    print("queued    us/submission: wall   CPU", flush=True)
    for row in queue["sizes"]:
        print(f"{row['queued']:>6} {row['wall_us']:>20.0f} {row['cpu_us']:>6.0f}")
    print(f"dearest / cheapest: wall {queue['wall_dearest_to_cheapest']:.2f}, CPU {queue['cpu_dearest_to_cheapest']:.2f} (goal {FLAT_GOAL})", flush=True)


def print_memory(memory):
    print(f"{memory['queued']} that wait, of {memory['text_bytes']} bytes: {memory['bytes_beside_text']:.0f} bytes each beside the text "
          f"(goal {MEMORY_GOAL}), {memory['peak_beside_text']:.0f} while they are read", flush=True)


def missed(found, kind):
    names = [f"{row['what']}: {row['ratio']:.2f} < {row['goals'][kind]:g}" for row in found["rows"]
             if row["goals"][kind] is not None and row["ratio"] < row["goals"][kind]]
    if "queue" in found and found["queue"]["cpu_dearest_to_cheapest"] > FLAT_GOAL:
        names.append("the cost of a submission depends on the queue")
    if "memory" in found and found["memory"]["bytes_beside_text"] > MEMORY_GOAL:
        names.append("a submission that waits takes too much memory")
    return names


def numpy_is_here():
    return subprocess.run([PYTHON, "-c", "import numpy"], stderr=subprocess.DEVNULL, check=False).returncode == 0


def await_versions(service):
    """The service asks each language for its version once, which is no part of judging."""
    end = time.monotonic() + 120
    while time.monotonic() < end:
        if all(one["version"] for one in service.judge("GET", "/languages").json if one["installed"]):
            return
        time.sleep(0.5)


def run_rows(options, found):
    rows = [row for row in ROWS if not options.rows or row.name in options.rows.split(",")]
    rows = [row for row in rows if row.name != "numpy" or numpy_is_here()]
    if not rows:
        return
    if not options.json:
        print(f"{'what':38} {'n':>4}  {'ratio (quartiles)':22} {'CPU':>6} {'goals':>8} {'bare/s':>9} {'served/s':>9} "
              f"{'bare ms':>9} {'served ms':>9}", flush=True)
    with tempfile.TemporaryDirectory(prefix="bench-judge-", dir="/dev/shm") as folder, \
            tempfile.TemporaryDirectory(prefix="bench-judge-") as log, \
            Service(os.path.abspath(options.cjudge), *options.option, judge="127.0.0.1:0", folder=log) as service:
        await_versions(service)
        for row in rows:
            found["rows"].append(measure(row, Client(service), options.pairs, options.most, folder))
            if not options.json:
                print_row(found["rows"][-1])


def run_queue(options, found):
    wanted = {"queue", "memory"} & set(options.rows.split(",") if options.rows else ["queue", "memory"])
    if not wanted:
        return
    with tempfile.TemporaryDirectory(prefix="bench-judge-") as log:
        languages = os.path.join(log, "languages.yaml")
        with open(languages, "w", encoding="ascii") as file:
            file.write(NOTHING)
        with Service(os.path.abspath(options.cjudge), "-languages", languages, judge="127.0.0.1:0", env={"MAX_EXECUTION_TIME": "600"},
                     folder=log) as service:
            client = Client(service)
            if "queue" in wanted:
                found["queue"] = measure_queue(service, client, options)
            if "memory" in wanted:
                found["memory"] = measure_memory(service, client, options.queued)
    if not options.json and "queue" in found:
        print_queue(found["queue"])
    if not options.json and "memory" in found:
        print_memory(found["memory"])


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cjudge", default=os.path.join(HERE, "../build/cjudge"))
    parser.add_argument("--rows", help="only those, with commas: " + ", ".join([row.name for row in ROWS] + ["queue", "memory"]))
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--most", type=int, default=1000, help="submissions of a request, for a quick look")
    parser.add_argument("--queued", type=int, default=100000, help="the longest queue")
    parser.add_argument("--queue-rounds", type=int, default=3)
    parser.add_argument("--queue-least", type=int, default=5000, help="submissions for a figure, in as many batches as that takes")
    parser.add_argument("--some", type=int, default=0, help="of longer queues wait for so many only (0: for all)")
    parser.add_argument("--option", action="append", default=[], help="one more word for cjudge serve")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--goals", choices=("cold", "warm"), help="fail when one of these is missed: without, or with, warm interpreters")
    options = parser.parse_args()
    found = {"rows": []}
    run_rows(options, found)
    run_queue(options, found)
    if options.json:
        print(json.dumps(found, indent=2))
    names = missed(found, options.goals) if options.goals else []
    for name in names:
        print(f"missed: {name}", file=sys.stderr)
    return 1 if names else 0


if __name__ == "__main__":
    sys.exit(main())
