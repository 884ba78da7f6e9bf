"""What was built is kept: hits, builds that are joined, bounds, and what a hostile program can do to what is kept.

Most of it with a compiler of the test's own, which takes as long as is asked for and says how often it ran."""
import concurrent.futures
import contextlib
import http.client
import json
import os
import subprocess
import time

import pytest

from service import Service, languages_folder

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: control groups")

# {source} says how long the build takes; the program prints its input.
LANGUAGES = """
languages:
  - id: slow
    source: main.txt
    exe: main
    build: sh -c '. ./{source}; sleep ${{T:-0}}; date +%%s.%%N > {exe}; echo built >&2'
    run: cat {exe} -
    needs: [%(folder)s/needed]
    mounts: [%(folder)s]
  - id: dies
    source: main.txt
    exe: main
    build: sh -c 'kill -9 $$'
    run: cat {exe}
  - id: large
    source: main.txt
    exe: main
    build: sh -c 'head -c 20000 /dev/zero > {exe}'
    run: wc -c {exe}
  - id: c
    source: main.c
    exe: main
    build: gcc -o {exe} {source}
    run: ./{exe}
    inputs: [/usr/include/linux]
  - id: python
    source: main.py
    run: python3 {source}
  - id: cpp
    source: main.cpp
    exe: main
    build: g++ -o {exe} {source}
    run: ./{exe}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("builds")
    (folder / "needed").write_text("1")
    return languages_folder(folder, LANGUAGES)


@pytest.fixture(scope="module")
def start(cjudge, folder, tmp_path_factory):
    def start(*options, **more):
        return Service(cjudge, "-languages", folder / "languages.yaml", "-parallelism", 2, *options,
                       judge="127.0.0.1:0", folder=str(tmp_path_factory.mktemp("serve")), **more)
    return start


@pytest.fixture(scope="module")
def service(start):
    with start() as started:
        yield started
        assert started.process.poll() is None, started.log_text()


def stages(service):
    answer = service.judge("GET", "/v1/stages")
    assert answer.status == 200
    return answer.json


def builds(service):
    return stages(service)["builds"]


@contextlib.contextmanager
def counted(service, **expected):
    """What the block adds to the counters."""
    before = builds(service)
    yield
    after = builds(service)
    assert {key: after[key] - before[key] for key in expected} == expected


def judge(service, source, language="slow", case=None, **more):
    return service.judged("/v1/judge", {"language": language, "source": source, "cases": [case or {"input": "x"}], **more})


def built_at(answer):
    assert answer["build"]["status"] == "Accepted", answer
    assert answer["cases"][0]["status"] == "Accepted", answer
    stdout = answer["cases"][0]["stdout"]
    assert stdout.endswith("x")
    return float(stdout[:-1])


def wait_until(condition, what):
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.01)


# ---- hits ----

def test_the_same_is_built_once(service):
    with counted(service, made=1, hits=2, joined=0):
        first = judge(service, "# once")
        second = judge(service, "# once")
        assert "cached" not in first["build"] and second["build"]["cached"] is True
        assert built_at(first) == built_at(second)
        told = {key: value for key, value in second["build"].items() if key != "cached"}
        assert told == first["build"]  # what the compiler said and took is that of the first time
        assert told["stderr"] == "built\n" and told["wall_ms"] > 0
        old_door = service.judged("/run", {"type": "slow", "solution": "# once", "input": "x"})
        assert old_door["run_success"] and float(old_door["stdout"][:-1]) == built_at(first)


def test_each_door_and_batch_shares(service):
    with counted(service, made=1):
        artifact = service.judged("/v1/build", {"language": "slow", "source": "# doors"})
        batch = service.judged("/judge/batch", {"type": "batch", "submissions": [
            {"type": "slow", "solution": "# doors", "input": "x"} for _ in range(5)]})
        assert all(one["run_success"] for one in batch["results"])
        native = service.judged("/v1/judge/batch", {"submissions": [
            {"language": "slow", "source": "# doors", "cases": [{"input": "x"}]} for _ in range(5)]})
        assert len({built_at(one) for one in native["results"]}) == 1
        kept = service.judged("/v1/judge", {"artifact": artifact["artifact"], "cases": [{"input": "x"}]})
        assert built_at(kept) == built_at(native["results"][0])


def test_what_differs_is_built(service):
    with counted(service, made=6, hits=0):
        seen = {built_at(judge(service, "# differs")), built_at(judge(service, "# differs "))}
        for files in ({"main.txt": "# differs", "a": ""}, {"main.txt": "# differs", "b": ""},
                      {"main.txt": "# differs", "b": "1"}, {"main.txt": "# differs", "b": "1", "c": ""}):
            seen.add(built_at(service.judged("/v1/judge", {"language": "slow", "files": files, "cases": [{"input": "x"}]})))
        assert len(seen) == 6


def test_a_compile_error_is_kept(service):
    with counted(service, made=1, hits=1):
        first, second = (judge(service, "int main( {", language="c") for _ in range(2))
        assert first["build"]["status"] == second["build"]["status"] == "Compile Error"
        assert "main.c:1:" in first["build"]["stderr"] and first["build"]["stderr"] == second["build"]["stderr"]
        assert second["summary"]["status"] == "Compile Error"


def test_what_is_unsure_is_not_kept(service):
    """A build that was killed, and one that depends on the time of day."""
    with counted(service, made=2, hits=0):
        for _ in range(2):
            assert judge(service, "# dies", language="dies")["build"]["status"] == "Compile Error"
    with counted(service, made=0, hits=0):
        times = set()
        for _ in range(2):
            answer = judge(service, "#include <stdio.h>\nint main(void) { puts(__TIME__); }", language="c")
            assert "cached" not in answer["build"]
            times.add(answer["cases"][0]["stdout"])
            time.sleep(1.1 - (len(times) - 1))
        assert len(times) == 2


def test_another_toolchain_builds_anew(service, folder):
    first = built_at(judge(service, "# toolchain"))
    assert built_at(judge(service, "# toolchain")) == first
    (folder / "needed").write_text("22")
    assert built_at(judge(service, "# toolchain")) > first


# ---- builds in flight ----

def test_identical_builds_are_joined(service, folder):
    """Seven wait for the one that builds, and hold no slot meanwhile: somebody else is served."""
    source = f"until [ -e {folder}/go ]; do sleep 0.02; done"
    with concurrent.futures.ThreadPoolExecutor(9) as pool, counted(service, made=1, joined=7):
        made = builds(service)["made"]
        running = [pool.submit(judge, service, source) for _ in range(8)]
        wait_until(lambda: builds(service)["made"] > made, "the build has begun")
        wait_until(lambda: stages(service)["slots"]["waiting"] == 7, "the others wait")
        assert stages(service)["slots"]["running"] == 1
        other = service.judged("/run", {"type": "python", "solution": "print(1)"})
        assert other["stdout"] == "1\n"
        assert not any(one.done() for one in running)
        (folder / "go").touch()
        answers = [one.result() for one in running]
        assert len({built_at(answer) for answer in answers}) == 1
        assert sorted(answer["build"].get("cached", False) for answer in answers) == [False] + 7 * [True]


def test_a_cancelled_build_is_handed_over(service):
    body = json.dumps({"language": "slow", "source": "T=1.5 # handed over", "cases": [{"input": "x"}]})
    with concurrent.futures.ThreadPoolExecutor(3) as pool, counted(service, made=2, joined=1):
        made = builds(service)["made"]
        first = service.connection(service.judge_addresses[0])
        first.request("POST", "/v1/judge", body=body)
        wait_until(lambda: builds(service)["made"] > made, "the build has begun")
        others = [pool.submit(judge, service, "T=1.5 # handed over") for _ in range(2)]
        wait_until(lambda: stages(service)["slots"]["waiting"] == 2, "the others wait")
        first.sock.close()
        first.close()
        assert len({built_at(one.result()) for one in others}) == 1


def test_who_waits_can_go(service):
    body = json.dumps({"language": "slow", "source": "T=1 # gone", "cases": [{"input": "x"}]})
    with concurrent.futures.ThreadPoolExecutor(1) as pool, counted(service, made=1, joined=0):
        first = pool.submit(judge, service, "T=1 # gone")
        wait_until(lambda: stages(service)["slots"]["running"] == 1, "the build has begun")
        second = service.connection(service.judge_addresses[0])
        second.request("POST", "/v1/judge", body=body)
        wait_until(lambda: stages(service)["slots"]["waiting"] == 1, "the other waits")
        second.sock.close()
        second.close()
        wait_until(lambda: stages(service)["slots"]["waiting"] == 0, "the other has gone")
        assert not first.done()
        built_at(first.result())


def test_a_deadline_reaches_who_waits(service):
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        first = pool.submit(judge, service, "T=2 # deadline")
        wait_until(lambda: stages(service)["slots"]["running"] == 1, "the build has begun")
        late = judge(service, "T=2 # deadline", deadline_ms=200)
        assert late["build"]["status"] == "Queue Timeout"
        assert not first.done()
        built_at(first.result())


def test_the_queue_life_is_kept_by_what_has_begun(start):
    """code-judge's door: its deadline is for the beginning, and who waits for a build has begun."""
    with start(env={"MAX_QUEUE_WORK_LIFE_TIME": "1"}) as service, concurrent.futures.ThreadPoolExecutor(4) as pool:
        one = {"type": "slow", "solution": "T=2 # life", "input": "x"}
        results = list(pool.map(lambda _: service.judged("/run", one), range(4)))
        assert [result["reason"] for result in results] == 4 * [""]
        assert builds(service)["made"] == 1


