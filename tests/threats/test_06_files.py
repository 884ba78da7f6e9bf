"""Class 6: copy-in, copy-out, kept artifacts."""
import os

import pytest

from box import FILE_ERROR, INTERNAL, MIB, MS, NONZERO, OK

TARGETS = {
    "symlink_to_passwd": "ln -s /etc/passwd out",
    "symlink_to_shadow": "ln -s /etc/shadow out",
    "symlink_to_file": "echo mine > mine; ln -s mine out",
    "symlink_to_proc": "ln -s /proc/self/environ out",
    "dangling_symlink": "ln -s /nothing out",
    "symlink_loop": "ln -s out out",
    "fifo": "mkfifo out",
    "fifo_with_writer": "mkfifo out; (while :; do echo x > out; done) & sleep 0.1",
    "directory": "mkdir out",
    "socket": "python3 -c \"import socket; s=socket.socket(socket.AF_UNIX); s.bind('out')\"",
    "missing": "true",
    "removed": "echo x > out; rm out",
    "magic_link": "ln -s /proc/1/root/etc/passwd out",
    "self_link": "ln -s /proc/self/exe out",
    "device_link": "ln -s /dev/zero out",
}


@pytest.mark.parametrize("kind", TARGETS)
def test_only_regular_files_come_out(threat, box, kind):
    result = threat(box.shell(TARGETS[kind], copyOut=["out"], memory=128 * MIB))
    assert result.status == FILE_ERROR, result
    assert "out" not in (result.get("files") or {})
    assert [error["name"] for error in result["fileError"]] == ["out"], result
    assert result.wall < 1


PATHS = {
    "symlinked_parent": ("ln -s /etc dir", "dir/passwd"),
    "symlinked_parent_inside": ("mkdir real; echo x > real/out; ln -s real dir", "dir/out"),
    "dotdot_through_link": ("ln -s /usr dir", "dir/../etc/passwd"),
    "absolute_proc_root": ("true", "/proc/1/root/etc/passwd"),
    "absolute_proc_self": ("true", "/proc/self/environ"),
    "absolute_proc_fd": ("true", "/proc/self/fd/3"),
    "many_dotdots": ("true", "../../../../../../../../../etc/shadow"),
    "device": ("true", "/dev/zero"),
    "random": ("true", "/dev/urandom"),
    "kcore": ("true", "/proc/kcore"),
    "masked": ("true", "/proc/keys"),
    "inside_file": ("echo x > out", "out/x"),
}


@pytest.mark.parametrize("kind", PATHS)
def test_paths_lead_nowhere_else(threat, box, kind):
    text, path = PATHS[kind]
    result = threat(box.shell(text, copyOut=[path]))
    assert result.status == FILE_ERROR, result
    assert not [name for name in result.get("files") or {} if name not in ("stdout", "stderr")]


def test_text_dotdots_inside_are_fine(threat, box):
    result = threat(box.shell("mkdir a; echo one > a/x; echo two > /tmp/y", copyOut=["a/../a/./x", "/tmp/y", "../tmp/y"]))
    assert result.status == OK, result
    assert sorted(result["files"][name] for name in ("a/../a/./x", "/tmp/y", "../tmp/y")) == ["one\n", "two\n", "two\n"]


def test_sparse_target(threat, box):
    """1 TiB of nothing: never read to the end."""
    result = threat(box.python("open('out', 'wb').truncate(1 << 40)", copyOut=["out"], fileSize=1 << 41))
    assert result.status in (FILE_ERROR, NONZERO), result
    assert len((result.get("files") or {}).get("out", "")) <= 512 * MIB
    assert result.elapsed < 10


def test_growing_target(threat, box):
    """A daemon writes on while the main process is long gone: what comes out is one state, whole."""
    result = threat(box.shell("(while :; do printf 0123456789 >> out; done) & sleep 0.2; exit 0", copyOut=["out"]))
    assert result.status == OK and set(result["files"]["out"]) <= set("0123456789"), result.status


def test_swapping_target(threat, box):
    """A daemon exchanges the file for a link at full speed: the outcome is the file or a File Error."""
    text = ("echo mine > real; (while :; do ln -sf /etc/passwd out; cp real out2; mv out2 out; done) & sleep 0.1; exit 0")
    for result in threat(*[box.shell(text, copyOut=["out"])] * 10, all_results=True):
        content = (result.get("files") or {}).get("out")
        assert content is None and result.status == FILE_ERROR or content == "mine\n" or content == "", result


def test_owners_modes_do_not_matter(threat, box):
    result = threat(box.shell("echo x > out; chmod 0 out; mkdir d; echo y > d/out; chmod 0 d", copyOut=["out", "d/out"]))
    assert result.status in (OK, FILE_ERROR), result


def test_copy_out_keeps_bytes(threat, box):
    result = threat(box.shell("printf 'a\\0b\\377' > out", copyOut=["out"]))
    assert (result.status, result["files"]["out"]) == (OK, "a\0b\ufffd")


