"""Class 11: network and sockets."""
import os
import socket
import threading

import pytest

from box import MIB, MS, OK

REFUSED_FAMILIES = ["AF_VSOCK", "AF_PACKET", "AF_ALG", "AF_BLUETOOTH", "AF_CAN", "AF_TIPC", "AF_RDS", "AF_KEY", "AF_XDP",
                    "AF_KCM", "AF_SMC", "AF_QIPCRTR", "AF_NFC", "AF_IEEE802154", "AF_PPPOX", "AF_MCTP", "AF_AX25", "AF_X25",
                    "AF_APPLETALK", "AF_LLC", "AF_ISDN", "AF_PHONET", "raw4", "raw6", "ping4", "packet_dgram", "sctp",
                    "netlink_audit", "netlink_netfilter", "netlink_generic", "netlink_uevent_bind", "netlink_xfrm",
                    "netlink_crypto", "netlink_link_up", "netlink_new_address", "netlink_selinux"]


@pytest.fixture(scope="module")
def sockets(box):
    result = box.script([box.command("opens_sockets.py", openFiles=256)])[0]
    assert result.status == OK, result
    return result.lines


@pytest.mark.parametrize("name", REFUSED_FAMILIES)
def test_family_is_refused(sockets, name):
    assert sockets[name].strip() != "worked", sockets[name]


@pytest.mark.parametrize("name", ["unix_stream", "unix_pair", "tcp4", "udp4"])
def test_ordinary_family_works(sockets, name):
    assert sockets[name].strip() == "worked", sockets[name]


def test_sockets_leave_nothing(threat, box):
    assert threat(box.command("opens_sockets.py", openFiles=256)).status == OK


@pytest.fixture
def listeners(tmp_path):
    """What a host may listen on: loopback, every address, a path, an abstract name."""
    tcp = socket.create_server(("127.0.0.1", 0))
    wide = socket.create_server(("0.0.0.0", 0))
    path = socket.socket(socket.AF_UNIX)
    path.bind("/tmp/cjudge-probe-listener")
    path.listen()
    abstract = socket.socket(socket.AF_UNIX)
    abstract.bind("\0cjudge-probe-listener")
    abstract.listen()
    all_of_them = [tcp, wide, path, abstract]
    for one in all_of_them:
        one.setblocking(False)
    yield tcp.getsockname()[1], wide.getsockname()[1], all_of_them
    for one in all_of_them:
        one.close()
    os.unlink("/tmp/cjudge-probe-listener")


def test_nothing_can_be_reached(threat, box, listeners):
    """Attempts fail at once: no wait for a timeout."""
    tcp, wide, sockets = listeners
    targets = [f"127.0.0.1:{tcp}", f"127.0.0.1:{wide}", "169.254.169.254:80", "8.8.8.8:53", "10.0.2.2:22", "192.168.1.1:80",
               "[::1]:%d" % wide, "[2001:4860:4860::8888]:53", "127.0.0.53:53", "0.0.0.0:%d" % wide,
               "unix:/tmp/cjudge-probe-listener", "unix:@cjudge-probe-listener", "unix:/run/systemd/private",
               "unix:/var/run/docker.sock", "unix:/run/dbus/system_bus_socket", "unix:/dev/log"]
    targets += ["udp:8.8.8.8:53", "udp:255.255.255.255:9", "udp:127.0.0.1:%d" % tcp, "dns:example.com", "dns:localhost."]
    result = threat(box.command("connects.py", targets, wall=3000 * MS, openFiles=128))
    assert result.status == OK, result
    answers = dict(line.rsplit(" ", 1) for line in result.out.splitlines())
    assert len(answers) == len(targets)
    reached = {name for name, what in answers.items() if what == "worked"} - {"dns:localhost."}
    assert not reached, answers
    for one in sockets:
        with pytest.raises(BlockingIOError):
            one.accept()


def test_nothing_can_connect_in(threat, box, host_unchanged):
    """A server inside is not there for the host."""
    process = box.start(box.python("import socket,time\ns=socket.socket(); s.setsockopt(1,15,1)\n"
                                   "s.bind(('0.0.0.0', 38765)); s.listen(); time.sleep(1)", wall=1500 * MS))
    import time
    time.sleep(0.5)
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", 38765), timeout=1)
    process.communicate(timeout=10)


def test_ports_are_free_again(threat, box):
    """Bound and listening in one run, bound again in the next ten."""
    code = ("import socket\nfor kind, family in ((socket.SOCK_STREAM, socket.AF_INET), (socket.SOCK_DGRAM, socket.AF_INET)):\n"
            " s = socket.socket(family, kind); s.bind(('127.0.0.1', 4711)); kind == socket.SOCK_STREAM and s.listen(); globals()['k%d' % kind] = s\n"
            "u = socket.socket(socket.AF_UNIX); u.bind('\\0probe'); u.listen()\nprint('bound')")
    for result in threat(*[box.python(code)] * 10, all_results=True):
        assert (result.status, result.out) == (OK, "bound\n"), result


def test_host_sockets_do_not_show(threat, box, listeners):
    tcp, wide, _ = listeners
    result = threat(box.shell("cat /proc/net/tcp /proc/net/tcp6 /proc/net/unix /proc/net/udp /proc/net/dev /proc/net/route"))
    assert f":{tcp:04X} " not in result.out and "cjudge-probe-listener" not in result.out, result
    interfaces = {line.split(":")[0].strip() for line in result.out.splitlines() if ": " in line and line.count(" ") > 10}
    assert "eth0" not in interfaces and "docker0" not in interfaces


def test_loopback_cannot_be_brought_up(threat, box):
    code = ("import socket, fcntl, struct\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
            "for request, data in ((0x8914, struct.pack('16sh14x', b'lo', 1)), (0x8916, struct.pack('16sHH4s8x', b'lo', 2, 0, b'\\x0a\\0\\0\\1'))):\n"
            " try: fcntl.ioctl(s, request, data); print('worked')\n"
            " except OSError as e: print(e.errno)")
    assert "worked" not in threat(box.python(code)).out


def test_descriptors_by_message_stay_inside(threat, box):
    """Descriptors in flight over sockets that hold each other: the kernel collects them when it finds the time. Until
    then they count against the user, and the next run's sendmsg(2) fails with ETOOMANYREFS."""
    code = ("import socket, os, array\n"
            "for i in range(20):\n a, b = socket.socketpair(socket.AF_UNIX)\n"
            " a.sendmsg([b'x'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [0, 1, 2, b.fileno()]))])\n"
            " b.sendmsg([b'x'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [1, a.fileno()]))])\n"
            "print('sent')")
    for result in threat(*[box.python(code, openFiles=128)] * 5, all_results=True):
        assert (result.status, result.out) == (OK, "sent\n"), result


def test_sockets_that_hold_each_other_are_collected(threat, box):
    """Pairs that were sent through themselves and closed. Who has some in flight may send no more (ETOOMANYREFS) until the
    kernel's collector has found them; the next run, which has the same uid, may."""
    code = ("import socket, array\nsent = []\nfor i in range(3000):\n  a, b = socket.socketpair()\n  try:\n"
            "    for end in a, b: end.sendmsg([b'x'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [a.fileno(), b.fileno()]))])\n"
            "    sent.append(i)\n  except OSError as error: assert error.errno == 109, error\n"
            "  a.close(); b.close()\nprint(sent[:10])")
    results = threat(*[box.python(code)] * 3, all_results=True, memory_tolerance=16 << 20)
    assert [(result.status, result.out) for result in results] == [(OK, "[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]\n")] * 3
