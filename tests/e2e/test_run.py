"""cjudge run as a user types it: what passes through, what is said, which exit status scripts see."""
import contextlib
import json
import os
import pty
import re
import resource
import shutil
import signal
import subprocess
import tempfile
import time

import pytest

from service import processes as every_process, wait_for

PYTHON = "/usr/bin/python3"
SH = "/bin/sh"

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: control groups")


class Runner:
    def __init__(self, program, folder):
        self.program, self.folder = program, folder

    def command(self, *args):
        return [self.program, "run", *map(str, args)]

    def __call__(self, *args, stdin=b"", timeout=60, **kwargs):
        """stdin: bytes come through a pipe; anything else is what subprocess takes."""
        how = {"input": stdin} if isinstance(stdin, bytes) else {"stdin": stdin}
        return subprocess.run(self.command(*args), stdout=kwargs.pop("stdout", subprocess.PIPE),
                              stderr=kwargs.pop("stderr", subprocess.PIPE), cwd=self.folder,
                              timeout=timeout, **how, **kwargs)

    def start(self, *args, **kwargs):
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(self.command(*args), cwd=self.folder, **{**pipes, **kwargs})

    def json(self, *args, **kwargs):
        done = self("--json", *args, **kwargs)
        assert without_warning(done.stderr) == b"", done.stderr
        assert done.stdout.count(b"\n") == 1 and done.stdout.endswith(b"\n")
        return json.loads(done.stdout)

    def script(self, *requests, options=(), **kwargs):
        text = "".join(r if isinstance(r, str) else json.dumps(r) + "\n" for r in requests)
        done = self("--script", "-", *options, stdin=text.encode(), **kwargs)
        return done, [json.loads(line) for line in done.stdout.splitlines()]

    def file(self, name, text, mode=0o644):
        path = os.path.join(self.folder, name)
        with open(path, "wb" if isinstance(text, bytes) else "w") as f:
            f.write(text)
        os.chmod(path, mode)
        return path


@pytest.fixture
def run(cjudge, tmp_path):
    return Runner(cjudge, str(tmp_path))


def code(source):
    """Arguments that run a Python program."""
    return ["--", PYTHON, "-c", source]


def output(done):
    """Standard output of a run that has to be accepted."""
    assert done.returncode == 0, done.stderr
    return done.stdout.decode()


def refused(done, *words):
    """cjudge itself says why it does not run anything: one line, with every word in it."""
    text = done.stderr.decode()
    assert done.returncode == 125, (done.returncode, text)
    assert done.stdout == b""
    assert text.startswith("cjudge run: ") and text.count("\n") == 1, text
    for word in words:
        assert word in text, text


def without_warning(stderr):
    """What is said beside the one line about a host with less than full protection."""
    lines = stderr.splitlines(keepends=True)
    return b"".join(line for line in lines if b"protection is not full" not in line)


def processes(word):
    """Of programs: not the command that runs them."""
    return every_process(word, without="run")


# ---- exit statuses ----

@pytest.mark.parametrize("status", [0, 1, 3, 124, 125, 137, 255])
def test_own_exit_code_is_passed_on(run, status):
    done = run("--", SH, "-c", f"exit {status}")
    assert done.returncode == status
    expected = "Accepted" if status == 0 else "Nonzero Exit Status"
    assert done.stderr.decode().startswith(f"{expected}, exit {status}\n")


@pytest.mark.parametrize("name", ["SEGV", "TERM", "KILL", "ABRT", "USR1", "PIPE", "INT", "XCPU"])
def test_a_signal_is_128_and_its_number(run, name):
    number = getattr(signal, "SIG" + name)
    done = run("--", SH, "-c", f"kill -{name} $$")
    assert done.returncode == 128 + number
    assert done.stderr.decode().startswith(f"Signalled, signal {number} ({name})\n")


def test_cpu_limit_is_124(run):
    begun = time.monotonic()
    done = run("--cpu", "300ms", *code("while True: pass"))
    assert done.returncode == 124
    assert done.stderr.startswith(b"Time Limit Exceeded, signal 9 (KILL)\n")
    assert time.monotonic() - begun < 2


def test_wall_limit_is_124_and_a_sleeper_uses_no_cpu(run):
    done = run("--wall", "300ms", "--", "/bin/sleep", "60")
    assert done.returncode == 124
    found = re.search(r"CPU ([\d.]+) s of 10 s, wall ([\d.]+) s of 300 ms", done.stderr.decode())
    assert found and float(found[1]) < 0.1 and 0.3 <= float(found[2]) < 0.5


def test_wall_limit_is_twice_the_cpu_limit_and_a_second(run):
    assert "wall" in run("--cpu", "2s", "--", "/bin/true").stderr.decode()
    assert re.search(r"CPU .* of 2 s, wall .* of 5 s,", run("--cpu", "2s", "--", "/bin/true").stderr.decode())


def test_memory_limit_is_137(run):
    done = run("--memory", "32m", *code("x = bytearray(200 << 20); print(len(x))"))
    assert done.returncode == 137 and done.stdout == b""
    assert done.stderr.startswith(b"Memory Limit Exceeded, ")


def test_output_limit_is_153(run):
    done = run("--output", "10", "--", "/bin/echo", "0123456789")
    assert done.returncode == 153
    assert done.stdout == b"0123456789"
    assert done.stderr.startswith(b"Output Limit Exceeded, exit 0: Output Limit Exceeded\n")


def test_output_equal_to_its_limit_is_fine(run):
    done = run("--output", "10", "--", "/usr/bin/printf", "0123456789")
    assert (done.returncode, done.stdout) == (0, b"0123456789")


def test_output_of_both_streams_is_limited_each(run):
    done = run("--output", "4", "--", SH, "-c", "printf 1234; printf 5678 >&2")
    assert done.returncode == 0
    assert done.stdout == b"1234" and done.stderr.startswith(b"5678Accepted")
    assert run("--output", "4", "--", SH, "-c", "printf 12345 >&2").returncode == 153


def test_endless_output_is_ended_long_before_time_is_up(run):
    begun = time.monotonic()
    done = run("--output", "1k", "--cpu", "10s", "--", "/usr/bin/yes")
    assert done.returncode == 153
    assert done.stdout == b"y\n" * 512
    assert time.monotonic() - begun < 5


def test_a_file_above_its_limit_is_153(run):
    done = run("--file-size", "4k", *code("open('f', 'wb').write(bytes(4096))"))
    assert done.returncode == 0
    source = "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_DFL); open('f', 'wb').write(bytes(4097))"
    done = run("--file-size", "4k", *code(source))
    assert done.returncode == 153
    assert done.stderr.startswith(b"Output Limit Exceeded, signal 25 (XFSZ)\n")


@pytest.mark.parametrize("program, reason", [
    ("/no/such/program", "start: /no/such/program: execve: no such file or directory"),
    ("no-such-program", "handle: no-such-program: executable file not found in $PATH"),
    ("/etc", "start: /etc: execve: permission denied"),
    ("/dev/null", "start: /dev/null: execve: permission denied"),
    ("", "executable file not found"),
])
def test_what_cannot_be_started_is_125_and_said(run, program, reason):
    done = run("--", program)
    assert done.returncode == 125
    assert done.stderr.decode().startswith("Internal Error")
    assert reason in done.stderr.decode()


def test_a_text_file_without_an_interpreter_is_125(run):
    text = run.file("text", "echo hi\n", 0o755)
    done = run("--copy-in", text, "--", "./text")
    assert done.returncode == 125 and b"exec format error" in done.stderr


# ---- the summary ----

SUMMARY = re.compile(
    r"Accepted, exit 0\n"
    r"  CPU \d+\.\d{3} s of 10 s, wall \d+\.\d{3} s of 21 s, memory \d+\.\d MiB of 256 MiB"
    r"(, processes \d+ of 64)?\n"
    r"  protection: [a-z-]+(: .+)?\n")


def test_summary_is_on_stderr(run):
    done = run("--", "/bin/echo", "hi")
    assert done.stdout == b"hi\n"
    assert SUMMARY.fullmatch(done.stderr.decode())


def test_quiet_says_nothing(run):
    done = run("--quiet", "--", SH, "-c", "echo out; echo err >&2; exit 3")
    assert (done.returncode, done.stdout, done.stderr) == (3, b"out\n", b"err\n")


def test_quiet_still_says_that_nothing_could_be_started(run):
    assert b"no such file" in run("--quiet", "--", "/no/such/program").stderr


def test_quiet_still_says_which_file_failed(run):
    done = run("--quiet", "--copy-out", "missing", "--", "/bin/true")
    assert done.returncode == 125
    assert b"missing" in done.stderr


@needs_root
def test_figures_are_those_of_the_program(run):
    source = ("import time; x = bytearray(50 << 20); end = time.process_time() + 0.3\n"
              "while time.process_time() < end: pass\n"
              "time.sleep(0.3)")
    got = run.json(*code(source))
    assert 0.3e9 <= got["time"] < 0.6e9
    assert 0.6e9 <= got["runTime"] < 10e9  # the machine may be busy
    assert 50 << 20 <= got["memory"] < 80 << 20
    assert got["procPeak"] == 1


@needs_root
def test_process_peak_counts_every_process(run):
    assert run.json("--", SH, "-c", "sleep 0.2 & sleep 0.2 & sleep 0.2 & wait")["procPeak"] == 4


# ---- JSON ----

def test_json_has_the_keys_of_the_reference_in_order(run):
    got = run.json("--", SH, "-c", "echo out; echo err >&2")
    keys = [k for k in got if k != "procPeak"]
    assert keys == ["status", "exitStatus", "time", "memory", "runTime", "files", "protection"]
    assert got["status"] == "Accepted" and got["exitStatus"] == 0
    assert all(isinstance(got[k], int) and got[k] > 0 for k in ("time", "memory", "runTime"))
    assert list(got["files"].items()) == [("stdout", "out\n"), ("stderr", "err\n")]
    assert got["protection"]["level"] in ("full", "no-cgroup")
    assert got["protection"]["cgroup"] in ("v1", "v2", "none")


def test_json_of_a_file_error(run):
    got = run.json("--copy-out", "missing", "--", "/bin/true")
    keys = [k for k in got if k != "procPeak"]
    assert keys == ["status", "exitStatus", "error", "time", "memory", "runTime", "files", "fileError",
                    "protection"]
    assert got["status"] == "File Error" and got["exitStatus"] == 0
    assert got["fileError"] == [{"name": "missing", "type": "CopyOutOpen",
                                 "message": "open missing: no such file or directory"}]
    assert got["error"] == "open missing: no such file or directory"


def test_json_exit_status_of_cjudge_is_the_same(run):
    assert run("--json", "--", SH, "-c", "exit 9").returncode == 9
    assert run("--json", "--cpu", "100ms", *code("while True: pass")).returncode == 124


def test_json_replaces_what_is_not_utf8_and_keeps_nul(run):
    got = run.json("--", "/usr/bin/printf", r"a\0b\377c\303\251<&>\n")
    assert got["files"]["stdout"] == "a\0b\ufffdc\u00e9<&>\n"


def test_json_cuts_output_at_the_limit_and_says_so(run):
    got = run.json("--output", "4", "--", "/bin/echo", "hello")
    assert got["status"] == "Output Limit Exceeded" and got["exitStatus"] == 0
    assert got["error"] == "Output Limit Exceeded"
    assert got["files"]["stdout"] == "hell"
    assert got["fileError"] == [{"name": "stdout", "type": "CollectSizeExceeded",
                                 "message": "Output Limit Exceeded"}]


def test_json_of_what_cannot_be_started(run):
    got = run.json("--", "/no/such/program")
    assert got["status"] == "Internal Error"
    assert got["error"] == "start: /no/such/program: execve: no such file or directory"


