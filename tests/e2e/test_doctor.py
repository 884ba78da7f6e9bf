"""cjudge doctor on the real host: the shape of --json, and that both forms agree."""

import json
import os
import pty
import re
import subprocess

import pytest

LEVELS = ["full", "no-cgroup", "no-userns", "none"]
NAMESPACES = ["user", "mount", "pid", "net", "ipc", "uts", "cgroup", "time"]
STEPS = NAMESPACES + [
    "id-map", "own-uid", "all-namespaces", "kernel-calls", "mount-tmpfs", "mount-bind", "mount-proc",
    "pivot-root", "no-new-privs", "seccomp", "landlock", "memfd-exec",
]
CONTROLLERS = {"cpu", "cpuacct", "cpuset", "memory", "pids"}


def doctor(*args, **kwargs):
    program = os.environ.get("CJUDGE")
    if not program:
        pytest.skip("CJUDGE does not name the program")
    return subprocess.run([program, "doctor", *args], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=120,
                          **kwargs)


@pytest.fixture(scope="module")
def answer():
    return doctor("--json")


@pytest.fixture(scope="module")
def report(answer):
    return json.loads(answer.stdout)


def number(value):
    return value is None or (isinstance(value, int) and not isinstance(value, bool))


def text(value):
    return value is None or (isinstance(value, str) and value != "")


def fact(value):
    return value is None or isinstance(value, bool)


def test_exit_status_tells_full(answer, report):
    assert answer.stderr == ""
    assert answer.stdout.count("\n") == 1
    assert isinstance(report["full"], bool)
    assert answer.returncode == (0 if report["full"] else 1)
    if report["full"]:
        assert report["protection"]["level"] == "full"


def test_no_other_keys(report):
    assert list(report) == [
        "full", "protection", "run", "remedies", "host", "process", "rules", "namespaces",
        "tries", "landlockAbi", "cgroup", "tools",
    ]


def test_protection(report):
    protection = report["protection"]
    assert protection["level"] in LEVELS
    assert text(protection["summary"])
    for reason in protection["reasons"]:
        assert set(reason) == {"name", "what", "cost", "bestLevel"}
        assert all(reason.values())
        assert LEVELS.index(reason["bestLevel"]) <= LEVELS.index(protection["level"])
    kept = {promise["name"]: promise["kept"] for promise in protection["promises"]}
    assert kept["wall-time"] is True
    assert kept["memory"] is (protection["level"] == "full")
    assert kept["network"] is (protection["level"] in ("full", "no-cgroup"))
    accuracy = protection["accuracy"]
    assert set(accuracy) == {"wall", "cpu", "memoryPeak", "processPeak", "outOfMemory"}
    for figure in accuracy.values():
        assert figure["accuracy"] in ("exact", "close", "unknown")
        assert figure["note"]
    assert accuracy["wall"]["accuracy"] == "exact"
    assert (accuracy["cpu"]["accuracy"] == "exact") == (protection["level"] == "full")


def test_each_lack_has_a_command(report):
    for remedy in report["remedies"]:
        assert set(remedy) == {"name", "lowersLevel", "problem", "cost", "command"}
        assert isinstance(remedy["lowersLevel"], bool)
        assert all(remedy[key] for key in ("name", "problem", "cost", "command"))
    lowering = [remedy for remedy in report["remedies"] if remedy["lowersLevel"]]
    assert bool(lowering) == (report["protection"]["level"] != "full")


def test_run(report):
    run = report["run"]
    assert set(run) == {"tried", "ok", "summary", "error", "warmInterpreters", "coldBecause"}
    if run["ok"]:
        assert run["warmInterpreters"] == (run["coldBecause"] is None)
    if run["tried"]:
        assert isinstance(run["ok"], bool)
        assert run["ok"] or run["error"]
    else:
        assert run["ok"] is None


def test_host_agrees_with_uname_and_proc(report):
    host = report["host"]
    assert host["kernel"] == os.uname().release
    assert host["arch"] == os.uname().machine
    for key in ("cpusOnline", "memoryBytes", "swapBytes", "pidMax", "threadsMax", "maxMapCount"):
        assert number(host[key]), key
    with open("/proc/sys/kernel/pid_max") as file:
        assert host["pidMax"] == int(file.read())
    with open("/proc/meminfo") as file:
        assert host["memoryBytes"] == int(file.readline().split()[1]) * 1024
    assert host["tickNs"] in [10000000, 4000000, 3333333, 3333334, 1000000]
    for mount in ("root", "tmp", "shm"):
        assert set(host[mount]) == {"type", "options", "sizeBytes", "freeBytes"}
    assert report["process"]["uid"] == os.geteuid()
    assert report["process"]["cpusAllowed"] == len(os.sched_getaffinity(0))


