"""Class 12: privileges, devices, kernel interfaces."""
import os
import re
import subprocess

import pytest

from box import MIB, MS, NONZERO, OK, SIGNALLED


def test_only_harmless_devices(threat, box):
    code = ("import os, stat\nfor folder, folders, names in os.walk('/'):\n"
            " folders[:] = [f for f in folders if os.path.join(folder, f) not in ('/proc', '/usr', '/sys')]\n"
            " for name in names + folders:\n  p = os.path.join(folder, name)\n"
            "  try: s = os.lstat(p)\n  except OSError: continue\n"
            "  if stat.S_ISCHR(s.st_mode) or stat.S_ISBLK(s.st_mode):\n"
            "   print(p, 'b' if stat.S_ISBLK(s.st_mode) else 'c', os.major(s.st_rdev), os.minor(s.st_rdev))")
    result = threat(box.python(code, cpu=5000 * MS, wall=15000 * MS))
    assert result.status == OK
    allowed = {"c 1 3", "c 1 5", "c 1 7", "c 1 8", "c 1 9"}
    for line in result.out.splitlines():
        assert line.split(" ", 1)[1] in allowed, result.out
    assert "/dev/null c 1 3" in result.out and "/dev/urandom c 1 9" in result.out


def test_devices_work_as_they_should(threat, box):
    text = "echo x > /dev/null && head -c 3 /dev/zero | od -c | head -1 && head -c 8 /dev/urandom | wc -c && ! echo x > /dev/full; exec 3<>/dev/null && echo both"
    result = threat(box.shell(text))
    assert result.status == OK and "both" in result.out and "8" in result.out, result


def test_set_id_programs_give_nothing(threat, box):
    text = "for p in su passwd mount umount newgrp chsh chfn gpasswd sudo pkexec; do f=$(command -v $p) && ls -l $f; done; su -c id </dev/null; id -u; id -ru"
    result = threat(box.shell(text))
    assert result.out.split()[-2:] == ["1000", "1000"], result


def test_crashes_leave_no_core(threat, box, tmp_path):
    """In every way to ask for one; neither inside, nor where cjudge was started."""
    code = ("import os, resource, signal\n"
            "try: resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY,) * 2); print('raised')\nexcept (ValueError, OSError): print('refused')\n"
            "try: open('/proc/self/coredump_filter', 'w').write('0x7f')\nexcept OSError: pass\n"
            "for s in (3, 4, 6, 7, 8, 11, 31):\n"
            " if os.fork() == 0: os.chdir('/tmp'); os.kill(os.getpid(), s)\n os.wait()\n"
            "print(os.listdir('/tmp'), os.listdir('/w'))\nos.kill(os.getpid(), 11)")
    before = set(os.listdir("."))
    result = threat(box.python(code))
    assert (result.status, result["exitStatus"]) == (SIGNALLED, 11), result
    fresh = box.run(box.python("import os; os.abort()"), cwd=tmp_path)
    assert (fresh.status, fresh["exitStatus"], os.listdir(tmp_path)) == (SIGNALLED, 6, [])
    result = threat(box.shell("kill -SEGV $$", copyOut=["core"]))
    assert "core" not in (result.get("files") or {})
    assert set(os.listdir(".")) == before


def kernel_log_size():
    done = subprocess.run(["dmesg"], capture_output=True)
    return len(done.stdout) if done.returncode == 0 else None


def test_kernel_log_does_not_grow(threat, box):
    """3,000 crashes, odd system calls, 64 MiB written to /dev/kmsg if that were possible."""
    before = kernel_log_size()
    if before is None:
        pytest.skip("dmesg is not readable here")
    code = ("import os\nfor i in range(700):\n p = os.fork()\n if p == 0:\n  import ctypes; ctypes.string_at(8)\n os.waitpid(p, 0)\n"
            "try:\n f = open('/dev/kmsg', 'w')\n [f.write('x' * 900 + '\\n') for _ in range(10000)]\nexcept OSError: pass")
    threat(box.python(code, cpu=4000 * MS, wall=9000 * MS))
    assert abs(kernel_log_size() - before) < MIB


@pytest.mark.parametrize("name", ["nice_up", "nice_group", "fifo", "rr", "deadline", "batch_then_other", "ioprio_realtime",
                                  "affinity_all", "affinity_others", "rtprio_limit", "nice_limit", "autogroup", "uclamp",
                                  "sched_reset", "memlock_limit", "timer_slack_of_init", "cpu_latency", "core_sched"])
def test_priority_cannot_be_improved(box, improvements, name):
    assert name in improvements and improvements[name].strip() != "improved", improvements.get(name)


@pytest.fixture(scope="module")
def improvements(box):
    result = box.script([box.command("improves_itself.py")])[0]
    assert result.status == OK, result
    return result.lines


def test_priorities_do_not_last(threat, box):
    """Worse priorities are allowed, and gone with the run."""
    assert threat(box.command("improves_itself.py")).status == OK
    result = threat(box.python("import os\nos.nice(19)\nos.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))\nos.sched_setaffinity(0, {min(os.sched_getaffinity(0))})"))
    assert result.status == OK


def test_sensitive_proc_files(threat, box):
    paths = ["/proc/kcore", "/proc/kmsg", "/proc/kpagecount", "/proc/kpageflags", "/proc/timer_list", "/proc/sched_debug", "/proc/acpi",
             "/proc/scsi", "/proc/vmallocinfo", "/proc/slabinfo", "/proc/1/environ", "/proc/sysrq-trigger", "/proc/iomem/x", "/sys/kernel/debug",
             "/sys/firmware", "/proc/latency_stats", "/proc/config.gz/x", "/proc/dynamic_debug/control", "/proc/asound"]
    code = "import os\nfor p in %r:\n try:\n  d = os.listdir(p) if os.path.isdir(p) else open(p, 'rb').read(10)\n  print(p, len(d)) if d else None\n except OSError: pass" % paths
    result = threat(box.python(code))
    assert (result.status, result.out) == (OK, ""), result


def test_kernel_addresses_do_not_show(threat, box):
    result = threat(box.shell("head -3 /proc/kallsyms; cat /proc/modules | head -3; cat /proc/self/stack /proc/self/wchan", output=MIB))
    for address in re.findall(r"\b(?:0x)?[0-9a-f]{16}\b", result.out):
        assert int(address, 16) == 0, result.out


def test_hardware_clock_and_entropy(threat, box):
    result = threat(box.python("import time\nfor clock in (time.CLOCK_REALTIME, time.CLOCK_MONOTONIC, time.CLOCK_BOOTTIME):\n"
                               " try: time.clock_settime(clock, 0); print('worked')\n except OSError as e: print(e.errno)"))
    assert result.status == OK and "worked" not in result.out