def test_json_copies_out_into_the_answer(run):
    got = run.json("--copy-out", "a", "--copy-out", "/w/b", "--", SH, "-c", "echo A >a; echo B >b")
    assert got["files"]["a"] == "A\n" and got["files"]["/w/b"] == "B\n"
    assert os.listdir(run.folder) == []


# ---- standard input ----

def test_stdin_from_a_pipe(run):
    done = run("--", "/bin/cat", stdin=b"1 2\n\0\xff")
    assert done.stdout == b"1 2\n\0\xff"


def test_stdin_from_a_file(run):
    path = run.file("in", "file\n")
    with open(path, "rb") as f:
        assert run("--", "/bin/cat", stdin=f).stdout == b"file\n"


def test_stdin_from_a_file_begins_where_the_caller_left_it(run):
    path = run.file("in", "first\nsecond\n")
    with open(path, "rb", buffering=0) as f:
        f.read(6)
        assert run("--", "/bin/cat", stdin=f).stdout == b"second\n"
        f.seek(6)
        assert run("--repeat", "2", "--", "/bin/cat", stdin=f).stdout == b"second\nsecond\n"


def test_stdin_that_is_empty(run):
    assert run("--", "/bin/cat", stdin=subprocess.DEVNULL).stdout == b""
    assert run("--", "/bin/cat", stdin=b"").returncode == 0


def test_stdin_of_a_terminal_is_passed_on(run):
    ours, theirs = pty.openpty()
    process = run.start("--quiet", "--", SH, "-c", "read line; echo got $line", stdin=theirs)
    os.close(theirs)
    os.write(ours, b"typed\n")
    out, err = process.communicate(timeout=20)
    os.close(ours)
    assert (process.returncode, out, err) == (0, b"got typed\n", b"")


def test_the_end_of_a_pipe_is_passed_on_while_the_program_waits(run):
    process = run.start("--quiet", "--", SH, "-c", "cat; echo end", stdin=subprocess.PIPE)
    process.stdin.write(b"one ")
    process.stdin.flush()
    time.sleep(0.3)
    assert process.poll() is None
    out, _ = process.communicate(b"two ", timeout=20)
    assert out == b"one two end\n"


def test_a_program_that_does_not_read_leaves_a_large_input_alone(run):
    done = run("--", "/bin/true", stdin=b"x" * (4 << 20))
    assert done.returncode == 0


def test_a_pipe_that_stays_open_does_not_hold_the_end_back(run):
    process = run.start("--quiet", "--", "/bin/true", stdin=subprocess.PIPE)
    assert process.wait(timeout=10) == 0
    process.stdin.close()


def test_in_names_a_file(run):
    path = run.file("input", b"a\0b")
    assert run("--in", path, "--", "/bin/cat", stdin=b"not this").stdout == b"a\0b"
    assert run("--in", "input", "--", "/bin/cat").stdout == b"a\0b"


def test_in_takes_harmless_devices(run):
    assert run("--in", "/dev/null", "--", "/bin/cat").returncode == 0
    assert run("--in", "/dev/zero", "--", "/usr/bin/head", "-c", "3").stdout == b"\0\0\0"


@pytest.mark.parametrize("kind", ["folder", "fifo", "missing", "device"])
def test_in_refuses_what_is_no_file(run, kind):
    path = os.path.join(run.folder, "x")
    if kind == "folder":
        os.mkdir(path)
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "device":
        path = "/dev/tty"
    refused(run("--in", path, "--", "/bin/cat"), "open " + path)


@pytest.mark.parametrize("how", ["--in", "stdin"])
def test_an_input_file_cannot_be_changed_by_the_program(run, how):
    path = run.file("input", "precious", 0o666)
    source = ("import os\n"
              "for name in '/proc/self/fd/0', '/dev/stdin':\n"
              "    for flags in os.O_WRONLY, os.O_RDWR, os.O_RDONLY | os.O_TRUNC:\n"
              "        try: print('opened', name, os.open(name, flags))\n"
              "        except OSError: pass\n"
              "for act in lambda: os.write(0, b'x'), lambda: os.ftruncate(0, 0), lambda: os.fchmod(0, 0o777):\n"
              "    try: act(); print('changed')\n"
              "    except OSError: pass\n"
              "print(os.read(0, 100).decode())")
    with open(path, "r+b") as f:
        done = run(*(["--in", path] if how == "--in" else []), *code(source), stdin=f)
    assert output(done) == "precious\n"
    with open(path) as f:
        assert f.read() == "precious"
    assert os.stat(path).st_mode & 0o777 == 0o666


@pytest.mark.parametrize("closed", [0, 1, 2, (0, 1, 2)])
def test_closed_standard_descriptors_are_filled_with_nothing(run, closed):
    closed = closed if isinstance(closed, tuple) else (closed,)
    process = run.start("--", "/bin/sleep", "67.25", preexec_fn=lambda: [os.close(fd) for fd in closed])
    try:
        wait_for(lambda: processes("67.25"))
        for fd in closed:
            assert os.readlink(f"/proc/{process.pid}/fd/{fd}") == "/dev/null"
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=10)


@pytest.mark.parametrize("closed", [0, 1, 2, (0, 1, 2)])
def test_a_closed_standard_descriptor_is_nothing(run, closed):
    """The number must not be taken by a file of cjudge's own, which the program would write or read."""
    closed = closed if isinstance(closed, tuple) else (closed,)

    def close():
        for fd in closed:
            os.close(fd)
    answer = os.path.join(run.folder, "answer")
    source = "import sys; print(len(sys.stdin.read())); print('err', file=sys.stderr); open('answer', 'w').write('ran')"
    done = run("--copy-out", f"answer:{answer}", *code(source), stdin=subprocess.DEVNULL, preexec_fn=close)
    assert done.returncode == 0
    with open(answer) as f:
        assert f.read() == "ran"
    assert done.stdout == (b"" if 1 in closed else b"0\n")
    if 2 not in closed:
        assert done.stderr.startswith(b"err\nAccepted")


# ---- output ----

def test_a_megabyte_of_anything_passes_through_byte_for_byte(run):
    data = os.urandom(1 << 20) + b"\0\r\n\xff" * 1000 + b"\0"
    path = run.file("data", data)
    for stdin in (data, None):
        args = ["--in", path] if stdin is None else []
        done = run(*args, "--quiet", "--", "/bin/cat", **({"stdin": stdin} if stdin else {}))
        assert done.returncode == 0 and done.stdout == data
    done = run("--quiet", "--in", path, "--", SH, "-c", "cat >&2")
    assert done.returncode == 0 and done.stderr == data


def test_output_comes_while_the_program_runs(run):
    process = run.start("--", SH, "-c", "echo early; sleep 5")
    begun = time.monotonic()
    assert process.stdout.readline() == b"early\n"
    assert time.monotonic() - begun < 3
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=10)


def test_output_that_was_written_before_the_end_is_never_lost(run):
    for _ in range(10):
        done = run("--quiet", "--", SH, "-c", "head -c 60000 /dev/zero; kill -9 $$")
        assert len(done.stdout) == 60000


@pytest.mark.parametrize("streams", ["stdout", "both in one pipe"])
def test_limits_hold_while_nobody_reads(run, streams):
    # 4 KiB first: the room of a pipe is even, and two streams would always find some for each
    source = "yes" if streams == "stdout" else "head -c 4096 /dev/zero; sleep 0.1; yes & yes >&2"
    stderr = subprocess.PIPE if streams == "stdout" else subprocess.STDOUT
    process = run.start("--wall", "500ms", "--", SH, "-c", source, stderr=stderr)
    time.sleep(1.5)  # the pipe is full long since
    assert processes("yes") == []
    out, err = process.communicate(timeout=10)
    assert process.returncode == 124
    found = re.search(rb"wall ([\d.]+) s of 500 ms", err if err is not None else out)
    assert found and 0.5 <= float(found[1]) < 0.8


def test_a_slow_reader_gets_everything(run):
    process = run.start("--quiet", "--", "/usr/bin/head", "-c", "300000", "/dev/zero")
    time.sleep(1)
    out, _ = process.communicate(timeout=10)
    assert process.returncode == 0 and len(out) == 300000


@pytest.mark.parametrize("size", range(60000, 260000, 20000))
def test_what_waits_for_a_slow_reader_at_the_end_is_not_lost(run, size):
    """All of it fits into pipes and buffers: the program is gone before anyone reads."""
    process = run.start("--quiet", "--", PYTHON, "-c", f"import os; os.write(1, bytes({size}))")
    time.sleep(0.4)
    out, _ = process.communicate(timeout=10)
    assert process.returncode == 0 and len(out) == size


def test_a_reader_that_went_away_does_not_disturb_the_run(run):
    process = run.start("--", SH, "-c", "yes | head -c 3000000; exit 5")
    process.stdout.close()
    process.stdout = None
    _, err = process.communicate(timeout=10)
    assert process.returncode == 5
    assert err.startswith(b"Nonzero Exit Status, exit 5\n")


@pytest.mark.parametrize("options", [[], ["--json"], ["--script", "script"]])
def test_an_output_that_is_full_is_told(run, options):
    run.file("script", '{"args": ["/bin/echo", "hi"]}\n')
    with open("/dev/full", "wb") as full:
        args = options if "--script" in options else [*options, "--", "/bin/echo", "hi"]
        done = run(*args, stdout=full)
    assert done.returncode == 125
    assert b"o space left on device" in done.stderr


def test_dev_stdout_and_stderr_can_be_opened(run):
    done = run("--quiet", "--", SH, "-c", "echo a >/dev/stdout; echo b >/dev/stderr; echo c >/proc/self/fd/1")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"a\nc\n", b"b\n")


# ---- signals to cjudge ----

@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_ends_the_run_and_is_reported(run, name):
    process = run.start("--", "/bin/sleep", "61.25")
    wait_for(lambda: processes("61.25"))
    begun = time.monotonic()
    process.send_signal(getattr(signal, name))
    _, err = process.communicate(timeout=10)
    assert time.monotonic() - begun < 2
    assert process.returncode == 128 + getattr(signal, name)
    assert err.startswith(b"Signalled, signal 9 (KILL): cancelled by %s\n" % name.encode())
    assert b"wall" in err
    assert processes("61.25") == []


def test_a_hangup_that_is_ignored_ends_nothing(run):
    """As under nohup(1)."""
    process = run.start("--", SH, "-c", "sleep 0.8; echo done",
                        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    time.sleep(0.4)
    process.send_signal(signal.SIGHUP)
    assert process.communicate(timeout=10)[0] == b"done\n"
    assert process.returncode == 0


@pytest.mark.parametrize("name", ["INT", "QUIT"])
def test_a_signal_ends_a_run_in_the_background_of_a_script(run, name):
    """There a shell has SIGINT and SIGQUIT ignored."""
    number = getattr(signal, f"SIG{name}")
    process = run.start("--quiet", "--", "/bin/sleep", "5", preexec_fn=lambda: signal.signal(number, signal.SIG_IGN))
    time.sleep(0.3)
    process.send_signal(number)
    process.communicate(timeout=10)
    assert process.returncode == 128 + number


def test_ctrl_c_reaches_a_program_only_through_cjudge(run):
    """The whole foreground group gets the signal: what cjudge itself holds on to must stand it."""
    process = run.start("--", "/bin/sleep", "61.5", start_new_session=True)
    wait_for(lambda: processes("61.5"))
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=10)
    assert process.returncode == 130 and b"wall" in err
    assert processes("61.5") == []


@pytest.mark.parametrize("attempt", range(5))
def test_a_signal_that_waits_before_the_start_ends_the_run_at_once(run, attempt):
    def pending():
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
        os.kill(os.getpid(), signal.SIGTERM)
    begun = time.monotonic()
    done = run("--", "/bin/sleep", "62", preexec_fn=pending)
    assert time.monotonic() - begun < 3
    assert done.returncode == 128 + signal.SIGTERM


