"""Warm interpreters on cgroup v2, as systemd mounts it and without nsdelegate: tests/warm, run inside. A part of it by
default; all of it with CJUDGE_WARM_ALL=1 (`./test guest-warm`)."""
import os
import pathlib
import sys

import pytest

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(HERE))

from guest import V2_MODES, boot_or_skip  # noqa: E402

CJUDGE = pathlib.Path(os.environ.get("CJUDGE", ROOT / "build" / "cjudge")).resolve()
FILES = ["tests/conftest.py", "tests/e2e/service.py", "tests/table", "tests/warm"]
LIVE = [str(CJUDGE.parent / "tests" / "unit" / name) for name in ("test_cgroup_live", "cgroup_victim")]
ALL = os.environ.get("CJUDGE_WARM_ALL") == "1"

# Every so many programs, others in each of the two machines; and the threats that groups have a part in.
STEP = 1 if ALL else 48
THREATS = {"v2-nsdelegate": "way_into or who_waits or charged or runs_of_others or falls_back or one_process or cannot_begin",
           "v2": "who_waits or runs_of_others or peak_of or is_that_of_a_cold_start and pass"}
SLOW = "8"


def run_inside(guest, path, expression, first):
    return guest.run(
        ["/usr/bin/python3", "-m", "pytest", "-q", "-rs", "--durations=8", "-p", "no:cacheprovider", *(["-k", expression] if expression else []),
         str(ROOT / "tests" / "warm" / path)],
        timeout=2400, env={"PATH": "/usr/bin:/bin", "CJUDGE": str(CJUDGE), "CJUDGE_SLOW": SLOW, "CJUDGE_WARM_STEP": str(STEP),
                           "CJUDGE_WARM_FIRST": str(first), "PYTHONDONTWRITEBYTECODE": "1"})


@pytest.mark.parametrize("cgroup", V2_MODES)
def test_warm_on_v2(cgroup):
    guest = boot_or_skip(cgroup=cgroup, files=[str(CJUDGE), *LIVE, *(str(ROOT / name) for name in FILES)], memory_mb=1536, cpus=2)
    try:
        first = 0 if ALL else V2_MODES.index(cgroup) * STEP // 2
        answers = [*(guest.run([*LIVE, part], timeout=600) for part in (["*"] if ALL else ["who_*", "page_cache_*"])),
                   run_inside(guest, "test_warm.py", "not stands_alone" if ALL else "warm_is_cold", first),
                   run_inside(guest, "test_threats.py", None if ALL else THREATS[cgroup], 0)]
    finally:
        guest.close()
    for code, out, err in answers:
        text = (out + err).decode(errors="replace")
        assert code == 0, text[-6000:]
        assert "keeps no interpreter warm" not in text and "control groups v1" not in text, text[-2000:]
