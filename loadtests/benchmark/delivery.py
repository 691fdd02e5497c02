"""What an answered row costs after its answer: its way into the prediction log's store.

A load ends with rows that are not in the store yet. What the service says of them is read from
/metrics; what the store has is counted in the file itself, so that a wrong metric is found.
"""

from __future__ import annotations

import re
import sqlite3
import time
import urllib.request
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

_TIMEOUT_SECONDS = 10
_POLL_SECONDS = 0.1
# A worker shows its log four times a second: what it showed last may be of before the last row.
_FRESH_SECONDS = 0.6
# Minutes of load may lie on disk; longer than this, the store does not keep up at all.
_PATIENCE_SECONDS = 300.0
_FILE = "records.db"
_COUNT = "SELECT count(*) FROM predictions"


class NotDelivered(Exception):
    """Rows that were answered did not reach the store in time."""


@dataclass(frozen=True)
class Queue:
    """What the service says of its log: rows that wait, the age of the oldest, rows lost."""

    rows: int
    oldest_seconds: float
    dropped: int
    scored: int


@dataclass(frozen=True)
class Drain:
    """The end of a load: what was waiting, and the seconds until all of it was in the store."""

    rows: int
    oldest_seconds: float
    seconds: float


def read(port: int) -> Queue:
    """Read the log's state from a service on loopback. Raises OSError."""
    url = f"http://127.0.0.1:{port}/metrics"
    with urllib.request.urlopen(url, timeout=_TIMEOUT_SECONDS) as answer:  # loopback
        text = answer.read().decode()
    return Queue(
        rows=round(_total(text, "tabserve_log_queue_rows")),
        oldest_seconds=_total(text, "tabserve_log_oldest_age_seconds"),
        dropped=round(_total(text, "tabserve_log_rows_dropped_total")),
        scored=round(_total(text, 'tabserve_rows_total{outcome="scored"}')),
    )


def wait(port: int, folder: Path, patience_seconds: float = _PATIENCE_SECONDS) -> Drain:
    """Wait until no row of the log is waiting. Raises NotDelivered, OSError.

    The end of it is when the store's files in `folder` were last written: metrics lag behind.
    """
    begun, started = time.time(), time.perf_counter()
    # The most of the first moments: what a worker showed last may be of before.
    rows, oldest = 0, 0.0
    emptied: float | None = None
    seen = 0.0
    while (now := time.perf_counter() - started) < patience_seconds:
        queue = read(port)
        if now < _FRESH_SECONDS:
            rows, oldest = max(rows, queue.rows), max(oldest, queue.oldest_seconds)
        if queue.rows:
            emptied = None
        elif emptied is None:
            emptied = min(now, max(0.0, _last_written(folder) - begun))
            seen = now
        if emptied is not None and now - seen >= _FRESH_SECONDS:
            return Drain(rows, oldest, emptied)
        time.sleep(_POLL_SECONDS)
    raise NotDelivered(f"rows waited for the store {patience_seconds:g} s after the load")


def stored(folder: Path) -> int:
    """Count the rows in the SQLite log of a data folder. Raises OSError."""
    try:
        with closing(sqlite3.connect(f"file:{folder / _FILE}?mode=ro", uri=True)) as connection:
            return int(connection.execute(_COUNT).fetchone()[0])
    except sqlite3.Error as error:
        raise OSError(f"the log could not be counted: {error}") from None


def _last_written(folder: Path) -> float:
    return max((path.stat().st_mtime for path in folder.glob(f"{_FILE}*")), default=0.0)


def _total(text: str, series: str) -> float:
    """Add up the samples of one metric, or of one series of it."""
    name = re.escape(series)
    pattern = rf"^{name} (\S+)$" if "{" in series else rf"^{name}(?:\{{[^}}]*\}})? (\S+)$"
    return sum(map(float, re.findall(pattern, text, re.M)))
