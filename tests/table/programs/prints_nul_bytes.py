import sys

sys.stdout.buffer.write(b"a\0b\0\n")
