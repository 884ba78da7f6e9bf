import os
import signal
import sys

with open("/proc/self/status") as status:
    if "NoNewPrivs:\t1" not in status.read() or os.getcwd() != "/w":
        sys.exit("not in a sandbox")

made = 0
try:
    while made < 200:
        if os.fork() == 0:
            while True:
                signal.pause()
        made += 1
except OSError:
    pass
print(made)
