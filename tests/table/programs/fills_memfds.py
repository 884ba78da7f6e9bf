# 25 memory files of 8 MiB. Exit 3: refused.
import os
import sys

block = b"x" * (1 << 20)
try:
    for _ in range(25):
        fd = os.memfd_create("fill")
        for _ in range(8):
            os.write(fd, block)
except OSError:
    sys.exit(3)
