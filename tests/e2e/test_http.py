"""The HTTP layer over real sockets: tests/net/http_echo answers as it is asked to."""
import contextlib
import json
import os
import random
import re
import select
import signal
import socket
import stat
import subprocess
import threading
import time

import pytest

HEAD = b"Host: x\r\n"


class Reply:
    """One answer as it came: status, headers (lower case), body."""

    def __init__(self, status, headers, body, cut=False):
        self.status, self.headers, self.body, self.cut = status, headers, body, cut

    @property
    def closes(self):
        return self.headers.get("connection") == "close"


class Client:
    def __init__(self, sock):
        self.sock, self.rest = sock, b""
        sock.settimeout(10)

    def send(self, data):
        self.sock.sendall(data)
        return self

    def get(self, target, headers=b"", method=b"GET", body=b""):
        if body:
            headers += b"Content-Length: %d\r\n" % len(body)
        return self.send(method + b" " + target + b" HTTP/1.1\r\n" + HEAD + headers + b"\r\n" + body)

    def more(self):
        data = self.sock.recv(1 << 16)
        self.rest += data
        return bool(data)

    def until(self, mark):
        while mark not in self.rest:
            if not self.more():
                raise EOFError(self.rest)
        head, _, self.rest = self.rest.partition(mark)
        return head

    def exactly(self, size):
        while len(self.rest) < size:
            if not self.more():
                raise EOFError(self.rest)
        data, self.rest = self.rest[:size], self.rest[size:]
        return data

    def chunks(self):
        body = b""
        while size := int(self.until(b"\r\n"), 16):
            body += self.exactly(size)
            assert self.exactly(2) == b"\r\n"
        assert self.exactly(2) == b"\r\n"
        return body

    def reply(self, method="GET"):
        lines = self.until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        assert lines[0].startswith("HTTP/1.1 "), lines
        status = int(lines[0][9:12])
        headers = {}
        for line in lines[1:]:
            name, value = line.split(": ", 1)
            assert name.lower() not in headers, lines
            headers[name.lower()] = value
        if method == "HEAD" or status in (100, 101, 204, 304):
            return Reply(status, headers, b"")
        assert ("content-length" in headers) + ("transfer-encoding" in headers) <= 1
        if "content-length" in headers:
            return Reply(status, headers, self.exactly(int(headers["content-length"])))
        if headers.get("transfer-encoding") == "chunked":
            return Reply(status, headers, self.chunks())
        while self.more():
            pass
        body, self.rest = self.rest, b""
        return Reply(status, headers, body)

    def ends(self, timeout=5):
        """Whether the server closes, and says nothing more."""
        self.sock.settimeout(timeout)
        try:
            while self.sock.recv(1 << 16):
                return False
            return not self.rest
        except ConnectionResetError:
            return not self.rest
        except socket.timeout:
            return False

    def is_open(self):
        """Nothing has come, the end neither."""
        ready, _, _ = select.select([self.sock], [], [], 0.2)
        return not ready

    def close(self):
        self.sock.close()


class Server:
    def __init__(self, program, args):
        self.process = subprocess.Popen([program, *args], stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True)
        self.addresses = []
        for line in iter(self.process.stdout.readline, "ready\n"):
            assert line, self.process.stderr.read()
            self.addresses.append(line.strip())
        self.clients = []

    @property
    def port(self):
        return int(self.addresses[-1].rpartition(":")[2])

    def connect(self, host="127.0.0.1", options=()):
        sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        for option, value in options:
            sock.setsockopt(socket.SOL_SOCKET, option, value)
        sock.connect((host, self.port))
        return self.adopt(sock)

    def adopt(self, sock):
        self.clients.append(Client(sock))
        return self.clients[-1]

    def get(self, *args, **kwargs):
        client = self.connect()
        reply = client.get(*args, **kwargs).reply()
        client.close()
        return reply

    def stats(self):
        return json.loads(self.get(b"/stats").body)

    def wait_for(self, timeout=3, **wanted):
        """Until the counts are these. Returns how long it took."""
        start = time.monotonic()
        while True:
            stats = self.stats()
            if all(stats[name] == value for name, value in wanted.items()):
                return time.monotonic() - start
            assert time.monotonic() - start < timeout, stats
            time.sleep(0.01)

    def rss_kib(self):
        return self.memory("VmRSS")

    def peak_kib(self):
        return self.memory("VmHWM")

    def memory(self, field):
        """0 in a build with ASan, which keeps what was freed."""
        with open(f"/proc/{self.process.pid}/maps") as file:
            if "libasan" in file.read():
                return 0
        with open(f"/proc/{self.process.pid}/status") as file:
            return int(re.search(field + r":\s+(\d+)", file.read())[1])

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def wait_for_descriptors(self, count):
        start = time.monotonic()
        while self.descriptors() != count:
            assert time.monotonic() - start < 3
            time.sleep(0.01)

    def stop(self):
        for client in self.clients:
            client.close()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(1)
            self.process.send_signal(signal.SIGTERM)
        out, err = self.process.communicate(timeout=10)
        assert self.process.returncode == 0, (self.process.returncode, err)
        return out


@pytest.fixture(scope="module")
def program(cjudge):
    path = os.path.join(os.path.dirname(cjudge), "tests", "net", "http_echo")
    if not os.access(path, os.X_OK):
        pytest.skip(f"no {path}")
    return path


@pytest.fixture
def serve(program):
    servers = []

    def start(*args, address="127.0.0.1:0"):
        servers.append(Server(program, [*args, address]))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


@pytest.fixture(scope="module")
def shared(program):
    """For what leaves no trace."""
    server = Server(program, ["127.0.0.1:0"])
    yield server
    server.stop()


@pytest.fixture
def client(shared):
    client = shared.connect()
    yield client
    client.close()


# ---- requests ----

