"""Languages: what `cjudge languages` lists and checks, what the judging door says of them, and one program in each
that is installed."""
import json
import os
import subprocess
import time

import pytest

import ordinary
from service import Service

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: control groups")

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
FIRST_CLASS = ["c", "cpp", "cpp17", "cpp20", "cpp23", "python", "pypy", "java", "node", "go", "rust", "bash"]
KEYS = ["id", "name", "aliases", "source", "installed", "missing", "version", "packages", "first_class"]
LINE = "one line, with (brackets) and a %d"

# Made-up languages: one that works, some that do not, each in its own way.
FILE = r"""
languages:
  - id: good
    name: Good
    aliases: [fine]
    source: main.sh
    check: sh -n {source}
    run: sh {source}
    version: sh -c 'echo; echo good 1.0; echo more'
    packages: [dash]
    first_class: true
    examples: &shell
      hello: 'echo "Hello, world!"'
      echo: 'head -n 1'
      error: 'exit 3'
      loop: 'while :; do :; done'
  - id: bad
    source: main.sh
    run: sh {source}
    examples:
      hello: 'echo "Hello, moon!"'
      echo: 'kill -9 $$'
      error: 'exit 0'
      loop: 'sleep 100'
  - id: silent
    source: main.sh
    run: sh {source}
    version: sleep 100
  - id: careless
    source: main.sh
    check: 'true'
    run: sh {source}
    version: sh -c 'echo no such option >&2; exit 1'
  - id: absent
    name: Absent
    source: main.x
    exe: main
    build: nosuch-compiler {source}
    run: ./{exe}
    packages: [absent-dev, absent]
  - id: hidden
    name: Hidden
    source: main.x
    exe: main
    build: sh -c 'nosuch-compiler {source}'
    run: ./{exe}
    needs: [nosuch-compiler]
  - id: uninterpreted
    name: Uninterpreted
    source: main.x
    run: nosuch-interpreter {source}
    packages: [interpreter]
"""


def languages(cjudge, *words, **more):
    return subprocess.run([cjudge, "languages", *words], capture_output=True, text=True, timeout=600, **more)


def as_json(cjudge, *words):
    answer = languages(cjudge, "--json", *words)
    assert answer.stderr == "", answer
    return answer.returncode, json.loads(answer.stdout)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("languages") / "languages.yaml"
    path.write_text(FILE)
    return str(path)


# ---- the list ----

@pytest.fixture(scope="module")
def listed(cjudge):
    status, listed = as_json(cjudge)
    assert status == 0
    return listed


def test_the_list(listed):
    assert [one["id"] for one in listed if one["first_class"]] == FIRST_CLASS
    assert len(listed) >= 45
    for one in listed:
        assert list(one)[:len(KEYS)] == KEYS
        assert one["installed"] == (one["missing"] is None)
        assert one["installed"] or one["version"] is None
        assert one["packages"] or not one["first_class"]
    python = next(one for one in listed if one["id"] == "python")
    assert python["installed"] and python["version"].startswith("Python 3.")
    assert "python3" in python["aliases"] and python["source"] == "main.py" and python["packages"] == ["python3"]


def test_a_table_for_people(cjudge, file):
    answer = languages(cjudge, "--languages", file, "fine", "careless")
    assert (answer.returncode, answer.stderr) == (0, "")
    rows = [line.split() for line in answer.stdout.splitlines()]
    assert rows == [["LANGUAGE", "NAME", "ALIASES", "VERSION"], ["ok", "good", "Good", "fine", "good", "1.0"],
                    ["ok", "careless", "careless"]]
    assert "\033" not in answer.stdout


def test_what_is_absent_is_said_with_the_command(cjudge, file):
    answer = languages(cjudge, "--languages", file, "absent", "hidden")
    assert answer.returncode == 1 and answer.stderr == ""
    assert "no nosuch-compiler: apt-get install absent-dev absent\n" in answer.stdout
    assert "no nosuch-compiler, and no package of Debian's has it\n" in answer.stdout
    began = time.monotonic()
    answer = languages(cjudge, "--languages", file)
    assert answer.returncode == 0  # it was not asked for by name
    assert time.monotonic() - began < 40  # one of them never tells its version


