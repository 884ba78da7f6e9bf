"""`cjudge serve` as an operator sees it: settings, signals, logs."""
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import time

import pytest

from service import accepted, command, processes, python, refused, shell, wait_for

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: control groups")
kept = pytest.mark.kept
better = pytest.mark.better

# ---- settings ----

AFFINITY = "import os; print(*os.sched_getaffinity(0))"
needs_two_cpus = pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one CPU")


def cpus_of(service, **more):
    result = service.run(python(AFFINITY, **more))
    return [int(number) for number in accepted(result).split()]


@needs_two_cpus
def test_slots_are_bound_to_cpus(serve):
    first, second = sorted(os.sched_getaffinity(0))[:2]
    one = serve("-parallelism", 1)
    assert len(cpus_of(one)) == 1
    assert cpus_of(one, cpuSetLimit=f"{first},{second}") == [first, second]
    free = serve("-parallelism", 1, "-no-pinning")
    assert set(cpus_of(free)) == os.sched_getaffinity(0)
    chosen = serve("-cpuset", f"{second}", "-parallelism", 7)
    assert cpus_of(chosen) == [second]
    assert [line["slots"] for line in chosen.log() if line["message"] == "ready"] == [1]
    wide = serve("-cpuset", f"{first}-{second}")
    assert cpus_of(wide) == list(range(first, second + 1))
    assert cpus_of(wide, cpuSetLimit=str(first)) == [first]


@needs_two_cpus
def test_who_may_use_more_than_one_cpu_is_not_bound_to_one(serve):
    every = os.sched_getaffinity(0)
    rated = serve("-parallelism", 1, "-enable-cpu-rate")
    assert set(cpus_of(rated, cpuRateLimit=2000)) == every
    assert len(cpus_of(rated, cpuRateLimit=1000)) == 1
    chosen = serve("-cpuset", min(every), "-enable-cpu-rate")
    assert cpus_of(chosen, cpuRateLimit=2000) == [min(every)]
    assert len(cpus_of(serve("-parallelism", 1), cpuRateLimit=2000)) == 1


@kept
def test_limits_that_the_operator_sets(serve):
    service = serve("-parallelism", 1, "-default-cpu-limit", "100ms", "-default-clock-limit", "300ms", "-default-memory-limit",
                    "16m", "-default-proc-limit", 3, "-open-file-limit", 17, "-copy-out-limit", 5, "-tmp-fs-param", "size=1m",
                    "-extra-memory-limit", "1m")
    nothing = {"cpuLimit": None, "clockLimit": None, "memoryLimit": None, "procLimit": None}
    spins = service.run(shell("while :; do :; done", **{**nothing, "clockLimit": 20 * 10**9}))
    assert spins["status"] == "Time Limit Exceeded" and 0.1e9 <= spins["time"] < 0.2e9
    sleeps = service.run(shell("sleep 5", **nothing))
    assert sleeps["status"] == "Time Limit Exceeded" and 0.3e9 <= sleeps["runTime"] < 1e9
    assert service.run(python("x = b'x' * (32 << 20)", **nothing))["status"] == "Memory Limit Exceeded"
    assert service.run(shell("sleep 1 & sleep 1 & sleep 1 & wait", **nothing))["status"] != "Accepted"
    assert accepted(service.run(shell("ulimit -n"))) == "17\n"
    copied = service.run(shell("printf 123456 > f", copyOut=["f"]))
    assert copied["error"] == 'copyout: "f" size (6) exceeds limit (5)'
    assert service.run(shell("head -c 2000000 /dev/zero > f"))["status"] == "Nonzero Exit Status"


@kept
def test_files_in_the_current_directory(serve, tmp_path):
    folder = tmp_path / "configured"
    folder.mkdir()
    (folder / "mount.yaml").write_text("""
mount:
  - {type: bind, source: /bin, target: /bin, readonly: true}
  - {type: bind, source: /lib, target: /lib, readonly: true}
  - {type: bind, source: /lib64, target: /lib64, readonly: true}
  - {type: bind, source: /usr, target: /usr, readonly: true}
  - {type: tmpfs, target: /work, data: "size=1m"}
workDir: /work
hostName: judge
domainName: example
uid: 1234
gid: 1235
""")
    service = serve("-parallelism", 1, folder=str(folder))
    assert accepted(service.run(shell("pwd; uname -n; id -u; id -g"))).split() == ["/work", "judge", "1234", "1235"]
    runner = service.get("/config").json["runnerConfig"]
    assert (runner["workDir"], runner["hostName"], runner["domainName"]) == ("/work", "judge", "example")
    assert (runner["uid"], runner["gid"]) == (1234, 1235)
    assert [item["Target"] for item in runner["mount"]] == ["bin", "lib", "lib64", "usr", "work"]


@kept
def test_as_process_1_it_listens_everywhere(serve):
    before = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
    if subprocess.run([*before, "true"], capture_output=True).returncode != 0:
        pytest.skip("no pid namespace can be made")
    service = serve("-parallelism", 1, before=before, address=":0")
    assert {address.rsplit(":", 1)[0] for address in service.addresses} <= {"0.0.0.0", "[::]"}
    service.address = "127.0.0.1:" + service.address.rsplit(":", 1)[1]
    assert accepted(service.run(command())) == "hi\n"
    child = subprocess.run(["pgrep", "-P", str(service.process.pid)], capture_output=True, text=True).stdout
    os.kill(int(child), signal.SIGTERM)
    assert service.process.wait(30) == 0


# ---- beginning and end ----