def test_a_build_that_died_is_not_shared(service):
    with concurrent.futures.ThreadPoolExecutor(4) as pool, counted(service, joined=0, hits=0):
        answers = list(pool.map(lambda _: judge(service, "# dies together", language="dies"), range(4)))
        assert {answer["build"]["status"] for answer in answers} == {"Compile Error"}


def test_the_service_ends_while_some_wait(start):
    with start("-drain-timeout", "200ms") as service, concurrent.futures.ThreadPoolExecutor(3) as pool:
        running = [pool.submit(service.judge, "POST", "/v1/judge", {
            "language": "slow", "source": "T=20", "cases": [{"input": "x"}]}) for _ in range(3)]
        wait_until(lambda: stages(service)["slots"]["waiting"] == 2, "two wait")
        assert service.stop() == 0
        assert [one.result().status for one in running] == 3 * [503]


# ---- bounds, restart ----

def test_it_is_bounded(start):
    with start("-build-cache", "64k") as service:
        for i in range(6):
            judge(service, f"# {i}", language="large")
            state = builds(service)
            assert state["bytes"] <= state["bytes_max"] == 65536
        assert (state["entries"], state["evicted"]) == (3, 3)
        assert "cached" not in judge(service, "# 0", language="large")["build"]  # it went first
        assert judge(service, "# 5", language="large")["build"]["cached"] is True
        assert judge(service, "# 5", language="large")["cases"][0]["stdout"] == "20000 main\n"


