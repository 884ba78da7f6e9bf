#!/usr/bin/env python3
"""Minutes of mixed load on `cjudge serve`: honest clients, hostile programs, clients that misbehave.

    python3 tests/soak/mixed_requests.py --cjudge build/cjudge --minutes 10

Every honest answer is checked to the byte, every hostile program for its verdict, every malformed request for its
refusal. Twice the load stops and what must not grow is read: descriptors, threads and memory of the service and its
helpers, stored files; at the end also control groups, mounts, processes and files of the host, and that the service
does nothing. The delay of honest runs under load is compared with the one before it. Leaves with 1 on a difference.
Standard library only."""
import argparse
import base64
import collections
import json
import os
import random
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "../threats"), os.path.join(HERE, "../table"), os.path.join(HERE, "../e2e")]

import box as box_module  # noqa: E402
import host  # noqa: E402
from box import MEMORY, MIB, MS, NONZERO, OK, OUTPUT, SIGNALLED, TIME  # noqa: E402
from mixed_runs import Watch, dead_groups  # noqa: E402
from service import SANITIZED, Answer, Service, collector, command, multipart, shell  # noqa: E402

# The scheduler is fair between addresses: whoever floods delays the others by a turn.
PROBE, HONEST, HOSTILE = "127.0.0.1", "127.0.0.2", "127.0.0.3"
JOB_SECONDS = 1.0  # the longest that a hostile program may take (its wall time limit)
SETTLE_SECONDS = 14  # containers that groups needed go after 10 s
HEAD_TIMEOUT_SECONDS = 3

MALFORMED = [
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n",
    b"POST /run HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcde",
    b"POST /run HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
    b"POST /run HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
    b"POST /run HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"POST /run HTTP/1.1\r\nHost : a\r\n\r\n", b"POST /run HTTP/1.1\r\nHost: a\r\nA: b\0c\r\n\r\n",
    b"GET /" + b"a" * 10000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\n" + b"A: b\r\n" * 200 + b"\r\n",
    b"POST /run HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999999999\r\n\r\n",
    b"DELETE /file/../../etc/passwd HTTP/1.1\r\nHost: a\r\n\r\n", b"GET /file/nothing HTTP/1.1\r\nHost: a\r\n\r\n",
]
BAD_BODIES = [
    b"", b"{", b"[]", b"null", b'{"cmd":[]}', b'{"cmd":[{"args":[]}]}', b'{"cmd":[{"args":["a\\u0000b"]}]}', b"[" * 5000,
    b'{"cmd":[{"args":["/bin/true"],"files":[null]}]}', b'{"cmd":[{"args":["/bin/true"],"files":[{"fileId":"none"}]}]}',
    b'{"cmd":[{"args":["/bin/true"],"cpuLimit":1e99}]}', b'{"cmd":[{"args":["/bin/true"],"copyIn":{"a":{}}}]}',
    b'{"cmd":[{"args":["/bin/true"]},{"args":["/bin/true"]}],"pipeMapping":[{"in":{"index":9,"fd":1},"out":{"index":0,"fd":0}}]}',
    b'{"cmd":"' + b"x" * 100000 + b'"}',
]


class Wrong(Exception):
    pass


def expect(true, *what):
    if not true:
        raise Wrong(" ".join(str(part)[:600] for part in what))


