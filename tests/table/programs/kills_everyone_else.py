# kill(-1, SIGKILL) reaches every process it may signal but itself; init has to stay.
import os
import sys

with open("/proc/self/status") as status:
    if "NoNewPrivs:\t1" not in status.read() or os.getcwd() != "/w":
        sys.exit("not in a sandbox")

try:
    os.kill(-1, 9)
except OSError:
    pass
for number in range(1, 65):
    try:
        os.kill(1, number)
    except OSError:
        pass
print("alone")
