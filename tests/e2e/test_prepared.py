"""What is prepared once makes builds quick, and changes nothing else: not what comes out, not what a compiler says, and
nothing that a program does reaches it."""
import os
import time

import pytest

from service import Service, languages_folder

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: control groups")

# The program says how it was built.
LANGUAGES = """
languages:
  - id: quick
    source: main.txt
    exe: main
    build: sh -c 'echo plain > {exe}; . ./{source}'
    run: cat {exe}
    needs: [%(folder)s/tool]
    mounts: [%(folder)s]
    prepared:
      command: sh -c 'mkdir sub; echo prepared > sub/file; cat %(folder)s/tool > file'
      keep: [sub/file, file]
      when: QUICK
      build: sh -c 'cat {prepared}/sub/file {prepared}/file > {exe}; . ./{source}'
  - id: hopeless
    source: main.txt
    exe: main
    build: cp {source} {exe}
    run: cat {exe}
    prepared:
      command: sh -c 'echo no >&2; exit 3'
      keep: [file]
      build: cp {source} {exe}
  - id: python
    source: main.py
    run: python3 {source}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("prepared")
    (folder / "tool").write_text("1\n")
    return languages_folder(folder, LANGUAGES)


@pytest.fixture(scope="module")
def start(cjudge, folder, tmp_path_factory):
    def start(*options, place=None, languages=folder / "languages.yaml"):
        place = place or tmp_path_factory.mktemp("place")
        service = Service(cjudge, *(["-languages", languages] if languages else []), "-prepare-dir", place, *options,
                          judge="127.0.0.1:0", folder=str(tmp_path_factory.mktemp("serve")))
        service.place = place
        return service
    return start


@pytest.fixture(scope="module")
def service(start):
    with start("-build-cache", 0) as started:
        judge(started, "# QUICK begins it")
        await_made(started, 1)
        yield started
        assert started.process.poll() is None, started.log_text()
    assert os.listdir(started.place) == []  # an orderly end leaves nothing


def counts(service):
    return service.judge("GET", "/v1/stages").json["prepared"]


def await_made(service, count, key="made"):
    end = time.monotonic() + 120
    while counts(service)[key] < count:
        assert time.monotonic() < end, service.log_text()
        time.sleep(0.02)


def judge(service, source, language="quick", status="Accepted"):
    answer = service.judged("/v1/judge", {"language": language, "source": source, "cases": [{"input": ""}]})
    assert answer["build"]["status"] == status, answer
    return answer["cases"][0].get("stdout"), answer["build"]["stderr"]


def test_it_is_made_once_and_used_where_it_is_of_use(service):
    before = counts(service)
    assert judge(service, "# QUICK") == ("prepared\n1\n", "")
    assert judge(service, "# slow") == ("plain\n", "")
    after = counts(service)
    assert after == {**before, "quick": before["quick"] + 1}
    assert after["made"] == 1 and after["failed"] == 0


def test_words_of_the_compiler_come_from_the_plain_build(service):
    before = counts(service)["plain"]
    assert judge(service, "# QUICK\ncat main >&2") == ("plain\n", "plain\n")
    assert judge(service, "# QUICK\ncat main >&2; exit 3", status="Compile Error") == (None, "plain\n")
    assert counts(service)["plain"] == before + 2


def test_the_plain_build_decides(service):
    assert judge(service, '# QUICK\n[ "$(cat main)" = plain ]') == ("plain\n", "")
    assert judge(service, "# QUICK\nkill -9 $$", status="Compile Error")[0] is None


def test_builds_leave_nothing_for_each_other(service):
    """The plain build after the quick one, in the same job, begins in an empty directory."""
    out, _ = judge(service, "# QUICK\necho x > left; ls > main; cat main >&2")
    assert out == "left\nmain\nmain.txt\n"


def test_nobody_writes_there(service):
    attack = ("# QUICK\n{ for f in /cjudge/* /cjudge/*/* /cjudge/*/*/*; do echo poison > $f; echo poison >> $f; chmod 777 $f; "
              "mv $f $f.old; rm -rf $f; ln -sf /etc/passwd $f; touch $f; mkdir $f.d; done; mkdir /cjudge/new; mount -o remount,rw /cjudge; "
              "umount /cjudge; } 2>/dev/null >/dev/null; true")
    for _ in range(2):
        assert judge(service, attack)[0] == "prepared\n1\n"
    program = service.judged("/run", {"type": "python", "solution": """
