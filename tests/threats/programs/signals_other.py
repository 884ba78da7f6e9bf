# Two of these run at the same time in two boxes: "send CHANNEL" makes itself noticed for a second, "hear CHANNEL"
# looks for it and prints "silence" or what it heard.
import ctypes
import fcntl
import os
import signal
import socket
import struct
import sys
import time

with open("/proc/self/status") as status:
    if "NoNewPrivs:\t1" not in status.read() or os.getcwd() != "/w":
        sys.exit("not in a sandbox")

libc = ctypes.CDLL(None, use_errno=True)
SHARED = ["/usr/bin/env", "/usr/bin/python3.11", "/etc/ld.so.cache", "/usr/lib", "/usr", "/dev/null", "/dev/zero", "/", "/etc/passwd", "/proc"]
role, channel = sys.argv[1:3]
sending = role == "send"
end = time.monotonic() + (1.6 if sending else 1.2)
heard = set()
held = []


def quiet(make):
    try:
        return make()
    except (OSError, ValueError, AttributeError):
        return None


def opened():
    return [(path, fd) for path in SHARED if (fd := quiet(lambda: os.open(path, os.O_RDONLY))) is not None]


def files():
    for folder in ("/w", "/tmp", "/dev/shm", "/var/tmp", "/run/lock", "/dev", "/dev/mqueue"):
        if sending:
            quiet(lambda: open(f"{folder}/signal", "w").close())
        elif os.path.exists(f"{folder}/signal"):
            heard.add(folder)


def flock_shared():
    for path, fd in opened():
        if sending:
            quiet(lambda: fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB))
            held.append(fd)
        else:
            try:
                fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                heard.add(path)
            os.close(fd)


def posix_lock_shared():
    for path, fd in opened():
        lock = struct.pack("hhqqi4x", fcntl.F_RDLCK if sending else fcntl.F_WRLCK, 0, 0, 0, 0)
        if sending:
            quiet(lambda: fcntl.fcntl(fd, 37, lock))  # F_OFD_SETLK
            quiet(lambda: fcntl.fcntl(fd, fcntl.F_SETLK, lock))
            held.append(fd)
        else:
            for command in (36, fcntl.F_GETLK):
                answer = quiet(lambda: fcntl.fcntl(fd, command, lock))
                if answer is not None and struct.unpack("hhqqi4x", answer)[0] != fcntl.F_UNLCK:
                    heard.add(path)
            os.close(fd)


def watch(descriptor, add):
    if sending:
        for path, fd in opened():
            quiet(lambda: os.read(fd, 1))
            quiet(lambda: os.listdir(fd))
            os.close(fd)
        quiet(lambda: os.stat("/usr/bin/env"))
        return
    if not held:
        held.append(descriptor())
        if held[0] is not None and held[0] >= 0:
            os.set_blocking(held[0], False)
            add(held[0])
    data = quiet(lambda: os.read(held[0], 65536)) if held[0] is not None and held[0] >= 0 else None
    if data:
        heard.add("event")


def inotify_shared():
    # /usr/bin/env is opened by the sender only; interpreters and libraries could be our own accesses
    watch(lambda: libc.inotify_init1(0), lambda fd: [libc.inotify_add_watch(fd, path, 0x1 | 0x20 | 0x10)
                                                     for path in (b"/usr/bin/env", b"/etc/ld.so.cache")])


def fanotify_shared():
    watch(lambda: libc.fanotify_init(0x200, 0), lambda fd: libc.fanotify_mark(fd, 1, ctypes.c_uint64(0x21), -100, b"/usr/bin/env"))


def dnotify_shared():
    if sending:
        return watch(None, None)
    if not held:
        signal.signal(signal.SIGIO, lambda *_: heard.add("SIGIO"))
        held.append(os.open("/usr/bin", os.O_RDONLY))
        quiet(lambda: fcntl.fcntl(held[0], fcntl.F_NOTIFY, fcntl.DN_ACCESS | fcntl.DN_MULTISHOT | fcntl.DN_ATTRIB))


def lease_shared():
    for path, fd in opened():
        if sending:
            quiet(lambda: fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK))
            held.append(fd)
        else:
            if quiet(lambda: fcntl.fcntl(fd, fcntl.F_GETLEASE)) == fcntl.F_RDLCK:
                heard.add(path)
            os.close(fd)


def input_lock():
    if sending:
        quiet(lambda: fcntl.flock(0, fcntl.LOCK_EX | fcntl.LOCK_NB))
        quiet(lambda: fcntl.fcntl(0, 37, struct.pack("hhqqi4x", fcntl.F_RDLCK, 0, 0, 0, 0)))
        return
    try:
        fcntl.flock(0, fcntl.LOCK_SH | fcntl.LOCK_NB)
        fcntl.flock(0, fcntl.LOCK_UN)
    except BlockingIOError:
        heard.add("flock")
    answer = quiet(lambda: fcntl.fcntl(0, 36, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 0, 0, 0)))
    if answer is not None and struct.unpack("hhqqi4x", answer)[0] != fcntl.F_UNLCK:
        heard.add("lock")


