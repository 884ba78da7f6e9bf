#!/usr/bin/env python3
"""What moving large files through the service costs, as ratios to cat and cp of the same bytes.

    python3 bench/io.py [--cjudge build/cjudge] [--sizes 64,256] [--pairs 7] [--json] [--goals]

Each way that a file takes has a baseline of coreutils between files in memory; baseline and service take turns, and
each pair of neighbours gives one ratio. Beside it stands how much the service's own resident memory grew at most
meanwhile (VmHWM, proc_pid_status(5)): the pages of the store, which lies in memory, are files and not its own.
Standard library only."""
import argparse
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../tests/e2e"))

from service import Service, collector  # noqa: E402

MIB = 1 << 20
GROWTH_GOAL = 64 * MIB  # of the service, during an upload of 256 MiB
READ_SIZE = MIB
LINE = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ .\n"  # what test data looks like: no escapes


def shell(script, **more):
    return {"args": ["/bin/sh", "-c", script], "env": ["PATH=/usr/bin:/bin"], "cpuLimit": 60 * 10**9,
            "clockLimit": 120 * 10**9, "memoryLimit": 2048 * MIB, "procLimit": 16, **more}


class Wire:
    """One keep-alive connection that reads answers into a buffer it keeps."""

    def __init__(self, service, room):
        self.socket = service.socket()
        self.buffer = bytearray(room)

    def exchange(self, head, *parts):
        """Returns (status, view of the body); chunked answers are left as they are on the wire."""
        length = sum(len(part) for part in parts)
        self.socket.sendall(f"{head}\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n".encode())
        for part in parts:
            self.socket.sendall(part)
        return self.answer()

    def answer(self):
        view, size = memoryview(self.buffer), 0
        end, total, chunked, status = -1, None, False, 0
        while end < 0 or (size < total if not chunked else bytes(view[max(size - 5, 0):size]) != b"0\r\n\r\n"):
            got = self.socket.recv_into(view[size:], min(READ_SIZE, len(view) - size))
            if got == 0:
                raise ConnectionError("the service has closed the connection")
            size += got
            if end < 0:
                end = self.buffer.find(b"\r\n\r\n", 0, size)
                if end >= 0:
                    head = bytes(view[:end]).decode().lower().split("\r\n")
                    status = int(head[0].split()[1])
                    chunked = "transfer-encoding: chunked" in head
                    told = [line.split(":")[1] for line in head if line.startswith("content-length:")]
                    total = end + 4 + (int(told[0]) if told else 0)
        return status, view[end + 4:size]

    def run(self, command):
        status, body = self.exchange("POST /run HTTP/1.1", json.dumps({"cmd": [command]}).encode())
        if status != 200 or b'"status":"Accepted"' not in bytes(body[:200]):
            raise AssertionError(f"{status}: {bytes(body[:500])!r}")
        return body


