"""Class 9: inherited descriptors, environment, identity."""
import ctypes
import os
import resource
import signal
import socket
import subprocess

import pytest

from box import MIB, MS, OK


def facts(result):
    assert result.status == OK, result
    return result.out.splitlines()


def test_exactly_three_descriptors(threat, box):
    lines = facts(threat(box.command("state_report", output=256 << 10)))
    descriptors = [line for line in lines if line.startswith("fd ")]
    assert [line.split()[1] for line in descriptors] == ["0", "1", "2"], descriptors
    assert not [line for line in descriptors if " type 40000 " in line or " type 140000 " in line], descriptors


def test_environment_is_what_was_asked_for(threat, box, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "cjudge-secret-environment")
    monkeypatch.setenv("LD_PRELOAD_PROBE", "x")
    result = threat(box.shell("env; cat /proc/self/environ | tr '\\0' '\\n'", env=["A=1", "B=two words", "C="]))
    names = {line.split("=")[0] for line in facts(result)} - {"_", "PWD", "SHLVL", "OLDPWD"}
    assert {"A", "B", "C"} <= names and names <= {"A", "B", "C", "PATH", "HOME", "LANG", "LC_ALL", "TERM", "TMPDIR", "USER", "LSAN_OPTIONS"}, names


def test_odd_environments(threat, box):
    for env in ([], ["A=1", "A=2"], ["X=" + "y" * 100000], ["é=ü"], ["LD_PRELOAD=/nothing.so"]):
        result = threat(box.command("state_report", env=env, output=512 << 10))
        assert result.status in (OK, "Nonzero Exit Status", "Internal Error"), result


@pytest.mark.parametrize("entry", ["=x", "NOEQUALS"])
def test_environment_entries_without_a_name_are_refused(box, host_unchanged, entry):
    result = box.script([box.command("state_report", env=[entry])])[0]
    assert result.status == "Invalid" and entry in result["error"], result


def test_signals_and_session(threat, box):
    lines = facts(threat(box.command("state_report", output=256 << 10)))
    status = {line.split(":")[1].strip(): line.split(":", 2)[2].strip() for line in lines if line.startswith("/proc/self/status")}
    for field in ("SigBlk", "SigIgn", "SigCgt", "SigPnd", "ShdPnd"):
        assert int(status[field], 16) == 0, (field, status)
    assert not [line for line in lines if "not the default" in line]
    # a process group of its own; a session, too, only where there is a terminal to lead it on
    assert [line for line in lines if line.startswith("session ") and " group 1 " in line], lines[:8]
    assert [line for line in lines if line.startswith("tty -1")]
    assert [line for line in lines if line.startswith(f"nice {os.nice(0)} policy 0 ")]


def test_no_privileges(threat, box):
    lines = facts(threat(box.command("state_report", output=256 << 10)))
    status = {line.split(":")[1].strip(): line.split(":", 2)[2].strip() for line in lines if line.startswith("/proc/self/status")}
    assert set(status["Uid"].split()) == {"1000"} and len(set(status["Gid"].split())) == 1, status
    assert "0" not in status["Gid"].split()
    assert set(status["Groups"].split()) <= {status["Gid"].split()[0]}, status
    for field in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(status[field], 16) == 0, (field, status)
    assert status["NoNewPrivs"] == "1" and status["Seccomp"] == "2", status


def test_host_identity_is_not_roots(box, host_unchanged):
    """Outside, programs run as a reserved uid: not root, not the caller, nobody's account."""
    import pwd
    import host
    process = box.start(box.shell("sleep 2", wall=2500 * MS))
    import time
    deadline, uids = time.monotonic() + 2, set()
    while not uids and time.monotonic() < deadline:
        for pid, (_, name) in host.descendants(process.pid).items():
            if name == "sleep":
                uids |= set(host.read(f"/proc/{pid}/status").split("Uid:")[1].split()[:4])
                groups = host.read(f"/proc/{pid}/status").split("Groups:")[1].split("\n")[0].split()
                gids = host.read(f"/proc/{pid}/status").split("Gid:")[1].split()[:4]
    process.terminate()
    process.communicate()
    assert len(uids) == 1 and "0" not in uids | set(groups) | set(gids), (uids, groups, gids)
    with pytest.raises(KeyError):
        pwd.getpwuid(int(uids.pop()))


