"""Command templates that start a sandbox of their own: they run on the host's side. The first ones are the lines of
code-judge's README, verbatim, with Debian's packages."""
import concurrent.futures
import fcntl
import json
import os
import shutil
import subprocess
import time

import pytest

from service import Service, processes, wait_for

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: control groups")

FIREJAIL = {
    "PYTHON_EXECUTE_COMMAND": "firejail --read-only=/ --net=none --whitelist={workdir} --quiet -- python3 {source}",
    "CPP_COMPILE_COMMAND":
        "firejail --read-only=/ --net=none --whitelist={workdir} --quiet -- g++ -O2 -o {exe} {source}",
    "CPP_EXECUTE_COMMAND": "firejail --read-only=/ --net=none --whitelist={workdir} --quiet -- {exe}",
}
BWRAP = {
    "PYTHON_EXECUTE_COMMAND": "bwrap --ro-bind / / --unshare-all --dev-bind /dev /dev --die-with-parent "
                              "--bind {workdir} {workdir} -- python3 {source}",
    "CPP_COMPILE_COMMAND": "bwrap --ro-bind / / --unshare-all --dev-bind /dev /dev --die-with-parent "
                           "--bind {workdir} {workdir} -- g++ -O2 -o {exe} {source}",
    "CPP_EXECUTE_COMMAND": "bwrap --ro-bind / / --unshare-all --dev-bind /dev /dev --die-with-parent "
                           "--bind {workdir} {workdir} -- {exe}",
}
SANDBOXES = {"firejail": FIREJAIL, "bwrap": BWRAP}
MARK = "cjudge-template-test"
LIMIT_SECONDS = 6  # a busy machine needs seconds to start a sandbox


def python(solution, **more):
    return {"type": "python", "solution": solution, **more}


def cpp(solution, **more):
    return {"type": "cpp", "solution": solution, **more}


def outcome(result):
    return result["success"], result["run_success"], result["reason"]


def work_folders(folder="/tmp"):
    return {name for name in os.listdir(folder) if name.startswith("cjudge-work-")}


@pytest.fixture(scope="module", params=sorted(SANDBOXES))
def service(cjudge, tmp_path_factory, request):
    if shutil.which(request.param) is None:
        pytest.skip(f"{request.param} is not installed")
    env = {**SANDBOXES[request.param], "MAX_EXECUTION_TIME": str(LIMIT_SECONDS), "MAX_WORKERS": "2", "ERROR_CASE_SAVE_PATH": ""}
    with Service(cjudge, judge="127.0.0.1:0", env=env, folder=str(tmp_path_factory.mktemp("templates"))) as started:
        started.sandbox = request.param
        yield started
        assert started.process.poll() is None, started.log_text()
        assert processes(MARK) == []


def test_it_is_told_at_the_start(service):
    told = [line for line in service.log() if "run on the host" in line.get("message", "")]
    assert {line["variable"] for line in told} == set(BWRAP)
    assert all(line["level"] == "warn" and service.sandbox in line["template"] for line in told)


def test_python(service):
    before = work_folders()
    assert service.judged("/judge", python("print(9)", expected_output="9"))["success"]
    result = service.judged("/run", python("import sys\nprint(input())\nprint('e', file=sys.stderr)", input="9"))
    assert outcome(result) == (True, True, "") and (result["stdout"], result["stderr"]) == ("9\n", "e\n")
    result = service.judged("/run", python("raise SystemExit(3)"))
    assert outcome(result) == (False, False, "")
    result = service.judged("/run", python("print(input())", input=""))
    assert outcome(result) == (False, False, "") and "EOFError" in result["stderr"]
    result = service.judged("/run", python("import os\nopen('x', 'w').write('y')\nprint(os.listdir('.'))"))
    assert outcome(result)[1] and "'x'" in result["stdout"], result
    assert work_folders() <= before