def test_rules(report):
    rules = report["rules"]
    assert rules["selinux"] in ("unknown", "absent", "permissive", "enforcing")
    for key in ("maxUserNamespaces", "unprivilegedUsernsClone", "apparmorRestrictUserns",
                "apparmorRestrictUnconfined", "ptraceScope", "memfdNoexec"):
        assert number(rules[key]), key


def test_namespaces_and_tries(report):
    assert list(report["namespaces"]) == NAMESPACES
    assert all(fact(value) for value in report["namespaces"].values())
    assert list(report["tries"]) == STEPS
    for name, tried in report["tries"].items():
        assert fact(tried["works"]), name
        assert (tried["error"] is not None) == (tried["works"] is False), name
    assert isinstance(report["landlockAbi"], int)


def test_cgroup(report):
    cgroup = report["cgroup"]
    assert cgroup["kind"] in ("none", "v1", "v2")
    assert isinstance(cgroup["nsdelegate"], bool) and isinstance(cgroup["hybrid"], bool)
    assert (cgroup["delegated"] is None) == (cgroup["kind"] != "v2")
    for key in ("available", "enabled", "usable"):
        assert set(cgroup[key]) <= CONTROLLERS
    for key in ("kill", "memoryPeak", "pidsPeak", "swapLimit", "kernelMemory"):
        assert fact(cgroup[key]), key
    if report["protection"]["level"] == "full":
        assert {"cpuacct", "memory", "pids"} <= set(cgroup["usable"])


def test_no_group_is_left(answer):
    for root, directories, _ in os.walk("/sys/fs/cgroup"):
        assert not [name for name in directories if name.startswith("cjudge-doctor-")], root


def test_tools(report):
    tools = {tool["command"]: tool for tool in report["tools"]}
    assert {"gcc", "g++", "python3", "java", "node", "bash", "iverilog", "zig"} <= set(tools)
    for tool in tools.values():
        if not tool["found"]:
            assert tool["visible"] is None and tool["path"] is None and tool["version"] is None
            continue
        assert os.access(tool["path"], os.X_OK)
        assert os.path.realpath(tool["path"]) == tool["target"]
        assert isinstance(tool["visible"], bool)
        assert (tool["mount"] is None) == tool["visible"]
        assert (tool["hint"] is None) == tool["visible"]
    assert tools["bash"]["visible"] is True
    assert "bash" in tools["bash"]["version"]
    assert tools["zig"]["package"] is None


def test_tools_outside_usr_are_told(tmp_path):
    fake = tmp_path / "bin" / "gcc"
    fake.parent.mkdir()
    fake.write_text("#!/bin/sh\necho fake gcc\n")
    fake.chmod(0o755)
    environment = dict(os.environ, PATH=str(fake.parent))
    tools = json.loads(doctor("--json", env=environment).stdout)["tools"]
    gcc = next(tool for tool in tools if tool["command"] == "gcc")
    assert gcc["version"] == "fake gcc"
    assert gcc["visible"] is False
    assert gcc["mount"] == str(tmp_path)
    assert str(tmp_path) in gcc["hint"]
    assert sum(tool["found"] for tool in tools) == 1


def keys(value):
    """Every key of every object, but those that are names of the host's things."""
    if isinstance(value, list):
        return set().union(*map(keys, value)) if value else set()
    if not isinstance(value, dict):
        return set()
    return set(value) | set().union(set(), *map(keys, value.values()))


def test_the_manual_names_every_key(report):
    with open(os.path.join(os.path.dirname(__file__), "..", "..", "docs", "doctor.md"), encoding="utf-8") as file:
        named = set(re.findall(r"`([^`]+)`", file.read()))
    assert keys(report) - named == set()


def test_the_manual_names_every_remedy():
    root = os.path.join(os.path.dirname(__file__), "..", "..")
    with open(os.path.join(root, "src", "cmd", "advice.c"), encoding="utf-8") as file:
        remedies = set(re.findall(r'\badd\(a, "([^"]+)"', file.read()))
    with open(os.path.join(root, "src", "sandbox", "protection.c"), encoding="utf-8") as file:
        lacks = set(re.findall(r'\{LACK_\w+, PROTECTION_FULL, "([^"]+)"', file.read()))
    assert len(remedies) > 10 and len(lacks) > 3, (remedies, lacks)
    with open(os.path.join(root, "docs", "doctor.md"), encoding="utf-8") as file:
        named = set(re.findall(r"`([^`]+)`", file.read()))
    assert (remedies | lacks) - named == set()


