"""What became of the rows of one worker's log."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Literal

from bentos.logs import LOGGER
from bentos.records.writer.spool.segment import Segment

DropReason = Literal["buffer_full", "spool_full", "refused", "stopped", "failed", "unreadable"]


class Counts:
    """What became of the rows. Each number is written by one thread, and read by any."""

    def __init__(self) -> None:
        self.enqueued = 0
        self.written = 0
        self.dropped: dict[DropReason, int] = {
            "buffer_full": 0,
            "spool_full": 0,
            "refused": 0,
            "stopped": 0,
            "failed": 0,
            "unreadable": 0,
        }
        # Seconds of each write to the store since the last look.
        self.write_seconds: deque[float] = deque(maxlen=10_000)


def report_left(counts: Counts, segments: Iterable[Segment]) -> None:
    """Log and count what a stop leaves undelivered."""
    left, on_disk = 0, 0
    for segment in segments:
        left += segment.rows
        on_disk += segment.rows if segment.path is not None else 0
    if left > on_disk:
        counts.dropped["stopped"] += left - on_disk
    if left:
        fields = {"spooled": on_disk, "lost": left - on_disk}
        LOGGER.error("the prediction log stopped behind", extra={"fields": fields})
