import sys

sys.stdout.buffer.write(b"x\xff\xfey\n")
