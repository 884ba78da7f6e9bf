import os
import signal
import sys

with open("/proc/self/status") as status:
    if "NoNewPrivs:\t1" not in status.read() or os.getcwd() != "/w":
        sys.exit("not in a sandbox")

os.kill(os.getpid(), signal.SIGSTOP)
sys.exit(42)  # nobody continues us
