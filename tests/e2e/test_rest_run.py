"""go-judge's REST door over a real socket: what a request can ask for, each edge case of the reference.

A test that has a counterpart in go-judge is marked: its behaviour was kept, or made better, for a reason;
the others are about what its clients never saw."""
import os
import pathlib
import re
import time

import pytest

from service import MIB, READER, WRITER, accepted, collector, command, pipe_between, python, refused, shell

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: control groups")
kept = pytest.mark.kept
better = pytest.mark.better

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
    assert 1.2e9 <= result["runTime"] < 2.2e9


@kept
def test_real_cpu_limit_replaces_clock_limit(service):
    result = service.run(command("/bin/sleep", "5", clockLimit=5000000000, realCpuLimit=200000000))
    assert (result["status"], result["exitStatus"]) == ("Time Limit Exceeded", 9)
    assert 0.2e9 <= result["runTime"] < 1e9


@better(reason="Signalled with or without clockLimit: only a passed limit is a Time Limit Exceeded")
@pytest.mark.parametrize("clock", [2000000000, None])
def test_who_kills_itself_is_signalled(service, clock):
    result = service.run(shell("kill -9 $$", clockLimit=clock))
    assert (result["status"], result["exitStatus"]) == ("Signalled", 9)


@kept
def test_a_busy_loop(service):
    result = service.run(shell("while :; do :; done", cpuLimit=300000000, clockLimit=30 * 10**9))
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


def slot_switches(service):
    """How often the slots' threads have gone to sleep."""
    count = 0
    for task in pathlib.Path(f"/proc/{service.process.pid}/task").iterdir():
        if (task / "comm").read_text().startswith("cj-slot"):
            count += int(re.search(r"^voluntary_ctxt_switches:\s+([0-9]+)", (task / "status").read_text(), re.M).group(1))
    return count


@better(reason="a write costs its program no change of processes")
def test_the_slot_is_not_woken_by_each_write(service):
    source = "import os\nfor _ in range(4096): os.write(1, b'x' * 8192)"
    before = slot_switches(service)
    result = service.run(python(source, clockLimit=60 * 10**9,
                                files=[{"content": ""}, collector("stdout", 64 * MIB, pipe=True), collector("stderr")]))
    assert accepted(result) == "x" * 32 * MIB
    assert slot_switches(service) - before < 2048


@kept
@pytest.mark.parametrize("script", ["true", "echo hello"])
@pytest.mark.parametrize("pipe", [False, True])
def test_nothing_fits_into_a_negative_maximum(service, pipe, script):
    result = service.run(shell(script, files=[{"content": ""}, collector("stdout", -1, pipe=pipe), collector("e", 0)]))
    assert (result["status"], result["exitStatus"], result["error"]) == ("Output Limit Exceeded", 0, "Output Limit Exceeded")
    assert result["files"] == {"e": "", "stdout": ""}
    assert [(e["name"], e["type"]) for e in result["fileError"]] == [("stdout", "CollectSizeExceeded")]


@kept
def test_the_stack_limit_is_cut_to_the_memory_limit(service):
    bash = ["/bin/bash", "-c", "ulimit -s"]
    assert accepted(service.run(command(*bash, stackLimit=102400000, memoryLimit=100 * MIB))) == "100000\n"
    assert accepted(service.run(command(*bash, stackLimit=102400000, memoryLimit=64 * MIB))) == "65552\n"


DEEP = """int f(int n) { volatile char a[4096]; for (int i = 0; i < 4096; i++) a[i] = n; return f(n + 1) + a[n & 4095]; }
int main() { return f(0); }"""


