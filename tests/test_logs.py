"""Log lines: one JSON object each, and never a message that could quote a value."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from datetime import datetime

import pytest

from bentos import logs
from bentos.logs import LOGGER, OUTLET

PATIENCE_SECONDS = 20


class Lines:
    """What was written to standard error."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self._text = ""

    def getvalue(self) -> str:
        """All that was written so far."""
        assert OUTLET.drain(PATIENCE_SECONDS)
        self._text += self._capsys.readouterr().err
        return self._text


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]) -> Iterator[Lines]:
    """Standard error, with our logger configured on it."""
    kept = LOGGER.handlers, LOGGER.level, LOGGER.propagate
    logs.configure("info")
    yield Lines(capsys)
    LOGGER.handlers, LOGGER.level, LOGGER.propagate = kept


def last(lines: Lines) -> dict[str, object]:
    """The last line, which must be one JSON object."""
    text = lines.getvalue()
    assert text.endswith("\n")
    line: dict[str, object] = json.loads(text.splitlines()[-1])
    return line


def test_line(lines: Lines) -> None:
    """A record is one line with time, level, logger, message and the fields given with it."""
    LOGGER.info("two\nlines", extra={"fields": {"rows": 3, "share": float("nan")}})
    line = last(lines)
    assert lines.getvalue().count("\n") == 1
    assert (line["level"], line["logger"], line["message"]) == ("info", "tabserve", "two\nlines")
    assert (line["rows"], line["share"]) == (3, None)
    assert datetime.fromisoformat(str(line["time"])).tzinfo is not None


def test_level(lines: Lines) -> None:
    """Below the level nothing is written."""
    LOGGER.debug("quiet")
    assert lines.getvalue() == ""


def test_error_without_its_message(lines: Lines) -> None:
    """An exception is told by type and place: its message may quote a value."""
    try:
        float("secret7")
    except ValueError:
        LOGGER.exception("request failed")
    line = last(lines)
    assert "secret7" not in lines.getvalue()
    error = line["error"]
    assert isinstance(error, dict)
    assert error["type"] == "ValueError"
    assert "test_error_without_its_message" in error["stack"][0]


def test_no_error(lines: Lines) -> None:
    """`exc_info` outside an exception adds nothing."""
    LOGGER.error("x", exc_info=True)
    assert "error" not in last(lines)


def test_text_that_is_no_unicode(lines: Lines) -> None:
    """A lone surrogate is escaped; the line is not lost."""
    LOGGER.info("file \udcff", extra={"fields": {"kind": object}})
    assert last(lines)["message"] == "file \udcff"


def test_objects(lines: Lines) -> None:
    """What JSON has no form for is written as text."""
    LOGGER.info("x", extra={"fields": {"kind": ValueError("y")}})
    assert last(lines)["kind"] == "y"


def test_neighbours(lines: Lines) -> None:
    """The server's own loggers write in the same form."""
    neighbour = logging.getLogger("uvicorn.error")
    handler = logging.StreamHandler(sys.stderr)
    neighbour.addHandler(handler)
    try:
        logs.configure("info")
        neighbour.warning("hello")
    finally:
        neighbour.removeHandler(handler)
    assert (last(lines)["logger"], last(lines)["level"]) == ("uvicorn.error", "warning")
