import os
import signal
import sys

os.kill(os.getpid(), signal.SIGSTOP)
sys.exit(42)  # nobody continues us
