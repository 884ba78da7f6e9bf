"""`cjudge serve` as an operator sees it: settings, signals, logs."""
import concurrent.futures
import json
import os
import re
import signal
import subprocess
import time

import pytest

from service import accepted, command, processes, refused, shell, wait_for

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: control groups")
kept = pytest.mark.kept
better = pytest.mark.better

# ---- the service itself ----

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
    with concurrent.futures.ThreadPoolExecutor() as pool:
        running = [pool.submit(service.run, shell("sleep 0.5; echo hi")) for _ in range(2)]
        time.sleep(0.3)
        assert service.stop() == 0
        assert [accepted(future.result()) for future in running] == ["hi\n"] * 2
    messages = [line["message"] for line in service.log()]
    assert messages[-2:] == ["stopping", "stopped"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_draining_has_an_end(serve, number):
    service = serve("-parallelism", 1, "-drain-timeout", "300ms")
    word = f"drain-{os.getpid()}-{number}"
    with concurrent.futures.ThreadPoolExecutor() as pool:
        running = [pool.submit(service.post_run, {"cmd": [command("/bin/sleep", "60", clockLimit=10**11, args=[
            "/bin/sh", "-c", "sleep 60", word])]}) for _ in range(2)]
        wait_for(lambda: processes(word))
        begun = time.monotonic()
        assert service.stop(number) == 0
        assert 0.3 <= time.monotonic() - begun < 3
        for future in running:
            assert refused(future.result(), status=503) == "worker is shutting down"
    assert not processes(word)


def test_a_second_signal_does_not_wait(serve):
    service = serve("-parallelism", 1, "-drain-timeout", "30s")
    with concurrent.futures.ThreadPoolExecutor() as pool:
        running = pool.submit(service.post_run, {"cmd": [command("/bin/sleep", "60", clockLimit=10**11)]})
        time.sleep(0.3)
        service.process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        assert service.process.poll() is None
        begun = time.monotonic()
        assert service.stop(signal.SIGTERM) == 0
        assert time.monotonic() - begun < 5
        assert running.result().status == 503


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
