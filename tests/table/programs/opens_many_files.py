import errno
import os

opened = 0
why = 0
try:
    while opened < 10000:
        os.open("/dev/null", os.O_RDONLY)
        opened += 1
except OSError as error:
    why = error.errno
print(opened, "EMFILE" if why == errno.EMFILE else "other")
