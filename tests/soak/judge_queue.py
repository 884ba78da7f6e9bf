#!/usr/bin/env python3
"""What the queue of the judging API costs and whom it keeps waiting, measured at a service of its own.

    python3 tests/soak/judge_queue.py --cjudge build/cjudge [--submissions 100000] [--seconds 30]

Memory for each submission that waits, above its text; the delay of single requests while a long batch has all slots,
against idle; results in order, as they come; what a client that hangs up leaves. Prints figures; leaves with 1 when one is
beyond its bound. Delays mean something on a machine that does nothing else. Standard library only."""
import argparse
import contextlib
import json
import os
import re
import socket
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../e2e"))

from service import Service  # noqa: E402

BYTES_BOUND = 300
failures = []


def bound(name, value, most, unit):
    verdict = "" if value <= most else "   <- above its bound"
    print(f"{name:58} {value:12.3f} {unit:6} (at most {most:.3f}){verdict}", flush=True)
    if value > most:
        failures.append(name)


def python(solution, **more):
    return {"type": "python", "solution": solution, **more}


def post(service, path, submissions):
    """A connection on which the batch was sent; the answer is the caller's to read."""
    body = json.dumps({"submissions": submissions}).encode()
    host, port = service.judge_addresses[0].rsplit(":", 1)
    connection = socket.create_connection((host, int(port)))
    connection.settimeout(600)
    connection.sendall(f"POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n"
                       f"content-length: {len(body)}\r\n\r\n".encode())
    connection.sendall(body)
    return connection


def waiting(service):
    return service.judge("GET", "/status").json["queue"]


def wait_for(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise SystemExit("judge_queue: it does not happen")
        time.sleep(0.02)


def quantile(values, share):
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def memory(cjudge, count):
    """Bytes above the text of each, once the body is read. The slot is busy all the time."""
    with Service(cjudge, "-parallelism", 1, judge="127.0.0.1:0", env={"MAX_EXECUTION_TIME": "600"}) as service:
        service.judged("/run", python("print(1)"))
        holder = post(service, "/run/long-batch", [python("import time; time.sleep(600)")])
        time.sleep(1)
        for size in (20, 400, 4000):
            submissions = [python("x" * size + str(i), input="i", expected_output="e") for i in range(count * 20 // max(size, 20))]
            text = sum(len(one["solution"]) + 2 for one in submissions)
            before = service.rss()
            connection = post(service, "/run/long-batch", submissions)
            wait_for(lambda: waiting(service) >= len(submissions) - 2)
            used = (service.rss() - before - text) / len(submissions)
            bound(f"memory above its text, {len(submissions)} of {size} bytes each", used, BYTES_BOUND, "bytes")
            start = time.monotonic()
            connection.close()
            wait_for(lambda: waiting(service) < 3)
            bound("  from hanging up to an empty queue", time.monotonic() - start, 1.0, "s")
        holder.close()


def read_all(connection, pieces):
    with contextlib.suppress(OSError):
        while piece := connection.recv(65536):
            pieces.append(piece)


def single(service):
    start = time.monotonic()
    result = service.judged("/judge", python("print(1)", expected_output="1"))
    if not result["success"]:
        raise SystemExit(f"judge_queue: a single request failed: {result}")
    return time.monotonic() - start


def delays(cjudge, seconds):
    # what waits too long is to be seen as a delay
    with Service(cjudge, judge="127.0.0.1:0", env={"MAX_QUEUE_WORK_LIFE_TIME": "60"}) as service:
        job = python("import time\nend = time.process_time() + 0.2\nwhile time.process_time() < end:\n    pass")
        for _ in range(10):
            single(service)
        idle = [single(service) for _ in range(200)]
        slots = service.judge("GET", "/status").json["num_workers"]
        connection = post(service, "/judge/long-batch", int(2 * slots * seconds / 0.2) * [job])
        pieces = []
        reader = threading.Thread(target=read_all, args=(connection, pieces), daemon=True)
        reader.start()
        time.sleep(1)
        end, busy = time.monotonic() + seconds, []
        while time.monotonic() < end:
            busy.append(single(service))
        if waiting(service) == 0:
            raise SystemExit("judge_queue: the batch has ended before the measurement")
        # a job's own time at the same time, so that what else the machine does counts on both sides
        own = quantile([float(cost) for cost in re.findall(rb'"cost":([0-9.e-]+)', b"".join(pieces))], .99)
        print(f"idle p50 {quantile(idle, .5) * 1e3:.1f} ms, p99 {quantile(idle, .99) * 1e3:.1f} ms; "
              f"during the batch p50 {quantile(busy, .5) * 1e3:.1f} ms ({len(busy)} requests); one job {own * 1e3:.0f} ms")
        bound("p99 of single requests during a long batch", quantile(busy, .99), 2 * quantile(idle, .99) + own, "s")
        connection.shutdown(socket.SHUT_RDWR)
        reader.join()
        connection.close()


def order(cjudge):
    """Each result comes while the next job still runs, and in order."""
    with Service(cjudge, "-parallelism", 2, judge="127.0.0.1:0") as service:
        count = 12
        connection = post(service, "/run/long-batch", [python(f"import time; time.sleep({0.6 if i % 4 == 0 else 0.1})\nprint({i})")
                                                       for i in range(count)])
        seen, times, start = b"", [], time.monotonic()
        while piece := connection.recv(65536):
            seen += piece
            while len(times) < seen.count(b'"stdout"'):
                times.append(time.monotonic() - start)
        places = [seen.index(b'"stdout":"%d\\n"' % i) for i in range(count)]
        if places != sorted(places) or len(times) != count:
            failures.append("order")
        bound("the first of 12 results came, as a share of the whole time", times[0] / times[-1], 0.5, "")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cjudge", default="build/cjudge")
    parser.add_argument("--submissions", type=int, default=100000)
    parser.add_argument("--seconds", type=float, default=30)
    options = parser.parse_args()
    cjudge = os.path.abspath(options.cjudge)
    memory(cjudge, options.submissions)
    order(cjudge)
    delays(cjudge, options.seconds)
    if failures:
        sys.exit(f"judge_queue: beyond the bound: {', '.join(failures)}")


if __name__ == "__main__":
    main()
