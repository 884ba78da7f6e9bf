"""The batch judging API (code-judge's) over a real socket: each case of its own tests, then what its reference
says besides, then what was made better."""
import ast
import concurrent.futures
import json
import os
import pty
import re
import shutil
import socket
import subprocess
import sys
import time
import uuid

import pytest

from service import SANITIZED, Service, command, wait_for

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: control groups")
kept = pytest.mark.kept
better = pytest.mark.better

TIMEOUT_TEXT = "Suicide from timeout."
ECHO = "print(input())"
CPP_SLEEP = """
#include <unistd.h>
#include <cstdio>
int main() { sleep(%d); printf("a"); }
"""


@pytest.fixture(scope="module")
def service(cjudge, tmp_path_factory):
    """As code-judge's own tests want it, but for a shorter time limit."""
    with Service(cjudge, judge="127.0.0.1:0", env={"MAX_WORKERS": "4", "MAX_EXECUTION_TIME": "5"},
                 folder=str(tmp_path_factory.mktemp("judge"))) as started:
        yield started
        assert started.process.poll() is None, started.log_text()


@pytest.fixture
def serve(cjudge, tmp_path):
    import contextlib
    with contextlib.ExitStack() as stack:
        def start(*options, **kwargs):
            folder = tmp_path / f"serve-{len(os.listdir(tmp_path))}"
            folder.mkdir()
            return stack.enter_context(Service(cjudge, *options, judge="127.0.0.1:0", folder=str(folder), **kwargs))
        yield start


def python(solution, **more):
    return {"type": "python", "solution": solution, **more}


def cpp(solution, **more):
    return {"type": "cpp", "solution": solution, **more}


def outcome(result):
    return result["success"], result["run_success"]


# ---- code-judge's own tests ----

@kept
def test_status(service):
    assert service.judge("GET", "/status").json == {"queue": 0, "num_workers": 4}


@kept
@pytest.mark.parametrize("path", ["/judge", "/run"])
def test_one_submission(service, path):
    def judge(submission):
        return service.judged(path, submission)

    good = judge(cpp(CPP_SLEEP % 1, expected_output="a"))
    assert outcome(good) == (True, True)
    assert good["cost"] >= 1
    assert outcome(judge(cpp(CPP_SLEEP % 0, expected_output="b"))) == (False, True)
    assert outcome(judge(cpp("int main() { stray }", expected_output="a"))) == (False, False)
    assert outcome(judge(python(ECHO, input="a", expected_output="a"))) == (True, True)
    assert outcome(judge(python(ECHO, input="a", expected_output="b"))) == (False, True)
    assert outcome(judge(python(ECHO, input="", expected_output="a"))) == (False, False)
    assert outcome(judge(python("open('x', 'w').write('y')", expected_output=""))) == (True, True)
    judge(python("open('../x', 'w').write('y')", expected_output=""))


@kept
@pytest.mark.parametrize("path", ["/judge", "/run"])
@pytest.mark.parametrize("submission", [cpp(CPP_SLEEP % 5), python("import time; time.sleep(5); print('a')")])
def test_timeout(service, path, submission):
    result = service.judged(path, {**submission, "expected_output": "a"})
    assert outcome(result) == (False, False)
    assert result["reason"] == "worker_timeout"
    assert 5 <= result["cost"] < 6
    if path == "/run":
        assert result["stdout"].strip() == TIMEOUT_TEXT


@kept
@pytest.mark.parametrize("path", ["/judge/batch", "/run/batch", "/judge/long-batch", "/run/long-batch"])
def test_batches(service, path):
    batch = {"type": "batch", "sub_id": "b", "submissions": [
        cpp(CPP_SLEEP % 0, expected_output="b", sub_id="1"), python(ECHO, input="a", expected_output="b"),
        python(ECHO, input="a", expected_output="a"), cpp(CPP_SLEEP % 2, expected_output="a", sub_id="4")]}
    answer = service.judged(path, batch)
    assert list(answer) == ["sub_id", "results"]
    assert answer["sub_id"] == "b"
    assert [outcome(r) for r in answer["results"]] == [(False, True), (False, True), (True, True), (True, True)]
    assert answer["results"][0]["sub_id"] == "1" and answer["results"][3]["sub_id"] == "4"
    answer = service.judged(path, {"type": "batch", "submissions": 3 * [
        python(ECHO, input="", expected_output="a"), python(ECHO, input="a", expected_output="a")]})
    assert [outcome(r) for r in answer["results"]] == 3 * [(False, False), (True, True)]


@better("the end of the main process is the end of the run: code-judge waited for whoever held its pipes")
def test_processes_left_behind(service):
    start = time.monotonic()
    result = service.judged("/run", python(
        "import subprocess, sys\nsubprocess.Popen([sys.executable, '-c', 'import time; time.sleep(100)'])\n"
        "print('a')", input="", expected_output="a"))
    assert outcome(result) == (True, True)
    assert time.monotonic() - start < 3


@kept
def test_multi_process_that_waits(service):
    """Python joins its multiprocessing children at its end: the time limit ends that."""
    result = service.judged("/run", python(
        "import multiprocessing, time\nif __name__ == '__main__':\n"
        "    p = multiprocessing.Process(target=time.sleep, args=(100,))\n    p.start()\n    time.sleep(1)\n", input=""))
    assert outcome(result) == (False, False)


# ---- its reference ----

