"""What the guest boots: a kernel, an initramfs and a disk, made from Debian packages without root.

    cache/kernel/     linux-image-*-cloud-amd64 unpacked; never installed on this machine
    cache/init        the guest's pid 1 (tests/guest/init), static
    cache/initramfs   that, and the kernel modules needed to find the disk and the port
    cache/root-*.ext4 the userland: files of packages installed on this machine (userland.txt)

The cache is build/guest, or $CJUDGE_GUEST_DIR. Each part is made again when what it is made from
has changed, under a lock, and renamed into place when whole.
"""

import contextlib
import fcntl
import hashlib
import lzma
import os
import re
import shutil
import stat
import subprocess
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
CACHE = Path(os.environ.get("CJUDGE_GUEST_DIR") or HERE.parents[1] / "build" / "guest").resolve()

KERNEL_PACKAGE = "linux-image-cloud-amd64"
# Those for the disk and the port to the host, and those a sandbox or a test may ask for.
MODULES = ("virtio_pci", "virtio_blk", "virtio_console", "ext4", "overlay", "fuse")

# (uid, gid) by name: the guest's /etc/passwd.
USERS = {"root": (0, 0), "guest": (1000, 1000), "nobody": (65534, 65534)}

# Parts of packages that no test reads; they would double the image.
LEFT_OUT = re.compile(
    r"/usr/share/(doc|man|info|locale|lintian|bug|icons|perl|i18n|common-licenses|gdb|zoneinfo)/"
    r"|/usr/lib/udev/|/usr/lib/systemd/|/usr/lib/x86_64-linux-gnu/(gconv|perl)/|/etc/init\.d/"
)
FREE_SPACE_MB = 768  # on the guest's disk; sparse here


class Missing(Exception):
    """The guest cannot be made on this machine; says what to install or run."""


def need_tool(name, package):
    path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if not path:
        raise Missing(f"{name} not found (Debian package {package})")
    return path


