"""Class 4: output streams, and standard input."""
import hashlib
import os
import subprocess

import pytest

from box import MIB, MS, NONZERO, OK, OUTPUT, SIGNALLED, TIME


@pytest.mark.parametrize("how", ["stdout", "stderr", "both", "sendfile", "splice", "vmsplice", "nonblocking",
                                 "background_child", "many_children", "ignoring_signals"])
def test_floods_are_cut(threat, box, how):
    result = threat(box.command("floods_output", [how], wall=3000 * MS, cpu=2000 * MS, openFiles=64))
    assert result.status == OUTPUT, result
    assert len(result.out) <= 64 << 10 and len(result.err) <= 64 << 10
    assert result.wall < 1.5, result


def test_output_beyond_the_cap_is_never_accepted(threat, box):
    for extra, status in ((-1, OK), (0, OK), (1, OUTPUT), (2, OUTPUT), (4096, OUTPUT), (65536, OUTPUT)):
        count = (64 << 10) + extra
        results = threat(*[box.shell(f"head -c {count} /dev/zero | tr '\\0' x")] * 5, all_results=True)
        for result in results:
            assert result.status == status, (extra, result.status)
            assert len(result.out) == min(count, 64 << 10)


def test_small_caps(threat, box):
    for cap, text, status in ((1, "x", OK), (1, "xy", OUTPUT), (5, "12345", OK), (5, "123456", OUTPUT)):
        result = threat(box.shell(f"printf {text}", output=cap))
        assert (result.status, result.out) == (status, text[:cap])


def test_trickle_ends_at_the_wall_limit(threat, box):
    result = threat(box.shell("while :; do echo x; sleep 0.02; done", wall=500 * MS))
    assert result.status == TIME and 5 <= result.out.count("x") <= 30, result


def test_each_stream_has_its_own_cap(threat, box):
    result = threat(box.shell("head -c 65536 /dev/zero; head -c 65536 /dev/zero >&2"))
    assert (result.status, len(result.out), len(result.err)) == (OK, 65536, 65536)


def test_output_before_a_crash_is_kept(threat, box):
    result = threat(box.shell("printf kept; printf also >&2; kill -SEGV $$"))
    assert (result.status, result["exitStatus"], result.out, result.err) == (SIGNALLED, 11, "kept", "also")


def test_output_before_a_timeout_is_kept(threat, box):
    result = threat(box.shell("printf kept; sleep 10", wall=300 * MS))
    assert (result.status, result.out) == (TIME, "kept")


@pytest.mark.parametrize("how", ["nonblock", "small_pipe", "large_pipe", "owner", "async", "lock", "lease", "unread",
                                 "truncate", "seek", "reopen_reader", "reopen_rw", "append_direct", "shutdown", "notify",
                                 "packet_mode", "everything"])
def test_spoiled_descriptors_are_fresh_again(threat, box, how):
    """Flags, size, owner, locks and content of the three descriptors do not reach the next run."""
    result = threat(*[box.command("spoils_descriptors", [how], stdin="0123456789" * 100)] * 2)
    assert result.status in (OK, SIGNALLED, NONZERO, TIME, OUTPUT), result


def test_output_that_its_writer_reads_is_its_own_loss(threat, box):
    """The pipe can be opened anew for reading: what is stolen is missing, and what comes last is not."""
    code = ("import os; r = os.open('/proc/self/fd/1', os.O_RDONLY | os.O_NONBLOCK)\n"
            "for i in range(2000):\n  os.write(1, b'0123456789')\n  try: os.read(r, 10)\n  except BlockingIOError: pass\n"
            "os.close(r); os.write(1, b'end')")
    result = threat(box.python(code))
    assert result.status == OK and result.out.endswith("end") and len(result.out) <= 20003, result


def test_late_writers_do_not_reach_the_next_run(threat, box):
    """Background children keep writing; the next run's output has none of it."""
    noisy = box.shell("(while :; do echo NOISE; echo NOISE >&2; done) & (while :; do echo NOISE; done) & exit 0", wall=1000 * MS)
    quiet = box.shell("echo quiet")
    for index, result in enumerate(threat(*[noisy, quiet] * 15, all_results=True)):
        if index % 2:
            assert (result.status, result.out, result.err) == (OK, "quiet\n", ""), result


def test_input_that_nobody_reads(threat, box):
    large = "x" * 500000
    for text in ("exit 0", "exec <&-; exit 0", "head -c 1 >/dev/null; exit 0"):
        assert threat(box.shell(text, stdin=large)).status == OK
    result = threat(box.shell("wc -c", stdin="left over\n"))
    assert result.out.strip() == "10"


def test_empty_input_is_end_of_file(threat, box):
    assert threat(box.shell("cat; echo end")).out == "end\n"


@pytest.mark.parametrize("mode", [0o644, 0o666, 0o444])
def test_stored_input_cannot_be_changed(box, host_unchanged, tmp_path, mode):
    """A file of the caller's given with --in, which by its mode anybody may write."""
    path = tmp_path / "input"
    path.write_bytes(b"stored input\n" * 1000)
    os.chmod(path, mode)
    os.utime(path, (1_000_000_000, 1_000_000_000))
    before = hashlib.sha256(path.read_bytes()).hexdigest(), path.stat()
    fields = box.command("spoils_input")
    result = box.run(fields, "--in", str(path))
    assert result.status in (OK, NONZERO), result
    assert hashlib.sha256(path.read_bytes()).hexdigest() == before[0], result.out
    now = path.stat()
    for field in ("st_mode", "st_uid", "st_gid", "st_size", "st_mtime_ns", "st_nlink", "st_ino"):
        assert getattr(now, field) == getattr(before[1], field), (field, result.out)
    assert " worked" not in result.out, result.out


def test_unusual_inputs_are_refused_or_harmless(box, host_unchanged, tmp_path):
    """A directory, a FIFO, a missing file: never blocks, never hands a directory in."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    for path in (str(tmp_path), str(fifo), str(tmp_path / "missing"), "/dev/mem", "/dev/tty"):
        line = box.line(box.shell("ls -l /proc/self/fd/0; ls /proc/self/fd/0/"), "--in", path)
        done = subprocess.run(line, stdin=subprocess.DEVNULL, capture_output=True, timeout=10)
        assert done.returncode != 0, (path, done)
        assert b"Accepted" not in done.stdout


def test_exact_bytes_pass_through(box, host_unchanged):
    data = bytes(range(256)) * 50
    code = "import os\nos.write(1, bytes(range(256)) * 50)\nos.write(2, b'\\0\\xff err')"
    line = box.line(box.python(code), json_output=False)
    done = subprocess.run(line, stdin=subprocess.DEVNULL, capture_output=True, timeout=20)
    assert (done.returncode, done.stdout) == (0, data)
    assert b"\0\xff err" in done.stderr


def test_pass_through_is_capped(box, host_unchanged):
    line = box.line(box.command("floods_output", ["stdout"]), json_output=False)
    done = subprocess.run(line, stdin=subprocess.DEVNULL, capture_output=True, timeout=20)
    assert done.returncode == 153 and len(done.stdout) <= 64 << 10


def test_reader_that_goes_away(box, host_unchanged):
    """The caller closes our stdout: the run ends and leaves nothing."""
    process = box.start(box.shell("while :; do echo x; done", output=MIB, wall=3000 * MS))
    process.stdout.close()
    process.stderr.close()
    process.wait(timeout=10)