@kept
def test_fields_and_their_order(service):
    result = service.judge("POST", "/run", python("print('<é>')", sub_id="x"))
    assert list(result.json) == ["sub_id", "success", "run_success", "cost", "stdout", "stderr", "reason"]
    assert isinstance(result.json["cost"], float)
    assert "<é>".encode() in result.body
    assert result.headers["content-type"] == "application/json"
    result = service.judged("/judge", python("print(1)"))
    assert list(result) == ["sub_id", "success", "run_success", "cost", "reason"]
    assert uuid.UUID(result["sub_id"]).version == 4
    assert uuid.UUID(service.judged("/judge", python("", sub_id=""))["sub_id"]).version == 4


@kept
@pytest.mark.parametrize("printed, expected, same", [
    ("a", "a\n", True), (" \\u3000a\\u00a0\\n\\n", "a", True), ("a\\x1c", "a", True), ("a \\nb", "a\nb", False),
    ("a\\r\\nb", "a\nb", False), ("A", "a", False), ("", "", True), ("\\n", "", True), ("a\\n\\nb", "a\nb", False)])
def test_comparison_strips_and_nothing_else(service, printed, expected, same):
    result = service.judged("/judge", python(f"print('{printed}', end='')", expected_output=expected))
    assert outcome(result) == (same, True), result


@kept
def test_texts_are_cut_after_the_comparison(service):
    result = service.judged("/run", python("import sys\nprint(1500 * 'é', end='')\nsys.stderr.write(2000 * 'x')",
                                           expected_output=1500 * "é"))
    assert outcome(result) == (True, True)
    assert result["stdout"] == 1000 * "é" and result["stderr"] == 1000 * "x"


@kept
def test_compile_errors(service):
    result = service.judged("/run", cpp("int main() { stray }"))
    assert result["stdout"] == "" and result["cost"] == 0 and result["reason"] == ""
    assert "stray" in result["stderr"] and len(result["stderr"]) <= 1000


@better("the compiler's as the interpreter's: it has not seen the source")
def test_a_source_that_does_not_fit_is_an_internal_error(serve):
    service = serve("-tmp-fs-param", "size=1m,nr_inodes=4k")
    for language in python, cpp:
        result = service.judged("/run", language("int main() {}" + (4 << 20) * " "))
        assert outcome(result) == (False, False) and result["reason"] == "internal_error", result["reason"]


@kept
def test_exit_codes_and_signals(service):
    assert outcome(service.judged("/run", python("exit(3)"))) == (False, False)
    result = service.judged("/run", python("print('x', flush=True); import os; os.abort()"))
    assert outcome(result) == (False, False) and result["stdout"] == "x\n" and result["reason"] == ""
    result = service.judged("/run", python("1/0"))
    assert "ZeroDivisionError" in result["stderr"]


@better("no line is added: line numbers and __future__ imports are the program's own")
def test_the_program_is_the_users_own(service):
    result = service.judged("/run", python("from __future__ import annotations\n\n1/0"))
    assert "line 3" in result["stderr"]
    result = service.judged("/run", python("print('@@E'); print('@@D123')"))
    assert result["stdout"] == "@@E\n@@D123\n" and result["success"]


@better("what is not UTF-8 is replaced, and judged by its bytes")
def test_output_that_is_no_text(service):
    result = service.judged("/run", python(r"import sys; sys.stdout.buffer.write(b'a\xffb')"))
    assert result["stdout"] == "a\ufffdb" and result["success"] and result["reason"] == ""


@kept
def test_math_is_an_internal_error(service):
    result = service.judged("/run", {"type": "math", "solution": "1"})
    assert result["reason"] == "internal_error" and result["stdout"] is None and result["stderr"] is None
    assert outcome(result) == (False, False)


@kept
def test_absent_input_is_the_end_of_file(service):
    for more in ({}, {"input": None}, {"input": ""}):
        result = service.judged("/run", python("import sys; print(repr(sys.stdin.read()))", **more))
        assert result["stdout"] == "''\n"
    assert service.judged("/run", python("print(1)", input="x" * (1 << 20)))["success"]


@better("a memory limit that was passed is told in one line")
def test_memory(service):
    result = service.judged("/run", python("x = bytearray(1 << 30)\nprint(len(x))"))
    assert outcome(result) == (False, False)
    assert result["stderr"].endswith("Memory limit of 384 MiB exceeded.\n")
    result = service.judged("/run", python("x = bytearray(300 << 20)\nprint(len(x))"))
    assert result["success"]


@kept
@pytest.mark.parametrize("method, path, status, body", [
    ("GET", "/nosuch", 404, {"detail": "Not Found"}), ("GET", "/run", 405, {"detail": "Method Not Allowed"}),
    ("POST", "/ping", 405, {"detail": "Method Not Allowed"}), ("HEAD", "/ping", 405, None)])
def test_wrong_ways(service, method, path, status, body):
    answer = service.judge(method, path)
    assert answer.status == status
    if body is not None:
        assert answer.json == body
    if status == 405:
        assert answer.headers["allow"] in ("GET", "POST")


CURL = """curl -X POST -H "Content-Type: application/json" \
-d '{"type":"python", "solution":"print(9)", "expected_output":"9"}' http://0.0.0.0:8000/judge"""
HTTPIE = 'http post http://0.0.0.0:8000/judge type=python solution="print(9)" expected_output=9'
REQUESTS = """import requests
response = requests.post(
"http://0.0.0.0:8000/judge",
json={
"type":"python",
"solution":"print(9)",
"expected_output":"9"
})
print(response.json())
"""