def prepare(progress=lambda text: None):
    """Makes what is missing or stale. Returns (kernel, initramfs, disk)."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(CACHE / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        remove_leftovers()
        kernel = kernel_find()
        return kernel, make_initramfs(kernel, progress), make_disk(progress)


def remove_leftovers():
    """Scratch directories of harnesses that were killed. Their names hold their pids."""
    for scratch in CACHE.glob("run-*-*"):
        if not Path("/proc", scratch.name.split("-")[1]).exists():
            shutil.rmtree(scratch, ignore_errors=True)


@contextlib.contextmanager
def new_file(path):
    """A name to write to, renamed to `path` if the block succeeds."""
    partial = path.with_name(path.name + ".partial")
    try:
        yield partial
        partial.rename(path)
    finally:
        partial.unlink(missing_ok=True)


def digest(*parts):
    total = hashlib.sha256()
    for part in parts:
        data = part.read_bytes() if isinstance(part, Path) else repr(part).encode()
        total.update(len(data).to_bytes(8, "little") + data)
    return total.hexdigest()[:16]


# --- kernel ---------------------------------------------------------------------------------


def kernel_find():
    kernels = sorted((CACHE / "kernel").glob("boot/vmlinuz-*-cloud-amd64"))
    if not kernels:
        raise Missing(f"no kernel for the guest: run {os.path.relpath(HERE / 'set-up')}")
    return kernels[-1]


def kernel_fetch(progress):
    """Downloads the newest cloud kernel with apt, which checks its signature, and unpacks it."""
    depends = subprocess.run(
        ["apt-cache", "depends", "--important", KERNEL_PACKAGE], capture_output=True, text=True
    )
    found = re.search(r"Depends: (linux-image-\S+-cloud-amd64)\s", depends.stdout)
    if not found:
        raise Missing(f"apt does not know {KERNEL_PACKAGE}: run apt-get update")
    package, place = found[1], CACHE / "kernel"
    if (place / "boot" / package.replace("linux-image", "vmlinuz")).exists():
        progress(f"{package} is there")
        return

    progress(f"download {package}")
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
        got = subprocess.run(
            ["apt-get", "download", "-qq", "-o", "APT::Sandbox::User=", package],
            cwd=scratch, capture_output=True, text=True,
        )
        debs = list(Path(scratch).glob("*.deb"))
        if got.returncode != 0 or not debs:
            raise Missing(f"apt-get download {package}: {got.stderr.strip()}")
        progress(f"unpack {debs[0].name} ({debs[0].stat().st_size >> 20} MiB)")
        subprocess.run(["dpkg-deb", "-x", debs[0], Path(scratch, "new")], check=True)
        shutil.rmtree(place, ignore_errors=True)
        Path(scratch, "new").rename(place)


def module_data(path):
    data = path.read_bytes()
    return lzma.decompress(data) if path.suffix == ".xz" else data


def modules_in_order(kernel):
    """[(name, bytes)] of MODULES and what they depend on, dependencies first."""
    release = kernel.name.removeprefix("vmlinuz-")
    tree = next(p for p in (CACHE / "kernel" / top / "modules" / release
                            for top in ("lib", "usr/lib")) if p.is_dir())
    paths = {p.name.split(".ko")[0].replace("-", "_"): p for p in tree.rglob("*.ko*")}
    built_in = {Path(line).stem.replace("-", "_")
                for line in (tree / "modules.builtin").read_text().split()}
    order = {}

    def add(name):
        if name in order or name in built_in:
            return
        data = module_data(paths[name])
        # There is no modules.dep before depmod has run; the .modinfo section says the same.
        depends = re.search(rb"\0depends=([^\0]*)\0", data)
        for other in depends[1].decode().replace("-", "_").split(",") if depends else ():
            if other:
                add(other)
        order[name] = data

    for name in MODULES:
        add(name)
    return list(order.items())


# --- initramfs ------------------------------------------------------------------------------


def make_init(progress):
    sources = sorted((HERE / "init").glob("*.[ch]"))
    command = ["gcc", "-std=gnu17", "-D_GNU_SOURCE", "-O2", "-static", "-Wall", "-Wextra"]
    init = CACHE / f"init-{digest(command, *sources)}"
    if not init.exists():
        need_tool("gcc", "gcc")
        progress("compile the guest's init")
        for old in CACHE.glob("init-*"):
            old.unlink()
        with new_file(init) as partial:
            subprocess.run(command + ["-o", partial] + [s for s in sources if s.suffix == ".c"],
                           check=True)
    return init


def cpio_newc(entries):
    """An initramfs of (name, mode, data): Documentation/driver-api/early-userspace/buffer-format.rst"""
    out = bytearray()
    for inode, (name, mode, data) in enumerate([*entries, ("TRAILER!!!", 0, b"")], 1):
        numbers = (inode, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0)
        out += b"070701" + b"".join(b"%08X" % n for n in numbers) + name.encode() + b"\0"
        out += bytes(-len(out) % 4) + data
        out += bytes(-len(out) % 4)
    return bytes(out)


def make_initramfs(kernel, progress):
    init = make_init(progress)
    path = CACHE / f"initramfs-{digest(kernel.name, MODULES, init)}"
    if not path.exists():
        progress("make the initramfs")
        for old in CACHE.glob("initramfs-*"):
            old.unlink()
        entries = [(name, stat.S_IFDIR | 0o755, b"") for name in ("dev", "modules")]
        entries.append(("init", stat.S_IFREG | 0o755, init.read_bytes()))
        for number, (name, data) in enumerate(modules_in_order(kernel)):
            entries.append((f"modules/{number:02}-{name}.ko", stat.S_IFREG | 0o644, data))
        with new_file(path) as partial:
            partial.write_bytes(cpio_newc(entries))
    return path


# --- disk -----------------------------------------------------------------------------------


def installed_packages():
    """({name: (version, [[alternative, ...], ...] it depends on)}, {virtual name: provider},
    [essential name, ...])"""
    rows = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Package}\t${db:Status-Abbrev}\t${Version}\t"
         "${Pre-Depends},${Depends}\t${Provides}\t${Essential}\n"],
        check=True, capture_output=True, text=True).stdout
    packages, providers, essential = {}, {}, []
    for row in rows.splitlines():
        name, status, version, depends, provides, is_essential = row.split("\t")
        if not status.startswith("ii"):
            continue
        groups = [[re.split(r"[\s(:]", choice.strip())[0] for choice in group.split("|")]
                  for group in depends.split(",")]
        packages[name] = (version, groups)
        if is_essential == "yes":
            essential.append(name)
        for virtual in provides.split(","):
            providers.setdefault(virtual.split("(")[0].strip(), name)
    return packages, providers, essential


def userland_packages():
    """Essential packages, those of userland.txt and all they depend on: [(name, version), ...]."""
    packages, providers, essential = installed_packages()
    lines = (line.split("#")[0].strip() for line in (HERE / "userland.txt").open())
    todo, closure = essential + [line for line in lines if line], {}
    while todo:
        name = todo.pop()
        name = name if name in packages else providers.get(name)
        if name is None or name in closure:
            continue
        version, groups = packages[name]
        closure[name] = version
        for group in groups:
            todo += [choice for choice in group if choice in packages or choice in providers][:1]
    return sorted(closure.items())


def userland_paths(packages):
    listing = subprocess.run(["dpkg-query", "-L", *packages], check=True, capture_output=True,
                             text=True).stdout
    paths = {line for line in listing.splitlines() if line.startswith("/") and line != "/."}
    for line in list(paths):
        if line.endswith(".py"):  # compiled by the package's installation, so in no list
            path = Path(line)
            paths.update(map(str, (path.parent / "__pycache__").glob(f"{path.stem}.cpython-3*.pyc")))
    return sorted(path for path in paths if not LEFT_OUT.search(path + "/"))


def alternatives(paths):
    """Links like /usr/bin/cc, which update-alternatives makes: {link: what it leads to}."""
    links = {}
    for record in Path("/var/lib/dpkg/alternatives").glob("*"):
        # update-alternatives(1): mode, link, then pairs of slave name and slave link, then ""
        lines = record.read_text().split("\n\n")[0].splitlines()[1:]
        lines = ["", *lines[: lines.index("")]] if "" in lines else ["", *lines]
        for link in lines[1::2]:
            if os.path.islink(link) and os.path.realpath(link) in paths:
                links[link] = os.path.realpath(link)
    return links


def copy_entry(source, root):
    """One file, directory or link of this machine into `root`, which has /usr merged."""
    target = root / str(Path(os.path.realpath(os.path.dirname(source)), os.path.basename(source)))[1:]
    target.parent.mkdir(parents=True, exist_ok=True)
    if os.path.lexists(target):
        return
    if os.path.islink(source):
        target.symlink_to(os.readlink(source))
    elif os.path.isdir(source):
        target.mkdir()
        shutil.copymode(source, target)
    elif os.path.isfile(source):
        with contextlib.suppress(PermissionError):  # not root here, and nobody's business there
            shutil.copy2(source, target)


def write_etc(root):
    etc = root / "etc"
    homes = {"root": "/root", "guest": "/home/guest", "nobody": "/nonexistent"}
    passwd = [f"{n}:x:{u}:{g}:{n}:{homes[n]}:/bin/bash\n" for n, (u, g) in USERS.items()]
    group = [f"{'nogroup' if n == 'nobody' else n}:x:{g}:\n" for n, (u, g) in USERS.items()]
    files = {
        "passwd": "".join(passwd),
        "group": "".join(group) + "tty:x:5:\n",
        "hosts": "127.0.0.1 localhost guest\n::1 localhost\n",
        "hostname": "guest\n",
        "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
        "resolv.conf": "",
    }
    for name, text in files.items():
        (etc / name).unlink(missing_ok=True)
        (etc / name).write_text(text)


def fill_root(root, packages, progress):
    for name in ("usr/bin", "usr/sbin", "usr/lib", "usr/lib64", "usr/lib32", "usr/libx32", "etc",
                 "home/guest", "mnt", "opt", "srv", "proc", "sys", "dev", "run", "var/lib"):
        (root / name).mkdir(parents=True)
    for name in ("bin", "sbin", "lib", "lib64", "lib32", "libx32"):
        (root / name).symlink_to(f"usr/{name}")
    (root / "root").mkdir(mode=0o700)
    for name in ("tmp", "var/tmp"):
        (root / name).mkdir()
        (root / name).chmod(0o1777)

    paths = userland_paths(packages)
    progress(f"copy {len(paths)} files of {len(packages)} packages")
    for path in paths:
        copy_entry(path, root)
    for link, target in alternatives(set(paths)).items():
        place = root / link[1:]
        if place.parent.is_dir() and not os.path.lexists(place):
            place.symlink_to(target)
    write_etc(root)


def tree_size(root):
    return sum(-(-os.lstat(os.path.join(top, name)).st_size // 4096) * 4096
               for top, _, names in os.walk(root) for name in names)


def make_ext4(root, path):
    size_mb = tree_size(root) * 110 // 100 // (1 << 20) + FREE_SPACE_MB
    command = [need_tool("mke2fs", "e2fsprogs"), "-q", "-F", "-t", "ext4", "-m", "0", "-i", "8192",
               "-O", "^has_journal,^metadata_csum", "-E", "root_owner=0:0,lazy_itable_init=1",
               "-d", root, path, f"{size_mb}M"]
    if os.geteuid() != 0:  # our files are root's on the disk
        command = ["unshare", "--map-root-user", *command]
    subprocess.run(command, check=True, capture_output=True)


def make_disk(progress):
    packages = userland_packages()
    path = CACHE / f"root-{digest(packages, Path(__file__))}.ext4"
    if not path.exists():
        for old in CACHE.glob("root-*.ext4"):
            old.unlink()
        with tempfile.TemporaryDirectory(dir=CACHE, prefix="root-") as scratch:
            root = Path(scratch, "root")
            root.mkdir()
            fill_root(root, [name for name, _ in packages], progress)
            progress("make the disk")
            with new_file(path) as partial:
                make_ext4(root, partial)
    return path
