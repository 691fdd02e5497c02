"""Predictions and windows for the tests of the log."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import msgspec

from bentos.errors import StoreDown
from bentos.ids import milliseconds
from bentos.records.record import Environment, Record, Registration, Window
from bentos.records.request import RecordedRequest

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
DAY = timedelta(days=1)
ALL = Window()

ENVIRONMENT = Environment("e", msgspec.Raw(b'{"lightgbm": "4.7.0",  "threads": 1}'))
REGISTRATION = Registration(
    "credit",
    "1",
    "c",
    msgspec.Raw(b'{"features": [ ], "task": "binary"}'),
    "sha256:0",
    mlflow_run_id="run",
    metrics={"auc": 0.1 + 0.2},
    importance={"age": 5e-324},
    reference=b"PAR1\x00\xff",
)

_random = random.Random(4)  # noqa: S311 - the same ids in every run


def name(time: datetime = NOON, end: int | None = None) -> str:
    """An id of a time; `end` is its last 32 bits."""
    digits = f"{milliseconds(time):012x}"
    middle, low = f"{_random.getrandbits(12):03x}", f"{_random.getrandbits(48):012x}"
    if end is not None:
        low = f"{low[:4]}{end:08x}"
    return f"{digits[:8]}-{digits[8:]}-7{middle}-8000-{low}"


def record(time: datetime = NOON, **changes: object) -> Record:
    """A prediction made at a time."""
    fields: dict[str, object] = {
        "id": name(time),
        "request_id": "request-1",
        "model": "credit",
        "version": "1",
        "contract": "c" * 64,
        "environment": "e" * 16,
        "features": msgspec.Raw(b'{"age":30,"income":1e308,"note":null}'),
        "score": 0.25,
        "label": "0",
        "threshold": 0.5,
        "decode_us": 10,
        "queue_us": 20,
        "predict_us": 30,
        "encode_us": 40,
    }
    return Record(**(fields | changes))  # type: ignore[arg-type]  # each its field's type


def request(count: int = 3, time: datetime = NOON, **changes: object) -> RecordedRequest:
    """A request of so many rows, made in one millisecond."""
    fields: dict[str, object] = {
        "request_id": "request-1",
        "model": "credit",
        "version": "1",
        "contract": "c" * 64,
        "environment": "e" * 16,
        "names": ("age", "income", 'a "note"'),
        "ids": sorted(name(time) for _ in range(count)),
        "rows": [(number, 0.1 * number, None) for number in range(count)],
        "score": [0.25] * count,
        "label": ["0"] * count,
        "threshold": 0.5,
        "decode_us": 10,
        "queue_us": 20,
        "predict_us": 30,
        "encode_us": 40,
    }
    return RecordedRequest(**(fields | changes))  # type: ignore[arg-type]  # each its field's type


def minutes(count: int, start: datetime = NOON, **changes: object) -> list[Record]:
    """Predictions a minute apart."""
    return [record(start + timedelta(minutes=number), **changes) for number in range(count)]


def by_id(records: list[Record]) -> list[Record]:
    """Records as a log gives them."""
    return sorted(records, key=lambda one: one.id)


def until_up(act: Callable[[], None], patience_seconds: float = 60.0) -> int:
    """Do something again and again until the store is up; give how often it was down."""
    deadline = time.monotonic() + patience_seconds
    failures = 0
    while True:
        try:
            act()
        except StoreDown:
            assert time.monotonic() < deadline
            failures += 1
            time.sleep(0.02)
        else:
            return failures