def test_it_can_be_turned_off(start):
    with start("-build-cache", "0") as service:
        assert built_at(judge(service, "# off")) < built_at(judge(service, "# off"))
        assert builds(service) == dict.fromkeys(builds(service), 0)


def test_a_restart_begins_anew(start):
    times = []
    for _ in range(2):
        with start() as service:
            times.append(built_at(judge(service, "# restart")))
            assert "cached" not in judge(service, "# other")["build"]
            service.process.kill()
            service.process.wait()
    assert times[0] < times[1]


# ---- hostile programs ----

SELF_WRITER = r"""
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
/* Puts something else where it was started from, in every way that there is. */
int main(void)
{
    char line[8] = "";
    if (fgets(line, sizeof(line), stdin) && line[0] == 'h') { puts("honest"); return 0; }
    const char *paths[] = {"main", "/w/main", "/proc/self/exe"};
    for (int i = 0; i < 3; i++) {
        chmod(paths[i], 0777);
        int fd = open(paths[i], O_WRONLY | O_TRUNC);
        if (fd >= 0) write(fd, "#!/bin/sh\necho poison\n", 22);
    }
    unlink("main");
    int fd = open("main", O_WRONLY | O_CREAT | O_TRUNC, 0777);
    if (fd < 0 || write(fd, "#!/bin/sh\necho poison\n", 22) != 22) return 1;
    fchmod(fd, 0777);
    link("main", "other");
    symlink("/w/main", "third");
    puts("done");
    return 0;
}
"""