@kept
@pytest.mark.parametrize("program, line", [("curl", CURL), ("http", HTTPIE), ("python", REQUESTS)])
def test_lines_of_the_readme(service, program, line):
    """As people paste them, but for the address."""
    if program != "python" and shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    line = line.replace("0.0.0.0:8000", service.judge_addresses[0])
    argv = ["/usr/bin/python3", "-c", line] if program == "python" else ["bash", "-c", line]
    terminal, stdin = pty.openpty()  # httpie takes any other stdin for the body
    try:
        done = subprocess.run(argv, stdin=stdin, capture_output=True, text=True, timeout=60, check=False)
    finally:
        os.close(terminal)
        os.close(stdin)
    if program == "python" and "No module named 'requests'" in done.stderr:
        pytest.skip("requests is not installed")
    result = ast.literal_eval(done.stdout) if program == "python" else json.loads(done.stdout)
    assert list(result) == ["sub_id", "success", "run_success", "cost", "reason"], done
    assert outcome(result) == (True, True) and result["reason"] == "" and isinstance(result["cost"], float)


def test_the_demonstration(cjudge):
    """What ./run prints: the samples, run and judged."""
    demo = os.path.join(os.path.dirname(__file__), "../../tools/demo")
    done = subprocess.run(["/usr/bin/python3", demo, cjudge], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines() if line]
    assert [row[:2] for row in rows[-5:]] == [["judged", "verdict"], ["hello.cpp", "success"], ["sample.py", "success"],
                                              ["print(8)", "wrong"], ["endless.py", "worker_timeout"]]
    assert "sum 77" in done.stdout and "Suicide from timeout." in done.stdout


@kept
def test_a_slash_too_much(service):
    assert service.judge("GET", "/ping//?a=b").headers["location"].endswith("/ping?a=b")
    answer = service.judge("POST", "/judge/", python(""))
    assert answer.status == 307 and answer.body == b""
    assert answer.headers["location"].endswith("/judge")


@kept
def test_ping(service):
    answer = service.judge("GET", "/ping")
    assert answer.body == b'"pong"' and answer.headers["content-type"] == "application/json"


@kept
@pytest.mark.parametrize("path, body, errors", [
    ("/run", {}, [("missing", ["body", "type"]), ("missing", ["body", "solution"])]),
    ("/run", {"type": "python"}, [("missing", ["body", "solution"])]),
    ("/run", {"type": "brainfog", "solution": 5}, [("literal_error", ["body", "type"]),
                                                   ("string_type", ["body", "solution"])]),
    ("/run", [], [("model_attributes_type", ["body"])]),
    ("/run/batch", {"submissions": []}, [("too_short", ["body", "submissions"])]),
    ("/run/batch", {"submissions": [python(""), python(1)]}, [("string_type", ["body", "submissions", 1, "solution"])]),
    ("/run/batch", {"type": "x", "submissions": [python("")]}, [("literal_error", ["body", "type"])]),
])
def test_invalid_bodies(service, path, body, errors):
    answer = service.judge("POST", path, body)
    assert answer.status == 422
    assert [(e["type"], e["loc"]) for e in answer.json["detail"]] == errors


@kept
def test_broken_bodies(service):
    answer = service.judge("POST", "/run", b'{"type": "python", "solution": "\xff"}', content_type="application/json")
    assert (answer.status, answer.json) == (400, {"detail": "There was an error parsing the body"})
    answer = service.judge("POST", "/run", b'{"type": ', content_type="application/json")
    assert answer.status == 422 and answer.json["detail"][0]["type"] == "json_invalid"
    answer = service.judge("POST", "/run", b"", content_type="application/json")
    assert answer.status == 422 and answer.json["detail"][0]["type"] == "missing"
    answer = service.judge("POST", "/run", b"{}", content_type="text/plain")
    assert answer.status == 422 and answer.json["detail"][0]["type"] == "model_attributes_type"


@better("a lone surrogate fails its own item, not the batch")
def test_lone_surrogates(service):
    body = b'{"submissions":[{"type":"python","solution":"print(1)"},{"type":"python","solution":"\\ud800"}]}'
    answer = service.judge("POST", "/run/batch", body, content_type="application/json").json
    assert [r["reason"] for r in answer["results"]] == ["", "internal_error"]


# ---- better ----

@better("programs see a clean environment and nothing of the host")
def test_isolation(serve):
    service = serve(env={"SECRET_TOKEN": "x", "PASSED": "y"})
    result = service.judged("/run", python("import os; print(sorted(os.environ))"))
    assert "SECRET_TOKEN" not in result["stdout"] and "PATH" in result["stdout"]
    service = serve("-pass-env", "PASSED", env={"SECRET_TOKEN": "x", "PASSED": "y"})
    result = service.judged("/run", python("import os; print(os.environ.get('PASSED'), os.environ.get('SECRET_TOKEN'))"))
    assert result["stdout"] == "y None\n"


@better("limits of time are kept by us: a program cannot cancel them")
def test_limits_cannot_be_shaken_off(service):
    result = service.judged("/run", python(
        "import os, signal, time\nsignal.alarm(0)\nif os.fork() == 0:\n    os.setsid()\ntime.sleep(100)"))
    assert result["reason"] == "worker_timeout"


