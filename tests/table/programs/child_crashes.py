# A child dies by SIGSEGV; the verdict is the parent's.
import os
import signal

pid = os.fork()
if pid == 0:
    os.kill(os.getpid(), signal.SIGSEGV)
    os._exit(0)
status = os.waitpid(pid, 0)[1]
print("child", os.WTERMSIG(status) if os.WIFSIGNALED(status) else -1)
