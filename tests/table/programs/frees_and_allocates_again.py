# 30 MiB ten times over, never at once.
import mmap

for _ in range(10):
    block = mmap.mmap(-1, 30 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    for offset in range(0, 30 << 20, 4096):
        block[offset] = 1
    block.close()
print("ten times")
