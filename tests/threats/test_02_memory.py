"""Class 2: memory."""
import json

import pytest

from box import MEMORY, MIB, MS, NONZERO, OK, SIGNALLED

# (how, extra limits): everything that takes memory in another way, 150 MiB or more of it
WAYS = [("touching", {}), ("populate", {}), ("mlock", {}), ("shared_anonymous", {}), ("page_tables", {}),
        ("children", {}), ("threads_stacks", {}), ("dev_shm_files", {}), ("tmp_files", {}), ("work_files", {}),
        ("memfd", {}), ("sysv_shm", {}), ("unlinked_open_files", {}), ("stack", dict(stack=512 * MIB)),
        ("brk", {}), ("mremap", {}), ("exec_arguments", {}), ("sparse_file_mapping", {})]


@pytest.mark.parametrize("how, limits", WAYS, ids=[way[0] for way in WAYS])
def test_all_memory_counts(threat, box, how, limits):
    """150 MiB against a limit of 64: MLE or a refusal (exit 3), and all of it comes back."""
    result = threat(box.command("takes_memory", [how, 150], wall=5000 * MS, cpu=3000 * MS, **limits),
                    memory_tolerance=48 * MIB)
    assert result.status == MEMORY or (result.status, result["exitStatus"]) == (NONZERO, 3), result
    assert result["memory"] <= 68 * MIB, result
    if result.status == MEMORY:
        assert result["memory"] >= 56 * MIB, result


@pytest.mark.parametrize("how", ["pipes", "unix_sockets", "unix_datagrams", "udp", "message_queues", "xattrs", "semaphores",
                                 "epoll_items", "timers", "inotify_watches", "keys", "mq"])
def test_kernel_memory_counts(threat, box, how):
    """As much as the kernel gives: what the program stuffed in is in its figure, or was never given. File locks are not
    among them: Linux charges them to nobody (fs/locks.c), and their lists are so slow that time ends it."""
    result = threat(box.command("stuffs_kernel", [how], memory=48 * MIB, openFiles=256, wall=5000 * MS, cpu=3000 * MS),
                    memory_tolerance=48 * MIB)
    assert result.status in (MEMORY, OK, NONZERO, "Dangerous Syscall"), result
    if result.status == OK:
        stuffed = int(result.lines["stuffed"])
        assert result["memory"] >= stuffed * 0.9, f"{stuffed >> 20} MiB stuffed, {result['memory'] >> 20} MiB counted"


def test_a_killed_child_is_never_plain_ok(threat, box):
    result = threat(box.command("takes_memory", ["one_child", 150]))
    assert result.status == MEMORY, result


def test_reservations_do_not_count(threat, box):
    result = threat(box.command("takes_memory", ["reserve", 100000]))
    assert (result.status, result["memory"] < 8 * MIB) == (OK, True), result


def test_choosing_another_victim(threat, box):
    """Makes itself the last to be killed and init the first, as far as it can."""
    result = threat(box.command("takes_memory", ["oom_score", 150]))
    assert result.status == MEMORY, result


def test_arguments_over_the_limit(threat, box):
    """Out of memory within execve(2), when init still waits for its child: the run ends of it, not the container's use."""
    fields = box.command(["/bin/true"] + ["x" * 120000] * 12, memory=MIB, stack=0, copyOut=["never"])
    result = threat(fields)
    assert (result.status, result["exitStatus"]) == (MEMORY, 9), result
    assert 0.8 * MIB <= result["memory"] <= MIB and result.wall > 0, result
    assert "never" in json.dumps(result["fileError"]), result


def test_limits_below_what_a_process_takes(threat, box):
    """Never our failure, also after a run that has left kernel memory behind."""
    large = box.command("takes_memory", ["touching", 30])
    tight = [box.command(["/bin/true"], memory=kib << 10) for kib in (4, 16, 32)]
    results = threat(*[command for each in tight for command in (large, each)], all_results=True)
    assert [(result.status, result["memory"] <= each["memory"]) for each, result in zip(tight, results[1::2])] == [(MEMORY, True)] * 3
    assert [result.status for result in results[::2]] == [OK] * 3


