# Children burn argv[1] ms of CPU each, one after another, and nobody waits for them.
import os
import signal
import sys
import time

signal.signal(signal.SIGCHLD, signal.SIG_IGN)
for _ in range(3):
    reader, writer = os.pipe()
    if os.fork() == 0:
        os.close(reader)
        while time.process_time() < float(sys.argv[1]) / 1000:
            pass
        os._exit(0)
    os.close(writer)
    os.read(reader, 1)
    os.close(reader)
