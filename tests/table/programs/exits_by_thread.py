import os
import signal
import threading

threading.Thread(target=lambda: os._exit(7)).start()
while True:
    signal.pause()