@kept
def test_a_recursion_without_end_meets_whichever_limit_is_less(service):
    built = service.run(command("/usr/bin/gcc", "-O0", "-w", "a.c", cpuLimit=10**10, clockLimit=3 * 10**10, memoryLimit=512 * MIB,
                                copyIn={"a.c": {"content": DEEP}}, copyOutCached=["a.out"]))
    program = {"a.out": {"fileId": built["fileIds"]["a.out"]}}
    for _ in range(5):
        large = service.run(command("a.out", copyIn=program, stackLimit=1 << 30, clockLimit=10**10, cpuLimit=5 * 10**9))
        assert large["status"] == "Memory Limit Exceeded", large
        small = service.run(command("a.out", copyIn=program, stackLimit=8 * MIB, clockLimit=10**10, cpuLimit=5 * 10**9))
        assert (small["status"], small["exitStatus"]) == ("Signalled", 11), small


@kept
def test_a_cpu_rate_counts_only_when_the_server_says_so(service, serve):
    burn = "import time\nend = time.process_time() + 0.2\nwhile time.process_time() < end: pass"
    assert service.run(python(burn, cpuRateLimit=20, clockLimit=9000000000))["runTime"] < 7e9
    limited = serve("-enable-cpu-rate", "-parallelism", 1)
    result = limited.run(python(burn, cpuRateLimit=200, clockLimit=9000000000))
    assert result["status"] == "Accepted" and result["runTime"] > 0.8e9, result


@better(reason="signals are at their defaults")
def test_signals_are_at_their_defaults(service):
    result = service.run(shell("kill -TERM $$; echo alive"))
    assert (result["status"], result["exitStatus"]) == ("Signalled", 15)
    assert result["files"]["stdout"] == ""


@kept
def test_each_run_leads_a_session(service):
    source = "import os, signal\nsignal.raise_signal(signal.SIGTSTP)\nprint(os.getsid(0) == os.getpid() == os.getpgrp())"
    for _ in range(2):
        assert accepted(service.run(python(source))) == "True\n" # an orphaned group does not stop


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


AFTERWARDS = "ls -lA /w; stat -c '%a %U %h %F' /w; ls -A /tmp"


@kept
@pytest.mark.parametrize("script", [
    ":", "rm stdout", "mv stdout x", "rm stdout; mkdir stdout", "rm stdout; echo other > stdout", "ln stdout y; ln y z", "echo > z",
    "chmod 0 stdout", "mv stdout t; mv stderr stdout; mv t stderr", "rm stdout stderr; ln -s /etc/passwd stdout", "mkdir -p d/e; mv stdout d/e",
    "exec 1>&- 2>&-; rm stdout stderr", "kill -9 $$", "sleep 9"])
def test_what_a_program_does_with_its_collector_file(serve, script):
    service = serve("-parallelism", 1)
    pipes = [{"content": ""}, collector("stdout", pipe=True), collector("stderr", pipe=True)]
    fresh = service.run(shell(AFTERWARDS, files=pipes))
    for _ in range(2):
        result = service.run(shell(f"echo out; echo err >&2; {script}", clockLimit=300 * 10**6))
        assert result["files"] == {"stdout": "out\n", "stderr": "err\n"}
        assert service.run(shell(AFTERWARDS, files=pipes))["files"] == fresh["files"]


@kept
def test_a_collector_file_is_there_for_its_program(service):
    result = service.run(shell("echo out; read x < stdout; echo $x >&2; stat -c '%a %F' stdout >&2; ls -A >&2"))
    assert result["files"] == {"stdout": "out\n", "stderr": "out\n777 regular file\nstderr\nstdout\n"}


@kept
@pytest.mark.parametrize("sizes", [(20000, 20000), (32768, 1), (1, 32768), (32769, 0), (100000, 50000), (0, 3 * MIB)])
def test_collector_files_of_any_size(service, sizes):
    files = [{"content": ""}, collector("a", 8 * MIB), collector("b", 8 * MIB)]
    result = service.run(shell(f"yes | head -c {sizes[0]}; yes n | head -c {sizes[1]} >&2", files=files))
    assert result["files"] == {"a": ("y\n" * sizes[0])[:sizes[0]], "b": ("n\n" * sizes[1])[:sizes[1]]}


