# posix_spawn (a vfork inside) of a program that never ends, then waits for it.
import subprocess

subprocess.run(["/bin/sleep", "3600"], close_fds=False)
