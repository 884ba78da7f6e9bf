"""Class 1: CPU time and wall clock."""
import os

import pytest

from box import MS, NONZERO, OK, SIGNALLED, TIME

CORES = os.cpu_count() or 1


def assert_cpu_over(result, command):
    limit = command["cpu"] / 1e9
    assert result.status == TIME, result
    assert limit < result.cpu <= limit + 0.3 * CORES, result


@pytest.mark.parametrize("how", ["ignoring_signals", "in_threads", "in_system_calls", "raising_limits", "at_low_priority",
                                 "handling_xcpu", "stopping_and_continuing", "after_exec", "in_vfork_child",
                                 "in_sixteen_threads", "orphaned"])
def test_spinning_ends_at_the_cpu_limit(threat, box, how):
    command = box.command("burns_cpu", [how], cpu=300 * MS, wall=12000 * MS)
    assert_cpu_over(threat(command), command)


@pytest.mark.parametrize("how", ["relay", "unwaited_children", "double_forked", "exec_chain"])
def test_cpu_of_the_dead_counts(threat, box, how):
    """Each process uses little, all together more than the limit, and the main one exits 0."""
    command = box.command("burns_cpu", [how], cpu=200 * MS, wall=12000 * MS)
    assert_cpu_over(threat(command), command)


@pytest.mark.parametrize("how", ["sleeps", "stops", "blocks_on_pipe", "waits_for_stopped_child", "polls_for_ever"])
def test_waiting_ends_at_the_wall_limit(threat, box, how):
    result = threat(box.command("waits", [how], wall=500 * MS))
    assert (result.status, result["exitStatus"]) == (TIME, 9)
    assert 0.5 < result.wall < 0.8 and result.cpu < 0.03, result


def test_just_over_is_never_accepted(threat, box):
    """Exits 0 by itself 30 ms beyond the limit: 20 of 20 are TLE, and their figures say so."""
    command = box.command("burns_cpu", ["for_ms", 130], cpu=100 * MS, wall=9000 * MS)
    results = threat(*[command] * 20, all_results=True)
    assert {result.status for result in results} == {TIME}
    assert all(0.1 < result.cpu < 0.2 for result in results)


def test_just_under_is_always_accepted(threat, box):
    results = threat(*[box.command("burns_cpu", ["for_ms", 90], cpu=100 * MS)] * 20, all_results=True)
    assert [result.status for result in results] == [OK] * 20
    assert all(0.09 <= result.cpu <= 0.1 for result in results)


def test_wall_just_under_is_always_accepted(threat, box):
    results = threat(*[box.shell("sleep 0.18", wall=280 * MS)] * 10, all_results=True)
    assert [result.status for result in results] == [OK] * 10


def test_system_time_is_reported(threat, box):
    result = threat(box.command("burns_cpu", ["system_for_ms", 200]))
    assert result.status == OK and 0.2 <= result.cpu <= 0.26, result


@pytest.mark.parametrize("how", ["intervals", "handled"])
def test_storms_of_timers_end_at_the_cpu_limit(threat, box, how):
    result = threat(box.command("storms_with_timers", [how], cpu=300 * MS))
    assert result.status == TIME and 0.3 < result.cpu <= 0.9, result


def test_ignored_timers_end_at_the_wall_limit(threat, box):
    """As many as the quota of queued signals allows, and the next run has all of it again."""
    results = threat(*[box.command("storms_with_timers", ["ignored"], wall=400 * MS)] * 2, all_results=True)
    assert [result.status for result in results] == [TIME, TIME]
    assert results[0].out == results[1].out and int(results[0].out) > 0


def test_self_inflicted_signals_are_no_limit(threat, box):
    for number in (9, 24, 14, 26, 27):
        result = threat(box.shell(f"kill -{number} $$"))
        assert (result.status, result["exitStatus"]) == (SIGNALLED, number), result


@pytest.mark.parametrize("option, value", [
    ("--cpu", "0"), ("--cpu", "-1s"), ("--cpu", "1e30s"), ("--cpu", "99999999999999999999s"), ("--cpu", "nan"),
    ("--cpu", ""), ("--wall", "0"), ("--wall", "-5s"), ("--wall", "inf"), ("--cpu", "1s2"), ("--cpu", "18446744073709551615"),
    ("--cpu", "0.0000001ms")])
def test_absurd_limits_never_mean_unlimited(box, host_unchanged, option, value):
    """Rejected with a message, or some limit in its place; the run ends either way."""
    fields = dict(box.shell("sleep 60" if option == "--wall" else "while :; do :; done"), cpu=1000 * MS, wall=2000 * MS)
    line = box.line(fields)
    line[line.index(option) + 1] = value
    import subprocess
    done = subprocess.run(line, stdin=subprocess.DEVNULL, capture_output=True, timeout=30)
    assert done.returncode in (124, 125, 2, 64), done
    if done.returncode != 124:
        assert done.stderr.strip(), "rejected without a word"


@pytest.mark.parametrize("limits", [dict(cpu=0), dict(wall=0), dict(cpu=0, wall=0), dict(cpu=2**64 - 1)])
def test_absurd_limits_in_a_script(box, host_unchanged, limits):
    command = dict(box.command("burns_cpu", ["ignoring_signals"], wall=2000 * MS), **limits)
    try:
        results = box.script([command], timeout=40)
    except AssertionError as rejected:
        assert "exit 0" not in str(rejected)
    else:
        assert results[0].status in (TIME, "Internal Error", "Invalid"), results


def test_absent_limits_are_defaults(box, host_unchanged):
    """10 s of CPU, 21 s of wall time: not tried out to the end, but a program may not see less than it was promised."""
    command = box.command("burns_cpu", ["for_ms", 1200])
    for key in ("cpu", "wall", "memory", "procs"):
        del command[key]
    assert box.script([command], timeout=40)[0].status == OK


def test_reported_time_never_contradicts_the_verdict(threat, box):
    """From far below to far above the limit, in steps of 4 ms."""
    commands = [box.command("burns_cpu", ["for_ms", ms], cpu=60 * MS) for ms in range(30, 94, 4)]
    for result in threat(*commands, all_results=True):
        assert (result.status == TIME) == (result.cpu > 0.06), result
        assert result.status in (OK, TIME) and result.status != NONZERO