def test_the_packages_are_those_of_the_lists(listed):
    def lines(name):
        with open(os.path.join(ROOT, "tools", "packages", name + ".txt"), encoding="utf-8") as list_file:
            return {line.split("#")[0].strip() for line in list_file} - {""}

    for name, first_class in (("languages", True), ("languages-all", False)):
        wanted = {package for one in listed if one["first_class"] == first_class for package in one["packages"]}
        assert lines(name) <= wanted
        assert wanted <= lines("build") | lines("test") | lines("languages") | lines(name)


@pytest.mark.parametrize("words, message", [
    (["nosuch"], "there is no language 'nosuch'"),
    (["--nosuch"], "nosuch"),
    (["--languages", "/nosuch.yaml"], "-languages /nosuch.yaml: No such file or directory"),
    (["--loop-limit", "1ms"], "-loop-limit: at least 100ms"),
    (["--parallelism", "5000"], "-parallelism: at most 1024"),
])
def test_wrong_usage(cjudge, words, message):
    answer = languages(cjudge, *words)
    assert answer.returncode == 125 and answer.stdout == "" and message in answer.stderr


def test_a_broken_file_is_named_with_its_line(cjudge, tmp_path):
    path = tmp_path / "broken.yaml"
    path.write_text("languages:\n  - {id: x, source: a, run: a, examples: {helo: a}}\n")
    answer = languages(cjudge, "--languages", str(path))
    assert answer.returncode == 125
    assert f"{path}:2: languages[0].examples: 'helo' is no key of this" in answer.stderr


# ---- the check ----

STEPS = ["hello", "echo", "error", "loop", "syntax"]


def test_what_works_is_good(cjudge, file):
    status, (one,) = as_json(cjudge, "--check", "--loop-limit", "200ms", "--languages", file, "good")
    assert status == 0
    assert list(one["check"]) == ["ok", *STEPS]
    assert one["check"]["ok"] and all(one["check"][step]["ok"] for step in STEPS), one
    assert one["check"]["loop"]["cpu_ns"] >= 200_000_000
    assert one["check"]["hello"]["build_wall_ns"] > 0 and one["check"]["hello"]["memory_bytes"] > 0


def test_what_does_not_is_told(cjudge, file):
    status, listed = as_json(cjudge, "--check", "--loop-limit", "100ms", "--languages", file, "bad", "careless")
    assert status == 1
    bad, careless = (one["check"] for one in listed)
    assert not bad["ok"] and not any(bad[step]["ok"] for step in STEPS[:4])
    assert "syntax" not in bad  # nothing builds or checks it
    assert bad["hello"]["message"].startswith("Wrong Answer: ")
    assert bad["echo"]["message"] == "Signalled 9: "
    assert bad["error"]["message"] == "Accepted: "
    assert bad["loop"]["message"].startswith("ended by the clock, after 0.0")
    assert not careless["ok"] and careless["syntax"]["message"] == "build: what is no program was accepted"


def test_the_check_for_people(cjudge, file):
    answer = languages(cjudge, "--check", "--loop-limit", "100ms", "--languages", file, "good", "bad", "absent")
    assert answer.returncode == 1
    lines = answer.stdout.splitlines()
    assert lines[1].startswith("ok    good ") and lines[1].endswith(" hello echo error loop syntax")
    assert lines[2].startswith("FAIL  bad ")
    assert lines[3].startswith("        hello: Wrong Answer: ")
    assert lines[-1] == "-     absent        Absent is not installed: apt-get install absent-dev absent"
    assert answer.stderr == "1 work, 1 failed, 1 not installed\n"


@pytest.mark.parametrize("level", ["full", "no-cgroup"])
def test_c_and_python_work_at_each_level(cjudge, level):
    answer = languages(cjudge, "--check", "--protection", level, "c", "cpp", "python", "bash")
    assert answer.returncode == 0, answer
    assert answer.stdout.count("ok    ") == 4


def test_the_manual_holds_every_key(cjudge):
    del cjudge
    with open(os.path.join(ROOT, "src", "judge", "language.c"), encoding="utf-8") as source:
        text = source.read()
    keys = set()
    for words in text.split("keys[] = {")[1:]:
        keys |= {word.strip().strip('"') for word in words.split("NULL}")[0].split(",")} - {""}
    with open(os.path.join(ROOT, "docs", "languages.md"), encoding="utf-8") as manual:
        manual = manual.read()
    assert len(keys) > 20
    assert {key for key in keys if f"`{key}`" not in manual and key != "languages"} == set()


