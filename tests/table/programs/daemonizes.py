# Leaves a daemon in a session of its own behind, which closed everything and ignores signals.
import os
import signal
import sys
import time

with open("/proc/self/status") as status:
    if "NoNewPrivs:\t1" not in status.read() or os.getcwd() != "/w":
        sys.exit("not in a sandbox")

pid = os.fork()
if pid == 0:
    os.setsid()
    if os.fork() > 0:
        os._exit(0)
    os.closerange(0, 64)
    for number in (1, 2, 3, 13, 15):
        signal.signal(number, signal.SIG_IGN)
    while True:
        time.sleep(3600)
os.waitpid(pid, 0)
print("left a daemon")
