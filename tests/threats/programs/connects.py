# Tries to reach each argument; prints "TARGET worked", "TARGET failed" or "TARGET slow".
import socket
import sys
import time

socket.setdefaulttimeout(0.4)
for target in sys.argv[1:]:
    start = time.monotonic()
    try:
        if target.startswith("dns:"):
            socket.getaddrinfo(target[4:], 80)
        elif target.startswith("unix:"):
            name = target[5:]
            one = socket.socket(socket.AF_UNIX)
            one.connect("\0" + name[1:] if name.startswith("@") else name)
        elif target.startswith("udp:"):
            host, port = target[4:].rsplit(":", 1)
            one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            one.sendto(b"x", (host, int(port)))
        else:
            host, port = target.rsplit(":", 1)
            family = socket.AF_INET6 if host.startswith("[") else socket.AF_INET
            socket.socket(family, socket.SOCK_STREAM).connect((host.strip("[]"), int(port)))
        word = "worked"
    except OSError:
        word = "failed"
    if time.monotonic() - start > 0.35:
        word = "slow"
    print(target, word)
