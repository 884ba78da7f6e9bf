#!/usr/bin/python3
"""A machine with cgroup v2, for tests: Debian's cloud kernel in QEMU by software emulation.

    tests/guest/guest.py --cgroup v2-nsdelegate --with build -- build/cjudge doctor

boots it, copies `build` to the same path inside, runs the command there as root and passes its
stdin, output and exit status through (128 + n: ended by signal n; 124: timed out; 125: the guest
failed). From Python, one boot serves many commands, also several at once:

    with Guest(cgroup="v2-nsdelegate", files=["build/cjudge"]) as guest:
        rc, stdout, stderr = guest.run(["build/cjudge", "--version"], cwd=os.getcwd())
        server = guest.start(["cjudge", "serve"], delegate="system.slice/cjudge.service")

The guest has this machine's python3, gcc and libraries (userland.txt) on an ext4 root of its own;
what it writes there is gone with it. It has no network but lo and never sees this machine's files,
so hostile programs may run in it as root. Times measured under emulation mean nothing.

    pytest ── Guest ── socketpair ── qemu ── virtio-serial ── init/agent.c (pid 1) ── commands

QEMU is our child; it is killed by close(), by the kernel when we die (it asks for that through
setpriv), and the guest powers off by itself when the socket closes.
"""

import argparse
import contextlib
import io
import os
import shlex
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from collections import namedtuple
from pathlib import Path

import guest_image
from guest_image import Missing

CGROUP_MODES = ("v2-nsdelegate", "v2", "hybrid", "v1", "none")
V2_MODES = CGROUP_MODES[:2]
TOOLS = (("qemu-system-x86_64", "qemu-system-x86"), ("setpriv", "util-linux"))
ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG": "C.UTF-8",
    "TERM": "dumb",
}
BOOT_TIMEOUT_S = 120  # 3 s on an idle machine
# QEMU 7.2 gets cmpxchg16b wrong where newer kernels use it: "max,-cx16,-la57" boots 6.12 (with $CJUDGE_GUEST_DIR, where it is).
CPU = os.environ.get("CJUDGE_GUEST_CPU", "max")
OUTPUT_MAX = 256 << 20  # of one command, before it is killed

# As in init/agent.c.
FRAME = struct.Struct("<III")
START, INPUT, KILL = 1, 2, 3
READY, TAKEN, OUTPUT, ERRORS, EXIT, FAILED = 16, 17, 18, 19, 20, 21
CHUNK = 256 << 10

Result = namedtuple("Result", "rc stdout stderr")


class GuestError(Exception):
    """The guest failed, not the command in it."""


class GuestTimeout(GuestError):
    """The command took too long and was killed; stdout and stderr hold what it had said."""

    def __init__(self, message, stdout, stderr):
        super().__init__(message)
        self.stdout, self.stderr = stdout, stderr


class Process:
    """A command running in the guest. Made by Guest.start()."""

    def __init__(self, guest, number, argv, on_output):
        self.argv = argv
        self.stdout, self.stderr = bytearray(), bytearray()
        self.returncode = None  # as subprocess has it: -n for signal n
        self._guest, self._number, self._on_output = guest, number, on_output
        self._changed = threading.Condition()
        self._failure = None
        self._input_held = False

    def wait(self, timeout=None):
        """Until it has ended and everyone has closed its output. Kills it after `timeout` seconds."""
        with self._changed:
            if self._changed.wait_for(self._is_over, timeout):
                return self._outcome()
        self.kill()
        with self._changed:
            self._changed.wait_for(self._is_over, 30)
        message = f"{shlex.join(self.argv)}: still running after {timeout:.3g} s"
        raise GuestTimeout(message, bytes(self.stdout), bytes(self.stderr))

    def wait_output(self, needle, timeout=60):
        """Until stdout or stderr contains `needle`, for a server that says it is ready."""
        found = lambda: needle in self.stdout or needle in self.stderr
        with self._changed:
            self._changed.wait_for(lambda: found() or self._is_over(), timeout)
            if not found():
                raise GuestTimeout(f"{shlex.join(self.argv)} did not say {needle!r}",
                                   bytes(self.stdout), bytes(self.stderr))

    def write(self, data):
        """Feeds stdin, as fast as the command reads; what it no longer reads is dropped."""
        view = memoryview(data)
        for at in range(0, len(view), CHUNK):
            with self._changed:
                self._changed.wait_for(lambda: not self._input_held or self._is_over())
                if self._is_over():
                    return
                self._input_held = True
            self._guest._send(INPUT, self._number, view[at : at + CHUNK])

    def close_stdin(self):
        with self._changed:
            self._changed.wait_for(lambda: not self._input_held or self._is_over())
        self._guest._send(INPUT, self._number, b"")

    def kill(self):
        """Ends it and everything it started that can still be found."""
        with contextlib.suppress(GuestError):
            self._guest._send(KILL, self._number, b"")

    def _feed_all(self, data):
        with contextlib.suppress(GuestError):
            self.write(data)
            self.close_stdin()

    def _is_over(self):
        return self.returncode is not None or self._failure is not None

    def _outcome(self):
        if self._failure is not None:
            raise GuestError(f"{shlex.join(self.argv)}: {self._failure}")
        return self.returncode

    def _on_frame(self, kind, data):  # in the reader thread
        with self._changed:
            if kind in (OUTPUT, ERRORS):
                kept = self.stdout if kind == OUTPUT else self.stderr
                if self._on_output:
                    self._on_output(kind, data)
                elif len(kept) + len(data) <= OUTPUT_MAX:
                    kept += data
                else:
                    self._failure = f"more than {OUTPUT_MAX} bytes of output"
                    # Not from here: whoever is sending may be waiting for us to read on.
                    threading.Thread(target=self.kill, daemon=True).start()
            elif kind == TAKEN:
                self._input_held = False
            elif kind == EXIT:
                self.returncode = os.waitstatus_to_exitcode(struct.unpack("<I", data)[0])
            elif kind == FAILED:
                self._failure = data.decode(errors="replace")
            self._changed.notify_all()


