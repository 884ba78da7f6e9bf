# Five children hold 25 MiB each at the same time. The parent ends with 0 whatever happens to them.
import os
import sys

with open("/proc/self/status") as status:
    if "NoNewPrivs:\t1" not in status.read() or os.getcwd() != "/w":
        sys.exit("not in a sandbox")

ready_reader, ready_writer = os.pipe()
go_reader, go_writer = os.pipe()
for _ in range(5):
    if os.fork() == 0:
        os.close(ready_reader)
        os.close(go_writer)
        block = bytearray(b"x" * (25 << 20))
        os.write(ready_writer, b"r")
        os.read(go_reader, 1)
        os._exit(0)
os.close(ready_writer)
os.close(go_reader)
for _ in range(5):
    if not os.read(ready_reader, 1):
        break
os.close(go_writer)
for _ in range(5):
    os.wait()