@kept
def test_many_collector_files(service):
    names = [f"o{i}" for i in range(1, 9)]
    result = service.run(shell("; ".join(f"echo {i} >&{i}" for i in range(1, 9)),
                               files=[{"content": ""}, *map(collector, names)]))
    assert result["files"] == {name: f"{name[1:]}\n" for name in names}


@kept
def test_a_collector_file_that_others_name_too(service):
    assert accepted(service.run(command("/bin/true", copyIn={"stdout": {"content": "abc"}}))) == "abc"
    result = service.run(shell("echo out", copyOut=["./stdout", "/w/stderr", "stdout"]))
    assert result["files"] == {"stdout": "out\n", "./stdout": "out\n", "stderr": "", "/w/stderr": ""}


@kept
def test_a_collector_where_no_file_can_be(service):
    files = [{"content": ""}, collector("no/such/dir"), collector("stderr")]
    answer = service.post_run({"cmd": [command(files=files)]})
    assert refused(answer, "no/such/dir", "no such file or directory", status=500)
    files[1]["pipe"] = True
    result = service.run(command(files=files))
    assert result["status"] == "Accepted" and result["files"]["no/such/dir"] == "hi\n"


def test_a_collector_where_the_operator_has_put_something(serve, tmp_path):
    file, table = tmp_path / "file", tmp_path / "mount.yaml"
    file.write_text("from the host\n")
    binds = [f"{{type: bind, source: {place}, target: {place}, readonly: true}}" for place in ("/usr", "/bin", "/lib", "/lib64")]
    mounts = [*binds, "{type: tmpfs, target: /w, data: 'size=8m,nr_inodes=1k'}",
              f"{{type: bind, source: {file}, target: /w/mounted, readonly: true}}"]
    links = "symLink: [{linkPath: /w/linked, target: /etc/passwd}]"
    table.write_text("mount:\n" + "".join(f"  - {mount}\n" for mount in mounts) + f"{links}\nproc: true\n")
    service = serve("-parallelism", 1, "-mount-conf", table)
    for name in ("mounted", "linked"):
        files = [{"content": ""}, collector(name), collector("stderr")]
        for _ in range(2):
            assert name in refused(service.post_run({"cmd": [command(files=files)]}), name, status=500)
    assert accepted(service.run(shell("echo hi; ls"))) == "hi\nlinked\nmounted\nstderr\nstdout\n"


def test_a_collector_without_room_for_its_file(serve):
    service = serve("-parallelism", 1, "-tmp-fs-param", "size=1m,nr_inodes=2")
    for _ in range(2):
        result = service.run(shell("echo hi"))
        assert (result["status"], result["error"]) == ("Internal Error", "start: /bin/sh: make output: no space left on device")
        files = [{"content": ""}, collector("stdout", pipe=True), collector("stderr", pipe=True)]
        assert service.run(shell("echo hi", files=files))["files"]["stdout"] == "hi\n"


@better(reason="400 that names the descriptor")
def test_a_null_descriptor_that_no_pipe_covers(service):
    pipe = {"in": {"index": 0, "fd": 1}, "out": {"index": 0, "fd": 0}}
    for body in ({"cmd": [command(files=[None, collector("stdout")])]},
                 {"cmd": [command(files=[None, collector("stdout")])], "pipeMapping": [pipe]}):
        refused(service.post_run(body), "cmd[0].files[0]")
    pair = [command(files=[None, collector("stdout")]), command()]
    refused(service.post_run({"cmd": pair}), "cmd[0].files[0]")


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


@better(reason="go-judge's copy has a hole when the reader leaves early")
@pytest.mark.parametrize("copying", [False, True])
def test_a_copy_has_no_hole(service, copying):
    results = service.run_all(
        shell("seq 1 100000", files=WRITER), command("/usr/bin/head", "-c", "10", files=READER),
        pipes=[pipe_between((0, 1), (1, 0), proxy=True, name="p", max=1 << 20, disableZeroCopy=copying)])
    assert [r["status"] for r in results] == ["Accepted"] * 2
    assert results[0]["files"]["p"] == "".join(f"{n}\n" for n in range(1, 100001))


