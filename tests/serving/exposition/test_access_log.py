"""Lines of the access log: as documented, in order, and made only at a flush."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from time import perf_counter
from typing import Any

import msgspec
import pytest

from bentos.logs import OUTLET
from bentos.serving.exposition.access_log import AccessLine, AccessLog

PATIENCE_SECONDS = 20
MEMBERS = [field.name for field in msgspec.structs.fields(AccessLine)]


def written(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """The lines that were written since the last look."""
    assert OUTLET.drain(PATIENCE_SECONDS)
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """Lines wait for a flush, and then come whole and in order, with the model of their time."""
    log = AccessLog(OUTLET)
    log.add("id-1", "/v1/predict", 503, 0, 0.25, perf_counter(), "overloaded")
    assert written(capsys) == []
    log.name_model("risk", "7")
    log.add("id-2", "/v1/predict", 200, 1, 0.0012345, perf_counter(), None, "shop")
    log.flush()
    first, second = written(capsys)
    assert list(first) == list(second) == MEMBERS
    assert (first["request_id"], first["status"], first["model"]) == ("id-1", 503, None)
    assert (first["problem"], first["client"]) == ("overloaded", None)
    assert (second["route"], second["rows"], second["milliseconds"]) == ("/v1/predict", 1, 1.234)
    assert (second["model"], second["version"], second["logger"]) == ("risk", "7", "tabserve")
    assert (second["problem"], second["client"]) == (None, "shop")
    log.flush()
    assert written(capsys) == []


def test_times(capsys: pytest.CaptureFixture[str]) -> None:
    """A line has the time of its answer, to the millisecond, not that of the flush."""
    log = AccessLog(OUTLET)
    before = datetime.now(UTC)
    for age in (2.5, 1.25, 0.0):
        log.add("id", "/v1/predict", 200, 1, 0.001, perf_counter() - age)
    time.sleep(0.05)
    log.flush()
    ages = [
        (datetime.fromisoformat(line["time"]) - before).total_seconds() for line in written(capsys)
    ]
    assert ages == pytest.approx([-2.5, -1.25, 0.0], abs=0.03)


def test_texts_are_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    """Names of models and clients may have any character: a line stays one JSON object."""
    log = AccessLog(OUTLET)
    name = 'a "model"\n\\ größer'
    log.name_model(name, "1")
    log.add("id", "/v1/predict", 200, 1, 0.001, perf_counter(), None, name)
    log.flush()
    (line,) = written(capsys)
    assert (line["model"], line["client"]) == (name, name)


def test_many(capsys: pytest.CaptureFixture[str]) -> None:
    """Under load lines leave before the flush; of clients without end none is mixed up."""
    log = AccessLog(OUTLET)
    for number in range(3000):
        log.add(str(number), "/v1/predict", 200, 1, 0.001, perf_counter(), None, f"c{number}")
    assert len(written(capsys)) > 2900
    log.flush()
    log.add("last", "/v1/predict", 200, 1, 0.001, perf_counter(), None, "c0")
    log.flush()
    assert written(capsys)[-1]["client"] == "c0"
