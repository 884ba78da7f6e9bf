# 30 MiB of C stack in a thread that may use 60: each level of map() and sorted() calls C. Since 3.12 there is a limit to that.
import sys
import threading

STEP = 1 if sys.version_info < (3, 12) else 5
sys.setrecursionlimit(10**6)
threading.stack_size(60 << 20)
result = []


def descend(depth):
    return 0 if depth == 0 else sorted([depth], key=lambda _: descend(depth - STEP))[0]


thread = threading.Thread(target=lambda: result.append(descend(10000)))
thread.start()
thread.join()
print(result[0])