class Client:
    """One address; a connection that is kept as long as it serves."""

    def __init__(self, service, source):
        host_name, port = service.address.rsplit(":", 1)
        self.target, self.source = (host_name, int(port)), (source, 0)
        self.socket, self.rest = None, b""

    def connect(self, receive_buffer=None):
        fresh = socket.socket()
        fresh.settimeout(60)
        if receive_buffer:
            fresh.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        fresh.bind(self.source)
        fresh.connect(self.target)
        fresh.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return fresh

    def close(self):
        if self.socket:
            self.socket.close()
        self.socket, self.rest = None, b""

    @staticmethod
    def head(method, path, size, headers=()):
        lines = [f"{method} {path} HTTP/1.1", "Host: localhost", f"Content-Length: {size}", *headers]
        return ("\r\n".join(lines) + "\r\n\r\n").encode()

    def exchange(self, method, path, body=b"", headers=()):
        if self.socket is None:
            self.socket = self.connect()
        try:
            self.socket.sendall(self.head(method, path, len(body), headers) + body)
            return self.receive()
        except OSError:
            self.close()
            raise

    def fill(self, size=65536):
        got = self.socket.recv(size)
        if not got:
            raise ConnectionError("closed early")
        self.rest += got

    def take(self, size):
        while len(self.rest) < size:
            self.fill(1 << 20)
        taken, self.rest = self.rest[:size], self.rest[size:]
        return taken

    def take_line(self):
        while b"\r\n" not in self.rest:
            self.fill()
        line, self.rest = self.rest.split(b"\r\n", 1)
        return line.decode("latin-1")

    def receive(self):
        status = int(self.take_line().split()[1])
        headers = {}
        while line := self.take_line():
            name, value = line.split(":", 1)
            headers[name.lower()] = value.strip()
        body = b""
        if headers.get("transfer-encoding") == "chunked":
            while size := int(self.take_line(), 16):
                body += self.take(size)
                self.take(2)
            self.take(2)
        else:
            body = self.take(int(headers.get("content-length", 0)))
        if headers.get("connection") == "close":
            self.close()
        return Answer(status, headers, body)

    def run_all(self, *commands, **more):
        answer = self.exchange("POST", "/run", json.dumps({"cmd": commands, **more}).encode())
        expect(answer.status == 200, answer)
        expect(len(answer.json) == len(commands), answer)
        return answer.json

    def run(self, one, **more):
        return self.run_all(one, **more)[0]


# ---- honest clients: each checks what it gets to the byte ----

def echoes(client, chance, _):
    text = base64.b64encode(chance.randbytes(chance.choice((3, 300, 30000)))).decode()
    result = client.run(command("/bin/cat", stdin=text, files=[{"content": text}, collector("stdout", 1 << 20, pipe=chance.random() < 0.5),
                                                               collector("stderr")]))
    expect(result["status"] == OK and result["files"]["stdout"] == text and result["files"]["stderr"] == "", result)


def exits(client, chance, _):
    code = chance.randrange(1, 200)
    result = client.run(shell(f"echo out; echo err >&2; exit {code}"))
    expect((result["status"], result["exitStatus"]) == (NONZERO, code), result)
    expect(result["files"] == {"stdout": "out\n", "stderr": "err\n"}, result)


def crashes(client, _, __):
    result = client.run(shell("kill -SEGV $$"))
    expect((result["status"], result["exitStatus"]) == (SIGNALLED, 11), result)


def finds_it_fresh(client, _, __):
    result = client.run(shell("ls -A /w /tmp /dev/shm; echo $$ > /w/a; echo > /tmp/b; echo > /dev/shm/c; ulimit -n"))
    expect(result["status"] == OK, result)
    expect(set(result["files"]["stdout"].split()) - {"stdout", "stderr"} == {"/w:", "/tmp:", "/dev/shm:", "256"}, result)


def stores(client, chance, _):
    content = chance.randbytes(chance.choice((0, 1, 1000, 300000)))
    body, kind = multipart("in.bin", content)
    answer = client.exchange("POST", "/file", body, [f"Content-Type: {kind}"])
    expect(answer.status == 200, answer)
    first, ids = answer.json, [answer.json]
    try:
        result = client.run(command("/bin/sh", "-c", "cat > out; cmp out copy", copyOutCached=["out"], copyIn={"copy": {"fileId": first}},
                                    files=[{"fileId": first}, collector("stdout"), collector("stderr")]))
        expect(result["status"] == OK, result)
        ids.append(result["fileIds"]["out"])
        answer = client.exchange("GET", f"/file/{ids[1]}")
        expect(answer.status == 200 and answer.body == content, answer.status, len(answer.body), len(content))
        names = client.exchange("GET", "/file").json
        expect(names.get(first) == "in.bin" and names.get(ids[1]) == "out", names)
    finally:
        for name in ids:
            expect(client.exchange("DELETE", f"/file/{name}").status == 200, "delete")
    expect(client.exchange("GET", f"/file/{first}").status == 404, "a deleted file is there")