# ---- the judging door ----

@pytest.fixture(scope="module")
def service(cjudge, tmp_path_factory):
    with Service(cjudge, judge="127.0.0.1:0", env={"MAX_EXECUTION_TIME": "60"},
                 folder=str(tmp_path_factory.mktemp("judge"))) as started:
        yield started
        assert started.process.poll() is None, started.log_text()


@pytest.fixture(scope="module")
def made_up(cjudge, file, tmp_path_factory):
    with Service(cjudge, "-languages", file, judge="127.0.0.1:0",
                 folder=str(tmp_path_factory.mktemp("made-up"))) as started:
        yield started


def await_versions(service, ids, seconds=60):
    end = time.monotonic() + seconds
    while True:
        listed = {one["id"]: one for one in service.judge("GET", "/languages").json}
        if all(listed[one]["version"] for one in ids) or time.monotonic() > end:
            return listed
        time.sleep(0.1)


def test_get_languages(service):
    answer = service.judge("GET", "/languages")
    assert answer.status == 200 and answer.headers["content-type"] == "application/json"
    assert all(list(one) == [*KEYS, "warm", "cold_because"] for one in answer.json)
    listed = await_versions(service, ["c", "python", "bash"])
    assert listed["python"]["version"].startswith("Python 3.")
    assert "gcc" in listed["c"]["version"] and listed["c"]["installed"] is True


def test_get_languages_of_a_file(made_up):
    """Asking for versions holds nobody up: one never answers."""
    listed = await_versions(made_up, ["good"])
    assert listed["good"]["version"] == "good 1.0"
    assert listed["silent"]["version"] is None and listed["silent"]["installed"] is True
    assert listed["absent"] == {"id": "absent", "name": "Absent", "aliases": [], "source": "main.x", "installed": False,
                                "missing": "nosuch-compiler", "version": None, "packages": ["absent-dev", "absent"],
                                "first_class": False, "warm": False, "cold_because": None}
    began = time.monotonic()
    assert made_up.judged("/run", {"type": "fine", "solution": "cat", "input": "x"})["stdout"] == "x"
    assert time.monotonic() - began < 20


LACKS = [
    ("absent", "Absent is not installed: apt-get install absent-dev absent"),
    ("hidden", "Hidden is not installed: there is no nosuch-compiler where programs look for it"),
    ("uninterpreted", "Uninterpreted is not installed: apt-get install interpreter"),
]


@pytest.mark.parametrize("kind, message", LACKS)
def test_a_submission_in_an_absent_language(made_up, kind, message):
    submission = {"type": kind, "solution": "x", "expected_output": "x"}
    result = made_up.judged("/run", submission)
    assert (result["success"], result["run_success"], result["reason"]) == (False, False, "internal_error")
    assert result["stdout"] is None and result["stderr"] == message
    result = made_up.judged("/judge", submission)
    assert result["reason"] == "internal_error" and "stderr" not in result
    batch = made_up.judged("/run/batch", {"type": "batch", "submissions": [submission, {"type": "good", "solution": ":"}]})
    assert [one["reason"] for one in batch["results"]] == ["internal_error", ""]


@pytest.mark.parametrize("kind, message", LACKS)
def test_a_program_in_an_absent_language(made_up, kind, message):
    answer = made_up.judged("/v1/judge", {"language": kind, "source": "x", "cases": [{"input": "x"}, {}]})
    assert answer["summary"]["status"] == "Internal Error"
    if kind == "uninterpreted":  # nothing has to be built
        assert [(case["status"], case["message"]) for case in answer["cases"]] == [("Internal Error", message)] * 2
    else:
        assert (answer["build"]["status"], answer["build"]["message"]) == ("Internal Error", message)
        assert [case["status"] for case in answer["cases"]] == ["Skipped"] * 2


def test_what_a_program_ends_with_is_its_own(made_up):
    for code in (1, 126, 127):
        result = made_up.judged("/run", {"type": "good", "solution": f"echo no >&2; exit {code}"})
        assert (result["reason"], result["run_success"], result["stderr"]) == ("", False, "no\n")


