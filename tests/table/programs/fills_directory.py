# Files of 8 MiB in argv[1] until no more fits. Exit 28: ENOSPC or EDQUOT; 3: anything else.
import errno
import os
import sys

with open("/proc/self/status") as status:
    if "NoNewPrivs:\t1" not in status.read() or os.getcwd() != "/w":
        sys.exit("not in a sandbox")

block = b"x" * (1 << 20)
try:
    for number in range(64):
        fd = os.open(f"{sys.argv[1]}/fill-{number}", os.O_WRONLY | os.O_CREAT, 0o600)
        for _ in range(8):
            if os.write(fd, block) != len(block):
                sys.exit(28)
        os.close(fd)
except OSError as error:
    sys.exit(28 if error.errno in (errno.ENOSPC, errno.EDQUOT) else 3)
