"""Logs of the service: one JSON object a line, on standard error, never a feature value."""

from __future__ import annotations

import json
import logging
import sys
import traceback
from datetime import UTC, datetime
from typing import TextIO

import msgspec

from bentos.outlet import Outlet

LOGGER = logging.getLogger("tabserve")

# Loggers of the server around us: in the same form, so that one parser reads all.
_NEIGHBOURS = ("", "bentoml", "uvicorn", "uvicorn.error")

_encode = msgspec.json.Encoder(enc_hook=str).encode


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
    """Send our logs, and those of the server around us, to `OUTLET` as JSON."""
    _configure_own(level, OUTLET)
    # Its lines reach the root logger's handler as well: each would be there twice.
    logging.getLogger("uvicorn.error").propagate = False
    for name in _NEIGHBOURS:
        for neighbour in logging.getLogger(name).handlers:
            neighbour.setFormatter(JsonFormatter())
            if isinstance(neighbour, logging.StreamHandler) and neighbour.stream is sys.stderr:
                neighbour.setStream(OUTLET)


def configure_own(level: str) -> None:
    """Send our logs alone to standard error as JSON, each line before what comes after it."""
    _configure_own(level, sys.stderr)


def _configure_own(level: str, stream: TextIO | Outlet) -> None:
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    LOGGER.handlers = [handler]
    LOGGER.setLevel(level.upper())
    LOGGER.propagate = False


def _report_lost(lines: int) -> str:
    record = LOGGER.makeRecord(
        LOGGER.name, logging.ERROR, __file__, 0, "log lines were lost: nobody read them", (), None
    )
    record.fields = {"lines": lines}
    return f"{JsonFormatter().format(record)}\n"


# Of a worker: its event loop must not wait for a reader.
OUTLET = Outlet(_report_lost)


def hide_password(uri: str) -> str:
    """A URI as it may be shown: without user and password."""
    scheme, separator, rest = uri.partition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2]}"
