import time

while time.process_time() < 0.3:
    pass
print("warm")
