"""What every test of the service asks for, in one place."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd
import pytest
from prometheus_client.parser import text_string_to_metric_families

MEMBERS = {"type", "title", "status", "detail", "request_id", "errors"}
UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def assert_problem(answer: Any, status: int, kind: str) -> dict[str, Any]:
    """Assert that an answer is one problem document of a kind; give the document.

    `answer` has `status`, `headers` and `body`.
    """
    assert answer.status == status, answer.body[:300]
    assert answer.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = json.loads(answer.body)
    assert document.keys() == MEMBERS
    assert document["status"] == status
    assert document["type"] == f"urn:tabserve:problem:{kind}"
    assert document["request_id"] == answer.headers["x-request-id"]
    assert answer.headers["server-timing"].startswith("total;dur=")
    for error in document["errors"]:
        assert error.keys() == {"pointer", "code", "detail"}
    return document


def assert_no_name_of_ours(body: bytes) -> None:
    """Assert that a body shows neither Python nor BentoML."""
    text = body.decode()
    for word in ("Traceback", "Error(", "<class", "bentoml", "BentoML", "msgspec", ".py"):
        assert word not in text


def rows_of(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Write the rows of a frame as clients send them."""
    rows: list[dict[str, Any]] = json.loads(frame.to_json(orient="records", double_precision=15))
    return [
        {
            name: float(frame[name].iloc[number])
            if isinstance(value, float) and value is not None
            else value
            for name, value in row.items()
        }
        for number, row in enumerate(rows)
    ]


Series = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def series_of(exposition: bytes) -> Series:
    """Read the Prometheus text format: the value of each series, by name and labels."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(exposition.decode())
        for sample in family.samples
    }


def value_of(series: Series, name: str, **labels: str) -> float:
    """The value of one series, 0 where it is not there yet."""
    return series.get((name, tuple(sorted(labels.items()))), 0.0)


def total_of(series: Series, name: str, **labels: str) -> float:
    """The sum over all series of a name that have these labels."""
    return sum(
        value
        for (found, its), value in series.items()
        if found == name and labels.items() <= dict(its).items()
    )


def require(program: str, package: str) -> str:
    """Find a program that a check needs; without it the check is skipped, in CI it fails."""
    path = shutil.which(program)
    if path is None:
        reason = f"{program} is not installed: apt-get install {package}"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return path


def read_lines(text: str) -> list[dict[str, Any]]:
    """Read a worker's log: every line must be one JSON object."""
    return [json.loads(line) for line in text.splitlines()]


def requests_in(lines: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The lines of the access log."""
    return [line for line in lines if line["message"] == "request"]
