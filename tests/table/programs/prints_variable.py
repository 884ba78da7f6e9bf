import os

print("[" + os.environ.get("PROBE", "(none)") + "]")
