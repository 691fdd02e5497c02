"""Steady load: clients that each ask at an even pace, and remember every answer."""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
import time
from typing import Any, NamedTuple

from tests.service.process import read_answer

CLIENTS = 4
# A client that waits longer has given up: a proxy before the service would have.
PATIENCE_SECONDS = 15


class Asked(NamedTuple):
    """One request: when it was sent and ended (monotonic), its status, and its prediction's id.

    `status`: 0 where no answer came.
    """

    sent: float
    ended: float
    status: int
    prediction: str | None


class Load:
    """Requests for one row each, `per_second` by all clients together, until `stop`."""

    def __init__(self, port: int, row: dict[str, Any], per_second: float = 80.0) -> None:
        self._port = port
        self._body = json.dumps(row).encode()
        self._pause = CLIENTS / per_second
        self._is_over = threading.Event()
        self.asked: list[Asked] = []
        self._threads = [threading.Thread(target=self._ask, daemon=True) for _ in range(CLIENTS)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Let the running requests end."""
        self._is_over.set()
        for thread in self._threads:
            thread.join()

    def _ask(self) -> None:
        connection: http.client.HTTPConnection | None = None
        while not self._is_over.wait(self._pause):
            if connection is None:
                connection = http.client.HTTPConnection("127.0.0.1", self._port, PATIENCE_SECONDS)
            sent = time.monotonic()
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
                connection = None
            self.asked.append(Asked(sent, time.monotonic(), status, prediction))
        if connection is not None:
            with contextlib.suppress(OSError):
                connection.close()
