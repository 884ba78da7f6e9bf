"""The guest itself: each cgroup mode boots, and commands in it behave as on any Debian.

Run with /usr/bin/python3 -m pytest tests/guest
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import guest_image
from guest import CGROUP_MODES, V2_MODES, GuestError, GuestTimeout, boot_or_skip

CONTROLLERS = {"cpuset", "cpu", "io", "memory", "hugetlb", "pids", "rdma", "misc"}
V1_MOUNTS = {f"/sys/fs/cgroup/{name}" for name in
             ("cpu,cpuacct", "cpuset", "memory", "pids", "devices", "freezer", "blkio")}
EVERY_BYTE = bytes(range(256))


@pytest.fixture(scope="module")
def machines():
    """One guest for each mode, booted when first asked for."""
    booted = {}

    def get(mode):
        if mode not in booted:
            booted[mode] = boot_or_skip(cgroup=mode, memory_mb=768)
        return booted[mode]

    yield get
    for machine in booted.values():
        machine.close()


@pytest.fixture(params=CGROUP_MODES)
def any_guest(machines, request):
    return machines(request.param)


@pytest.fixture(params=V2_MODES)
def v2_guest(machines, request):
    return machines(request.param)


@pytest.fixture
def guest(machines):
    return machines("v2-nsdelegate")


def compiled(tmp_path, source, *flags):
    """A C program, built by this machine's gcc against its shared libc."""
    program = tmp_path / Path(source).stem
    subprocess.run(["gcc", "-D_GNU_SOURCE", "-O1", *flags, source, "-o", program], check=True)
    return program


def shell(guest, script, **options):
    result = guest.run(["sh", "-c", script], **options)
    assert result.stderr == b""
    return result.stdout.decode()


def cgroup_mounts(guest):
    """{mount point: (type, options of the file system)} below /sys/fs/cgroup."""
    rows = [line.split() for line in shell(guest, "cat /proc/mounts").splitlines()]
    return {row[1]: (row[2], set(row[3].split(","))) for row in rows if "cgroup" in row[1]}


# --- modes ----------------------------------------------------------------------------------


def test_v2_is_mounted_as_asked(v2_guest):
    mounts = cgroup_mounts(v2_guest)
    assert set(mounts) == {"/sys/fs/cgroup"}
    kind, options = mounts["/sys/fs/cgroup"]
    assert kind == "cgroup2"
    assert ("nsdelegate" in options) == (v2_guest.cgroup == "v2-nsdelegate")
    assert {"rw", "nosuid", "nodev", "noexec", "memory_recursiveprot"} <= options


def test_v2_offers_every_controller_to_new_cgroups(v2_guest):
    for file in ("cgroup.controllers", "cgroup.subtree_control"):
        assert set(shell(v2_guest, f"cat /sys/fs/cgroup/{file}").split()) == CONTROLLERS


@pytest.mark.parametrize("mode, written", [("v2-nsdelegate", False), ("v2", True)])
def test_nsdelegate_guards_the_root_of_a_cgroup_namespace(machines, mode, written):
    group = "/sys/fs/cgroup/guarded"
    script = f"echo 64M 2>/dev/null >{group}/memory.max; cat {group}/memory.max"
    result = machines(mode).run(["unshare", "-C", "sh", "-c", script], delegate="guarded")
    assert result.stdout == (b"67108864\n" if written else b"max\n")


@pytest.mark.parametrize("mode, unified", [("hybrid", True), ("v1", False)])
def test_v1_controllers_have_their_own_mounts(machines, mode, unified):
    mounts = cgroup_mounts(machines(mode))
    assert {point for point, (kind, _) in mounts.items() if kind == "cgroup"} == V1_MOUNTS
    assert ("/sys/fs/cgroup/unified" in mounts) == unified
    if unified:
        empty = shell(machines(mode), "cat /sys/fs/cgroup/unified/cgroup.controllers")
        assert empty.strip() in ("", "hugetlb rdma misc"), "v1 has not taken its controllers"


def test_none_has_no_cgroups(machines):
    assert cgroup_mounts(machines("none")) == {}
    with pytest.raises(GuestError, match="No such file"):
        machines("none").run(["true"], delegate="service")


# --- the machine ----------------------------------------------------------------------------


def test_looks_like_debian(any_guest):
    assert shell(any_guest, "hostname; id -u; pwd; cat /etc/debian_version").split()[:3] == [
        "guest", "0", "/"]
    kinds = {line.split()[1]: line.split()[2]
             for line in shell(any_guest, "cat /proc/mounts").splitlines()}
    for point, kind in {"/": "ext4", "/proc": "proc", "/sys": "sysfs", "/dev": "devtmpfs",
                        "/dev/pts": "devpts", "/dev/shm": "tmpfs", "/tmp": "tmpfs",
                        "/run": "tmpfs"}.items():
        assert kinds[point] == kind
    assert shell(any_guest, "touch /usr/touched /etc/touched && echo ok") == "ok\n"