def test_text_says_the_same(report):
    answer = doctor()
    assert answer.returncode == (0 if report["full"] else 1)
    assert answer.stderr == ""
    assert "\033" not in answer.stdout
    for title in ("Host", "Rights and rules", "Tried", "Control groups",
                  "Compilers and interpreters", "What that level promises", "Accuracy",
                  "Protection"):
        assert f"\n{title}\n" in answer.stdout
    assert f"{report['protection']['level']}: {report['protection']['summary']}" in answer.stdout
    for remedy in report["remedies"]:
        assert remedy["command"] in answer.stdout


def test_text_names_each_fact_that_decides(report):
    facts, _, _ = doctor().stdout.partition("\nCompilers and interpreters\n")
    rows = {line[8:34].strip(): line[35:] for line in facts.splitlines() if line.startswith("  ")}
    host, rules, cgroup = report["host"], report["rules"], report["cgroup"]
    assert host["kernel"] in rows["kernel"]
    assert rows["tmpfs"] == ("yes" if host["tmpfs"] else "no")
    assert f"{host['shm']['sizeBytes'] >> 20} MiB" in rows["/dev/shm"]
    for name, value in (("user.max_user_namespaces", rules["maxUserNamespaces"]), ("vm.memfd_noexec", rules["memfdNoexec"]),
                        ("apparmor_restrict_userns", rules["apparmorRestrictUserns"]),
                        ("unprivileged_userns_clone", rules["unprivilegedUsernsClone"])):
        assert rows[name] == (str(value) if value is not None else "not in this kernel"), name
    assert set(report["namespaces"]) <= {name.split()[0] for name in rows if name.endswith(" namespace")}
    assert rows["hierarchy"].startswith(cgroup["kind"]) and ("hybrid" in rows["hierarchy"]) == cgroup["hybrid"]
    if cgroup["kind"] == "none":
        return
    assert rows["delegation"] and rows["usable for runs"] == ",".join(cgroup["usable"])
    if cgroup["unifiedMount"]:
        assert rows["nsdelegate"] == ("yes" if cgroup["nsdelegate"] else "no")
    for name, key in (("cgroup.kill", "kill"), ("memory peak", "memoryPeak"), ("process peak", "pidsPeak"),
                      ("swap limit", "swapLimit")):
        assert rows[name] == {True: "yes", False: "no", None: "not known"}[cgroup[key]], name


def test_colour_on_a_terminal_only():
    program = os.environ.get("CJUDGE")
    if not program:
        pytest.skip("CJUDGE does not name the program")
    for extra, coloured in (({}, True), ({"NO_COLOR": "1"}, False)):
        environment = {k: v for k, v in os.environ.items() if k != "NO_COLOR"}
        environment.update(extra)
        master, slave = pty.openpty()
        process = subprocess.Popen([program, "doctor"], stdout=slave, env=environment)
        os.close(slave)
        seen = b""
        while True:
            try:
                block = os.read(master, 65536)
            except OSError:  # EIO: the terminal's other end is closed
                break
            if not block:
                break
            seen += block
        os.close(master)
        assert process.wait(timeout=60) in (0, 1)
        assert (b"\033[32mok" in seen) == coloured


@pytest.mark.parametrize("args", [["--wrong"], ["extra"], ["--json", "extra"], ["--json=1"]])
def test_wrong_usage(args):
    answer = doctor(*args)
    assert answer.returncode == 2
    assert answer.stdout == ""
    assert "usage: cjudge doctor" in answer.stderr


def test_help():
    answer = doctor("--help")
    assert answer.returncode == 0
    assert answer.stdout.startswith("usage: cjudge doctor")
    assert answer.stderr == ""


def test_full_disk_is_an_error():
    program = os.environ.get("CJUDGE")
    if not program or not os.path.exists("/dev/full"):
        pytest.skip("no CJUDGE or no /dev/full")
    with open("/dev/full", "w") as full:
        answer = subprocess.run([program, "doctor", "--json"], stdout=full,
                                stderr=subprocess.PIPE, text=True, timeout=60)
    assert answer.returncode == 1
    assert "No space left" in answer.stderr
