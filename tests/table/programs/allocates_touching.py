# 256 MiB, a MiB at a time. Exit 3: an allocation was refused.
import sys

kept = []
try:
    for number in range(256):
        kept.append(bytearray(b"x" * (1 << 20)))
except MemoryError:
    sys.exit(3)
