import os

os.execl("/bin/sh", "sh", "-c", "exit 5")