def copies(client, chance, _):
    text = str(chance.random())
    result = client.run(shell("cat link > out", copyIn={"a/b": {"content": text}, "link": {"symlink": "a/b"}}, copyOut=["out", "missing?"]))
    expect(result["status"] == OK and result["files"]["out"] == text, result)


def talks(client, chance, _):
    """A pair that sends a number back and forth, directly or through a proxy that keeps a copy."""
    rounds, proxy = chance.randrange(1, 20), chance.random() < 0.5
    more = {"proxy": True, "name": "heard", "max": 1 << 16} if proxy else {}
    results = client.run_all(
        shell(f"i=0; while [ $i -lt {rounds} ]; do echo $i; read x; [ \"$x\" = $i ] || exit 9; i=$((i+1)); done",
              files=[None, None, collector("stderr")]),
        shell("while read x; do echo $x; done", files=[None, None, collector("stderr")]),
        pipeMapping=[{"in": {"index": 0, "fd": 1}, "out": {"index": 1, "fd": 0}, **more},
                     {"in": {"index": 1, "fd": 1}, "out": {"index": 0, "fd": 0}}])
    expect([result["status"] for result in results] == [OK, OK], results)
    expect(not proxy or results[0]["files"]["heard"] == "".join(f"{i}\n" for i in range(rounds)), results)


def asks(client, _, __):
    expect(client.exchange("GET", "/version").status == 200, "version")
    expect(client.exchange("GET", "/config").json["fileStorePath"], "config")


HONEST_KINDS = [(8, echoes), (3, exits), (2, crashes), (4, finds_it_fresh), (4, stores), (3, copies), (3, talks), (2, asks)]


# ---- hostile programs ----

def hostile(box, client, chance):
    quick = dict(cpuLimit=50 * MS, clockLimit=int(JOB_SECONDS * 1e9))
    program = {
        "fork_bomb": (["bombs", "fork"], quick, {TIME, MEMORY}),
        "burns_cpu": (["burns_cpu", "ignoring_signals"], quick, {TIME}),
        "sleeps": (["waits", "sleeps"], dict(clockLimit=200 * MS), {TIME}),
        "memory_bomb": (["takes_memory", "touching", 40], dict(memoryLimit=16 * MIB), {MEMORY}),
        "shm_bomb": (["takes_memory", "dev_shm_files", 40], dict(memoryLimit=16 * MIB), {MEMORY}),
        "floods": (["floods_output", "both"], {}, {OUTPUT}),
        "zombies": (["leaves_behind", "zombies"], {}, {OK}),
        "daemon": (["leaves_behind", "daemon"], {}, {OK}),
        "litters": (["litters", "odd_names"], dict(memoryLimit=128 * MIB), {OK}),
    }
    name = chance.choice(list(program))
    args, limits, allowed = program[name]
    path = os.path.join(box.programs, args[0])
    base = dict(copyIn={args[0]: {"src": path}}, cpuLimit=JOB_SECONDS / 2 * 1e9, clockLimit=JOB_SECONDS * 1e9, procLimit=16)
    one = command("./" + args[0], *map(str, args[1:]), **{**base, **limits})
    one.update({key: int(one[key]) for key in ("cpuLimit", "clockLimit")})
    if name == "floods":
        one["files"][1:] = [collector("stdout", pipe=True), collector("stderr", pipe=True)]
    result = client.run(one)
    expect(result["status"] in allowed, name, result)
    return name


def hostile_group(client, chance):
    """One floods a partner that does not read, or is read by one that has gone."""
    proxy = {"proxy": True} if chance.random() < 0.5 else {}
    limits = dict(cpuLimit=100 * MS, clockLimit=400 * MS, files=[None, collector("stderr")])
    results = client.run_all(
        command("/bin/sh", "-c", "exec cat /dev/zero >&0", **{**limits, "files": [None, None, collector("stderr")][:1] + [collector("o")]}),
        shell(chance.choice(("exec sleep 5", "exit 0")), **{**limits, "files": [None, collector("o")]}),
        pipeMapping=[{"in": {"index": 0, "fd": 0}, "out": {"index": 1, "fd": 0}, **proxy}])
    expect(results[0]["status"] in {TIME, SIGNALLED, NONZERO}, results)
    expect(results[1]["status"] in {TIME, OK}, results)


