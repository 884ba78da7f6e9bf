import os
import sys
import threading

with open("/proc/self/status") as status:
    if "NoNewPrivs:\t1" not in status.read() or os.getcwd() != "/w":
        sys.exit("not in a sandbox")

threading.stack_size(65536)
made = 0
stay = threading.Event()
try:
    while made < 200:
        threading.Thread(target=stay.wait, daemon=True).start()
        made += 1
except RuntimeError:
    pass
print(made, flush=True)
os._exit(0)
