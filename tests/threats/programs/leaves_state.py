# Leaves a trace in each way that is named. What the kernel refuses is no failure.
import ctypes
import fcntl
import os
import resource
import signal
import socket
import struct
import sys

with open("/proc/self/status") as status:
    if "NoNewPrivs:\t1" not in status.read() or os.getcwd() != "/w":
        sys.exit("not in a sandbox")

libc = ctypes.CDLL(None, use_errno=True)
FOLDERS = ("/w", "/tmp", "/dev/shm")
kept = []


def quiet(make):
    try:
        return make()
    except (OSError, ValueError, AttributeError) as error:
        print("refused", error)


def files():
    for folder in FOLDERS:
        with open(f"{folder}/left", "w") as file:
            file.write("left")


def hidden_files():
    for folder in FOLDERS:
        os.makedirs(f"{folder}/...", 0)
        os.makedirs(f"{folder}/.hidden/deep")


def directory_modes():
    for folder in FOLDERS + ("/", "/dev", "/proc"):
        quiet(lambda: os.chmod(folder, 0o000))
        quiet(lambda: os.chown(folder, os.getuid(), os.getgid()))


def directory_times():
    for folder in FOLDERS:
        quiet(lambda: os.utime(folder, (1, 1)))


def xattrs():
    for folder in FOLDERS:
        quiet(lambda: os.setxattr(folder, "user.probe", b"x"))
        quiet(lambda: os.setxattr(folder, "trusted.probe", b"x"))
        quiet(lambda: os.setxattr(folder, "security.probe", b"x"))


def acls():
    # version 2; owner rwx, user 1000 rwx, group rwx, mask rwx, other rwx
    acl = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", tag, 7, number) for tag, number in
                                          ((1, 2**32 - 1), (2, 1000), (4, 2**32 - 1), (16, 2**32 - 1), (32, 2**32 - 1)))
    for folder in FOLDERS:
        quiet(lambda: os.setxattr(folder, "system.posix_acl_default", acl))
        quiet(lambda: os.setxattr(folder, "system.posix_acl_access", acl))


def flags():
    for folder in FOLDERS:
        fd = os.open(folder, os.O_RDONLY)
        for bits in (0x40, 0x80, 0x10, 0x20):  # nodump, noatime, immutable, append
            quiet(lambda: fcntl.ioctl(fd, 0x40086602, struct.pack("l", bits)))


def sysv():
    for key in (1, 2, 0xDEADBEEF):
        libc.shmget(key, 65536, 0o1666)
        libc.semget(key, 10, 0o1666)
        queue = libc.msgget(key, 0o1666)
        libc.msgsnd(queue, ctypes.create_string_buffer(struct.pack("l", 1) + b"left over"), 9, 0o4000)


def sysv_removed_in_use():
    libc.shmat.restype = ctypes.c_void_p
    segment = libc.shmget(77, 65536, 0o1666)
    libc.shmat(segment, None, 0)
    libc.shmctl(segment, 0, None)


def mq():
    for name in (b"/left", b"/left2"):
        quiet(lambda: ctypes.CDLL("librt.so.1").mq_open(name, os.O_CREAT | os.O_RDWR, 0o600, None))


def posix_shm():
    with open("/dev/shm/psm_left", "wb") as file:
        file.write(b"x" * 100000)


def semaphores_named():
    quiet(lambda: ctypes.CDLL(None).sem_open(b"/left", os.O_CREAT, 0o666, 1))


def keyring():
    for ring in (-1, -2, -3, -4, -5):
        libc.syscall(248, b"user", b"left", b"secret", 6, ring)
    libc.syscall(250, 1, b"left")
    libc.syscall(250, 8, -4, -3)


def abstract_socket():
    one = socket.socket(socket.AF_UNIX)
    one.bind("\0left")
    one.listen()
    kept.append(one)
    if os.fork() == 0:
        os.setsid()
        signal.pause()


def named_socket():
    for folder in FOLDERS:
        one = socket.socket(socket.AF_UNIX)
        one.bind(f"{folder}/socket")
        kept.append(one)


def removed_directory():
    os.chdir("/")
    for folder in FOLDERS:
        quiet(lambda: os.rmdir(folder))


def renamed_directory():
    for folder in FOLDERS:
        quiet(lambda: os.rename(folder, folder + "2"))


def replaced_directory():
    os.chdir("/")
    for folder in FOLDERS:
        quiet(lambda: os.rmdir(folder))
        quiet(lambda: os.symlink("/etc", folder))


