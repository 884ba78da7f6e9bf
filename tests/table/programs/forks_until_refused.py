import os
import signal

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