class Guest:
    """One boot. `files` holds paths, or pairs of a path and its place in the guest; see put()."""

    def __init__(self, cgroup="v2-nsdelegate", files=(), memory_mb=1024, cpus=2,
                 boot_timeout=BOOT_TIMEOUT_S):
        if cgroup not in CGROUP_MODES:
            raise ValueError(f"cgroup must be one of {', '.join(CGROUP_MODES)}")
        self.cgroup, self.release = cgroup, None
        self._processes, self._next_number = {}, 1
        self._lock = threading.Lock()
        self._ready = threading.Event()
        self._ended = None  # why the guest is gone
        tools = [guest_image.need_tool(*tool) for tool in TOOLS]
        parts = guest_image.prepare()
        self._scratch = tempfile.mkdtemp(prefix=f"run-{os.getpid()}-", dir=guest_image.CACHE)
        self._console = Path(self._scratch, "console")
        self._socket, guest_end = socket.socketpair()
        try:
            self._reader = threading.Thread(
                target=self._read, args=(*tools, *parts, memory_mb, cpus, guest_end), daemon=True)
            self._reader.start()
            if not self._ready.wait(boot_timeout):
                self._end(f"not up after {boot_timeout:g} s")
            self._check_alive()
            for entry in files:
                self.put(*((entry,) if isinstance(entry, (str, os.PathLike)) else entry))
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def run(self, argv, stdin=b"", timeout=60, **options):
        """Runs a command to its end. Options as for start(). Returns (rc, stdout, stderr)."""
        process = self.start(argv, **options)
        deadline = time.monotonic() + timeout
        feeder = threading.Thread(target=process._feed_all, args=(stdin,), daemon=True)
        feeder.start()
        process.wait(max(0, deadline - time.monotonic()))
        feeder.join()
        return Result(process.returncode, bytes(process.stdout), bytes(process.stderr))

    def start(self, argv, user="root", delegate=None, cwd="/", env=None, on_output=None):
        """Starts a command in a session of its own and returns a Process.

        user      root, guest or nobody, or (uid, gid); no supplementary groups
        delegate  a cgroup, such as "system.slice/cjudge.service", made for the command, given to
                  its user with all controllers, as systemd does with Delegate=yes; else it runs
                  in the root cgroup
        env       more environment; None as a value removes a variable
        """
        argv = [os.fspath(argument) for argument in argv]
        uid, gid = guest_image.USERS[user] if isinstance(user, str) else user
        home = {0: "/root", 1000: "/home/guest"}.get(uid, "/")
        merged = {**ENVIRONMENT, "HOME": home, **(env or {})}
        environment = [f"{k}={v}" for k, v in merged.items() if v is not None]
        strings = [os.fspath(cwd), delegate or "", *argv, *environment]
        encoded = [string if isinstance(string, bytes) else os.fsencode(string) for string in strings]
        if not argv or any(b"\0" in string for string in encoded):
            raise ValueError("a command needs at least one word, and no NUL in any")

        with self._lock:
            number, self._next_number = self._next_number, self._next_number + 1
            process = self._processes[number] = Process(self, number, argv, on_output)
        numbers = struct.pack("<IIII", uid, gid, len(argv), len(environment))
        self._send(START, number, numbers + b"".join(string + b"\0" for string in encoded))
        return process

    def put(self, path, place=None):
        """Copies a file or a directory into the guest, by default to the same absolute path."""
        path = os.path.abspath(path)
        place = os.path.abspath(place or path)
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w", format=tarfile.GNU_FORMAT) as tar:
            tar.add(path, arcname=place[1:], filter=_owned_by_root)
        self._run_checked(["tar", "-x", "-C", "/", "--keep-directory-symlink"], archive.getbuffer())

    def put_bytes(self, data, place, mode=0o644):
        script = 'mkdir -p "$(dirname "$1")" && cat >"$1" && chmod "$2" "$1"'
        self._run_checked(["sh", "-c", script, "put", place, f"{mode:o}"], data)

    def get_bytes(self, place):
        return self._run_checked(["cat", "--", place]).stdout

    def get(self, place, path):
        """Copies a file or a directory out of the guest, to `path` itself, which must not exist."""
        parent, name = os.path.split(os.path.normpath(place))
        packed = self._run_checked(["tar", "-c", "-C", parent, "--", name]).stdout
        with tempfile.TemporaryDirectory(dir=self._scratch) as scratch:
            subprocess.run(["tar", "-x", "--no-same-owner", "-C", scratch], input=packed, check=True)
            shutil.move(Path(scratch, name), path)

    def console(self):
        """What the kernel and pid 1 have said."""
        with contextlib.suppress(OSError):
            return self._console.read_text(errors="replace")
        return ""

    def close(self):
        """Pulls the plug. Nothing of the guest is left but, after a failure, its console log."""
        self._end("closed")
        self._reader.join()
        shutil.rmtree(self._scratch, ignore_errors=True)

    def _run_checked(self, argv, stdin=b""):
        result = self.run(argv, stdin, timeout=300)
        if result.rc != 0:
            raise GuestError(f"{shlex.join(argv)}: {result.stderr.decode(errors='replace').strip()}")
        return result

    def _send(self, kind, number, data):
        frame = FRAME.pack(kind, number, len(data)) + data
        try:
            with self._lock:
                self._socket.sendall(frame)
        except OSError:
            self._reader.join(5)
            self._check_alive()
            raise GuestError("the connection to the guest is closed") from None

    def _check_alive(self):
        if self._ended is None:
            return
        tail = "\n".join(self.console().splitlines()[-50:])
        kept = ""
        if tail:
            log = guest_image.CACHE / "console.log"
            shutil.copyfile(self._console, log)
            kept = f"; its console ({os.path.relpath(log)}) ends:\n{tail}"
        raise GuestError(f"the guest ({self.cgroup}) is gone: {self._ended}{kept}")

    def _end(self, reason):
        if self._ended is None:
            self._ended = reason
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    # --- the reader thread: QEMU's parent, whose death is QEMU's ---

    def _read(self, qemu, setpriv, kernel, initramfs, disk, memory_mb, cpus, guest_end):
        command = [setpriv, "--pdeathsig", "KILL", "--", qemu] + qemu_arguments(
            kernel, initramfs, disk, self._console, guest_end.fileno(), self.cgroup, memory_mb, cpus)
        process = None
        try:
            with open(Path(self._scratch, "qemu"), "w+b") as said:
                process = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=said, stderr=said,
                    pass_fds=[guest_end.fileno()], start_new_session=True,
                    env={**os.environ, "TMPDIR": self._scratch})
                guest_end.close()
                self._read_frames()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(0 if self._ended else 2)  # its own last words, if it is dying
                said.seek(0)
                words = said.read().decode(errors="replace").strip()
            self._end(f"qemu: {words}" if words else "it powered off or crashed")
        except OSError as problem:
            self._end(str(problem))
        finally:
            if process:
                process.kill()
                process.wait()
            guest_end.close()
            self._socket.close()
            self._ready.set()
            for command in list(self._processes.values()):
                command._on_frame(FAILED, f"the guest is gone: {self._ended}".encode())

    def _read_frames(self):
        with contextlib.suppress(OSError), self._socket.makefile("rb") as stream:
            while len(header := stream.read(FRAME.size)) == FRAME.size:
                kind, number, length = FRAME.unpack(header)
                data = stream.read(length)
                if len(data) < length:
                    return
                if kind == READY:
                    self.release = data.decode()
                    self._ready.set()
                elif number in self._processes:
                    self._processes[number]._on_frame(kind, data)
                    if kind in (EXIT, FAILED):
                        del self._processes[number]