def test_files_for_the_next_run_are_not_bound_by_this_ones_limit(threat, box):
    many = {f"folder/f{i}": "/etc/passwd" for i in range(1000)}
    results = threat(*[box.command(["/bin/true"], memory=512 << 10),
                       box.command(["/bin/sh", "-c", "ls folder | wc -l"], copyIn=many)] * 2, all_results=True)
    assert [(result.status, result.out) for result in results] == [(OK, ""), (OK, "1000\n")] * 2


def test_peak_is_the_runs_own(threat, box):
    """55 MiB, then a trivial program: its peak starts at zero. Ten times."""
    large = box.command("takes_memory", ["touching", 55])
    small = box.command("takes_memory", ["touching", 0])
    results = threat(*[large, small] * 10, all_results=True)
    for first, second in zip(results[::2], results[1::2]):
        assert first.status == second.status == OK
        assert 55 * MIB - 256 * 1024 <= first["memory"] <= 57.5 * MIB, first
        assert second["memory"] < 4 * MIB, second


def test_peak_is_exact(threat, box):
    """Within 256 KiB + 2 % of what was touched."""
    base = threat(box.command("takes_memory", ["touching", 0]))["memory"]
    for size in (8, 24, 48):
        used = threat(box.command("takes_memory", ["touching", size]))["memory"]
        assert abs(used - base - size * MIB) <= 256 * 1024 + 0.02 * size * MIB, (size, used, base)


def test_too_large_to_load(threat, box):
    for program in ("huge_bss",):
        result = threat(box.command(program))
        assert result.status in (MEMORY, SIGNALLED), result


def test_untouched_bss_is_free(threat, box):
    result = threat(box.command("huge_bss", ["leave"]))
    assert result.status in (OK, MEMORY, SIGNALLED), result


def test_page_cache_is_not_punished(threat, box, tmp_path):
    """200 MiB of input under a limit of 64."""
    big = tmp_path / "big"
    with open(big, "wb") as file:
        for _ in range(200):
            file.write(b"\0" * MIB)
    result = box.run(box.shell("cat | wc -c", cpu=3000 * MS), "--in", str(big))
    assert (result.status, result.out.strip()) == (OK, str(200 * MIB)), result
    assert result["memory"] <= 64 * MIB


def test_many_names_do_not_make_an_mle(threat, box):
    """Negative directory entries are reclaimed like the page cache."""
    result = threat(box.python("import os\nfor i in range(150000): os.path.exists('/tmp/none-%d' % i)", cpu=3000 * MS,
                               wall=5000 * MS))
    assert result.status == OK, result


def test_limits_are_small_as_asked(threat, box):
    """2 MiB to 32 MiB: the limit that was asked for is the one that holds."""
    for size in (4, 8, 16, 32):
        result = threat(box.command("takes_memory", ["touching", size * 2], memory=size * MIB))
        assert result.status == MEMORY and result["memory"] <= (size + 4) * MIB, (size, result)


def test_arguments_of_one_are_no_memory_of_the_next(box, host_unchanged):
    """Without groups the kernel's figure for a process begins with what init had mapped when it started it."""
    small, large = box.command(["/bin/true"]), box.command(["/bin/true", *["x" * 120000] * 40])
    for options in ((), ("--protection", "no-cgroup")):
        first, _, *later = box.script([small, large, small, small], options=options)
        for result in later:
            assert result.status == OK and result["memory"] < first["memory"] + 512 * 1024, (first, result)


@pytest.mark.parametrize("level", ["full", "no-cgroup"])
def test_a_figure_never_contradicts_the_verdict(box, host_unchanged, level):
    """Limits from less than any process takes to more than a small one does."""
    commands = [box.command(["/bin/true"], memory=kib << 10) for kib in (4, 100, 150, 200, 300, 400, 1024)]
    for command, result in zip(commands, box.script(commands, options=("--protection", level))):
        assert result.status in (OK, MEMORY) and result["memory"] <= command["memory"], (command["memory"], result)
