"""go-judge's REST door over a real socket: routes, bodies, who may, many and large requests, clients that go away.

A test that has a counterpart in go-judge is marked: its behaviour was kept, or made better, for a reason;
the others are about what its clients never saw."""
import base64
import concurrent.futures
import json
import os
import re
import socket
import time

import pytest

from service import MIB, READER, SANITIZED, WRITER, accepted, collector, command, multipart, pipe_between, processes, refused, shell, wait_for

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: control groups")
kept = pytest.mark.kept
better = pytest.mark.better

# ---- transport ----

@kept
@pytest.mark.parametrize("body, text", [
    ("", "EOF"), (" ", "EOF"), ('{"cmd":[]}', "no cmd provided"), ("{}", "no cmd provided"),
    ("null", "no cmd provided"), ('{"cmd":null}', "no cmd provided"), ("{", "unexpected EOF"),
])
def test_bodies_without_a_command(service, body, text):
    answer = service.post_run(body)
    assert refused(answer) == text
    assert answer.body == json.dumps(text).encode()


@kept
@pytest.mark.parametrize("number", ["1e9", "1.0", "-1", '"5"', "18446744073709551616", "true"])
def test_limits_are_plain_integers(service, number):
    body = json.dumps({"cmd": [command()]}).replace('"cpuLimit": 1000000000', f'"cpuLimit": {number}')
    refused(service.post_run(body), "json: cannot unmarshal", "cmd[0].cpuLimit")


@kept
def test_keys_in_another_case_and_what_follows(service):
    body = json.dumps({"CMD": [command()], "unknown": [{}]}) + " garbage"
    answer = service.post_run(body, headers={"Content-Type": "text/csv"})
    assert answer.status == 200
    assert accepted(answer.json[0]) == "hi\n"
    assert answer.headers["Content-Type"] == "application/json; charset=utf-8"


@kept
def test_answers_are_escaped_as_go_does_and_end_with_a_newline(service):
    answer = service.post_run({"cmd": [command("/bin/echo", "<&>\u2028é")]})
    assert answer.body.endswith(b"\n") and answer.body.count(b"\n") == 1
    assert rb'"stdout":"\u003c\u0026\u003e\u2028' in answer.body
    assert "é\\n".encode() in answer.body


@kept
def test_invalid_utf8_becomes_replacement_characters(service):
    answer = service.post_run({"cmd": [shell(r"printf 'a\377b'")]})
    assert rb'"stdout":"a\ufffdb"' in answer.body


def test_base64_gives_exact_bytes(service):
    one = shell(r"printf 'a\377\000'; printf 'x\377' >&2",
                files=[{"content": ""}, collector("stdout", encoding="base64"), collector("stderr")])
    files = service.run(one)["files"]
    assert base64.b64decode(files["stdout"]) == b"a\xff\0"
    assert files["stderr"] == "x\ufffd"
    all_of_them = shell(r"printf '\376' > f; printf '\377'", copyOut=["f"])
    for body in ({"cmd": [all_of_them], "encoding": "base64"},
                 {"cmd": [{**all_of_them, "encoding": "base64"}]}):
        files = service.post_run(body).json[0]["files"]
        assert files == {"f": "/g==", "stderr": "", "stdout": "/w=="}


@kept
@pytest.mark.parametrize("method, path", [
    ("GET", "/run"), ("GET", "/"), ("GET", "/nosuch"), ("HEAD", "/version"), ("OPTIONS", "/run"), ("POST", "/version"),
    ("PUT", "/file"), ("GET", "/file/..%2Fx"), ("GET", "/file/a/b"), ("GET", "//file"), ("DELETE", "/file"),
    ("GET", "/run/"), ("POST", "/nosuch/"),
])
def test_what_is_no_route(service, method, path):
    answer = service.request(method, path)
    assert answer.status == 404
    assert answer.headers["Content-Type"] == "text/plain"
    assert answer.body == (b"" if method == "HEAD" else b"404 page not found")