# ---- clients that misbehave ----

def reset(connection):
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def leave(connection, chance):
    if chance.random() < 0.3:
        reset(connection)
    else:
        connection.close()


def hangs_up_in_run(client, chance):
    many = [client.connect() for _ in range(chance.choice((1, 1, 8)))]
    body = json.dumps({"cmd": [shell("echo > kept; sleep 5", copyOutCached=["kept"])]}).encode()
    for connection in many:
        connection.sendall(client.head("POST", "/run", len(body)) + body)
        if chance.random() < 0.3:  # something behind it must not hide that the client goes
            connection.sendall(client.head("GET", "/version", 0))
    time.sleep(chance.random() * 0.3)
    for connection in many:
        leave(connection, chance)


def hangs_up_in_upload(client, chance):
    connection = client.connect()
    body, kind = multipart("never", bytes(chance.choice((0, 100, 1 << 20))))
    connection.sendall(client.head("POST", "/file", len(body) + 10, [f"Content-Type: {kind}"]) + body[:chance.randrange(len(body))])
    time.sleep(chance.random() * 0.1)
    leave(connection, chance)


def is_refused(connection, chance):
    """Its answer is no success, and comes in time, or the connection ends."""
    connection.settimeout(10)
    try:
        answer = connection.recv(65536)
    except ConnectionResetError:
        answer = b""
    expect(not answer or answer[9:10] in b"45", "not refused:", answer)
    leave(connection, chance)


def speaks_nonsense(client, chance):
    connection = client.connect()
    connection.sendall(chance.choice(MALFORMED) if chance.random() < 0.9 else b"\x80" + chance.randbytes(1000))
    is_refused(connection, chance)


def asks_nonsense(client, chance):
    body = chance.choice(BAD_BODIES)
    connection = client.connect()
    connection.sendall(client.head("POST", "/run", len(body)) + body)
    is_refused(connection, chance)


def reads_slowly(client, chance):
    size = 4 * MIB
    connection = client.connect(receive_buffer=4096)
    body = json.dumps({"cmd": [shell(f"head -c {size} /dev/zero | tr '\\0' a", files=[
        {"content": ""}, collector("stdout", 2 * size, pipe=True)])]}).encode()
    connection.sendall(client.head("POST", "/run", len(body)) + body)
    got, patience = b"", chance.choice((20, 10**9))
    while patience > 0 and not got.endswith(b"0\r\n\r\n"):
        piece = connection.recv(65536)
        expect(piece, "cut after", len(got))
        got += piece
        patience -= 1
        time.sleep(0.002)
    expect(patience == 0 or got.count(b"a") >= size, len(got), got[:300])
    leave(connection, chance)


def sends_slowly(client, chance):
    """A head or body in drops; every now and then one that stops: then it is 408, or the end."""
    body = json.dumps({"cmd": [command("/bin/echo", "slow")]}).encode()
    whole = client.head("POST", "/run", len(body), ["Connection: close"]) + body
    stops = chance.random() < 0.2
    connection = client.connect()
    begin = chance.randrange(len(whole) - 200)
    connection.sendall(whole[:begin])
    for at in range(begin, begin + 150):
        connection.sendall(whole[at:at + 1])
        time.sleep(0.002)
    if stops and begin + 150 < whole.index(b"\r\n\r\n"):
        time.sleep(HEAD_TIMEOUT_SECONDS)
        is_refused(connection, chance)
        return
    connection.sendall(whole[begin + 150:])
    answer = b""
    while piece := connection.recv(65536):
        answer += piece
    expect(b" 200 OK\r\n" in answer and b'"stdout":"slow\\n"' in answer, answer)
    connection.close()


RUDE_KINDS = [(4, hangs_up_in_run), (2, hangs_up_in_upload), (5, speaks_nonsense), (5, asks_nonsense), (1, reads_slowly), (1, sends_slowly)]


# ---- the load ----