class Place:
    """The baselines' folder, in memory."""

    def __init__(self, folder, size):
        self.folder, self.size = folder, size
        self.source = os.path.join(folder, "source")
        with open(self.source, "wb") as file:
            file.write((LINE * (size // len(LINE) + 1))[:size])

    def shell(self, script):
        subprocess.run(["/bin/sh", "-c", script], cwd=self.folder, check=True)

    def read(self, script):
        """What the script writes is read through a pipe, and kept."""
        process = subprocess.Popen(["/bin/sh", "-c", script], cwd=self.folder, stdout=subprocess.PIPE)
        view, size = memoryview(bytearray(self.size)), 0
        while size < self.size and (got := process.stdout.readinto(view[size:size + READ_SIZE])) > 0:
            size += got
        if process.wait() != 0 or size != self.size:
            raise AssertionError(f"{script}: {size} bytes")

    def clean(self):
        for name in os.listdir(self.folder):
            if name != "source":
                os.unlink(os.path.join(self.folder, name))


class Ways:
    """name -> (baseline, served); what served has stored is removed behind the clock."""

    def __init__(self, service, place):
        self.place, self.size = place, place.size
        self.wire = Wire(service, 2 * place.size + MIB)
        with open(place.source, "rb") as file:
            self.content = file.read()
        self.kept = self.upload()
        self.stored = []
        limit = self.size + MIB
        outputs = [{"fileId": self.kept}, collector("stdout", limit, pipe=True), collector("stderr", pipe=True)]
        to_file = [{"fileId": self.kept}, collector("stdout", limit), collector("stderr")]
        null = [{"fileId": self.kept}, collector("stdout", pipe=True), collector("stderr", pipe=True)]
        self.all = {
            "upload": (lambda: place.shell("cp source copy"), self.upload_and_note),
            "download": (lambda: place.read("cat source"), self.download),
            "standard input": (lambda: place.shell("cat < source > /dev/null"),
                               lambda: self.wire.run(shell("cat > /dev/null", files=null))),
            "copied in": (lambda: place.shell("cp source copy"),
                          lambda: self.wire.run(shell(":", files=null, copyIn={"copy": {"fileId": self.kept}}))),
            "copied out, stored": (lambda: place.shell("cat < source > out; cp out copy"),
                                   lambda: self.note(self.wire.run(shell("cat > out", files=null, copyOutCached=["out"])))),
            "copied out": (lambda: place.read("cat < source > out; cat out"),
                           lambda: self.whole(self.wire.run(shell("cat > out", files=null, copyOut=["out"])))),
            "collected, pipe": (lambda: place.read("cat < source"),
                                lambda: self.whole(self.wire.run(shell("cat", files=outputs)))),
            "collected, file": (lambda: place.read("cat < source > out; cat out"),
                                lambda: self.whole(self.wire.run(shell("cat", files=to_file)))),
        }

    def upload(self):
        head = (b'--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n'
                b"Content-Type: application/octet-stream\r\n\r\n")
        status, body = self.wire.exchange("POST /file HTTP/1.1\r\nContent-Type: multipart/form-data; boundary=b",
                                          head, memoryview(self.content), b"\r\n--b--\r\n")
        if status != 200:
            raise AssertionError(f"{status}: {bytes(body)!r}")
        return json.loads(bytes(body))

    def upload_and_note(self):
        self.stored.append(self.upload())

    def note(self, body):
        self.stored += json.loads(bytes(body))[0]["fileIds"].values()

    def whole(self, body):
        if len(body) < self.size:
            raise AssertionError(f"{len(body)} of {self.size} bytes came back")

    def download(self):
        status, body = self.wire.exchange(f"GET /file/{self.kept} HTTP/1.1")
        if status != 200 or len(body) != self.size:
            raise AssertionError(f"{status}: {len(body)} bytes")

    def clean(self):
        for name in self.stored:
            self.wire.exchange(f"DELETE /file/{name} HTTP/1.1")
        self.stored = []
        self.place.clean()


def timed(action):
    begin = time.monotonic()
    action()
    return time.monotonic() - begin


def measure(service, ways, name, pairs):
    bare, served = ways.all[name]
    times = {bare: [], served: []}
    growth = 0
    for number in range(pairs + 1):
        for action in ((bare, served), (served, bare))[number % 2]:
            before = service.rss()
            service.reset_peak()
            elapsed = timed(action)
            if action is served:
                growth = max(growth, service.peak() - before)
            if number > 0:  # the first pair warms up
                times[action].append(elapsed)
            ways.clean()
    ratios = sorted(mine / theirs for mine, theirs in zip(times[served], times[bare]))
    return {"way": name, "size_mib": ways.size // MIB, "ratio": statistics.median(ratios),
            "ratio_q1": ratios[len(ratios) // 4], "ratio_q3": ratios[len(ratios) * 3 // 4],
            "bare_ms": statistics.median(times[bare]) * 1000, "served_ms": statistics.median(times[served]) * 1000,
            "growth_mib": growth / MIB}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cjudge", default=os.path.join(HERE, "../build/cjudge"))
    parser.add_argument("--sizes", default="64,256", help="MiB, with commas")
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--ways", help="only those, with commas")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--goals", action="store_true", help="fail when a goal is missed")
    options = parser.parse_args()
    missed = False
    found = []
    if not options.json:
        print(f"{'way':20} {'MiB':>4}  {'ratio (quartiles)':20} {'bare ms':>8} {'served ms':>9}  growth MiB", flush=True)
    with tempfile.TemporaryDirectory(prefix="bench-io-", dir="/dev/shm") as folder, \
            tempfile.TemporaryDirectory(prefix="bench-io-") as log, \
            Service(os.path.abspath(options.cjudge), "-tmp-fs-param", "size=1g,nr_inodes=4k", "-output-limit", "1g",
                    "-copy-out-limit", "1g", "-file-store-limit", "2g", folder=log) as service:
        for size in options.sizes.split(","):
            ways = Ways(service, Place(folder, int(size) * MIB))
            for name in options.ways.split(",") if options.ways else ways.all:
                row = measure(service, ways, name, options.pairs)
                found.append(row)
                if not options.json:
                    ratio = f"{row['ratio']:.2f} ({row['ratio_q1']:.2f}-{row['ratio_q3']:.2f})"
                    print(f"{name:20} {size:>4}  {ratio:20} {row['bare_ms']:8.1f} {row['served_ms']:9.1f}  "
                          f"{row['growth_mib']:.1f}", flush=True)
                missed |= name == "upload" and row["growth_mib"] * MIB >= GROWTH_GOAL
            shutil.rmtree(folder, ignore_errors=True)
            os.makedirs(folder)
    if options.json:
        print(json.dumps(found, indent=2))
    if options.goals and missed:
        print("missed: the service grew by 64 MiB or more during an upload", file=sys.stderr)
    return options.goals and missed


if __name__ == "__main__":
    sys.exit(main())
