"""What a probe could have changed on the host, before and after. Everything is attributed to this test
process where the kernel allows it: other users of the machine do not disturb it."""
import ctypes
import glob
import os
import socket
import time

MIB = 1 << 20
CGROUP_ROOT = "/sys/fs/cgroup"
CGROUP_PREFIX = f"cjudge-probe-{os.getpid()}"
PR_SET_CHILD_SUBREAPER = 36
CLONE_NEWNS, CLONE_NEWIPC = 0x00020000, 0x08000000
MS_REC, MS_PRIVATE, MS_SHARED = 16384, 1 << 18, 1 << 20
SETTINGS = ["/proc/sys/kernel/core_pattern", "/proc/sys/kernel/hostname", "/proc/sys/kernel/domainname",
            "/proc/sys/vm/overcommit_memory", "/proc/sys/kernel/randomize_va_space", "/proc/sys/kernel/modprobe",
            "/proc/sys/user/max_user_namespaces", "/proc/sys/kernel/pid_max", "/proc/sys/kernel/shmmax",
            "/proc/sys/fs/file-max", "/proc/sys/net/ipv4/ip_forward", "/proc/sys/kernel/printk",
            "/proc/sys/kernel/sysrq", "/proc/sys/fs/pipe-max-size", "/proc/sys/kernel/keys/maxkeys"]
FILES = ["/usr/bin/python3", "/bin/sh", "/etc/passwd", "/etc/shadow", "/etc/hosts", "/etc/hostname", "/usr", "/etc",
         "/bin", "/lib", "/dev", "/dev/null", "/dev/zero", "/dev/full", "/dev/urandom", "/dev/tty", "/tmp", "/dev/shm",
         "/var/tmp"]

libc = ctypes.CDLL(None, use_errno=True)
private = False  # whether make_private() worked


def adopt_orphans():
    """Whatever our children leave behind becomes our child: nothing can hide by re-parenting."""
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def make_private():
    """Mounts, IPC and the directories for temporary files of this process and its children become their
    own, so that whatever appears there comes from a probe. Mount propagation stays shared inside, as on a
    host with systemd: a container that forgets to cut it is seen."""
    global private
    if os.geteuid() != 0 or libc.unshare(CLONE_NEWNS | CLONE_NEWIPC) != 0:
        return
    libc.mount(None, b"/", None, MS_REC | MS_PRIVATE, None)
    for folder in (b"/dev/shm", b"/var/tmp", b"/tmp"):
        if libc.mount(b"tmpfs", folder, b"tmpfs", 0, b"mode=1777") != 0:
            raise OSError(ctypes.get_errno(), f"mount tmpfs on {folder}")
    libc.mount(None, b"/", None, MS_REC | MS_SHARED, None)
    private = True


def parents():
    """pid -> (parent, state, name) of every process."""
    table = {}
    for path in glob.glob("/proc/[0-9]*/stat"):
        try:
            with open(path, errors="replace") as file:
                text = file.read()
        except OSError:
            continue
        head, tail = text.rsplit(")", 1)
        fields = tail.split()
        pid, name = head.split("(", 1)
        table[int(pid)] = (int(fields[1]), fields[0], name)
    return table


def reap_orphans(keep=()):
    """Zombies that we adopted, as an ordinary pid 1 would have reaped them."""
    for pid, (parent, state, _) in parents().items():
        if parent == os.getpid() and state == "Z" and pid not in keep:
            try:
                os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                pass


def descendants(of=None):
    """pid -> (state, name) of every process below one; by default below this process."""
    table, found, border = parents(), {}, {of or os.getpid()}
    while border:
        border = {pid for pid, (parent, _, _) in table.items() if parent in border and pid not in found}
        found.update((pid, table[pid][1:]) for pid in border)
    return found


def cgroups():
    """Directories of our own cjudge processes below every hierarchy."""
    found = set()
    for top in glob.glob(f"{CGROUP_ROOT}/*/{CGROUP_PREFIX}") + glob.glob(f"{CGROUP_ROOT}/{CGROUP_PREFIX}"):
        found |= {path for path, _, _ in os.walk(top) if path != top}
    return found


