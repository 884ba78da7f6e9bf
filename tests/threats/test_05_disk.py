"""Class 5: disk space, inodes and names."""
import os

import pytest

from box import MEMORY, MIB, MS, NONZERO, OK, OUTPUT, SIGNALLED, TIME


@pytest.mark.parametrize("how", ["empty_files", "deep_directories", "wide_directories", "hard_links", "symlinks", "fifos",
                                 "odd_names", "unreadable", "sparse", "renames", "long_names", "sockets", "fallocated",
                                 "mode_zero_nest", "swapped_directories", "busy_files"])
def test_litter_is_removed(threat, box, how):
    """In all three writable directories until the kernel refuses. The reference that follows finds none of
    it, and the container is usable again within 5 s."""
    command = box.command("litters", [how], wall=4000 * MS, cpu=3000 * MS, memory=128 * MIB)
    result = threat(command)
    assert result.status in (OK, NONZERO, MEMORY, TIME), result
    assert result.elapsed < result.wall + 5 + 2, result.elapsed


def test_inodes_are_capped(threat, box):
    result = threat(box.command("litters", ["empty_files"], wall=4000 * MS, cpu=3000 * MS, memory=256 * MIB))
    assert result.status == OK and 0 < int(result.lines["made"]) <= 3 * 4096, result


def test_space_is_capped_in_total(threat, box):
    """With memory to spare the directories themselves say stop: ENOSPC."""
    for folder in ("/tmp", "/dev/shm", "/w"):
        result = threat(box.command("litters", ["space", folder], wall=5000 * MS, cpu=3000 * MS, memory=1024 * MIB),
                        memory_tolerance=64 * MIB)
        assert result.status == OK and result.lines["stopped"].strip() == "ENOSPC", result
        assert 0 < int(result.lines["made"]) <= 256, result


def test_only_the_documented_directories_are_writable(threat, box):
    result = threat(box.command("finds_writable.py", cpu=10000 * MS, wall=30000 * MS, output=MIB))
    assert result.status == OK, result
    assert set(result.out.split()) == {"/w", "/tmp", "/dev/shm"}, result.out


def test_file_size_limit(threat, box):
    result = threat(box.shell("dd if=/dev/zero of=big bs=1M count=32", fileSize=4 * MIB))
    assert result.status in (OUTPUT, SIGNALLED) and result["exitStatus"] == 25 or result.status == NONZERO, result
    result = threat(box.python("import os,sys\nf=open('big','wb')\ntry:\n f.truncate(1<<40)\nexcept OSError as e: sys.exit(e.errno)",
                               fileSize=4 * MIB))
    assert (result.status, result["exitStatus"]) in ((NONZERO, 27), (OUTPUT, 25), (SIGNALLED, 25)), result


def test_names_reach_no_shell(threat, box, tmp_path):
    """Names that a shell or a log would trip over; also as names of copied files."""
    names = ["$(touch x)", "`id`", "; rm -rf x", "-rf", "a\nb", "\x1b[2J", "x" * 255, "a'b\"c", "..x", " ", "*"]
    source = tmp_path / "content"
    source.write_text("content")
    for name in names:
        result = threat(box.python("import os,sys; sys.stdout.write(open(os.listdir('.')[0]).read())",
                                   copyIn={name: str(source)}, copyOut=[name]))
        assert (result.status, result.out) == (OK, "content"), (name, result)
        assert result["files"][name] == "content"


def test_disk_activity_does_not_last(threat, box):
    """The reference after a run that wrote all it could is as fast as before (threat checks its CPU)."""
    threat(*[box.command("litters", ["space", "/tmp"], wall=5000 * MS, memory=1024 * MIB)] * 2)


def test_twenty_litterers_in_a_row(threat, box):
    command = box.command("litters", ["odd_names"], memory=128 * MIB, wall=3000 * MS)
    for result in threat(*[command] * 20, all_results=True):
        assert result.status in (OK, NONZERO), result
