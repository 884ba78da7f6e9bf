"""Threat probes: each asserts the verdict, the host and the next run in the same container.

A probe is a program in programs/ or a few lines of shell or Python. `threat` runs

    reference, probe, reference         in one container (cjudge run --script)

and compares: the references print the same state and use the same CPU, the host is as it was, nothing is
left. It returns the probe's result, whose verdict the test then checks. The classes and requirements are
those of the project's list of threats; one file for each class."""
import os
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

import box as box_module
import host

# Set before any process is started; says what a leak could look like.
SECRET = "cjudge-secret-7f3a9e51"


def pytest_configure(config):
    if not getattr(config, "workerinput", None):
        os.environ["CJUDGE_PROBE_SECRET"] = SECRET


@pytest.fixture(scope="session")
def own_view_of_the_host(cjudge):
    """Mounts, IPC, /tmp and /dev/shm of this session become private (see host.make_private)."""
    host.adopt_orphans()
    if not host.private and not cjudge.startswith("/tmp/") and os.environ.get("CJUDGE_SHARED_VIEW") != "1":
        host.make_private()
    yield
    host.remove_cgroup_prefix()


@pytest.fixture(scope="session")
def box(cjudge, own_view_of_the_host, tmp_path_factory):
    folder = os.environ.get("CJUDGE_PROBES", os.path.join(HERE, "../../build/tests/threats"))
    return box_module.Box(cjudge, os.path.abspath(box_module.programs(folder)))


def assert_same_state(before, after):
    """The NEXT requirement: same status and output, CPU within 20 % + 20 ms."""
    assert before.status == "Accepted", before
    assert (after.status, after["exitStatus"]) == (before.status, before["exitStatus"]), after
    old, new = set(before.out.splitlines()), set(after.out.splitlines())
    assert before.out == after.out, f"gone: {sorted(old - new)}\nnew: {sorted(new - old)}"
    assert before.err == after.err
    assert after.cpu <= before.cpu * 1.2 + 0.02, f"CPU {before.cpu:.3f} s before, {after.cpu:.3f} s after"


def assert_plausible(command, result):
    """What holds for every run, whatever it does."""
    limit = command["wall"] / 1e9
    # what cannot be started at all is an Internal Error, as in the service whose users we keep
    unstartable = result.status == box_module.INTERNAL and result.get("error", "").startswith(("start: ", "handle: ")) \
        and "text file busy" not in result["error"]
    assert result.status in box_module.STATUSES or unstartable, result
    assert result.wall <= limit + 1, result
    assert 0 <= result.cpu <= result.wall * (os.cpu_count() or 1) + 0.05, result
    assert 0 <= result["memory"] <= command["memory"] + 4 * box_module.MIB, result
    if result.status == box_module.OK:
        assert result["exitStatus"] == 0 and result.cpu <= command["cpu"] / 1e9 and result.wall <= limit, result
    assert len(result.out.encode("utf-8", "replace")) <= command["output"] * 3
    for text in [result.get("error", "")] + list((result.get("files") or {}).values()):
        assert SECRET not in text


@pytest.fixture
def threat(box):
    """threat(command, ...) runs the commands as poison between two references; the last one's Result."""

    def run(*commands, options=(), all_results=False, memory_tolerance=None):
        before = host.Snapshot()
        results = box.script([box.reference(), *commands, box.reference()], options)
        for command, result in zip(commands, results[1:-1]):
            assert_plausible(command, result)
        assert_same_state(results[0], results[-1])
        assert not (left := before.differences()), left
        if memory_tolerance is not None:
            lost = before.memory_lost(memory_tolerance)
            for _ in range(2):  # others use memory, too: what is lost is lost each time
                if lost > memory_tolerance:
                    before = host.Snapshot()
                    box.script([box.reference(), *commands, box.reference()], options)
                    lost = before.memory_lost(memory_tolerance)
            assert lost <= memory_tolerance, f"{lost >> 20} MiB of memory did not come back"
        return results[1:-1] if all_results else results[-2]

    return run


@pytest.fixture
def host_unchanged(own_view_of_the_host):
    """For tests that start cjudge themselves: the host is as before 2 s after the test."""
    before = host.Snapshot()
    yield before
    assert not (left := before.differences()), left
