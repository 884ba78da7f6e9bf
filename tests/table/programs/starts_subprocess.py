import subprocess

print(subprocess.run("echo from a child", shell=True, check=True, capture_output=True, text=True).stdout, end="")
