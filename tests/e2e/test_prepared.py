"""What is prepared once makes builds quick, and changes nothing else: not what comes out, not what a compiler says, and
nothing that a program does reaches it."""
import os
import re
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
      unless: [SLOW, slow too]
      build: sh -c 'cat {prepared}/sub/file {prepared}/file > {exe}; . ./{source}'
  - id: tree
    source: main.txt
    exe: main
    build: sh -c 'echo plain $WHERE $OTHER > {exe}; . ./{source}'
    run: cat {exe}
    env: [WHERE=/nowhere, OTHER=other]
    prepared:
      command: sh -c 'mkdir -p $WHERE/a/b $WHERE/empty; echo one > $WHERE/a/b/one; echo echo two > $WHERE/two; chmod 700 $WHERE/two;
        echo three > three; touch -d @1000000000 $WHERE/a/b/one'
      keep: [cache/tree/, three]
      env: ['WHERE={prepared}/cache/tree', 'BRACES={{ }} {prepared}']
      build: sh -c 'cat $WHERE/a/b/one {prepared}/three > {exe}; $WHERE/two >> {exe}; echo $OTHER "$BRACES" >> {exe}; . ./{source}'
%(bad_trees)s  - id: needless
    source: main.txt
    exe: main
    build: cp {source} {exe}
    run: cat {exe}
    prepared:
      command: sh -c 'exit 77'
      keep: [file]
      build: sh -c 'echo prepared > {exe}'
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


# Folders that are not kept: what makes them, and why they are not.
BAD_TREES = {
    "link": ("ln -s /etc/passwd $D/x", "cache/a/x is neither a file nor a folder"),
    "link-to-folder": ("ln -s /etc $D/x", "cache/a/x is neither a file nor a folder"),
    "fifo": ("mkfifo $D/x", "cache/a/x is neither a file nor a folder"),
    "deep": ("d=$D; for i in $(seq 20); do d=$d/d; done; mkdir -p $d", "is too deep"),
    "absent": ("rm -r cache", "it made no cache/"),
    "no-folder": ("rm -r cache; echo x > cache", "it made no cache/"),
    "itself-a-link": ("mv cache other; ln -s other cache", "it made no cache/"),
    "sparse": ("truncate -s 200M $D/x; truncate -s 100M $D/y", "is too much"),
}


