import os
import threading

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