def test_request_ids(service, serve):
    answer = service.request("GET", "/nosuch", headers={"X-Request-Id": "abc-1"})
    assert answer.headers["X-Request-Id"] == "abc-1"
    for bad in ("a b", "x" * 65, 'a"b'):
        made = service.request("GET", "/nosuch", headers={"X-Request-Id": bad}).headers["X-Request-Id"]
        assert re.fullmatch("[0-9a-f]{16}", made)
    loud = serve("-enable-debug", "-parallelism", 1)
    loud.post_run({"cmd": [command()]}, headers={"X-Request-Id": "one"})
    wait_for(lambda: any(line.get("request") == "one" and line["status"] == 200 and line["path"] == "/run"
                         for line in loud.log()))


def test_it_stops_after_what_was_taken(serve):
    service = serve("-parallelism", 1)
    running = [service.begin_run(shell("sleep 0.5; echo hi", clockLimit=10**10)) for _ in range(2)]
    assert service.stop() == 0
    assert [accepted(finish().json[0]) for finish in running] == ["hi\n"] * 2
    messages = [line["message"] for line in service.log()]
    assert messages[-2:] == ["stopping", "stopped"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_draining_has_an_end(serve, number):
    service = serve("-parallelism", 1, "-drain-timeout", "300ms")
    word = f"drain-{os.getpid()}-{number}"
    running = [service.begin_run(command("/bin/sh", "-c", "sleep 60", word, clockLimit=10**11)) for _ in range(2)]
    wait_for(lambda: processes(word))
    begun = time.monotonic()
    assert service.stop(number) == 0
    assert 0.3 <= time.monotonic() - begun < 3
    for finish in running:
        assert refused(finish(), status=503) == "worker is shutting down"
    assert not processes(word)


def test_a_second_signal_does_not_wait(serve):
    service = serve("-parallelism", 1, "-drain-timeout", "30s")
    word = f"second-{os.getpid()}"
    finish = service.begin_run(command("/bin/sh", "-c", "sleep 60", word, clockLimit=10**11))
    wait_for(lambda: processes(word))
    service.process.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    assert service.process.poll() is None
    begun = time.monotonic()
    assert service.stop(signal.SIGTERM) == 0
    assert time.monotonic() - begun < 5
    assert finish().status == 503


def test_clients_that_do_not_take_what_slots_answer(serve):
    """A slot gives a short answer itself; a socket that takes a part of it must leave nothing at work."""
    service = serve("-parallelism", 2, "-drain-timeout", "20s")
    body = json.dumps({"cmd": [shell("head -c 12000 /dev/zero | tr '\\0' x")]}).encode()
    host, port = service.address.rsplit(":", 1)
    for _ in range(3):
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect((host, int(port)))
            client.settimeout(0.5)
            head = f"POST /run HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
            with contextlib.suppress(TimeoutError):
                for _ in range(400):
                    client.sendall(head + body)
            time.sleep(1.5)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    begun = time.monotonic()
    assert service.stop() == 0
    assert time.monotonic() - begun < 5


@kept
def test_pm2_s_sigterm_is_ignored(serve):
    service = serve("-parallelism", 1, env={"NODE_APP_INSTANCE": "0"})
    service.process.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    assert accepted(service.run(command())) == "hi\n"
    assert service.stop(signal.SIGINT) == 0


@better(reason="go-judge logs it and ends with status 0")
def test_an_address_that_is_taken(cjudge, service):
    done = subprocess.run([cjudge, "serve", "-http-addr", service.address, "-parallelism", "1"], timeout=60,
                          capture_output=True, text=True)
    assert done.returncode == 1
    assert service.address in done.stderr and "in use" in done.stderr


@pytest.mark.parametrize("options, words", [
    (["-parallelism", "0"], ["parallelism"]), (["-nosuch"], ["nosuch"]), (["-http-addr", "nonsense"], ["nonsense"]),
    (["-http-addr", "127.0.0.1:99999"], ["99999"]), (["-mount-conf", "/dev/null/x"], ["/dev/null/x"]),
    (["-drain-timeout", "soon"], ["drain-timeout"]), (["-dir", "/proc/nosuch"], ["/proc/nosuch"]),
])
def test_settings_that_cannot_be(cjudge, options, words):
    done = subprocess.run([cjudge, "serve", *options], timeout=60, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("cjudge serve: ")
    for word in words:
        assert word in done.stderr


@kept
def test_localhost_is_every_loopback_address(serve):
    service = serve("-parallelism", 1, address="localhost:0")
    hosts = {address.rsplit(":", 1)[0] for address in service.addresses}
    assert "127.0.0.1" in hosts and hosts <= {"127.0.0.1", "[::1]"}
    assert len({address.rsplit(":", 1)[1] for address in service.addresses}) == 1


def test_a_unix_socket(serve, tmp_path):
    path = str(tmp_path / "socket")
    service = serve("-parallelism", 1, address="unix:" + path)
    done = subprocess.run(["curl", "-s", "--unix-socket", path, "http://x/version"], capture_output=True, timeout=10)
    assert json.loads(done.stdout)["server"] == "cjudge"
    service.stop()
    assert not os.path.exists(path)


def test_what_is_not_built_yet_is_said(serve):
    service = serve("-enable-grpc", "-pre-fork", "3", "-parallelism", 1)
    said = {line.get("option"): line["message"] for line in service.log() if line["level"] == "warn"}
    assert said == {"enable-grpc": "option is not built yet", "pre-fork": "option has no effect here"}


def test_silence(cjudge, tmp_path):
    process = subprocess.Popen([cjudge, "serve", "-silent", "-http-addr", f"unix:{tmp_path}/s", "-parallelism", "1"],
                               stderr=subprocess.PIPE, stdout=subprocess.PIPE)
    wait_for(lambda: os.path.exists(tmp_path / "s"), 30)
    process.terminate()
    assert process.communicate(timeout=30) == (b"", b"")
    assert process.returncode == 0
