# "hold": takes all it can of what the kernel counts for each user, for two seconds. "need": wants a little of each.
import ctypes
import errno
import os
import signal
import socket
import sys
import time

with open("/proc/self/status") as status:
    if "NoNewPrivs:\t1" not in status.read() or os.getcwd() != "/w":
        sys.exit("not in a sandbox")

libc = ctypes.CDLL(None, use_errno=True)
hold = sys.argv[1] == "hold"
kept = []


def inotify():
    fd = libc.inotify_init1(0)
    if fd < 0:
        raise OSError(ctypes.get_errno(), "")
    return fd


def watches():
    fd = inotify()
    for name in range(3000 if hold else 5):
        os.makedirs(f"/tmp/w{name}", exist_ok=True)
        if libc.inotify_add_watch(fd, b"/tmp/w%d" % name, 0xFFF) < 0:
            raise OSError(ctypes.get_errno(), "")
    return fd


def pending_signals():
    signal.pthread_sigmask(signal.SIG_BLOCK, {35})
    for _ in range(100000 if hold else 10):
        if libc.sigqueue(os.getpid(), 35, 0) < 0:
            raise OSError(ctypes.get_errno(), "")


def message_queue():
    number = libc.msgget(0, 0o1600)
    if number < 0:
        raise OSError(ctypes.get_errno(), "")


def posix_queue():
    queue = ctypes.CDLL("librt.so.1", use_errno=True).mq_open(b"/q%d" % len(kept), os.O_CREAT | os.O_RDWR, 0o600, None)
    if queue < 0:
        raise OSError(ctypes.get_errno(), "")


def pipes():
    import fcntl
    ends = os.pipe()
    fcntl.fcntl(ends[1], 1031, 1 << 20 if hold else 1 << 18)
    return ends


def locked_memory():
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t] + [ctypes.c_int] * 3 + [ctypes.c_long]
    room = libc.mmap(None, 65536, 3, 0x22, -1, 0)
    if libc.mlock(ctypes.c_void_p(room), 65536) < 0:
        raise OSError(ctypes.get_errno(), "")


def descriptors_in_flight():
    import array
    a, b = socket.socketpair()
    a.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0] * (200 if hold else 3)))])
    return a, b


def epoll():
    import select
    poll = select.epoll()
    for fd in list(range(3)):
        try:
            poll.register(fd)
        except (FileExistsError, PermissionError):
            pass
    return poll


def timers():
    timer = ctypes.c_void_p()
    if libc.timer_create(1, None, ctypes.byref(timer)) < 0:
        raise OSError(ctypes.get_errno(), "")


for make in (inotify, watches, pending_signals, message_queue, posix_queue, pipes, locked_memory, descriptors_in_flight, epoll, timers):
    try:
        for _ in range(150 if hold else 2):
            kept.append(make())
    except OSError as error:
        if error.errno == errno.ENOSYS:
            continue  # nobody has it, so nobody can take it away
        print(make.__name__, "refused" if hold else "failed", errno.errorcode.get(error.errno))
if hold:
    time.sleep(2)
