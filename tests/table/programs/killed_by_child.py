import os
import signal
import sys

with open("/proc/self/status") as status:
    if "NoNewPrivs:\t1" not in status.read() or os.getcwd() != "/w":
        sys.exit("not in a sandbox")

parent = os.getpid()
if os.fork() == 0:
    os.kill(parent, signal.SIGKILL)
    os._exit(0)
while True:
    signal.pause()
