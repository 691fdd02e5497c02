"""Steady load: requests leave at an even pace, whether the earlier ones are answered or not."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from tests.service.process import read_answer

# Enough that both workers have some.
CONNECTIONS = 16
# A client that waits longer has given up: a proxy before the service would have.
PATIENCE_SECONDS = 15
# More than may wait at once: all of a pace of 80 in that time would be 1,200.
_MOST_AT_ONCE = 1500


class Asked(NamedTuple):
    """One request: when it was due and ended (monotonic), its status, and its prediction's id.

    `status`: 0 where no answer came.
    """

    sent: float
    ended: float
    status: int
    prediction: str | None


class Load:
    """`per_second` requests for one row each until `stop`, on connections that are kept.

    `port`: where the service is now. `asked` grows by every request that has ended.
    """

    def __init__(
        self,
        port: Callable[[], int],
        row: dict[str, Any],
        asked: list[Asked],
        per_second: float = 80.0,
    ) -> None:
        self._port = port
        self._body = json.dumps(row).encode()
        self._interval = 1 / per_second
        self._asked = asked
        # In turn: the one that was idle longest is next.
        self._idle: deque[http.client.HTTPConnection] = deque()
        self._pool = ThreadPoolExecutor(_MOST_AT_ONCE)
        self._is_over = threading.Event()
        self._pacer = threading.Thread(target=self._pace, daemon=True)
        self._pacer.start()

    def stop(self) -> None:
        """Send no more, and let the running requests end."""
        self._is_over.set()
        self._pacer.join()
        self._pool.shutdown()
        for connection in self._idle:
            connection.close()

    def _pace(self) -> None:
        self._idle += [self._connect() for _ in range(CONNECTIONS)]
        due = time.monotonic()
        while not self._is_over.wait(max(0.0, due - time.monotonic())):
            self._pool.submit(self._ask, due)
            due += self._interval

    def _connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self._port(), PATIENCE_SECONDS)

    def _ask(self, sent: float) -> None:
        try:
            connection = self._idle.popleft()
        except IndexError:
            connection = self._connect()
        status, prediction = 0, None
        try:
            headers = {"Content-Type": "application/json"}
            connection.request("POST", "/v1/predict", self._body, headers)
            answer = read_answer(connection)
            status = answer.status
            if status == 200:
                prediction = answer.json()["id"]
        except (OSError, http.client.HTTPException):
            connection.close()
        else:
            self._idle.append(connection)
        self._asked.append(Asked(sent, time.monotonic(), status, prediction))
