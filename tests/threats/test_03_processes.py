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


GROUPS = """
import os, signal, time

def stops(prepare, number):
    pid = os.fork()
    if pid == 0:
        prepare()
        os.kill(os.getpid(), number)
        os._exit(7)
    status = os.waitpid(pid, os.WUNTRACED)[1]
    if os.WIFSTOPPED(status):
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    return os.WIFSTOPPED(status)

def works(call, *arguments):
    try:
        call(*arguments)
        return True
    except PermissionError:
        return False

print("leads", os.getpgrp() == os.getpid(), works(os.setsid))
print("session", "own" if os.getsid(0) == os.getpid() else os.getsid(0))
stop_signals = signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU
print("stops", [stops(lambda: None, number) for number in stop_signals],
      [stops(os.setpgrp, number) for number in stop_signals], stops(lambda: None, signal.SIGSTOP))
print("alone", [stops(os.setsid, number) for number in stop_signals], stops(os.setsid, signal.SIGSTOP))
pid = os.fork()
if pid == 0:
    os.setsid()
    os._exit(os.getsid(0) == os.getpid() == os.getpgrp())
print("child", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
print("terminal", os.path.exists("/dev/tty"), open("/proc/self/stat").read().split()[6])
"""


@pytest.mark.parametrize("level", ["full", "no-cgroup"])
def test_process_group_and_session(threat, box, level):
    """A run leads a process group, in init's session where control groups share the CPU out, else in one of its own.
    Signals that stop do so as in a shell's job, and as POSIX has it do not where nobody could let go on."""
    result = threat(box.python(GROUPS), options=("--protection", level))
    own = level == "no-cgroup" or result.lines["session"] == "own"
    expected = {"leads": "True False", "session": "own" if own else "1", "child": "1", "terminal": "False 0",
                "stops": f"{[not own] * 3} [True, True, True] True", "alone": "[False, False, False] True"}
    assert result.status == OK, result
    assert {key: text.strip() for key, text in result.lines.items()} == expected


@pytest.mark.parametrize("signal", ["TSTP", "TTIN", "TTOU"])
def test_a_run_that_is_stopped_ends_in_time(threat, box, signal):
    """Or, in a session of its own, is not stopped at all."""
    result = threat(box.shell(f"kill -{signal} $$; exit 5", wall=400 * MS))
    stays = threat(box.shell("read -r _ _ _ _ _ session _ < /proc/self/stat; exit $session"))
    assert result.status == (TIME if stays["exitStatus"] == 1 else NONZERO), (result, stays)
    assert result.wall < 0.6


@pytest.mark.parametrize("number", [9, 15, 18, 19, 20])
def test_signals_to_inits_group_end_only_the_run(threat, box, number):
    """Whoever joins it, the session being the same, sends them to init as well: it takes none."""
    result = threat(box.python(f"""
import os
def attempt(call, *arguments):
    try:
        call(*arguments)
    except PermissionError:
        return False
    return True
print(attempt(os.setpgid, 0, 1) == (os.getsid(0) == 1) == (os.getpgrp() == 1), flush=True)
attempt(os.kill, 1, {number})
attempt(os.kill, 0, {number})
os.fork()
attempt(os.kill, -1, {number})
""", wall=600 * MS))
    assert result.status in (OK, SIGNALLED, TIME) and result.out == "True\n", result
