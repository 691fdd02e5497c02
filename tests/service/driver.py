"""The real service in this process: the ASGI app of `service.py`, run by a loop in a thread."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import itertools
import json
import os
import sys
import tempfile
import threading
import warnings
from collections.abc import Coroutine, Iterable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic.warnings import PydanticDeprecatedSince211

ROOT = Path(__file__).resolve().parents[2]

T = TypeVar("T")
# A body in pieces; a number is a pause in seconds, None is a client that leaves.
Body = bytes | Iterable[bytes | float | None]
Headers = Mapping[str, str]

_JSON = {"content-type": "application/json"}
_numbers = itertools.count()


@dataclass(frozen=True)
class Answer:
    """What came back: status, headers in lower case, body; whether it came to its end."""

    status: int
    headers: dict[str, str]
    body: bytes
    is_whole: bool = True

    def json(self) -> Any:
        """Read the body as JSON."""
        return json.loads(self.body)


class App:
    """One configuration of the service, for tests that are not coroutines.

    `module`: `service.py` as it was imported. `data`: its data directory.
    """

    def __init__(self, module: Any, data: Path) -> None:
        self.module = module
        self.data = data
        self._asgi = module.TabularModel.to_asgi()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="service")
        self._thread.start()
        self._leave = asyncio.Event()
        started: Future[None] = Future()
        self._lifespan = asyncio.run_coroutine_threadsafe(self._live(started), self._loop)
        started.result(60)

    @property
    def asgi(self) -> Any:
        """The ASGI app, for messages that a test sends itself."""
        return self._asgi

    async def _live(self, started: Future[None]) -> None:
        messages = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])

        async def receive() -> dict[str, str]:
            message = next(messages)
            if message["type"] == "lifespan.shutdown":
                await self._leave.wait()
            return message

        async def send(message: dict[str, Any]) -> None:
            if message["type"] == "lifespan.startup.complete":
                started.set_result(None)

        try:
            await self._asgi({"type": "lifespan", "state": {}}, receive, send)
        except BaseException as error:
            if started.done():
                raise
            started.set_exception(error)

    def close(self) -> None:
        """Shut the service down and end its loop."""
        self._loop.call_soon_threadsafe(self._leave.set)
        try:
            self._lifespan.result(60)
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.run_until_complete(self._loop.shutdown_default_executor())
            self._loop.close()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the service's loop and wait for it."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(120)

    def request(
        self,
        method: str,
        path: str,
        body: Body = b"",
        *,
        headers: Headers = _JSON,
        query: str = "",
    ) -> Answer:
        """Send one request and wait for its answer."""
        return self.run(self.exchange(method, path, body, headers=headers, query=query))

    def get(self, path: str, query: str = "") -> Answer:
        """`GET` a path."""
        return self.request("GET", path, headers={}, query=query)

    def post(self, path: str, document: object, query: str = "") -> Answer:
        """`POST` a document as JSON."""
        return self.request("POST", path, json.dumps(document).encode(), query=query)

    async def exchange(
        self,
        method: str,
        path: str,
        body: Body = b"",
        *,
        headers: Headers = _JSON,
        query: str = "",
    ) -> Answer:
        """Send one request from inside the loop, as a server would hand it over."""
        sent = {name.lower(): value for name, value in headers.items()}
        if isinstance(body, bytes):
            sent.setdefault("content-length", str(len(body)))
            pieces: Iterator[bytes | float | None] = iter([body])
        else:
            pieces = iter(body)
        scope = scope_of(method, path, sent, query)
        is_over = asyncio.Event()

        async def receive() -> dict[str, Any]:
            for piece in pieces:
                if piece is None:
                    return {"type": "http.disconnect"}
                if isinstance(piece, float):
                    await asyncio.sleep(piece)
                else:
                    is_whole = isinstance(body, bytes)
                    return {"type": "http.request", "body": piece, "more_body": not is_whole}
            if not isinstance(body, bytes) and not is_over.is_set():
                is_over.set()
                return {"type": "http.request", "body": b"", "more_body": False}
            await asyncio.Event().wait()
            raise AssertionError("unreachable")

        came: list[dict[str, Any]] = []

        async def send(message: dict[str, Any]) -> None:
            came.append(message)

        await self._asgi(scope, receive, send)
        if not came:
            return Answer(0, {}, b"")
        start, *parts = came
        assert start["type"] == "http.response.start"
        received = {name.decode(): value.decode() for name, value in start["headers"]}
        assert len(received) == len(start["headers"]), "a header came twice"
        whole = b"".join(part.get("body", b"") for part in parts)
        assert all(part["type"] == "http.response.body" for part in parts)
        is_whole = not parts[-1].get("more_body")
        if method != "HEAD" and (is_whole or "content-length" in received):
            # Only what is sent as it is made has no length.
            assert int(received.get("content-length", len(whole))) == len(whole)
        return Answer(start["status"], received, whole, is_whole)


def scope_of(method: str, path: str, headers: Headers, query: str = "") -> dict[str, Any]:
    """An ASGI scope as a server makes it."""
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode("utf-8", "surrogateescape"),
        "root_path": "",
        "query_string": query.encode("latin-1"),
        "headers": [(k.encode("latin-1"), v.encode("latin-1")) for k, v in headers.items()],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }


@contextlib.contextmanager
def serving(tag: str, **settings: object) -> Iterator[App]:
    """Run `service.py` on a model; `max_rows=5` is `TABSERVE_MAX_ROWS=5`.

    Its prediction log is in a folder of its own, unless the settings say otherwise.
    """
    with tempfile.TemporaryDirectory(prefix="tabserve-data-") as folder:
        wanted = {"TABSERVE_MODEL": tag, "TABSERVE_DATA_DIR": folder}
        wanted |= {f"TABSERVE_{name.upper()}": str(value) for name, value in settings.items()}
        with _started(wanted) as app:
            yield app


@contextlib.contextmanager
def _started(wanted: dict[str, str]) -> Iterator[App]:
    # `service.py` reads its settings when it is imported: each time under another name.
    name = f"service_under_test_{next(_numbers)}"
    spec = importlib.util.spec_from_file_location(name, ROOT / "service.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    os.environ.update(wanted)
    try:
        sys.modules[name] = module
        with warnings.catch_warnings():
            # BentoML's own, while a service is defined.
            warnings.simplefilter("ignore", PydanticDeprecatedSince211)
            spec.loader.exec_module(module)
    finally:
        for variable in wanted:
            del os.environ[variable]
    app = App(module, Path(wanted["TABSERVE_DATA_DIR"]))
    try:
        yield app
    finally:
        app.close()
        del sys.modules[name]
