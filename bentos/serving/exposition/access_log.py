"""One line of JSON for each answered request, made many at a time.

On the way of an answer only what the line says is kept. Of the line's text most is the same for
thousands of requests: it is made once, and put together with what differs.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from time import perf_counter

import msgspec

from bentos.logs import LOGGER
from bentos.outlet import Outlet

# Made into lines at once: more would hold up the event loop for longer than an answer takes.
_AT_ONCE = 64

# Texts that are kept; names of clients come from tokens, so there is no end to them.
_MOST_KEPT = 1024

_to_json: Callable[[object], bytes] = msgspec.json.Encoder().encode


class AccessLine(msgspec.Struct):
    """One answered request. There is no room in it for a feature value."""

    time: str
    level: str
    logger: str
    message: str
    request_id: str
    route: str
    status: int
    problem: str | None
    client: str | None
    rows: int
    milliseconds: float
    model: str | None
    version: str | None


# Route, status, problem, client.
_Kind = tuple[str, int, str | None, str | None]


class AccessLog:
    """Gives one line a request to `outlet`. Only for the event loop's thread.

    `flush` is called every quarter of a second and at the end; under load lines leave sooner,
    some at a time.
    """

    def __init__(self, outlet: Outlet) -> None:
        self._outlet = outlet
        self._waiting: list[tuple[str, _Kind, int, float, float]] = []
        self._kinds: dict[_Kind, str] = {}
        self._second = -1
        self._second_text = ""
        self._after_time = f'+00:00","level":"info","logger":"{LOGGER.name}","message":"request",'
        self._end = ""
        self._name_model(None, None)

    def name_model(self, model: str, version: str) -> None:
        """Say which model the lines from now on are about."""
        self.flush()
        self._name_model(model, version)

    def _name_model(self, model: str | None, version: str | None) -> None:
        self._end = f',"model":{_text(model)},"version":{_text(version)}}}\n'

    def add(
        self,
        request_id: str,
        route: str,
        status: int,
        rows: int,
        seconds: float,
        now: float,
        problem: str | None = None,
        client: str | None = None,
    ) -> None:
        """Add a line.

        `request_id`: of letters, digits, dots, dashes and underscores. `seconds`: from first
        byte seen to answer handed over, which was at `now` of the performance counter. `problem`:
        the kind of problem that was answered. `client`: the name of the key.
        """
        waiting = self._waiting
        waiting.append((request_id, (route, status, problem, client), rows, seconds, now))
        if len(waiting) >= _AT_ONCE:
            self.flush()

    def flush(self) -> None:
        """Make the lines that wait, and hand them over."""
        if not self._waiting:
            return
        waiting, self._waiting = self._waiting, []
        kinds, after_time, end = self._kinds, self._after_time, self._end
        # One clock for durations and times, set by the system's at each flush.
        offset = time.time() - perf_counter()
        lines = []
        for request_id, kind, rows, seconds, now in waiting:
            at = offset + now
            second = int(at)
            if second != self._second:
                self._second = second
                self._second_text = time.strftime(
                    '{"time":"%Y-%m-%dT%H:%M:%S.', time.gmtime(second)
                )
            lines.append(
                f"{self._second_text}{int((at - second) * 1e3):03d}{after_time}"
                f'"request_id":"{request_id}",{kinds.get(kind) or self._describe(kind)}'
                f'{rows},"milliseconds":{seconds * 1e3:.3f}{end}'
            )
        self._outlet.add("".join(lines).encode(), len(lines))

    def _describe(self, kind: _Kind) -> str:
        route, status, problem, client = kind
        if len(self._kinds) >= _MOST_KEPT:
            self._kinds.clear()
        text = self._kinds[kind] = (
            f'"route":{_text(route)},"status":{status},"problem":{_text(problem)},'
            f'"client":{_text(client)},"rows":'
        )
        return text


def _text(value: str | None) -> str:
    return _to_json(value).decode()