@better("what cannot begin in time is a queue_timeout at once, not after 19 s")
def test_queue_timeout(serve):
    service = serve("-parallelism", 1, env={"MAX_QUEUE_WORK_LIFE_TIME": "1", "MAX_EXECUTION_TIME": "4"})
    with concurrent.futures.ThreadPoolExecutor() as pool:
        first = pool.submit(service.judged, "/run", python("import time; time.sleep(3)"))
        time.sleep(0.5)
        start = time.monotonic()
        late = service.judged("/run", python("print(1)"))
        assert late["reason"] == "queue_timeout" and late["stdout"] is None and outcome(late) == (False, False)
        assert 0.9 < time.monotonic() - start < 2
        assert first.result()["success"]
    # what is in a long batch waits
    batch = service.judged("/run/long-batch", {"submissions": [
        python("import time; time.sleep(2)"), python("print(1)")]})
    assert [r["reason"] for r in batch["results"]] == ["", ""]


@better("a full queue is 503 with Retry-After")
def test_a_full_queue(serve):
    service = serve("-parallelism", 1, "-queue-length", 1, env={"MAX_EXECUTION_TIME": "4"})
    with concurrent.futures.ThreadPoolExecutor(max_workers=8) as pool:
        answers = list(pool.map(lambda _: service.judge("POST", "/run", python("import time; time.sleep(1)")), range(6)))
    refused = [a for a in answers if a.status == 503]
    assert refused and all(a.headers["retry-after"] and "detail" in a.json for a in refused)
    assert all(a.json["success"] for a in answers if a.status == 200)
    # a batch that was accepted is never refused in the middle
    batch = service.judged("/run/long-batch", {"submissions": 20 * [python("print(1)")]})
    assert all(r["success"] for r in batch["results"])


def test_a_full_queue_refuses_what_is_built_already(serve):
    """An artifact needs no build, but a place in the queue; the cases behind the first belong to what was admitted."""
    service = serve("-parallelism", 1, "-queue-length", 1, env={"MAX_EXECUTION_TIME": "10"})
    artifact = service.judged("/v1/build", {"language": "python", "source": "import time; time.sleep(0.5)"})["artifact"]
    body = {"artifact": artifact, "cases": 3 * [{}]}
    with concurrent.futures.ThreadPoolExecutor(max_workers=8) as pool:
        answers = list(pool.map(lambda _: service.judge("POST", "/v1/judge", body), range(8)))
    refused = [a for a in answers if a.status == 503]
    assert refused and all(a.headers["retry-after"] and a.json["error"] == "the queue is full" for a in refused)
    taken = [a.json for a in answers if a.status == 200]
    assert taken and len(taken) + len(refused) == 8
    assert all([case["status"] for case in a["cases"]] == 3 * ["Accepted"] for a in taken), taken
    assert all(a["build"] == {"status": "Accepted"} for a in taken), taken
    # of a batch only the first is asked
    batch = service.judged("/v1/judge/batch", {"submissions": 4 * [{"artifact": artifact, "cases": [{}]}]})
    assert [result["summary"]["status"] for result in batch["results"]] == 4 * ["Accepted"]


@better("what waits costs its text and little more")
@pytest.mark.skipif(SANITIZED, reason="sanitizers keep freed memory")
def test_memory_of_a_queue(serve):
    service = serve("-parallelism", 1, env={"MAX_EXECUTION_TIME": "60"})
    host, port = service.judge_addresses[0].rsplit(":", 1)

    def post(submissions):
        body = json.dumps({"submissions": submissions}).encode()
        connection = socket.create_connection((host, int(port)))
        connection.sendall(b"POST /run/long-batch HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
                           b"content-length: %d\r\n\r\n" % len(body) + body)
        wait_for(lambda: service.judge("GET", "/status").json["queue"] >= len(submissions) - 3, 30)
        return connection

    with post(3 * [python("import time; time.sleep(50)")]):
        before = service.rss()
        submissions = [python("x" * 100 + str(i), input="i", expected_output="e") for i in range(20000)]
        with post(submissions):
            text = sum(len(s["solution"]) + 2 for s in submissions)
            assert service.rss() - before - text < 300 * len(submissions)


@better("a client that hangs up frees its slots")
def test_hang_up(serve):
    service = serve("-parallelism", 1, env={"MAX_EXECUTION_TIME": "20"})
    body = json.dumps({"submissions": 50 * [python("import time; time.sleep(15)")]}).encode()
    host, port = service.judge_addresses[0].rsplit(":", 1)
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(b"POST /run/long-batch HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
                           b"content-length: %d\r\n\r\n" % len(body) + body)
        time.sleep(1)
        assert service.judge("GET", "/status").json["queue"] >= 40
    time.sleep(1)
    assert service.judge("GET", "/status").json["queue"] == 0
    start = time.monotonic()
    assert service.judged("/run", python("print(1)"))["success"]
    assert time.monotonic() - start < 3


@better("a long batch does not delay single requests")
def test_fairness(serve):
    service = serve("-parallelism", 1)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        long_one = pool.submit(service.judged, "/run/long-batch",
                               {"submissions": 20 * [python("import time; time.sleep(0.2)")]})
        time.sleep(0.3)
        for _ in range(5):
            start = time.monotonic()
            assert service.judged("/run", python("print(1)"))["success"]
            assert time.monotonic() - start < 1.5
        assert not long_one.done()
        assert all(r["success"] for r in long_one.result()["results"])


