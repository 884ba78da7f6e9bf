# Prints "NAME worked" or "NAME ERRNO" for each kind of socket.
import errno
import os
import socket
import struct
import sys

with open("/proc/self/status") as status:
    if "NoNewPrivs:\t1" not in status.read() or os.getcwd() != "/w":
        sys.exit("not in a sandbox")


def attempt(name, make):
    try:
        make()
        print(name, "worked")
    except OSError as error:
        print(name, errno.errorcode.get(error.errno, error.errno))


FAMILIES = dict(AF_VSOCK=40, AF_PACKET=17, AF_ALG=38, AF_BLUETOOTH=31, AF_CAN=29, AF_TIPC=30, AF_RDS=21, AF_KEY=15, AF_XDP=44,
                AF_KCM=41, AF_SMC=43, AF_QIPCRTR=42, AF_NFC=39, AF_IEEE802154=36, AF_PPPOX=24, AF_MCTP=45, AF_AX25=3, AF_X25=9,
                AF_APPLETALK=5, AF_LLC=26, AF_ISDN=34, AF_PHONET=35)


def any_type(number):
    last = OSError(errno.EINVAL, "")
    for kind in (1, 2, 3, 4, 5):
        for protocol in (0, 1):
            try:
                return socket.socket(number, kind, protocol)
            except OSError as error:
                last = error
    raise last


for name, number in FAMILIES.items():
    attempt(name, lambda: any_type(number))
attempt("raw4", lambda: socket.socket(2, 3, 1))
attempt("raw6", lambda: socket.socket(10, 3, 58))
attempt("ping4", lambda: socket.socket(2, 2, 1))
attempt("packet_dgram", lambda: socket.socket(17, 2, socket.htons(3)))
attempt("sctp", lambda: socket.socket(2, 1, 132))
attempt("netlink_audit", lambda: socket.socket(16, 3, 9))
attempt("netlink_netfilter", lambda: socket.socket(16, 3, 12))
attempt("netlink_generic", lambda: socket.socket(16, 3, 16))
attempt("netlink_xfrm", lambda: socket.socket(16, 3, 6))
attempt("netlink_crypto", lambda: socket.socket(16, 3, 21))
attempt("netlink_selinux", lambda: socket.socket(16, 3, 7))


def uevents():
    one = socket.socket(16, 3, 15)
    one.bind((0, 1))


def route(kind, body):
    one = socket.socket(16, 3, 0)
    one.bind((0, 0))
    one.send(struct.pack("=IHHII", 16 + len(body), kind, 0x605, 1, 0) + body)
    one.settimeout(1)
    answer = one.recv(4096)
    code = struct.unpack_from("=i", answer, 16)[0]
    if code:
        raise OSError(-code, "")


attempt("netlink_uevent_bind", uevents)
attempt("netlink_link_up", lambda: route(16, struct.pack("=BxHiII", 0, 0, 1, 1, 1)))
attempt("netlink_new_address", lambda: route(20, struct.pack("=BBBBI", 2, 8, 0, 0, 1) + struct.pack("=HH4s", 8, 2, b"\x0a\0\0\1")))
attempt("unix_stream", lambda: socket.socket(1, 1))
attempt("unix_pair", lambda: socket.socketpair())
attempt("tcp4", lambda: socket.socket(2, 1))
attempt("udp4", lambda: socket.socket(2, 2))
