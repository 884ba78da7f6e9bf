# Writes to descriptor argv[1] for ever.
import os
import sys

with open("/proc/self/status") as status:
    if "NoNewPrivs:\t1" not in status.read() or os.getcwd() != "/w":
        sys.exit("not in a sandbox")

block = b"f" * 4096
while True:
    try:
        os.write(int(sys.argv[1]), block)
    except OSError:
        pass
