# 25 memory files of 8 MiB. Exit 3: refused.
import os
import sys

with open("/proc/self/status") as status:
    if "NoNewPrivs:\t1" not in status.read() or os.getcwd() != "/w":
        sys.exit("not in a sandbox")

block = b"x" * (1 << 20)
try:
    for _ in range(25):
        fd = os.memfd_create("fill")
        for _ in range(8):
            os.write(fd, block)
except OSError:
    sys.exit(3)