# ---- the executable that stays for the next run ----

# Tells which file it is, and does to it what its input says.
TELLS = r"""
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
static const char mark[] __attribute__((used)) = "the mark is 0";
int main(int argc, char **argv)
{
    char line[16] = "";
    struct stat info;
    if (fgets(line, sizeof(line), stdin) == NULL) return 1;
    line[strcspn(line, "\n")] = 0;
    if (argc > 1) return 3;
    stat("main", &info);
    printf("%lu.%ld.%09ld %o %u %u %s", (unsigned long)info.st_ino, info.st_ctim.tv_sec, info.st_ctim.tv_nsec, info.st_mode, info.st_uid == getuid(), info.st_nlink == 1, mark);
    for (int fd = open(".", O_RDONLY), i = 0; i < 1; i++) close(fd);
    fflush(stdout);
    if (strcmp(line, "remove") == 0) return unlink("main");
    if (strcmp(line, "mode") == 0) return chmod("main", 0700);
    if (strcmp(line, "touch") == 0) { int fd = open("left", O_CREAT | O_WRONLY, 0666); return fd < 0 || write(fd, "x", 1) != 1; }
    if (strcmp(line, "folder") == 0) return mkdir("left", 0777);
    if (strcmp(line, "write") == 0) { /* by who does not run it: the mark of the next one would be another */
        execl("/bin/sh", "sh", "-c", "sed -i.bak 's/the mark is 0/the mark is 1/' main; cp main x; cat x > main", (char *)0);
        return 4;
    }
    if (strcmp(line, "patch") == 0) {
        execl("/usr/bin/python3", "python3", "-c",
              "import mmap\n"
              "with open('main', 'r+b') as f, mmap.mmap(f.fileno(), 0) as m:\n"
              "    at = m.find(b'the mark is 0'); m[at + 12:at + 13] = b'1'", (char *)0);
        return 4;
    }
    return 0;
}
"""


@pytest.fixture(scope="module")
def one_slot(cjudge, tmp_path_factory):
    """With the built-in languages: those of above show a folder below /tmp, so that no container can be made fresh."""
    with Service(cjudge, "-parallelism", 1, judge="127.0.0.1:0", folder=str(tmp_path_factory.mktemp("serve"))) as started:
        yield started
        assert started.process.poll() is None, started.log_text()


def tell(service, source, *what):
    answer = judge(service, source, language="c", cases=[{"input": one + "\n"} for one in what])
    assert {case["status"] for case in answer["cases"]} == {"Accepted"}, answer
    return [case["stdout"].split(" ", 1) for case in answer["cases"]]


ALIKE = "100777 1 1 the mark is 0"


def test_an_executable_is_copied_once_for_many_runs(one_slot):
    told = tell(one_slot, TELLS, *["go"] * 8)
    assert {rest for _, rest in told} == {ALIKE}
    files = [file for file, _ in told]
    assert len(set(files[1:])) == 1, files  # the second in a row is left for the third
    assert tell(one_slot, TELLS, "go")[0][0] == files[-1]  # and for other requests
    assert tell(one_slot, TELLS, "touch", "go")[1][0] == files[-1]  # whatever else they leave


@pytest.mark.parametrize("how", ["remove", "mode", "folder", "write", "patch"])
def test_what_was_touched_is_copied_anew(one_slot, how):
    told = tell(one_slot, TELLS + f"// {how}\n", *["go"] * 3, how, "go", "go", how, how, "go")
    assert {rest for _, rest in told} == {ALIKE}
    assert told[2][0] == told[3][0] != told[4][0] != told[5][0] != told[6][0] != told[7][0], told