def remove_cgroup_prefix():
    """The empty directories that a prefix of our own leaves."""
    for top in glob.glob(f"{CGROUP_ROOT}/*/{CGROUP_PREFIX}") + glob.glob(f"{CGROUP_ROOT}/{CGROUP_PREFIX}"):
        try:
            os.rmdir(top)
        except OSError:
            pass


def read(path):
    try:
        with open(path, errors="replace") as file:
            return file.read()
    except OSError as error:
        return type(error).__name__


def mounts():
    return {line.split(" - ")[0].split(" ", 3)[3] + line.split(" - ")[1]
            for line in read("/proc/self/mountinfo").splitlines()}


def identity(path):
    try:
        info = os.stat(path)
    except OSError as error:
        return type(error).__name__
    if path in ("/tmp", "/dev/shm", "/var/tmp"):
        return (info.st_mode, info.st_uid, info.st_gid)
    if path.startswith("/dev/"):
        return (info.st_mode, info.st_uid, info.st_gid, info.st_rdev)
    return (info.st_mode, info.st_uid, info.st_gid, info.st_size, info.st_mtime_ns, info.st_ino)


def names_in(folder):
    try:
        return {name for name in os.listdir(folder) if (private or "cjudge" in name) and not name.startswith("pytest-of-")}
    except OSError:
        return set()


def ipc_objects():
    if not private:
        return set()
    return {(kind, line) for kind in ("shm", "sem", "msg") for line in read(f"/proc/sysvipc/{kind}").splitlines()[1:]}


def available_memory():
    for line in read("/proc/meminfo").splitlines():
        if line.startswith("MemAvailable"):
            return int(line.split()[1]) * 1024
    return 0


class Snapshot:
    """The state of the host at one moment. `differences()` compares with now, waiting up to 2 s."""

    def __init__(self):
        reap_orphans()
        self.processes = descendants()
        self.cgroups = cgroups()
        self.memory = available_memory()
        self.state = self.look()
        self.clock = time.time() - time.monotonic()

    @staticmethod
    def look():
        return dict(
            mounts=mounts(),
            ipc=ipc_objects(),
            files={path: identity(path) for path in FILES},
            settings={path: read(path) for path in SETTINGS},
            hostname=socket.gethostname(),
            names={folder: names_in(folder) for folder in ("/dev/shm", "/var/tmp", "/tmp", "/run/lock", "/run")},
            descriptors=len(os.listdir("/proc/self/fd")),
            keys=len([line for line in read("/proc/keys").splitlines() if "cjudge" in line]),
            affinity=os.sched_getaffinity(0),
        )

    def once(self):
        reap_orphans()
        found = [f"process {pid} {name} ({state}) is left" for pid, (state, name) in descendants().items()
                 if pid not in self.processes]
        found += [f"cgroup {path} is left" for path in sorted(cgroups() - self.cgroups)]
        now = self.look()
        for key, before in self.state.items():
            if now[key] != before:
                if isinstance(before, dict):
                    found += [f"{key} {name}: {before[name]!r} became {now[key][name]!r}" for name in before
                              if before[name] != now[key].get(name)]
                else:
                    found.append(f"{key}: {before!r} became {now[key]!r}" if not isinstance(before, set) else
                                 f"{key}: gone {before - now[key]!r}, new {now[key] - before!r}")
        if abs(time.time() - time.monotonic() - self.clock) > 1:
            found.append("the clock was set")
        return found

    def processes_left(self, seconds=2.0):
        """Only the processes: after kill -9 the rest waits for the next start."""
        deadline = time.monotonic() + seconds
        while True:
            reap_orphans()
            found = {pid: found for pid, found in descendants().items() if pid not in self.processes}
            if not found or time.monotonic() > deadline:
                return found
            time.sleep(0.02)

    def differences(self, seconds=2.0):
        deadline = time.monotonic() + seconds
        while True:
            found = self.once()
            if not found or time.monotonic() > deadline:
                return found
            time.sleep(0.02)

    def memory_lost(self, tolerance=16 * MIB, seconds=2.0):
        """Bytes of memory that did not come back. Other users of the machine disturb this one: ask again."""
        deadline = time.monotonic() + seconds
        while True:
            lost = self.memory - available_memory()
            if lost <= tolerance or time.monotonic() > deadline:
                return max(lost, 0)
            time.sleep(0.05)
