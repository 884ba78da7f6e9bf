"""The examples of docs/trainers.md, as they stand there but for the address."""
import os
import pathlib
import re
import subprocess
import urllib.request

import pytest

from service import Service

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: control groups")

ROOT = pathlib.Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs/trainers.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)
EXAMPLES = [(kind, text) for kind, text in BLOCKS if kind in ("sh", "python")]
SERVES = [line for kind, text in BLOCKS if kind == "serve" for line in text.splitlines()]


@pytest.fixture(scope="module")
def address(cjudge, tmp_path_factory):
    with Service(cjudge, "-parallelism", 2, judge="127.0.0.1:0", folder=str(tmp_path_factory.mktemp("trainers"))) as started:
        yield started.judge_addresses[0]


def test_there_are_examples():
    assert len(EXAMPLES) >= 7 and len(SERVES) >= 4 and len(BLOCKS) == TEXT.count("\n```") // 2


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_example(address, tmp_path, number):
    kind, text = EXAMPLES[number]
    assert "localhost:8000" in text
    text = text.replace("localhost:8000", address)
    argv = ["/usr/bin/python3", "-c", text] if kind == "python" else ["bash", "-ec", text]
    done = subprocess.run(argv, env={**os.environ, "PYTHONPATH": str(ROOT / "clients/python")}, cwd=tmp_path,
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    if kind == "sh":
        assert '"success":true' in done.stdout or done.stdout.count("\n") == 4 and '"Wrong Answer"' in done.stdout, done.stdout


@pytest.mark.parametrize("line", SERVES)
def test_service_begins(cjudge, tmp_path, line):
    """Other addresses, which come last and so count; the rest is the line's."""
    *assignments, program, command = line[:line.index("serve") + len("serve")].split()
    options = line[line.index("serve") + len("serve"):].split()
    assert (program, command) == ("cjudge", "serve")
    for name in ("-judge-addr", "-http-addr"):
        if name in options:
            at = options.index(name)
            del options[at:at + 2]
    with Service(cjudge, *options, judge="127.0.0.1:0", env=dict(a.split("=", 1) for a in assignments),
                 folder=str(tmp_path)) as service:
        with urllib.request.urlopen(f"http://{service.judge_addresses[0]}/ping", timeout=10) as answer:
            assert answer.read() == b'"pong"'