@kept
def test_what_passed_can_be_stored(service):
    results = service.run_all(
        command("/bin/echo", "hi", files=WRITER, copyOutCached=["p"]), command("/bin/cat", files=READER),
        pipes=[pipe_between((0, 1), (1, 0), proxy=True, name="p", max=100)])
    assert "p" not in results[0].get("files", {})
    assert service.request("GET", f"/file/{results[0]['fileIds']['p']}").body == b"hi\n"


# ---- terminals ----

@kept
def test_a_terminal_shows_what_is_typed(service):
    result = service.run(command("/bin/cat", stdin="x\n\x04", tty=True))
    assert result["status"] == "Accepted"
    assert result["files"] == {"stdout": "x\r\nx\r\n"}  # stderr is the terminal, too, and collects nothing


@kept
def test_a_terminal_gets_no_end_of_file_by_itself(service):
    result = service.run(command("/bin/cat", stdin="x\n", tty=True, clockLimit=300000000))
    assert (result["status"], result["files"]["stdout"]) == ("Time Limit Exceeded", "x\r\nx\r\n")


@better(reason="a mistake in the request is 400, not 500")
def test_two_inputs_of_a_terminal(service):
    files = [{"content": "a"}, collector("stdout"), {"content": "b"}]
    refused(service.post_run({"cmd": [command("/bin/cat", files=files, tty=True)]}),
            "cmd[0].files[2]", "tty: multiple input not allowed")


@kept
def test_a_stored_file_is_no_terminal(service):
    result = service.run(command("/bin/cat", files=[{"src": "/etc/hostname"}, collector("stdout")], tty=True))
    assert result["status"] == "Internal Error"
    assert result["error"].endswith("ioctl: inappropriate ioctl for device")


# ---- groups ----

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
@pytest.mark.parametrize("more, words", [
    ({"cpuSetLimit": "abc"}, "cgroup: failed to set cpuset limit: "),
    ({"args": ["/bin/true", "x" * (200 << 10)]}, "start: /bin/true: execve: argument list too long"),
    ({"args": ["/nonexist"]}, "start: /nonexist: execve: no such file or directory"),
])
def test_what_cannot_start_has_its_outputs(service, more, words):
    """Clients take them for granted, whatever the status."""
    files = [{"content": ""}, collector("stdout"), collector("stderr", pipe=True)]
    result = service.run(command(files=files, **more))
    assert result["status"] == "Internal Error" and result["error"].startswith(words)
    assert result["files"] == {"stderr": "", "stdout": ""}
    result = service.run(command(files=files, copyOutCached=["stdout"], **more))
    assert result["files"] == {"stderr": ""} and service.get("/file/" + result["fileIds"]["stdout"]).body == b""


FLOODED = [{"name": "o", "type": "CollectSizeExceeded", "message": "Output Limit Exceeded"}]


@better(reason="who floods a file that is collected is stopped, as who floods a pipe; go-judge waits for a limit or a full disk")
@pytest.mark.parametrize("name, more", [("o", {}), ("/tmp/o", {}), ("o", {"copyOutCached": ["o"]})])
def test_a_flood_of_a_file_is_stopped(service, name, more):
    errors = [{**FLOODED[0], "name": name}]
    more = {**more, "copyOutCached": [name]} if more else {}
    began = time.monotonic()
    result = service.run(command("/usr/bin/yes", files=[{"content": ""}, collector(name, 1000)], cpuLimit=10**10,
                                 clockLimit=10**10, memoryLimit=512 * MIB, **more))
    assert (result["status"], result["exitStatus"], result["fileError"]) == ("Output Limit Exceeded", 9, errors)
    assert time.monotonic() - began < 5 and result["memory"] < 120 * MIB
    content = service.get("/file/" + result["fileIds"][name]).body.decode() if more else result["files"][name]
    assert content == "y\n" * 500