def test_cpp(service):
    good = '#include <iostream>\nint main() { int a; std::cin >> a; std::cout << a + 1; }'
    assert outcome(service.judged("/run", cpp(good, input="8", expected_output="9"))) == (True, True, "")
    result = service.judged("/run", cpp("int main() { stray }"))
    assert outcome(result) == (False, False, "") and "stray" in result["stderr"] and result["cost"] == 0
    batch = service.judged("/judge/long-batch", {"submissions": 3 * [cpp(good, input="1", expected_output="2"),
                                                                     python("print(1)", expected_output="2")]})
    assert [outcome(r) for r in batch["results"]] == 3 * [(True, True, ""), (False, True, "")]


def test_the_sandbox_is_the_templates(service):
    result = service.judged("/run", python("open('/etc/cjudge-template-test', 'w')"))
    assert not result["run_success"] and ("Read-only" in result["stderr"] or "Permission" in result["stderr"]), result
    result = service.judged("/run", python("import socket\nsocket.create_connection(('127.0.0.1', %s), 1)"
                                           % service.judge_addresses[0].rsplit(":", 1)[1]))
    assert not result["run_success"], result
    # nothing of this service's environment
    result = service.judged("/run", python("import os\nprint(sorted(os.environ))"))
    assert "ERROR_CASE_SAVE_PATH" not in result["stdout"] and "PATH" in result["stdout"]


def test_limits_are_ours(service):
    start = time.monotonic()
    result = service.judged("/run", python(f"import time\nprint('a', flush=True)\ntime.sleep(60)  # {MARK}"))
    assert outcome(result) == (False, False, "worker_timeout") and LIMIT_SECONDS <= result["cost"] < LIMIT_SECONDS + 2, result
    assert result["stdout"].startswith("a\n") and "Suicide from timeout." in result["stdout"]
    assert time.monotonic() - start < LIMIT_SECONDS + 5
    result = service.judged("/run", python("while True: pass"))
    assert result["run_success"] is False and result["cost"] < LIMIT_SECONDS + 2
    result = service.judged("/run", python("x = b'x' * (1 << 30)\nprint(len(x))"))
    assert not result["run_success"] and "Memory limit of 384 MiB exceeded." in result["stderr"], result
    result = service.judged("/run", python(
        "import os\ntry:\n    while True:\n        if os.fork() == 0:\n            import time; time.sleep(60)\n"
        "except BlockingIOError:\n    print('enough')"))
    assert result["stdout"].startswith("enough") or not result["run_success"], result


def test_the_native_form(service):
    answer = service.judged("/v1/judge", {"language": "python", "files": {"main.py": "import util\nprint(util.x + int(input()))",
                                                                          "util.py": "x = 2"},
                                          "cases": [{"input": "1", "expected": "3"}, {"input": "2", "expected": "5"}]})
    assert [case["status"] for case in answer["cases"]] == ["Accepted", "Wrong Answer"], answer
    built = service.judged("/v1/build", {"language": "cpp", "source": "#include <cstdio>\nint main() { puts(\"x\"); }"})
    answer = service.judged("/v1/judge", {"artifact": built["artifact"], "cases": [{"expected": "x"}]})
    assert answer["summary"]["status"] == "Accepted", answer


def judge_with_file(name):
    return {"language": "python", "files": {"main.py": "print(1)", name: "x"}, "cases": [{"expected": "1"}]}


def test_the_folder_has_no_folders(service):
    answer = service.judged("/v1/judge", judge_with_file("a/b"))
    assert answer["summary"]["status"] == "Internal Error" and "without folders" in json.dumps(answer), answer


@pytest.mark.parametrize("name", ["../cjudge-escaped", "/tmp/cjudge-escaped", ".."])
def test_names_stay_in_the_folder(service, name):
    answer = service.request("POST", "/v1/judge", body=json.dumps(judge_with_file(name)),
                             connection=service.connection(service.judge_addresses[0]))
    assert answer.status == 400 and b"files." in answer.body
    assert not os.path.exists("/tmp/cjudge-escaped")


def test_a_flood_ends(cjudge, tmp_path):
    with Service(cjudge, "-judge-output-limit", "64k", judge="127.0.0.1:0", env=BWRAP, folder=str(tmp_path)) as service:
        result = service.judged("/run", python("while True: print('x' * 1000)"))
        assert not result["run_success"] and "Output limit" in result["stderr"] and result["cost"] < 5


