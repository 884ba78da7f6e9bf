# 200 MiB of anonymous shared memory, touched. Exit 3: refused.
import mmap
import os
import sys

with open("/proc/self/status") as status:
    if "NoNewPrivs:\t1" not in status.read() or os.getcwd() != "/w":
        sys.exit("not in a sandbox")

try:
    room = mmap.mmap(-1, 200 << 20)
except OSError:
    sys.exit(3)
for at in range(200):
    room[at << 20:(at + 1) << 20] = b"x" * (1 << 20)
