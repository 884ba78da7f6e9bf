"""Commands on the host's side, on cgroup v2."""
import os
import pathlib
import sys

import pytest

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(HERE))

from guest import boot_or_skip  # noqa: E402

CJUDGE = pathlib.Path(os.environ.get("CJUDGE", ROOT / "build" / "cjudge")).resolve()


@pytest.mark.parametrize("cgroup", ["v2-nsdelegate"])
def test_outside(cgroup):
    guest = boot_or_skip(cgroup=cgroup, files=[str(CJUDGE), str(HERE / "outside_check.py"), str(ROOT / "tests/e2e/service.py")],
                         memory_mb=1536, cpus=2)
    try:
        code, out, err = guest.run(["/usr/bin/python3", str(HERE / "outside_check.py"), str(CJUDGE), "cgroup v2"], timeout=600,
                                   env={"PATH": "/usr/bin:/bin"})
    finally:
        guest.close()
    assert code == 0, (out + err).decode(errors="replace")[-4000:]
