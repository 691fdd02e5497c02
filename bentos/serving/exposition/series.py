"""Series whose one label has values that the code knows: they are there from the start. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

from bentos.errors import ClosedReason, FaultCode, ShedReason
from bentos.model.explanation.contributions import Check
from bentos.records.writer.delivery.counts import DropReason
from bentos.serving.batching import Reason
from bentos.serving.exposition import table

# The server's own failures: a first one must be seen as a rise.
FAILURES = ("500", "503", "504")


def known_values() -> Iterator[tuple[str, tuple[str, ...]]]:
    """The name of each such counter, and the values of its label."""
    yield "tabserve_requests_shed", get_args(ShedReason)
    yield "tabserve_connections_closed", get_args(ClosedReason)
    yield "tabserve_rows", ("scored", "rejected")
    yield "tabserve_faults", get_args(FaultCode)
    yield "tabserve_outcomes", get_args(table.OutcomeResult)
    yield "tabserve_explanation_violations", get_args(Check)
    yield "tabserve_batches", get_args(Reason)
    yield "tabserve_log_rows_dropped", get_args(DropReason)
    yield "tabserve_mirrored_requests", get_args(table.MirrorResult)
