"""Class 3: processes, threads, signals."""
import pytest

from box import MEMORY, MS, NONZERO, OK, SIGNALLED, TIME, MIB


@pytest.mark.parametrize("how", ["fork", "threads", "vfork", "chain", "exec"])
def test_bombs(threat, box, how):
    result = threat(box.command("bombs", [how], wall=1500 * MS, cpu=600 * MS))
    assert result.status in (TIME, OK), result
    assert result.get("procPeak", 0) <= 16


def test_shell_fork_bomb(threat, box):
    result = threat(box.shell(":(){ :|:& };: ; wait", wall=1500 * MS, cpu=600 * MS))
    assert result.status in (TIME, OK, NONZERO, MEMORY), result
    assert result.get("procPeak", 0) <= 16


def test_limit_is_exact_and_not_shared_between_runs(threat, box):
    for limit in (1, 2, 5, 16, 40):
        results = threat(*[box.command("bombs", ["count"], procs=limit)] * 3, all_results=True)
        assert [(result.status, result.out) for result in results] == [(OK, f"{limit - 1}\n")] * 3


def test_threads_and_processes_count_together(threat, box):
    result = threat(box.command("bombs", ["count_mixed"]))
    assert (result.status, result.out) == (OK, "15\n")


@pytest.mark.parametrize("how", ["sleeping_children", "daemon", "stopped_child", "ignoring_children", "traced_child",
                                 "held_pipes", "zombies", "phoenix", "vfork_daemon", "shared_memory_daemon",
                                 "subreaper", "odd_exit_signals", "pdeathsig"])
def test_nothing_survives_the_main_process(threat, box, how):
    """The main process leaves with 0 at once, whatever it leaves behind."""
    result = threat(box.command("leaves_behind", [how]))
    assert (result.status, result["exitStatus"]) == (OK, 0), result
    assert result.wall < 1, result


@pytest.mark.parametrize("how, status", [("stops", TIME), ("stopped_by_child", TIME), ("leader_gone", TIME),
                                         ("vfork", TIME), ("traced_stop", (TIME, SIGNALLED)),
                                         ("traced_by_child", (TIME, OK))])
def test_any_state_leads_to_a_result(threat, box, how, status):
    result = threat(box.command("leaves_behind", [how], wall=500 * MS))
    assert result.status in status if isinstance(status, tuple) else result.status == status, result
    assert result.wall < 1.5


@pytest.mark.parametrize("how", ["sibling_exits_42", "sibling_is_killed", "child_exits_42", "orphan_exits_42",
                                 "thread_group_exec"])
def test_status_is_the_main_processs(threat, box, how):
    """Children and siblings (CLONE_PARENT) of the main process end first, with other codes."""
    result = threat(box.command("leaves_behind", [how]))
    assert (result.status, result["exitStatus"], result.out) == (OK, 0, "main\n"), result


def test_attacks_on_init(threat, box):
    """Signals, tracing, memory, limits, scheduling of pid 1 and of nobody: all refused."""
    result = threat(box.command("attacks_init", openFiles=256))
    assert result.status == OK, result
    assert result.out and not [line for line in result.out.splitlines() if line.endswith(" worked")], result.out


def test_killing_everyone(threat, box):
    result = threat(box.shell("sleep 60 & sleep 60 & kill -9 -1; exit 0"))
    assert result.status in (OK, SIGNALLED), result


def test_repeated_bombs_leave_no_zombies(threat, box):
    bomb = box.command("leaves_behind", ["zombies"])
    for result in threat(*[bomb] * 30, all_results=True):
        assert result.status == OK


def test_many_short_processes(threat, box):
    """3,000 pids in one run."""
    result = threat(box.command("leaves_behind", ["short_lived"], cpu=3000 * MS, wall=9000 * MS, memory=64 * MIB))
    assert (result.status, result["exitStatus"]) == (OK, 0), result


@pytest.mark.parametrize("how, code", [("shares_everything", 8), ("memory_outlives_exec", 9), ("untraced", 10), ("sibling", 11),
                                       ("thread_becomes_the_program", 33)])
def test_odd_children_end_with_the_main_process(threat, box, how, code):
    result = threat(box.command("clones_oddly", [how]))
    assert (result.status, result["exitStatus"]) == (NONZERO, code), result
    assert result.wall < 1, result


def test_a_crash_takes_all_threads(threat, box):
    result = threat(box.command("clones_oddly", ["crashes_among_threads"]))
    assert (result.status, result["exitStatus"]) == (SIGNALLED, 6), result
    assert result.wall < 1, result


def test_a_group_that_stops_itself_ends_at_the_wall_limit(threat, box):
    """One stops all, another continues all: whoever wins, the wall limit does."""
    text = "(while :; do kill -CONT 0; done) & kill -STOP 0; sleep 10"
    result = threat(box.shell(text, wall=800 * MS))
    assert result.status == TIME and result.wall < 1.3, result
