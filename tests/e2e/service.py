"""A `cjudge serve` of a test's own, and a client that shows what is on the wire."""
import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import tempfile
import time

MIB = 1 << 20
SANITIZED = any(name in os.environ for name in ("ASAN_OPTIONS", "TSAN_OPTIONS"))  # they keep freed memory
START_SECONDS = 60  # sanitizers, and a machine that others use


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"{self.status} {self.body[:500]!r}"


class Service:
    """Listens at a free port of localhost; what it logs is read from its stderr, which is JSON lines."""

    def __init__(self, program, *options, env=None, address="127.0.0.1:0", judge="off", folder=None, before=()):
        self.own_folder = None if folder else tempfile.TemporaryDirectory(prefix="cjudge-serve-") # goes with us
        self.folder = folder or self.own_folder.name
        self.log_path = os.path.join(self.folder, "serve.log")
        self.options = options
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(
                [*before, program, "serve", "-http-addr", address, "-judge-addr", judge, *map(str, options)],
                cwd=self.folder,
                env={**os.environ, **(env or {})}, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.addresses = self.await_ready()
        self.address = self.addresses[0]
        self.judge_addresses = [line["address"] for line in self.log() if line.get("message") == "judging"]

    def await_ready(self):
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end:
            lines = self.log()
            if any(line.get("message") == "ready" for line in lines):
                return [line["address"] for line in lines if line.get("message") == "serving"]
            if self.process.poll() is not None:
                break
            time.sleep(0.02)
        self.process.kill()
        raise AssertionError(f"cjudge serve does not begin: {self.log_text()}")

    def log_text(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as file:
            return file.read()

    def log(self):
        """Whole lines only: the last may be on its way."""
        found = []
        for line in self.log_text().splitlines():
            try:
                found.append(json.loads(line))
            except ValueError:
                continue
        return found

    # ---- clients ----

    def socket(self):
        if self.address.startswith("unix:"):
            connection = socket.socket(socket.AF_UNIX)
            connection.settimeout(60)
            connection.connect(self.address[len("unix:"):])
            return connection
        host, port = self.address.rsplit(":", 1)
        return socket.create_connection((host.strip("[]"), int(port)), timeout=60)

    def connection(self, address=None):
        host, port = (address or self.address).rsplit(":", 1)
        return http.client.HTTPConnection(host.strip("[]"), int(port), timeout=120)

    def url(self, path):
        return f"http://{self.address}{path}"

    def request(self, method, path, body=None, headers=None, connection=None):
        own = connection is None
        connection = connection or self.connection()
        try:
            connection.request(method, path, body=body, headers=headers or {})
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        finally:
            if own:
                connection.close()

    def get(self, path, **headers):
        return self.request("GET", path, headers={k.replace("_", "-"): v for k, v in headers.items()})

    def post_run(self, body, **kwargs):
        if not isinstance(body, (bytes, str)):
            body = json.dumps(body)
        return self.request("POST", "/run", body=body, **kwargs)

    def begin_run(self, one):
        """Sends a request; the answer is read by calling what comes back."""
        connection = self.connection()
        connection.request("POST", "/run", body=json.dumps({"cmd": [one]}))

        def finish():
            response = connection.getresponse()
            answer = Answer(response.status, response.headers, response.read())
            connection.close()
            return answer
        return finish

    def run_all(self, *commands, pipes=None, **more):
        """The results of a request that is answered."""
        body = {"cmd": list(commands), **more}
        if pipes is not None:
            body["pipeMapping"] = pipes
        answer = self.post_run(body)
        assert answer.status == 200, answer
        assert answer.body.endswith(b"\n") and answer.body.count(b"\n") == 1
        results = answer.json
        assert len(results) == len(commands)
        return results

    def run(self, command, **more):
        return self.run_all(command, **more)[0]

    def upload(self, name, content, field="file"):
        body, kind = multipart(name, content, field)
        return self.request("POST", "/file", body=body, headers={"Content-Type": kind})

    def put(self, name, content):
        """The id of a new stored file."""
        answer = self.upload(name, content)
        assert answer.status == 200, answer
        return answer.json

    # ---- the judging door ----

    def judge(self, method, path, body=None, **headers):
        """A request to the judging door; a body that is no bytes goes as JSON."""
        headers = {key.replace("_", "-"): value for key, value in headers.items()}
        if body is not None and not isinstance(body, (bytes, str)):
            body = json.dumps(body)
            headers.setdefault("content-type", "application/json")
        return self.request(method, path, body=body, headers=headers,
                            connection=self.connection(self.judge_addresses[0]))

    def judged(self, path, body):
        answer = self.judge("POST", path, body)
        assert answer.status == 200, answer
        return answer.json

    # ---- the process ----

    def rss(self):
        """Bytes of memory that the service itself has (not its children)."""
        with open(f"/proc/{self.process.pid}/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def peak(self):
        """The same, at its highest since reset_peak()."""
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as file:
            line = next(line for line in file if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024

    def reset_peak(self):
        with open(f"/proc/{self.process.pid}/clear_refs", "w", encoding="ascii") as file:
            file.write("5")

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def stop(self, number=signal.SIGTERM, timeout=60):
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(timeout)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        try:
            self.stop()
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            if error[0] is None:
                raise


def multipart(name, content, field="file", boundary="x-boundary-x"):
    """(body, content type) of a form with one file."""
    head = (f'--{boundary}\r\nContent-Disposition: form-data; name="{field}"; filename="{name}"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n")
    body = head.encode() + content + f"\r\n--{boundary}--\r\n".encode()
    return body, f"multipart/form-data; boundary={boundary}"


# ---- commands ----

def collector(name, limit=10240, **more):
    return {"name": name, "max": limit, **more}


def command(*args, stdin="", **more):
    """The command that the reference's edge cases begin with; None takes a key away."""
    base = {
        "args": list(args) or ["/bin/echo", "hi"],
        "env": ["PATH=/usr/bin:/bin"],
        "files": [{"content": stdin}, collector("stdout"), collector("stderr")],
        "cpuLimit": 1000000000,
        "clockLimit": 2000000000,
        "memoryLimit": 64 << 20,
        "procLimit": 50,
        **more,
    }
    return {key: value for key, value in base.items() if value is not None}


def shell(script, **more):
    return command("/bin/sh", "-c", script, **more)


def python(source, **more):
    return command("/usr/bin/python3", "-c", source, **more)


def pipe_between(writer, reader, **more):
    return {"in": {"index": writer[0], "fd": writer[1]}, "out": {"index": reader[0], "fd": reader[1]}, **more}


WRITER = [{"content": ""}, None, collector("stderr")]
READER = [None, collector("stdout"), collector("stderr")]


# ---- what came of it ----

def refused(answer, *words, status=400):
    """A JSON string that has every word in it."""
    assert answer.status == status, answer
    assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
    text = answer.json
    assert isinstance(text, str)
    for word in words:
        assert word in text, text
    return text


def accepted(result):
    assert result["status"] == "Accepted", result
    assert result["exitStatus"] == 0
    assert "error" not in result
    return result["files"]["stdout"]


def languages_folder(folder, languages):
    """The folder, which everybody may read, with that languages.yaml; %(folder)s in it is its path."""
    folder.chmod(0o755)
    (folder / "languages.yaml").write_text(languages % {"folder": folder})
    return folder


def wait_for(condition, seconds=5):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it does not happen"
        time.sleep(0.01)


def processes(word, without=None):
    """Host pids of processes with word as an argument, and not the other one."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                words = file.read().split(b"\0")
            if word.encode() in words and (without is None or without.encode() not in words):
                found.append(int(pid))
    return found
