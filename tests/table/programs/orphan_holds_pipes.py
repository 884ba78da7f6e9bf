import os
import sys
import time

with open("/proc/self/status") as status:
    if "NoNewPrivs:\t1" not in status.read() or os.getcwd() != "/w":
        sys.exit("not in a sandbox")

if os.fork() == 0:
    while True:
        time.sleep(3600)
print("parent gone")