def test_a_signal_ends_the_rest_of_a_repetition(run):
    process = run.start("--repeat", "100", "--", "/bin/sleep", "0.5")
    time.sleep(0.8)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=10)
    assert process.returncode == 128 + signal.SIGTERM


def test_a_signal_ends_the_rest_of_a_script(run):
    run.file("script", '{"args": ["/bin/sleep", "0.5"]}\n' * 100)
    process = run.start("--script", "script")
    time.sleep(0.8)
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=10)
    assert process.returncode == 128 + signal.SIGTERM
    assert 1 <= out.count(b"\n") <= 5


def test_a_signal_ends_a_run_whose_output_nobody_reads(run):
    process = run.start("--wall", "300ms", "--", "/usr/bin/yes")
    time.sleep(1)
    assert process.poll() is None  # it waits for us
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=5) in (124, 128 + signal.SIGTERM)
    process.communicate()


@pytest.mark.parametrize("options, program", [
    (["--json"], "yes | head -c 3000000"),
    (["--script", "script"], None),
    (["--copy-out", "out:/dev/stdout", "--quiet"], "yes | head -c 3000000 > out"),
])
def test_a_signal_ends_an_answer_that_nobody_reads(run, options, program):
    run.file("script", json.dumps({"args": [SH, "-c", "yes | head -c 3000000"]}) + "\n")
    process = run.start(*options, *(["--", SH, "-c", program] if program else []))
    time.sleep(0.8)
    assert process.poll() is None  # the pipe is full: it waits for us
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=5) == 128 + signal.SIGTERM
    process.communicate()


def test_a_signal_ends_a_copy_to_a_fifo_that_nobody_opens(run):
    os.mkfifo(os.path.join(run.folder, "fifo"))
    process = run.start("--quiet", "--copy-out", "out:fifo", "--", SH, "-c", "echo hi > out")
    time.sleep(0.5)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    try:
        assert process.wait(timeout=5) == 128 + signal.SIGTERM
    finally:
        process.kill()
        process.communicate()


def test_a_copy_to_a_fifo_waits_for_its_reader(run):
    path = os.path.join(run.folder, "fifo")
    os.mkfifo(path)
    process = run.start("--quiet", "--copy-out", "out:fifo", "--", SH, "-c", "yes | head -c 300000 > out")
    time.sleep(0.3)
    with open(path, "rb") as f:
        assert f.read() == b"y\n" * 150000
    assert process.wait(timeout=5) == 0
    process.communicate()


@pytest.mark.parametrize("wall", ["300ms", "60s"])
def test_a_signal_ends_a_summary_that_nobody_reads(run, wall):
    """Once, also when the program has still been there to be ended by it."""
    process = run.start("--wall", wall, "--", SH, "-c", "yes >&2")
    time.sleep(0.8)
    assert process.poll() is None
    assert wall == "60s" or processes("yes") == []
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=5) == 128 + signal.SIGTERM
    process.communicate()


def test_output_that_a_signal_dropped_is_not_called_a_success(run):
    process = run.start("--quiet", "--", PYTHON, "-c", "import os; os.write(1, bytes(120000))")
    time.sleep(0.8)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=5) == 128 + signal.SIGTERM
    process.communicate()


def test_the_program_goes_when_cjudge_is_killed(run):
    process = run.start("--", "/bin/sleep", "61.75")
    wait_for(lambda: processes("61.75"))
    process.kill()
    process.communicate()
    wait_for(lambda: not processes("61.75"))


# ---- limits ----

def rlimit(name):
    return code(f"import resource; print(*resource.getrlimit(resource.RLIMIT_{name}))")


@pytest.mark.parametrize("option, value, name, expected", [
    ("--stack", "1m", "STACK", 1 << 20),
    ("--stack", "16m", "STACK", 16 << 20),
    ("--stack", "1g", "STACK", 256 << 20),  # no more than the memory
    ("--file-size", "1k", "FSIZE", 1024),
    ("--open-files", "17", "NOFILE", 17),
    ("--cpu", "1500ms", "CPU", 5),
])
def test_a_limit_is_an_rlimit(run, option, value, name, expected):
    assert output(run(option, value, *rlimit(name))) == f"{expected} {expected}\n"


def test_stack_is_the_callers_when_none_is_asked_for(run):
    soft = output(run(*rlimit("STACK"))).split()[0]
    assert int(soft) >= 1 << 20


def test_data_segment_and_address_space_let_allocations_fail(run):
    grab = ("try: x = bytearray(300 << 20); print('got it')\n"
            "except MemoryError: print('MemoryError')")
    for option in "--data-segment", "--address-space":
        assert output(run("--memory", "128m", option, *code(grab))) == "MemoryError\n"


def test_core_files_are_off(run):
    assert output(run(*rlimit("CORE"))) in ("0 0\n", "1 1\n")


def test_processes_are_limited(run):
    source = ("import os, sys, time\n"
              "made = 0\n"
              "try:\n"
              "    for i in range(100):\n"
              "        if os.fork() == 0: time.sleep(30)\n"
              "        made += 1\n"
              "except OSError as e: print(made, e.errno)\n")
    done = run("--procs", "5", *code(source))
    assert output(done) == "4 11\n"


def test_threads_count_as_processes(run):
    source = ("import threading, time\n"
              "n = 0\n"
              "try:\n"
              "    for i in range(50): threading.Thread(target=time.sleep, args=(30,), daemon=True).start(); n += 1\n"
              "except RuntimeError: print(n)\n")
    done = run("--procs", "4", *code(source))
    assert output(done) == "3\n"


@needs_root
def test_cpu_rate_slows_down(run):
    source = ("import time; begun = time.monotonic(); end = time.process_time() + 0.2\n"
              "while time.process_time() < end: pass\n"
              "print(time.monotonic() - begun)") # a tenth of a CPU: 2 s, less a period
    assert float(output(run("--cpu-rate", "100", *code(source)))) > 1.2


@needs_root
@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="one CPU")
@pytest.mark.parametrize("level", ["full", "no-cgroup"])
def test_cpuset_pins(run, level):
    source = "import os; print(*os.sched_getaffinity(0))"
    assert output(run("--protection", level, "--cpuset", "1", *code(source))) == "1\n"
    assert output(run("--protection", level, "--cpuset", "0-1", *code(source))) == "0 1\n"


@pytest.mark.parametrize("level", ["full", "no-cgroup"])
@pytest.mark.parametrize("cpus", ["999", "x", "0-", "1-0", "-1", "0,,1", " "])
def test_a_cpuset_that_is_none_is_said(run, cpus, level):
    done = run("--protection", level, "--cpuset", cpus, "--", "/bin/echo", "ran")
    assert b"execve" not in done.stderr, done.stderr
    assert done.returncode == 125 and done.stdout == b""
    assert b"cpu" in done.stderr.lower()


def test_a_file_size_limit_of_the_caller_is_lifted_or_ours_to_tell(run):
    """Memory files of ours are files, too."""
    def limit(soft, hard):
        return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert run("--quiet", *code("open('f', 'w').write('x' * 99)"), preexec_fn=limit(0, resource.RLIM_INFINITY)).returncode == 0
    done = run("--", "/bin/true", preexec_fn=limit(0, 0))
    assert done.returncode == 125 and b"cjudge run: open the sandbox: " in done.stderr


def test_more_open_files_than_the_host_allows_are_not_our_failure(run):
    """As with every limit: what cannot be given is cut, or refused with the option's name."""
    done = run("--open-files", "99999999", "--", "/bin/echo", "ran")
    if done.returncode == 0:
        assert done.stdout == b"ran\n"
    else:
        assert done.returncode == 125 and b"open-files" in done.stderr


@pytest.mark.parametrize("option", ["cpu", "wall", "memory", "procs", "stack", "file-size", "open-files",
                                    "copy-out-max", "repeat", "cpu-rate"])
def test_a_limit_of_zero_is_refused(run, option):
    refused(run("--" + option, "0", "--", "/bin/true"), f"-{option} 0", "more than 0")


@pytest.mark.parametrize("option", ["cpuset", "in", "script", "mount-conf", "seccomp-conf", "tmp-fs-param",
                                    "cgroup-prefix", "cgroup-root"])
def test_an_empty_value_is_refused(run, option):
    """What a shell makes of an unset variable: not the same as an option that was not given."""
    program = [] if option == "script" else ["--", "/bin/echo", "ran"]
    refused(run(f"--{option}", "", *program), f"-{option}", "empty")


def test_fewer_open_files_than_a_program_starts_with_are_refused(run):
    refused(run("--open-files", "2", "--", "/bin/true"), "-open-files 2", "at least 3")


@pytest.mark.parametrize("start", ["1", "999", "4294967295", "99999999999"])
def test_ids_of_the_system_are_no_range_for_containers(run, start):
    refused(run("--container-cred-start", start, "--", "/bin/true"), f"-container-cred-start {start}")


def test_limits_of_zero_in_a_script_are_the_default(run):
    done, answers = run.script({"args": ["/bin/echo", "hi"], "cpu": 0, "wall": 0, "memory": 0, "procs": 0,
                                "stack": 0, "fileSize": 0, "openFiles": 0})
    assert answers[0]["status"] == "Accepted"


@needs_root
def test_files_in_tmpfs_count_as_memory(run):
    done = run("--memory", "32m", "--", SH, "-c", "head -c 100m /dev/zero > /tmp/big; echo survived")
    assert done.returncode == 137


# ---- environment and arguments ----

def test_the_environment_is_clean(run):
    env = dict(os.environ, SECRET="x", LD_PRELOAD="")
    text = output(run("--quiet", "--", "/usr/bin/env", env=env))
    names = {line.partition("=")[0] for line in text.splitlines()}
    assert names <= {"PATH", "HOME", "LANG", "LSAN_OPTIONS"} and "PATH" in names


def test_env_adds_and_replaces(run):
    text = output(run("--quiet", "--env", "A=1", "--env", "B=x=y z", "--env", "HOME=/w", "--env", "E=",
                      "--", "/usr/bin/env"))
    lines = text.splitlines()
    assert {"A=1", "B=x=y z", "HOME=/w", "E="} <= set(lines)
    assert sum(line.startswith("HOME=") for line in lines) == 1


@pytest.mark.parametrize("entry", ["FOO", "=x"])
def test_an_env_without_name_or_value_is_refused(run, entry):
    refused(run("--env", entry, "--", "/usr/bin/env"), "env", entry)


@pytest.mark.parametrize("name", ["./a.out", "sub/a.out", "././a.out", ".//sub/./a.out"])
def test_a_program_here_is_copied_in(run, name):
    os.mkdir(os.path.join(run.folder, "sub"))
    run.file(os.path.normpath(name), '#!/bin/sh\necho "$0 $1"; ls -d *\n')
    assert output(run("--", name, "x")) == f"{name} x\n{os.path.normpath(name).split('/')[0]}\n"
    assert output(run("--quiet", "--repeat", "2", "--", name, "x")).count(" x\n") == 2


def test_a_program_here_does_not_replace_what_is_copied_in(run):
    run.file("a.out", "#!/bin/sh\necho here\n")
    run.file("b.out", "#!/bin/sh\necho copied\n")
    for name in "a.out", "./a.out":
        assert output(run("--copy-in", "b.out:" + name, "--", "./a.out")) == "copied\n"


