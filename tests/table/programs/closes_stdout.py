import os

for fd in range(3):
    os.close(fd)
os._exit(0)
