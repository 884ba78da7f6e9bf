"""Client of the batch judging API, with the names of code-judge's module."""
import asyncio
import concurrent.futures
import dataclasses
import http.client
import json
import math
import queue
import random
import sys
import threading
import time
import urllib.parse
from typing import Any, Dict, Iterable, List, Optional, Sequence, Tuple

__all__ = [
    "Submission", "SubmissionResult", "BatchSubmission", "BatchSubmissionResult", "ServerStatus", "JudgeError",
    "JudgeClient", "BufferedJudgeClient", "BufferedAsyncJudgeClient", "QueuedJudgeClient",
    "QueuedAsyncJudgeClient", "chunkify",
]

QUEUE_TIMEOUT = "queue_timeout"


class JudgeError(Exception):
    """The service refused a request: status and what it said."""

    def __init__(self, status: int, text: str):
        super().__init__(f"{status}: {text}")
        self.status = status
        self.text = text


@dataclasses.dataclass
class Submission:
    sub_id: str
    type: str
    solution: str
    input: Optional[str] = None
    expected_output: Optional[str] = None


@dataclasses.dataclass
class SubmissionResult:
    sub_id: str
    success: bool
    run_success: bool
    cost: float
    stdout: Optional[str] = None
    stderr: Optional[str] = None
    reason: str = ""


@dataclasses.dataclass
class BatchSubmission:
    type: str
    submissions: List[Submission]


@dataclasses.dataclass
class BatchSubmissionResult:
    sub_id: str
    results: List[SubmissionResult]

    @classmethod
    def from_response(cls, response: Dict[str, Any]) -> "BatchSubmissionResult":
        return cls(response["sub_id"], [SubmissionResult(**result) for result in response["results"]])


@dataclasses.dataclass
class ServerStatus:
    queue: int
    num_workers: int


def chunkify(sequence: Sequence, size: int) -> Iterable[Sequence]:
    """Parts of size items, the last one perhaps smaller."""
    for start in range(0, len(sequence), size):
        yield sequence[start:start + size]


class Transport:
    """One keep-alive connection for each thread; a 503 waits as long as it says and is tried again."""

    def __init__(self, url: str, max_retries: int = 60):
        parts = urllib.parse.urlsplit(url if "//" in url else "http://" + url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"not a URL of a service: {url!r}")
        self._secure = parts.scheme == "https"
        self._host, self._port = parts.hostname, parts.port
        self._prefix = parts.path.rstrip("/")
        self._max_retries = max_retries
        self._local = threading.local()

    def _connection(self, timeout: float) -> http.client.HTTPConnection:
        connection = getattr(self._local, "connection", None)
        if connection is None:
            kind = http.client.HTTPSConnection if self._secure else http.client.HTTPConnection
            connection = self._local.connection = kind(self._host, self._port, timeout=timeout)
        connection.timeout = timeout
        if connection.sock is not None:
            connection.sock.settimeout(timeout)
        return connection

    def _drop(self) -> None:
        connection = getattr(self._local, "connection", None)
        if connection is not None:
            connection.close()
            self._local.connection = None

    def open(self, method: str, path: str, body: Any = None, timeout: float = 3600.0,
             headers: Optional[Dict[str, str]] = None) -> http.client.HTTPResponse:
        """The answer, whose body is still to be read. Raises JudgeError unless it is 2xx."""
        data = None if body is None else json.dumps(body).encode("utf-8")
        fields = {"content-type": "application/json", **(headers or {})}
        fresh = getattr(self._local, "connection", None) is None
        for attempt in range(self._max_retries + 1):
            connection = self._connection(timeout)
            try:
                connection.request(method, self._prefix + path, body=data, headers=fields)
                response = connection.getresponse()
            except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
                self._drop()
                if fresh:
                    raise
                fresh = True  # an idle connection that was closed meanwhile: once more with a new one
                continue
            except Exception:
                self._drop()
                raise
            if 200 <= response.status < 300:
                return response
            text = response.read().decode("utf-8", "replace")
            if response.status != 503 or attempt == self._max_retries:
                raise JudgeError(response.status, text)
            try:
                pause = float(response.headers.get("retry-after", "1"))
            except ValueError:
                pause = 1.0
            time.sleep(pause * (0.5 + random.random()))
        raise JudgeError(503, "the service is busy")

    def call(self, method: str, path: str, body: Any = None, timeout: float = 3600.0) -> Any:
        response = self.open(method, path, body, timeout)
        try:
            text = response.read()
        except Exception:
            self._drop()
            raise
        return json.loads(text) if text else None


