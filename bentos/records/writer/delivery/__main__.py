"""The process that delivers one worker's rows: `python -m bentos.records.writer.delivery`.

It gets segments on standard input, and reports on standard output. It needs neither numpy nor
BentoML. Where its worker dies it ends after the write that it is at: the rows stay in the
spool, and whoever looks there next delivers them.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

import msgspec

from bentos import logs
from bentos.logs import LOGGER
from bentos.records.opening import open_store
from bentos.records.writer.delivery.counts import Counts
from bentos.records.writer.delivery.delivery import Delivery
from bentos.records.writer.delivery.messages import Deliver, Finish, Report, Setup, receive, send
from bentos.records.writer.spool.segment import PACKED, Segment
from bentos.records.writer.spool.source import RecordSource
from bentos.records.writer.spool.spool import Spool

# Below this share of the spool the log lets answers go first.
_CALM_SHARE = 4
# How long a write may take after the worker died.
_ORPHAN_SECONDS = 10.0


class _Delivering:
    """A delivery, fed and watched over two pipes."""

    def __init__(self, setup: Setup, output: int) -> None:
        self._output = output
        self._source = msgspec.json.decode(setup.source, type=RecordSource)
        self._counts = Counts()
        self._told = Counts()
        # For what dead workers left. Segments of the living one are its own to remove.
        self._spool = Spool(Path(setup.spool), setup.spool_bytes, self._source)
        self.delivery = Delivery(
            partial(open_store, setup.url, Path(setup.data_dir)),
            self._spool,
            self._counts,
            memory_rows=sys.maxsize,
            settle=self._settle,
            calm_bytes=setup.spool_bytes // _CALM_SHARE,
        )

    def take(self, message: Deliver) -> None:
        """Take a segment in."""
        segment = Segment(
            message.data,
            rows=message.rows,
            first_id=message.first_id,
            source=self._source,
            size=message.size,
            path=None if message.path is None else Path(message.path),
            ending=PACKED if message.path is None else Path(message.path).suffix,
            is_retry=message.is_retry,
            number=message.number,
        )
        self.delivery.take(segment)

    def _settle(self, segments: Sequence[Segment]) -> None:
        done, kept = [], []
        for segment in segments:
            if segment.is_adopted:
                self._spool.remove(segment)
                continue
            done.append(segment.number)
            if segment.path is None:
                kept.append(segment.number)
        counts, told, delivery = self._counts, self._told, self.delivery
        report = Report(
            done,
            kept,
            counts.written - told.written,
            counts.dropped["refused"] - told.dropped["refused"],
            counts.dropped["unreadable"] - told.dropped["unreadable"],
            [counts.write_seconds.popleft() for _ in range(len(counts.write_seconds))],
            delivery.adopted_rows,
            self._spool.size,
            # What was taken over stands before all else.
            delivery.first_id if delivery.adopted_rows else None,
        )
        told.written, told.dropped = counts.written, counts.dropped.copy()
        # A worker that is gone needs no report.
        with suppress(OSError):
            send(self._output, report)


def main() -> None:
    """Deliver until the worker says that it stops, or is gone."""
    # It is the worker that says when to end, whatever signal all processes of a terminal or of
    # a container get.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    # What a library prints must not get between the reports.
    output = os.dup(1)
    os.dup2(2, 1)
    setup = receive(0)
    if not isinstance(setup, Setup):
        return
    logs.configure_own(setup.log_level)
    try:
        _deliver(setup, output)
    except Exception as error:
        # The worker starts another one.
        LOGGER.error("the delivery of the prediction log failed", exc_info=error)
        os._exit(1)
    # At once: a write that hangs would keep the process for as long.
    os._exit(0)


def _deliver(setup: Setup, output: int) -> None:
    made = _Delivering(setup, output)
    made.delivery.start()
    while True:
        message = receive(0)
        if isinstance(message, Deliver):
            made.take(message)
        elif isinstance(message, Finish):
            made.delivery.finish(message.within_seconds, message.within_seconds)
            return
        else:
            made.delivery.finish(0.0, _ORPHAN_SECONDS)
            return


if __name__ == "__main__":
    main()