def input_events():
    if sending:
        fd = os.open("/proc/self/fd/0", os.O_RDONLY)
        os.read(fd, 10)
        os.close(fd)
    elif not held:
        held.append(libc.inotify_init1(0o4000))
        libc.inotify_add_watch(held[0], b"/proc/self/fd/0", 0xFFF)
    elif quiet(lambda: os.read(held[0], 4096)):
        heard.add("event")


def abstract_socket():
    one = socket.socket(socket.AF_UNIX)
    if sending:
        quiet(lambda: (one.bind("\0signal"), one.listen()))
        held.append(one)
    elif quiet(lambda: one.connect("\0signal") or True):
        heard.add("connected")


def loopback():
    one = socket.socket()
    if sending:
        quiet(lambda: (one.bind(("127.0.0.1", 4712)), one.listen()))
        held.append(one)
    else:
        one.settimeout(0.2)
        if quiet(lambda: one.connect(("127.0.0.1", 4712)) or True):
            heard.add("connected")


def sysv():
    for get in (libc.shmget, libc.semget):
        if sending:
            get(4713, 4096, 0o1666)
        elif get(4713, 0, 0) >= 0:
            heard.add("found")
    if sending:
        libc.msgget(4713, 0o1666)
    elif libc.msgget(4713, 0) >= 0:
        heard.add("queue")


def mq():
    rt = ctypes.CDLL("librt.so.1")
    if sending:
        rt.mq_open(b"/signal", os.O_CREAT | os.O_RDWR, 0o666, None)
    elif rt.mq_open(b"/signal", os.O_RDONLY) >= 0:
        heard.add("queue")


def keyring():
    for ring in (-3, -4, -5):
        if sending:
            libc.syscall(248, b"user", b"signal", b"x", 1, ring)
        elif libc.syscall(250, 10, ring, b"user", b"signal", 0) >= 0:
            heard.add(ring)
    if not sending and "signal" in (quiet(lambda: open("/proc/keys").read()) or ""):
        heard.add("/proc/keys")


def process_table():
    if sending:
        libc.prctl(15, b"signal-me", 0, 0, 0)
        return
    for pid in filter(str.isdigit, os.listdir("/proc")):
        if "signal-me" in (quiet(lambda: open(f"/proc/{pid}/comm").read()) or ""):
            heard.add(pid)


def signals():
    if sending:
        for pid in list(range(2, 400)) + [-1]:
            if pid != os.getpid():
                quiet(lambda: os.kill(pid, signal.SIGUSR1))
    elif not held:
        held.append(1)
        signal.signal(signal.SIGUSR1, lambda *_: heard.add("SIGUSR1"))


def user_limits_file():
    """SigQ in /proc/self/status counts by user."""
    if sending:
        if not held:
            signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
            for _ in range(200):
                libc.sigqueue(os.getpid(), 35, 0)
            held.append(1)
    else:
        text = open("/proc/self/status").read()
        if int(text.split("SigQ:")[1].split("/")[0]) > 20:
            heard.add("SigQ")


def mount_namespace_files():
    """Files of /proc that belong to a namespace, not to a process: locks on them cross boxes (isolate 2.4)."""
    for path in ("/proc/self/ns/net", "/proc/self/ns/user", "/proc/self/ns/mnt", "/proc/self/ns/time", "/proc/self/ns/cgroup",
                 "/proc/self/ns/uts", "/proc/version", "/proc/cpuinfo", "/proc/sys/kernel/osrelease", "/proc/filesystems",
                 "/dev/full", "/dev/urandom", "/proc/sys", "/dev/shm", "/tmp", "/proc/1/ns/time", "/proc/uptime"):
        fd = quiet(lambda: os.open(path, os.O_RDONLY))
        if fd is None:
            continue
        if sending:
            quiet(lambda: fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB))
            held.append(fd)
        else:
            try:
                fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                heard.add(path)
            os.close(fd)


def shared_file_times():
    """Access times of shared files, where they are kept."""
    if sending:
        for path, fd in opened():
            quiet(lambda: os.read(fd, 100))
            quiet(lambda: os.utime(fd))
            os.close(fd)
    else:
        for path in ("/usr/bin/env", "/dev/null", "/dev/full"):
            now = os.stat(path).st_mtime_ns, os.stat(path).st_ctime_ns
            if not held or dict(held).setdefault(path, now) == now:
                held.append((path, now))
            else:
                heard.add(path)


def proc_locks():
    if sending:
        return flock_shared()
    if quiet(lambda: open("/proc/locks").read()):
        heard.add("/proc/locks")


while time.monotonic() < end:
    globals()[channel]()
    time.sleep(0.01 if len(held) < 30 else 0.1)
    if len(held) > 40 and sending:
        time.sleep(max(0, end - time.monotonic()))
print("sent" if sending else "heard " + str(heard) if heard else "silence")