class Load:
    """Threads that work while `on` is set."""

    def __init__(self, service, box, seed):
        self.service, self.box = service, box
        self.on, self.over = threading.Event(), False
        self.busy, self.lock = 0, threading.Lock()
        self.counts, self.wrong = collections.Counter(), []
        self.threads = []
        for number in range(2):
            self.begin(self.honest, HONEST, seed + number)
        for number in range(3):
            self.begin(self.hostile, HOSTILE, seed + 10 + number)
        for number in range(3):
            self.begin(self.rude, HOSTILE, seed + 20 + number)

    def begin(self, work, source, seed):
        thread = threading.Thread(target=self.main, args=(work, Client(self.service, source), random.Random(seed)), daemon=True)
        self.threads.append(thread)
        thread.start()

    def main(self, work, client, chance):
        while self.on.wait() and not self.over:
            with self.lock:
                self.busy += 1
            name = work.__name__
            try:
                name = work(client, chance) or name
            except (Wrong, OSError, ValueError, KeyError, IndexError) as error:
                client.close()
                with self.lock:
                    self.wrong.append(f"{name}: {type(error).__name__}: {error}")
            with self.lock:
                self.busy -= 1
                self.counts[name] += 1
        client.close()

    @staticmethod
    def pick(kinds, chance):
        return chance.choices([kind for _, kind in kinds], [weight for weight, _ in kinds])[0]

    def honest(self, client, chance):
        kind = self.pick(HONEST_KINDS, chance)
        try:
            kind(client, chance, self)
        except Wrong as error:
            raise Wrong(f"{kind.__name__}: {error}")
        return kind.__name__

    def hostile(self, client, chance):
        if chance.random() < 0.15:
            hostile_group(client, chance)
            return "hostile_group"
        return hostile(self.box, client, chance)

    def rude(self, client, chance):
        kind = self.pick(RUDE_KINDS, chance)
        time.sleep(chance.random() * 0.1)
        try:
            kind(client, chance)
        except Wrong as error:
            raise Wrong(f"{kind.__name__}: {error}")
        return kind.__name__

    def pause(self):
        self.on.clear()
        end = time.monotonic() + 60
        while self.busy and time.monotonic() < end:
            time.sleep(0.05)
        expect(self.busy == 0, self.busy, "clients still wait for an answer")

    def end(self):
        self.over = True
        self.on.set()
        for thread in self.threads:
            thread.join(30)


# ---- the delay of honest runs: measured by a process of its own, whose clock nobody holds up ----

def probe(address, seconds):
    host_name, port = address.rsplit(":", 1)
    client = Client(type("", (), {"address": address}), PROBE)
    body = json.dumps({"cmd": [command("/bin/echo", "probe")]}).encode()
    found, end = [], time.monotonic() + seconds
    while time.monotonic() < end:
        begin = time.monotonic()
        answer = client.exchange("POST", "/run", body)
        found.append(time.monotonic() - begin)
        if answer.status != 200 or answer.json[0]["status"] != OK or answer.json[0]["files"]["stdout"] != "probe\n":
            raise Wrong(answer)
        time.sleep(0.05)
    print(json.dumps(found))


def start_probe(service, seconds):
    return subprocess.Popen([sys.executable, os.path.abspath(__file__), "--probe", service.address, "--seconds", str(seconds)],
                            stdout=subprocess.PIPE, text=True)


