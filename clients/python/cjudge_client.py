"""Client of cjudge's native judging API: one program, many test cases."""
import asyncio
import json
import threading
from typing import Any, AsyncIterator, Callable, Dict, Iterator, List, Optional, Sequence

from judge_client import JudgeError, Transport

__all__ = ["Client", "AsyncClient", "JudgeError"]


class Client:
    """Blocking; may be shared by threads. Fields of requests and answers are docs/judge-api.md's."""

    def __init__(self, url: str = "http://localhost:8000", timeout: float = 3600.0, max_retries: int = 60):
        self._transport = Transport(url, max_retries)
        self.timeout = timeout

    def judge(self, *, cases: Sequence[Dict[str, Any]], **request: Any) -> Dict[str, Any]:
        """The whole answer: build, cases, summary."""
        return self._transport.call("POST", "/v1/judge", {**request, "cases": list(cases)}, self.timeout)

    def stream(self, *, cases: Sequence[Dict[str, Any]], **request: Any) -> Iterator[Dict[str, Any]]:
        """Events as they come: build, case, ..., summary."""
        body = {**request, "cases": list(cases), "stream": True}
        return self._events("/v1/judge", body)

    def judge_batch(self, submissions: Sequence[Dict[str, Any]]) -> List[Dict[str, Any]]:
        """Answers in order."""
        body = {"submissions": list(submissions)}
        return self._transport.call("POST", "/v1/judge/batch", body, self.timeout)["results"]

    def stream_batch(self, submissions: Sequence[Dict[str, Any]]) -> Iterator[Dict[str, Any]]:
        """Events as they come; `submission` is the index."""
        return self._events("/v1/judge/batch", {"submissions": list(submissions), "stream": True})

    def build(self, language: str, source: Optional[str] = None,
              files: Optional[Dict[str, str]] = None) -> Dict[str, Any]:
        """`artifact` (None: it does not build) and `build`."""
        body: Dict[str, Any] = {"language": language}
        if source is not None:
            body["source"] = source
        if files is not None:
            body["files"] = files
        return self._transport.call("POST", "/v1/build", body, self.timeout)

    def remove(self, artifact: str) -> None:
        self._transport.call("DELETE", f"/v1/artifacts/{artifact}", timeout=self.timeout)

    def languages(self) -> List[Dict[str, Any]]:
        return self._transport.call("GET", "/languages", timeout=self.timeout)

    def _events(self, path: str, body: Dict[str, Any]) -> Iterator[Dict[str, Any]]:
        response = self._transport.open("POST", path, body, self.timeout)
        whole = False
        try:
            for line in response:
                yield json.loads(line)
            whole = True
        finally:
            if not whole:  # the rest of it stands in the connection
                self._transport._drop()  # pylint: disable=protected-access


class AsyncClient:
    """The same for asyncio, on threads."""

    def __init__(self, url: str = "http://localhost:8000", timeout: float = 3600.0, max_retries: int = 60):
        self._client = Client(url, timeout, max_retries)

    async def judge(self, **request: Any) -> Dict[str, Any]:
        return await asyncio.to_thread(lambda: self._client.judge(**request))

    async def judge_batch(self, submissions: Sequence[Dict[str, Any]]) -> List[Dict[str, Any]]:
        return await asyncio.to_thread(self._client.judge_batch, submissions)

    async def build(self, *args: Any, **kwargs: Any) -> Dict[str, Any]:
        return await asyncio.to_thread(lambda: self._client.build(*args, **kwargs))

    async def remove(self, artifact: str) -> None:
        await asyncio.to_thread(self._client.remove, artifact)

    async def languages(self) -> List[Dict[str, Any]]:
        return await asyncio.to_thread(self._client.languages)

    def stream(self, **request: Any) -> AsyncIterator[Dict[str, Any]]:
        return self._events(lambda: self._client.stream(**request))

    def stream_batch(self, submissions: Sequence[Dict[str, Any]]) -> AsyncIterator[Dict[str, Any]]:
        return self._events(lambda: self._client.stream_batch(submissions))

    @staticmethod
    async def _events(start: Callable[[], Iterator[Dict[str, Any]]]) -> AsyncIterator[Dict[str, Any]]:
        loop = asyncio.get_running_loop()
        events: "asyncio.Queue[Any]" = asyncio.Queue()
        left = threading.Event()

        def put(event: Any) -> None:
            if not left.is_set():
                loop.call_soon_threadsafe(events.put_nowait, event)

        def read() -> None:
            try:
                for event in start():
                    if left.is_set():  # by a break: the connection closes, and the service cancels the rest
                        break
                    put(event)
                put(None)
            except BaseException as error:  # pylint: disable=broad-except  # raised where it is awaited
                put(error)

        threading.Thread(target=read, daemon=True).start()
        try:
            while True:
                event = await events.get()
                if event is None:
                    return
                if isinstance(event, BaseException):
                    raise event
                yield event
        finally:
            left.set()
