"""Class 8: file system view, mounts and namespaces."""
import glob
import os
import socket

import pytest

from box import MIB, MS, OK


@pytest.fixture(scope="module")
def escapes(box, cjudge):
    """One run that tries every way out; each test looks at its part."""
    result = box.script([box.command("escapes", output=256 << 10, procs=64)])[0]
    assert result.status == OK, result
    return [line.split(" ", 2) for line in result.out.splitlines()]


GROUPS = ["mount", "namespace", "root", "handle", "cgroup", "proc", "device", "write"]


@pytest.mark.parametrize("group", GROUPS)
def test_no_way_out(escapes, group):
    tried = [entry for entry in escapes if entry[0].split(":")[0] == group]
    assert len(tried) >= 3
    assert not [entry for entry in tried if entry[1] == "worked"], tried


def test_escape_attempts_leave_no_trace(threat, box):
    assert threat(box.command("escapes", output=256 << 10, procs=64)).status == OK


def test_mounts_are_nosuid_nodev_and_tell_nothing(threat, box, cjudge):
    result = threat(box.shell("cat /proc/self/mountinfo; echo ==; cat /proc/mounts"))
    info = result.out.split("==\n")[0].splitlines()
    assert len(info) > 5
    for line in info:
        fields = line.split()
        options, target = set(fields[5].split(",")), fields[4]
        assert "nosuid" in options, line
        if not target.startswith("/dev/") or target == "/dev/shm":
            assert "nodev" in options, line
        if target not in ("/w", "/tmp", "/dev/shm") and not target.startswith("/dev/"):
            assert "ro" in options, line
        # shared or slave mounts would carry the host's changes in, or ours out
        assert not [field for field in fields[6:] if field.startswith(("shared:", "propagate_from:"))], line
    for secret in (os.path.dirname(cjudge), os.getcwd(), "/root", "/home", str(os.getpid())):
        assert secret == "/" or f" {secret} " not in result.out, secret


def test_writable_places_are_capped(threat, box):
    result = threat(box.python("import os\nfor p in ('/w','/tmp','/dev/shm'):\n s=os.statvfs(p); print(p, s.f_blocks*s.f_frsize, s.f_files)"))
    for line in result.out.splitlines():
        path, size, inodes = line.split()
        assert 0 < int(size) <= 256 * MIB and 0 < int(inodes) <= 65536, line


def test_host_files_are_absent(threat, box, tmp_path):
    planted = tmp_path / "planted"
    planted.write_text("x")
    paths = ["/etc/shadow", "/root/.ssh", "/home", "/var/log", "/boot", str(planted), os.path.abspath(__file__), "/run/systemd",
             "/run/dbus", "/var/run/docker.sock", "/etc/ssh", "/var/lib/dpkg", "/srv", "/sys/fs/cgroup", "/sys/kernel", "/etc/machine-id"]
    code = "import os\nfor p in %r:\n try:\n  n = len(os.listdir(p)) if os.path.isdir(p) else len(open(p,'rb').read())\n  print(p, n) if n else None\n except OSError: pass" % paths
    result = threat(box.python(code))
    assert (result.status, result.out) == (OK, ""), result


def test_names_of_the_host_do_not_show(threat, box):
    result = threat(box.shell("hostname; cat /proc/sys/kernel/hostname; uname -n; cat /etc/hostname 2>/dev/null; cat /proc/self/cgroup"))
    host = socket.gethostname()
    assert host not in result.out.split(), result
    assert "cjudge/" not in result.out, "the cgroup path discloses the host's"


def test_locks_of_the_host_do_not_show(threat, box, tmp_path):
    """/proc/locks has no namespace for locks of open file descriptions: device, inode and range are the host's."""
    import fcntl
    import struct
    with open(tmp_path / "locked", "w") as file:
        fcntl.fcntl(file, 37, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 4711, 8, 0))  # F_OFD_SETLK
        result = threat(box.shell("cat /proc/locks"))
    assert result.out == "", result.out


def test_own_cgroup_is_out_of_reach(threat, box):
    """No control file can be seen for writing, in /sys or by a mount of its own."""
    result = threat(box.shell("find / -name 'cgroup.procs' -o -name 'memory.max' -o -name release_agent "
                              "-o -name memory.limit_in_bytes 2>/dev/null | while read f; do [ -w $f ] && echo $f; done; true",
                              cpu=10000 * MS, wall=30000 * MS))
    assert (result.status, result.out) == (OK, ""), result


def test_processes_of_the_host_do_not_show(threat, box):
    result = threat(box.shell("ls /proc | grep -c '^[0-9]'; cat /proc/1/comm; cat /proc/loadavg"))
    assert int(result.out.split()[0]) <= 6, result


def test_deleted_and_held_directories(threat, box):
    """A working directory that is deleted, or held open, must not lead anywhere for the next run."""
    result = threat(box.shell("mkdir -p /tmp/a/b; cd /tmp/a/b; rm -rf /tmp/a; ls ../../..; cat ../../../etc/shadow; true"))
    assert result.status == OK and "root:" not in result.out