def test_others_see_nothing_of_it(one_slot):
    look = {"type": "python", "solution": "import os; print(os.listdir('/w'), os.statvfs('/w').f_bfree, os.statvfs('/w').f_ffree)"}
    before = one_slot.judged("/run", look)["stdout"]
    assert before.startswith("['main.py']")
    for more in ("", "// another\n"):
        tell(one_slot, TELLS + more, *["go"] * 3)
        assert one_slot.judged("/run", look)["stdout"] == before
        file = tell(one_slot, TELLS + more, *["go"] * 3)[-1][0]
        assert tell(one_slot, TELLS + "// a third\n", "go")[0][0] != file
        answer = one_slot.post_run({"cmd": [{"args": ["/bin/ls", "-a", "/w"], "files": [{"content": ""}, {"name": "stdout", "max": 999}, {"name": "stderr", "max": 999}],
                                                            "cpuLimit": 10**9, "memoryLimit": 1 << 26, "procLimit": 5}]}).json
        assert answer[0]["files"]["stdout"] == ".\n..\nstderr\nstdout\n", answer
        tell(one_slot, TELLS + more, *["go"] * 3)
        alone = '#if __has_include("main")\n#error it is there\n#endif\nint main(void) { return 0; }'
        assert judge(one_slot, alone + more, language="c")["build"]["status"] == "Accepted"


def test_a_program_that_changes_itself_changes_no_other_run_of_a_request(one_slot):
    """As below, with the runs of one request after each other, so that the executable could be the same."""
    lines = ["h", "h", "h", "p", "h", "p", "p", "h", "h", "h", "h", "p"] * 3
    answer = judge(one_slot, SELF_WRITER, language="c",
                   cases=[{"input": line, "expected": {"h": "honest", "p": "done"}[line]} for line in lines])
    assert answer["summary"]["accepted"] == len(lines), answer


def test_a_program_that_changes_itself_changes_no_other_run(service):
    for _ in range(2):
        assert judge(service, SELF_WRITER, language="c", case={"input": "h", "expected": "honest"})["summary"]["status"] == "Accepted"
        assert judge(service, SELF_WRITER, language="c", case={"input": "p", "expected": "done"})["summary"]["status"] == "Accepted"
    both = service.judged("/v1/judge", {"language": "c", "source": SELF_WRITER, "cases": 10 * [
        {"input": "p", "expected": "done"}, {"input": "h", "expected": "honest"}]})
    assert both["build"]["cached"] is True
    assert both["summary"]["status"] == "Accepted", both["summary"]
    assert builds(service)["damaged"] == 0


def test_a_build_leaves_nothing_behind(service):
    """What a compiler can be made to write lies in its own work directory only."""
    writer = ('. ./x 2>/dev/null; echo poison > /tmp/poison; echo poison > /w/poison; echo poison > /dev/shm/poison; '
              'ln -s /etc/passwd main; ln /w/main.txt /tmp/hard')
    assert judge(service, writer)["build"]["status"] == "Compile Error"  # a link is no executable
    for _ in range(4):  # both slots
        look = service.judged("/run", {"type": "python", "solution": (
            "import os\nprint(sorted(os.listdir('/w')), {'poison', 'hard'} & set(os.listdir('/tmp')), os.listdir('/dev/shm'))")})
        assert look["stdout"] == "['main.py'] set() []\n"


@pytest.mark.parametrize("path", ["/etc/shadow", "/proc/1/environ", "/proc/1/maps", "/root/.bashrc", "/w/../w/main.txt",
                                  "/dev/shm/cjudge", "/run/cjudge/ids"])
def test_a_build_sees_nothing_of_others(service, path):
    answer = service.judged("/v1/judge", {"language": "c", "cases": [{"input": ""}],
                                          "source": f'#include "{path}"\nint main(void) {{ return 0; }}'})
    assert answer["build"]["status"] == "Compile Error"
    assert "No such file or directory" in answer["build"]["stderr"] or "Permission denied" in answer["build"]["stderr"]


