"""clients/python against a real service."""
import asyncio
import concurrent.futures
import os
import subprocess
import sys
import time

import pytest

from service import Service

CLIENT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "clients", "python")
sys.path.insert(0, CLIENT)

from cjudge_client import AsyncClient, Client  # noqa: E402  # pylint: disable=wrong-import-position
from judge_client import (BufferedAsyncJudgeClient, BufferedJudgeClient, JudgeClient,  # noqa: E402  # pylint: disable=wrong-import-position
                          JudgeError, QueuedAsyncJudgeClient, QueuedJudgeClient, ServerStatus, Submission,
                          chunkify)

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: control groups")


@pytest.fixture(scope="module")
def url(cjudge, tmp_path_factory):
    with Service(cjudge, "-queue-length", 4, judge="127.0.0.1:0", env={"MAX_WORKERS": "2"},
                 folder=str(tmp_path_factory.mktemp("client"))) as started:
        yield f"http://{started.judge_addresses[0]}"


def submissions(count):
    return [Submission(str(i), "python", "print(input())", str(i), str(i if i % 5 else -1)) for i in range(count)]


def check(results):
    assert [r.sub_id for r in results] == [str(i) for i in range(len(results))]
    assert [r.success for r in results] == [i % 5 != 0 for i in range(len(results))]
    assert all(r.run_success and r.reason == "" for r in results)


def test_judge_client(url):
    client = JudgeClient(url, max_batch_size=7, max_workers=3)
    assert client.judge([]) == []
    check(client.judge(submissions(40)))
    assert client.get_status() == ServerStatus(0, 2)


def test_buffered(url):
    with BufferedJudgeClient(url, max_workers=2) as client:
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda s: client.judge([s])[0], submissions(30)))
    check(answers)


def test_queued(url):
    with QueuedJudgeClient(url) as client:
        wanted = submissions(12)
        client.submit(wanted[:5])
        client.submit(wanted[5:])
        pairs = client.get_results()
        assert [s for s, _ in pairs] == wanted
        check([r for _, r in pairs])
        assert client.get_results() == []
        with pytest.raises(TypeError):
            client.submit(tuple(wanted))


def test_async(url):
    async def main():
        async with BufferedAsyncJudgeClient(url) as client:
            answers = await asyncio.gather(*(client.judge([s]) for s in submissions(20)))
            check([a[0] for a in answers])
            assert (await client.get_status()).num_workers == 2
        async with QueuedAsyncJudgeClient(url) as client:
            await client.submit(submissions(6))
            check([r for _, r in await client.get_results()])
    asyncio.run(main())


def test_a_busy_service_is_tried_again(url):
    """More requests than the queue has room for: each is answered in the end."""
    client = Client(url)
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: client.judge(language="bash", source="sleep 0.1", cases=[{}]), range(24)))
    assert all(a["summary"]["status"] == "Accepted" for a in answers)


def test_errors(url):
    with pytest.raises(JudgeError) as error:
        Client(url).judge(language="nosuch", source="", cases=[{}])
    assert error.value.status == 400 and "nosuch" in error.value.text
    with pytest.raises(ValueError):
        JudgeClient("ftp://x")
    with pytest.raises(OSError):
        JudgeClient("http://127.0.0.1:1").get_status()


def test_native(url):
    client = Client(url)
    cases = [{"input": str(i), "expected": str(2 * i)} for i in range(5)]
    answer = client.judge(language="python", source="print(2 * int(input()))", cases=cases)
    assert answer["summary"]["accepted"] == 5
    events = list(client.stream(language="python", source="print(2 * int(input()))", cases=cases))
    assert [e["event"] for e in events] == ["build"] + 5 * ["case"] + ["summary"]
    artifact = client.build("c", "#include <stdio.h>\nint main(void) { puts(\"x\"); }")["artifact"]
    assert client.judge(artifact=artifact, cases=[{"expected": "x"}])["summary"]["status"] == "Accepted"
    client.remove(artifact)
    batch = client.judge_batch([{"language": "bash", "source": f"echo {i}", "cases": [{"expected": str(i)}]}
                                for i in range(4)])
    assert [b["summary"]["status"] for b in batch] == 4 * ["Accepted"]
    for event in client.stream_batch([{"language": "bash", "source": "sleep 9", "cases": [{}]}]):
        break  # leaves the rest unread: the next call has a connection of its own
    assert any(language["id"] == "python" for language in client.languages())


def test_native_async(url):
    async def main():
        client = AsyncClient(url)
        events = [e async for e in client.stream(language="bash", source="cat", cases=[{"input": "a", "expected": "a"}])]
        assert events[-1]["status"] == "Accepted"
        with pytest.raises(JudgeError):
            await client.judge(language="nosuch", source="", cases=[{}])
        with pytest.raises(JudgeError):
            _ = [e async for e in client.stream(language="nosuch", source="", cases=[{}])]
        events = [e async for e in client.stream_batch([{"language": "bash", "source": f"echo {i}", "cases": [{}]} for i in range(3)])]
        assert {e["submission"] for e in events if e["event"] == "summary"} == {0, 1, 2}
        many = client.stream(language="bash", source="sleep 0.2", cases=[{"input": str(i)} for i in range(100)])
        async for _ in many:
            break  # leaves the rest: its slots are free soon, long before the 20 s that it would take
        await many.aclose()
        status = JudgeClient(url)
        end = time.monotonic() + 12
        while status.get_status().queue > 0 and time.monotonic() < end:
            await asyncio.sleep(0.1)
        answer = await client.judge(language="bash", source="echo 1", cases=[{}])
        assert answer["summary"]["status"] == "Accepted" and time.monotonic() < end
    asyncio.run(main())


def test_chunks():
    assert [list(c) for c in chunkify(range(5), 2)] == [[0, 1], [2, 3], [4]]


def test_installs_with_pip(url, tmp_path):
    """In a new environment, without a network, as a user does it; then it is used."""
    venv = tmp_path / "venv"
    if subprocess.run(["/usr/bin/python3", "-m", "venv", str(venv)], capture_output=True, check=False).returncode != 0:
        pytest.skip("python3-venv is not installed")
    program = ("from judge_client import JudgeClient, Submission\nimport cjudge_client, sys\n"
               f"client = JudgeClient({url!r}, progress=True)\n"
               "print([r.success for r in client.judge([Submission('a', 'python', 'print(1)', None, '1')])])\n"
               "print(cjudge_client.__file__.startswith(sys.prefix))")
    before = sorted(os.listdir(CLIENT))
    for how in ([], ["--no-build-isolation", "-e"]):
        done = subprocess.run([venv / "bin/pip", "install", "--no-index", "--no-cache-dir", *how, CLIENT], capture_output=True,
                              text=True, check=False, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        found = subprocess.run([venv / "bin/python", "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False,
                               env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"})
        assert found.stdout == f"[True]\n{not how}\n", found.stderr
    assert [name for name in sorted(os.listdir(CLIENT)) if name != "__pycache__"] == [n for n in before if n != "__pycache__"]
