"""packaging/ and docs/deployment.md against the program."""
import pathlib
import re
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
UNIT = (ROOT / "packaging/cjudge.service").read_text(encoding="utf-8")
DOCUMENT = (ROOT / "docs/deployment.md").read_text(encoding="utf-8")


def setting(name):
    found = re.findall(rf"^{name}=(.*)$", UNIT, re.M)
    assert len(found) == 1, (name, found)
    return found[0]


def help_text(cjudge):
    return subprocess.run([cjudge, "serve", "-help"], capture_output=True, text=True, timeout=20, check=True).stdout


def test_systemd_takes_the_unit(cjudge, tmp_path):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze")
    unit = tmp_path / "cjudge.service"
    unit.write_text(UNIT.replace("/usr/local/bin/cjudge", cjudge), encoding="utf-8")
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", str(unit)], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr


def test_the_unit_leaves_runs_alone(cjudge):
    assert (setting("Delegate"), setting("KillMode"), setting("OOMPolicy")) == ("yes", "mixed", "continue")
    drain = int(re.search(r"-drain-timeout.*?default: ([0-9]+)s", help_text(cjudge), re.S).group(1))
    assert int(setting("TimeoutStopSec")) >= drain + 5
    assert "RestrictNamespaces" not in UNIT and "SystemCallFilter" not in UNIT and "PrivateUsers" not in UNIT
    for word in setting("ExecStart").split()[2:]:
        assert f"\n  {word} " in help_text(cjudge), word


def test_variables_are_those_of_the_table(cjudge, tmp_path):
    table = set(re.findall(r"\bES_[A-Z_]+", (ROOT / "docs/serve.md").read_text(encoding="utf-8")))
    default = (ROOT / "packaging/cjudge.default").read_text(encoding="utf-8")
    for text in (default, DOCUMENT):
        assert set(re.findall(r"\bES_[A-Z_]+", text)) - {"ES_"} <= table


def messages(*levels):
    """What the service can say in its log, by its source: the doors of others have papers of their own."""
    found = set()
    for path in ["src/cmd/serve.c", "src/cmd/settings.c", "src/api/exchange.c",
                 *(str(p.relative_to(ROOT)) for folder in ("base", "net", "sched", "sandbox") for p in (ROOT / "src" / folder).glob("*.c"))]:
        source = (ROOT / path).read_text(encoding="utf-8")
        for level in levels:
            found |= set(re.findall(rf'log_{level}\(\s*"([^"]+)"', source))
    return found


def test_log_lines_are_the_ones_that_are_written():
    table = DOCUMENT.split("## What the log says")[1]
    named = set()
    for line in re.findall(r"^\| (`.*?) \|", table, re.M):
        named |= set(re.findall(r"`([^`]+)`", line))
    assert messages("warn", "error") - named == set()
    assert named - messages("info", "warn", "error") == {"full"}