class Progress:
    """A bar on a terminal's stderr; nothing elsewhere."""

    def __init__(self, total: int, wanted: bool):
        self._total, self._done = total, 0
        self._shown = wanted and total > 0 and sys.stderr.isatty()
        self._lock = threading.Lock()
        self._start = time.monotonic()

    def add(self, count: int) -> None:
        with self._lock:
            self._done += count
            if not self._shown:
                return
            share = self._done / self._total
            rate = self._done / max(time.monotonic() - self._start, 1e-3)
            bar = ("#" * int(30 * share)).ljust(30)
            sys.stderr.write(f"\r[{bar}] {self._done}/{self._total} {rate:.0f}/s ")
            if self._done >= self._total:
                sys.stderr.write("\n")
            sys.stderr.flush()


class JudgeClient:
    def __init__(self, url: str, max_batch_size: int = 1000, max_workers: int = 4, timeout: float = 3600.0,
                 max_retries: int = 10, progress: bool = False):
        if max_batch_size < 1 or max_workers < 1:
            raise ValueError("max_batch_size and max_workers are at least 1")
        self.url = url
        self.max_batch_size = max_batch_size
        self.max_workers = max_workers
        self.timeout = timeout
        self.max_retries = max_retries
        self.progress = progress
        self._transport = Transport(url)

    def get_status(self, timeout: float = 10.0) -> ServerStatus:
        return ServerStatus(**self._transport.call("GET", "/status", timeout=timeout))

    def _judge_batch(self, submissions: Sequence[Submission]) -> List[SubmissionResult]:
        body = {"type": "batch", "submissions": [dataclasses.asdict(submission) for submission in submissions]}
        answer = self._transport.call("POST", "/run/long-batch", body, self.timeout)
        results = BatchSubmissionResult.from_response(answer).results
        if len(results) != len(submissions):
            raise JudgeError(200, f"{len(results)} results for {len(submissions)} submissions")
        return results

    def _judge_once(self, submissions: Sequence[Submission], progress: Progress) -> List[SubmissionResult]:
        batches = max(math.ceil(len(submissions) / self.max_batch_size), self.max_workers)
        size = math.ceil(len(submissions) / batches)
        results: List[SubmissionResult] = []
        with concurrent.futures.ThreadPoolExecutor(self.max_workers) as pool:
            for batch in pool.map(self._judge_batch, chunkify(submissions, size)):
                progress.add(sum(result.reason != QUEUE_TIMEOUT for result in batch))
                results.extend(batch)
        return results

    def judge(self, submissions: Sequence[Submission]) -> List[SubmissionResult]:
        """Results in order. What could not begin in time is sent again."""
        submissions = list(submissions)
        if not submissions:
            return []
        progress = Progress(len(submissions), self.progress)
        results = self._judge_once(submissions, progress)
        for _ in range(self.max_retries):
            late = [i for i, result in enumerate(results) if result.reason == QUEUE_TIMEOUT]
            if not late:
                break
            for i, result in zip(late, self._judge_once([submissions[i] for i in late], progress)):
                results[i] = result
        return results