@better("a single request waits for the job that runs, not for the batch's next one")
def test_fairness_by_count(serve):
    """Told by the results that come meanwhile, so that the load of the machine does not matter."""
    service = serve("-parallelism", 1)
    host, port = service.judge_addresses[0].rsplit(":", 1)
    body = json.dumps({"submissions": 30 * [python("import time; time.sleep(0.3)")]}).encode()
    with socket.create_connection((host, int(port))) as connection:
        connection.settimeout(60)
        connection.sendall(b"POST /judge/long-batch HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
                           b"content-length: %d\r\n\r\n" % len(body) + body)
        seen = []

        def results():
            connection.setblocking(False)
            try:
                while piece := connection.recv(65536):
                    seen.append(piece)
            except BlockingIOError:
                pass
            return b"".join(seen).count(b'"run_success"')

        wait_for(lambda: results() >= 1, 30)
        for _ in range(6):
            time.sleep(0.1)  # in the midst of a job
            before = results()
            assert service.judged("/judge", python("print(1)"))["success"]
            assert results() - before <= 1
        assert results() < 30


@better("results of a batch are written as they come, in order")
def test_results_are_streamed(service):
    body = json.dumps({"sub_id": "s", "submissions": [python("print(1)"), python("import time; time.sleep(3)")]}).encode()
    host, port = service.judge_addresses[0].rsplit(":", 1)
    with socket.create_connection((host, int(port))) as connection:
        connection.settimeout(2)
        connection.sendall(b"POST /judge/long-batch HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
                           b"content-length: %d\r\n\r\n" % len(body) + body)
        seen = b""
        while b'"success":true' not in seen:
            seen += connection.recv(65536)


REDIS_VARIABLES = ["REDIS_URI", "REDIS_KEY_PREFIX", "REDIS_RESULT_QUEUE_PREFIX", "REDIS_WORKER_ID_PREFIX",
                   "REDIS_RESULT_EXPIRE", "REDIS_RESULT_LONG_BATCH_EXPIRE", "REDIS_WORK_QUEUE_BLOCK_TIMEOUT",
                   "REDIS_WORKER_REGISTER_TIMEOUT", "REDIS_SOCKET_TIMEOUT", "WORK_QUEUE_NAME"]


def test_variables_without_effect_are_told_once(serve):
    values = {**dict.fromkeys(REDIS_VARIABLES, "secret:/x"), "RUN_WORKERS": "2"}
    service = serve(env=values)
    lines = [line for line in service.log() if line["message"] == "option has no effect here"]
    assert sorted(line["option"] for line in lines) == sorted(name.lower().replace("_", "-") for name in values)
    assert "secret" not in service.log_text()


@pytest.mark.parametrize("address, token, warns", [
    ("127.0.0.1:0", "secret", False), ("localhost:0", "secret", False), ("unix:@cjudge-test-%d", "secret", False),
    ("0.0.0.0:0", "", False), ("0.0.0.0:0", "secret", True), (":0", "secret", True)])
def test_a_token_is_not_of_this_door(cjudge, tmp_path, address, token, warns):
    address = address.replace("%d", str(os.getpid()))
    with Service(cjudge, judge=address, env={"ES_AUTH_TOKEN": token}, folder=str(tmp_path)) as service:
        lines = service.log()
        judging = [line for line in lines if line["message"] == "judging"]
        assert judging and all(line["token"] is False for line in judging)
        warnings = [line for line in lines if "asks for no token" in line["message"]]
        assert len(warnings) == warns
        assert all(line["level"] == "warn" and "-judge-addr off" in line["hint"] for line in warnings), warnings
        assert not token or token not in service.log_text()


@kept
def test_error_cases(serve, tmp_path):
    kept_in = tmp_path / "cases"
    service = serve(env={"ERROR_CASE_SAVE_PATH": str(kept_in)})
    service.judged("/run", python("print(1)", sub_id="good"))
    service.judged("/run", python("print(2)", sub_id="wrong", expected_output="1", input="i"))
    service.judged("/run", python("exit(3)", sub_id="../../escape"))
    service.judged("/run", cpp("x", sub_id="compile"))
    service.judged("/run", {"type": "math", "solution": "1", "sub_id": "math", "options": {"a": "\u00e9\n"}})
    names = sorted(os.listdir(kept_in))
    assert sorted(os.listdir(kept_in / "math")) == ["exception.txt", "solution.txt", "submission.json"]
    assert json.loads((kept_in / "math" / "submission.json").read_text()) == {
        "sub_id": "math", "type": "math", "options": {"a": "\u00e9\n"}, "solution": "1", "input": None,
        "expected_output": None}
    assert "good" not in names and "wrong" in names and "compile" in names
    assert not os.path.exists(tmp_path.parent / "escape")
    assert len(names) == 4
    submission = json.loads((kept_in / "wrong" / "submission.json").read_text())
    assert submission["solution"] == "print(2)" and submission["input"] == "i" and submission["sub_id"] == "wrong"
    assert (kept_in / "wrong" / "solution.txt").read_text() == "print(2)"
    result = json.loads((kept_in / "wrong" / "result.json").read_text())
    assert result["stdout"] == "2\n" and result["exit_code"] == 0 and result["success"] is False


