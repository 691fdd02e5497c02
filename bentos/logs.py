"""Logs of the service: one JSON object a line, on standard error, never a feature value."""

from __future__ import annotations

import json
import logging
import sys
import traceback
from contextlib import suppress
from datetime import UTC, datetime

import msgspec

LOGGER = logging.getLogger("tabserve")

# Loggers of the server around us: in the same form, so that one parser reads all.
_NEIGHBOURS = ("", "bentoml", "uvicorn", "uvicorn.error")

_encode = msgspec.json.Encoder(enc_hook=str).encode


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


class AccessLog:
    """Writes one JSON line a request to standard error, many lines at a time.

    A write for each request would cost a tenth of its time; `flush` is called every
    quarter of a second and at the end.
    """

    def __init__(self) -> None:
        self._lines: list[bytes] = []
        self._model: str | None = None
        self._version: str | None = None

    def name_model(self, model: str, version: str) -> None:
        """Say which model the lines from now on are about."""
        self._model, self._version = model, version

    def write(
        self,
        request_id: str,
        route: str,
        status: int,
        rows: int,
        seconds: float,
        problem: str | None = None,
        client: str | None = None,
    ) -> None:
        """Add a line.

        `seconds`: from first byte seen to answer handed over. `problem`: the kind of problem
        that was answered. `client`: the name of the key.
        """
        line = AccessLine(
            datetime.now(UTC).isoformat(timespec="milliseconds"),
            "info",
            LOGGER.name,
            "request",
            request_id,
            route,
            status,
            problem,
            client,
            rows,
            round(seconds * 1e3, 3),
            self._model,
            self._version,
        )
        self._lines.append(_encode(line))

    def flush(self) -> None:
        """Write the lines that wait."""
        if self._lines:
            lines, self._lines = self._lines, []
            text = b"\n".join(lines).decode() + "\n"
            # A full pipe or a closed terminal must not fail a request.
            with suppress(OSError, ValueError):
                sys.stderr.write(text)
                sys.stderr.flush()


class JsonFormatter(logging.Formatter):
    """Writes a record as one line; `extra={"fields": {...}}` adds members."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        fields = getattr(record, "fields", None)
        if fields:
            line.update(fields)
        if record.exc_info and record.exc_info[1] is not None:
            line["error"] = describe_error(record.exc_info[1])
        try:
            return _encode(line).decode()
        except UnicodeEncodeError:
            # A lone surrogate, as of a file name that is not UTF-8: JSON can escape it.
            return json.dumps(line, default=str)


def describe_error(error: BaseException) -> dict[str, object]:
    """Say what failed and where, without the message: a message may quote a value."""
    return {
        "type": type(error).__name__,
        "stack": [
            f"{frame.filename}:{frame.lineno} {frame.name}"
            for frame in traceback.extract_tb(error.__traceback__)
        ],
    }


def configure(level: str) -> None:
    """Send our logs, and those of the server around us, to standard error as JSON."""
    configure_own(level)
    # Its lines reach the root logger's handler as well: each would be there twice.
    logging.getLogger("uvicorn.error").propagate = False
    for name in _NEIGHBOURS:
        for neighbour in logging.getLogger(name).handlers:
            neighbour.setFormatter(JsonFormatter())


def configure_own(level: str) -> None:
    """Send our logs alone to standard error as JSON."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    LOGGER.handlers = [handler]
    LOGGER.setLevel(level.upper())
    LOGGER.propagate = False


def hide_password(uri: str) -> str:
    """A URI as it may be shown: without user and password."""
    scheme, separator, rest = uri.partition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2]}"