def test_nothing_regains_privileges(threat, box):
    result = threat(box.command("regains"))
    assert result.status == OK and result.out and " worked" not in result.out, result.out


def test_limits_cannot_be_raised(threat, box):
    code = ("import resource as r\nfor n in sorted(x for x in dir(r) if x.startswith('RLIMIT_')):\n"
            " k=getattr(r,n); s,h=r.getrlimit(k)\n"
            " if h!=r.RLIM_INFINITY:\n"
            "  try: r.setrlimit(k,(h+1,h+1)); print(n,'worked')\n"
            "  except (ValueError, OSError): print(n,'refused')\n"
            "print('CORE', r.getrlimit(r.RLIMIT_CORE))")
    result = threat(box.python(code))
    assert result.status == OK and " worked" not in result.out, result
    for name in ("RLIMIT_FSIZE", "RLIMIT_NOFILE", "RLIMIT_STACK", "RLIMIT_CORE", "RLIMIT_CPU"):
        assert f"{name} refused" in result.out, result.out
    assert "CORE (0, 0)" in result.out


def surroundings(name, box):
    """Odd states of the process that starts cjudge; none may reach the program."""
    keep = []

    def prepare():
        if name == "ignored_signals":
            for number in (1, 2, 3, 13, 14, 15, 10, 12, 20, 21, 22):
                signal.signal(number, signal.SIG_IGN)
        elif name == "ignored_sigchld":
            signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        elif name == "blocked_signals":
            signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        elif name == "umask":
            os.umask(0o777)
        elif name == "open_descriptors":
            for target in (7, 50, 200):
                os.dup2(os.open("/", os.O_RDONLY), target, inheritable=True)
            os.dup2(os.open("/etc/shadow", os.O_RDONLY), 9, inheritable=True)
            for end in socket.socketpair():
                os.set_inheritable(end.fileno(), True)
                keep.append(end)
        elif name == "nice":
            os.nice(5)
        elif name == "closed_stdin":
            os.close(0)
        elif name == "no_core_limit":
            resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        elif name == "groups":
            os.setgroups([0, 4, 27, 999])
        elif name == "death_signal":
            ctypes.CDLL(None).prctl(1, 10, 0, 0, 0)
        elif name == "personality":
            ctypes.CDLL(None).personality(0x0040000)  # ADDR_NO_RANDOMIZE
        elif name == "alarm":
            signal.alarm(60)
        elif name == "low_descriptor_limit":
            resource.setrlimit(resource.RLIMIT_NOFILE, (64, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
        elif name == "oom_score":
            with open("/proc/self/oom_score_adj", "w") as file:
                file.write("500")
        elif name == "timer_slack":
            ctypes.CDLL(None).prctl(29, 500000, 0, 0, 0)
        elif name == "no_new_session":
            os.setsid()

    return prepare


@pytest.mark.parametrize("name", ["ignored_signals", "ignored_sigchld", "blocked_signals", "umask", "open_descriptors",
                                  "nice", "closed_stdin", "no_core_limit", "groups", "death_signal", "personality", "alarm",
                                  "low_descriptor_limit", "oom_score", "timer_slack", "no_new_session"])
def test_surroundings_do_not_reach_the_program(box, host_unchanged, name, tmp_path):
    fields = box.reference()
    plain = box.run(fields)
    changed = box.run(fields, preexec_fn=surroundings(name, box), close_fds=name != "open_descriptors", cwd=tmp_path)
    assert (plain.status, changed.status) == (OK, OK), (plain, changed)
    if name == "nice":  # a caller that is nice stays nice; nothing else changes
        assert changed.out.replace(f"nice {os.nice(0) + 5} ", f"nice {os.nice(0)} ").splitlines()[:10] == plain.out.splitlines()[:10]
        return
    old, new = plain.out.splitlines(), changed.out.splitlines()
    assert sorted(set(old) ^ set(new)) == [], sorted(set(old) ^ set(new))


def test_deleted_working_directory(box, host_unchanged, tmp_path):
    gone = tmp_path / "gone"
    gone.mkdir()

    def prepare():
        os.chdir(gone)
        os.rmdir(gone)

    assert box.run(box.shell("pwd"), preexec_fn=prepare).out == "/w\n"
