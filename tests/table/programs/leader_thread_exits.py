# The first thread leaves by the bare system call while another works on and ends the program.
import ctypes
import os
import threading
import time

libc = ctypes.CDLL(None)


def work():
    time.sleep(0.1)
    os.write(1, b"the other thread\n")
    os._exit(0)


threading.Thread(target=work).start()
libc.syscall(60, 0)  # x86-64: exit, of this thread only