def test_an_echo_in_every_language_that_is_installed(service, listed):
    chosen = [one for one in listed if one["installed"] and one["examples"]["echo"]]
    assert {"c", "cpp", "python", "bash"} <= {one["id"] for one in chosen}

    # in one batch, whose builds may wait for each other as long as they like
    batch = {"type": "batch", "submissions": [
        {"type": one["id"], "solution": one["examples"]["echo"], "input": LINE + "\n", "expected_output": LINE}
        for one in chosen]}
    answer = service.judged("/run/long-batch", batch)
    results = dict(zip([one["id"] for one in chosen], answer["results"]))
    assert {name: result for name, result in results.items() if not result["success"]} == {}


@pytest.mark.parametrize("name", ordinary.PROGRAMS)
def test_an_ordinary_program_passes_with_the_default_limits(service, listed, name):
    """The clock is not among them: this machine may be busy."""
    if not next(one for one in listed if one["id"] == name)["installed"]:
        pytest.skip(f"{name} is not installed")
    given, expected = ordinary.case(name)
    answer = service.judged("/v1/judge", {"language": name, "source": ordinary.PROGRAMS[name], "limits": {"wall_ms": 60000},
                                          "cases": [{"input": given, "expected": expected}]})
    assert answer["summary"]["status"] == "Accepted", answer


# ---- adding one ----

TOY = """
languages:
  - id: toy
    name: Toy
    aliases: [plaything]
    source: main.toy
    exe: main.txt
    build: sh -c 'grep -q "^say " {source} || {{ echo {source}:1 says nothing >&2; exit 1; }}; sed "s/^say //" {source} > {exe}'
    run: sh -c 'cat "$GREETING" {exe} -'
    version: cat /srv/toy/version
    env: [GREETING=/srv/toy/greeting]
    mounts: [%(folder)s]
    needs: [%(folder)s/version]
    limits: {extra_memory: 64m, processes: 100, time_factor: 2}
    examples:
      hello: say Hello, world!
"""


@pytest.fixture(scope="module")
def toy(cjudge, tmp_path_factory):
    """A language of our own: a file for cjudge, a folder of the host, and nothing else."""
    folder = tmp_path_factory.mktemp("toy")
    folder.chmod(0o755)  # programs are nobody that pytest knows
    (folder / "version").write_text("toy 1\n")
    (folder / "greeting").write_text("")
    path = folder / "languages.yaml"
    path.write_text((TOY % {"folder": folder}).replace("/srv/toy", str(folder)))
    with Service(cjudge, "-languages", str(path), judge="127.0.0.1:0", env={"MAX_EXECUTION_TIME": "60"},
                 folder=str(tmp_path_factory.mktemp("toy-service"))) as started:
        yield started, str(path)


def test_adding_a_language_is_configuration_only(cjudge, toy):
    service, path = toy
    status, (one,) = as_json(cjudge, "--check", "--languages", path)
    assert status == 0 and (one["version"], one["check"]["hello"]["ok"], one["check"]["syntax"]["ok"]) == ("toy 1", True, True)
    assert await_versions(service, ["toy"])["toy"]["version"] == "toy 1"

    good = {"type": "plaything", "solution": "say a\n", "input": "b", "expected_output": "a\nb"}
    result = service.judged("/run", good)
    assert (result["success"], result["stdout"], result["reason"]) == (True, "a\nb", "")
    assert service.judged("/judge", {**good, "expected_output": "c"})["success"] is False
    result = service.judged("/run", {**good, "solution": "a"})
    assert (result["run_success"], result["stderr"], result["reason"]) == (False, "main.toy:1 says nothing\n", "")
    batch = service.judged("/judge/batch", {"type": "batch", "submissions": [good, {**good, "type": "toy"}]})
    assert [one["success"] for one in batch["results"]] == [True, True]

    answer = service.judged("/v1/judge", {"language": "toy", "source": "say a\n", "cases": [
        {"input": "b", "expected": "a\nb"}, {"input": "c", "expected": "a\nb"}]})
    assert [case["status"] for case in answer["cases"]] == ["Accepted", "Wrong Answer"]
    built = service.judged("/v1/build", {"language": "toy", "source": "say d"})
    answer = service.judged("/v1/judge", {"artifact": built["artifact"], "cases": [{"expected": "d"}]})
    assert answer["summary"]["status"] == "Accepted"