def test_a_request_is_told_as_it_was_sent(client):
    client.send(b"GET /facts?a=%20b&c HTTP/1.1\r\nHost: h:1\r\nX-A:  b c\t\r\nx-a:\r\nX-\xe9: 1\r\n\r\n".replace(
        b"X-\xe9: 1", b"X-B: \xe9"))
    reply = client.reply()
    assert reply.status == 200
    assert reply.body == (b"method=GET\nminor=1\ntarget=/facts?a=%20b&c\nraw=/facts\npath=/facts\nquery=a=%20b&c\n"
                          b"length=0\nHost: h:1\nX-A: b c\nx-a: \nX-B: \xe9\n")
    assert re.fullmatch(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", reply.headers["date"])
    assert "connection" not in reply.headers


@pytest.mark.parametrize("target,raw,path,query", [
    (b"/facts", b"/facts", b"/facts", b"-"),
    (b"/facts?", b"/facts", b"/facts", b""),
    (b"/%66acts", b"/%66acts", b"/facts", b"-"),
    (b"/f%61cts?%zz", b"/f%61cts", b"/facts", b"%zz"),
    (b"http://other:80/facts?x", b"/facts", b"/facts", b"x"),
    (b"HTTPS://o/facts", b"/facts", b"/facts", b"-"),
    (b"/facts?a?b/c", b"/facts", b"/facts", b"a?b/c"),
    (b"/facts?\"<>{}|\\^`", b"/facts", b"/facts", b"\"<>{}|\\^`"),
])
def test_targets(client, target, raw, path, query):
    reply = client.get(target).reply()
    assert reply.body.startswith(b"method=GET\nminor=1\ntarget=" + target + b"\nraw=" + raw + b"\npath=" + path +
                                 b"\nquery=" + query + b"\nlength=0\n")


@pytest.mark.parametrize("head,keeps", [
    (b"GET /hello HTTP/1.1\r\nHost: x\r\n\r\n", True),
    (b"GET /hello HTTP/1.1\r\nHost: x\r\nConnection: Close\r\n\r\n", False),
    (b"GET /hello HTTP/1.1\r\nHost: x\r\nConnection: a, close\r\n\r\n", False),
    (b"GET /hello HTTP/1.1\r\nHost: x\r\nConnection: closed\r\n\r\n", True),
    (b"GET /hello HTTP/1.1\r\nHost:\r\n\r\n", True),
    (b"GET /hello HTTP/1.0\r\n\r\n", False),
    (b"GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", True),
    (b"GET /hello HTTP/1.0\r\nConnection: Keep-Alive, close\r\n\r\n", False),
    (b"GET /close HTTP/1.1\r\nHost: x\r\n\r\n", False),
])
def test_keeping_alive(client, head, keeps):
    reply = client.send(head).reply()
    assert reply.status == 200
    assert reply.closes != keeps
    if keeps:
        assert (reply.headers.get("connection") == "keep-alive") == (b"HTTP/1.0" in head)
        assert client.get(b"/hello").reply().body == b"hello\n"
    else:
        assert client.ends()


def test_head_has_no_body(client):
    for target, length in ((b"/hello", "6"), (b"/file?size=5000", "5000"), (b"/none", "13"), (b"/echo", "0")):
        reply = client.get(target, method=b"HEAD").reply("HEAD")
        assert reply.headers["content-length"] == length
    reply = client.get(b"/stream", method=b"HEAD").reply("HEAD")
    assert reply.headers["transfer-encoding"] == "chunked"
    assert client.get(b"/hello").reply().body == b"hello\n"


@pytest.mark.parametrize("status", [204, 304])
def test_statuses_without_a_body(client, status):
    reply = client.get(b"/nothing?status=%d" % status).reply()
    assert reply.status == status
    assert "content-length" not in reply.headers and "transfer-encoding" not in reply.headers
    assert client.get(b"/hello").reply().body == b"hello\n"


def test_a_header_cannot_be_broken_out_of(client):
    reply = client.get(b"/inject").reply()
    assert reply.headers["x-name"] == "a  X-Evil: 1    body"
    assert "x-evil" not in reply.headers


def test_case_of_names_does_not_matter(client):
    client.send(b"POST /echo HTTP/1.1\r\nhOST: x\r\ncONTENT-lENGTH: 3\r\n\r\nabc")
    assert client.reply().body == b"abc"
    client.send(b"POST /echo HTTP/1.1\r\nHost: x\r\ntransfer-ENCODING: Chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
    assert client.reply().body == b"abc"


def test_the_same_length_twice_is_one(client):
    client.send(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc")
    assert client.reply().body == b"abc"


def test_empty_lines_before_a_request(client):
    client.get(b"/echo", method=b"POST", body=b"abc").send(b"\r\n\r\n").get(b"/hello")
    assert client.reply().body == b"abc"
    assert client.reply().body == b"hello\n"


# ---- pipelining ----

def test_pipelined_requests_are_answered_in_order(client):
    client.get(b"/wait?ms=100").get(b"/hello").get(b"/echo", method=b"POST", body=b"abc").get(b"/work?ms=20")
    client.get(b"/nothing").get(b"/stream?count=3&size=2").get(b"/facts")
    bodies = [client.reply().body for _ in range(7)]
    assert bodies[:5] == [b"waited\n", b"hello\n", b"abc", b"worked\n", b""]
    assert bodies[5] == b"ddccbb" and bodies[6].startswith(b"method=GET")


def test_many_pipelined_requests(client):
    thread = threading.Thread(target=lambda: [client.get(b"/hello") for _ in range(20000)])
    thread.start()
    for _ in range(20000):
        assert client.reply().body == b"hello\n"
    thread.join()


def test_a_request_byte_by_byte(client):
    for byte in b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabcGET /hello HTTP/1.1\r\nHost: x\r\n\r\n":
        client.send(bytes([byte]))
        time.sleep(0.001)
    assert client.reply().body == b"abc"
    assert client.reply().body == b"hello\n"


def test_what_is_pipelined_is_bounded(serve):
    """While an answer is pending the client is slowed down, and its end is still seen."""
    server = serve()
    before = server.rss_kib()
    client = server.connect()
    client.get(b"/wait?ms=60000")
    client.sock.settimeout(0.5)
    with pytest.raises(socket.timeout):
        while True:
            client.send(b"x" * 65536)
    assert server.rss_kib() - before < 1024
    server.wait_for(waiting=1)
    reset(client)  # a FIN cannot pass what the kernel still holds back
    assert server.wait_for(waiting=0, gone=1) < 1


# ---- bodies ----

def chunked(*pieces, extension=b"", trailers=b""):
    return b"".join(b"%x%s\r\n%s\r\n" % (len(p), extension, p) for p in pieces) + b"0\r\n" + trailers + b"\r\n"


CHUNKED = b"Transfer-Encoding: chunked\r\n"


@pytest.mark.parametrize("body", [
    chunked(b"hello ", b"world"),
    chunked(b"hello ", b"world", extension=b";a=b;c=\"d e\""),
    chunked(b"hello world", trailers=b"X-Sum: 1\r\nY:\r\n"),
    b"00000B\r\nhello world\r\n000\r\n\r\n",
    b"b;x\r\nhello world\r\n0;y\r\n\r\n",
])
def test_chunked_bodies(client, body):
    client.send(b"POST /echo HTTP/1.1\r\n" + HEAD + CHUNKED + b"\r\n" + body)
    assert client.reply().body == b"hello world"
    for byte in b"POST /echo HTTP/1.1\r\n" + HEAD + CHUNKED + b"\r\n" + body:
        client.send(bytes([byte]))
    assert client.reply().body == b"hello world"
    assert client.get(b"/hello").reply().body == b"hello\n"


def test_an_empty_body(client):
    assert client.get(b"/echo", method=b"POST").reply().body == b""
    assert client.get(b"/echo", method=b"POST", headers=b"Content-Length: 0\r\n").reply().body == b""
    client.send(b"POST /echo HTTP/1.1\r\n" + HEAD + CHUNKED + b"\r\n0\r\n\r\n")
    assert client.reply().body == b""


def test_a_body_of_all_bytes(client):
    body = bytes(range(256)) * 1000
    assert client.get(b"/echo", method=b"POST", body=body).reply().body == body


def test_a_body_that_is_accepted_later(client):
    body = b"abc" * 100000
    assert client.get(b"/undecided?ms=100", method=b"POST", body=body).reply().body == body
    assert client.get(b"/hello").reply().body == b"hello\n"


def test_a_large_upload_takes_little_memory(serve):
    server = serve()
    before = server.rss_kib()
    client = server.connect()
    size = 256 << 20
    block = b"x" * (1 << 20)
    client.send(b"POST /count HTTP/1.1\r\n" + HEAD + b"Content-Length: %d\r\n\r\n" % size)
    for _ in range(256):
        client.send(block)
    assert client.reply().body == b"%d\n" % size
    assert server.peak_kib() - before < 2048


def test_a_paused_upload_is_slowed_down(serve):
    """Each piece of at most 64 KiB is followed by 5 ms of pause."""
    server = serve()
    before = server.rss_kib()
    client = server.connect()
    size = 4 << 20
    start = time.monotonic()
    client.get(b"/count?pause_ms=5", method=b"POST", body=b"x" * size)
    assert client.reply().body == b"%d\n" % size
    assert time.monotonic() - start >= 64 * 0.005
    assert server.peak_kib() - before < 2048


def test_a_paused_chunked_upload(client):
    body = chunked(*[b"x" * 100] * 50)
    client.send(b"POST /count?pause_ms=1 HTTP/1.1\r\n" + HEAD + CHUNKED + b"\r\n" + body)
    client.get(b"/hello")
    assert client.reply().body == b"5000\n"
    assert client.reply().body == b"hello\n"


def test_a_client_that_goes_while_it_is_paused(serve):
    server = serve()
    client = server.connect()
    client.send(b"POST /count?pause_ms=60000 HTTP/1.1\r\n" + HEAD + b"Content-Length: 100000\r\n\r\n" + b"x" * 50000)
    time.sleep(0.1)
    client.close()
    assert server.wait_for(gone=1) < 1


def test_a_client_that_resets_while_it_is_paused(serve):
    server = serve()
    client = server.connect()
    client.send(b"POST /count?pause_ms=60000 HTTP/1.1\r\n" + HEAD + b"Content-Length: 100000\r\n\r\n" + b"x" * 50000)
    time.sleep(0.1)
    reset(client)
    assert server.wait_for(gone=1) < 1


# ---- limits of bodies ----

@pytest.mark.parametrize("size,status", [(1000, 200), (1001, 413), (10000000, 413)])
def test_the_limit_of_a_body_of_known_length(client, size, status):
    client.send(b"POST /limit HTTP/1.1\r\n" + HEAD + b"Content-Length: %d\r\n\r\n" % size)
    if status == 200:
        client.send(b"x" * size)
    reply = client.reply()
    assert reply.status == status
    if status == 413:
        assert reply.body == b"!413 the body is too large /limit" and reply.closes


@pytest.mark.parametrize("pieces,status", [([500, 500], 200), ([500, 501], 413), ([1000000], 413)])
def test_the_limit_of_a_chunked_body(client, pieces, status):
    client.send(b"POST /limit HTTP/1.1\r\n" + HEAD + CHUNKED + b"\r\n")
    client.send(chunked(*[b"x" * size for size in pieces]))
    assert client.reply().status == status


def test_over_comes_once_for_a_refused_body(serve):
    server = serve()
    client = server.connect()
    client.get(b"/limit", method=b"POST", body=b"x" * 1001)
    assert client.reply().status == 413
    client.close()
    client = server.connect()
    client.send(b"POST /echo HTTP/1.1\r\n" + HEAD + CHUNKED + b"\r\n5\r\nabcXX\r\nzz\r\n")
    assert client.reply().status == 400
    server.wait_for(refused=2, refused_total=2, gone=0)


# ---- Expect ----

EXPECT = b"Expect: 100-continue\r\n"


def test_continue_is_sent_when_the_body_is_accepted(client):
    client.send(b"POST /echo HTTP/1.1\r\n" + HEAD + EXPECT + b"Content-Length: 3\r\n\r\n")
    assert client.reply().status == 100
    assert client.is_open()
    assert client.send(b"abc").reply().body == b"abc"
    assert client.get(b"/hello").reply().body == b"hello\n"


def test_continue_waits_for_the_door(client):
    client.send(b"POST /undecided?ms=300 HTTP/1.1\r\n" + HEAD + EXPECT + b"Content-Length: 3\r\n\r\n")
    assert client.is_open()
    assert client.reply().status == 100
    assert client.send(b"abc").reply().body == b"abc"


def test_no_continue_for_who_does_not_wait_for_it(client):
    client.send(b"POST /echo HTTP/1.1\r\n" + HEAD + EXPECT + b"Content-Length: 3\r\n\r\nabc")
    assert client.reply().body == b"abc"


def test_no_continue_for_http_1_0_and_empty_bodies(client):
    client.send(b"POST /echo HTTP/1.1\r\n" + HEAD + EXPECT + b"\r\n")
    assert client.reply().status == 200
    client.send(b"POST /echo HTTP/1.0\r\n" + EXPECT + b"Content-Length: 3\r\n\r\n")
    assert client.is_open()
    assert client.send(b"abc").reply().body == b"abc"


@pytest.mark.parametrize("target,status", [(b"/early", 401), (b"/limit", 413)])
def test_no_continue_for_a_body_that_is_refused(client, target, status):
    client.send(b"POST " + target + b" HTTP/1.1\r\n" + HEAD + EXPECT + b"Content-Length: 5000\r\n\r\n")
    reply = client.reply()
    assert reply.status == status and reply.closes
    assert client.ends()


# ---- answers before the body ----

def test_an_early_answer_to_a_short_body_keeps_the_connection(client):
    for _ in range(3):
        reply = client.get(b"/early", method=b"POST", body=b"x" * 20000).reply()
        assert reply.status == 401 and not reply.closes
    assert client.get(b"/hello").reply().body == b"hello\n"


def test_an_early_answer_does_not_wait_for_the_body(client):
    client.send(b"POST /early HTTP/1.1\r\n" + HEAD + b"Content-Length: 10\r\n\r\n")
    assert client.reply().status == 401
    client.send(b"0123456789").get(b"/hello")
    assert client.reply().body == b"hello\n"


def test_an_early_answer_reaches_who_sends_a_large_body(client):
    """Without a reset that overtakes it: the client sends on for a while and then reads."""
    client.send(b"POST /early HTTP/1.1\r\n" + HEAD + b"Content-Length: 100000000\r\n\r\n")
    for _ in range(20):
        client.send(b"x" * 100000)
        time.sleep(0.002)
    reply = client.reply()
    assert reply.status == 401 and reply.closes
    assert client.ends()


def test_an_early_answer_to_a_chunked_body_closes(client):
    client.send(b"POST /early HTTP/1.1\r\n" + HEAD + CHUNKED + b"\r\n" + chunked(b"abc"))
    assert client.reply().closes
    assert client.ends()


def test_who_sends_on_after_an_early_answer_is_cut_off(serve):
    server = serve("linger_timeout=300")
    client = server.connect()
    client.send(b"POST /early HTTP/1.1\r\n" + HEAD + b"Content-Length: 100000000\r\n\r\n")
    assert client.reply().status == 401
    start = time.monotonic()
    with pytest.raises((ConnectionResetError, BrokenPipeError)):
        while time.monotonic() - start < 5:
            client.send(b"x" * 1000)
            time.sleep(0.01)
    assert 0.2 < time.monotonic() - start < 2


# ---- hanging up ----

def reset(client):
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    client.close()


GOODBYES = {
    "close": lambda client: client.close(),
    "reset": reset,
    "shutdown": lambda client: client.sock.shutdown(socket.SHUT_RDWR),
    "half_close": lambda client: client.sock.shutdown(socket.SHUT_WR),
}


@pytest.mark.parametrize("behind", [b"", b"GET /hello HTTP/1.1\r\nHost: x\r\n\r\n", b"GET /he", b"\x16\x03\x01",
                                    b"x" * 100000], ids=["nothing", "request", "part", "garbage", "much"])
@pytest.mark.parametrize("goodbye", GOODBYES)
def test_a_client_that_goes_away_is_noticed(serve, goodbye, behind):
    server = serve()
    client = server.connect()
    client.get(b"/wait?ms=60000").send(behind)
    server.wait_for(waiting=1)
    time.sleep(0.05)
    GOODBYES[goodbye](client)
    assert server.wait_for(waiting=0, gone=1) < 1


@pytest.mark.parametrize("behind", [b"", b"GET /hello HTTP/1.1\r\nHost: x\r\n\r\n", b"x" * 100000])
@pytest.mark.parametrize("goodbye", ["close", "half_close"])
def test_a_request_and_its_clients_end_in_one_event(serve, goodbye, behind):
    server = serve()
    client = server.connect()
    client.get(b"/hello").reply()
    server.process.send_signal(signal.SIGSTOP)
    client.get(b"/wait?ms=60000").send(behind)
    GOODBYES[goodbye](client)
    server.process.send_signal(signal.SIGCONT)
    assert server.wait_for(waiting=0, gone=1) < 1


def test_a_client_that_goes_while_another_thread_works(serve):
    server = serve()
    for _ in range(20):
        client = server.connect()
        client.get(b"/work?ms=30")
        server.wait_for(waiting=1)
        client.close()
        assert server.wait_for(waiting=0) < 1
    time.sleep(0.1)
    server.wait_for(gone=20)


def test_a_half_closed_client_gets_what_is_answered_at_once(client):
    """As `printf ... | nc -N`."""
    client.get(b"/hello").get(b"/echo", method=b"POST", body=b"abc").get(b"/file?size=300000")
    client.sock.shutdown(socket.SHUT_WR)
    assert client.reply().body == b"hello\n"
    assert client.reply().body == b"abc"
    assert len(client.reply().body) == 300000
    assert client.ends()


def test_a_half_closed_client_gets_the_whole_of_a_large_answer(client):
    client.get(b"/file?size=30000000")
    time.sleep(0.1)
    client.sock.shutdown(socket.SHUT_WR)
    assert len(client.reply().body) == 30000000
    assert client.ends()


def test_an_end_inside_a_head_or_a_body(serve):
    server = serve()
    for part in (b"GET /hello HTTP/1.1\r\nHos", b"POST /count HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12345"):
        client = server.connect()
        client.send(part)
        client.sock.shutdown(socket.SHUT_WR)
        assert client.ends()
    server.wait_for(gone=1, refused_total=0)


# ---- answers ----

def test_files(client):
    reply = client.get(b"/file?size=5000&from=2500").reply()
    assert reply.body == b"2" * 500 + b"3" * 1000 + b"4" * 1000
    assert client.get(b"/file?size=0").reply().body == b""
    assert client.get(b"/file?size=10&from=10").reply().body == b""
    assert client.get(b"/hello").reply().body == b"hello\n"


def test_small_answers_are_not_held_back(client):
    """Neither Nagle's algorithm nor a cork: many small ones in a row would take 40 ms each."""
    start = time.monotonic()
    for target in (b"/hello", b"/file?size=0", b"/file?size=10", b"/stream?count=3&size=10") * 25:
        client.get(target).reply()
    assert time.monotonic() - start < 1.5


def test_a_file_that_is_shorter_than_was_said_cuts_the_connection(client):
    client.get(b"/file?size=100000&cut=50000")
    with pytest.raises((EOFError, ConnectionResetError)):
        client.reply()


def test_a_large_download_takes_little_memory(serve):
    server = serve()
    client = server.connect()
    client.get(b"/stream?count=4096&size=65536")  # 256 MiB
    time.sleep(0.5)
    assert server.rss_kib() < 16 * 1024
    client.until(b"\r\n\r\n")
    size = 0
    while line := int(client.until(b"\r\n"), 16):
        size += len(client.exactly(line))
        client.exactly(2)
    assert size == 256 << 20
    assert server.peak_kib() < 16 * 1024


@pytest.mark.parametrize("count,size", [(0, 1), (1, 1), (3, 5), (100, 1000), (50, 100000)])
@pytest.mark.parametrize("known", [0, 1])
def test_streams(client, count, size, known):
    expected = b"".join(b"%c" % (97 + n % 26) * size for n in range(count, 0, -1))
    reply = client.get(b"/stream?count=%d&size=%d&known=%d" % (count, size, known)).reply()
    assert reply.body == expected
    assert ("transfer-encoding" in reply.headers) != bool(known)
    assert client.get(b"/hello").reply().body == b"hello\n"


def test_a_stream_to_http_1_0_ends_with_the_connection(client):
    client.send(b"GET /stream?count=3&size=5 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    reply = client.reply()
    assert reply.body == b"dddddcccccbbbbb"
    assert reply.closes and "transfer-encoding" not in reply.headers


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
@pytest.mark.parametrize("target", [b"/stream?count=3&size=5&abort=1", b"/stream?count=3&size=5&known=1&cut=1"])
def test_an_answer_that_breaks_off_does_not_look_whole(client, target, version):
    client.send(b"GET " + target + b" HTTP/" + version + b"\r\nHost: x\r\n\r\n")
    with pytest.raises((EOFError, ConnectionResetError)):
        client.reply()


def test_a_stream_whose_client_goes(serve):
    server = serve()
    client = server.connect()
    client.get(b"/hang")
    assert client.until(b"begun\n")
    client.close()
    assert server.wait_for(gone=1) < 1


def test_a_download_whose_client_goes(serve):
    server = serve()
    before = server.descriptors()
    for goodbye in (GOODBYES["close"], reset):
        for target in (b"/file?size=100000000", b"/stream?count=1000&size=100000"):
            client = server.connect()
            client.get(target)
            client.until(b"\r\n\r\n")
            goodbye(client)
    server.wait_for(requests=1, connections=1)  # the one that asks
    server.wait_for_descriptors(before)


def test_an_upgrade_hands_the_socket_over(client):
    client.get(b"/upgrade", headers=b"Upgrade: echo\r\nConnection: Upgrade\r\n").send(b"first words")
    reply = client.reply()
    assert reply.status == 101
    assert reply.headers == {"date": reply.headers["date"], "upgrade": "echo", "connection": "Upgrade"}
    assert client.until(b"\n") in (b"early:first words", b"early:")


def test_an_answer_of_another_thread(client):
    for _ in range(50):
        assert client.get(b"/work?ms=0", method=b"POST", body=b"abc").reply().body == b"worked\n"


# ---- answers that another thread gives by itself ----

def test_a_direct_answer(serve):
    server = serve()
    client = server.connect()
    for _ in range(50):
        reply = client.get(b"/direct?ms=0", method=b"POST", body=b"abc").reply()
        assert reply.body == b"dddddd"
        assert set(reply.headers) == {"date", "content-length", "x-direct"}
    server.wait_for(direct=50, answered=50)


def test_a_direct_answer_without_a_further_request_is_over_soon(serve):
    """Nobody wakes the loop for it: its tick looks."""
    server = serve()
    before = server.descriptors()
    client = server.connect()
    assert client.get(b"/direct").reply().body == b"dddddd"
    watcher = server.connect()
    watcher.get(b"/hello").reply()
    end = time.monotonic() + 2
    while (stats := json.loads(watcher.get(b"/stats").reply().body))["requests"] > 1 and time.monotonic() < end:
        time.sleep(0.05)
    assert (stats["requests"], stats["waiting"], stats["gone"], stats["direct"]) == (1, 0, 0, 1)
    client.close()
    watcher.close()
    server.wait_for_descriptors(before)


def test_an_idle_connection_is_closed_behind_a_direct_answer(serve):
    server = serve("idle_timeout=200")
    client = server.connect()
    assert client.get(b"/direct").reply().body == b"dddddd"
    assert client.ends(2)


@pytest.mark.parametrize("ms", [0, 1, 30])
def test_requests_behind_a_direct_answer_do_not_wait(serve, ms):
    """They were read ahead: without a word from the other thread nothing would wake the loop for them."""
    server = serve()
    client = server.connect()
    target = b"/direct?ms=%d" % ms
    start = time.monotonic()
    for _ in range(10):
        client.get(target).get(b"/hello").get(target).get(target)
        assert [client.reply().body for _ in range(4)] == [b"dddddd", b"hello\n", b"dddddd", b"dddddd"]
    assert time.monotonic() - start < 30 * ms / 1000 + 2


def test_requests_that_come_during_direct_answers(serve):
    """At whatever moment: none is lost, none is answered twice."""
    server = serve()
    client = server.connect()
    chance = random.Random(7)
    for _ in range(300):
        client.get(b"/direct?ms=0")
        until = time.perf_counter() + chance.random() * 0.0004
        while time.perf_counter() < until:
            pass
        client.get(b"/hello")
        assert [client.reply().body, client.reply().body] == [b"dddddd", b"hello\n"]


@pytest.mark.parametrize("behind", [b"", b"GET /hello HTTP/1.1\r\nHost: x\r\n\r\n", b"GET /he", b"x" * 100000],
                         ids=["nothing", "request", "part", "much"])
@pytest.mark.parametrize("goodbye", GOODBYES)
def test_a_client_that_goes_before_a_direct_answer(serve, goodbye, behind):
    server = serve()
    client = server.connect()
    client.get(b"/direct?ms=400").send(behind)
    server.wait_for(waiting=1)
    GOODBYES[goodbye](client)
    assert server.wait_for(waiting=0, gone=1) < 0.3
    time.sleep(0.5)
    server.wait_for(direct=0)


def test_clients_that_go_at_the_moment_of_a_direct_answer(serve):
    server = serve()
    before = server.descriptors()
    for i in range(200):
        client = server.connect()
        client.get(b"/direct?ms=1")
        time.sleep(i % 20 / 10000)
        client.close()
    server.wait_for(waiting=0, connections=1, requests=1)
    server.wait_for_descriptors(before)


def test_a_direct_answer_that_does_not_fit_into_the_socket(serve):
    """The loop sends the rest, and what comes behind it."""
    server = serve()
    size = 20000000
    client = server.connect(options=[(socket.SO_RCVBUF, 4096)])
    client.get(b"/direct?ms=0&size=%d" % size).get(b"/hello")
    server.wait_for(direct=1)
    time.sleep(0.1)
    client.until(b"\r\n\r\n")
    left = size - len(client.rest)
    while left > 0:
        left -= len(client.sock.recv(min(left, 1 << 20)))
    client.rest = b""
    assert client.reply().body == b"hello\n"
    server.wait_for(direct=1, gone=0)


def test_who_does_not_take_a_direct_answer_is_cut_off(serve):
    server = serve("write_timeout=300")
    client = server.connect(options=[(socket.SO_RCVBUF, 4096)])
    client.get(b"/direct?ms=0&size=20000000")
    assert server.wait_for(gone=1, direct=1) < 1.5


@pytest.mark.parametrize("head", [b"GET /direct HTTP/1.0\r\n", b"GET /direct HTTP/1.0\r\nConnection: keep-alive\r\n",
                                  b"GET /direct HTTP/1.1\r\nHost: x\r\nConnection: close\r\n",
                                  b"HEAD /direct HTTP/1.1\r\nHost: x\r\n"])
def test_answers_that_are_not_plain_are_the_loops(serve, head):
    server = serve()
    client = server.connect()
    reply = client.send(head + b"\r\n").reply("HEAD" if head.startswith(b"HEAD") else "GET")
    assert reply.status == 200 and "x-direct" not in reply.headers
    server.wait_for(direct=0)


# ---- refusals ----

GOOD = b"Host: x\r\n"
MALFORMED = {
    # request lines
    "no_version": (400, b"GET /hello\r\n\r\n"),
    "lower_case_version": (400, b"GET /hello http/1.1\r\n" + GOOD + b"\r\n"),
    "word_as_version": (400, b"GET /hello HTTP\r\n" + GOOD + b"\r\n"),
    "long_version": (400, b"GET /hello HTTP/1.10\r\n" + GOOD + b"\r\n"),
    "version_2": (505, b"GET /hello HTTP/2.0\r\n" + GOOD + b"\r\n"),
    "version_1_2": (505, b"GET /hello HTTP/1.2\r\n" + GOOD + b"\r\n"),
    "version_0_9": (505, b"GET /hello HTTP/0.9\r\n" + GOOD + b"\r\n"),
    "http2_preface": (505, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "two_spaces": (400, b"GET  /hello HTTP/1.1\r\n" + GOOD + b"\r\n"),
    "two_spaces_behind": (400, b"GET /hello  HTTP/1.1\r\n" + GOOD + b"\r\n"),
    "space_at_end": (400, b"GET /hello HTTP/1.1 \r\n" + GOOD + b"\r\n"),
    "space_at_start": (400, b" GET /hello HTTP/1.1\r\n" + GOOD + b"\r\n"),
    "tabs": (400, b"GET\t/hello\tHTTP/1.1\r\n" + GOOD + b"\r\n"),
    "space_in_target": (400, b"GET /hel lo HTTP/1.1\r\n" + GOOD + b"\r\n"),
    "control_in_target": (400, b"GET /hel\x01lo HTTP/1.1\r\n" + GOOD + b"\r\n"),
    "nul_in_target": (400, b"GET /hel\0lo HTTP/1.1\r\n" + GOOD + b"\r\n"),
    "high_byte_in_target": (400, b"GET /hel\xc3\xa9 HTTP/1.1\r\n" + GOOD + b"\r\n"),
    "fragment": (400, b"GET /hello#a HTTP/1.1\r\n" + GOOD + b"\r\n"),
    "relative_target": (400, b"GET hello HTTP/1.1\r\n" + GOOD + b"\r\n"),
    "empty_authority": (400, b"GET http:///hello HTTP/1.1\r\n" + GOOD + b"\r\n"),
    "other_scheme": (400, b"GET ftp://x/hello HTTP/1.1\r\n" + GOOD + b"\r\n"),
    "star_for_get": (400, b"GET * HTTP/1.1\r\n" + GOOD + b"\r\n"),
    "connect": (501, b"CONNECT x:80 HTTP/1.1\r\n" + GOOD + b"\r\n"),
    "bad_escape": (400, b"GET /%zz HTTP/1.1\r\n" + GOOD + b"\r\n"),
    "short_escape": (400, b"GET /hello%4 HTTP/1.1\r\n" + GOOD + b"\r\n"),
    "escaped_nul": (400, b"GET /hello%00 HTTP/1.1\r\n" + GOOD + b"\r\n"),
    "bad_method": (400, b"GE(T /hello HTTP/1.1\r\n" + GOOD + b"\r\n"),
    "no_method": (400, b"/hello HTTP/1.1\r\n" + GOOD + b"\r\n"),
    "empty_lines": (400, b"\r\n" * 5 + b"GET /hello HTTP/1.1\r\n" + GOOD + b"\r\n"),
    "tls": (400, b"\x16\x03\x01\x02\x00"),
    "zeros": (400, bytes(10)),
    "json": (400, b'{"cmd": []}'),
    # line ends
    "bare_lf": (400, b"GET /hello HTTP/1.1\nHost: x\n\n"),
    "bare_lf_in_request_line": (400, b"GET /hello HTTP/1.1\n" + GOOD + b"\r\n"),
    "bare_lf_in_header": (400, b"GET /hello HTTP/1.1\r\nA: b\nHost: x\r\n\r\n"),
    "bare_lf_as_end": (400, b"GET /hello HTTP/1.1\r\n" + GOOD + b"\n"),
    "bare_cr": (400, b"GET /hello HTTP/1.1\r\nA: b\rc\r\n" + GOOD + b"\r\n"),
    "cr_cr_lf": (400, b"GET /hello HTTP/1.1\r\n" + GOOD + b"A: b\r\r\n\r\n"),
    "cr_before_request": (400, b"\rGET /hello HTTP/1.1\r\n" + GOOD + b"\r\n"),
    # headers
    "no_host": (400, b"GET /hello HTTP/1.1\r\n\r\n"),
    "two_hosts": (400, b"GET /hello HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n"),
    "bad_host": (400, b"GET /hello HTTP/1.1\r\nHost: a b\r\n\r\n"),
    "host_with_path": (400, b"GET /hello HTTP/1.1\r\nHost: a/b\r\n\r\n"),
    "host_with_user": (400, b"GET /hello HTTP/1.1\r\nHost: u@x\r\n\r\n"),
    "space_before_colon": (400, b"GET /hello HTTP/1.1\r\nHost : x\r\n\r\n"),
    "tab_before_colon": (400, b"GET /hello HTTP/1.1\r\n" + GOOD + b"A\t: b\r\n\r\n"),
    "folded": (400, b"GET /hello HTTP/1.1\r\n" + GOOD + b"A: b\r\n c\r\n\r\n"),
    "folded_by_tab": (400, b"GET /hello HTTP/1.1\r\n" + GOOD + b"A: b\r\n\tc\r\n\r\n"),
    "space_before_first": (400, b"GET /hello HTTP/1.1\r\n Host: x\r\n\r\n"),
    "no_colon": (400, b"GET /hello HTTP/1.1\r\n" + GOOD + b"Abc\r\n\r\n"),
    "empty_name": (400, b"GET /hello HTTP/1.1\r\n" + GOOD + b": b\r\n\r\n"),
    "bad_name": (400, b"GET /hello HTTP/1.1\r\n" + GOOD + b"A(b): c\r\n\r\n"),
    "high_byte_in_name": (400, b"GET /hello HTTP/1.1\r\n" + GOOD + b"A\xe9: c\r\n\r\n"),
    "nul_in_value": (400, b"GET /hello HTTP/1.1\r\n" + GOOD + b"A: b\0c\r\n\r\n"),
    "control_in_value": (400, b"GET /hello HTTP/1.1\r\n" + GOOD + b"A: b\x7fc\r\n\r\n"),
    "expectation": (417, b"POST /echo HTTP/1.1\r\n" + GOOD + b"Expect: 200-ok\r\nContent-Length: 1\r\n\r\n"),
    # lengths
    "length_and_chunked": (400, b"POST /echo HTTP/1.1\r\n" + GOOD + CHUNKED + b"Content-Length: 5\r\n\r\n0\r\n\r\n"),
    "chunked_and_length": (400, b"POST /echo HTTP/1.1\r\n" + GOOD + b"Content-Length: 5\r\n" + CHUNKED + b"\r\n0\r\n\r\n"),
    "two_lengths": (400, b"POST /echo HTTP/1.1\r\n" + GOOD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef"),
    "list_of_lengths": (400, b"POST /echo HTTP/1.1\r\n" + GOOD + b"Content-Length: 5, 5\r\n\r\nabcde"),
    "signed_length": (400, b"POST /echo HTTP/1.1\r\n" + GOOD + b"Content-Length: +5\r\n\r\nabcde"),
    "negative_length": (400, b"POST /echo HTTP/1.1\r\n" + GOOD + b"Content-Length: -5\r\n\r\nabcde"),
    "hex_length": (400, b"POST /echo HTTP/1.1\r\n" + GOOD + b"Content-Length: 0x5\r\n\r\nabcde"),
    "empty_length": (400, b"POST /echo HTTP/1.1\r\n" + GOOD + b"Content-Length:\r\n\r\nabcde"),
    "spaced_length": (400, b"POST /echo HTTP/1.1\r\n" + GOOD + b"Content-Length: 5 5\r\n\r\nabcde"),
    "huge_length": (413, b"POST /echo HTTP/1.1\r\n" + GOOD + b"Content-Length: 99999999999999999999\r\n\r\nabcde"),
    "wrapping_length": (413, b"POST /echo HTTP/1.1\r\n" + GOOD + b"Content-Length: 18446744073709551621\r\n\r\nabcde"),
    # codings
    "gzip": (501, b"POST /echo HTTP/1.1\r\n" + GOOD + b"Transfer-Encoding: gzip\r\n\r\n"),
    "gzip_chunked": (501, b"POST /echo HTTP/1.1\r\n" + GOOD + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
    "chunked_twice": (400, b"POST /echo HTTP/1.1\r\n" + GOOD + CHUNKED + CHUNKED + b"\r\n0\r\n\r\n"),
    "chunked_list": (501, b"POST /echo HTTP/1.1\r\n" + GOOD + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"),
    "xchunked": (501, b"POST /echo HTTP/1.1\r\n" + GOOD + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
    "vertical_tab_chunked": (400, b"POST /echo HTTP/1.1\r\n" + GOOD + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n"),
    "chunked_in_1_0": (400, b"POST /echo HTTP/1.0\r\n" + CHUNKED + b"\r\n0\r\n\r\n"),
    # chunks
    "bad_chunk_size": (400, b"POST /echo HTTP/1.1\r\n" + GOOD + CHUNKED + b"\r\ng\r\n"),
    "empty_chunk_size": (400, b"POST /echo HTTP/1.1\r\n" + GOOD + CHUNKED + b"\r\n\r\n"),
    "signed_chunk_size": (400, b"POST /echo HTTP/1.1\r\n" + GOOD + CHUNKED + b"\r\n+5\r\nabcde\r\n0\r\n\r\n"),
    "prefixed_chunk_size": (400, b"POST /echo HTTP/1.1\r\n" + GOOD + CHUNKED + b"\r\n0x5\r\nabcde\r\n0\r\n\r\n"),
    "space_before_chunk_size": (400, b"POST /echo HTTP/1.1\r\n" + GOOD + CHUNKED + b"\r\n 5\r\nabcde\r\n0\r\n\r\n"),
    "space_behind_chunk_size": (400, b"POST /echo HTTP/1.1\r\n" + GOOD + CHUNKED + b"\r\n5 \r\nabcde\r\n0\r\n\r\n"),
    "huge_chunk_size": (400, b"POST /echo HTTP/1.1\r\n" + GOOD + CHUNKED + b"\r\n10000000000000005\r\nabcde\r\n0\r\n\r\n"),
    "largest_chunk_size": (413, b"POST /limit HTTP/1.1\r\n" + GOOD + CHUNKED + b"\r\nffffffffffffffff\r\n" + b"a" * 1001),
    "lf_behind_chunk_size": (400, b"POST /echo HTTP/1.1\r\n" + GOOD + CHUNKED + b"\r\n5\nabcde\r\n0\r\n\r\n"),
    "lf_behind_chunk": (400, b"POST /echo HTTP/1.1\r\n" + GOOD + CHUNKED + b"\r\n5\r\nabcde\n0\r\n\r\n"),
    "chunk_too_long": (400, b"POST /echo HTTP/1.1\r\n" + GOOD + CHUNKED + b"\r\n5\r\nabcdef\r\n0\r\n\r\n"),
    "lf_in_extension": (400, b"POST /echo HTTP/1.1\r\n" + GOOD + CHUNKED + b"\r\n5;a\nabcde\r\n0\r\n\r\n"),
    "cr_in_extension": (400, b"POST /echo HTTP/1.1\r\n" + GOOD + CHUNKED + b"\r\n5;a\rb\r\nabcde\r\n0\r\n\r\n"),
    "large_extensions": (400, b"POST /echo HTTP/1.1\r\n" + GOOD + CHUNKED + b"\r\n" + (b"1;" + b"x" * 7000 + b"\r\na\r\n") * 10),
    "bad_trailer": (400, b"POST /echo HTTP/1.1\r\n" + GOOD + CHUNKED + b"\r\n0\r\nA b: c\r\n\r\n"),
    "folded_trailer": (400, b"POST /echo HTTP/1.1\r\n" + GOOD + CHUNKED + b"\r\n0\r\nA: b\r\n c\r\n\r\n"),
    "lf_trailer": (400, b"POST /echo HTTP/1.1\r\n" + GOOD + CHUNKED + b"\r\n0\r\nA: b\n\r\n"),
    "many_trailers": (431, b"POST /echo HTTP/1.1\r\n" + GOOD + CHUNKED + b"\r\n0\r\n" + b"a:\r\n" * 101),
    "large_trailers": (431, b"POST /echo HTTP/1.1\r\n" + GOOD + CHUNKED + b"\r\n0\r\nA: " + b"a" * 65536),
    # sizes
    "long_target": (414, b"GET /" + b"a" * 8192 + b" HTTP/1.1\r\n" + GOOD + b"\r\n"),
    "endless_target": (414, b"GET /" + b"a" * 70000),
    "large_head": (431, b"GET /hello HTTP/1.1\r\n" + GOOD + b"A: " + b"a" * 70000 + b"\r\n\r\n"),
    "endless_head": (431, b"GET /hello HTTP/1.1\r\n" + GOOD + b"A: b\r\n" * 20000),
    "many_headers": (431, b"GET /hello HTTP/1.1\r\n" + GOOD + b"A: b\r\n" * 100 + b"\r\n"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_requests_are_refused(shared, name):
    status, request = MALFORMED[name]
    before = shared.stats()["requests"]
    client = shared.connect()
    with contextlib.suppress(ConnectionResetError, BrokenPipeError):
        client.send(request)
    reply = client.reply()
    assert reply.status == status
    assert reply.body.startswith(b"!%d " % status)
    assert reply.headers["content-type"] == "text/x-refusal"
    assert reply.closes
    client.sock.shutdown(socket.SHUT_WR)
    assert client.ends()
    assert shared.stats()["requests"] == before


def test_what_follows_a_malformed_request_is_not_served(shared):
    before = shared.stats()["requests_total"]
    client = shared.connect()
    client.send(b"GET /hello HTTP/1.1\r\nHost : x\r\n\r\n").get(b"/hello")
    assert client.reply().status == 400
    assert client.ends()
    assert shared.stats()["requests_total"] == before + 1  # the one that asks


def test_limits_are_met_exactly(serve):
    server = serve("head_bytes=100", "target_bytes=20", "header_count=3")
    for target, status in ((b"/nothing?" + b"a" * 11, 204), (b"/nothing?" + b"a" * 12, 414)):
        assert server.get(target).status == status
    for extra, status in ((2, 204), (3, 431)):
        assert server.get(b"/nothing", headers=b"A:\r\n" * extra).status == status
    fixed = len(b"GET /nothing HTTP/1.1\r\n" + HEAD + b"A: \r\n\r\n")
    for size, status in ((100 - fixed, 204), (101 - fixed, 431)):
        assert server.get(b"/nothing", headers=b"A: " + b"a" * size + b"\r\n").status == status


# ---- time ----

def test_a_slow_head_is_refused(serve):
    server = serve("head_timeout=300")
    client = server.connect()
    start = time.monotonic()
    with contextlib.suppress(ConnectionResetError, BrokenPipeError):
        for byte in b"GET /hello HTTP/1.1\r\n" + b"A: b\r\n" * 100:
            client.send(bytes([byte]))
            if not client.is_open():
                break
    assert client.reply().status == 408
    assert 0.3 <= time.monotonic() - start < 1


def test_the_head_of_a_later_request_has_its_own_time(serve):
    server = serve("head_timeout=300", "idle_timeout=2000")
    client = server.connect()
    client.get(b"/hello").reply()
    time.sleep(0.6)
    client.send(b"GET /he")
    start = time.monotonic()
    assert client.reply().status == 408
    assert 0.2 < time.monotonic() - start < 1


def test_a_silent_connection_is_closed_without_a_word(serve):
    server = serve("head_timeout=300")
    client = server.connect()
    start = time.monotonic()
    assert client.ends()
    assert 0.3 <= time.monotonic() - start < 1


def test_an_idle_connection_is_closed_without_a_word(serve):
    server = serve("idle_timeout=300", "head_timeout=60000")
    client = server.connect()
    client.get(b"/hello").reply()
    start = time.monotonic()
    assert client.ends()
    assert 0.2 < time.monotonic() - start < 1


@pytest.mark.parametrize("head", [b"Content-Length: 10\r\n\r\nabc", CHUNKED + b"\r\n5\r\nabc"])
def test_a_body_that_stalls_is_refused(serve, head):
    server = serve("body_timeout=300")
    client = server.connect()
    client.send(b"POST /echo HTTP/1.1\r\n" + HEAD + head)
    start = time.monotonic()
    reply = client.reply()
    assert reply.status == 408 and reply.closes
    assert 0.2 < time.monotonic() - start < 1
    server.wait_for(refused=1)


def test_a_body_that_comes_slowly_is_taken(serve):
    server = serve("body_timeout=300")
    client = server.connect()
    client.send(b"POST /echo HTTP/1.1\r\n" + HEAD + b"Content-Length: 8\r\n\r\n")
    for _ in range(8):
        time.sleep(0.1)
        client.send(b"a")
    assert client.reply().body == b"aaaaaaaa"


def test_a_pause_is_not_the_clients_fault(serve):
    server = serve("body_timeout=200")
    client = server.connect()
    assert client.get(b"/count?pause_ms=600", method=b"POST", body=b"x" * 100000).reply().body == b"100000\n"


def test_the_time_for_a_body_begins_anew_behind_a_pause(serve):
    server = serve("body_timeout=400")
    client = server.connect()
    client.send(b"POST /count?pause_ms=1200 HTTP/1.1\r\n" + HEAD + b"Content-Length: 20\r\n\r\n0123456789")
    time.sleep(1.35)
    assert client.send(b"0123456789").reply().body == b"20\n"


def test_a_long_wait_is_no_timeout(serve):
    server = serve("body_timeout=100", "head_timeout=100", "idle_timeout=100", "write_timeout=100")
    assert server.get(b"/wait?ms=600").body == b"waited\n"


def test_who_takes_nothing_is_cut_off(serve):
    server = serve("write_timeout=300")
    client = server.connect(options=[(socket.SO_RCVBUF, 4096)])
    client.get(b"/stream?count=1000&size=100000")
    assert server.wait_for(gone=1) < 1.5


def test_who_takes_slowly_is_served(serve):
    server = serve("write_timeout=300")
    client = server.connect(options=[(socket.SO_RCVBUF, 4096)])
    client.get(b"/stream?count=60&size=100000&known=1")
    client.until(b"\r\n\r\n")
    size = 0
    while size < 6000000:
        data = client.rest or client.sock.recv(200000)
        client.rest = b""
        assert data
        size += len(data)
        time.sleep(0.001)
    assert size == 6000000


# ---- connections ----

def test_beyond_the_cap_idle_connections_are_closed_first(serve):
    server = serve("connection_count=3")
    old, busy, young = (server.connect() for _ in range(3))
    for client in (old, busy, young):
        client.get(b"/hello").reply()
    busy.get(b"/wait?ms=60000")
    fourth = server.connect()
    assert fourth.get(b"/hello").reply().status == 200
    assert old.ends()
    assert busy.is_open() and young.is_open()


def test_who_is_about_to_ask_is_not_closed_for_others(serve):
    """Who has just come is left some time, and whose request waits to be read is left alone."""
    server = serve("connection_count=2")
    first, second = server.connect(), server.connect()
    third = server.connect().get(b"/hello")
    for client in (first, second):
        assert client.get(b"/hello").reply().body == b"hello\n"
    assert third.reply().body == b"hello\n"
    assert first.ends()
    time.sleep(0.3)
    server.process.send_signal(signal.SIGSTOP)
    fourth = server.connect().get(b"/hello")
    second.get(b"/hello")  # idle for longer than the third, but for this
    server.process.send_signal(signal.SIGCONT)
    assert second.reply().body == b"hello\n"
    assert fourth.reply().body == b"hello\n"


def test_a_used_connection_is_younger(serve):
    server = serve("connection_count=2")
    first, second = server.connect(), server.connect()
    for client in (first, second, first):
        client.get(b"/hello").reply()
    third = server.connect()
    assert third.get(b"/hello").reply().status == 200
    assert second.ends()
    assert first.is_open()


def test_beyond_the_cap_of_busy_connections_others_wait(serve):
    server = serve("connection_count=2")
    busy = [server.connect() for _ in range(2)]
    for client in busy:
        client.get(b"/wait?ms=60000")
        time.sleep(0.05)
    third = server.connect()
    third.get(b"/hello")
    assert third.is_open()
    busy[0].close()
    assert third.reply().body == b"hello\n"


def leave_descriptors(server, count):
    """So many more can be opened."""
    used = set(map(int, os.listdir(f"/proc/{server.process.pid}/fd")))
    last = sorted(set(range(len(used) + count)) - used)[count - 1]
    subprocess.run(["prlimit", "--pid", str(server.process.pid), f"--nofile={last + 1}"], check=True)


def test_the_last_descriptor_costs_nobody_the_connection(serve):
    server = serve()
    leave_descriptors(server, 2)
    first = server.connect()
    time.sleep(0.3)
    second = server.connect()
    for client in (first, second):
        assert client.get(b"/hello").reply().body == b"hello\n"


def test_without_descriptors_others_wait(serve):
    server = serve()
    leave_descriptors(server, 2)
    busy = [server.connect() for _ in range(2)]
    for client in busy:
        client.get(b"/wait?ms=60000")
        time.sleep(0.05)
    third = server.connect()
    third.get(b"/hello")
    assert third.is_open()
    time.sleep(0.5)
    assert cpu_seconds(server.process.pid) < 0.3  # it waits, and does not spin
    busy[0].close()
    assert third.reply().body == b"hello\n"


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_nothing_spins(serve):
    """Connections in every state, all of them waiting for something."""
    server = serve()
    for part in (b"", b"GET /he", b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc"):
        server.connect().send(part)
    server.connect().get(b"/wait?ms=60000").send(b"x" * 300000)
    server.connect().get(b"/hang")
    server.connect(options=[(socket.SO_RCVBUF, 4096)]).get(b"/stream?count=1000&size=100000")
    server.connect().send(b"POST /count?pause_ms=60000 HTTP/1.1\r\nHost: x\r\nContent-Length: 900000\r\n\r\n" + b"x" * 90000)
    half = server.connect()
    half.get(b"/file?size=90000000").sock.shutdown(socket.SHUT_WR)
    for _ in range(20):
        before = cpu_seconds(server.process.pid)
        time.sleep(0.5)
        if cpu_seconds(server.process.pid) - before < 0.02:
            return
    pytest.fail("it never comes to rest")


MISCHIEF = [
    (b"GET /hello HTTP/1.1\r\nHost: x\r\n\r\n", 3),
    (b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n" + b"x" * 100000, 1),
    (b"POST /echo HTTP/1.1\r\nHost: x\r\n" + CHUNKED + b"\r\n" + chunked(b"x" * 70000, b"y" * 70000), 1),
    (b"POST /count?pause_ms=1 HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\n\r\n" + b"x" * 200000, 1),
    (b"POST /undecided?ms=5 HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n" + b"x" * 1000, 1),
    (b"POST /early HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\n\r\n" + b"x" * 200000, 1),
    (b"POST /limit HTTP/1.1\r\nHost: x\r\nContent-Length: 2000\r\n\r\n" + b"x" * 2000, 1),
    (b"GET /work?ms=5 HTTP/1.1\r\nHost: x\r\n\r\n", 1),
    (b"GET /direct?ms=2 HTTP/1.1\r\nHost: x\r\n\r\n", 2),
    (b"GET /direct?ms=0&size=3000000 HTTP/1.1\r\nHost: x\r\n\r\n", 1),
    (b"GET /wait?ms=50 HTTP/1.1\r\nHost: x\r\n\r\n", 1),
    (b"GET /stream?count=20&size=50000 HTTP/1.1\r\nHost: x\r\n\r\n", 1),
    (b"GET /stream?count=3&size=50&known=1&cut=1 HTTP/1.1\r\nHost: x\r\n\r\n", 1),
    (b"GET /file?size=1000000 HTTP/1.1\r\nHost: x\r\n\r\n", 1),
    (b"GET /hello HTTP/1.0\r\n\r\n", 1),
    (b"GET /hello HTTP/1.1\r\nHost : x\r\n\r\n", 1),
]


def misbehave(server, seed, seconds):
    chance = random.Random(seed)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        client = Client(socket.create_connection(("127.0.0.1", server.port)))
        with contextlib.suppress(OSError, EOFError):
            for _ in range(chance.randrange(1, 6)):
                request, times = chance.choice(MISCHIEF)
                data = request * times
                if chance.random() < 0.3:
                    data = data[:chance.randrange(len(data))]
                client.sock.settimeout(0.5)
                client.send(data)
                if chance.random() < 0.5:
                    client.sock.recv(chance.choice((10, 1000, 1000000)))
        with contextlib.suppress(OSError):
            chance.choice(list(GOODBYES.values()))(client)
        client.close()


def test_nothing_is_left_of_clients_that_misbehave(serve):
    server = serve("body_timeout=1000", "head_timeout=1000", "write_timeout=1000", "linger_timeout=200",
                   "connection_count=20")
    before = server.descriptors()
    threads = [threading.Thread(target=misbehave, args=(server, seed, 4)) for seed in range(16)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        assert server.get(b"/hello").body == b"hello\n"  # an honest client among them
        time.sleep(0.05)
    server.wait_for(connections=1, requests=1, waiting=0)
    server.wait_for_descriptors(before)
    assert server.rss_kib() < 32 * 1024


def test_no_descriptor_is_left(serve):
    server = serve()
    before = server.descriptors()
    for target in (b"/hello", b"/file", b"/echo", b"/stream", b"/early", b"/none", b"/upgrade", b"/work"):
        for _ in range(5):
            server.get(target, method=b"POST", body=b"abc")
    server.wait_for(connections=1)
    server.wait_for_descriptors(before)


# ---- addresses ----

def test_localhost_is_every_loopback_address(serve):
    server = serve(address="localhost:0")
    assert f"127.0.0.1:{server.port}" in server.addresses
    hosts = ["127.0.0.1"]
    if os.path.exists("/proc/net/if_inet6") and "lo" in open("/proc/net/if_inet6").read():
        assert f"[::1]:{server.port}" in server.addresses
        hosts.append("::1")
    for host in hosts:
        client = server.connect(host)
        assert client.get(b"/hello").reply().body == b"hello\n"
        peer = json.loads(client.get(b"/stats").reply().body)["peer"]
        assert peer == f"[::1]:{client.sock.getsockname()[1]}" if ":" in host else peer.startswith("127.0.0.1:")


def test_an_empty_host_is_every_address(serve):
    server = serve(address=":0")
    assert server.addresses[0] == f"0.0.0.0:{server.port}"
    for host in ["127.0.0.1", "127.0.0.2"] + (["::1"] if len(server.addresses) > 1 else []):
        assert server.connect(host).get(b"/hello").reply().body == b"hello\n"


def test_several_addresses(serve, tmp_path):
    server = serve(f"unix:{tmp_path}/s", address="127.0.0.1:0")
    assert len(server.addresses) == 2


def connect_unix(server, path):
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(path)
    return server.adopt(sock)


def test_unix_sockets(serve, tmp_path):
    path = f"{tmp_path}/socket"
    server = serve(address=f"unix:{path}")
    assert server.addresses == [f"unix:{path}"]
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o660
    client = connect_unix(server, path)
    assert client.get(b"/hello").reply().body == b"hello\n"
    assert json.loads(client.get(b"/stats").reply().body)["peer"] == "unix"
    assert client.get(b"/file?size=1000000").reply().status == 200
    server.stop()
    assert not os.path.exists(path)


def test_a_client_of_a_unix_socket_that_goes_away_is_noticed(serve, tmp_path):
    server = serve(f"unix:{tmp_path}/socket")
    for behind in (b"", b"GET /hello HTTP/1.1\r\n\r\n", b"x" * 100000):
        client = connect_unix(server, f"{tmp_path}/socket")
        client.get(b"/wait?ms=60000").send(behind)
        server.wait_for(waiting=1)
        client.close()
        assert server.wait_for(waiting=0) < 1


def test_abstract_sockets(serve):
    name = f"@cjudge-test-{os.getpid()}"
    server = serve(address=f"unix:{name}")
    assert connect_unix(server, "\0" + name[1:]).get(b"/hello").reply().body == b"hello\n"


def test_a_stale_socket_is_replaced(serve, tmp_path):
    path = f"{tmp_path}/socket"
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(path)
    stale.listen()
    stale.close()
    server = serve(address=f"unix:{path}")
    assert connect_unix(server, path).get(b"/hello").reply().body == b"hello\n"


def fails_to_listen(program, address):
    done = subprocess.run([program, address], capture_output=True, text=True, timeout=10)
    assert done.returncode == 1
    return done.stderr


def test_a_live_socket_is_not_replaced(serve, program, tmp_path):
    path = f"{tmp_path}/socket"
    server = serve(address=f"unix:{path}")
    assert fails_to_listen(program, f"unix:{path}") == \
        f"http_echo: listen at 'unix:{path}': another process listens there\n"
    assert connect_unix(server, path).get(b"/hello").reply().body == b"hello\n"


def test_a_file_is_not_replaced(program, tmp_path):
    path = tmp_path / "file"
    path.write_text("precious")
    assert "is there and no socket" in fails_to_listen(program, f"unix:{path}")
    assert path.read_text() == "precious"


def test_a_socket_that_another_has_put_there_is_not_removed(serve, tmp_path):
    path = f"{tmp_path}/socket"
    server = serve(address=f"unix:{path}")
    os.unlink(path)
    other = socket.socket(socket.AF_UNIX)
    other.bind(path)
    server.stop()
    assert os.path.exists(path)


def test_a_taken_port_is_named(serve, program):
    server = serve()
    assert fails_to_listen(program, f"localhost:{server.port}") == \
        f"http_echo: listen at 127.0.0.1:{server.port}: Address already in use\n"


@pytest.mark.parametrize("address,why", [
    ("5050", "address '5050': no port: write HOST:PORT, :PORT or unix:/PATH"),
    ("localhost:", "address 'localhost:': the port is not a number from 0 to 65535"),
    ("localhost:65536", "address 'localhost:65536': the port is not a number from 0 to 65535"),
    ("localhost:-1", "address 'localhost:-1': the port is not a number from 0 to 65535"),
    ("localhost:http", "address 'localhost:http': the port is not a number from 0 to 65535"),
    ("::1:5050", "address '::1:5050': write an IPv6 address in brackets: [::1]:5050"),
    ("no.such.host.invalid:1", "look up 'no.such.host.invalid': "),
    ("192.0.2.1:0", "listen at 192.0.2.1:0: Cannot assign requested address"),
    ("unix:", "listen at 'unix:': a socket's path has 1 to 107 bytes"),
    ("unix:/no/such/folder/s", "listen at 'unix:/no/such/folder/s': bind: No such file or directory"),
    ("unix:/" + "a" * 107, "a socket's path has 1 to 107 bytes"),
])
def test_addresses_that_cannot_be(program, address, why):
    assert why in fails_to_listen(program, address)


# ---- stopping ----

def test_a_stop_answers_what_was_accepted(serve):
    server = serve()
    idle = server.connect()
    idle.get(b"/hello").reply()
    silent = server.connect()
    waiting = server.connect()
    waiting.get(b"/wait?ms=500").get(b"/hello")
    half = server.connect()
    half.send(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\nabc")
    server.wait_for(waiting=1)
    server.process.send_signal(signal.SIGTERM)
    assert idle.ends(1) and silent.ends(1)
    with pytest.raises(ConnectionRefusedError):
        server.connect()
    half.send(b"def")
    for client, body in ((half, b"abcdef"), (waiting, b"waited\n")):
        reply = client.reply()
        assert reply.body == body and reply.closes
    assert waiting.ends()  # what was pipelined behind is not served
    assert server.process.wait(3) == 0


def test_a_stop_ends_direct_answers(serve):
    """Who is answered after it is told that the connection ends."""
    server = serve()
    answered = server.connect()
    answered.get(b"/direct").reply()
    waiting = server.connect()
    waiting.get(b"/direct?ms=400")
    server.wait_for(waiting=1)
    server.process.send_signal(signal.SIGTERM)
    assert answered.ends(1)
    reply = waiting.reply()
    assert reply.body == b"worked\n" and reply.closes
    assert waiting.ends()
    assert server.process.wait(3) == 0


def test_a_stop_waits_no_longer_than_it_was_told(serve):
    server = serve("stop_ms=300")
    client = server.connect()
    client.get(b"/wait?ms=60000")
    server.wait_for(waiting=1)
    start = time.monotonic()
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(3) == 0
    assert 0.3 <= time.monotonic() - start < 1
    assert "gone=1" in server.process.stdout.read()


def test_a_second_stop_is_at_once(serve):
    server = serve("stop_ms=60000")
    client = server.connect()
    client.get(b"/wait?ms=60000")
    server.wait_for(waiting=1)
    server.process.send_signal(signal.SIGTERM)
    time.sleep(0.2)
    assert server.process.poll() is None
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(1) == 0


def test_a_stop_without_connections_is_at_once(serve):
    server = serve()
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(1) == 0


def test_what_has_arrived_before_the_stop_is_answered(serve):
    """Requests in the kernel's queues, of connections that were not taken in yet."""
    server = serve()
    kept = server.connect()
    kept.get(b"/hello").reply()
    server.process.send_signal(signal.SIGSTOP)
    fresh = server.connect()
    for client in (kept, fresh):
        client.get(b"/hello")
    server.process.send_signal(signal.SIGTERM)
    server.process.send_signal(signal.SIGCONT)
    for client in (kept, fresh):
        reply = client.reply()
        assert reply.body == b"hello\n"
    assert server.process.wait(3) == 0
