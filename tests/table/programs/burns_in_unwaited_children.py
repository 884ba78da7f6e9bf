# Children burn 0.3 s of CPU each, one after another, and nobody waits for them.
import os
import signal
import time

signal.signal(signal.SIGCHLD, signal.SIG_IGN)
for _ in range(3):
    reader, writer = os.pipe()
    if os.fork() == 0:
        os.close(reader)
        while time.process_time() < 0.3:
            pass
        os._exit(0)
    os.close(writer)
    os.read(reader, 1)
    os.close(reader)
