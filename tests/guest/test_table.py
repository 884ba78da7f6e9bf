"""The table of verdicts on cgroup v2, as systemd mounts it and without nsdelegate, and with no cgroup at all."""
import os
import pathlib
import subprocess
import sys

import pytest

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(HERE))

from guest import boot_or_skip  # noqa: E402

CJUDGE = pathlib.Path(os.environ.get("CJUDGE", ROOT / "build" / "cjudge")).resolve()
TABLE = ROOT / "tests" / "table"

# Software emulation is slower than the machine by the first factor; only limits and bounds on time are stretched. On a
# busy machine it is slower still: what differs then is run once more, alone, at the second.
SLOW = ["--slow", "5", "--again", "12"]


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    """Compiled here: a compiler under emulation takes seconds for each."""
    folder = tmp_path_factory.mktemp("programs")
    subprocess.run([sys.executable, TABLE / "run_table.py", "--build", folder], check=True)
    return folder


def run_guest(programs, cgroup, level, delegate, only):
    guest = boot_or_skip(cgroup=cgroup, files=[str(CJUDGE), str(TABLE), str(programs)], memory_mb=1536, cpus=2)
    try:
        return guest.run(
            ["/usr/bin/python3", str(TABLE / "run_table.py"), "--cjudge", str(CJUDGE), "--level", level,
             "--programs", str(programs), *SLOW] + (["--only", only] if only else []),
            timeout=900, delegate=delegate, env={"PATH": "/usr/bin:/bin"})
    finally:
        guest.close()


@pytest.mark.parametrize("cgroup, level, delegate, only", [
    ("v2-nsdelegate", "full", None, None),
    ("v2", "full", None, None),
    ("none", "no-cgroup", None, None),
    # in a subtree of systemd's, where the service first has to make room: memory, processes, time
    ("v2-nsdelegate", "full", "system.slice/cjudge.service", "bomb"),
    ("v2-nsdelegate", "full", "system.slice/cjudge.service", "fills"),
    ("v2-nsdelegate", "full", "system.slice/cjudge.service", "children"),
])
def test_same_verdicts(programs, cgroup, level, delegate, only):
    code, out, err = run_guest(programs, cgroup, level, delegate, only)
    rows = (out + err).decode(errors="replace").splitlines()
    assert code == 0, "\n".join(row for row in rows if not row.startswith("ok "))[-8000:]
