"""The harness itself: what it is there to notice, it notices. Needs no cjudge."""
import ctypes
import os
import subprocess
import time

import pytest

import conftest
import host
from box import Result


@pytest.fixture
def own_view():
    host.adopt_orphans()
    if not host.private and os.environ.get("CJUDGE_SHARED_VIEW") != "1":
        host.make_private()
    if not host.private:
        pytest.skip("needs root: mounts and IPC of this process cannot be made private")
    return host.Snapshot()


def test_quiet_host_shows_no_difference(own_view):
    assert own_view.differences(0.1) == []


def test_orphans_and_zombies_are_noticed(own_view):
    subprocess.run(["/bin/sh", "-c", "setsid sleep 1 & exit 0"], check=True)
    assert "is left" in own_view.differences(0.1)[0]
    time.sleep(1.2)
    assert own_view.differences(0.5) == []


def test_cgroup_is_noticed(own_view):
    tops = [path for path in ("/sys/fs/cgroup/memory", "/sys/fs/cgroup") if os.path.exists(path + "/cgroup.procs")]
    if not tops:
        pytest.skip("no cgroup hierarchy here")
    path = f"{tops[0]}/{host.CGROUP_PREFIX}/left"
    os.makedirs(path)
    try:
        assert any("cgroup" in text for text in own_view.differences(0.1))
    finally:
        os.rmdir(path)
        os.rmdir(os.path.dirname(path))


def test_files_mounts_and_ipc_are_noticed(own_view):
    libc = ctypes.CDLL(None)
    with open("/dev/shm/left", "w"), open("/tmp/left", "w"):
        pass
    assert len([text for text in own_view.differences(0.1) if "names" in text]) == 2
    os.unlink("/dev/shm/left")
    os.unlink("/tmp/left")
    os.makedirs("/tmp/mount")
    assert libc.mount(b"tmpfs", b"/tmp/mount", b"tmpfs", 0, None) == 0
    assert any("mounts" in text for text in own_view.differences(0.1))
    assert libc.umount2(b"/tmp/mount", 0) == 0
    os.rmdir("/tmp/mount")
    segment = libc.shmget(0, 4096, 0o1600)
    assert any("ipc" in text for text in own_view.differences(0.1))
    libc.shmctl(segment, 0, None)
    assert own_view.differences(0.1) == []


def test_descriptor_leak_is_noticed(own_view):
    fd = os.open("/dev/null", os.O_RDONLY)
    assert any("descriptors" in text for text in own_view.differences(0.1))
    os.close(fd)


def fake(out="state\n", status="Accepted", time_ns=50_000_000):
    return Result(status=status, exitStatus=0, time=time_ns, memory=0, runTime=10**9, files=dict(stdout=out, stderr=""))


@pytest.mark.parametrize("changed", [dict(out="state\nmore\n"), dict(status="Signalled"), dict(time_ns=90_000_000)])
def test_changed_reference_is_noticed(changed):
    conftest.assert_same_state(fake(), fake())
    with pytest.raises(AssertionError):
        conftest.assert_same_state(fake(), fake(**changed))


def test_programs_refuse_to_run_outside(tmp_path, own_view):
    """Those that do harm prove first where they are."""
    import box
    folder = box.programs(str(tmp_path / "programs"))
    for name in ("bombs", "litters", "attacks_init", "escapes", "forbidden_calls", "random_calls", "takes_memory"):
        done = subprocess.run([os.path.join(folder, name), "x"], cwd="/", capture_output=True, timeout=10)
        assert (done.returncode, done.stderr) == (99, b"not in a sandbox\n"), name
    for name in ("leaves_state.py", "signals_other.py", "holds_quotas.py"):
        done = subprocess.run([box.PYTHON, os.path.join(box.SOURCES, name), "hold", "files"], cwd="/", capture_output=True, timeout=10)
        assert done.returncode == 1 and b"not in a sandbox" in done.stderr, name
