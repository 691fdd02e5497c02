"""Logs of the service: one JSON object a line, on standard error, never a feature value."""

from __future__ import annotations

import logging
import sys
import traceback
from datetime import UTC, datetime

import msgspec

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
        return _encode(line).decode()


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
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    LOGGER.handlers = [handler]
    LOGGER.setLevel(level.upper())
    LOGGER.propagate = False
    for name in _NEIGHBOURS:
        for neighbour in logging.getLogger(name).handlers:
            neighbour.setFormatter(JsonFormatter())