def test_lo_is_up_and_alone(any_guest):
    assert os.path.basename(shell(any_guest, "echo /sys/class/net/*").strip()) == "lo"
    script = ("import socket as s; a = s.create_server(('127.0.0.1', 0));"
              "s.create_connection(a.getsockname()); print('connected')")
    assert any_guest.run(["python3", "-c", script]).stdout == b"connected\n"


def test_unprivileged_user_namespaces(any_guest):
    assert any_guest.run(["unshare", "-Urmp", "--fork", "--mount-proc", "id", "-u"],
                         user="guest") == (0, b"0\n", b"")


def test_pivot_root_and_overlay(any_guest):
    """What a sandbox does first; the initramfs itself would refuse pivot_root."""
    script = """set -e; d=$(mktemp -d); mount -t tmpfs t $d; cd $d; mkdir lower upper work merged
        echo low >lower/file; mount -t overlay -o lowerdir=/:lower,upperdir=upper,workdir=work o merged
        cd merged; mkdir -p old; pivot_root . old; test -e /old/proc/1; cat /file"""
    assert any_guest.run(["unshare", "-m", "sh", "-c", script]) == (0, b"low\n", b"")


def test_python_has_its_library(guest):
    script = "import json, ssl, ctypes, hashlib; print(json.dumps([1, hashlib.sha256().name]))"
    assert guest.run(["python3", "-c", script]) == (0, b'[1, "sha256"]\n', b"")


def test_programs_of_this_machine_run(any_guest, tmp_path):
    (tmp_path / "hello.c").write_text('#include <stdio.h>\nint main(void) { return puts("hello") - 3; }')
    program = compiled(tmp_path, tmp_path / "hello.c")
    any_guest.put(program, "/opt/hello")
    assert any_guest.run(["/opt/hello"]) == (3, b"hello\n", b"")


def test_gcc_works_inside(guest):
    guest.put_bytes(b"int main(void) { return 7; }", "/tmp/seven.c")
    assert guest.run(["gcc", "/tmp/seven.c", "-o", "/tmp/seven"]) == (0, b"", b"")
    assert guest.run(["/tmp/seven"]).rc == 7


# --- commands -------------------------------------------------------------------------------


@pytest.mark.parametrize("script, rc", [
    ("exit 0", 0), ("exit 3", 3), ("exit 255", 255), ("kill -9 $$", -9), ("kill -SEGV $$", -11),
])
def test_exit_status(any_guest, script, rc):
    assert any_guest.run(["sh", "-c", script]) == (rc, b"", b"")


def test_output_keeps_every_byte(guest):
    result = guest.run(["sh", "-c", "tee /dev/stderr"], stdin=EVERY_BYTE * 41)
    assert result == (0, EVERY_BYTE * 41, EVERY_BYTE * 41)


def test_large_input_and_output(guest):
    data = os.urandom(1 << 20) * 24
    assert guest.run(["cat"], stdin=data).stdout == data


def test_input_nobody_reads(guest):
    assert guest.run(["true"], stdin=bytes(8 << 20)).rc == 0
    assert guest.run(["sh", "-c", "exec <&-; sleep 0.2; echo on"], stdin=bytes(8 << 20)).stdout == b"on\n"


def test_output_ends_with_its_last_holder(guest):
    result = guest.run(["sh", "-c", "(sleep 0.3; echo late) & echo early"])
    assert result.stdout == b"early\nlate\n"


def test_arguments_environment_and_directory(guest):
    script = "import os, sys; print(sys.argv[1:], os.getcwd(), os.environ)"
    result = guest.run(["python3", "-c", script, "", "a b", "\udcff", "é"], cwd="/usr/lib",
                       env={"A": "1\n2", "TERM": None})
    assert result.stdout.decode() == (
        "['', 'a b', '\\udcff', 'é'] /usr/lib environ({'PATH': '/usr/local/sbin:/usr/local/bin:"
        "/usr/sbin:/usr/bin:/sbin:/bin', 'LANG': 'C.UTF-8', 'HOME': '/root', 'A': '1\\n2'})\n")


def test_users(guest):
    assert shell(guest, "id; cd; pwd; touch here; rm here", user="guest") == (
        "uid=1000(guest) gid=1000(guest) groups=1000(guest)\n/home/guest\n")
    assert shell(guest, "id", user=(77, 78)) == "uid=77 gid=78 groups=78\n"
    assert guest.run(["cat", "/proc/self/status"], user="guest").stdout.count(
        b"\t0000000000000000\n") >= 4, "no capability is left"