def test_nothing_is_left(cjudge, tmp_path):
    """Processes, folders as deep as they like, groups."""
    with Service(cjudge, "-parallelism", 2, judge="127.0.0.1:0", env=BWRAP, folder=str(tmp_path)) as service:
        before = work_folders()
        deep = ("import os\nfor i in range(3000):\n    os.mkdir('d')\n    open('f', 'w').close()\n    os.chdir('d')\n"
                "print('done')")
        assert service.judged("/run", python(deep))["stdout"] == "done\n"
        result = service.judged("/run", python("import subprocess\nsubprocess.Popen(['sleep', '61234'], start_new_session=True)"))
        assert result["run_success"]
        assert processes("61234") == []
        assert work_folders() <= before
        descriptors = service.descriptors()
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            assert all(r["success"] for r in pool.map(lambda _: service.judged("/run", python("print(1)")), range(12)))
        wait_for(lambda: service.descriptors() <= descriptors)
    assert work_folders() <= before


def decoys(folder, inside):
    """What is not a left folder of this user's, though much looks like one; every file "kept" in it must stay."""
    def like_ours(name, lock=True):
        place = folder / name
        (place / "work").mkdir(parents=True, mode=0o700)
        place.chmod(0o700)
        (place / "work" / "kept").write_text("x")
        if lock:
            (place / "lock").touch(mode=0o600)
        return place
    like_ours("cjudge-work-nolock", lock=False)
    like_ours("cjudge-work-a-backup")
    like_ours("cjudge-work-backups")
    os.chown(like_ours("cjudge-work-others"), 12345, 12345)
    like_ours("cjudge-work-public").chmod(0o777)
    (like_ours("elsewhere")).rename(folder / "target")
    (folder / "cjudge-work-link01").symlink_to("target")
    linked = like_ours("cjudge-work-link02")
    (linked / "lock").unlink()
    (linked / "lock").symlink_to(folder / "target" / "lock")
    mounted = like_ours("cjudge-work-mount1")
    subprocess.run(["mount", "--bind", folder / "target", mounted], check=True)
    # inside of one that is taken away: a way out by a link, and another one's files by a mount
    (inside / "link").symlink_to(folder / "target")
    (inside / "mount").mkdir()
    subprocess.run(["mount", "--bind", folder / "target", inside / "mount"], check=True)
    held = like_ours("cjudge-work-held01")
    return held, [mounted, inside / "mount"]


def kept_files(folder):
    places = ["*/work/kept", "*/mount/work/kept", "*/work/mount/work/kept"]  # not all: one is very deep
    return sorted(str(path.relative_to(folder)) for place in places for path in folder.glob(place))


