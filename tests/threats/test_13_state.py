"""Class 13: state between runs. `threat` compares what the reference program sees before and after."""
import pytest

from box import MEMORY, MIB, MS, NONZERO, OK, TIME

WAYS = ["files", "hidden_files", "directory_modes", "directory_times", "xattrs", "acls", "flags", "sysv", "mq", "posix_shm",
        "keyring", "abstract_socket", "named_socket", "removed_directory", "renamed_directory", "replaced_directory",
        "open_unlinked", "locks", "leases", "inotify", "hostname", "limits_lowered", "umask", "signals_pending", "timers",
        "process_group", "bytecode", "mount_point_names", "dev_entries", "fifo_in_shm", "semaphores_named", "personality",
        "swapped_mounts", "cwd_held", "executable_memory", "sysv_removed_in_use", "cpu_affinity", "thp", "last_pid"]


@pytest.mark.parametrize("how", WAYS)
def test_nothing_is_left(threat, box, how):
    result = threat(box.command("leaves_state.py", [how], openFiles=128))
    assert result.status == OK, result


def test_no_memory_policy_is_left(threat, box):
    """On what is empty input for one run after the other."""
    for result in threat(*[box.command("binds_memory")] * 4, all_results=True):
        assert result.out in ("found 0\n", "nothing to see\n"), result


def test_cgroup_paths_stay_the_same(threat, box):
    """Whatever is replaced behind the scenes: each run sees itself at the root of its cgroup namespace."""
    look = box.shell("cat /proc/self/cgroup")
    results = threat(look, box.command("bombs", ["count"]), look, box.command("takes_memory", ["touching", 150]), look, all_results=True)
    paths = [{line.split(":", 2)[2] for line in result.out.splitlines()} for result in results[::2]]
    assert paths == [{"/"}] * 3, paths


def test_everything_at_once_ten_times(threat, box):
    for result in threat(*[box.command("leaves_state.py", WAYS, openFiles=256, cpu=3000 * MS)] * 10, all_results=True):
        assert result.status == OK, result


def test_litter_right_after_a_reset(threat, box):
    """A change within the clock tick (4 ms) in which the directory was made fresh: its times do not tell."""
    quick = box.command("touches_quickly", ["write"])
    for how in ("mode", "times", "entry_and_back", "xattr", "swap_names"):
        threat(*[quick, box.command("touches_quickly", [how])] * 10)


def test_limits_are_set_afresh(threat, box):
    """Large after small and small after large, every limit."""
    small = dict(cpu=100 * MS, wall=400 * MS, memory=8 * MIB, procs=2, stack=MIB, output=1000, fileSize=1000, openFiles=8)
    large = dict(cpu=3000 * MS, wall=6000 * MS, memory=256 * MIB, procs=50, stack=128 * MIB, output=MIB, fileSize=64 * MIB, openFiles=200)
    text = "ulimit -n; ulimit -s; ulimit -f"
    first, second, third = threat(box.shell(text, **small), box.shell(text, **large), box.shell(text, **small), all_results=True)
    assert first.out == third.out == "8\n1024\n1\n" or first.out == third.out != second.out, (first, second, third)
    assert second.out.split()[:2] == ["200", str(128 * 1024)], second
    count = lambda limits: box.command("bombs", ["count"], **limits)
    results = threat(count(dict(procs=3)), count(dict(procs=20)), count(dict(procs=3)), all_results=True)
    assert [result.out for result in results] == ["2\n", "19\n", "2\n"]
    memory = lambda limit, size: box.command("takes_memory", ["touching", size], memory=limit * MIB)
    results = threat(memory(100, 80), memory(20, 40), memory(100, 80), memory(20, 40), all_results=True)
    assert [result.status for result in results] == [OK, MEMORY, OK, MEMORY]


def test_figures_start_at_zero(threat, box):
    """Right after runs that used nearly all they had: CPU, memory, processes of a trivial one."""
    heavy = [box.command("burns_cpu", ["for_ms", 900]), box.command("takes_memory", ["touching", 60]), box.command("bombs", ["count"])]
    light = box.command("takes_memory", ["touching", 0])
    results = threat(*[run for big in heavy for run in (big, light)], all_results=True)
    for result in results[1::2]:
        assert result.status == OK and result.cpu < 0.02 and result["memory"] < 4 * MIB and result.get("procPeak", 1) == 1, result


def test_runs_at_the_limit_do_not_add_up(threat, box):
    for result in threat(*[box.command("burns_cpu", ["for_ms", 270], cpu=300 * MS)] * 6, all_results=True):
        assert result.status == OK, result


def test_killed_runs_leave_no_state(threat, box):
    """The poison is interrupted in the middle of its work: by time, memory, output."""
    for text, limits in (("mkdir d; echo x > /tmp/t; ipcmk -M 100000 >/dev/null; while :; do :; done", dict(cpu=100 * MS)),
                         ("while :; do echo $((i=i+1)) > /tmp/f$i; done", dict(cpu=200 * MS)),
                         ("mkdir /dev/shm/d; yes", dict()),
                         ("dd if=/dev/zero of=/tmp/big bs=1M count=15; dd if=/dev/zero of=/dev/shm/b bs=1M count=15; cat /dev/zero | tail", dict(memory=24 * MIB))):
        result = threat(box.shell(text, **limits))
        assert result.status != OK, result


def test_interpreter_caches(threat, box, tmp_path):
    """A module of the last run, and its bytecode, are not imported by the next."""
    evil = tmp_path / "evil.py"
    evil.write_text("print('EVIL')")
    first, second = threat(box.python("import sys; sys.path.insert(0, ''); import helper; import py_compile; py_compile.compile('helper.py')", copyIn={"helper.py": str(evil)}),
                           box.python("import sys; sys.path.insert(0, '')\ntry:\n import helper\nexcept ImportError: print('gone')"), all_results=True)
    assert (first.out, second.out) == ("EVIL\n", "gone\n")


def test_hundred_dirty_runs_stay_fast(threat, box):
    """Cleaning does not pile up: the last ten take no longer than twice the first ten."""
    import time
    commands = [box.shell("echo x > f; mkdir -p /tmp/a/b; echo y > /dev/shm/z")] * 100
    results = threat(*commands, all_results=True)
    assert all(result.status == OK for result in results)
    first, last = (sorted(result["runTime"] for result in part)[5] for part in (results[:10], results[-10:]))
    assert last <= first * 2 + 2 * MS, (first, last)