import os
done = []
for top, folders, files in os.walk("/cjudge"):
    for name in folders + files + ["new"]:
        path = os.path.join(top, name)
        for act in (lambda: open(path, "w"), lambda: open(path, "a"), lambda: os.unlink(path), lambda: os.rename(path, path + "x"),
                    lambda: os.chmod(path, 0o777), lambda: os.symlink("/etc/passwd", path + "y"), lambda: os.link(path, "/w/hard"),
                    lambda: os.utime(path), lambda: os.mkdir(path + "z"),
                    lambda: open(f"/proc/self/fd/{os.open(path, os.O_RDONLY)}", "w"), lambda: os.truncate(path, 0)):
            try:
                act()
                done.append(path)
            except OSError:
                pass
print(done)
"""})
    assert program["stdout"] == "[]\n", program
    assert judge(service, "# QUICK after") == ("prepared\n1\n", "")
    assert counts(service)["made"] == 1


def test_what_was_changed_on_the_host_is_made_anew(service):
    made = counts(service)["made"]
    [ours] = os.listdir(service.place)
    [generation] = [name for name in os.listdir(service.place / ours) if name != "lock"]
    (service.place / ours / generation / "file").write_text("poison\n")
    assert judge(service, "# QUICK changed") == ("plain\n", "")
    await_made(service, made + 1)
    assert judge(service, "# QUICK changed") == ("prepared\n1\n", "")
    assert "were changed" in service.log_text()


def test_another_toolchain_makes_it_anew(service, folder):
    made = counts(service)["made"]
    (folder / "tool").write_text("22\n")
    assert judge(service, "# QUICK tool") == ("plain\n", "")
    await_made(service, made + 1)
    assert judge(service, "# QUICK tool") == ("prepared\n22\n", "")
    [ours] = os.listdir(service.place)
    assert len(os.listdir(service.place / ours)) == 2  # the lock, and what is of use
    (folder / "tool").write_text("1\n")


def test_what_cannot_be_made_is_tried_once(service):
    for _ in range(3):
        assert judge(service, "text", language="hopeless") == ("text", "")
        await_made(service, 1, "failed")
    assert counts(service)["failed"] == 1
    [line] = [line for line in service.log() if line["message"] == "builds of a language stay slow"]
    assert line["language"] == "hopeless" and "no" in line["error"]


def test_it_can_be_turned_off(start):
    with start("-prepare", "off") as service:
        assert judge(service, "# QUICK") == judge(service, "# QUICK 2") == ("plain\n", "")
        assert os.listdir(service.place) == []
        look = service.judged("/run", {"type": "python", "solution": "import os; print('cjudge' in os.listdir('/'))"})
        assert look["stdout"] == "False\n"


def test_a_folder_that_cannot_be_made_costs_nothing_else(start, tmp_path):
    with start(place=tmp_path / "nosuch") as service:
        assert judge(service, "# QUICK") == ("plain\n", "")
        assert "builds stay slow" in service.log_text()


def test_what_a_killed_service_left_is_removed(start, tmp_path):
    (tmp_path / "cjudge-prepared-of-another").mkdir()
    with start(place=tmp_path) as other, start("-prepare", "start", place=tmp_path) as killed:
        await_made(killed, 1)
        assert len(os.listdir(tmp_path)) == 3
        killed.process.kill()
        killed.process.wait()
        with start(place=tmp_path) as third:
            assert len(os.listdir(tmp_path)) == 3  # one that has no lock is nobody's to remove
            judge(other, "# QUICK")
            await_made(other, 1)
            assert judge(other, "# QUICK other")[0] == "prepared\n1\n"
            judge(third, "# QUICK third")
    assert os.listdir(tmp_path) == ["cjudge-prepared-of-another"]


# ---- the real one ----

GOOD = """#define LL long long
#include <bits/stdc++.h>
int main() { std::map<LL, int> m; m[3] = __LINE__; std::cout << m[3] << __FILE__ << __COUNTER__ << std::endl; }
"""
WRONG = """#include <bits/stdc++.h>
struct S {};
int main() { std::vector<S> v(2); std::sort(v.begin(), v.end()); undefined(); }
"""
WARNS = """#include <bits/stdc++.h>
int f() { }
int main() { std::puts("x"); }
"""


def test_cpp_says_and_does_the_same(start):
    with start("-build-cache", 0, "-prepare", "off", languages=None) as plain, \
            start("-build-cache", 0, languages=None) as service:
        assert judge(service, GOOD, "cpp17") == judge(plain, GOOD, "cpp17") == ("3main.cpp0\n", "")
        await_made(service, 1)
        assert judge(service, GOOD, "cpp17") == ("3main.cpp0\n", "")
        assert counts(service)["quick"] == 1
        words = judge(service, WRONG, "cpp17", "Compile Error")[1]
        assert words == judge(plain, WRONG, "cpp17", "Compile Error")[1] and "from main.cpp:1" in words
        assert judge(service, WARNS, "cpp17") == judge(plain, WARNS, "cpp17")
        assert counts(service) == {"made": 1, "failed": 0, "quick": 1, "plain": 2}