def test_only_a_program_below_here_is_copied_in(run):
    os.mkdir(os.path.join(run.folder, "here"))
    run.file("a.out", "#!/bin/sh\necho ran\n")
    os.chmod(os.path.join(run.folder, "a.out"), 0o755)
    for name in "../a.out", "./../a.out", os.path.join(run.folder, "a.out"), "a.out", "./none", "./":
        done = subprocess.run(run.command("--", name), cwd=os.path.join(run.folder, "here"), stdout=subprocess.PIPE, timeout=30,
                              stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
        assert (done.returncode, done.stdout) == (125, b""), (name, done)
    run.file("script", json.dumps({"args": ["./a.out"]}) + "\n")
    assert json.loads(run("--script", "script").stdout)["status"] == "Internal Error"


def test_a_bare_name_is_looked_up_in_the_work_directory_then_in_path(run):
    run.file("true", "#!/bin/sh\necho mine\n", 0o755)
    assert output(run("--quiet", "--copy-in", "true", "--", "true")) == "mine\n"
    assert output(run("--quiet", "--", "true")) == ""
    done = run("--env", "PATH=/nowhere", "--", "true")
    assert done.returncode == 125 and b"not found in $PATH" in done.stderr


def test_arguments_arrive_as_they_are(run):
    words = ["", " ", "a b", "--cpu", "-", "--", "$HOME", "*", "\n", "é", "x" * 100000]
    source = "import sys; print(sys.argv[1:])"
    done = run("--", PYTHON, "-c", source, *words)
    assert output(done) == f"{words}\n"


def test_bytes_of_arguments_are_not_touched(run):
    done = run("--quiet", "--", "/usr/bin/printf", "%s", os.fsdecode(b"\xff\xfe"))
    assert done.stdout == b"\xff\xfe"


def test_options_end_at_the_program(run):
    assert output(run("--quiet", "/bin/echo", "--cpu", "--help")) == "--cpu --help\n"


def test_one_dash_and_equals_signs_work(run):
    done = run("-cpu=2s", "-wall", "3s", "--memory=64m", "-quiet=false", "--", "/bin/true")
    assert done.returncode == 0
    assert re.search(rb"of 2 s, wall .* of 3 s, memory .* of 64 MiB", done.stderr)


# ---- files ----

def test_copy_in_puts_a_file_by_its_own_name(run):
    os.mkdir(os.path.join(run.folder, "sub"))
    run.file("sub/data", "text\n")
    assert output(run("--quiet", "--copy-in", "sub/data", "--", "/bin/cat", "data")) == "text\n"


def test_copy_in_puts_a_file_where_it_is_wanted(run):
    run.file("data", "text\n")
    for place in ("other", "deep/er/other", "/w/other", "/tmp/x/other", "../tmp/other", "none/../other"):
        done = run("--quiet", "--copy-in", f"data:{place}", "--", "/bin/cat", place.replace("none/../", ""))
        assert output(done) == "text\n", place


def test_copy_in_keeps_bytes_and_belongs_to_the_program(run):
    data = os.urandom(100000)
    run.file("data", data)
    source = ("import os, sys; s = os.stat('data')\n"
              "print(s.st_uid == os.getuid(), s.st_gid == os.getgid(), oct(s.st_mode & 0o777), file=sys.stderr)\n"
              "open('data', 'ab').close(); os.chmod('data', 0o700)\n"
              "sys.stdout.buffer.write(open('data', 'rb').read())")
    done = run("--quiet", "--copy-in", "data", *code(source))
    assert (done.returncode, done.stdout, done.stderr) == (0, data, b"True True 0o777\n")


def test_copy_in_takes_the_last_colon(run):
    run.file("a:b", "text\n")
    assert output(run("--quiet", "--copy-in", "a:b:c", "--", "/bin/cat", "c")) == "text\n"


def test_copied_in_programs_run(run):
    shutil.copy("/bin/echo", os.path.join(run.folder, "mine"))
    assert output(run("--quiet", "--copy-in", "mine", "--", "./mine", "hi")) == "hi\n"


@pytest.mark.parametrize("item, kind, words", [
    ("missing", "CopyInOpenFile", "open missing: no such file or directory"),
    ("folder", "CopyInOpenFile", "open folder: is a directory"),
    ("fifo", "CopyInOpenFile", "open fifo"),
    ("/dev/zero", "CopyInOpenFile", "open /dev/zero"),
    ("data:.", "CopyInCreateFile", ""),
    ("data:/usr/x", "CopyInCreateFile", "open /usr/x: read-only file system"),
    ("data:/dev/null", "CopyInCreateFile", "/dev/null"),
    ("data:/proc/self/comm", "CopyInCreateFile", ""),
    ("data:../../../x", "CopyInCreateFile", "read-only file system"),
    ("data:" + "x" * 300, "CopyInCreateFile", "file name too long"),
])
def test_a_copy_in_that_fails_is_a_file_error_and_nothing_runs(run, item, kind, words):
    os.mkdir(os.path.join(run.folder, "folder"))
    os.mkfifo(os.path.join(run.folder, "fifo"))
    run.file("data", "x")
    got = run.json("--copy-in", item, "--", "/bin/echo", "ran")
    assert got["status"] == "File Error"
    assert got["fileError"][0]["type"] == kind
    assert words in got["fileError"][0]["message"]
    assert got.get("files", {}).get("stdout", "") == ""
    done = run("--copy-in", item, "--", "/bin/echo", "ran")
    assert done.returncode == 125 and done.stdout == b""
    assert done.stderr.startswith(b"File Error") and kind.encode() in done.stderr


def test_copy_out_goes_to_its_own_name_here(run):
    done = run("--copy-out", "a", "--copy-out", "d/b", "--", SH, "-c", "printf '\\0A' >a; mkdir d; echo B >d/b")
    assert done.returncode == 0
    with open(os.path.join(run.folder, "a"), "rb") as f:
        assert f.read() == b"\0A"
    with open(os.path.join(run.folder, "b")) as f:
        assert f.read() == "B\n"


def test_copy_out_goes_where_it_is_wanted(run):
    data = os.urandom(300000)
    run.file("in", data)
    done = run("--copy-in", "in", "--copy-out", "/w/in:out", "--json", "--", "/bin/true")
    with open(os.path.join(run.folder, "out"), "rb") as f:
        assert f.read() == data
    assert "/w/in" not in json.loads(done.stdout)["files"]


def test_copy_out_cuts_what_was_there(run):
    run.file("out", "longer than the new one")
    run("--copy-out", "a:out", "--", SH, "-c", "printf new > a")
    with open(os.path.join(run.folder, "out")) as f:
        assert f.read() == "new"


def test_an_empty_file_is_copied_out(run):
    run("--copy-out", "a", "--", "/usr/bin/touch", "a")
    assert os.path.getsize(os.path.join(run.folder, "a")) == 0


def test_an_optional_copy_out_may_be_missing(run):
    done = run("--copy-out", "a?", "--copy-out", "b?:x", "--copy-out", "c?", "--", SH, "-c", "echo C > c")
    assert done.returncode == 0
    assert os.listdir(run.folder) == ["c"]


def test_a_copy_out_that_is_missing_is_a_file_error(run):
    done = run("--copy-out", "a", "--", "/bin/true")
    assert done.returncode == 125
    assert b"CopyOutOpen: open a: no such file or directory" in done.stderr
    assert os.listdir(run.folder) == []


def test_a_copy_out_that_is_missing_does_not_hide_a_worse_end(run):
    done = run("--copy-out", "a", "--", SH, "-c", "exit 4")
    assert done.returncode == 4
    assert done.stderr.startswith(b"Nonzero Exit Status, exit 4\n")


@pytest.mark.parametrize("make", [
    "ln -s /etc/passwd a", "ln -s b a; echo >b", "mkdir a", "mkfifo a", "ln -s /dev/zero a",
    "ln -s /proc/self/environ a", "ln -s . a",
])
def test_only_regular_files_are_copied_out(run, make):
    got = run.json("--copy-out", "a", "--", SH, "-c", make)
    assert got["status"] == "File Error"
    assert got["fileError"][0]["message"] == "a is not a regular file"
    assert "a" not in got["files"]


def test_nothing_is_copied_out_through_a_link(run):
    got = run.json("--copy-out", "d/passwd", "--copy-out", "/proc/self/environ", "--copy-out", "/proc/1/cmdline",
                   "--", SH, "-c", "ln -s /etc d")
    assert got["status"] == "File Error" and len(got["fileError"]) == 3
    assert set(got["files"]) == {"stdout", "stderr"}


@pytest.mark.parametrize("options", [[], ["--json"]])
@pytest.mark.parametrize("name", ["stdout", "stderr"])
def test_a_file_may_be_named_as_a_stream(run, name, options):
    done = run("--copy-out", f"{name}:got", *options, "--", SH, "-c", f"echo out; echo err >&2; echo file > {name}")
    assert done.returncode == 0, done.stderr
    with open(os.path.join(run.folder, "got")) as f:
        assert f.read() == "file\n"
    if options:
        assert json.loads(done.stdout)["files"] == {"stdout": "out\n", "stderr": "err\n"}


def test_a_file_named_as_a_stream_needs_a_place_beside_the_streams_in_an_answer(run):
    refused(run("--json", "--copy-out", "stdout", "--", "/bin/true"), "-copy-out stdout", "./stdout")
    got = run.json("--copy-out", "./stdout", "--", SH, "-c", "echo out; echo file > stdout")
    assert got["files"] == {"stdout": "out\n", "stderr": "", "./stdout": "file\n"}
    assert run("--copy-out", "stdout", "--quiet", "--", SH, "-c", "echo file > stdout").returncode == 0
    with open(os.path.join(run.folder, "stdout")) as f:
        assert f.read() == "file\n"


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_file_goes_to_every_place_it_is_wanted_at(run, options):
    done = run("--copy-out", "a:d1", "--copy-out", "a?:d2", "--copy-out", "a", "--copy-out", "b", *options,
               "--", SH, "-c", "echo A > a; echo B > b")
    assert done.returncode == 0, done.stderr
    for name in ["d1", "d2"] + ([] if options else ["a"]):
        with open(os.path.join(run.folder, name)) as f:
            assert f.read() == "A\n"
    if options:
        assert json.loads(done.stdout)["files"] == {"stdout": "", "stderr": "", "a": "A\n", "b": "B\n"}
        assert done.stdout.count(b'"a":') == 1


def test_one_place_is_not_for_two_files(run):
    refused(run("--copy-out", "a:x", "--copy-out", "b:x", "--", "/bin/true"), "-copy-out b:x", "'x'", "a")
    refused(run("--copy-out", "p/a", "--copy-out", "q/a", "--", "/bin/true"), "-copy-out q/a", "'a'")


@pytest.mark.parametrize("option, item", [("copy-in", "f:"), ("copy-in", ":f"), ("copy-in", "f:sub/"), ("copy-in", "f:/"), ("copy-in", "d/"),
                                          ("copy-out", "a:"), ("copy-out", ":a"), ("copy-out", "a/")])
def test_a_copy_without_a_name_is_refused(run, option, item):
    refused(run(f"--{option}", item, "--", "/bin/echo", "ran"), f"-{option} {item}")


def test_copy_out_has_a_largest_size(run):
    source = ["--", SH, "-c", "printf 12345 > a"]
    assert run.json("--copy-out", "a", "--copy-out-max", "5", *source)["files"]["a"] == "12345"
    got = run.json("--copy-out", "a", "--copy-out-max", "4", *source)
    assert got["status"] == "File Error" and "a" not in got["files"]
    assert got["fileError"] == [{"name": "a", "type": "CopyOutSizeExceeded",
                                 "message": 'copyout: "a" size (5) exceeds limit (4)'}]
    got = run.json("--copy-out", "a", "--copy-out-max", "4", "--copy-out-truncate", *source)
    assert got["files"]["a"] == "1234"
    assert got["fileError"][0]["type"] == "CopyOutSizeExceeded"


def test_a_sparse_file_is_measured_not_stored(run):
    got = run.json("--copy-out", "a", "--copy-out-max", "1m", "--file-size", "1g", "--", SH,
                   "-c", "truncate -s 1g a")
    assert got["fileError"][0]["type"] == "CopyOutSizeExceeded"


def test_a_copy_out_that_cannot_be_written_here_is_said(run):
    done = run("--copy-out", "a:no/such/folder", "--", SH, "-c", "echo hi; echo A > a")
    assert done.returncode == 125
    assert b"no/such/folder" in done.stderr and b"No such file" in done.stderr


# ---- repetitions and scripts ----

def test_repeat_runs_in_a_fresh_container_each_time(run):
    run.file("data", "once\n")
    done = run("--quiet", "--repeat", "3", "--copy-in", "data", "--", SH, "-c",
               "ls; cat data; cat >>data; touch mine /tmp/mine /dev/shm/mine; mkdir dir; ls /tmp /dev/shm >&2",
               stdin=b"")
    assert done.returncode == 0
    assert done.stdout == b"data\nonce\n" * 3
    assert done.stderr == b"/dev/shm:\nmine\n\n/tmp:\nmine\n" * 3


def test_repeat_gives_a_file_as_input_every_time(run):
    path = run.file("in", "line\n")
    assert output(run("--quiet", "--repeat", "3", "--in", path, "--", "/bin/cat")) == "line\n" * 3


@pytest.mark.parametrize("way", ["--in", "standard input"])
def test_repeat_opens_the_input_anew_every_time(run, way):
    """Flags and locks belong to the open file, and would be found by the next run."""
    path = run.file("in", "line\n")
    source = ("import fcntl, os; print(os.read(0, 9), fcntl.fcntl(0, fcntl.F_GETFL) & os.O_NONBLOCK);"
              "fcntl.fcntl(0, fcntl.F_SETFL, os.O_NONBLOCK)")
    with open(path) as file:
        done = run("--quiet", "--repeat", "3", *(["--in", path] if way == "--in" else []), *code(source),
                   stdin=file if way != "--in" else b"")
    assert output(done) == "b'line\\n' 0\n" * 3


def test_repeat_says_a_summary_each_time(run):
    done = run("--repeat", "3", "--", SH, "-c", "exit 2")
    assert done.returncode == 2 and done.stderr.count(b"Nonzero Exit Status, exit 2\n") == 3


def test_a_script_answers_line_by_line(run):
    run.file("data", "text\n")
    done, answers = run.script(
        {"args": ["/bin/cat"], "stdin": "one\n"},
        "\n",
        {"args": [SH, "-c", "echo $K; exit 3"], "env": ["K=V"]},
        {"args": [SH, "-c", "cat d > out"], "copyIn": {"d": "data"}, "copyOut": ["out", "none?"]},
        {"args": [PYTHON, "-c", "while True: pass"], "cpu": 200000000},
        {"args": [SH, "-c", "ls /w"]},
        {"args": ["/no/such"]},
        {"args": ["/bin/echo", "12345"], "output": 3},
    )
    assert done.returncode == 0 and done.stderr == b""
    assert [a["status"] for a in answers] == [
        "Accepted", "Nonzero Exit Status", "Accepted", "Time Limit Exceeded", "Accepted", "Internal Error",
        "Output Limit Exceeded"]
    assert answers[0]["files"]["stdout"] == "one\n"
    assert (answers[1]["exitStatus"], answers[1]["files"]["stdout"]) == (3, "V\n")
    assert answers[2]["files"]["out"] == "text\n"
    assert answers[4]["files"]["stdout"] == ""
    assert answers[6]["files"]["stdout"] == "123"


def test_limits_of_the_command_line_hold_for_a_script(run):
    done, answers = run.script({"args": [SH, "-c", "ulimit -n"]},
                               {"args": [SH, "-c", "ulimit -n"], "openFiles": 20},
                               options=["--open-files", "30"])
    assert [a["files"]["stdout"] for a in answers] == ["30\n", "20\n"]


def test_options_are_what_lines_of_a_script_do_not_say(run):
    run.file("in", "given\n")
    run.file("one", "1\n")
    run.file("two", "2\n")
    show = [SH, "-c", "cat; echo $A $B; cat f g; echo x > o; echo yyyyy > p"]
    done, answers = run.script(
        {"args": show},
        {"args": show, "stdin": "own\n", "env": ["B=3", "C=4"], "copyIn": {"g": "two"}, "copyOut": ["p"]},
        {"args": show, "stdin": ""},
        options=["--in", "in", "--env", "A=1", "--env", "B=2", "--copy-in", "one:f", "--copy-in", "one:g",
                 "--copy-out", "o", "--copy-out-max", "4", "--copy-out-truncate"])
    assert done.returncode == 0, done.stderr
    first, second, third = answers
    assert first["files"] == {"stdout": "given\n1 2\n1\n1\n", "stderr": "", "o": "x\n"}
    assert second["files"] == {"stdout": "own\n1 3\n1\n2\n", "stderr": "", "o": "x\n", "p": "yyyy"}
    assert second["fileError"][0]["type"] == "CopyOutSizeExceeded"
    assert third["files"]["stdout"] == "1 2\n1\n1\n"


def test_a_script_gets_its_input_fresh_for_every_line(run):
    run.file("in", "line\n")
    done, answers = run.script(*[{"args": ["/bin/cat"]}] * 3, options=["--in", "in"])
    assert [a["files"]["stdout"] for a in answers] == ["line\n"] * 3


@pytest.mark.parametrize("options, words", [
    (["--repeat", "2"], ["-repeat"]),
    (["--copy-out", "a:d"], ["-copy-out a:d", "DEST"]),
    (["--copy-out", "stdout"], ["-copy-out stdout"]),
])
def test_an_option_that_cannot_count_for_a_script_is_refused(run, options, words):
    path = run.file("requests", '{"args": ["/bin/true"]}\n')
    refused(run("--script", path, *options), *words, "script" if "stdout" not in options else "stdout")


@pytest.mark.parametrize("line, words", [
    ('{"args": ["/bin/true"], "cpus": 1}', ["cpus", "unknown key"]),
    ('{"args": []}', ["args"]),
    ('{"args": ["/bin/true"], "cpu": "1s"}', ["cpu", "'1s'"]),
    ('{"args": ["/bin/true"]', []),
    ("[]", ["map"]),
    ("null", ["map"]),
    ("---", ["map"]),
    ("!!map", ["map"]),
    ('{"args": ["/bin/true"], "env": ["=x"]}', ["env[0]", "NAME=VALUE"]),
])
def test_a_bad_line_is_answered_and_the_rest_goes_on(run, line, words):
    good = '{"args": ["/bin/echo", "hi"]}\n'
    path = run.file("requests", good + "\n" + line + "\n" + good)
    done = run("--script", path)
    assert done.returncode == 125
    first, bad, last = [json.loads(text) for text in done.stdout.splitlines()]
    assert (first["status"], first["line"], last["status"], last["line"]) == ("Accepted", 1, "Accepted", 4)
    assert (bad["status"], bad["line"]) == ("Invalid", 3) and "files" not in bad
    text = done.stderr.decode()
    assert text.startswith("cjudge run: ") and text.count("\n") == 1
    for word in [path, "line 3", *words]:
        assert word in text and word in bad["error"]


def test_a_bad_line_of_standard_input_is_named(run):
    done, answers = run.script("garbage\n")
    assert done.returncode == 125 and answers[0]["error"].startswith("standard input line 1")


@pytest.mark.parametrize("script", ["/no/such/file", "/tmp"])
def test_a_script_that_cannot_be_read_is_named(run, script):
    refused(run("--script", script), script)


def test_a_script_and_a_program_exclude_each_other(run):
    refused(run("--script", "-", "--", "/bin/true"), "-script")


def test_state_of_one_request_is_not_there_for_the_next(run):
    done, answers = run.script(
        {"args": [SH, "-c", "echo x | tee a /tmp/a /dev/shm/a; mkdir /tmp/d; sleep 100 & umask 777; "
                            "chmod 700 /w; true"]},
        {"args": [SH, "-c", "ls -a /w /tmp /dev/shm; umask; echo ok > /w/new; ls -ld /w | cut -c1-10"]},
    )
    assert answers[1]["status"] == "Accepted"
    assert answers[1]["files"]["stdout"] == (
        "/dev/shm:\n.\n..\n\n/tmp:\n.\n..\n\n/w:\n.\n..\n" + answers[1]["files"]["stdout"].split("..\n")[-1])
    assert answers[1]["files"]["stdout"].endswith("drwxrwxrwt\n")
    assert "000" in answers[1]["files"]["stdout"] or "022" in answers[1]["files"]["stdout"]


# ---- bad arguments ----

@pytest.mark.parametrize("args, words", [
    ([], ["no program given"]),
    (["--"], ["no program given"]),
    (["--cpu", "5", "--", "x"], ["-cpu 5", "is not a duration"]),
    (["--cpu", "-1s", "--", "x"], ["-cpu -1s", "negative"]),
    (["--cpu", "1x", "--", "x"], ["-cpu 1x", "is not a duration"]),
    (["--wall", "soon", "--", "x"], ["-wall soon", "is not a duration"]),
    (["--memory", "64x", "--", "x"], ["-memory 64x", "is not a size"]),
    (["--memory", "-1", "--", "x"], ["-memory -1", "is not a size"]),
    (["--memory", "99999999999g", "--", "x"], ["-memory 99999999999g", "size"]),
    (["--procs", "many", "--", "x"], ["-procs many", "is not a count"]),
    (["--procs", "1.5", "--", "x"], ["-procs 1.5", "is not a count"]),
    (["--stack", "", "--", "x"], ["-stack", "is not a size"]),
    (["--output", "x", "--", "x"], ["-output x", "is not a size"]),
    (["--file-size", "x", "--", "x"], ["-file-size x"]),
    (["--open-files", "x", "--", "x"], ["-open-files x"]),
    (["--cpu-rate", "half", "--", "x"], ["-cpu-rate half"]),
    (["--copy-out-max", "x", "--", "x"], ["-copy-out-max x"]),
    (["--repeat", "x", "--", "x"], ["-repeat x"]),
    (["--container-cred-start", "x", "--", "x"], ["-container-cred-start x"]),
    (["--require", "all", "--", "x"], ["-require all", "full, no-cgroup, no-userns, none"]),
    (["--protection", "Full", "--", "x"], ["-protection Full", "full, no-cgroup, no-userns, none"]),
    (["--json=maybe", "--", "x"], ["-json=maybe", "true or false"]),
    (["--no-such-option", "--", "x"], ["-no-such-option", "no such option"]),
    (["--cpu"], ["-cpu", "a value is missing"]),
    (["--tmp-fs-param", "size=1m,uid=0", "--", "/bin/true"], ["'uid=0'", "tmpfs"]),
    (["--tmp-fs-param", "size=0", "--", "/bin/true"], ["'size=0'"]),
    (["--cgroup-prefix", "../x", "--", "/bin/true"], ["../x"]),
    (["--cgroup-prefix", "", "--", "/bin/true"], ["cgroup", "''"]),
    (["--container-cred-start", "4294967295", "--", "/bin/true"], ["container-cred-start"]),
    (["--container-cred-start", "4294967296", "--", "/bin/true"], ["container-cred-start"]),
    (["--cpu-rate", "99999999999999999999", "--", "x"], ["-cpu-rate"]),
])
@needs_root
def test_a_bad_argument_is_named_with_the_reason(run, args, words):
    refused(run(*args), *words)


def test_help_names_every_option(run):
    done = run("--help")
    assert done.returncode == 0 and done.stderr == b""
    for option in ("cpu", "wall", "memory", "copy-in", "mount-conf", "loopback", "script"):
        assert f"-{option}" in done.stdout.decode()


# ---- protection ----

@pytest.mark.parametrize("args", [["run", "--help"], ["--help"], ["version"], ["serve", "--help"], ["doctor", "--help"]])
def test_help_that_cannot_be_written_is_no_success(cjudge, args):
    with open("/dev/full", "w") as full:
        done = subprocess.run([cjudge, *args], stdout=full, stderr=subprocess.PIPE, timeout=10)
    assert done.returncode != 0 and b"No space left" in done.stderr


def test_no_cgroup_is_used_when_asked_for(run):
    got = run.json("--protection", "no-cgroup", "--", "/bin/echo", "hi")
    assert got["protection"]["level"] == "no-cgroup" and got["protection"]["cgroup"] == "none"
    assert got["protection"]["reason"]
    assert got["status"] == "Accepted" and got["files"]["stdout"] == "hi\n"


@pytest.mark.parametrize("options, source, status", [
    (["--cpu", "300ms"], "while True: pass", 124),
    (["--wall", "300ms"], "import time; time.sleep(60)", 124),
    (["--memory", "64m"], "x = bytearray(300 << 20)", 137),
    ([], "import sys; sys.exit(7)", 7),
])
def test_limits_hold_without_cgroups(run, options, source, status):
    assert run("--protection", "no-cgroup", *options, *code(source)).returncode == status


def test_full_protection_that_is_not_there_is_refused(run):
    refused(run("--require", "full", "--protection", "no-cgroup", "--", "/bin/true"), "'full' is required",
            "no-cgroup")


def test_no_fallback_is_the_same_as_requiring_full_protection(run):
    refused(run("--no-fallback", "--protection", "no-cgroup", "--", "/bin/true"), "'full' is required", "no-cgroup")
    refused(run("--no-fallback", "--require", "none", "--protection", "no-cgroup", "--", "/bin/true"),
            "'full' is required")


@needs_root
def test_no_fallback_runs_where_protection_is_full(run):
    done = run("--no-fallback", "--", "/bin/true")
    assert done.returncode == 0 and done.stderr.endswith(b"protection: full\n")


def test_less_than_full_protection_is_said_once_at_the_start(run):
    options = ["--protection", "no-cgroup", "--repeat", "2"]
    done = run(*options, "--", SH, "-c", "echo program >&2")
    said = done.stderr.decode().splitlines()
    warnings = [line for line in said if "protection is not full" in line]
    assert said[0] == warnings[0] and len(warnings) == 1, said
    for word in ("warn", "level=no-cgroup", "reason=", "-protection no-cgroup", "cjudge doctor"):
        assert word in warnings[0], warnings[0]
    done = run("--json", *options, "--", SH, "-c", "echo program")
    assert [json.loads(line)["files"]["stdout"] for line in done.stdout.splitlines()] == ["program\n"] * 2
    assert done.stderr.count(b"\n") == 1 and b"protection is not full" in done.stderr
    assert run("--quiet", *options, "--", "/bin/true").stderr == b""


@needs_root
def test_full_protection_needs_no_word_at_the_start(run):
    assert b"not full" not in run("--", "/bin/true").stderr


@needs_root
def test_full_protection_is_there_for_root(run):
    done = run("--require", "full", "--", "/bin/true")
    assert done.returncode == 0 and done.stderr.endswith(b"protection: full\n")


@pytest.mark.parametrize("level", ["no-userns", "none"])
def test_levels_that_are_not_built_yet_are_refused(run, level):
    refused(run("--protection", level, "--", "/bin/true"), level, "not built yet")


@pytest.fixture
def as_nobody(cjudge):
    """A runner as an ordinary user, with a copy of the binary that this user can reach."""
    if os.geteuid() != 0 or not shutil.which("runuser"):
        pytest.skip("needs root and runuser to become an ordinary user")
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        shutil.copy(cjudge, os.path.join(folder, "cjudge"))
        os.chmod(os.path.join(folder, "cjudge"), 0o755)
        os.mkdir(os.path.join(folder, "work"))
        os.chmod(os.path.join(folder, "work"), 0o777)
        runner = Runner(os.path.join(folder, "cjudge"), os.path.join(folder, "work"))
        plain = runner.command
        runner.command = lambda *args: ["runuser", "-u", "nobody", "--", *plain(*args)]
        yield runner


def test_an_ordinary_user_can_run_programs(as_nobody):
    got = as_nobody.json("--", "/bin/echo", "hi")
    assert got["status"] == "Accepted", got
    assert got["files"]["stdout"] == "hi\n"
    assert got["protection"]["level"] == "no-cgroup" and got["protection"]["reason"]


def test_an_ordinary_users_limits_hold(as_nobody):
    assert as_nobody("--cpu", "300ms", *code("while True: pass")).returncode == 124
    assert as_nobody("--wall", "300ms", "--", "/bin/sleep", "60").returncode == 124
    assert as_nobody("--output", "3", "--", "/bin/echo", "hi!").returncode == 153
    assert as_nobody("--", SH, "-c", "kill -SEGV $$").returncode == 139


@pytest.mark.parametrize("limit", [1, 2, 16])
def test_an_ordinary_user_gets_as_many_processes_as_were_asked_for(as_nobody, limit):
    """Init has the same uid, and the kernel counts by uid."""
    forks = code("import os, signal\nstarted = 1\ntry:\n    while os.fork():\n        started += 1\n    signal.pause()\n"
                 "except BlockingIOError:\n    print(started)")
    got = as_nobody.json("--procs", str(limit), *forks)
    assert (got["status"], got["files"]["stdout"]) == ("Accepted", f"{limit}\n"), got


def test_an_ordinary_users_files_go_in_and_out(as_nobody):
    as_nobody.file("data", "text\n", 0o644)
    done = as_nobody("--copy-in", "data", "--copy-out", "out", "--in", "data", "--", SH, "-c", "cat - data > out")
    assert done.returncode == 0, done.stderr
    with open(os.path.join(as_nobody.folder, "out")) as f:
        assert f.read() == "text\ntext\n"


def test_an_ordinary_user_repeats_with_fresh_state(as_nobody):
    done = as_nobody("--quiet", "--repeat", "3", "--", SH, "-c", "ls -A /w /tmp; touch a /tmp/b; mkdir d")
    assert done.returncode == 0, done.stderr
    assert done.stdout == b"/tmp:\n\n/w:\n" * 3


CHANGES_INIT = {  # init has the program's uid; the kernel itself denies all but limits
    "limits": "import resource as r; r.prlimit(1, r.RLIMIT_NOFILE, (40, 40)); r.prlimit(1, r.RLIMIT_NICE, (0, 0))",
    "affinity": "import os; os.sched_setaffinity(1, [0])",
    "nice": "import os; os.setpriority(os.PRIO_PROCESS, 1, 7)",
    "scheduler": "import os; os.sched_setscheduler(1, os.SCHED_IDLE, os.sched_param(0))",
    "janitor": "import os; [os.sched_setscheduler(int(t), os.SCHED_IDLE, os.sched_param(0)) for t in os.listdir('/proc/1/task') if t != '1']",
}
SHOWS_ITSELF = ("import os, resource as r; print([r.getrlimit(i) for i in range(16)], os.sched_getaffinity(0), os.nice(0), "
                "[os.sched_getscheduler(int(t)) for t in ['0', *os.listdir('/proc/1/task')]])")


@pytest.mark.parametrize("filter_file", ["built-in", "own"])
@pytest.mark.parametrize("what", CHANGES_INIT)
def test_an_ordinary_users_programs_change_init_for_no_later_run(as_nobody, what, filter_file):
    options = []
    if filter_file == "own":
        as_nobody.file("seccomp.yaml", "default_action: allow\nsyscalls:\n- action: errno\n  names: [mount]\n", 0o644)
        options = ["--seccomp-conf", "seccomp.yaml"]
    look = {"args": [PYTHON, "-c", SHOWS_ITSELF]}
    _, results = as_nobody.script(look, {"args": [PYTHON, "-c", CHANGES_INIT[what]]}, look, options=options)
    changed = (what, filter_file) == ("limits", "own")
    assert [result["status"] for result in results] == ["Accepted", "Accepted" if changed else "Nonzero Exit Status", "Accepted"]
    assert results[0]["files"]["stdout"] == results[2]["files"]["stdout"] != ""


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("setpriv"), reason="takes rights from root")
def test_root_without_the_right_to_give_ids_is_told(run):
    done = subprocess.run(["setpriv", "--bounding-set", "-setuid,-setgid", *run.command("--", "/bin/true")],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=30)
    assert done.returncode == 125 and b"CAP_SETUID" in done.stderr, done