def test_an_executable_that_is_a_link_is_not_kept(service):
    """The build's output is read without following links: what they lead to is nobody's program."""
    for target in ("/etc/passwd", "/proc/1/environ", "/bin/sh"):
        answer = service.judged("/v1/build", {"language": "slow", "source": f"ln -s {target} main; exec 2>&1; exit 0"})
        assert answer["artifact"] is None, answer


# ---- cjudge top ----

def test_top(service, cjudge):
    address = service.judge_addresses[0]
    judge(service, "# top")
    told = subprocess.run([cjudge, "top", "-addr", address, "-json"], capture_output=True, text=True, check=True)
    assert set(json.loads(told.stdout)) == set(stages(service))
    table = subprocess.run([cjudge, "top", "-addr", address], capture_output=True, text=True, check=True).stdout
    assert table.startswith("slots     2: 0 running, 0 waiting;")
    rows = [line.split() for line in table.splitlines()]
    assert [row[0] for row in rows if row][-11:] == [stage["name"] for stage in stages(service)["stages"]]
    assert all(len(row) == (8 if row[1] != "0" else 2) for row in rows[-11:])
    # on a terminal it goes on until it is interrupted
    live = subprocess.run(["/usr/bin/timeout", "-s", "INT", "1", "/usr/bin/script", "-qec",
                           f"{cjudge} top -addr {address} -interval 100ms", "/dev/null"], capture_output=True, text=True, check=False)
    assert live.stdout.count("STAGE") >= 2 and "PER S" in live.stdout and "\x1b[2J" in live.stdout
    for wrong, words in ((["-addr", "nowhere"], "is not HOST:PORT"), (["-addr", "127.0.0.1:1"], "refused"), (["x"], "'x' is no option"),
                         (["-interval", "1ms"], "at least 100ms")):
        failed = subprocess.run([cjudge, "top", *wrong], capture_output=True, text=True, check=False)
        assert failed.returncode == 125 and words in failed.stderr, failed


# ---- runs ----

RANDOM = "import random, sys\nprint(sys.stdin.read(), random.getrandbits(128))"


def random_cases(service, inputs, **more):
    cases = [{"input": text} for text in inputs]
    return service.judged("/v1/judge", {"language": "python", "source": RANDOM, "cases": cases, "output": {"stdout_bytes": 100}, **more})["cases"]


def test_runs_are_not_joined_unless_asked(service):
    for more in ({}, {"dedupe": False}):
        cases = random_cases(service, ["same"] * 4, **more)
        assert len({case["stdout"] for case in cases}) == 4
        assert all("cached" not in case for case in cases)


def test_dedupe_runs_each_input_once(service):
    cases = random_cases(service, ["a", "b", "a", "a", "c", "b"], dedupe=True)
    seen = {}
    for case, text in zip(cases, "abaacb"):
        assert case["status"] == "Accepted" and case["stdout"].startswith(text)
        assert seen.setdefault(text, case["stdout"]) == case["stdout"]
    assert len({case["stdout"] for case in cases}) == 3
    assert sum(case.get("cached", False) for case in cases) == 3
    again = random_cases(service, ["a"], dedupe=True)  # within one request only
    assert again[0]["stdout"] != cases[0]["stdout"]


def test_dedupe_compares_each_case_with_its_own(service):
    answer = service.judged("/v1/judge", {"language": "python", "source": "print(input())", "dedupe": True, "cases": [
        {"input": "1", "expected": "1"}, {"input": "1", "expected": "2"}, {"input": "1"}, {"input": "", "expected": "1"}]})
    assert [case["status"] for case in answer["cases"]] == ["Accepted", "Wrong Answer", "Accepted", "Nonzero Exit Status"]


def test_dedupe_across_a_batch(service):
    def one(source=RANDOM, **more):
        return {"language": "python", "source": source, "cases": [{"input": "x"}], "output": {"stdout_bytes": 100}, "dedupe": True, **more}
    batch = {"submissions": [one(), one(), one(dedupe=False), one(limits={"cpu_ms": 999}), one(RANDOM + "\n"), one()]}
    outputs = [result["cases"][0]["stdout"] for result in service.judged("/v1/judge/batch", batch)["results"]]
    assert outputs[0] == outputs[1] == outputs[5]
    assert len(set(outputs)) == 4