def bad_tree(name, what):
    return f"""  - id: {name}
    source: main.txt
    exe: main
    build: cp {{source}} {{exe}}
    run: cat {{exe}}
    prepared:
      command: sh -c 'D=cache/a; mkdir -p $D; echo x > $D/good; {what}'
      keep: [cache/]
      build: sh -c 'echo prepared > {{exe}}'
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("prepared")
    (folder / "tool").write_text("1\n")
    bad_trees = "".join(bad_tree(name, what) for name, (what, _) in BAD_TREES.items())
    return languages_folder(folder, LANGUAGES.replace("%(bad_trees)s", bad_trees.replace("%", "%%")))


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
    for word in ("SLOW", "slow too"):
        assert judge(service, f"# QUICK, {word}") == ("plain\n", "")
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


# ---- folders ----

# The service's other languages may be made anew meanwhile: the tests before have changed what they were made with.

def judge_tree(service, more=""):
    return judge(service, f"# {more}", language="tree")[0]


PREPARED_TREE = "one\nthree\ntwo\nother { } /cjudge/%s\n"


@pytest.fixture(scope="module")
def tree(service):
    made = counts(service)["made"]
    assert judge_tree(service) == "plain /nowhere other\n"
    await_made(service, made + 1)
    return service


def place_of_tree(service):
    [ours] = os.listdir(service.place)
    [place] = [path for path in (service.place / ours).iterdir() if (path / "cache").is_dir()]
    return place


def test_a_folder_is_kept_with_what_is_in_it(tree):
    place = place_of_tree(tree)
    assert judge_tree(tree) == PREPARED_TREE % place.name
    found = {str(path.relative_to(place)): oct(path.stat().st_mode) for path in place.rglob("*")}
    assert found == {"three": "0o100644", "cache": "0o40755", "cache/tree": "0o40755", "cache/tree/a": "0o40755", "cache/tree/a/b": "0o40755",
                     "cache/tree/a/b/one": "0o100644", "cache/tree/two": "0o100755", "cache/tree/empty": "0o40755"}
    assert (place / "cache/tree/a/b/one").stat().st_mtime == 1000000000
    assert {path.stat().st_uid for path in place.rglob("*")} == {os.geteuid()}


def test_builds_of_other_languages_see_no_variable_of_it(tree):
    assert judge(tree, '# QUICK\n! env | grep -E "^(WHERE|BRACES)=" >&2') == judge(tree, "# QUICK")


CHANGES = {
    "a file": lambda top: (top / "a/b/one").write_text("1"),
    "the same bytes": lambda top: (top / "a/b/one").write_text("one\n"),
    "a mode": lambda top: (top / "a/b/one").chmod(0o600),
    "a new file": lambda top: (top / "empty/new").write_text("new"),
    "a new folder": lambda top: (top / "a/b/new").mkdir(),
    "one gone": lambda top: (top / "a/b/one").unlink(),
    "another in its place": lambda top: (os.rename(top / "two", top / "a/two"), (top / "two").symlink_to("a/two")),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_folder_that_was_changed_is_made_anew(tree, change):
    place = place_of_tree(tree)
    assert judge_tree(tree, change) == PREPARED_TREE % place.name
    CHANGES[change](place / "cache/tree")
    assert judge_tree(tree, change) == "plain /nowhere other\n"
    end = time.monotonic() + 60
    while place.exists():
        assert time.monotonic() < end, tree.log_text()
        time.sleep(0.02)
    assert judge_tree(tree, change) == PREPARED_TREE % place_of_tree(tree).name


@pytest.mark.parametrize("name", BAD_TREES)
def test_a_folder_that_holds_something_else_is_not_kept(tree, name):
    failed = counts(tree)["failed"]
    assert judge(tree, "plain", language=name)[0] == "plain"
    await_made(tree, failed + 1, "failed")
    assert judge(tree, "still", language=name)[0] == "still"
    [line] = [line for line in tree.log() if line["message"] == "builds of a language stay slow" and line["language"] == name]
    assert BAD_TREES[name][1] in line["error"], line
    [ours] = os.listdir(tree.place)
    assert not [path for path in (tree.place / ours).rglob("good")]  # nothing of it is left


def test_what_cannot_be_made_is_tried_once(service):
    failed = counts(service)["failed"]
    for _ in range(3):
        assert judge(service, "text", language="hopeless") == ("text", "")
        await_made(service, failed + 1, "failed")
    assert counts(service)["failed"] == failed + 1
    [line] = [line for line in service.log() if line["message"] == "builds of a language stay slow" and line["language"] == "hopeless"]
    assert "no" in line["error"]


def test_a_compiler_may_need_nothing(service):
    def said():
        return [line for line in service.log() if line["message"] == "this compiler needs nothing prepared"]
    before = counts(service)
    end = time.monotonic() + 30
    while not said():
        assert judge(service, "text", language="needless") == ("text", "") and time.monotonic() < end, service.log_text()
        time.sleep(0.02)
    assert judge(service, "again", language="needless") == ("again", "")
    assert counts(service) == before and [line["language"] for line in said()] == ["needless"]


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
# Only the linker has something to say, and another linker has not.
LINKER_WARNS = """#include <bits/stdc++.h>
asm(".section .note.GNU-stack,\\"x\\",@progbits\\n.text");
int main() { std::puts("x"); }
""", """#include <bits/stdc++.h>
asm(".section .mine,\\"awx\\",@progbits\\n.byte 1\\n.text");
int main() { std::puts("x"); }
"""
LINKED_OTHERWISE = """#include <bits/stdc++.h>
void absent() __attribute__((visibility("hidden"), weak));
int main() { std::cout << (absent == nullptr); }
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
        for source in LINKER_WARNS:
            said = [re.sub(r"/tmp/cc\w+", "", judge(one, source, "cpp17")[1]) for one in (service, plain)]
            assert said[0] == said[1] and "warning" in said[0], said
        assert judge(service, LINKED_OTHERWISE, "cpp17") == judge(plain, LINKED_OTHERWISE, "cpp17")
        assert counts(service) == {"made": 1, "failed": 0, "quick": 1, "plain": 2}


GO = """package main
import ("bufio"; "fmt"; "os"; "sort"; "strings")
func main() { line, _ := bufio.NewReader(os.Stdin).ReadString('\\n'); w := strings.Fields(line); sort.Strings(w); fmt.Println(w, %s) }
"""


@pytest.mark.skipif(not os.path.exists("/usr/bin/go"), reason="needs golang-go")
def test_go_says_and_does_the_same(start, tmp_path):
    """Also of a version that needs no preparation."""
    with open(os.path.join(os.path.dirname(__file__), "../../share/languages.yaml"), encoding="utf-8") as file:
        (tmp_path / "languages.yaml").write_text(file.read().replace("exit 77;", "true;"))
    with start("-build-cache", 0, "-prepare", "off", languages=None) as plain, \
            start("-build-cache", 0, languages=tmp_path / "languages.yaml") as service:
        judge(service, GO % 0, "go")
        await_made(service, 1)
        # the executables, byte for byte
        digest = GO.replace("fmt.Println(", 'b, _ := os.ReadFile("main"); h := 0; for _, c := range b { h = (h*31 + int(c)) %% 1000003 }; '
                                            "fmt.Println(h, len(b), ")
        assert judge(plain, digest % 1, "go") == judge(service, digest % 1, "go")
        assert counts(service)["quick"] == 1 and counts(service)["plain"] == 0
        words = judge(service, GO % "nothing", "go", "Compile Error")[1]
        assert words == judge(plain, GO % "nothing", "go", "Compile Error")[1] and "undefined: nothing" in words
        assert counts(service)["plain"] == 1
