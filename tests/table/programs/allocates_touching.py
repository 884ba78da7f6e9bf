# 256 MiB, a MiB at a time. Exit 3: an allocation was refused.
import os
import sys

with open("/proc/self/status") as status:
    if "NoNewPrivs:\t1" not in status.read() or os.getcwd() != "/w":
        sys.exit("not in a sandbox")

kept = []
try:
    for number in range(256):
        kept.append(bytearray(b"x" * (1 << 20)))
except MemoryError:
    sys.exit(3)
