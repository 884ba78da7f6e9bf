"""The table of verdicts under pytest; run_table.py does the same without it."""
import os

import pytest

import run_table
import table

LEVELS = ("full", "no-cgroup")
PARAMETERS = [pytest.param(level, case, id=f"{level}-{case['id']}") for level in LEVELS for case in table.cases(level)]


@pytest.fixture(scope="session")
def programs(tmp_path_factory):
    return run_table.build(str(tmp_path_factory.mktemp("table-programs")))


@pytest.mark.parametrize("protection, case", PARAMETERS)
def test_verdict(protection, case, cjudge, programs):
    slow = float(os.environ.get("CJUDGE_SLOW", "1"))
    wrong, result = run_table.run_case(case, cjudge, protection, programs, slow)
    assert not wrong, f"{wrong}\n{result}"


def test_table_is_large_enough():
    """At least 40 behaviours in each language, each program used, no name twice."""
    for lang in ("c", "py"):
        names = [case["name"] for case in table.cases("full", (lang,))]
        assert len(names) == len(set(names)) and len(names) >= 40
    used = {case.get("program", case["name"]) for case in table.cases("full")}
    sources = [name for name in os.listdir(run_table.SOURCES) if not name.endswith(".h")]
    assert {name.rsplit(".", 1)[0] for name in sources} <= used