@better("commands are templates, and run in our sandbox")
def test_templates(serve):
    service = serve(env={"PYTHON_EXECUTE_COMMAND": "python3 -c 'print(\"{{templated}}\")' {source}",
                         "CPP_COMPILE_COMMAND": "g++ -O0 -DTEMPLATED=7 -o {exe} {source}",
                         "CPP_EXECUTE_COMMAND": "nice {exe} arg"})  # absolute, as code-judge's
    assert service.judged("/run", python("x"))["stdout"] == "{templated}\n"
    result = service.judged("/run", cpp(
        "#include <cstdio>\nint main(int c, char **v) { printf(\"%d %s\", TEMPLATED, v[1]); }"))
    assert result["stdout"] == "7 arg"


def test_bad_templates_are_told_at_the_start(cjudge, tmp_path):
    run = subprocess.run([cjudge, "serve", "-http-addr", "127.0.0.1:0", "-judge-addr", "127.0.0.1:0"],
                         env={**os.environ, "PYTHON_EXECUTE_COMMAND": "python3 {sauce}"}, cwd=tmp_path,
                         capture_output=True, text=True, timeout=30, check=False)
    assert run.returncode != 0 and "{sauce}" in run.stderr


@pytest.mark.parametrize("name, solution", [
    ("c", "#include <stdio.h>\nint main(void) { int a; scanf(\"%d\", &a); printf(\"%d\\n\", 2 * a); }"),
    ("c++20", "#include <iostream>\n#include <concepts>\nint main() { int a; std::cin >> a; std::cout << 2 * a; }"),
    ("py3", "print(2 * int(input()))"), ("bash", "read a; echo $((2 * a))")])
def test_other_languages(service, name, solution):
    assert outcome(service.judged("/run", {"type": name, "solution": solution, "input": "21",
                                           "expected_output": "42"})) == (True, True)


def test_a_venv(serve, tmp_path):
    venv = tmp_path / "venv"
    made = subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=False)
    if made.returncode != 0:
        pytest.skip("python3-venv is not installed")
    site = next(venv.glob("lib/python3*/site-packages"))
    (site / "only_here.py").write_text("value = 42\n")
    service = serve(env={"PYTHON_EXECUTOR_PATH": str(venv / "bin" / "python")})
    result = service.judged("/run", python("import only_here, sys; print(only_here.value, sys.prefix)"))
    assert result["stdout"] == f"42 {venv}\n", result


# ---- the native form ----

def judge(service, **body):
    return service.judged("/v1/judge", body)


CASES = [{"input": "1", "expected": "2"}, {"id": "two", "input": "2", "expected": "4\n"}, {"input": "3", "expected": "7"}]


def test_native(service):
    answer = judge(service, id="r", language="python", source="print(2 * int(input()))", cases=CASES,
                   output={"sha256": True})
    assert answer["id"] == "r"
    assert [c["status"] for c in answer["cases"]] == ["Accepted", "Accepted", "Wrong Answer"]
    assert answer["cases"][1]["id"] == "two"
    case = answer["cases"][2]
    assert case["message"] == "line 1: expected '7', found '6'"
    assert case["stdout"] == "6\n" and case["exit_code"] == 0 and case["memory_bytes"] > 0 and case["cpu_ms"] > 0
    assert re.fullmatch("[0-9a-f]{64}", case["stdout_sha256"])
    assert answer["summary"]["status"] == "Wrong Answer" and answer["summary"]["accepted"] == 2
    assert answer["summary"]["protection"] in ("full", "no-cgroup")


@pytest.mark.parametrize("source, limits, status", [
    ("while True: pass", {"cpu_ms": 200}, "Time Limit Exceeded"),
    ("import time; time.sleep(9)", {"wall_ms": 300}, "Time Limit Exceeded"),
    ("x = bytearray(1 << 28); print(len(x))", {"memory_bytes": 64 << 20}, "Memory Limit Exceeded"),
    ("print('x' * 100000)", {"output_bytes": 1000}, "Output Limit Exceeded"),
    ("exit(7)", {}, "Nonzero Exit Status"),
    ("import os; os.abort()", {}, "Signalled"),
])
def test_native_verdicts(service, source, limits, status):
    answer = judge(service, language="python", source=source, limits=limits, cases=[{}])
    assert answer["cases"][0]["status"] == status, answer


def test_native_compile_error(service):
    answer = judge(service, language="cpp", source="stray", cases=CASES)
    assert answer["build"]["status"] == "Compile Error" and "stray" in answer["build"]["stderr"]
    assert {c["status"] for c in answer["cases"]} == {"Skipped"}
    assert answer["summary"]["status"] == "Compile Error"


def test_native_source_that_does_not_fit(serve):
    service = serve("-tmp-fs-param", "size=1m,nr_inodes=4k")
    answer = judge(service, language="cpp", files={"main.cpp": "int main() {}", "big.h": (4 << 20) * " "}, cases=[{}])
    assert answer["build"]["status"] == "Internal Error", answer["build"]
    assert "big.h" in answer["build"]["message"]
    assert answer["summary"]["status"] == "Internal Error"


@pytest.mark.parametrize("compare, printed, expected, status", [
    ("exact", "a", "a\n", "Wrong Answer"), ("strip", " a", "a\n", "Accepted"), ("lines", "a \n\n", "a", "Accepted"),
    ("tokens", "1  2\n3", "1 2 3", "Accepted"), ({"mode": "floats", "absolute_tolerance": 1e-3}, "1.0004", "1", "Accepted"),
    ({"mode": "floats", "relative_tolerance": 1e-3}, "1002", "1000", "Wrong Answer"),
    ({"mode": "tokens", "ignore_case": True}, "YES", "yes", "Accepted"),
])
def test_native_comparisons(service, compare, printed, expected, status):
    answer = judge(service, language="bash", source="cat", compare=compare, cases=[{"input": printed, "expected": expected}])
    assert answer["cases"][0]["status"] == status, answer