@kept
def test_much_output_is_no_flood(service):
    """What is asked for comes back, however large; a file that only has the collector's name is no output."""
    files = [{"content": ""}, collector("o", 30 * MIB), collector("e", 1000)]
    result = service.run(shell("head -c 31457280 /dev/zero; sleep 0.1", files=files, memoryLimit=128 * MIB,
                               copyOutCached=["o"], clockLimit=10**10))
    assert result["status"] == "Accepted" and len(service.get("/file/" + result["fileIds"]["o"]).body) == 30 * MIB
    result = service.run(shell("echo first; sleep 0.1; rm o; head -c 5000000 /dev/zero >o; sleep 0.1; echo last",
                               files=[{"content": ""}, collector("o", 1000)], clockLimit=10**10))
    assert (result["status"], result["files"]["o"]) == ("Accepted", "first\nlast\n")


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
@pytest.mark.parametrize("prefixes", [[], ["-src-prefix", "/dev,/proc"]])
def test_host_files_that_are_special(serve, prefixes):
    """Judges name /dev/null where a problem has no such file. Files of /proc have no size, and sendfile(2) does not take them."""
    started = serve(*prefixes)
    copies = {"none": {"src": "/dev/null"}, "version": {"src": "/proc/version"}}
    with open("/proc/version", encoding="ascii") as file:
        assert accepted(started.run(shell("wc -c <none; cat version", copyIn=copies))) == "0\n" + file.read()
    assert started.run(shell("true", copyIn={"a": {"src": "/proc/version"}}, copyOutCached=["a"]))["status"] == "Accepted"
    answer = started.post_run({"cmd": [shell("echo ran", copyIn={"x": {"src": "/dev/zero"}})]})
    if prefixes:
        refused(answer, "/dev/zero")
    else:
        assert [(e["name"], e["type"]) for e in answer.json[0]["fileError"]] == [("x", "CopyInOpenFile")]


@kept
def test_a_missing_host_file_to_copy(service):
    result = service.run(shell("echo ran", copyIn={"x": {"src": "/nonexist"}}))
    assert (result["status"], result["error"]) == ("File Error", "open /nonexist: no such file or directory")
    assert (result["time"], result["runTime"], result["exitStatus"]) == (0, 0, 0)
    assert [(e["name"], e["type"]) for e in result["fileError"]] == [("x", "CopyInOpenFile")]


@kept
def test_a_collector_is_no_source(service):
    result = service.run(shell("echo ran", copyIn={"x": collector("y")}))
    why = "file cannot open as reader: a collector"
    assert (result["status"], result["error"]) == ("File Error", why)
    assert result["fileError"] == [{"name": "x", "type": "CopyInOpenFile", "message": why}]


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
@pytest.mark.parametrize("name, target", [("d/l2", "x"), ("e", "")])
def test_a_symbolic_link_that_cannot_be(service, name, target):
    result = service.run(shell("echo ran", copyIn={name: {"symlink": target}}))
    assert (result["status"], result["error"]) == ("File Error", "symlink: 1 operations failed")
    assert result["fileError"] == [
        {"name": name, "type": "Symlink",
         "message": f'symlink: "{name}" -> "{target}": symlink {target} {name}: no such file or directory'}]


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
def test_copy_out_dir_has_no_effect_and_that_is_said_once(serve):
    service = serve("-parallelism", 1)
    for _ in range(3):
        assert accepted(service.run(command(copyOutDir="/tmp/x"))) == "hi\n"
    assert len([line for line in service.log() if "copyOutDir" in line["message"]]) == 1


@kept
def test_contents_are_exact(service):
    content = "\0nul, \ud7ff\U0001f600\x7f\x01 and \u2028"
    result = service.run(shell("cat; cat f", stdin=content, copyIn={"f": {"content": content}}))
    assert accepted(result) == content * 2
