# Prints every directory in which a file can be made, and every file outside of them that can be opened for
# writing.
import os
import sys

with open("/proc/self/status") as status:
    if "NoNewPrivs:\t1" not in status.read() or os.getcwd() != "/w":
        sys.exit("not in a sandbox")

found = []
for folder, folders, names in os.walk("/"):
    if folder.startswith("/proc/") and folder.split("/")[2].isdigit() and folder.split("/")[2] != "self":
        folders[:] = []
        continue
    try:
        path = os.path.join(folder, "probe-writable")
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
        os.unlink(path)
        found.append(folder)
        folders[:] = []
        continue
    except OSError:
        pass
    if folder.startswith(("/proc", "/dev")):
        continue  # /proc and devices have probes of their own
    for name in names:
        path = os.path.join(folder, name)
        if not os.path.islink(path) and os.access(path, os.W_OK):
            found.append(path)
print("\n".join(found))
