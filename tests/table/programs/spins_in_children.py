import os
import sys

with open("/proc/self/status") as status:
    if "NoNewPrivs:\t1" not in status.read() or os.getcwd() != "/w":
        sys.exit("not in a sandbox")

for _ in range(3):
    if os.fork() == 0:
        while True:
            pass
for _ in range(3):
    os.wait()
