"""The requests of go-judge's own documents, sent by curl as they are written there."""
import json
import os
import re
import subprocess

import pytest

from service import Service

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: control groups")


@pytest.fixture(scope="module")
def service(cjudge, tmp_path_factory):
    with Service(cjudge, "-parallelism", 2, folder=str(tmp_path_factory.mktemp("serve"))) as started:
        yield started


def curl(service, path, *options):
    done = subprocess.run(["curl", "-sS", "--max-time", "60", *options, service.url(path)], capture_output=True, check=True)
    return done.stdout


def post(service, text, *options):
    return json.loads(curl(service, "/run", "-d", text, *options))


# Of the first releases, where no limit on wall time was sent.
SINGLE = r"""{
    "cmd": [{
        "args": ["/usr/bin/g++", "a.cc", "-o", "a"],
        "env": ["PATH=/usr/bin:/bin"],
        "files": [{
            "content": ""
        }, {
            "name": "stdout",
            "max": 10240
        }, {
            "name": "stderr",
            "max": 10240
        }],
        "cpuLimit": 10000000000,
        "memoryLimit": 104857600,
        "procLimit": 50,
        "copyIn": {
            "a.cc": {
                "content": "#include <iostream>\nusing namespace std;\nint main() {\nint a, b;\ncin >> a >> b;\ncout << a + b << endl;\n}"
            }
        },
        "copyOut": ["stdout", "stderr"],
        "copyOutCached": ["a.cc", "a"],
        "copyOutDir": "1"
    }]
}"""

MULTIPLE = r"""{
    "cmd": [{
        "args": ["/bin/cat", "1"],
        "env": ["PATH=/usr/bin:/bin"],
        "files": [{
            "content": ""
        }, null, {
            "name": "stderr",
            "max": 10240
        }],
        "cpuLimit": 1000000000,
        "memoryLimit": 1048576,
        "procLimit": 50,
        "copyIn": {
            "1": { "content": "TEST 1" }
        },
        "copyOut": ["stderr"]
    },
    {
        "args": ["/bin/cat"],
        "env": ["PATH=/usr/bin:/bin"],
        "files": [null, {
            "name": "stdout",
            "max": 10240
        }, {
            "name": "stderr",
            "max": 10240
        }],
        "cpuLimit": 1000000000,
        "memoryLimit": 1048576,
        "procLimit": 50,
        "copyOut": ["stdout", "stderr"]
    }],
    "pipeMapping": [{
        "in" : {"index": 0, "fd": 1 },
        "out" : {"index": 1, "fd" : 0 }
    }]
}"""

WINDOWS = r"""{
    "cmd": [{
        "args": ["C:\\Cygwin\\bin\\g++", "a.cc", "-o", "a"],
        "env": ["PATH=C:\\Cygwin\\bin;"],
        "files": [{
            "content": ""
        }, {
            "name": "stdout",
            "max": 10240
        }, {
            "name": "stderr",
            "max": 10240
        }],
        "cpuLimit": 10000000000,
        "memoryLimit": 104857600,
        "procLimit": 50,
        "copyIn": {
            "a.cc": {
                "content": "#include <iostream>\n#include <signal.h>\n#include <unistd.h>\nusing namespace std;\nint main() {\nint a, b;\ncin >> a >> b;\ncout << a + b << endl;\n}"
            }
        },
        "copyOutCached": ["a.exe"]
    }]
}"""

WRK = ('{"cmd":[{"args":["/bin/cat","a.hs"],"env":["PATH=/usr/bin:/bin"],"files":[{"content":""},{"name":"stdout","max":10240},'
       '{"name":"stderr","max":10240}],"cpuLimit":10000000000,"memoryLimit":104857600,"procLimit":50,'
       '"copyIn":{"a.hs":{"content":"main = putStrLn \\"Hello, World!\\""},"b":{"content":"TEST"}}}]}')