def test_a_command_that_cannot_start(guest):
    with pytest.raises(GuestError, match="no-such-program: No such file or directory"):
        guest.run(["no-such-program"])
    with pytest.raises(GuestError, match="/nowhere: No such file"):
        guest.run(["true"], cwd="/nowhere")


def test_descriptors_and_signals_are_clean(guest):
    script = "import os; print(os.listdir('/proc/self/fd'), open('/proc/self/status').read())"
    said = guest.run(["python3", "-Ic", script]).stdout.decode()
    assert said.startswith("['0', '1', '2', '3']")  # 3: the directory being listed
    assert "SigBlk:\t0000000000000000" in said
    assert "SigIgn:\t0000000001001000" in said  # SIGPIPE and SIGXFSZ, by Python itself


def test_timeout_kills_the_whole_family(guest):
    script = "echo begun; sleep 987 & setsid sleep 987 & (trap '' TERM; sleep 987) & wait"
    began = time.monotonic()
    with pytest.raises(GuestTimeout) as caught:
        guest.run(["sh", "-c", script], timeout=1)
    assert caught.value.stdout == b"begun\n"
    assert time.monotonic() - began < 10
    assert guest.run(["pgrep", "-f", "sleep 987"]) == (1, b"", b"")


def test_many_commands_at_once(guest):
    running = [guest.start(["sh", "-c", f"read line; echo $line {i}; exit {i}"]) for i in range(40)]
    for process in reversed(running):
        process.write(b"said\n")
    for i, process in enumerate(running):
        assert process.wait(30) == i
        assert bytes(process.stdout) == b"said %d\n" % i


def test_a_server_and_its_client(guest):
    server = guest.start(["python3", "-u", "-m", "http.server", "-b", "127.0.0.1", "8123"], cwd="/etc")
    server.wait_output(b"Serving HTTP")
    url = "http://127.0.0.1:8123/hostname"
    fetch = f"import urllib.request as r; print(r.urlopen('{url}').read())"
    assert guest.run(["python3", "-c", fetch]).stdout == b"b'guest\\n'\n"
    server.kill()
    assert server.wait(10) == -signal.SIGKILL


# --- files ----------------------------------------------------------------------------------


def test_files_in_and_out(guest, tmp_path):
    tree = tmp_path / "tree"
    (tree / "below").mkdir(parents=True)
    (tree / "below" / "bytes").write_bytes(EVERY_BYTE)
    (tree / "program").write_text("#!/bin/sh\necho $0")
    (tree / "program").chmod(0o755)
    (tree / "link").symlink_to("below/bytes")

    guest.put(tree)  # to the same path
    assert guest.run([tree / "program"]).stdout.decode() == f"{tree}/program\n"
    assert shell(guest, f"stat -c '%u %a' {tree}/program") == "0 755\n"
    guest.get(tree, tmp_path / "back")
    assert (tmp_path / "back" / "below" / "bytes").read_bytes() == EVERY_BYTE
    assert os.readlink(tmp_path / "back" / "link") == "below/bytes"
    assert os.access(tmp_path / "back" / "program", os.X_OK)

    guest.put_bytes(EVERY_BYTE, "/srv/deep/er/file", mode=0o600)
    assert guest.get_bytes("/srv/deep/er/file") == EVERY_BYTE
    with pytest.raises(GuestError, match="No such file"):
        guest.get_bytes("/srv/nothing")


# --- delegated cgroups ----------------------------------------------------------------------


@pytest.mark.parametrize("user", ["root", "guest"])
def test_delegated_cgroup(v2_guest, user):
    """Like a systemd unit with Delegate=yes; twice, and what the first leaves is no hindrance."""
    path = f"system.slice/{user}.service"
    script = """cd /sys/fs/cgroup$(cut -d: -f3 /proc/self/cgroup) && mkdir inner &&
        echo 0 >inner/cgroup.procs && echo +memory +pids >cgroup.subtree_control &&
        mkdir other && echo 9M >other/memory.max && cat other/memory.max /proc/self/cgroup"""
    for _ in range(2):
        assert shell(v2_guest, script, user=user, delegate=path) == f"9437184\n0::/{path}/inner\n"
    owner = shell(v2_guest, f"stat -c %U /sys/fs/cgroup/{path}/cgroup.procs "
                            f"/sys/fs/cgroup/{path}/memory.max")
    assert owner.split() == [user, "root"]