def boot_or_skip(**options):
    """A Guest for a pytest fixture. Without what it needs the tests are skipped, or, with
    CJUDGE_REQUIRE_ALL=1, failed."""
    import pytest

    try:
        return Guest(**options)
    except Missing as problem:
        if os.environ.get("CJUDGE_REQUIRE_ALL") == "1":
            pytest.fail(f"no guest: {problem}", pytrace=False)
        pytest.skip(f"no guest: {problem}")


def _owned_by_root(member):
    member.uid = member.gid = 0
    member.uname = member.gname = "root"
    return member


def qemu_arguments(kernel, initramfs, disk, console, agent_fd, cgroup, memory_mb, cpus):
    # no_timer_check: a loaded machine delivers the emulated timer late, which the kernel takes for
    # broken hardware. tsc=reliable: the same, for its clock. mitigations=off: nothing to protect.
    parameters = ("console=ttyS0 quiet loglevel=4 panic=-1 oops=panic no_timer_check tsc=reliable "
                  f"mitigations=off nokaslr guest_cgroup={cgroup}")
    disk, console = (str(path).replace(",", ",,") for path in (disk, console))
    return [
        # Never kvm: it may exist and hang, and the tests should not depend on it.
        "-machine", "q35", "-accel", "tcg", "-cpu", CPU, "-smp", str(cpus), "-m", str(memory_mb),
        "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
        "-kernel", str(kernel), "-initrd", str(initramfs), "-append", parameters,
        # What the guest writes goes to an unlinked file in $TMPDIR.
        "-drive", f"file={disk},format=raw,if=virtio,snapshot=on",
        "-chardev", f"file,id=console,path={console}", "-serial", "chardev:console",
        "-chardev", f"socket,id=agent,fd={agent_fd}",
        "-device", "virtio-serial-pci,max_ports=2",
        "-device", "virtserialport,chardev=agent,nr=1,name=agent",
    ]


