# One line of 60,000 characters, control bytes 1 to 31 among them (no line feed).
import sys

line = bytes(i % 127 + 1 for i in range(60000)).replace(b"\n", b"n")
sys.stdout.buffer.write(line)