def test_an_ordinary_user_is_told_that_full_is_not_to_be_had(as_nobody):
    done = as_nobody("--require", "full", "--", "/bin/true")
    assert done.returncode == 125 and b"'full' is required" in done.stderr


# ---- mount.yaml ----

BASE = [("bind", "/bin", True), ("bind", "/lib", True), ("bind", "/lib64", True), ("bind", "/usr", True),
        ("bind", "/dev/null", False), ("tmpfs", "/w", "size=8m,nr_inodes=4k"),
        ("tmpfs", "/tmp", "size=8m,nr_inodes=4k")]


def mount_yaml(run, *extra, mounts=(), proc=True):
    lines = ["mount:"]
    for kind, place, last in BASE:
        if kind == "bind":
            lines.append(f"  - {{type: bind, source: {place}, target: {place}, readonly: {str(last).lower()}}}")
        else:
            lines.append(f"  - {{type: tmpfs, target: {place}, data: '{last}'}}")
    lines += ["  - " + m for m in mounts]
    lines += [f"proc: {str(proc).lower()}", *extra]
    return ["--mount-conf", run.file("mount.yaml", "\n".join(lines) + "\n"), "--quiet"]


def test_mount_binds_read_only_or_not(run, reachable):
    shared = os.path.join(reachable, "shared")
    os.mkdir(shared)
    os.chmod(shared, 0o777)
    with open(os.path.join(shared, "data"), "w") as f:
        f.write("text\n")
    args = mount_yaml(run, mounts=[f"{{type: bind, source: {shared}, target: /ro, readonly: true}}",
                                   f"{{type: bind, source: {shared}, target: /rw}}"])
    done = run(*args, "--", SH, "-c", "cat /ro/data; (echo x > /ro/new) 2>/dev/null || echo ro; "
                                      "echo y > /rw/new && cat /ro/new")
    assert output(done) == "text\nro\ny\n"