@pytest.mark.parametrize("mode", ["hybrid", "v1"])
def test_delegated_cgroup_v1(machines, mode):
    entries = shell(machines(mode), "cat /proc/self/cgroup", delegate="service/cjudge").splitlines()
    places = {tuple(entry.split(":")[1:]) for entry in entries}
    assert {("memory", "/service/cjudge"), ("pids", "/service/cjudge"),
            ("cpuset", "/service/cjudge"), ("cpu,cpuacct", "/service/cjudge")} <= places


@pytest.mark.parametrize("options", [{}, {"delegate": "check.slice/check.service", "user": "guest"}],
                         ids=["root", "delegated"])
def test_kernel_has_what_the_sandbox_needs(v2_guest, tmp_path, options):
    v2_guest.put(compiled(tmp_path, HERE / "kernel_check.c"), "/opt/kernel_check")
    result = v2_guest.run(["/opt/kernel_check"], **options)
    assert (result.rc, result.stderr) == (0, b"")
    facts = dict(line.rsplit(" ", 1) for line in result.stdout.decode().splitlines())
    for file in ("cgroup.kill", "memory.peak", "memory.reclaim", "memory.oom.group", "pids.peak"):
        assert facts[f"file {file}"] == "yes"
    mib = 1 << 20
    assert 32 * mib <= int(facts["memory.peak"]) <= 34 * mib
    assert facts["pids.peak"] == "3"
    assert facts["over-memory exit"] == facts["cgroup.kill exit"] == "-9"
    assert int(facts["memory.events oom_kill"]) >= 1
    assert int(facts["memory.peak at limit"]) == 16 * mib
    assert facts["pids.events max"] == "1"
    assert abs(int(facts["cpu.stat usage_usec"]) - int(facts["rusage usec"])) < 20000


# --- failures and the command line ----------------------------------------------------------


def qemus_of(pid_or_scratch):
    """Pids of QEMUs whose command line holds the text."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if words.startswith(b"/") and b"qemu-system" in words and os.fsencode(pid_or_scratch) in words:
            found.append(int(entry.name))
    return found


def test_a_panic_is_reported_and_leaves_nothing(machines):
    machines("none")  # or skip
    machine = boot_or_skip(cgroup="none", memory_mb=512)
    scratch = machine._scratch
    assert len(qemus_of(scratch)) == 1
    with pytest.raises(GuestError):
        machine.run(["sh", "-c", "echo c >/proc/sysrq-trigger"])
    with pytest.raises(GuestError, match="(?s)console.*sysrq triggered crash"):
        machine.run(["true"])
    machine.close()
    machine.close()
    assert qemus_of(scratch) == []
    assert not os.path.exists(scratch)


def command_line(*arguments, **options):
    return subprocess.run([sys.executable, HERE / "guest.py", *arguments], capture_output=True, **options)


def test_command_line(machines, tmp_path):
    machines("v2")  # or skip
    (tmp_path / "script").write_text("cat; id -u >&2; echo out >/tmp/result; exit 9")
    done = command_line("--cgroup", "v2", "--memory", "512", "--cpus", "1", "--with",
                        f"{tmp_path}/script:/opt/script", "--get", f"/tmp/result:{tmp_path}/result",
                        "--user", "nobody", "--", "sh", "/opt/script", input=EVERY_BYTE)
    assert (done.returncode, done.stdout, done.stderr) == (9, EVERY_BYTE, b"65534\n")
    assert (tmp_path / "result").read_text() == "out\n"


def test_command_line_failures(machines, tmp_path):
    machines("v2")  # or skip
    done = command_line("--cgroup", "none", "--timeout", "1", "--", "sh", "-c", "echo a; sleep 99",
                        stdin=subprocess.DEVNULL)
    assert (done.returncode, done.stdout) == (124, b"a\n")
    assert b"still running after 1 s" in done.stderr

    done = command_line("--", "true", env={**os.environ, "CJUDGE_GUEST_DIR": str(tmp_path)})
    assert (done.returncode, done.stdout) == (125, b"")
    assert b"set-up" in done.stderr
    assert b"Traceback" not in done.stderr


def test_a_killed_harness_takes_the_guest_with_it(machines):
    machines("v2")  # or skip
    harness = subprocess.Popen([sys.executable, HERE / "guest.py", "--cgroup", "none", "--", "sh",
                                "-c", "echo up; sleep 99"], stdout=subprocess.PIPE)
    assert harness.stdout.readline() == b"up\n"
    mark = f"/run-{harness.pid}-"
    assert len(qemus_of(mark)) == 1
    harness.kill()
    harness.communicate()
    deadline = time.monotonic() + 10
    while qemus_of(mark) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert qemus_of(mark) == []
    guest_image.prepare()
    assert list(guest_image.CACHE.glob(f"run-{harness.pid}-*")) == []
