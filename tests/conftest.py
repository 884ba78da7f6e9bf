"""What every suite that runs the binary shares."""
import os
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "table"))

REQUIRE_ALL = os.environ.get("CJUDGE_REQUIRE_ALL") == "1"


@pytest.fixture(scope="session")
def cjudge():
    """Path of the binary: CJUDGE, or build/cjudge of this tree."""
    path = os.environ.get("CJUDGE", os.path.join(HERE, "..", "build", "cjudge"))
    if not os.access(path, os.X_OK):
        pytest.skip(f"no cjudge at {path} (CJUDGE names another)")
    return os.path.abspath(path)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """CJUDGE_REQUIRE_ALL=1: a skip is a failure."""
    outcome = yield
    report = outcome.get_result()
    if REQUIRE_ALL and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped although CJUDGE_REQUIRE_ALL=1: {report.longrepr}"


def pytest_configure(config):
    config.addinivalue_line("markers", "kept: go-judge's behaviour, as it is there")
    config.addinivalue_line("markers", "better(reason): differs from go-judge on purpose")
