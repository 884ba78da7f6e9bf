"""What an online judge does with go-judge's REST interface: compile once, run and check many cases, an
interactive problem."""
import concurrent.futures
import os

import pytest

from service import MIB, accepted, collector, command, pipe_between

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: control groups")

# ---- an online judge ----

ADDS = """#include <iostream>
int main() { long a, b; while (std::cin >> a >> b) std::cout << a + b << std::endl; }
"""
CHECKER = """#include <fstream>
#include <iostream>
int main(int argc, char **argv) {
    std::ifstream mine(argv[1]), wanted(argv[2]);
    std::string a, b;
    while (true) {
        bool more_a = bool(mine >> a), more_b = bool(wanted >> b);
        if (more_a != more_b || (more_a && a != b)) { std::cout << "wrong" << std::endl; return 1; }
        if (!more_a) break;
    }
    std::cout << "ok" << std::endl;
}
"""
GUESSER = """#include <iostream>
int main() {
    int low = 1, high = 1000; std::string answer;
    while (low <= high) {
        int middle = (low + high) / 2;
        std::cout << middle << std::endl;
        if (!(std::cin >> answer) || answer == "right") return 0;
        if (answer == "low") low = middle + 1; else high = middle - 1;
    }
    return 1;
}
"""
INTERACTOR = """#include <iostream>
int main() {
    int secret = 777, guess, count = 0;
    while (std::cin >> guess) {
        count++;
        if (guess == secret) { std::cout << "right" << std::endl; std::cerr << count << " guesses"; return 0; }
        std::cout << (guess < secret ? "low" : "high") << std::endl;
    }
    return 1;
}
"""


def compiled(service, source):
    result = service.run(command("/usr/bin/g++", "-O1", "-o", "program", "main.cc", cpuLimit=20 * 10**9,
                                 clockLimit=60 * 10**9, memoryLimit=512 * MIB, copyIn={"main.cc": {"content": source}},
                                 copyOut=["stdout", "stderr"], copyOutCached=["program"]))
    assert result["status"] == "Accepted", result
    return result["fileIds"]["program"]


def test_the_pattern_of_an_online_judge(service):
    before = set(service.get("/file").json)
    solution, checker, guesser, interactor = (
        compiled(service, source) for source in (ADDS, CHECKER, GUESSER, INTERACTOR))
    inputs = [f"{n} {n * n}\n{n} 1\n" for n in range(30)]
    wanted = [f"{n + n * n}\n{n + 1}\n" for n in range(30)]

    def judge(number):
        stored = service.put(f"{number}.in", inputs[number].encode())
        ran = service.run(command("a", files=[{"fileId": stored}, collector("stdout"), collector("stderr")],
                                  copyIn={"a": {"fileId": solution}}, copyOutCached=["stdout"], clockLimit=10**10))
        assert ran["status"] == "Accepted", ran
        output = ran["fileIds"]["stdout"]
        checked = service.run(command("checker", "out", "answer", clockLimit=10**10, copyIn={
            "checker": {"fileId": checker}, "out": {"fileId": output}, "answer": {"content": wanted[number]}}))
        for name in (stored, output):
            assert service.request("DELETE", "/file/" + name).status == 200
        return accepted(checked)

    with concurrent.futures.ThreadPoolExecutor(30) as pool:
        assert list(pool.map(judge, range(30))) == ["ok\n"] * 30
    for proxy in (False, True):
        results = service.run_all(
            command("guesser", files=[None, None, collector("stderr")], copyIn={"guesser": {"fileId": guesser}}),
            command("interactor", files=[None, None, collector("stderr")], copyIn={"interactor": {"fileId": interactor}}),
            pipes=[pipe_between((0, 1), (1, 0), proxy=proxy, name="asked", max=100),
                   pipe_between((1, 1), (0, 0), proxy=proxy, name="told", max=100)])
        assert [r["status"] for r in results] == ["Accepted"] * 2, results
        assert results[1]["files"]["stderr"] == "8 guesses"
        if proxy:
            assert results[0]["files"]["asked"].split()[:3] == ["500", "750", "875"]
            assert results[1]["files"]["told"].split()[-1] == "right"
    for name in (solution, checker, guesser, interactor):
        assert service.request("DELETE", "/file/" + name).status == 200
    assert set(service.get("/file").json) == before


# ---- many solutions and one manager, which opens its pipes by their names ----

MANAGER = """import sys
answers = [open(name) for name in sys.argv[1::2]]
questions = [open(name, "w") for name in sys.argv[2::2]]
for k in range(50):
    for i, question in enumerate(questions):
        print(k, file=question, flush=True)
        assert int(answers[i].readline()) == k * (i + 1)
print("all right")
"""
SOLUTION = "import sys\nfor line in sys.stdin:\n    print(int(line) * (int(sys.argv[1]) + 1), flush=True)\n"


@pytest.mark.parametrize("proxy", [False, True])
def test_a_manager_of_several_processes(service, proxy):
    count = 3
    limits = {"cpuLimit": 4 * 10**9, "clockLimit": 12 * 10**9, "memoryLimit": 128 * MIB}
    names = [f"/proc/self/fd/{fd}" for fd in range(3, 3 + 2 * count)]
    manager = command("/usr/bin/python3", "m.py", *names, copyIn={"m.py": {"content": MANAGER}, "answer": {"src": "/dev/null"}},
                      **limits)
    solutions = [command("/usr/bin/python3", "s.py", str(i), copyIn={"s.py": {"content": SOLUTION}},
                         files=[None, None, collector("stderr")], **limits) for i in range(count)]
    more = {"proxy": True, "max": MIB} if proxy else {}
    pipes = []
    for i in range(count):
        pipes.append(pipe_between((i + 1, 1), (0, 2 * i + 3), name=f"sol2mgr[{i}]", **more))
        pipes.append(pipe_between((0, 2 * i + 4), (i + 1, 0), name=f"mgr2sol[{i}]", **more))
    results = service.run_all(manager, *solutions, pipes=pipes)
    assert [r["status"] for r in results] == ["Accepted"] * (count + 1), results
    assert results[0]["files"]["stdout"] == "all right\n"
    heard = [results[i + 1]["files"].get(f"sol2mgr[{i}]") for i in range(count)]
    assert heard == ["".join(f"{k * (i + 1)}\n" for k in range(50)) if proxy else None for i in range(count)]
