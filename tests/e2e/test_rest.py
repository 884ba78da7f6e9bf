"""go-judge's REST door over a real socket: each edge case of its reference, then what is our own.

Every test that has a counterpart in go-judge says whether its behaviour was kept or made better (marker
`better`, with the reason); the others are about things that go-judge's clients never saw."""
import base64
import concurrent.futures
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import time

import pytest

from service import Service, collector, command, multipart, python, shell

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: control groups")
kept = pytest.mark.kept
better = pytest.mark.better

MIB = 1 << 20
SANITIZED = any(name in os.environ for name in ("ASAN_OPTIONS", "TSAN_OPTIONS"))  # they keep freed memory


@pytest.fixture(scope="module")
def service(cjudge, tmp_path_factory):
    with Service(cjudge, "-parallelism", 2, folder=str(tmp_path_factory.mktemp("serve"))) as started:
        yield started
        assert started.process.poll() is None, started.log_text()


@pytest.fixture
def serve(cjudge, tmp_path):
    """Starts services of a test's own."""
    with contextlib.ExitStack() as stack:
        def start(*options, **kwargs):
            folder = tmp_path / f"serve-{len(os.listdir(tmp_path))}"
            folder.mkdir()
            return stack.enter_context(Service(cjudge, *options, folder=str(folder), **kwargs))
        yield start


def refused(answer, *words, status=400):
    """A JSON string that has every word in it."""
    assert answer.status == status, answer
    assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
    text = answer.json
    assert isinstance(text, str)
    for word in words:
        assert word in text, text
    return text


def accepted(result):
    assert result["status"] == "Accepted", result
    assert result["exitStatus"] == 0
    assert "error" not in result
    return result["files"]["stdout"]


def wait_for(condition, seconds=5):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it does not happen"
        time.sleep(0.01)