def test_native_stops_at_the_first_failure(service):
    answer = judge(service, language="bash", source="read a; echo $a", stop="first_failure",
                   cases=[{"input": "1", "expected": "1"}, {"input": "1", "expected": "2"}] + 40 * [{"input": "1", "expected": "1"}])
    statuses = [c["status"] for c in answer["cases"]]
    assert statuses[:2] == ["Accepted", "Wrong Answer"] and "Skipped" in statuses
    assert answer["summary"]["status"] == "Wrong Answer"


def test_native_streams(service):
    answer = service.judge("POST", "/v1/judge", {"language": "bash", "source": "cat", "stream": True, "cases": CASES})
    assert answer.headers["content-type"] == "application/x-ndjson"
    events = [json.loads(line) for line in answer.body.splitlines()]
    assert [e["event"] for e in events] == ["build", "case", "case", "case", "summary"]
    assert sorted(e["index"] for e in events[1:4]) == [0, 1, 2]
    answer = service.judge("POST", "/v1/judge", {"language": "bash", "source": "cat", "stream": True, "cases": CASES},
                           accept="text/event-stream")
    assert answer.headers["content-type"] == "text/event-stream"
    assert answer.body.startswith(b"event: build\ndata: {") and answer.body.endswith(b"}\n\n")


def test_native_files_and_stored_inputs(service):
    big = service.put("input", b"x" * (3 << 20))
    expected = service.put("expected", b"3145728\n")
    answer = judge(service, language="cpp", files={"util.h": "#define N 1\n", "main.cpp":
                   "#include \"util.h\"\n#include <cstdio>\nint main() { long n = 0; while (getchar() != EOF) n += N; printf(\"%ld\", n); }"},
                   cases=[{"input_file": big, "expected_file": expected}])
    assert answer["cases"][0]["status"] == "Accepted", answer
    refused = service.judge("POST", "/v1/judge", {"language": "bash", "source": "", "cases": [{"input_file": "NOSUCH"}]})
    assert refused.status == 400 and "cases[0].input_file" in refused.json["error"]


def test_native_artifacts(service):
    built = service.judged("/v1/build", {"language": "c", "source": "#include <stdio.h>\nint main(void) { puts(\"hi\"); }"})
    assert built["build"]["status"] == "Accepted"
    answer = judge(service, artifact=built["artifact"], cases=5 * [{"expected": "hi"}])
    assert {c["status"] for c in answer["cases"]} == {"Accepted"}
    assert service.judge("DELETE", f"/v1/artifacts/{built['artifact']}").status == 204
    assert service.judge("DELETE", f"/v1/artifacts/{built['artifact']}").status == 404
    assert service.judge("POST", "/v1/judge", {"artifact": built["artifact"], "cases": [{}]}).status == 400
    assert service.judged("/v1/build", {"language": "c", "source": "stray"})["artifact"] is None


def test_native_artifact_that_goes_during_its_batch(serve):
    """It was there when the batch was taken: that is enough."""
    service = serve("-parallelism", 1)
    built = service.judged("/v1/build", {"language": "c", "source": "int main(void) {}"})["artifact"]
    slow = {"language": "bash", "source": "sleep 0.3", "cases": [{}]}
    batch = {"submissions": 4 * [slow] + [{"artifact": built, "cases": [{}]}]}
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        answer = pool.submit(service.judged, "/v1/judge/batch", batch)
        time.sleep(0.4)
        assert service.judge("DELETE", f"/v1/artifacts/{built}").status == 204
        results = answer.result(timeout=20)["results"]
    assert [result["summary"]["status"] for result in results] == 5 * ["Accepted"]


def test_native_batches(service):
    submissions = [{"id": str(i), "language": "bash", "source": f"echo {i}", "cases": [{"expected": str(i)}, {"expected": "x"}]}
                   for i in range(30)]
    answer = service.judged("/v1/judge/batch", {"submissions": submissions})
    assert [r["id"] for r in answer["results"]] == [str(i) for i in range(30)]
    assert all([c["status"] for c in r["cases"]] == ["Accepted", "Wrong Answer"] for r in answer["results"])


def test_native_deadline(serve):
    service = serve("-parallelism", 1)
    answer = judge(service, language="bash", source="sleep 0.4", deadline_ms=700, cases=10 * [{}])
    statuses = [c["status"] for c in answer["cases"]]
    assert statuses[0] == "Accepted" and statuses[-1] == "Queue Timeout"