@kept
@pytest.mark.parametrize("method, path, status, location", [
    ("GET", "/file/", 301, "/file"), ("POST", "/run/", 307, "/run"), ("POST", "/file/?a=b", 307, "/file?a=b"),
    ("GET", "/version/", 301, "/version"), ("GET", "/file/A%20B/", 301, "/file/A%20B"),
    ("DELETE", "/file/X/", 307, "/file/X"),
])
def test_a_slash_too_many_is_redirected(service, method, path, status, location):
    answer = service.request(method, path)
    assert (answer.status, answer.headers["Location"]) == (status, location)


def test_many_requests_on_one_connection(service):
    connection = service.connection()
    for number in range(5):
        answer = service.post_run({"cmd": [command("/bin/echo", str(number))]}, connection=connection)
        assert accepted(answer.json[0]) == f"{number}\n"
        assert service.request("GET", "/nosuch", connection=connection).status == 404
    connection.close()


def test_chunked_bodies_and_expect_continue(service):
    body = json.dumps({"cmd": [command()]}).encode()
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:7], body[7:])) + b"0\r\n\r\n"
    with service.socket() as client:
        client.sendall(b"POST /run HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n")
        assert client.recv(100).startswith(b"HTTP/1.1 100 ")
        client.sendall(chunks)
        assert client.recv(1000).startswith(b"HTTP/1.1 200 ")


# ---- who may ----

@kept
def test_the_token(serve):
    service = serve(env={"ES_AUTH_TOKEN": "to:ken"})
    run = json.dumps({"cmd": [command()]})
    for path in ("/version", "/config"):
        assert service.get(path).status == 200
    for value in (None, "Bearer to:kem", "bearer to:ken", "Bearer  to:ken", "Bearer to:ken2", "Bearer", "to:ken",
                  "Bearer to:ke", ""):
        headers = {} if value is None else {"Authorization": value}
        for method, path in (("POST", "/run"), ("GET", "/nosuch"), ("GET", "/file"), ("POST", "/file"),
                             ("DELETE", "/file/x"), ("POST", "/version")):
            answer = service.request(method, path, body=run if method == "POST" else None, headers=headers)
            assert (answer.status, answer.body) == (401, b""), (value, path)
    right = {"Authorization": "Bearer to:ken"}
    assert service.request("POST", "/run", body=run, headers=right).status == 200
    assert service.request("GET", "/nosuch", headers=right).status == 404
    assert service.request("GET", "/file/").status == 301  # before the token is looked at
    service.stop()
    assert "to:ken" not in service.log_text()


def test_who_may_not_is_told_before_the_body_comes(serve):
    service = serve("-auth-token", "secret")
    with service.socket() as client:
        client.sendall(b"POST /run HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n")
        assert client.recv(100).startswith(b"HTTP/1.1 401 ")


# ---- /version, /config ----

FLAGS = {"addressSpaceLimit", "copyOutOptional", "copyOutTruncate", "fixSymlinkEscape", "pipeProxy",
         "pipeProxyZeroCopy", "procPeak", "symlink"}


@kept
def test_version(service):
    answer = service.get("/version")
    assert answer.status == 200 and answer.headers["Content-Type"] == "application/json; charset=utf-8"
    facts = answer.json
    assert list(facts) == sorted(facts)
    assert all(facts[flag] is True for flag in FLAGS)
    assert isinstance(facts["stream"], bool)
    assert facts["buildVersion"] == "v1.12.2"  # an existing client asks for 1.6.10 and more
    assert facts["server"] == "cjudge" and re.fullmatch(r"\d+\.\d+\.\d+", facts["serverVersion"])
    assert facts["goVersion"] and facts["os"] == "linux" and facts["platform"] in ("amd64", "arm64")
    assert facts["protection"] in ("full", "no-cgroup", "no-userns", "none")


@kept
def test_config(service):
    facts = service.get("/config").json
    assert all(facts[flag] is True for flag in FLAGS)
    assert isinstance(facts["fileStorePath"], str)
    runner = facts["runnerConfig"]
    assert runner["cgroupType"] in (0, 1, 2)
    assert set(runner["cgroupControllers"]) <= {"cpu", "cpuacct", "cpuset", "memory", "pids"}
    assert {"Source": "tmpfs", "Target": "w", "FsType": "tmpfs", "Data": "size=128m,nr_inodes=4k",
            "Flags": 1030} in runner["mount"]
    assert all(set(item) == {"Source", "Target", "FsType", "Data", "Flags"} for item in runner["mount"])
    assert {"LinkPath": "/dev/fd", "Target": "/proc/self/fd"} in runner["symbolicLink"]
    assert "/proc/kcore" in runner["maskedPaths"]
    assert (runner["workDir"], runner["hostName"], runner["domainName"]) == ("/w", "executor_server", "executor_server")
    assert isinstance(runner["uid"], int) and isinstance(runner["gid"], int)
    assert facts["protection"]["level"] == service.get("/version").json["protection"]