def quantiles(process):
    values = sorted(json.loads(process.communicate()[0] or "[0]"))
    return {"runs": len(values), "p50": values[len(values) // 2], "p99": values[len(values) * 99 // 100], "max": values[-1]}


def told(delay):
    return ", ".join(f"{key} {value * 1000:.1f} ms" if key != "runs" else f"{value} runs" for key, value in delay.items())


# ---- what must not grow ----

def cpu_seconds(pid):
    fields = host.read(f"/proc/{pid}/stat").rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def state(service):
    client = Client(service, PROBE)
    counts = Watch(service.process).read()
    pid = service.process.pid
    counts["own_descriptors"] = len(os.listdir(f"/proc/{pid}/fd"))
    counts["threads"] = len(os.listdir(f"/proc/{pid}/task"))
    counts["cgroups"] = len(host.cgroups())
    counts["stored"] = len(client.exchange("GET", "/file").json)
    before = cpu_seconds(pid)
    client.close()
    time.sleep(2)
    counts["idle_cpu"] = cpu_seconds(pid) - before
    return counts


def compare(first, last, slots):
    wrong = []
    # how many containers wait for groups depends on the last ones; each costs a process and what belongs to it
    more = max(0, last["processes"] - first["processes"])
    if last["processes"] > 2 + slots * 3:
        wrong.append(f"{last['processes']} processes for {slots} slots")
    if last["own_descriptors"] > first["own_descriptors"] + more * 40 + 4:
        wrong.append(f"descriptors grew: {first} {last}")
    if not SANITIZED and last["memory"] > first["memory"] + more * 4 * MIB + 24 * MIB:
        wrong.append(f"memory grew: {first} {last}")
    if last["threads"] != first["threads"]:
        wrong.append(f"threads: {first} {last}")
    for counts in (first, last):
        if counts["stored"] != 0:
            wrong.append(f"{counts['stored']} stored files are left")
        if counts["idle_cpu"] > 0.1:
            wrong.append(f"the idle service took {counts['idle_cpu']} s of CPU time in 2 s")
    return wrong


def soak(options, box, report):
    wrong = []
    with tempfile.TemporaryDirectory(prefix="soak-serve-") as folder:
        with Service(box.cjudge, "-cgroup-prefix", host.CGROUP_PREFIX, "-header-timeout", f"{HEAD_TIMEOUT_SECONDS}s", folder=folder) as service:
            slots = int(next(line for line in service.log() if line["message"] == "ready")["slots"])
            idle = quantiles(start_probe(service, 5))
            report(f"idle: {told(idle)}")
            load = Load(service, box, options.seed)
            seconds = options.minutes * 60
            marks = []
            for part in (0.1, 0.9):
                watching = start_probe(service, seconds * part)
                load.on.set()
                time.sleep(seconds * part)
                loaded = quantiles(watching)
                load.pause()
                report(f"under load: {told(loaded)}")
                time.sleep(SETTLE_SECONDS)
                marks.append(state(service))
                report(f"  {marks[-1]}")
            load.end()
            wrong += load.wrong + compare(*marks, slots)
            report("done: " + ", ".join(f"{name} {count}" for name, count in sorted(load.counts.items())))
            bound = 2 * idle["p99"] + JOB_SECONDS
            report(f"p99 of honest runs: {loaded['p99'] * 1000:.0f} ms; twice idle and a job's own time: {bound * 1000:.0f} ms")
            if loaded["p99"] > bound * options.slack or loaded["runs"] < 2:
                wrong.append(f"honest runs wait too long: {loaded}, idle {idle}")
            begin = time.monotonic()
            expect(Client(service, PROBE).run(command("/bin/echo", "alive"))["files"]["stdout"] == "alive\n", "not alive")
            wrong += [f"alive only after {time.monotonic() - begin:.1f} s"] * (time.monotonic() - begin > 5)
            errors = [line for line in service.log() if line.get("level") == "error"]
            report(f"{len(errors)} errors in the log")
            wrong += [f"log: {line}" for line in errors]
            status = service.stop()
            wrong += [f"exit status {status}"] * (status != 0)
    return wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cjudge", default=os.environ.get("CJUDGE", os.path.join(HERE, "../../build/cjudge")))
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--slack", type=float, default=4, help="how many times the bound on delay is tolerated: others may use the machine")
    parser.add_argument("--probe", help=argparse.SUPPRESS)
    parser.add_argument("--seconds", type=float, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.probe:
        return probe(options.probe, options.seconds)
    host.adopt_orphans()
    if not os.path.abspath(options.cjudge).startswith("/tmp/"):
        host.make_private()
    with tempfile.TemporaryDirectory(prefix="soak-programs-") as folder:
        box = box_module.Box(os.path.abspath(options.cjudge), box_module.programs(folder))
        before, dead = host.Snapshot(), dead_groups()
        wrong = soak(options, box, lambda text: print(text, flush=True))
        wrong += before.differences(5.0)
        for _ in range(100):  # they go when their last page does
            grown = {name: (dead[name], now) for name, now in dead_groups().items() if now > dead[name] + 10}
            if not grown:
                break
            time.sleep(0.1)
        wrong += [f"dead groups of {name}: {old} became {now}" for name, (old, now) in grown.items()]
    for text in wrong[:50]:
        print("WRONG", text)
    print(f"{options.minutes} minutes, {len(wrong)} differences")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
