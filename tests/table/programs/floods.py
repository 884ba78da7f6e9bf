# Writes to descriptor argv[1] for ever.
import os
import sys

block = b"f" * 4096
while True:
    try:
        os.write(int(sys.argv[1]), block)
    except OSError:
        pass