# ---- many, large, gone ----

def test_thirty_at_once(service):
    def one(number):
        return accepted(service.run(shell(f"read x; echo $x {number}", stdin=f"line {number}\n")))
    with concurrent.futures.ThreadPoolExecutor(30) as pool:
        assert list(pool.map(one, range(30))) == [f"line {n} {n}\n" for n in range(30)]


@better(reason="503 and Retry-After, not 500")
def test_a_full_queue(serve):
    service = serve("-parallelism", 1, "-queue-length", 1)
    word = f"queue-{os.getpid()}"
    first = service.begin_run(command("/bin/sh", "-c", "sleep 3", word, clockLimit=10**10))
    wait_for(lambda: processes(word))
    second = service.begin_run(command())
    time.sleep(0.3)
    answer = service.post_run({"cmd": [command()]})
    assert refused(answer, status=503) == "worker queue is full"
    assert answer.headers["Retry-After"] == "1"
    assert [finish().status for finish in (first, second)] == [200, 200]


def test_large_requests_and_answers(serve):
    service = serve("-parallelism", 1, "-output-limit", "1g", "-tmp-fs-param", "size=256m")
    content = "0123456789abcde\n" * (2 * MIB)  # 32 MiB
    one = command("/bin/cat", stdin=content, cpuLimit=10**10, clockLimit=3 * 10**10, memoryLimit=256 * MIB,
                  files=[{"content": content}, collector("stdout", len(content), pipe=True)])
    body = json.dumps({"cmd": [one]}).encode()
    service.run(command())
    service.reset_peak()
    before = service.peak()
    answer = service.post_run(body)
    assert answer.json[0]["files"]["stdout"] == content
    grown = service.peak() - before
    assert SANITIZED or grown < 2.5 * len(body) + 8 * MIB, grown / len(body)
    wait_for(lambda: SANITIZED or service.rss() < before + 16 * MIB)