def test_dedupe_gives_the_figures_of_the_run(service):
    cases = service.judged("/v1/judge", {"language": "python", "source": "import time; time.sleep(0.3); print(3, input(), 4)", "dedupe": True,
                                         "cases": [{"input": "x"}] * 6})["cases"]
    figures = [{key: case[key] for key in ("cpu_ms", "wall_ms", "memory_bytes", "exit_code", "stdout")} for case in cases]
    assert figures == [figures[0]] * 6 and figures[0]["wall_ms"] >= 300
    assert sum("cached" in case for case in cases) == 5


def test_dedupe_of_runs_that_a_limit_ends(service):
    answer = service.judged("/v1/judge", {"language": "python", "source": "while True: pass", "dedupe": True, "cases": [{"input": "x"}] * 5,
                                          "limits": {"cpu_ms": 200}})
    assert [case["status"] for case in answer["cases"]] == ["Time Limit Exceeded"] * 5
    assert sum("cached" in case for case in answer["cases"]) == 4


def test_dedupe_with_the_first_failure(service):
    answer = service.judged("/v1/judge", {"language": "python", "source": "import time; time.sleep(0.1); print(input())", "dedupe": True,
                                          "stop": "first_failure", "cases": [{"input": "1", "expected": "2"}] + [{"input": "1"}] * 7})
    assert answer["cases"][0]["status"] == answer["summary"]["status"] == "Wrong Answer"
    assert {case["status"] for case in answer["cases"][1:]} <= {"Accepted", "Skipped"}


def test_dedupe_of_a_client_that_goes_away(service):
    """One case runs, others wait for it: all of them end, and the slots are free again."""
    request = {"language": "python", "source": "import time; time.sleep(60)", "dedupe": True, "limits": {"wall_ms": 60000},
               "cases": [{"input": "x"}] * 8}
    host, port = service.judge_addresses[0].rsplit(":", 1)
    connection = http.client.HTTPConnection(host, int(port))
    connection.request("POST", "/v1/judge", json.dumps(request))
    running = lambda: stages(service)["slots"]["running"]
    wait_until(lambda: running() > 0, "it does not run")
    connection.close()
    begun = time.monotonic()
    cases = random_cases(service, ["a"] * 4, dedupe=True)
    assert len({case["stdout"] for case in cases}) == 1 and time.monotonic() - begun < 20
    wait_until(lambda: running() == 0, "it still runs")


def test_dedupe_of_one_whose_time_is_up(service):
    """The submission that waits for another's run is dropped when its deadline has passed only before it has begun."""
    one = {"language": "python", "source": "import time; time.sleep(1); print(input())", "dedupe": True, "cases": [{"input": "x"}] * 2}
    batch = {"submissions": [one, {**one, "deadline_ms": 300}, one]}
    results = service.judged("/v1/judge/batch", batch)["results"]
    assert [case["status"] for i in (0, 2) for case in results[i]["cases"]] == ["Accepted"] * 4
    assert {case["status"] for case in results[1]["cases"]} <= {"Accepted", "Queue Timeout"}


def test_dedupe_is_nothing_to_the_other_form(service):
    """code-judge ignores what it does not know; its runs are never joined."""
    one = {"type": "python", "solution": RANDOM, "input": "x", "dedupe": True}
    answer = service.judged("/run/batch", {"type": "batch", "submissions": [one] * 3, "dedupe": True})
    assert len({result["stdout"] for result in answer["results"]}) == 3


def test_dedupe_is_a_boolean(service):
    for wrong in (1, "yes", None, []):
        answer = service.judge("POST", "/v1/judge", {"language": "python", "source": "", "cases": [{}], "dedupe": wrong})
        assert answer.status == 400 and "dedupe" in answer.json["error"], answer
    for path in ("/v1/build", "/v1/judge/batch"):
        answer = service.judge("POST", path, {"language": "python", "source": "", "submissions": [], "dedupe": True})
        assert answer.status == 400, answer
