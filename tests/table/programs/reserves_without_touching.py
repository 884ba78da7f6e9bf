# 1 GiB of address space, of which one page is used: no memory.
import mmap
import sys

try:
    room = mmap.mmap(-1, 1 << 30, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
except (OSError, MemoryError):
    sys.exit(3)
room[12345] = 1
print("reserved")
