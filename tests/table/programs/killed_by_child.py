import os
import signal

parent = os.getpid()
if os.fork() == 0:
    os.kill(parent, signal.SIGKILL)
    os._exit(0)
while True:
    signal.pause()