@pytest.mark.parametrize("body, words", [
    ({"language": "nosuch", "source": "", "cases": [{}]}, ["language", "nosuch"]),
    ({"language": "c", "cases": [{}]}, ["source"]), ({"language": "c", "source": ""}, ["cases"]),
    ({"language": "c", "source": "", "cases": []}, ["cases"]),
    ({"language": "c", "source": "", "cases": [{"inptu": ""}]}, ["cases[0].inptu"]),
    ({"language": "c", "source": "", "cases": [{}], "limits": {"cpu_ms": 0}}, ["limits.cpu_ms"]),
    ({"language": "c", "source": "", "cases": [{}], "limits": {"cpu_ms": 1.5}}, ["limits.cpu_ms"]),
    ({"language": "c", "source": "", "cases": [{}], "compare": "fuzzy"}, ["compare"]),
    ({"language": "c", "source": "", "cases": [{"input": "", "input_file": "A"}]}, ["cases[0]"]),
    ({"language": "c", "source": "", "files": {"a": ""}, "cases": [{}]}, ["files"]),
    ({"language": "c", "files": {"main.c": "", "../x": ""}, "cases": [{}]}, ["files.../x: "]),
    ({"language": "c", "files": {"main.c": "", "/tmp/x": ""}, "cases": [{}]}, ["files./tmp/x: "]),
    ({"language": "c", "files": {"main.c": "", "d/": ""}, "cases": [{}]}, ["files.d/: "]),
    ({"language": "c", "files": {"main.c": "", "d/" + 256 * "x": ""}, "cases": [{}]}, ["files.d/xxx", "255"]),
    ({"language": "c", "files": {"a.c": "", "main.c/b.h": ""}, "cases": [{}]}, ["files.main.c/b.h: "]),
])
def test_native_bad_bodies(service, body, words):
    answer = service.judge("POST", "/v1/judge", body)
    assert answer.status == 400
    assert all(word in answer.json["error"] for word in words), answer


def test_native_errors_name_the_field(service):
    """Of what no reader of the body can know; a path begins with the submission where there are several."""
    good = {"language": "bash", "source": "cat", "cases": [{}]}
    for wrong, path in [({"cases": [{}, {"input_file": "NOSUCH"}]}, "cases[1].input_file: "),
                        ({"cases": [{"expected_file": "NOSUCH"}]}, "cases[0].expected_file: ")]:
        refused = service.judge("POST", "/v1/judge", {**good, **wrong})
        assert refused.status == 400 and refused.json["error"].startswith(path), refused
        refused = service.judge("POST", "/v1/judge/batch", {"submissions": [good, {**good, **wrong}]})
        assert refused.status == 400 and refused.json["error"].startswith("submissions[1]." + path), refused
    gone = {"artifact": "NOSUCH", "cases": [{}]}
    refused = service.judge("POST", "/v1/judge", gone)
    assert refused.status == 400 and refused.json["error"].startswith("artifact: "), refused
    for submissions, path in [([gone], "submissions[0].artifact: "), ([good, gone], "submissions[1].artifact: ")]:
        refused = service.judge("POST", "/v1/judge/batch", {"submissions": submissions})
        assert refused.status == 400 and refused.json["error"].startswith(path), refused


def test_both_doors_together(service):
    """The judging door and the other one share the slots."""
    with concurrent.futures.ThreadPoolExecutor(max_workers=8) as pool:
        judged = [pool.submit(service.judged, "/judge", python(ECHO, input=str(i), expected_output=str(i))) for i in range(20)]
        run = [pool.submit(service.run, command("/bin/echo", str(i))) for i in range(20)]
        assert all(j.result()["success"] for j in judged)
        assert [r.result()["files"]["stdout"] for r in run] == [f"{i}\n" for i in range(20)]


@better("results that a client does not take yet are bounded, as is what is begun for it")
def test_a_client_that_does_not_read(serve):
    """It posts 40 KB; its results are 40 MB."""
    service = serve(env={"MAX_STDOUT_ERROR_LENGTH": "100000", "MAX_EXECUTION_TIME": "60"})
    count = 400
    body = json.dumps({"type": "batch", "submissions": [
        {"type": "bash", "sub_id": f"{index}", "solution": "seq 30000"} for index in range(count)]}).encode()
    host, port = service.judge_addresses[0].rsplit(":", 1)
    before = service.rss()
    with socket.socket() as client:
        client.settimeout(120)
        client.connect((host, int(port)))
        client.sendall(b"POST /run/long-batch HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        queues = [count]
        while len(queues) < 8 or len(set(queues[-8:])) > 1:  # until nothing moves
            time.sleep(0.5)
            queues.append(service.judge("GET", "/status").json["queue"])
        assert SANITIZED or service.rss() < before + (24 << 20)
        assert queues[-1] > count / 2
        answer = client.makefile("rb").read()
    results = json.loads(answer.split(b"\r\n\r\n", 1)[1])["results"]
    assert [result["sub_id"] for result in results] == [f"{index}" for index in range(count)]
    assert all(result["run_success"] and len(result["stdout"]) == 100000 for result in results)


def test_a_client_that_does_not_read_a_stream(serve):
    service = serve()
    count = 400
    body = json.dumps({"stream": True, "submissions": [
        {"language": "bash", "source": "seq 30000", "output": {"stdout_bytes": 100000}, "cases": [{}]} for _ in range(count)]}).encode()
    host, port = service.judge_addresses[0].rsplit(":", 1)
    before = service.rss()
    with socket.socket() as client:
        client.settimeout(120)
        client.connect((host, int(port)))
        client.sendall(b"POST /v1/judge/batch HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        time.sleep(4) # all 400 take two seconds
        assert SANITIZED or service.rss() < before + (24 << 20)
        lines = client.makefile("rb").read().split(b"\r\n\r\n", 1)[1].splitlines()
    cases = [json.loads(line) for line in lines if b'"case"' in line]
    assert len(cases) == count, lines[:2]