FFI = ('{"cmd": [{"args": ["/bin/cat", "test.txt"],"env": ["PATH=/usr/bin:/bin"],"files": [{"content": ""}, {"name": "stdout",'
       '"max": 10240}, {"name": "stderr","max": 10240}],"cpuLimit": 10000000000,"memoryLimit": 104857600,"procLimit": 50,'
       '"copyIn": {"test.txt": {"content": "TEST"}}}]}')

README = ('{"cmd":[{"args":["/usr/bin/python3","-c","print(6*7)"],"files":[{"content":""},{"name":"stdout","max":10240},'
          '{"name":"stderr","max":10240}],"env":["PATH=/usr/bin:/bin"],"cpuLimit":1000000000,"memoryLimit":67108864,'
          '"procLimit":16}]}')


@pytest.mark.kept
def test_single(service):
    (result,) = post(service, SINGLE)
    assert (result["status"], result["exitStatus"]) == ("Accepted", 0), result
    assert result["files"] == {"stderr": "", "stdout": ""}
    assert sorted(result["fileIds"]) == ["a", "a.cc"]
    assert 0 < result["time"] < 10**10 and 0 < result["memory"] <= 104857600 and result["time"] <= 2 * result["runTime"]
    source = curl(service, "/file/" + result["fileIds"]["a.cc"])
    assert source.startswith(b"#include <iostream>\n")
    adds = {"cmd": [{"args": ["a"], "env": ["PATH=/usr/bin:/bin"], "cpuLimit": 10**9, "memoryLimit": 64 << 20, "procLimit": 50,
                     "files": [{"content": "1 2"}, {"name": "stdout", "max": 100}, {"name": "stderr", "max": 100}],
                     "copyIn": {"a": {"fileId": result["fileIds"]["a"]}}}]}
    (sum_of,) = post(service, json.dumps(adds))
    assert (sum_of["status"], sum_of["files"]["stdout"]) == ("Accepted", "3\n")
    for name in result["fileIds"].values():
        assert curl(service, "/file/" + name, "-X", "DELETE") == b""


@pytest.mark.kept
def test_multiple(service):
    first, second = post(service, MULTIPLE)
    assert (first["status"], first["exitStatus"], first["files"]) == ("Accepted", 0, {"stderr": ""})
    assert (second["status"], second["files"]) == ("Accepted", {"stderr": "", "stdout": "TEST 1"})
    assert "fileIds" not in first  # what is empty is left out, as in today's go-judge


@pytest.mark.kept
def test_what_is_for_another_system(service):
    (result,) = post(service, WINDOWS)
    assert result["status"] == "Internal Error"
    assert result["error"] == "handle: C:\\Cygwin\\bin\\g++: executable file not found in $PATH"


@pytest.mark.kept
@pytest.mark.parametrize("text, output", [(WRK, 'main = putStrLn "Hello, World!"'), (FFI, "TEST"), (README, "42\n")])
def test_small_ones(service, text, output):
    (result,) = post(service, text, "-H", "Content-Type: application/json;charset=UTF-8")
    assert (result["status"], result["files"]["stdout"]) == ("Accepted", output)


@pytest.mark.kept
def test_files(service, tmp_path):
    (tmp_path / "Name").write_text("Content")
    name = json.loads(curl(service, "/file", "-F", f"file=@{tmp_path}/Name"))
    assert re.fullmatch("[A-Z2-7]{8}", name)
    assert json.loads(curl(service, "/file"))[name] == "Name"
    assert curl(service, "/file/" + name) == b"Content"
    assert curl(service, "/file/" + name, "-X", "DELETE") == b""
    assert name not in json.loads(curl(service, "/file"))


@pytest.mark.kept
def test_facts(service):
    version = json.loads(curl(service, "/version"))
    assert version["buildVersion"].startswith("v") and version["os"] == "linux"
    assert {"fileStorePath", "runnerConfig"} <= set(json.loads(curl(service, "/config")))
