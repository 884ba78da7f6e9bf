"""Class 17: supervisor, cancellation, recovery.

CJUDGE_KILLS (default 20) is how often processes are killed with SIGKILL at random moments; the full figure is 200."""
import contextlib
import json
import os
import random
import signal
import subprocess
import time

import pytest

import host
from box import MIB, MS, NONZERO, OK, Result

KILLS = int(os.environ.get("CJUDGE_KILLS", "20"))


def tree(pid):
    """(depth, pid, name) of a process and everything below it."""
    table, found, border, depth = host.parents(), [(0, pid, "")], {pid}, 0
    while border:
        depth += 1
        border = {child for child, (parent, state, _) in table.items() if parent in border and state != "Z"}
        found += [(depth, child, table[child][2]) for child in border]
    return found


def wait_until_running(process, name, seconds=5.0):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and process.poll() is None:
        if any(found == name for _, _, found in tree(process.pid)):
            return
        time.sleep(0.005)
    raise AssertionError(f"{name} was not started: {process.poll()} {process.stderr.read() if process.poll() is not None else ''}")


def sleeper(box):
    """Sleeps, with a child that ignores signals, files and IPC objects."""
    return box.shell("echo x > /tmp/left; echo x > /dev/shm/left; ipcmk -M 4096 > /dev/null; (trap '' 1 2 3 13 15; sleep 61) & sleep 60", wall=30000 * MS)


def assert_clean_after_a_start(box, before):
    """The next start removes what is left; it works itself."""
    assert box.run(box.shell("echo again")).out == "again\n"
    left = before.differences(3.0)
    assert not left, left


@pytest.mark.parametrize("victim", ["cjudge", "spawner", "init", "program", "all_but_program"])
def test_sigkill_of_each_process(box, victim):
    """kill -9 while a program sleeps: everything else goes by itself, without another start."""
    before = host.Snapshot()
    process = box.start(sleeper(box))
    wait_until_running(process, "sleep")
    everyone = sorted(tree(process.pid))
    sleeps = [pid for _, pid, name in everyone if name in ("sleep", "sh")]
    ours = [pid for _, pid, _ in everyone if pid not in sleeps]
    targets = dict(cjudge=[process.pid], spawner=ours[1:2], init=ours[-1:], program=sleeps[:1], all_but_program=ours)[victim]
    assert targets, everyone
    for pid in targets:
        with contextlib.suppress(ProcessLookupError): # it went with the one before
            os.kill(pid, signal.SIGKILL)
    start = time.monotonic()
    out, err = process.communicate(timeout=10)
    assert time.monotonic() - start < 2
    if victim == "init":
        assert process.returncode == 125 and json.loads(out)["status"] == "Internal Error", (process.returncode, out, err)
    if victim == "spawner":
        assert process.returncode is not None
    if victim == "program":
        result = Result(json.loads(out))
        assert (result.status, result["exitStatus"]) in (("Signalled", 9), ("Nonzero Exit Status", 137)), result
    assert not (left := before.processes_left()), left
    assert_clean_after_a_start(box, before)


def test_sigkill_at_random_moments(box):
    """Any process of ours, from the very start of a run to its end, then a start: nothing is left."""
    before = host.Snapshot()
    chance = random.Random(int(os.environ.get("CJUDGE_SEED", "1")))
    hit = {}
    for turn in range(KILLS):
        process = box.start(sleeper(box) if turn % 3 else box.shell("echo quick"))
        time.sleep(chance.choice((0.0, 0.002, 0.01, 0.03, 0.06, 0.15)) * chance.random() * 2)
        found = sorted(tree(process.pid))
        depth, pid, name = chance.choice(found)
        try:
            os.kill(pid, signal.SIGKILL)
            hit[depth] = hit.get(depth, 0) + 1
        except ProcessLookupError:
            pass
        if process.poll() is None and depth > 0 and chance.random() < 0.5:
            process.kill()
        time.sleep(0.01)
        process.kill()
        process.communicate(timeout=10)
        assert not (left := before.processes_left()), (turn, name, left)
    assert len(hit) > 1, hit
    assert_clean_after_a_start(box, before)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT])
def test_cancelled_by_a_signal(box, number):
    """The run is stopped and everything is gone within a second."""
    before = host.Snapshot()
    process = box.start(sleeper(box))
    wait_until_running(process, "sleep")
    start = time.monotonic()
    process.send_signal(number)
    process.communicate(timeout=10)
    assert time.monotonic() - start < 1 and process.returncode != 0
    if number == signal.SIGQUIT:  # quits at once, as kill -9 does
        assert not before.processes_left()
        assert_clean_after_a_start(box, before)
    else:
        assert not (left := before.differences()), left


