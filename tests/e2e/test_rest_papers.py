"""docs/rest.md against the service: its examples give what it shows, and its tables name every key that is read."""
import os
import pathlib
import re
import subprocess

import pytest

from service import Service

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: control groups")

ROOT = pathlib.Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs/rest.md").read_text(encoding="utf-8")
# What no two runs have in common.
VARIES = (
    (r'"(time|memory|runTime|procPeak)":[0-9]+', r'"\1":N'),
    (r'"[A-Z2-7]{8}"', '"ID"'),
    (r"^(Date|Last-Modified): .*", r"\1: D"),
    (r"^X-Request-Id: [0-9a-f]{16}$", "X-Request-Id: X"),
)


def examples():
    """Blocks of the document that show a terminal: [(command, what it prints), ...] each."""
    found = []
    for block in re.findall(r"(?:^    .*\n|^\n(?=    ))+", TEXT, re.M):
        lines = [line[4:] for line in block.strip("\n").split("\n")]
        if not lines[0].startswith("$ "):
            continue
        steps = []
        for line in lines:
            if line.startswith("$ "):
                steps.append([line[2:], []])
            elif line.startswith("> "):
                steps[-1][0] += "\n" + line[2:]
            else:
                steps[-1][1].append(line)
        found.append(steps)
    return found


def steady(text):
    for pattern, instead in VARIES:
        text = re.sub(pattern, instead, text, flags=re.M)
    return text


@pytest.mark.parametrize("number", range(len(examples())))
def test_examples_print_what_is_shown(cjudge, tmp_path, number):
    steps = examples()[number]
    mark = "----- next -----"
    with Service(cjudge, "-parallelism", 2, folder=str(tmp_path)) as service:
        script = "".join(f"{command}\necho {mark!r}\n" for command, _ in steps).replace("localhost:5050", service.address)
        done = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, timeout=60, check=True)
    printed = done.stdout.decode().replace("\r\n", "\n").split(mark + "\n")
    for (command, wanted), got in zip(steps, printed):
        assert steady(got).rstrip("\n").split("\n") == (steady("\n".join(wanted)).split("\n")), command
    assert len(examples()) >= 6


def test_every_key_of_a_request_and_of_a_result_has_its_place():
    names = set(re.findall(r"`([A-Za-z]+)`", TEXT)) | set(re.findall(r'"([A-Za-z]+)":', TEXT))
    read = re.findall(r'\[(?:FILE|CMD|PIPE|REQUEST)_[A-Z_]+\] = "([A-Za-z]+)"',
                      (ROOT / "src/api/rest_request.c").read_text(encoding="utf-8"))
    written = re.findall(r'(?:json_key|put_text)\(json, "([A-Za-z]+)"',
                         (ROOT / "src/api/rest_result.c").read_text(encoding="utf-8"))
    kinds = re.findall(r'= "((?:Copy|Collect|Symlink)[A-Za-z]*)"', (ROOT / "src/exec/status.c").read_text(encoding="utf-8"))
    assert len(read) > 35 and len(written) >= 8 and len(kinds) == 10
    assert sorted((set(read) - {"streamIn", "streamOut"} | set(written) | set(kinds)) - names) == []


def test_keys_of_a_result_stand_in_their_order(cjudge, tmp_path):
    table = re.search(r"## A result\n(.*?)\n\n[^|\n]", TEXT, re.S).group(1)
    rows = re.findall(r"^\| `([A-Za-z]+)` \|", table, re.M)
    with Service(cjudge, "-parallelism", 1, folder=str(tmp_path)) as service:
        command = {"args": ["/bin/true"], "files": [{"content": ""}, {"name": "stdout", "max": 9}, {"name": "stderr", "max": 9}],
                   "warm": True, "copyOut": ["nosuch"], "copyOutCached": ["stderr"]}
        written = list(service.run(command))
    assert len(rows) == len(set(rows)) and {"warm", "files", "fileIds", "fileError"} <= set(written)
    assert [key for key in rows if key in written] == written
