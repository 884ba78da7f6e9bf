#!/usr/bin/env python3
"""Mixed requests to one `cjudge serve`, comparing what must not grow and how long honest requests take.

    python3 tests/soak/mixed_requests.py --cjudge build/cjudge --seconds 600 [--clients 8]

Clients run programs and check their answers, upload and delete files, hang up at any moment, send what is
no request, read slowly, and run programs that misbehave. After a tenth of the time and at the end the
service's descriptors and memory, its stored files and its processes are read. Leaves with 1 on a difference.
Standard library only."""
import argparse
import json
import os
import random
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../e2e"))

from service import MIB, READER, SANITIZED, WRITER, Service, collector, command, pipe_between, python, shell

TIME, MEMORY, OUTPUT = "Time Limit Exceeded", "Memory Limit Exceeded", "Output Limit Exceeded"
PATIENT = {"clockLimit": 60 * 10**9}

HOSTILE = [  # command, statuses that it may have
    (shell(":(){ :|:& };:", procLimit=16, cpuLimit=50000000), None),
    (python("x = []\nwhile True: x.append(b'x' * 100000)", memoryLimit=16 * MIB, **PATIENT), {MEMORY}),
    (shell("while :; do echo flood; done", files=[{"content": ""}, collector("stdout", 100, pipe=True)], **PATIENT),
     {OUTPUT, TIME}),
    (shell("while :; do :; done", cpuLimit=30000000, **PATIENT), {TIME}),
    (command("/bin/sleep", "9", clockLimit=50000000), {TIME}),
    (shell("chmod 0 /w; mkdir -p /tmp/a/b/c; (sleep 9; echo x > /w/late) & kill -9 $$"), {"Signalled"}),
    (shell("for i in $(seq 200); do echo $i > f$i; done; ln -s / root; mkfifo pipe", **PATIENT), {"Accepted"}),
    (shell("exec 0<&- 1>&- 2>&-; sleep 0.01"), {"Accepted"}),
]