def test_init_dies_in_a_script(box, host_unchanged):
    """That run alone is an Internal Error; the container is replaced and the next ones are fine."""
    commands = [box.shell("echo one"), box.shell("sleep 20", wall=20000 * MS), box.shell("echo three"), box.reference()]
    import tempfile
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as file:
        file.write("".join(json.dumps(command) + "\n" for command in commands))
        file.flush()
        process = subprocess.Popen([*box.start_line, "--script", file.name], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        wait_until_running(process, "sleep")
        everyone = sorted(tree(process.pid))
        ours = [pid for _, pid, name in everyone if name not in ("sleep", "sh")]
        os.kill(ours[-1], signal.SIGKILL)
        out, err = process.communicate(timeout=20)
    results = [Result(json.loads(line)) for line in out.splitlines()]
    assert [result.status for result in results] == [OK, "Internal Error", OK, OK], (results, err)
    assert results[2].out == "three\n"


@pytest.mark.parametrize("options", [
    ["--memory", "-1"], ["--memory", "0"], ["--memory", "abc"], ["--memory", "99999999999999999999"], ["--procs", "-1"], ["--procs", "0"],
    ["--procs", "18446744073709551616"], ["--stack", "-5m"], ["--output", "-1"], ["--file-size", "-1"], ["--open-files", "-1"],
    ["--open-files", "0"], ["--copy-in", ""], ["--copy-in", "/etc/passwd:"], ["--copy-out", ""], ["--env", ""], ["--unknown"],
    ["--in", ""], ["--require", "nothing"], ["--protection", "none-at-all"], ["--repeat", "0"], ["--repeat", "-1"], ["--script", "/nothing"]],
    ids=lambda options: "_".join(options))
def test_malformed_options(box, host_unchanged, options):
    """A message and 125 (or a default in its place), never a loosened limit or a crash."""
    line = box.line(box.command("bombs", ["count"]), *options)
    done = subprocess.run(line, stdin=subprocess.DEVNULL, capture_output=True, timeout=20)
    assert done.returncode >= 0, done
    if done.returncode != 0:
        assert done.returncode in (125, 2, 64) and done.stderr.strip() or done.stdout.strip(), done
    else:
        assert int(json.loads(done.stdout)["files"]["stdout"]) <= (63 if options == ["--procs", "0"] else 15), done


@pytest.mark.parametrize("line", ["", "{", "[]", "null", "{}", '{"args":[]}', '{"args":"x"}', '{"args":[1]}', '{"args":["/bin/true"],"cpu":"1s"}',
                                  '{"args":["/bin/true"],"memory":-1}', '{"args":["/bin/tr\\u0000ue"]}', '{"args":["/bin/true"],"copyIn":{"a\\u0000b":"/etc/passwd"}}',
                                  '{"args":["/bin/true"],"env":["A\\u0000B=1"]}', '{"args":["/bin/true"],"procs":1e400}', "\x00", "x" * 100000])
def test_malformed_scripts(box, host_unchanged, tmp_path, line):
    script = tmp_path / "script.jsonl"
    script.write_text(line + "\n" + json.dumps(box.shell("echo after")) + "\n")
    done = subprocess.run([*box.start_line, "--script", str(script)], stdin=subprocess.DEVNULL, capture_output=True, timeout=20)
    assert done.returncode >= 0, done
    if line:
        assert done.returncode != 0 or b"Internal Error" in done.stdout or b"Accepted" in done.stdout, done


def test_no_descriptor_or_memory_growth(box, host_unchanged):
    """300 mixed runs in one container: descriptors of cjudge and its helpers, memory."""
    import tempfile
    mixed = [box.shell("echo ok > f"), box.command("takes_memory", ["touching", 100]), box.command("leaves_behind", ["daemon"]),
             box.command("leaves_behind", ["zombies"]), box.command("floods_output", ["stdout"]), box.shell("exit 3"),
             box.command("litters", ["odd_names"], memory=128 * MIB), box.shell("kill -9 $$"), box.command(["./missing"]),
             box.shell("ln -s /etc/passwd out", copyOut=["out"])]
    pause = box.shell("sleep 0.4")
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as file:
        for command in mixed * 3 + [pause] + mixed * 25 + [pause]:
            file.write(json.dumps(command) + "\n")
        file.flush()
        process = subprocess.Popen([*box.start_line, "--script", file.name], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        marks = []
        sleeping = False
        out = b""
        os.set_blocking(process.stdout.fileno(), False)
        while process.poll() is None:
            out += process.stdout.read() or b""
            now = any(name == "sleep" for _, _, name in tree(process.pid))
            if now and not sleeping:
                ours = [pid for _, pid, name in tree(process.pid) if name not in ("sleep", "sh")]
                marks.append((sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in ours),
                              sum(int(host.read(f"/proc/{pid}/statm").split()[1]) * 4096 for pid in ours), len(ours)))
            sleeping = now
            time.sleep(0.02)
        out += process.stdout.read() or b""
        process.stdout.close()
    assert process.returncode is not None and len(out.splitlines()) == len(mixed) * 28 + 2
    (descriptors, memory, count), (descriptors2, memory2, count2) = marks[0], marks[-1]
    assert len(marks) >= 2 and count == count2, marks
    assert descriptors2 - descriptors <= 5 and memory2 - memory <= 32 * MIB, marks
    assert not [line for line in out.splitlines() if json.loads(line)["status"] == "Internal Error" and "missing" not in json.loads(line).get("error", "")]