# --- command line ---------------------------------------------------------------------------


def parse_arguments():
    parser = argparse.ArgumentParser(
        description="Runs a command in a QEMU guest, by default one with cgroup v2.")
    parser.add_argument("--cgroup", choices=CGROUP_MODES, default="v2-nsdelegate")
    parser.add_argument("--memory", type=int, default=1024, metavar="MIB")
    parser.add_argument("--cpus", type=int, default=2)
    parser.add_argument("--with", dest="files", action="append", default=[], metavar="PATH[:DEST]",
                        help="copy a file or directory in before")
    parser.add_argument("--get", dest="results", action="append", default=[], metavar="PATH[:DEST]",
                        help="copy a file or directory out afterwards")
    parser.add_argument("--timeout", type=float, default=300, metavar="SECONDS")
    parser.add_argument("--user", default="root", choices=sorted(guest_image.USERS))
    parser.add_argument("--delegate", metavar="CGROUP",
                        help="run in a cgroup of its own, as a systemd unit with Delegate=yes")
    parser.add_argument("--cwd", default="/")
    parser.add_argument("--env", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("command", nargs="+", metavar="COMMAND")
    return parser.parse_args()


def pass_output(kind, data):
    stream = sys.stdout if kind == OUTPUT else sys.stderr
    with contextlib.suppress(BrokenPipeError):
        stream.buffer.write(data)
        stream.buffer.flush()


def pass_input(process):
    with contextlib.suppress(GuestError, OSError):
        while not sys.stdin.isatty() and (data := os.read(0, CHUNK)):
            process.write(data)
        process.close_stdin()


def split_pair(text):
    path, _, place = text.partition(":")
    return path, place or None


def run_command_line(options):
    with Guest(options.cgroup, [split_pair(entry) for entry in options.files], options.memory,
               options.cpus) as machine:
        process = machine.start(
            options.command, user=options.user, delegate=options.delegate, cwd=options.cwd,
            env=dict(pair.split("=", 1) for pair in options.env), on_output=pass_output)
        threading.Thread(target=pass_input, args=(process,), daemon=True).start()
        status = process.wait(options.timeout)
        for place, path in map(split_pair, options.results):
            machine.get(place, path or os.path.basename(place))
        return status if status >= 0 else 128 - status


def main():
    options = parse_arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        status = run_command_line(options)
    except GuestTimeout as problem:
        print(f"guest: {problem}", file=sys.stderr)
        status = 124
    except (GuestError, Missing, OSError, subprocess.CalledProcessError) as problem:
        print(f"guest: {problem}", file=sys.stderr)
        status = 125
    sys.stdout.flush()
    os._exit(status)  # the thread that reads stdin may be waiting for ever


if __name__ == "__main__":
    main()
