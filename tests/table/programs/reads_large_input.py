# Length and a checksum of all of its input.
import sys

length = total = 0
while block := sys.stdin.buffer.read1(1 << 20):
    length += len(block)
    total += sum(block)
print(length, total)
