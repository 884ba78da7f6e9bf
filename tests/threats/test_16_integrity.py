"""Class 16: result integrity."""
import json
import subprocess

import pytest

from box import MIB, MS, NONZERO, OK, SIGNALLED, SYSCALL, TIME, OUTPUT


def test_every_exit_code(threat, box):
    """0 to 255, and what exit(3) makes of larger ones."""
    codes = list(range(256)) + [256, 257, 511, -1]
    results = threat(*[box.command(["/bin/sh", "-c", f"exit {code & 255}"]) for code in codes], all_results=True)
    for code, result in zip(codes, results):
        expected = (OK, 0) if code & 255 == 0 else (NONZERO, code & 255)
        assert (result.status, result["exitStatus"]) == expected, (code, result)


def test_every_signal(threat, box):
    """Those that end a program, from itself: exactly that number, never a limit."""
    ending = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 24, 26, 27, 29, 30] + list(range(34, 65))
    results = threat(*[box.python(f"import os; os.kill(os.getpid(), {number})" if number not in (2, 13) else
                                  f"import os, signal; signal.signal({number}, signal.SIG_DFL); os.kill(os.getpid(), {number})")
                       for number in ending], all_results=True)
    for number, result in zip(ending, results):
        assert (result.status, result["exitStatus"]) == (SIGNALLED, number), (number, result)
    for number, statuses in ((25, (OUTPUT, SIGNALLED)), (31, (SYSCALL, SIGNALLED))):
        result = threat(box.shell(f"kill -{number} $$"))
        assert result.status in statuses and result["exitStatus"] == number, result


FORGERIES = {
    "json_on_stdout": "echo '{\"status\":\"Accepted\",\"exitStatus\":0}'; exit 1",
    "json_on_stderr": "echo '{\"status\":\"Accepted\",\"exitStatus\":0}' >&2; exit 1",
    "words_on_stderr": "echo 'timelimit exceeded' >&2; echo 'Accepted' >&2; exit 1",
    "json_in_name": "exec -a '\"status\":\"Accepted\"' sh -c 'exit 1'",
    "status_files": "for f in status result exitcode .status time verdict score; do echo Accepted > $f; echo 0 > /tmp/$f; done; exit 1",
    "newlines_in_name": "printf '\\n\\n{\"status\":\"Accepted\"}\\n' > /proc/self/comm; exit 1",
    "closing_text": "printf '\"}\\n{\"status\":\"Accepted\",\"exitStatus\":0}\\n'; exit 1",
    "exit_137": "exit 1",
    "descriptors": "for fd in 3 4 5 6 7 8 9; do echo '{\"status\":\"Accepted\"}' >&$fd; done 2>/dev/null; exit 1",
}


@pytest.mark.parametrize("name", FORGERIES)
def test_forged_results(threat, box, name):
    result = threat(box.command(["/bin/bash", "-c", FORGERIES[name]]))
    assert (result.status, result["exitStatus"]) == (NONZERO, 1), result


def test_forged_lines_do_not_become_results(box, host_unchanged):
    """Without --json the program's output passes through; the exit status still tells."""
    line = box.line(box.shell("echo '{\"status\":\"Accepted\"}'; echo 'status: Accepted' >&2; exit 3"), json_output=False)
    assert subprocess.run(line, stdin=subprocess.DEVNULL, capture_output=True, timeout=20).returncode == 3


def test_one_object_whatever_is_printed(box, host_unchanged):
    for data in (b"\n\n\n", b"\\u0000\\\"", b"\xed\xa0\x80\xff\xfe\x00\x1f", b"}\n{", "\u2028\u2029\x7f".encode(), b"\xf0\x9f\x98"):
        line = box.line(box.python(f"import os; os.write(1, {data!r}); os.write(2, {data!r})"))
        done = subprocess.run(line, stdin=subprocess.DEVNULL, capture_output=True, timeout=20)
        assert done.stdout.count(b"\n") <= 1 or len(done.stdout.strip().splitlines()) >= 1
        result = json.loads(done.stdout.decode("utf-8", "strict"))
        assert result["status"] == OK and result["files"]["stdout"].encode() == data.decode("utf-8", "replace").encode() or \
            "\ufffd" in result["files"]["stdout"]


def test_time_cannot_be_hidden_or_given(threat, box):
    """Clocks and rusage of a program's own making change nothing."""
    result = threat(box.command("burns_cpu", ["after_exec"], cpu=300 * MS))
    assert result.status == TIME and result.cpu > 0.3
    result = threat(box.shell("sleep 0.1"))
    assert result.status == OK and 0.1 <= result.wall < 0.3 and result.cpu < 0.05, result


def test_expected_answers_are_not_there(threat, box, tmp_path):
    """The caller's directory, the copied file's origin, the script that drives us: none is visible."""
    (tmp_path / "answer.txt").write_text("cjudge-secret-answer")
    (tmp_path / "program.sh").write_text("#!/bin/sh\ngrep -rs cjudge-secret[-]answer /w /tmp /dev/shm /etc /run /mnt /home /root /opt /var 2>/dev/null; "
                                         "cat /proc/*/cmdline /proc/*/environ 2>/dev/null | tr '\\0' '\\n'; ls -l /proc/self/fd")
    result = threat(box.command(["./program.sh"], copyIn={"program.sh": str(tmp_path / "program.sh")}))
    assert result.status in (OK, NONZERO), result
    assert "cjudge-secret-answer" not in result.out and str(tmp_path) not in result.out and ".jsonl" not in result.out, result


def test_verdict_is_the_same_twenty_times(threat, box):
    for program, args, limits, status in (("burns_cpu", ["ignoring_signals"], dict(cpu=50 * MS), TIME), ("waits", ["sleeps"], dict(wall=60 * MS), TIME),
                                          ("takes_memory", ["touching", 80], {}, "Memory Limit Exceeded"),
                                          ("floods_output", ["stdout"], {}, OUTPUT)):
        results = threat(*[box.command(program, args, **limits)] * 20, all_results=True)
        assert {result.status for result in results} == {status}, (program, [result.status for result in results])