def test_a_large_answer_to_a_slow_reader_does_not_stop_the_others(serve):
    service = serve("-parallelism", 1)
    one = command("/usr/bin/head", "-c", str(32 * MIB), "/dev/zero", cpuLimit=10**10, clockLimit=3 * 10**10,
                  memoryLimit=128 * MIB, files=[{"content": ""}, collector("stdout", 64 * MIB, pipe=True)])
    body = json.dumps({"cmd": [one]}).encode()
    service.run(command())
    service.reset_peak()
    before = service.peak()
    with service.socket() as client:
        client.sendall(b"POST /run HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        head = client.recv(4096)
        assert head.startswith(b"HTTP/1.1 200 ")
        for _ in range(3):
            assert accepted(service.run(command())) == "hi\n"
        # 32 MiB of output, of which each byte is six when it is escaped: never all at once
        assert SANITIZED or service.peak() - before < 48 * MIB
        received = len(head)
        while not head.endswith(b"0\r\n\r\n"):
            head = head[-8:] + client.recv(1 << 20)
            received += len(head) - 8
        assert received > 6 * 32 * MIB


@better(reason="within a second, also with a pipelined request behind it")
@pytest.mark.parametrize("behind", [b"", b"GET /version HTTP/1.1\r\nHost: x\r\n\r\n"])
def test_who_hangs_up_cancels_the_run(serve, behind):
    service = serve("-parallelism", 1)
    word = f"hang-up-{os.getpid()}-{len(behind)}"
    body = json.dumps({"cmd": [shell("echo > f; sleep 60", args=["/bin/sh", "-c", "echo x > f; sleep 60", word],
                                     clockLimit=10**11, copyOutCached=["f"])]}).encode()
    client = service.socket()
    client.sendall(b"POST /run HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body + behind)
    wait_for(lambda: processes(word))
    client.close()
    wait_for(lambda: not processes(word), 1)
    assert accepted(service.run(command())) == "hi\n"
    assert service.get("/file").json == {}


def test_who_hangs_up_while_waiting_never_runs(serve):
    service = serve("-parallelism", 1)
    word = f"waiting-{os.getpid()}"
    running = service.begin_run(command("/bin/sh", "-c", "sleep 2; echo hi", word, clockLimit=10**10))
    wait_for(lambda: processes(word))
    body = json.dumps({"cmd": [shell("echo x > f", copyOutCached=["f"])]}).encode()
    with service.socket() as client:
        client.sendall(b"POST /run HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        time.sleep(0.3)
    assert accepted(running().json[0]) == "hi\n"
    accepted(service.run(command()))
    assert service.get("/file").json == {}


def test_outputs_that_nobody_heard_of_do_not_stay(serve):
    """The run is over and its files are stored, but the client leaves before it has the ids."""
    service = serve("-parallelism", 1)
    one = command("/usr/bin/head", "-c", str(16 * MIB), "/dev/zero", memoryLimit=128 * MIB, clockLimit=3 * 10**10,
                  files=[{"content": ""}, collector("stdout", 64 * MIB, pipe=True), collector("stored", pipe=True)],
                  copyOutCached=["stored"])
    body = json.dumps({"cmd": [one]}).encode()
    client = service.socket()
    client.sendall(b"POST /run HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    assert client.recv(100).startswith(b"HTTP/1.1 200 ")
    assert len(service.get("/file").json) == 1
    client.close()
    wait_for(lambda: service.get("/file").json == {})


def test_a_body_that_is_too_large(serve):
    service = serve("-max-body", "1m", "-parallelism", 1)
    answer = service.post_run(b" " * (MIB + 1))
    assert answer.status == 413 and isinstance(answer.json, str)
    body, kind = multipart("a", b"x" * MIB)
    assert service.request("POST", "/file", body=body, headers={"Content-Type": kind}).status == 413
    assert service.get("/file").json == {}
    assert service.post_run(json.dumps({"cmd": [command()]}).encode().ljust(MIB)).status == 200


def test_malformed_requests_do_no_harm(service):
    for data in (b"\0\0\0\0\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"GET /run\r\n\r\n", b"POST /run HTTP/1.1\r\n\r\n",
                 b"POST /run HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
                 b"POST /run HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"):
        with service.socket() as client:
            client.sendall(data)
            client.shutdown(socket.SHUT_WR)
            answer = client.recv(4096)
            assert answer == b"" or re.match(rb"HTTP/1\.1 [45]\d\d ", answer), answer
    assert accepted(service.run(command())) == "hi\n"


def test_half_requests_that_hang_up(service):
    whole = json.dumps({"cmd": [command()]}).encode()
    for size in range(0, len(whole), 40):
        with service.socket() as client:
            client.sendall(b"POST /run HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(whole) + whole[:size])
    assert accepted(service.run(command())) == "hi\n"


def test_nothing_leaks(serve):
    service = serve("-parallelism", 2)

    def mixed(number):
        kinds = number % 5
        if kinds == 0:
            service.post_run("{")
        elif kinds == 1:
            name = service.put("x", b"x" * 100000)
            service.run(command("/bin/cat", files=[{"fileId": name}, collector("stdout", 10)]))
            service.request("DELETE", "/file/" + name)
        elif kinds == 2:
            with service.socket() as client:
                body = json.dumps({"cmd": [command("/bin/sleep", "5")]}).encode()
                client.sendall(b"POST /run HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
                time.sleep(0.02)
        elif kinds == 3:
            service.post_run({"cmd": [command(files=[{"src": "/nonexist"}])]})
        else:
            service.run_all(command(files=WRITER), command("/bin/cat", files=READER),
                            pipes=[pipe_between((0, 1), (1, 0), proxy=True, name="p", max=5)])

    def spread(count):
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            list(pool.map(mixed, range(count)))

    spread(40)
    wait_for(lambda: service.run(command())["status"] == "Accepted")
    before = service.descriptors(), service.rss()
    spread(100)
    wait_for(lambda: service.descriptors() <= before[0] + 2, 10)
    assert SANITIZED or service.rss() < before[1] + 4 * MIB
    assert service.get("/file").json == {}