def test_what_a_killed_service_leaves_goes_at_the_next_start(cjudge, tmp_path):
    """And nothing else does."""
    (tmp_path / "temporary").mkdir()
    env = {**BWRAP, "MAX_EXECUTION_TIME": "60", "TMPDIR": str(tmp_path / "temporary")}
    folder = tmp_path / "temporary"

    def start(number):
        place = tmp_path / str(number)
        place.mkdir()
        return Service(cjudge, "-parallelism", 1, judge="127.0.0.1:0", env=env, folder=str(place))

    with start(1) as service:
        deep = ("import os, time\ntop = os.getcwd()\nfor i in range(3000):\n    os.mkdir('d')\n    os.chdir('d')\n"
                "open(top + '/begun', 'w').close()\ntime.sleep(61.2)")
        connection = service.connection(service.judge_addresses[0])
        connection.request("POST", "/run", body=json.dumps(python(deep)), headers={"content-type": "application/json"})
        begun = lambda: [*folder.glob("cjudge-work-*/begun"), *folder.glob("cjudge-work-*/*/begun")]
        wait_for(begun, 20)
        inside = begun()[0].parent
        with start(2):  # what another one has now is not touched
            assert begun()
        service.process.kill()
        service.process.wait()
        connection.close()
    left, = work_folders(folder)
    held, mounts = decoys(folder, inside)
    try:
        with open(held / "lock", "rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            before = kept_files(folder)
            with start(3) as service:
                assert kept_files(folder) == before
                assert "cannot be removed" in service.log_text()  # for its mount
                assert not begun()
                subprocess.run(["umount", mounts.pop()], check=True)
            with start(4):
                assert not (folder / left).exists()
                assert kept_files(folder) == [path for path in before if not path.startswith(left)]
        with start(5):
            assert not held.exists()
    finally:
        for mount in mounts:
            subprocess.run(["umount", mount], check=True)


def test_hanging_up_ends_it(cjudge, tmp_path):
    with Service(cjudge, "-parallelism", 1, judge="127.0.0.1:0", env={**BWRAP, "MAX_EXECUTION_TIME": "60"},
                 folder=str(tmp_path)) as service:
        connection = service.connection(service.judge_addresses[0])
        connection.request("POST", "/run", body=json.dumps(python("import subprocess\nsubprocess.run(['sleep', '61235'])")),
                           headers={"content-type": "application/json"})
        wait_for(lambda: processes("61235"), 10)
        connection.close()
        wait_for(lambda: not processes("61235"), 5)


def test_where_a_template_runs(cjudge, tmp_path):
    """auto tells by the command, inside and host force it."""
    namespace = "import os\nprint(os.readlink('/proc/self/ns/net'))"
    ours = os.readlink("/proc/self/ns/net") + "\n"

    def run(mode, template):
        folder = tmp_path / f"{mode}-{len(os.listdir(tmp_path))}"
        folder.mkdir()
        with Service(cjudge, "-template-sandbox", mode, judge="127.0.0.1:0", env={"PYTHON_EXECUTE_COMMAND": template},
                     folder=str(folder)) as service:
            return service.judged("/run", python(namespace))["stdout"]

    assert run("auto", "nice python3 {source}") not in (ours, None)
    assert run("host", "nice python3 {source}") == ours
    shared = "bwrap --bind / / -- python3 {source}"
    assert run("auto", shared) == ours
    assert run("auto", "env A=b timeout 20 " + shared) == ours
    assert run("inside", shared) != ours


def test_a_sandbox_that_is_not_there(cjudge, tmp_path):
    with Service(cjudge, judge="127.0.0.1:0", env={"PYTHON_EXECUTE_COMMAND": "podman-not-here run {source}"},
                 folder=str(tmp_path)) as service:
        result = service.judged("/run", python("print(1)"))
        assert not result["success"]
    with Service(cjudge, "-template-sandbox", "host", judge="127.0.0.1:0", folder=str(tmp_path),
                 env={"PYTHON_EXECUTE_COMMAND": "podman-not-here run {source}"}) as service:
        result = service.judged("/run", python("print(1)"))
        assert outcome(result) == (False, False, "internal_error") and result["stdout"] is None
        assert "podman-not-here is not installed on this host" in service.log_text()


def test_a_container_engine(cjudge, tmp_path):
    """What the README does with docker, with a stand-in: the folder lies below /tmp, input comes by -i."""
    engine = tmp_path / "docker"
    engine.write_text("#!/bin/bash\n[ \"$*\" = \"run -i --rm -v /tmp:/tmp --entrypoint python3 python:code-judge ${@: -1}\" ]"
                      " || exit 9\ncase ${@: -1} in /tmp/*) ;; *) exit 8 ;; esac\nexec python3 \"${@: -1}\"\n")
    engine.chmod(0o755)
    template = f"{engine} run -i --rm -v /tmp:/tmp --entrypoint python3 python:code-judge {{source}}"
    with Service(cjudge, judge="127.0.0.1:0", env={"PYTHON_EXECUTE_COMMAND": template}, folder=str(tmp_path)) as service:
        result = service.judged("/run", python("print(input())", input="9", expected_output="9"))
        assert outcome(result) == (True, True, ""), result


def test_the_sandboxes_are_debians():
    for name, package in (("bwrap", "bubblewrap"), ("firejail", "firejail")):
        if shutil.which(name):
            found = subprocess.run(["dpkg", "-S", shutil.which(name)], capture_output=True, text=True, check=False)
            assert package in found.stdout