@pytest.mark.parametrize("trap", ["ln -s /etc/passwd x", "ln -s /tmp/elsewhere x", "mkdir x", "mkfifo x", "echo old > x; chmod 0 x",
                                  "ln -s /proc/1/root x", "ln -s /w x", "rm -f x; ln -s /dev/full x",
                                  "mkdir -p /tmp/elsewhere; ln -s /tmp/elsewhere d"])
def test_traps_of_the_last_run_are_gone(threat, box, tmp_path, trap):
    """The next copy-in of the same names meets nothing."""
    source = tmp_path / "new"
    source.write_text("new")
    after = box.shell("cat x d/x; ls -A . d /tmp", copyIn={"x": str(source), "d/x": str(source)})
    first, second = threat(box.shell(trap), after, all_results=True)
    assert (second.status, second.out) == (OK, "newnew.:\nd\nx\n\n/tmp:\n\nd:\nx\n") or \
        (second.status, sorted(second.out.split())) == (OK, sorted("newnew.: d x /tmp: d: x".split())), second


@pytest.mark.parametrize("name, allowed", [("../../../etc/evil", False), ("/etc/evil", False), ("/usr/bin/evil", False),
                                           ("/proc/self/evil", False), ("/dev/null", False), ("/tmp/fine", True),
                                           ("../tmp/fine", True), ("a/b/c/d/fine", True), ("/dev/shm/fine", True), (".", False),
                                           ("..", False), ("/", False), ("/w", False)])
def test_copy_in_targets(threat, box, tmp_path, name, allowed):
    source = tmp_path / "source"
    source.write_text("copied")
    target = os.path.normpath(os.path.join("/w", name))
    result = threat(box.shell(f"cat {target}", copyIn={name: str(source)}))
    if allowed:
        assert (result.status, result.out) == (OK, "copied"), result
    else:
        assert result.status == FILE_ERROR and "started" not in result.out, result


def test_copied_files_belong_to_the_run(threat, box, tmp_path):
    source = tmp_path / "source"
    source.write_text("copied")
    os.chmod(source, 0o000)
    result = threat(box.shell("stat -c '%u %g %a' x; id -u; echo more >> x; cat x", copyIn={"x": str(source)}))
    assert result.status == OK and result.out.split()[0] == "1000" and result.out.endswith("copiedmore\n"), result


def test_missing_source_is_a_file_error(threat, box):
    result = threat(box.shell("echo started", copyIn={"x": "/nothing/here"}))
    assert result.status == FILE_ERROR and result.out == "" and "x" in str(result["fileError"]), result


def test_source_is_not_changed(threat, box, tmp_path):
    source = tmp_path / "source"
    source.write_bytes(b"#!/bin/sh\necho ran\n")
    os.chmod(source, 0o777)
    before = source.stat()
    threat(box.shell("./x; echo evil > x; chmod 0 x; rm x", copyIn={"x": str(source)}))
    assert source.read_bytes() == b"#!/bin/sh\necho ran\n" and source.stat().st_mode == before.st_mode


def test_no_text_file_busy(threat, box):
    """Copy in and run, while the run before left forks of its own: 40 times without ETXTBSY."""
    command = box.command("leaves_behind", ["sleeping_children"])
    for result in threat(*[command] * 40, all_results=True):
        assert result.status == OK, result


@pytest.mark.parametrize("content", [b"", b"\x7fELF", b"#!/nothing\n", b"#!", b"\0" * 100, b"#!" + b"/x" * 3000, b"MZ\x90",
                                     b"\x7fELF\x02\x01\x01\0" + b"\xff" * 200],
                         ids=["empty", "elf_magic", "missing_interpreter", "no_interpreter", "zeros", "long_interpreter", "dos", "bad_elf"])
def test_what_cannot_be_executed(threat, box, tmp_path, content):
    source = tmp_path / "source"
    source.write_bytes(content)
    result = threat(box.command("state_report", copyIn={"x": str(source)}) | dict(args=["./x"]))
    assert result.status not in (OK, "Time Limit Exceeded"), result
    assert result.get("error") or result["exitStatus"], result


def test_work_directory_replaced(threat, box):
    """Attacks on the directory itself between the end and the copy-out."""
    for text in ("cd /; rm -rf /w; mkdir /w", "mv /w /w2", "chmod 0 /w", "cd /; rmdir /w; ln -s /etc /w", "chmod 7777 /w; chown 1000 /w"):
        result = threat(box.shell(text + "; true", copyOut=["passwd"]))
        assert result.status == FILE_ERROR, (text, result)


def test_copy_out_leaves_no_internal_error(threat, box):
    """Names beyond every length, with every byte."""
    for name in ("x" * 255, "x" * 256, "y/" * 2100 + "x", "\n", "\x01\x02", "é", "-"):
        result = threat(box.shell("true", copyOut=[name]))
        assert result.status == FILE_ERROR and result.status != INTERNAL, (name[:20], result)
