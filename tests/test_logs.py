"""Log lines: one JSON object each, and never a message that could quote a value."""

from __future__ import annotations

import io
import json
import logging
import sys
from collections.abc import Iterator
from datetime import datetime

import pytest

from bentos import logs
from bentos.logs import LOGGER, AccessLog


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """Standard error, with our logger configured on it."""
    kept = LOGGER.handlers, LOGGER.level, LOGGER.propagate
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    logs.configure("info")
    yield stream
    LOGGER.handlers, LOGGER.level, LOGGER.propagate = kept


def last(stream: io.StringIO) -> dict[str, object]:
    """The last line of a stream, which must be one JSON object."""
    text = stream.getvalue()
    assert text.endswith("\n")
    line: dict[str, object] = json.loads(text.splitlines()[-1])
    return line


def test_line(lines: io.StringIO) -> None:
    """A record is one line with time, level, logger, message and the fields given with it."""
    LOGGER.info("two\nlines", extra={"fields": {"rows": 3, "share": float("nan")}})
    line = last(lines)
    assert lines.getvalue().count("\n") == 1
    assert (line["level"], line["logger"], line["message"]) == ("info", "tabserve", "two\nlines")
    assert (line["rows"], line["share"]) == (3, None)
    assert datetime.fromisoformat(str(line["time"])).tzinfo is not None


def test_level(lines: io.StringIO) -> None:
    """Below the level nothing is written."""
    LOGGER.debug("quiet")
    assert lines.getvalue() == ""


def test_error_without_its_message(lines: io.StringIO) -> None:
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


def test_no_error(lines: io.StringIO) -> None:
    """`exc_info` outside an exception adds nothing."""
    LOGGER.error("x", exc_info=True)
    assert "error" not in last(lines)


def test_text_that_is_no_unicode(lines: io.StringIO) -> None:
    """A lone surrogate is escaped; the line is not lost."""
    LOGGER.info("file \udcff", extra={"fields": {"kind": object}})
    assert last(lines)["message"] == "file \udcff"


def test_objects(lines: io.StringIO) -> None:
    """What JSON has no form for is written as text."""
    LOGGER.info("x", extra={"fields": {"kind": ValueError("y")}})
    assert last(lines)["kind"] == "y"


def test_neighbours(lines: io.StringIO) -> None:
    """The server's own loggers write in the same form."""
    neighbour = logging.getLogger("uvicorn.error")
    handler = logging.StreamHandler(lines)
    neighbour.addHandler(handler)
    try:
        logs.configure("info")
        neighbour.warning("hello")
    finally:
        neighbour.removeHandler(handler)
    assert (last(lines)["logger"], last(lines)["level"]) == ("uvicorn.error", "warning")


def test_access_log(capsys: pytest.CaptureFixture[str]) -> None:
    """Access lines wait for a flush, and then come whole and in order."""
    log = AccessLog()
    log.write("id-1", "/v1/predict", 503, 0, 0.25)
    log.name_model("risk", "7")
    log.write("id-2", "/v1/predict", 200, 1, 0.0012345)
    assert capsys.readouterr().err == ""
    log.flush()
    first, second = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    assert (first["request_id"], first["status"], first["model"]) == ("id-1", 503, None)
    assert (second["route"], second["rows"], second["milliseconds"]) == ("/v1/predict", 1, 1.234)
    assert (second["model"], second["version"], second["logger"]) == ("risk", "7", "tabserve")
    log.flush()
    assert capsys.readouterr().err == ""


def test_access_log_on_a_broken_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    """A standard error that is closed costs lines, and no request."""
    stream = io.StringIO()
    stream.close()
    log = AccessLog()
    log.write("id-1", "/v1/predict", 200, 1, 0.001)
    monkeypatch.setattr(sys, "stderr", stream)
    log.flush()