class Load:
    def __init__(self, service, seconds):
        self.service, self.end = service, time.monotonic() + seconds
        self.lock, self.wrong, self.counts, self.waits = threading.Lock(), [], {}, []

    def fail(self, text):
        with self.lock:
            self.wrong.append(text)

    def client(self, seed):
        kinds = [self.honest] * 6 + [self.file, self.pair, self.hang_up, self.garbage, self.hostile, self.slow_reader]
        dice = random.Random(seed)
        while time.monotonic() < self.end and len(self.wrong) < 20:
            kind = dice.choice(kinds)
            try:
                kind(dice)
            except Exception as error:  # whatever it is, it belongs into the report
                self.fail(f"{kind.__name__}: {type(error).__name__}: {error}")
            with self.lock:
                self.counts[kind.__name__] = self.counts.get(kind.__name__, 0) + 1

    def expect(self, result, statuses, what):
        if statuses and result["status"] not in statuses:
            self.fail(f"{what}: {result}")

    def honest(self, dice):
        number = dice.randrange(10**9)
        begun = time.monotonic()
        result = self.service.run(command("/bin/echo", str(number), **PATIENT))
        with self.lock:
            self.waits.append(time.monotonic() - begun)
        if result["status"] != "Accepted" or result["files"]["stdout"] != f"{number}\n":
            self.fail(f"honest: {result}")

    def file(self, dice):
        content = dice.randbytes(dice.choice([0, 10, 100000, 3 * MIB]))
        name = self.service.put("data", content)
        result = self.service.run(shell("cat copy | cmp - input && echo same", copyIn={
            "copy": {"fileId": name}, "input": {"fileId": name}}, copyOutCached=["copy"], **PATIENT))
        if result["files"]["stdout"] != "same\n":
            self.fail(f"file: {result}")
        stored = result["fileIds"]["copy"]
        if self.service.get("/file/" + stored).body != content:
            self.fail("file: what is stored is not what was copied")
        for used in (name, stored):
            if self.service.request("DELETE", "/file/" + used).status != 200:
                self.fail("file: not deleted")

    def pair(self, dice):
        results = self.service.run_all(
            shell("seq 1000", files=WRITER, **PATIENT), command("/usr/bin/tail", "-n", "1", files=READER, **PATIENT),
            pipes=[pipe_between((0, 1), (1, 0), proxy=dice.random() < 0.5, name="copy", max=10)])
        if [r["status"] for r in results] != ["Accepted"] * 2 or results[1]["files"]["stdout"] != "1000\n":
            self.fail(f"pair: {results}")

    def hang_up(self, dice):
        body = json.dumps({"cmd": [shell("echo x > f; sleep 5", copyOutCached=["f"], **PATIENT)]}).encode()
        data = b"POST /run HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body
        with self.service.socket() as client:
            client.sendall(data[:dice.randrange(len(data))] if dice.random() < 0.3 else data)
            time.sleep(dice.random() * 0.15)

    def garbage(self, dice):
        kind = dice.randrange(4)
        if kind == 0:
            with self.service.socket() as client:
                client.sendall(dice.randbytes(dice.randrange(1, 2000)))
                client.settimeout(0.2)
                try:
                    client.recv(1000)
                except OSError:
                    pass
        elif kind == 1:
            body = bytearray(json.dumps({"cmd": [command()]}).encode())
            for _ in range(3):
                body[dice.randrange(len(body))] = dice.randrange(256)
            answer = self.service.post_run(bytes(body))
            if answer.status not in (200, 400, 500):
                self.fail(f"garbage: {answer}")
        elif kind == 2:
            if self.service.post_run({"cmd": [command(files=[{"fileId": "NOSUCH"}])]}).status != 400:
                self.fail("garbage: an unknown id")
        elif self.service.request("POST", "/file", body=dice.randbytes(5000), headers={
                "Content-Type": "multipart/form-data; boundary=B"}).status != 400:
            self.fail("garbage: an upload")

    def hostile(self, dice):
        one, statuses = dice.choice(HOSTILE)
        self.expect(self.service.run(one), statuses, one["args"][-1])

    def slow_reader(self, dice):
        one = command("/usr/bin/head", "-c", str(2 * MIB), "/dev/zero", files=[
            {"content": ""}, collector("stdout", 4 * MIB, pipe=True)], **PATIENT)
        body = json.dumps({"cmd": [one]}).encode()
        with self.service.socket() as client:
            client.sendall(b"POST /run HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            for _ in range(dice.randrange(20)):
                if not client.recv(30000):
                    self.fail("slow_reader: cut")
                time.sleep(0.01)


def state(service):
    return {"descriptors": service.descriptors(), "memory": service.rss(), "files": len(service.get("/file").json)}


def middle(waits):
    return sorted(waits)[len(waits) // 2] if waits else 0.0


def idle_wait(service):
    waits = []
    for _ in range(50):
        begun = time.monotonic()
        service.run(command())
        waits.append(time.monotonic() - begun)
    return middle(waits)


def run_load(service, seconds, clients, seed):
    load = Load(service, seconds)
    threads = [threading.Thread(target=load.client, args=(seed + n,)) for n in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return load


def settled(service, early):
    """The last answers are read and the last runs cancelled."""
    for _ in range(100):
        late = state(service)
        if late["descriptors"] <= early["descriptors"] and late["files"] == 0:
            break
        time.sleep(0.1)
    return late


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cjudge", default=os.environ.get("CJUDGE", os.path.join(HERE, "../../build/cjudge")))
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="soak-serve-") as folder:
        with Service(os.path.abspath(options.cjudge), folder=folder) as service:
            idle = idle_wait(service)
            first = run_load(service, options.seconds / 10, options.clients, options.seed)
            early = settled(service, state(service))
            second = run_load(service, options.seconds * 9 / 10, options.clients, options.seed + 1000)
            late = settled(service, early)
            wrong = first.wrong + second.wrong
            for line in service.log():
                if line["level"] == "error":
                    wrong.append(f"log: {line}")
            if service.process.poll() is not None:
                wrong.append("the service has ended")
        if service.process.returncode != 0:
            wrong.append(f"it ended with {service.process.returncode}")
    if late["descriptors"] > early["descriptors"] or late["files"] != 0 or (
            not SANITIZED and late["memory"] - early["memory"] > 16 * MIB):
        wrong.append(f"{early} became {late}")
    for text in wrong[:50]:
        print("WRONG", text)
    print(f"idle {idle * 1000:.1f} ms, loaded {middle(second.waits) * 1000:.1f} ms; {early} became {late}")
    print(f"{second.counts}: {len(wrong)} differences")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