def open_unlinked():
    for folder in FOLDERS:
        fd = os.open(f"{folder}/gone", os.O_CREAT | os.O_RDWR)
        os.write(fd, b"x" * 100000)
        os.unlink(f"{folder}/gone")


def locks():
    for path in FOLDERS + ("/usr/bin/env", "/etc/passwd", "/", "/dev/null", "/usr"):
        fd = quiet(lambda: os.open(path, os.O_RDONLY))
        if fd is not None:
            quiet(lambda: fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB))
            quiet(lambda: fcntl.lockf(fd, fcntl.LOCK_SH | fcntl.LOCK_NB))
    if os.fork() == 0:
        os.setsid()
        signal.pause()


def leases():
    fd = os.open("/tmp/leased", os.O_CREAT | os.O_RDONLY)
    quiet(lambda: fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK))


def inotify():
    fd = libc.inotify_init1(0)
    for path in FOLDERS + ("/usr/bin", "/etc", "/"):
        libc.inotify_add_watch(fd, path.encode(), 0xFFF)


def hostname():
    quiet(lambda: socket.sethostname("left"))
    libc.setdomainname(b"left", 4)


def limits_lowered():
    for number in (resource.RLIMIT_CPU, resource.RLIMIT_NOFILE, resource.RLIMIT_MEMLOCK, resource.RLIMIT_SIGPENDING,
                   resource.RLIMIT_MSGQUEUE):
        quiet(lambda: resource.setrlimit(number, (4, 4)))


def umask():
    os.umask(0o777)
    if os.fork() == 0:
        os._exit(0)


def signals_pending():
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    for number in list(range(1, 9)) + list(range(34, 64)):
        libc.sigqueue(os.getpid(), number, 0) if number not in (9, 19) else None


def timers():
    signal.signal(signal.SIGALRM, signal.SIG_IGN)
    signal.signal(signal.SIGVTALRM, signal.SIG_IGN)
    signal.setitimer(signal.ITIMER_REAL, 100, 0.01)
    signal.setitimer(signal.ITIMER_VIRTUAL, 100, 0.01)
    timer = ctypes.c_void_p()
    libc.timer_create(1, None, ctypes.byref(timer))


def process_group():
    if os.fork() == 0:
        os.setpgid(0, 0)
        quiet(lambda: os.tcsetpgrp(0, os.getpgrp()))
        os._exit(0)
    os.wait()


def bytecode():
    os.makedirs("/w/__pycache__", exist_ok=True)
    with open("/w/os.py", "w") as file:
        file.write("print('EVIL')")
    with open("/w/sitecustomize.py", "w") as file:
        file.write("print('EVIL')")


def mount_point_names():
    for name in ("/w/proc", "/tmp/shm", "/dev/shm/w"):
        quiet(lambda: os.symlink("/proc/self/root", name))


def dev_entries():
    for name in ("/dev/left", "/dev/null2", "/etc/left", "/run/left", "/usr/left"):
        quiet(lambda: os.close(os.open(name, os.O_CREAT | os.O_WRONLY)))


def fifo_in_shm():
    os.mkfifo("/dev/shm/fifo")


def personality():
    libc.personality(0x0040000)


def swapped_mounts():
    libc.syscall(316, -100, b"/tmp", -100, b"/w", 2)  # renameat2 EXCHANGE
    libc.mount(b"/tmp", b"/w", None, 4096, None)
    libc.umount2(b"/tmp", 2)


def cwd_held():
    os.makedirs("/tmp/held/deep")
    if os.fork() == 0:
        os.chdir("/tmp/held/deep")
        signal.pause()
    os.chdir("/tmp/held")


def executable_memory():
    fd = os.memfd_create("left", 0)
    os.write(fd, b"#!/bin/sh\nsleep 100\n")
    if os.fork() == 0:
        quiet(lambda: os.execve(f"/proc/self/fd/{fd}", ["left"], {}))
        os._exit(0)


def cpu_affinity():
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    os.nice(10)


def thp():
    libc.prctl(41, 1, 0, 0, 0)
    libc.prctl(36, 1, 0, 0, 0)
    libc.prctl(4, 0, 0, 0, 0)


def last_pid():
    for _ in range(100):
        if os.fork() == 0:
            os._exit(0)
        os.wait()


for way in sys.argv[1:]:
    os.chdir("/")
    if way == "limits_lowered" and len(sys.argv) > 2:
        continue  # would stop the others
    quiet(globals()[way])
os._exit(0)
