# 10 System V segments of 20 MiB, touched and left behind. Exit 3: refused.
import ctypes
import os
import sys

with open("/proc/self/status") as status:
    if "NoNewPrivs:\t1" not in status.read() or os.getcwd() != "/w":
        sys.exit("not in a sandbox")

libc = ctypes.CDLL(None, use_errno=True)
libc.shmat.restype = ctypes.c_void_p
for _ in range(10):
    segment = libc.shmget(0, 20 << 20, 0o1600)
    room = libc.shmat(segment, None, 0) if segment >= 0 else ctypes.c_void_p(-1).value
    if room == ctypes.c_void_p(-1).value:
        sys.exit(3)
    ctypes.memset(room, 1, 20 << 20)
    libc.shmdt(ctypes.c_void_p(room))
