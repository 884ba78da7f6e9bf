# Uses argv[1] milliseconds of CPU by its own clock, then ends well.
import sys
import time

while time.process_time() * 1000 < int(sys.argv[1]):
    pass
print("in time", flush=True)