@needs_root
def test_a_source_that_only_root_reaches_is_shown_all_the_same(run):
    """An interpreter below /root, say. Nothing beside it is."""
    with tempfile.TemporaryDirectory() as folder:  # 0700
        os.mkdir(os.path.join(folder, "inner"))
        for name in ("secret", "inner/data"):
            with open(os.path.join(folder, name), "w") as f:
                f.write(name)
        os.chmod(os.path.join(folder, "inner"), 0o755)
        args = mount_yaml(run, mounts=[f"{{type: bind, source: {folder}/inner, target: /x, readonly: true}}",
                                       f"{{type: bind, source: {folder}/inner/data, target: /y, readonly: true}}"])
        done = run(*args, "--", SH, "-c", f"cat /x/data /y; ls /x; ls {folder}; ls /x/..; touch /x/new")
        assert done.stdout.decode().startswith("inner/datainner/datadata\n"), done
        assert b"secret" not in done.stdout and not os.path.exists(os.path.join(folder, "inner/new"))


def test_a_source_that_an_ordinary_user_does_not_reach_is_told(as_nobody):
    with tempfile.TemporaryDirectory() as folder:
        os.mkdir(os.path.join(folder, "inner"))
        os.chmod(folder, 0o711)
        args = mount_yaml(as_nobody, mounts=[f"{{type: bind, source: {folder}/inner, target: /x}}"])
        os.chmod(folder, 0o700)
        refused(as_nobody(*args, "--", "/bin/true"), folder + "/inner", "ermission denied")


@needs_root
def test_mounts_of_a_container_never_reach_the_host(run, reachable):
    """The source is shared (mount_namespaces(7)), as systemd makes everything: a copy must not tell its peers."""
    source = os.path.join(reachable, "source")
    os.makedirs(os.path.join(source, "inner"))
    with open(os.path.join(reachable, "look"), "w") as f:
        f.write(f"set -e; mount -t tmpfs t {source}; mount --make-shared {source}; mkdir {source}/inner\n"
                "\"$@\" > /dev/null; grep -c inner /proc/self/mountinfo || true; umount " + source)
    args = mount_yaml(run, mounts=[f"{{type: bind, source: {source}, target: /shared}}",
                                   "{type: tmpfs, target: /shared/inner, data: 'size=1m'}"])
    done = subprocess.run(["unshare", "-m", SH, f"{reachable}/look", *run.command(*args, "--", SH, "-c", "touch /shared/inner/x")],
                          cwd=run.folder, capture_output=True)
    assert (done.returncode, done.stdout) == (0, b"0\n"), done