def processes(word):
    """Host pids of processes with word as an argument."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                if word.encode() in file.read().split(b"\0"):
                    found.append(int(pid))
    return found


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
    assert re.fullmatch(r"v\d+\.\d+\.\d+", facts["buildVersion"])
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


# ---- limits and statuses ----

@better(reason="an absent limit is a default, never 0")
@pytest.mark.parametrize("absent", ["memoryLimit", "cpuLimit", "procLimit", "clockLimit"])
def test_an_absent_limit_is_a_default(service, absent):
    for value in (None, 0):
        assert accepted(service.run(shell("sleep 0.2; echo hi", **{absent: value}))) == "hi\n"


@better(reason="clockLimit absent means 2 x cpuLimit + 1 s, not cpuLimit")
def test_the_wall_limit_follows_the_cpu_limit(service):
    result = service.run(command("/bin/sleep", "5", cpuLimit=100000000, clockLimit=None))
    assert (result["status"], result["exitStatus"]) == ("Time Limit Exceeded", 9)
    assert 1.2e9 <= result["runTime"] < 1.7e9


@kept
def test_real_cpu_limit_replaces_clock_limit(service):
    result = service.run(command("/bin/sleep", "5", clockLimit=5000000000, realCpuLimit=200000000))
    assert (result["status"], result["exitStatus"]) == ("Time Limit Exceeded", 9)
    assert 0.2e9 <= result["runTime"] < 0.6e9


@better(reason="Signalled with or without clockLimit: only a passed limit is a Time Limit Exceeded")
@pytest.mark.parametrize("clock", [2000000000, None])
def test_who_kills_itself_is_signalled(service, clock):
    result = service.run(shell("kill -9 $$", clockLimit=clock))
    assert (result["status"], result["exitStatus"]) == ("Signalled", 9)


@kept
def test_a_busy_loop(service):
    result = service.run(shell("while :; do :; done", cpuLimit=300000000))
    assert (result["status"], result["exitStatus"]) == ("Time Limit Exceeded", 9)
    assert 300000000 <= result["time"] < 400000000


@kept
def test_too_much_memory(service):
    limit = 32 * MIB
    result = service.run(python("x = b'x' * (64 << 20)", memoryLimit=limit))
    assert (result["status"], result["exitStatus"]) == ("Memory Limit Exceeded", 9)
    assert limit - MIB <= result["memory"] <= limit + 16 * 1024 + 4096


@kept
@pytest.mark.parametrize("script, status, number", [
    ("exit 3", "Nonzero Exit Status", 3), ("kill -SEGV $$", "Signalled", 11), ("kill -ABRT $$", "Signalled", 6),
])
def test_how_it_ended(service, script, status, number):
    result = service.run(shell(script))
    assert (result["status"], result["exitStatus"]) == (status, number)
    assert "error" not in result and "fileError" not in result
    assert list(result)[:5] == ["status", "exitStatus", "time", "memory", "runTime"]


@kept
def test_a_file_past_the_output_limit(serve):
    service = serve("-output-limit", "64k", "-parallelism", 1)
    result = service.run(shell("exec dd if=/dev/zero of=f bs=1k count=100 2>/dev/null"))
    assert (result["status"], result["exitStatus"]) == ("Output Limit Exceeded", 25)
    assert "error" not in result


@kept
def test_too_much_output_of_a_failure_is_only_told(service):
    result = service.run(shell("echo hello; exit 1", files=[{"content": ""}, collector("stdout", 4), None][:2]))
    assert (result["status"], result["exitStatus"]) == ("Nonzero Exit Status", 1)
    assert [(e["name"], e["type"]) for e in result["fileError"]] == [("stdout", "CollectSizeExceeded")]


@better(reason="at most max bytes come back, not one more")
@pytest.mark.parametrize("pipe", [False, True])
def test_too_much_output(service, pipe):
    result = service.run(command("/bin/echo", "hello!", files=[{"content": ""}, collector("stdout", 4, pipe=pipe)]))
    assert (result["status"], result["exitStatus"]) == ("Output Limit Exceeded", 0)
    assert result["error"] == "Output Limit Exceeded"
    assert result["files"] == {"stdout": "hell"}
    assert result["fileError"] == [
        {"name": "stdout", "type": "CollectSizeExceeded", "message": "Output Limit Exceeded"}]


@kept
def test_the_stack_limit_is_cut_to_the_memory_limit(service):
    bash = ["/bin/bash", "-c", "ulimit -s"]
    assert accepted(service.run(command(*bash, stackLimit=102400000, memoryLimit=100 * MIB))) == "100000\n"
    assert accepted(service.run(command(*bash, stackLimit=102400000, memoryLimit=64 * MIB))) == "65552\n"


@kept
def test_a_cpu_rate_counts_only_when_the_server_says_so(service, serve):
    burn = "import time\nend = time.process_time() + 0.2\nwhile time.process_time() < end: pass"
    assert service.run(python(burn, cpuRateLimit=100, clockLimit=9000000000))["runTime"] < 1.5e9
    limited = serve("-enable-cpu-rate", "-parallelism", 1)
    result = limited.run(python(burn, cpuRateLimit=200, clockLimit=9000000000))
    assert result["status"] == "Accepted" and result["runTime"] > 0.8e9, result


@better(reason="signals are at their defaults")
def test_signals_are_at_their_defaults(service):
    result = service.run(shell("kill -TERM $$; echo alive"))
    assert (result["status"], result["exitStatus"]) == ("Signalled", 15)
    assert result["files"]["stdout"] == ""


@kept
def test_the_umask_is_zero(service):
    assert accepted(service.run(shell("umask"))) == "0000\n"


# ---- exec ----

@kept
@pytest.mark.parametrize("args, env, error", [
    (["/nonexist"], ["PATH=/bin"], "start: /nonexist: execve: no such file or directory"),
    (["nonexist"], ["PATH=/bin"], "handle: nonexist: executable file not found in $PATH"),
    (["nonexist"], ["A=b"], "handle: nonexist: no PATH environment variable provided for look up"),
    (["/etc"], ["PATH=/bin"], "start: /etc: execve: permission denied"),
])
def test_what_cannot_be_started(service, args, env, error):
    result = service.run(command(*args, env=env))
    assert (result["status"], result["exitStatus"], result["error"]) == ("Internal Error", 0, error)
    assert result["files"] == {"stderr": "", "stdout": ""}


@kept
def test_a_copied_file_goes_before_path(service):
    script = {"ls": {"content": "#!/bin/sh\necho mine\n"}}
    assert accepted(service.run(command("ls", copyIn=script))) == "mine\n"


@kept
def test_the_first_argument_is_the_resolved_path(service):
    source = "print(open('/proc/self/cmdline').read().split('\\0')[0])"
    assert accepted(service.run(command("python3", "-c", source))) == "/usr/bin/python3\n"


@better(reason="a mistake of the caller is a 400 that names the field")
def test_no_arguments(service):
    for args in ([], None):
        body = {"cmd": [command(), {**command(), "args": args}]}
        refused(service.post_run(body), "cmd[1]", "args", "empty")
    assert accepted(service.run(command())) == "hi\n"


@better(reason="as much as the kernel takes")
@pytest.mark.parametrize("size", [40 << 10, 100 << 10])
def test_large_environments(service, size):
    env = ["PATH=/bin"] + [f"V{i}={'x' * size}" for i in range(4)]
    assert accepted(service.run(shell('echo "${#V3}"', env=env))) == f"{size}\n"


# ---- descriptors ----

@better(reason="400, not 500")
def test_a_missing_host_file_as_input(service):
    refused(service.post_run({"cmd": [command(files=[{"src": "/nonexist"}])]}),
            "cmd[0].files[0].src", "open /nonexist: no such file or directory")


@better(reason="only regular files and harmless devices may be input")
def test_what_cannot_be_input(service, tmp_path):
    os.mkfifo(tmp_path / "fifo")
    for path in ("/etc", str(tmp_path / "fifo"), "/dev/mem"):
        refused(service.post_run({"cmd": [command(files=[None, {"src": path}], args=["/bin/true"])]}), "cmd[0].files")
    assert accepted(service.run(command("/usr/bin/head", "-c", "3", files=[
        {"src": "/dev/zero"}, collector("stdout"), collector("stderr")]))) == "\0\0\0"


@kept
def test_host_files_as_input(service, tmp_path):
    (tmp_path / "in").write_text("from the host\n")
    files = [{"src": str(tmp_path / "in")}, collector("stdout"), collector("stderr")]
    assert accepted(service.run(command("/bin/cat", files=files))) == "from the host\n"
    hostile = shell("echo x >> /proc/self/fd/0; chmod 666 /proc/self/fd/0; echo x >&0", files=files)
    service.run(hostile)
    assert (tmp_path / "in").read_text() == "from the host\n"


@kept
def test_one_collector_for_two_descriptors(service):
    both = collector("o", 100)
    for pipe in (False, True):
        result = service.run(shell("echo a; echo b >&2; echo c", files=[
            {"content": ""}, {**both, "pipe": pipe}, {**both, "pipe": pipe}]))
        assert result["files"] == {"o": "a\nb\nc\n"}


@kept
def test_a_collector_where_no_file_can_be(service):
    files = [{"content": ""}, collector("no/such/dir"), collector("stderr")]
    answer = service.post_run({"cmd": [command(files=files)]})
    assert refused(answer, "no/such/dir", "no such file or directory", status=500)
    files[1]["pipe"] = True
    result = service.run(command(files=files))
    assert result["status"] == "Accepted" and result["files"]["no/such/dir"] == "hi\n"


@better(reason="400 that names the descriptor")
def test_a_null_descriptor_that_no_pipe_covers(service):
    pipe = {"in": {"index": 0, "fd": 1}, "out": {"index": 0, "fd": 0}}
    for body in ({"cmd": [command(files=[None, collector("stdout")])]},
                 {"cmd": [command(files=[None, collector("stdout")])], "pipeMapping": [pipe]}):
        refused(service.post_run(body), "cmd[0].files[0]")
    pair = [command(files=[None, collector("stdout")]), command()]
    refused(service.post_run({"cmd": pair}), "cmd[0].files[0]")


def pipe_between(writer, reader, **more):
    return {"in": {"index": writer[0], "fd": writer[1]}, "out": {"index": reader[0], "fd": reader[1]}, **more}


@better(reason="400 that names the field, not 500 or the end of the server")
@pytest.mark.parametrize("pipes, words", [
    ([pipe_between((9, 1), (1, 0))], ["pipeMapping[0].in.index", "9"]),
    ([pipe_between((0, 1), (-1, 0))], ["pipeMapping[0].out.index", "-1"]),
    ([pipe_between((0, -1), (1, 0))], ["pipeMapping[0].in.fd", "-1"]),
    ([pipe_between((0, 1), (1, 99999))], ["pipeMapping[0].out.fd", "99999"]),
    ([pipe_between((0, 2), (1, 0))], ["pipeMapping[0].in"]),
    ([pipe_between((0, 1), (1, 0)), pipe_between((0, 1), (1, 0))], ["pipeMapping[1]"]),
])
def test_pipes_that_cannot_be(service, pipes, words):
    pair = [command(files=[{"content": ""}, None, collector("stderr")]),
            command("/bin/cat", files=[None, collector("stdout"), collector("stderr")])]
    refused(service.post_run({"cmd": pair, "pipeMapping": pipes}), *words)
    assert accepted(service.run(command())) == "hi\n"


WRITER = [{"content": ""}, None, collector("stderr")]
READER = [None, collector("stdout"), collector("stderr")]


@kept
@pytest.mark.parametrize("proxy", [False, True])
@pytest.mark.parametrize("zero_copy", [False, True])
def test_programs_joined_by_a_pipe(service, proxy, zero_copy):
    results = service.run_all(
        command("/bin/echo", "through the pipe", files=WRITER), command("/bin/cat", files=READER),
        pipes=[pipe_between((0, 1), (1, 0), proxy=proxy, disableZeroCopy=not zero_copy)])
    assert [r["status"] for r in results] == ["Accepted"] * 2
    assert results[1]["files"]["stdout"] == "through the pipe\n"


@kept
@pytest.mark.parametrize("copying", [False, True])
def test_a_proxy_keeps_a_copy(service, copying):
    results = service.run_all(
        shell("printf 0123456789", files=WRITER), command("/bin/cat", files=READER),
        pipes=[pipe_between((0, 1), (1, 0), proxy=True, name="p", max=3, disableZeroCopy=copying)])
    assert [r["status"] for r in results] == ["Accepted"] * 2
    assert results[1]["files"]["stdout"] == "0123456789"
    assert results[0]["files"]["p"] == "012"


@kept
def test_a_reader_that_leaves(service):
    pair = [command("/usr/bin/head", "-c", "1000000", "/dev/zero", files=WRITER),
            command("/bin/true", files=READER)]
    through_proxy = service.run_all(*pair, pipes=[pipe_between((0, 1), (1, 0), proxy=True)])
    assert [r["status"] for r in through_proxy] == ["Accepted"] * 2
    direct = service.run_all(*pair, pipes=[pipe_between((0, 1), (1, 0))])
    assert (direct[0]["status"], direct[0]["exitStatus"]) == ("Signalled", 13)


@kept
def test_nothing_but_pipes_joins_a_group(service):
    begun = time.monotonic()
    results = service.run_all(command("/bin/false"), command("/bin/sleep", "1"))
    assert [r["status"] for r in results] == ["Nonzero Exit Status", "Accepted"]
    assert time.monotonic() - begun >= 1


@kept
def test_without_files_descriptors_are_closed(service):
    result = service.run(shell("echo x > /dev/null; ls -l /proc/self/fd/0 || true; echo hi", files=None))
    assert "files" not in result
    assert result["status"] == "Nonzero Exit Status"  # sh cannot write


# ---- copies ----

@kept
def test_a_file_that_is_not_there(service):
    result = service.run(command(copyOut=["missing"]))
    assert (result["status"], result["error"]) == ("File Error", "open missing: no such file or directory")
    assert result["fileError"] == [
        {"name": "missing", "type": "CopyOutOpen", "message": "open missing: no such file or directory"}]
    assert "fileError" not in service.run(command(copyOut=["missing?"]))


@kept
@pytest.mark.parametrize("script", ["ln -s /etc/passwd out", "mkdir out", "mkfifo out"])
def test_what_is_no_regular_file(service, script):
    result = service.run(shell(script, copyOut=["out"]))
    assert (result["status"], result["error"]) == ("File Error", "out is not a regular file")
    assert [e["type"] for e in result["fileError"]] == ["CopyOutOpen"]
    assert service.run(shell(script, copyOut=["out?"]))["status"] == "Accepted"


@kept
def test_a_file_that_is_too_large(service):
    result = service.run(shell("printf 0123456789 > f", copyOut=["f"], copyOutMax=5))
    assert (result["status"], result["error"]) == ("File Error", 'copyout: "f" size (10) exceeds limit (5)')
    assert "f" not in result["files"]
    cut = service.run(shell("printf 0123456789 > f", copyOut=["f"], copyOutMax=5, copyOutTruncate=True))
    assert (cut["status"], cut["files"]["f"]) == ("File Error", "01234")
    assert cut["fileError"][0]["message"] == 'copyout: "f" size exceeds limit (5)'


@kept
def test_a_failure_keeps_its_status(service):
    result = service.run(shell("exit 1", copyOut=["missing"]))
    assert (result["status"], result["exitStatus"]) == ("Nonzero Exit Status", 1)
    assert [e["name"] for e in result["fileError"]] == ["missing"]


@kept
def test_a_collector_can_be_stored(service):
    result = service.run(command(copyOutCached=["stdout"]))
    assert "stdout" not in result["files"]
    assert re.fullmatch("[A-Z2-7]{8}", result["fileIds"]["stdout"])
    answer = service.get("/file/" + result["fileIds"]["stdout"])
    assert answer.body == b"hi\n"
    assert answer.headers["Content-Disposition"] == 'attachment; filename="stdout"'


@kept
def test_parents_are_made(service):
    copies = {"a/b/c.txt": {"content": "deep"}, "/tmp/x": {"content": "tmp"}}
    assert accepted(service.run(shell("cat a/b/c.txt /tmp/x", copyIn=copies))) == "deeptmp"


@better(reason="a copy that fails is a File Error, and nothing runs")
def test_a_copy_that_cannot_be_made(service):
    result = service.run(shell("echo ran", copyIn={"/usr/x": {"content": ""}}))
    assert result["status"] == "File Error" and result["time"] == 0 and "files" not in result
    assert [(e["name"], e["type"]) for e in result["fileError"]] == [("/usr/x", "CopyInCreateFile")]


@kept
def test_a_missing_host_file_to_copy(service):
    result = service.run(shell("echo ran", copyIn={"x": {"src": "/nonexist"}}))
    assert (result["status"], result["error"]) == ("File Error", "open /nonexist: no such file or directory")
    assert (result["time"], result["runTime"], result["exitStatus"]) == (0, 0, 0)
    assert [(e["name"], e["type"]) for e in result["fileError"]] == [("x", "CopyInOpenFile")]


@kept
def test_a_collector_is_no_source(service):
    result = service.run(shell("echo ran", copyIn={"x": collector("y")}))
    assert result["status"] == "File Error"
    assert [(e["name"], e["type"]) for e in result["fileError"]] == [("x", "CopyInOpenFile")]


@kept
def test_symbolic_links_are_made(service):
    links = {"l": {"symlink": "target"}, "target": {"content": "here"}}
    assert accepted(service.run(shell("readlink l; cat l", copyIn=links))) == "target\nhere"


@kept
def test_a_symbolic_link_that_is_there(service):
    files = [{"content": ""}, collector("l"), collector("stderr")]
    result = service.run(command(files=files, copyIn={"l": {"symlink": "t"}}))
    assert (result["status"], result["error"]) == ("File Error", "symlink: 1 operations failed")
    assert result["fileError"] == [
        {"name": "l", "type": "Symlink", "message": 'symlink: "l" -> "t": symlink t l: file exists'}]


@kept
def test_runs_begin_fresh(serve):
    service = serve("-parallelism", 1)
    assert accepted(service.run(shell("echo x > /w/x; echo y > /tmp/y; mkdir /w/d; chmod 0 /w/d; echo hi"))) == "hi\n"
    assert accepted(service.run(shell("ls -A /w /tmp", files=[
        {"content": ""}, collector("stdout", pipe=True), collector("stderr", pipe=True)]))) == "/tmp:\n\n/w:\n"


@better(reason="an unknown id is a 400 that names it")
def test_an_unknown_file_id(service):
    text = 'file does not exists with id: "X"'
    for part in ({"copyIn": {"a": {"fileId": "X"}}}, {"files": [{"fileId": "X"}]}):
        refused(service.post_run({"cmd": [command(**part)]}), text, "cmd[0]", "fileId")
    refused(service.post_run({"cmd": [command(copyIn={"a": {"fileId": "../etc/passwd"}})]}), "cmd[0].copyIn.a.fileId")


@better(reason="what C strings cannot hold is refused instead of cut")
@pytest.mark.parametrize("part, field", [
    ({"args": ["/bin/echo", "a\0b"]}, "cmd[0].args[1]"),
    ({"env": ["A=\0"]}, "cmd[0].env[0]"),
    ({"copyIn": {"a\0": {"content": ""}}}, "cmd[0].copyIn"),
    ({"copyOut": ["\0"]}, "cmd[0].copyOut[0]"),
    ({"files": [{"name": "\0", "max": 1}]}, "cmd[0].files[0].name"),
    ({"files": [{"src": "\0"}]}, "cmd[0].files[0].src"),
])
def test_nul_bytes(service, part, field):
    refused(service.post_run({"cmd": [command(**part)]}), field, "NUL")


@kept
@pytest.mark.parametrize("files, field", [
    ([{}], "cmd[0].files[0]"), ([{"symlink": "x"}], "cmd[0].files[0]"), ([{"streamIn": True}], "cmd[0].files[0]"),
    ([{"name": "x"}], "cmd[0].files[0]"), ([{"content": None}], "cmd[0].files[0]"),
])
def test_files_that_are_none(service, files, field):
    refused(service.post_run({"cmd": [command(files=files)]}), "file type is not valid for cmd", field)


@kept
def test_contents_are_exact(service):
    content = "\0nul, \ud7ff\U0001f600\x7f\x01 and \u2028"
    result = service.run(shell("cat; cat f", stdin=content, copyIn={"f": {"content": content}}))
    assert accepted(result) == content * 2


# ---- /file ----

@kept
def test_a_stored_file(service):
    answer = service.upload('a b\\".txt', b"some text\n")
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
    name = answer.json
    assert re.fullmatch("[A-Z2-7]{8}", name) and answer.body == b'"%s"' % name.encode()
    assert service.get("/file").json[name] == 'a b".txt'
    got = service.get("/file/" + name)
    assert (got.status, got.body) == (200, b"some text\n")
    assert got.headers["Content-Disposition"] == 'attachment; filename="a b\\".txt"'
    assert got.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert got.headers["Content-Length"] == "10" and got.headers["Accept-Ranges"] == "bytes"
    for status in (200, 404):
        deleted = service.request("DELETE", "/file/" + name)
        assert (deleted.status, deleted.body) == (status, b"")
    gone = service.get("/file/" + name)
    assert (gone.status, gone.body) == (404, b"")
    assert name not in service.get("/file").json


@kept
def test_uploads_that_are_none(service):
    body, kind = multipart("a.txt", b"x")
    for answer in (
            service.upload("a.txt", b"x", field="other"),
            service.request("POST", "/file", body=body),
            service.request("POST", "/file", body=b"", headers={"Content-Type": kind}),
            service.request("POST", "/file", body=body[:-10], headers={"Content-Type": kind}),
            service.request("POST", "/file", body=body.replace(b'; filename="a.txt"', b""),
                            headers={"Content-Type": kind}),
            service.request("POST", "/file", body=body, headers={"Content-Type": "multipart/form-data"})):
        assert (answer.status, answer.body) == (400, b""), answer
    assert "a.txt" not in service.get("/file").json.values()


@kept
def test_the_first_file_part_counts(service):
    parts = [('name="x"', b"field"), ('name="file"; filename="dir/one.cc"', b"first"),
             ('name="file"; filename="two"', b"second")]
    body = b"".join(b'--B\r\nContent-Disposition: form-data; %s\r\n\r\n%s\r\n' % (head.encode(), data)
                    for head, data in parts) + b"--B--\r\n"
    answer = service.request("POST", "/file", body=body, headers={"Content-Type": 'multipart/form-data; boundary="B"'})
    assert answer.status == 200
    got = service.get("/file/" + answer.json)
    assert got.body == b"first"
    assert got.headers["Content-Disposition"] == 'attachment; filename="one.cc"'


@kept
@pytest.mark.parametrize("name, content, kind", [
    ("a.html", b"\0", "text/html; charset=utf-8"), ("a.json", b"", "application/json"),
    ("a", b"", "text/plain; charset=utf-8"), ("a.bin", b"\x7fELF\0", "application/octet-stream"),
])
def test_types_of_stored_files(service, name, content, kind):
    got = service.get("/file/" + service.put(name, content))
    assert (got.headers["Content-Type"], got.body) == (kind, content)


@kept
def test_names_beyond_ascii(service):
    got = service.get("/file/" + service.put("ä 1.txt", b""))
    assert got.headers["Content-Disposition"] == "attachment; filename*=UTF-8''%C3%A4+1.txt"


@kept
def test_parts_of_a_stored_file(service):
    path = "/file/" + service.put("digits", b"0123456789")
    whole = service.get(path)
    for wanted, status, body, where in (
            ("bytes=2-4", 206, b"234", "bytes 2-4/10"), ("bytes=-3", 206, b"789", "bytes 7-9/10"),
            ("bytes=8-", 206, b"89", "bytes 8-9/10"), ("bytes=0-0,5-6", 200, b"0123456789", None)):
        got = service.get(path, Range=wanted)
        assert (got.status, got.body, got.headers["Content-Range"]) == (status, body, where)
    assert service.get(path, Range="bytes=10-").status == 416
    assert service.get(path, Range="bytes=10-").headers["Content-Range"] == "bytes */10"
    modified = whole.headers["Last-Modified"]
    not_modified = service.get(path, If_Modified_Since=modified)
    assert (not_modified.status, not_modified.body) == (304, b"")
    assert service.get(path, If_Range=modified, Range="bytes=0-1").status == 206
    assert service.get(path, If_Range="Thu, 01 Jan 1970 00:00:00 GMT", Range="bytes=0-1").status == 200
    assert service.get(path, If_Unmodified_Since="Thu, 01 Jan 1970 00:00:00 GMT").status == 412


@kept
@pytest.mark.parametrize("name", [".", "..", "%2e%2e", "x" * 300, "%41%42"])
def test_ids_that_are_none(service, name):
    for method in ("GET", "DELETE"):
        answer = service.request(method, "/file/" + name)
        assert (answer.status, answer.body) == (404, b"")


@better(reason="outputs of a run in progress are nobody else's")
def test_outputs_are_not_listed_while_they_are_made(service):
    before = service.get("/file").json
    with concurrent.futures.ThreadPoolExecutor() as pool:
        running = pool.submit(service.run, shell("echo out; echo x > f; sleep 1", copyOutCached=["f"], files=[
            {"content": ""}, collector("stdout", pipe=True), collector("stderr", pipe=True)]))
        time.sleep(0.5)
        assert service.get("/file").json == before
        result = running.result()
    assert set(service.get("/file").json) - set(before) == {result["fileIds"]["f"]}


@kept
def test_stored_files_as_input_and_copies(service):
    name = service.put("data", b"stored\n")
    files = [{"fileId": name}, collector("stdout"), collector("stderr")]
    hostile = shell("cat; cat copy; echo x >> copy; echo x >> /proc/self/fd/0; chmod 777 /proc/self/fd/0; true",
                    files=files, copyIn={"copy": {"fileId": name}})
    assert accepted(service.run(hostile)) == "stored\nstored\n"
    assert service.get("/file/" + name).body == b"stored\n"
    pair = [command("/bin/cat", files=files), command("/bin/cat", files=files)]
    assert [accepted(r) for r in service.run_all(*pair)] == ["stored\n"] * 2


def test_a_file_that_a_waiting_request_names_may_go(serve):
    service = serve("-parallelism", 1)
    name = service.put("data", b"still here\n")
    with concurrent.futures.ThreadPoolExecutor() as pool:
        first = pool.submit(service.run, command("/bin/sleep", "1"))
        time.sleep(0.3)
        second = pool.submit(service.run, command("/bin/cat", files=[
            {"fileId": name}, collector("stdout"), collector("stderr")]))
        time.sleep(0.3)
        assert service.request("DELETE", "/file/" + name).status == 200
        assert accepted(second.result()) == "still here\n"
        accepted(first.result())


def test_uploads_do_not_grow_the_service(serve):
    service = serve("-parallelism", 1)
    block = os.urandom(MIB)
    begin, end = (part.encode() for part in (
        '--B\r\nContent-Disposition: form-data; name="file"; filename="big"\r\n\r\n', "\r\n--B--\r\n"))
    count = 64
    service.reset_peak()
    before = service.peak()
    connection = service.connection()
    connection.putrequest("POST", "/file")
    connection.putheader("Content-Type", "multipart/form-data; boundary=B")
    connection.putheader("Content-Length", str(len(begin) + count * MIB + len(end)))
    connection.endheaders()
    connection.send(begin)
    for _ in range(count):
        connection.send(block)
    connection.send(end)
    response = connection.getresponse()
    name = json.loads(response.read())
    assert response.status == 200
    assert SANITIZED or service.peak() - before < 8 * MIB
    digest = service.run(command("/usr/bin/sha1sum", files=[{"fileId": name}, collector("stdout")], clockLimit=10**10))
    import hashlib
    wanted = hashlib.sha1()
    for _ in range(count):
        wanted.update(block)
    assert accepted(digest).split()[0] == wanted.hexdigest()
    connection.close()


def test_an_upload_that_is_cut_off_leaves_nothing(serve):
    service = serve("-parallelism", 1)
    for _ in range(3):
        with service.socket() as client:
            client.sendall(b"POST /file HTTP/1.1\r\nHost: x\r\nContent-Length: 9999\r\n"
                           b"Content-Type: multipart/form-data; boundary=B\r\n\r\n--B\r\n"
                           b'Content-Disposition: form-data; name="file"; filename="a"\r\n\r\npart of it')
            time.sleep(0.1)
    wait_for(lambda: service.get("/file").json == {})
    descriptors = service.descriptors()
    assert descriptors < 100


@kept
def test_stored_files_expire(serve):
    service = serve("-file-timeout", "1s", "-parallelism", 1)
    name = service.put("short-lived", b"x")
    assert service.get("/file/" + name).status == 200
    wait_for(lambda: service.get("/file").json == {}, 20)


@kept
def test_a_directory_of_files(serve, tmp_path):
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "left.txt").write_text("from before")
    service = serve("-dir", folder, "-parallelism", 1)
    assert service.get("/config").json["fileStorePath"] == str(folder)
    assert service.get("/file").json == {"left.txt": ""}
    got = service.get("/file/left.txt")
    assert (got.body, got.headers["Content-Disposition"]) == (b"from before", 'attachment; filename="left.txt"')
    name = service.put("new", b"new")
    service.stop()
    assert (folder / name).read_bytes() == b"new"


def test_a_full_store_says_so(serve):
    service = serve("-file-store-limit", "1m", "-parallelism", 1)
    answer = service.upload("large", b"x" * (2 * MIB))
    assert answer.status == 500 and "full" in answer.json
    assert service.get("/file").json == {}
    assert service.upload("small", b"x").status == 200


# ---- src ----

@kept
def test_src_prefixes(serve, tmp_path):
    for name in ("data", "database"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "in").write_text(name)
    (tmp_path / "link").symlink_to(tmp_path / "data")
    (tmp_path / "data" / "out").symlink_to(tmp_path / "database" / "in")
    service = serve("-src-prefix", f"{tmp_path}/link,/nonexist", "-parallelism", 1)

    def cat(path):
        return command("/bin/cat", files=[{"src": str(path)}, collector("stdout"), collector("stderr")])

    def copy(path):
        return shell("cat x", copyIn={"x": {"src": str(path)}})

    for good in (tmp_path / "data" / "in", tmp_path / "link" / "in", f"{tmp_path}/database/../data/in"):
        for make in (cat, copy):
            assert accepted(service.run(make(good))) == "data"
    for bad in (tmp_path / "database" / "in", "/etc/passwd", tmp_path / "data" / "out", f"{tmp_path}/link/../database/in"):
        for make in (cat, copy):
            refused(service.post_run({"cmd": [make(bad)]}), f"file ({bad}) does not under ([{tmp_path}/link /nonexist])")
    for make in (cat, copy):
        refused(service.post_run({"cmd": [make(tmp_path / "data" / "no")]}), "lstat", "no such file or directory")


# ---- many, large, gone ----

def test_thirty_at_once(service):
    def one(number):
        return accepted(service.run(shell(f"read x; echo $x {number}", stdin=f"line {number}\n")))
    with concurrent.futures.ThreadPoolExecutor(30) as pool:
        assert list(pool.map(one, range(30))) == [f"line {n} {n}\n" for n in range(30)]


@better(reason="503 and Retry-After, not 500")
def test_a_full_queue(serve):
    service = serve("-parallelism", 1, "-queue-length", 1)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        running = [pool.submit(service.post_run, {"cmd": [command("/bin/sleep", "1")]})]
        time.sleep(0.3)
        running.append(pool.submit(service.post_run, {"cmd": [command("/bin/sleep", "0.1")]}))
        time.sleep(0.3)
        answer = service.post_run({"cmd": [command()]})
        assert refused(answer, status=503) == "worker queue is full"
        assert answer.headers["Retry-After"] == "1"
        assert [f.result().status for f in running] == [200, 200]


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


def test_who_hangs_up_while_waiting_never_runs(serve, tmp_path):
    service = serve("-parallelism", 1)
    marker = json.dumps({"cmd": [shell("echo x > f", copyOutCached=["f"])]}).encode()
    with concurrent.futures.ThreadPoolExecutor() as pool:
        running = pool.submit(service.run, command("/bin/sleep", "1"))
        time.sleep(0.3)
        client = service.socket()
        client.sendall(b"POST /run HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(marker) + marker)
        time.sleep(0.2)
        client.close()
        accepted(running.result())
    accepted(service.run(command()))
    assert service.get("/file").json == {}


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


# ---- an online judge ----

ADDS = """#include <iostream>
int main() { long a, b; while (std::cin >> a >> b) std::cout << a + b << std::endl; }
"""
CHECKER = """#include <fstream>
#include <iostream>
int main(int argc, char **argv) {
    std::ifstream mine(argv[1]), wanted(argv[2]);
    std::string a, b;
    while (true) {
        bool more_a = bool(mine >> a), more_b = bool(wanted >> b);
        if (more_a != more_b || (more_a && a != b)) { std::cout << "wrong" << std::endl; return 1; }
        if (!more_a) break;
    }
    std::cout << "ok" << std::endl;
}
"""
GUESSER = """#include <iostream>
int main() {
    int low = 1, high = 1000; std::string answer;
    while (low <= high) {
        int middle = (low + high) / 2;
        std::cout << middle << std::endl;
        if (!(std::cin >> answer) || answer == "right") return 0;
        if (answer == "low") low = middle + 1; else high = middle - 1;
    }
    return 1;
}
"""
INTERACTOR = """#include <iostream>
int main() {
    int secret = 777, guess, count = 0;
    while (std::cin >> guess) {
        count++;
        if (guess == secret) { std::cout << "right" << std::endl; std::cerr << count << " guesses"; return 0; }
        std::cout << (guess < secret ? "low" : "high") << std::endl;
    }
    return 1;
}
"""


def compiled(service, source):
    result = service.run(command("/usr/bin/g++", "-O1", "-o", "program", "main.cc", cpuLimit=20 * 10**9,
                                 clockLimit=60 * 10**9, memoryLimit=512 * MIB, copyIn={"main.cc": {"content": source}},
                                 copyOut=["stdout", "stderr"], copyOutCached=["program"]))
    assert result["status"] == "Accepted", result
    return result["fileIds"]["program"]


def test_the_pattern_of_an_online_judge(service):
    before = set(service.get("/file").json)
    solution, checker, guesser, interactor = (
        compiled(service, source) for source in (ADDS, CHECKER, GUESSER, INTERACTOR))
    inputs = [f"{n} {n * n}\n{n} 1\n" for n in range(30)]
    wanted = [f"{n + n * n}\n{n + 1}\n" for n in range(30)]

    def judge(number):
        stored = service.put(f"{number}.in", inputs[number].encode())
        ran = service.run(command("a", files=[{"fileId": stored}, collector("stdout"), collector("stderr")],
                                  copyIn={"a": {"fileId": solution}}, copyOutCached=["stdout"], clockLimit=10**10))
        assert ran["status"] == "Accepted", ran
        output = ran["fileIds"]["stdout"]
        checked = service.run(command("checker", "out", "answer", clockLimit=10**10, copyIn={
            "checker": {"fileId": checker}, "out": {"fileId": output}, "answer": {"content": wanted[number]}}))
        for name in (stored, output):
            assert service.request("DELETE", "/file/" + name).status == 200
        return accepted(checked)

    with concurrent.futures.ThreadPoolExecutor(30) as pool:
        assert list(pool.map(judge, range(30))) == ["ok\n"] * 30
    for proxy in (False, True):
        results = service.run_all(
            command("guesser", files=[None, None, collector("stderr")], copyIn={"guesser": {"fileId": guesser}}),
            command("interactor", files=[None, None, collector("stderr")], copyIn={"interactor": {"fileId": interactor}}),
            pipes=[pipe_between((0, 1), (1, 0), proxy=proxy, name="asked", max=100),
                   pipe_between((1, 1), (0, 0), proxy=proxy, name="told", max=100)])
        assert [r["status"] for r in results] == ["Accepted"] * 2, results
        assert results[1]["files"]["stderr"] == "8 guesses"
        if proxy:
            assert results[0]["files"]["asked"].split()[:3] == ["500", "750", "875"]
            assert results[1]["files"]["told"].split()[-1] == "right"
    for name in (solution, checker, guesser, interactor):
        assert service.request("DELETE", "/file/" + name).status == 200
    assert set(service.get("/file").json) == before