class BufferedJudgeClient(JudgeClient):
    """judge() of many threads travels in common batches."""

    _END = object()

    def __init__(self, url: str, max_batch_size: int = 1000, max_workers: int = 4, timeout: float = 3600.0,
                 max_retries: int = 10):
        super().__init__(url, max_batch_size, max_workers, timeout, max_retries)
        self._waiting: "queue.Queue[Any]" = queue.Queue()
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(max_workers)]
        for thread in self._threads:
            thread.start()

    def _take(self) -> Optional[List[Tuple[Submission, concurrent.futures.Future, int]]]:
        first = self._waiting.get()
        if first is self._END:
            return None
        taken = [first]
        while len(taken) < self.max_batch_size:
            try:
                following = self._waiting.get_nowait()
            except queue.Empty:
                break
            if following is self._END:
                self._waiting.put(following)
                break
            taken.append(following)
        return taken

    def _work(self) -> None:
        while True:
            taken = self._take()
            if taken is None:
                return
            try:
                results = self._judge_batch([submission for submission, _, _ in taken])
            except BaseException as error:  # pylint: disable=broad-except  # it is the waiting threads' to see
                for _, future, _ in taken:
                    future.set_exception(error)
                continue
            for (submission, future, tries), result in zip(taken, results):
                if result.reason == QUEUE_TIMEOUT and tries < self.max_retries:
                    self._waiting.put((submission, future, tries + 1))
                else:
                    future.set_result(result)

    def _submit(self, submissions: Sequence[Submission]) -> List["concurrent.futures.Future[SubmissionResult]"]:
        futures = []
        for submission in submissions:
            future: "concurrent.futures.Future[SubmissionResult]" = concurrent.futures.Future()
            self._waiting.put((submission, future, 0))
            futures.append(future)
        return futures

    def judge(self, submissions: Sequence[Submission]) -> List[SubmissionResult]:
        return [future.result() for future in self._submit(submissions)]

    def close(self) -> None:
        for _ in self._threads:
            self._waiting.put(self._END)
        for thread in self._threads:
            thread.join()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()


class QueuedJudgeClient(BufferedJudgeClient):
    """submit() returns at once; get_results() gives all since the last call."""

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self._submitted: List[Tuple[Submission, concurrent.futures.Future]] = []

    def submit(self, submissions: List[Submission]) -> None:
        if not isinstance(submissions, list):
            raise TypeError("submissions must be a list")
        self._submitted.extend(zip(submissions, self._submit(submissions)))

    def get_results(self) -> List[Tuple[Submission, SubmissionResult]]:
        submitted, self._submitted = self._submitted, []
        return [(submission, future.result()) for submission, future in submitted]


class BufferedAsyncJudgeClient:
    """BufferedJudgeClient for asyncio; to be made inside a running loop."""

    def __init__(self, url: str, max_batch_size: int = 1000, max_workers: int = 4, timeout: float = 3600.0,
                 max_retries: int = 10):
        asyncio.get_running_loop()
        self._client = BufferedJudgeClient(url, max_batch_size, max_workers, timeout, max_retries)

    async def get_status(self, timeout: float = 10.0) -> ServerStatus:
        return await asyncio.to_thread(self._client.get_status, timeout)

    async def judge(self, submissions: Sequence[Submission]) -> List[SubmissionResult]:
        # pylint: disable=protected-access
        futures = self._client._submit(list(submissions))
        return list(await asyncio.gather(*(asyncio.wrap_future(future) for future in futures)))

    async def close(self) -> None:
        await asyncio.to_thread(self._client.close)

    async def __aenter__(self):
        return self

    async def __aexit__(self, *error):
        await self.close()


class QueuedAsyncJudgeClient(BufferedAsyncJudgeClient):
    """QueuedJudgeClient for asyncio."""

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self._submitted: List[Tuple[Submission, concurrent.futures.Future]] = []

    async def submit(self, submissions: List[Submission]) -> None:
        if not isinstance(submissions, list):
            raise TypeError("submissions must be a list")
        # pylint: disable=protected-access
        self._submitted.extend(zip(submissions, self._client._submit(submissions)))

    async def get_results(self) -> List[Tuple[Submission, SubmissionResult]]:
        submitted, self._submitted = self._submitted, []
        results = await asyncio.gather(*(asyncio.wrap_future(future) for _, future in submitted))
        return [(submission, result) for (submission, _), result in zip(submitted, results)]