@pytest.mark.parametrize("kind", ["tmpfs, data: 'size=1m'", "bind, source: /usr/share, readonly: true"])
def test_a_link_in_a_writable_bind_leads_no_mount_astray(run, reachable, kind):
    """A program made it where another container's mount is to be: /usr would be covered."""
    os.symlink("/usr", os.path.join(reachable, "inner"))
    args = mount_yaml(run, mounts=[f"{{type: bind, source: {reachable}, target: /shared}}",
                                   f"{{type: {kind}, target: /shared/inner}}"])
    refused(run(*args, "--", "/bin/true"), "/shared/inner", "symbolic links")


def test_a_place_in_a_writable_bind_that_is_swapped_covers_nothing_else(run, reachable):
    """While the container lives: it is made anew, which cannot be done, and says so."""
    os.chmod(reachable, 0o777)
    args = mount_yaml(run, mounts=[f"{{type: bind, source: {reachable}, target: /shared}}",
                                   "{type: tmpfs, target: /shared/a/bin, data: 'size=1m'}"])
    write = {"args": [SH, "-c", "mkdir /shared/a/bin/x; touch /shared/now; while test -e /shared/now; do sleep 0.01; done"]}
    look = {"args": [SH, "-c", "test -e /usr/bin/env && echo there"]}
    with contextlib.ExitStack() as stack:
        process = stack.enter_context(run.start(*args, "--script", run.file("script", "".join(json.dumps(r) + "\n" for r in (write, look)))))
        wait_for(lambda: os.path.exists(os.path.join(reachable, "now")))
        os.rename(os.path.join(reachable, "a"), os.path.join(reachable, "gone"))
        os.symlink("/usr", os.path.join(reachable, "a"))
        os.unlink(os.path.join(reachable, "now"))
        out, err = process.communicate(timeout=60)
    results = [json.loads(line) for line in out.splitlines()]
    assert results[0]["status"] == "Accepted"
    if len(results) > 1:
        assert results[1]["status"] == "Internal Error" or results[1]["files"]["stdout"] == "there\n", results[1]
    else:
        assert b"/shared/a/bin" in err, err


def test_mount_binds_are_nosuid_and_nodev(run):
    args = mount_yaml(run)
    text = output(run(*args, "--", SH, "-c", "cat /proc/self/mounts"))
    usr = [line for line in text.splitlines() if line.split()[1] == "/usr"][0].split()[3].split(",")
    assert {"ro", "nosuid", "nodev"} <= set(usr)


def test_mount_of_a_missing_source_is_left_out(run):
    args = mount_yaml(run, mounts=["{type: bind, source: /no/such/source, target: /x, readonly: true}"])
    assert output(run(*args, "--", SH, "-c", "test -e /x || echo none")) == "none\n"


def test_mount_tmpfs_has_its_options(run):
    args = mount_yaml(run, mounts=["{type: tmpfs, target: /small, data: 'size=64k,nr_inodes=4,mode=1777'}",
                                   "{type: bind, source: /dev/zero, target: /dev/zero}"])
    done = run(*args, "--", SH, "-c", "head -c 100k /dev/zero > /small/f; stat -c %s /small/f; "
                                      "rm /small/f; for i in 1 2 3 4 5; do (: > /small/$i) && echo $i; done; "
                                      "stat -c %a /small")
    lines = done.stdout.decode().split()
    assert lines[0] == "65536" and lines[-1] == "1777"
    assert lines[1:-1] == ["1", "2", "3"]


def test_mount_tmpfs_is_never_without_caps(run):
    """Those of -tmp-fs-param, where it has none of its own; half of the machine's memory otherwise."""
    args = mount_yaml(run, mounts=["{type: tmpfs, target: /plain}", "{type: tmpfs, target: /mode, data: 'mode=700'}",
                                   "{type: tmpfs, target: /inodes, data: 'nr_inodes=7'}", "{type: tmpfs, target: /size, data: 'size=64k'}"])
    done = run("--tmp-fs-param", "size=3m,nr_inodes=99", *args, "--", SH, "-c", "cat /proc/mounts")
    options = {line.split()[1]: set(line.split()[3].split(",")) for line in output(done).splitlines()}
    for place, caps in {"/plain": {"size=3072k", "nr_inodes=99"}, "/mode": {"size=3072k", "nr_inodes=99", "mode=700"},
                        "/inodes": {"size=3072k", "nr_inodes=7"}, "/size": {"size=64k", "nr_inodes=99"}}.items():
        assert caps <= options[place], (place, options[place])


@pytest.mark.parametrize("place", ["/proc", "/proc/self", "/proc/1/"])
def test_a_work_dir_in_proc_is_told(run, place):
    refused(run(*mount_yaml(run, f"workDir: {place}"), "--", "/bin/true"), "mount.yaml", "workDir", "/proc")


def test_a_work_dir_that_is_none_is_told(run):
    refused(run(*mount_yaml(run, "workDir: /usr/bin/env"), "--", "/bin/true"), "work directory /usr/bin/env", "Not a directory")


def test_the_kernels_command_line_is_masked(run):
    assert output(run("--quiet", "--", "/bin/cat", "/proc/cmdline")) == ""


def test_proc_is_not_there_when_it_is_not_wanted(run):
    args = mount_yaml(run, proc=False)
    assert output(run(*args, "--", SH, "-c", "ls -A /proc 2>/dev/null | wc -l")) == "0\n"


def test_proc_is_read_only_unless_procrw(run):
    write = ["--", SH, "-c", "(echo 500 > /proc/self/oom_score_adj) 2>/dev/null && echo rw || echo ro"]
    assert output(run(*mount_yaml(run), *write)) == "ro\n"
    assert output(run(*mount_yaml(run, "procrw: true"), *write)) == "rw\n"


def test_proc_shows_only_the_container(run):
    text = output(run("--quiet", "--", SH, "-c", "ls /proc | grep -c '^[0-9]'; cat /proc/1/comm 2>/dev/null; true"))
    assert int(text.split()[0]) <= 5


def test_symlinks_replace_the_built_in_ones(run):
    args = mount_yaml(run, "symLink:", "  - {linkPath: /here/there, target: /usr/bin}")
    done = run(*args, "--", SH, "-c", "readlink /here/there; test -e /dev/stdin || echo none")
    assert output(done) == "/usr/bin\nnone\n"
    assert output(run(*mount_yaml(run), "--", SH, "-c", "readlink /dev/stdin")) == "/proc/self/fd/0\n"


def test_masked_paths_are_empty(run):
    args = mount_yaml(run, "maskPath: [/usr/share, /proc/meminfo, /no/such/path]")
    done = run(*args, "--", SH, "-c", "ls -A /usr/share | wc -l; wc -c < /proc/meminfo; touch /usr/share/x || echo ro")
    assert output(done) == "0\n0\nro\n"


def test_work_dir_is_where_the_program_stands(run):
    run.file("data", "text\n")
    args = mount_yaml(run, "workDir: /home/judge", mounts=["{type: tmpfs, target: /home/judge, data: 'size=1m'}"])
    done = run(*args, "--copy-in", "data", "--copy-out", "out", "--", SH, "-c", "pwd; cat data; echo o > out")
    assert output(done) == "/home/judge\ntext\n"
    assert os.path.exists(os.path.join(run.folder, "out"))


def test_host_and_domain_names(run):
    args = mount_yaml(run, "hostName: alpha", "domainName: beta")
    source = "import os; print(os.uname().nodename)"
    assert output(run(*args, *code(source))) == "alpha\n"
    assert output(run(*args, "--", "/bin/cat", "/proc/sys/kernel/domainname")) == "beta\n"
    assert os.uname().nodename != "alpha"


@needs_root
def test_uid_and_gid_of_programs(run):
    args = mount_yaml(run, "uid: 1234", "gid: 2345")
    assert output(run(*args, "--", "/usr/bin/id")).startswith("uid=1234(judge) gid=2345(judge)")
    assert output(run("--quiet", "--", "/usr/bin/id")).startswith("uid=1000(judge) gid=1000(judge)")


def test_init_command_prepares_the_container_once(run, reachable):
    os.chmod(reachable, 0o777)
    args = mount_yaml(run, "initCmd: 'echo x >> /count/n && echo dirty > /w/left'",
                      mounts=[f"{{type: bind, source: {reachable}, target: /count}}"])
    done = run(*args, "--repeat", "3", "--", SH, "-c", "ls -A /w | wc -l; wc -l < /count/n")
    assert output(done) == "0\n1\n" * 3


def test_what_an_init_command_left_is_the_same_for_every_run(run, reachable):
    """Where another mount lies in a tmpfs it cannot be emptied, and its own directory tells nothing of those below."""
    args = mount_yaml(run, "initCmd: 'mkdir -m 777 /data/free && echo a > /data/file && chmod 666 /data/file'",
                      mounts=["{type: tmpfs, target: /data, data: 'size=1m,nr_inodes=100'}",
                              f"{{type: bind, source: {reachable}, target: /data/lib, readonly: true}}"])
    done = run(*args, "--repeat", "4", "--", SH, "-c", "ls -A /data/free | wc -l; cat /data/file; echo b > /data/file; > /data/free/x")
    assert output(done) == "0\na\n" * 4


def test_an_init_command_that_does_not_end_is_told(run):
    refused(run(*mount_yaml(run, "initCmd: sleep 60"), "--", "/bin/true"), "initCmd", "15 s")


@needs_root
@pytest.mark.parametrize("start", [1000, 5000, 65536])
def test_host_ids_begin_where_they_are_told_to(run, start):
    lines = output(run("--quiet", "--container-cred-start", start, "--", "/bin/cat", "/proc/self/uid_map")).splitlines()
    assert lines[0].split() == ["0", str(start), "1"] and start < int(lines[1].split()[1]) < start + 65536


@needs_root
@pytest.mark.parametrize("start", [1, 999, 4294967295])
def test_host_ids_that_cannot_be_are_told(run, start):
    refused(run("--container-cred-start", start, "--", "/bin/true"), "container-cred-start", str(start))


@needs_root
@pytest.mark.parametrize("hidden, locked", [([], "/run/cjudge"), (["/run"], "/dev/shm/cjudge"),
                                            (["/run", "/dev/shm"], "/tmp/cjudge"), (["/run", "/dev/shm", "/tmp"], None)])
def test_host_ids_are_locked_somewhere(run, tmp_path, hidden, locked):
    """In a mount namespace where those places cannot be written; two at once never get the same id."""
    text = "set -e; cd /; " + "".join(f"mount -t tmpfs -o ro t {place}; " for place in hidden) + 'exec "$@"'
    program = run.file("cjudge-copy", open(run.program, "rb").read(), 0o755)  # /tmp may be hidden
    unshared = ["unshare", "-m", SH, "-c", text, "sh"]
    here = os.path.join("/var/tmp", os.path.basename(str(tmp_path)) + str(os.getpid()))
    shutil.copy(program, here)
    try:
        command = [*unshared, here, "run", "--quiet", "--", SH, "-c", "head -2 /proc/self/uid_map; sleep 0.5"]
        both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL) for _ in range(2)]
        outs = [process.communicate(timeout=60) for process in both]
    finally:
        os.unlink(here)
    assert all(process.returncode == 0 for process in both), outs
    if locked is None:
        assert all(b"host ids are not locked" in err for _, err in outs), outs
    else:
        assert outs[0][0] != outs[1][0] and not outs[0][1], outs


@needs_root
def test_a_stopped_spawner_does_not_keep_us(run):
    process = run.start("--quiet", "--", SH, "-c", "cat; true", stdin=subprocess.PIPE)
    wait_for(lambda: processes("cat"))
    with open(f"/proc/{process.pid}/task/{process.pid}/children") as f:
        spawner = int(f.read())  # the only one; inits are its children
    os.kill(spawner, signal.SIGSTOP)
    start = time.monotonic()
    process.communicate(b"", timeout=30)
    assert process.returncode == 0 and time.monotonic() - start < 5


def test_an_init_command_that_fails_is_told(run):
    args = mount_yaml(run, "initCmd: 'echo why >&2; exit 3'")
    done = run(*args, "--", "/bin/echo", "ran")
    assert done.returncode == 125 and done.stdout == b""
    assert b"init command" in done.stderr and b"status 3" in done.stderr


@pytest.fixture
def reachable():
    """A folder that every uid can reach: what is mounted has to be."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        yield folder


def environment_file(folder, text):
    path = os.path.join(folder, "env")
    with open(path, "w") as f:
        f.write(text)
    os.chmod(path, 0o644)
    return [f"{{type: bind, source: {path}, target: /.env, readonly: true}}"]


def test_the_environment_file_comes_first(run, reachable):
    """As in go-judge: what both name is in the environment twice, and getenv(3) finds the file's."""
    env = environment_file(reachable, "# comment\n\n  A=from file  \nB=from file\nPATH=/usr/bin\n")
    args = mount_yaml(run, mounts=env)
    lines = output(run(*args, "--env", "B=mine", "--", "/bin/cat", "/proc/self/environ")).split("\0")
    assert lines[:3] == ["A=from file", "B=from file", "PATH=/usr/bin"] and lines.index("B=mine") > 2


def test_an_environment_file_that_is_wrong_is_told(run, reachable):
    args = mount_yaml(run, mounts=environment_file(reachable, "A=1\nnonsense\n"))
    refused(run(*args, "--", "/bin/true"), "/.env", "nonsense")


@pytest.mark.parametrize("text, words", [
    ("mount:\n  - {type: bind, source: /usr, target: /usr, readonly: ja}\n", ["mount.yaml:2", "readonly", "'ja'"]),
    ("mount:\n  - {type: magic, target: /x}\n", ["mount.yaml:2", "'magic'"]),
    ("mount:\n  - {type: bind, source: /usr, target: ../x}\n", ["mount.yaml:2", "'..'"]),
    ("mount:\n  - {type: tmpfs, target: /x, data: 'uid=0'}\n", ["mount.yaml:2", "'uid=0'"]),
    ("workDir: a/../b\n", ["mount.yaml:1", "workDir"]),
    ("uid: -1\n", ["mount.yaml:1", "uid"]),
    ("uid: 4294967295\n", ["mount.yaml:1", "uid"]),
    ("hostName: " + "x" * 65 + "\n", ["mount.yaml:1", "hostName"]),
    ("mount: [\n", ["mount.yaml"]),
])
def test_a_bad_mount_yaml_is_named_with_line_and_key(run, text, words):
    path = run.file("mount.yaml", text)
    refused(run("--mount-conf", path, "--", "/bin/true"), *words)


@pytest.mark.parametrize("option", ["mount-conf", "seccomp-conf"])
def test_a_file_that_was_named_has_to_be_there(run, option):
    refused(run(f"--{option}", "/no/such/file.yaml", "--", "/bin/true"), f"-{option} /no/such/file.yaml",
            "No such file or directory")


@needs_root
def test_a_cgroup_root_that_was_named_has_to_be_there(run):
    refused(run("--cgroup-root", "/sys/fs/cgroup/no/such", "--", "/bin/true"), "-cgroup-root /sys/fs/cgroup/no/such")


@needs_root
@pytest.mark.skipif(not os.path.isdir("/sys/fs/cgroup/memory"), reason="no cgroup v1 here")
def test_a_cgroup_root_cannot_be_used_where_control_groups_are_v1(run):
    refused(run("--cgroup-root", "/", "--", "/bin/true"), "-cgroup-root /", "v1")


def test_tmp_fs_param_sizes_the_built_in_tmpfs(run):
    done = run("--quiet", "--tmp-fs-param", "size=64k,nr_inodes=8", "--", SH, "-c",
               "for d in /w /tmp /dev/shm; do head -c 100k /dev/zero > $d/f 2>/dev/null; stat -c %s $d/f; rm $d/f; done")
    assert done.stdout == b"65536\n" * 3


# ---- the view ----

def test_the_root_is_read_only(run):
    done = run("--quiet", "--", SH, "-c", "for d in / /usr /etc /bin /dev; do (: > $d/x) 2>/dev/null && echo $d; done; true")
    assert output(done) == ""


def test_the_host_cannot_be_seen(run):
    text = output(run("--quiet", "--", SH, "-c", "ls -A /; ls -A /etc; ls /proc | grep '^[0-9]'"))
    assert "passwd" in text  # one of its own
    assert "root\n" not in text and "shadow" not in text and "home" not in text
    text = output(run("--quiet", "--", "/bin/cat", "/etc/passwd"))
    assert text.count("\n") <= 3


def test_loopback_is_down_unless_asked_for(run):
    source = ("import socket\n"
              "s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen()\n"
              "try: socket.create_connection(s.getsockname(), 2); print('up')\n"
              "except OSError: print('down')\n")
    assert output(run(*code("try:\n" + "".join("    " + l + "\n" for l in source.splitlines()) +
                            "except OSError: print('down')"))) == "down\n"
    assert output(run("--loopback", *code(source))) == "up\n"


@needs_root
def test_the_network_is_shared_only_when_asked_for(run):
    source = "import os; print(os.readlink('/proc/self/ns/net'))"
    host = os.readlink("/proc/self/ns/net")
    assert output(run(*code(source))).strip() != host
    assert output(run("--net-share", *code(source))).strip() == host


@needs_root
def test_host_ids_come_from_the_range(run):
    base = 1700000000
    process = run.start("--container-cred-start", base, "--", "/bin/sleep", "63.5")
    try:
        wait_for(lambda: processes("63.5"))
        with open(f"/proc/{processes('63.5')[0]}/status") as f:
            status = f.read()
        uids = set(re.search(r"Uid:\s+(.*)", status)[1].split())
        gids = set(re.search(r"Gid:\s+(.*)", status)[1].split())
        assert len(uids) == 1 and uids == gids
        assert base < int(uids.pop()) < base + 65536
        assert re.search(r"CapEff:\s+0+\n", status) and re.search(r"CapBnd:\s+0+\n", status)
        assert re.search(r"NoNewPrivs:\s+1\n", status)
        assert re.search(r"Seccomp:\s+2\n", status)
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=10)


@needs_root
def test_two_runs_at_once_have_two_ids(run):
    started = [run.start("--", "/bin/sleep", "64.5") for _ in range(2)]
    try:
        wait_for(lambda: len(processes("64.5")) == 2)
        assert len({os.stat(f"/proc/{pid}").st_uid for pid in processes("64.5")}) == 2
    finally:
        for process in started:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=10)


def cgroups_named(name):
    found = []
    for top, folders, _ in os.walk("/sys/fs/cgroup"):
        found += [os.path.join(top, f) for f in folders if f == name or f.startswith(name + ".")]
    return found


@needs_root
def test_the_cgroup_has_the_name_that_was_given_and_goes_with_the_run(run):
    name = f"cjudgetest{os.getpid()}"
    process = run.start("--cgroup-prefix", name, "--", "/bin/sleep", "65.5")
    try:
        wait_for(lambda: processes("65.5"))
        assert cgroups_named(name)
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=10)
    for group in cgroups_named(name):  # the parent may stay; nothing is in it
        assert [f for f in os.listdir(group) if os.path.isdir(os.path.join(group, f))] == []
        with contextlib.suppress(OSError):
            os.rmdir(group)


# ---- seccomp.yaml ----

def seccomp_yaml(run, *groups, default="allow"):
    text = f"default_action: {default}\nsyscalls:\n" + "".join(f"  - {g}\n" for g in groups)
    return ["--seccomp-conf", run.file("seccomp.yaml", text)]


@pytest.mark.parametrize("action", ["kill_process", "trap"])
def test_a_forbidden_call_is_a_dangerous_syscall(run, action):
    args = seccomp_yaml(run, f"{{action: {action}, names: [sync]}}")
    got = run.json(*args, *code("import os; print('before', flush=True); os.sync(); print('after')"))
    assert got["status"] == "Dangerous Syscall" and got["exitStatus"] == signal.SIGSYS
    assert got["files"]["stdout"] == "before\n"
    done = run(*args, *code("import os; os.sync()"))
    assert done.returncode == 159


def test_a_forbidden_call_can_fail_instead(run):
    args = seccomp_yaml(run, "{action: errno, names: [mkdir, mkdirat]}")
    source = "import os\ntry: os.mkdir('d')\nexcept OSError as e: print(e.errno)"
    assert output(run("--quiet", *args, *code(source))) == "1\n"
    assert output(run("--quiet", *code("import os; os.mkdir('d'); print('made')"))) == "made\n"


def test_a_filter_of_ones_own_replaces_the_built_in_one(run):
    source = "print('ran')"
    args = seccomp_yaml(run, "{action: kill_process, names: [reboot]}")
    done = run("--quiet", *args, "--repeat", "3", *code(source))
    assert output(done) == "ran\n" * 3


def test_a_filter_that_forbids_execve_is_told(run):
    args = seccomp_yaml(run, "{action: errno, names: [execve, execveat]}")
    done = run(*args, "--", "/bin/true")
    assert done.returncode == 125 and b"execve: operation not permitted" in done.stderr


@pytest.mark.parametrize("text, words", [
    ("default_action: allow\nsyscalls:\n  - {action: kill, names: [sync]}\n", ["seccomp.yaml:3", "'kill'"]),
    ("default_action: allow\nsyscalls:\n  - {action: allow, names: [no_such_call]}\n",
     ["seccomp.yaml:3", "no_such_call"]),
    ("default_action: allow\nsyscalls: []\n", ["seccomp.yaml:2", "empty"]),
    ("default_action: allow\n", ["seccomp.yaml:1", "no syscalls"]),
    ("default: allow\n", ["seccomp.yaml:1", "'default'"]),
    ("{\n", ["seccomp.yaml"]),
])
def test_a_bad_seccomp_yaml_is_named_with_line_and_reason(run, text, words):
    path = run.file("seccomp.yaml", text)
    refused(run("--seccomp-conf", path, "--", "/bin/true"), *words)


# ---- the program itself ----

def test_a_command_that_does_not_exist_is_125(run):
    done = subprocess.run([run.program, "fly"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert done.returncode == 125 and done.stdout == b""
    assert b"no command 'fly'" in done.stderr and b"usage: cjudge COMMAND" in done.stderr


def test_version_and_help_of_the_program(run):
    for word in ("version", "--version"):
        done = subprocess.run([run.program, word], stdout=subprocess.PIPE, check=True)
        assert re.fullmatch(rb"cjudge \d+\.\d+\.\d+\n", done.stdout)
    for word in ("help", "--help", "-h"):
        done = subprocess.run([run.program, word], stdout=subprocess.PIPE, check=True)
        assert b"usage: cjudge COMMAND" in done.stdout


def test_no_process_and_no_cgroup_is_left(run):
    for args in (["--", "/bin/true"], ["--cpu", "200ms", *code("while True: pass")], ["--", "/no/such"],
                 ["--", SH, "-c", "setsid sleep 66.5 & exit 0"]):
        run("--cgroup-prefix", f"cjudgeleft{os.getpid()}", *args)
    assert processes("66.5") == []
    for group in cgroups_named(f"cjudgeleft{os.getpid()}"):
        assert [f for f in os.listdir(group) if os.path.isdir(os.path.join(group, f))] == []
        with contextlib.suppress(OSError):
            os.rmdir(group)
